package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// lacks says what the servers of a workload do not offer.
type lacks struct {
	Pipelining  bool `json:"pipelining,omitempty"`   // POP3 PIPELINING, RFC 2449 §6.6
	LiteralPlus bool `json:"literal_plus,omitempty"` // IMAP LITERAL+, RFC 7888
	MultiAppend bool `json:"multi_append,omitempty"` // IMAP MULTIAPPEND, RFC 3502
}

// imap returns the capabilities that the IMAP server is to hide.
func (l lacks) imap() []string {
	var names []string
	if l.LiteralPlus {
		names = append(names, "LITERAL+")
	}
	if l.MultiAppend {
		names = append(names, "MULTIAPPEND")
	}
	return names
}

// stage is the servers and a directory for what the programs need.
type stage struct {
	dir     string
	servers map[string]*dovecot.Server // by what IMAP does not offer
	users   int
}

// scene is a filled maildrop, an empty mailbox and the line to them, for one program to work on.
type scene struct {
	dir                 string // empty, on disk
	source, destination string // host:port, as the program is to use them
	user, recipient     string
	password            string
	want                tally
	bytes               int64
	lines               [2]*line // nil without a round trip
	server              *dovecot.Server
	closers             []func() error
}

// openStage starts the server that offers everything; the others start when they are wanted.
func openStage(dir string) (*stage, error) {
	s := &stage{dir: dir, servers: map[string]*dovecot.Server{}}
	_, err := s.server(lacks{})
	return s, err
}

func (s *stage) close() error {
	var err error
	for _, server := range s.servers {
		err = errors.Join(err, server.Stop())
	}
	return err
}

func (s *stage) server(without lacks) (*dovecot.Server, error) {
	names := without.imap()
	key := fmt.Sprint(names)
	if server := s.servers[key]; server != nil {
		return server, nil
	}
	server, err := dovecot.Start(dovecot.Options{WithoutIMAP: names})
	if err == nil {
		s.servers[key] = server
	}
	return server, err
}

// set makes the scene for one run. Users are new every time, and so are the server's indexes.
func (s *stage) set(mail mailbox, without lacks, trip time.Duration) (c *scene, err error) {
	s.users++
	c = &scene{user: fmt.Sprintf("from%d", s.users), recipient: fmt.Sprintf("to%d", s.users)}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if c.server, err = s.server(without); err != nil {
		return c, err
	}
	c.password = c.server.Password
	c.destination = c.server.IMAP
	if c.dir, err = os.MkdirTemp(s.dir, "run-"); err != nil {
		return c, err
	}
	c.closers = append(c.closers, func() error { return os.RemoveAll(c.dir) }, c.forget)
	if err := c.fill(mail, without.Pipelining); err != nil {
		return c, err
	}
	if trip == 0 {
		return c, nil
	}
	for side, address := range []*string{&c.source, &c.destination} {
		l, err := stretch(*address, trip)
		if err != nil {
			return c, err
		}
		c.closers = append(c.closers, l.close)
		c.lines[side], *address = l, l.addr()
	}
	return c, nil
}

// fill puts the mail into the source: Dovecot, or, where PIPELINING is not to be offered, a POP3
// server inside this process, since Dovecot cannot be told to hide it.
func (c *scene) fill(mail mailbox, inside bool) error {
	c.source = c.server.POP3
	deliver := func(raw []byte) error { return c.server.Deliver(c.user, raw) }
	if inside {
		server := popd.New(popd.Options{
			Username: c.user, Password: c.password, NoPipelining: true})
		address, err := server.Listen()
		if err != nil {
			return err
		}
		c.closers = append(c.closers, server.Close)
		c.source = address.String()
		deliver = func(raw []byte) error { server.Deliver(raw); return nil }
	}
	c.want = tally{}
	return mail.each(func(raw []byte) error {
		c.want.add(raw)
		c.bytes += int64(len(raw))
		return deliver(raw)
	})
}

// check reads the destination's files.
func (c *scene) check() (outcome, error) {
	files, err := c.server.Messages(c.recipient, "INBOX")
	if err != nil {
		return outcome{}, err
	}
	got := tally{}
	for _, file := range files {
		got.add(file.Raw)
	}
	return c.want.compare(got), nil
}

// forget removes the mail from the server, which may still be writing its indexes when a client
// has already gone.
func (c *scene) forget() error {
	const limit, pause = 5 * time.Second, 20 * time.Millisecond
	maildrop := filepath.Join(c.server.Dir, "pop3", c.user)
	folder := filepath.Join(c.server.Dir, "imap", c.recipient)
	for began := time.Now(); ; time.Sleep(pause) {
		err := errors.Join(os.RemoveAll(maildrop), os.RemoveAll(folder))
		if err == nil || time.Since(began) > limit {
			return err
		}
	}
}

func (c *scene) close() error {
	var err error
	for i := len(c.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, c.closers[i]())
	}
	c.closers = nil
	return err
}
