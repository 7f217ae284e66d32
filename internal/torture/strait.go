package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/mailtest/proxy"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// protocol is one of the two sides of a strait.
type protocol int

const (
	pop3 protocol = iota
	imap
)

func (p protocol) String() string { return [...]string{"POP3", "IMAP"}[p] }

// strait is an account between two servers inside this process, with a proxy before each. The
// engine runs in this process as well: that makes a case cheap, and lines are what is cut here,
// not processes.
type strait struct {
	pop     *popd.Server
	imap    *imapd.Server
	lines   [2]*proxy.Proxy
	sent    bag
	options ferry.Options
}

// impatient are limits for servers that are never slow.
var impatient = wire.Limits{
	Dial: 5 * time.Second, Handshake: time.Second, Greeting: 500 * time.Millisecond,
	Idle: 500 * time.Millisecond,
}

// openStrait starts the servers; the journal may be that of others, since the name is unique.
func openStrait(name, spool string, j journal.Journal, mails [][]byte, settle time.Duration,
	lines [2]proxy.Options) (s *strait, err error) {
	s = &strait{pop: popd.New(popd.Options{}, mails...), imap: imapd.New(imapd.Options{}),
		sent: bagOf(mails...)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	account := plan.Account{Name: name, Folder: "INBOX", Keep: plan.Keep{Delete: true}}
	for side, listen := range []func() (*net.TCPAddr, error){s.pop.Listen, s.imap.Listen} {
		address, err := listen()
		if err != nil {
			return s, err
		}
		lines[side].Target = address.String()
		if s.lines[side], err = proxy.Start(lines[side]); err != nil {
			return s, err
		}
		end, err := endpoint(s.lines[side].Addr(), name)
		if err != nil {
			return s, err
		}
		*[...]*plan.Endpoint{&account.Source, &account.Destination}[side] = end
	}
	s.options = ferry.Options{
		Config: &plan.Config{Accounts: []plan.Account{account}, Settle: settle,
			Limits: plan.Limits{Accounts: 1, PerHost: 8}},
		Journal: j, Spool: spool, ConfirmDelete: true,
	}
	return s, nil
}

func endpoint(address, user string) (plan.Endpoint, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return plan.Endpoint{}, err
	}
	number, err := strconv.Atoi(port)
	return plan.Endpoint{
		Endpoint: wire.Endpoint{Host: host, Port: number, TLS: wire.None, Limits: impatient},
		Username: user, Secret: secret.New("secret"), Auth: "auto", Connections: 1,
	}, err
}

// heal makes the limits of the engine long again: a run in which nothing is cut has to succeed
// however busy this machine is.
func (s *strait) heal() {
	account := &s.options.Config.Accounts[0]
	account.Source.Limits, account.Destination.Limits = wire.Limits{}, wire.Limits{}
}

// run takes one pass. One that needs more than limit is stopped, which shows in its exit status.
func (s *strait) run(ctx context.Context, limit time.Duration) ended {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	r := ferry.Run(ctx, s.options)
	e := ended{Exit: int(r.ExitCode), Took: time.Since(began)}
	if failed := r.Accounts[0].Error; failed != nil {
		e.Output = failed.Message
	}
	return e
}

// early counts what has left POP3 and is not in IMAP.
func (s *strait) early() int { return len(s.sent.missing(bagOf(s.pop.Messages()...), s.arrived())) }

func (s *strait) arrived() bag {
	b := bag{}
	for _, m := range s.imap.Mailbox("INBOX") {
		b[markOf(m.Raw)]++
	}
	return b
}

func (s *strait) close() error {
	var errs []error
	for _, line := range s.lines {
		if line != nil {
			errs = append(errs, line.Close())
		}
	}
	return errors.Join(append(errs, s.pop.Close(), s.imap.Close())...)
}

// cargo is a small maildrop with something of everything: ordinary mail, copies, mail without a
// Message-ID, different mail with the same one, dots, bare line feeds, NUL, 8-bit octets.
func cargo() [][]byte {
	mails := [][]byte{
		[]byte("Message-ID: <a@example.org>\r\nSubject: a\r\n\r\nfirst\r\n"),
		[]byte("Message-ID: <a@example.org>\r\nSubject: a\r\n\r\nother\r\n"),
		[]byte("Message-ID: <b@example.org>\r\nSubject: copy\r\n\r\ncopy\r\n"),
		[]byte("Message-ID: <b@example.org>\r\nSubject: copy\r\n\r\ncopy\r\n"),
		[]byte("Subject: no id\r\n\r\nsame length 1\r\n"),
		[]byte("Subject: no id\r\n\r\nsame length 2\r\n"),
		[]byte("Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n"),
		[]byte("Subject: line feeds\n\none\ntwo\r\n"),
		[]byte("Subject: NUL \x00 and 8-bit \xe4\r\n\r\n\x00\xff\r\n"),
		[]byte("Subject: no end\r\n\r\nno line end here"),
	}
	for i := range 10 {
		mails = append(mails, fmt.Appendf(nil, "Received: by mx.example.net; Tue, 04 Mar 2014 05:06:%02d +0100\r\n"+
			"Message-ID: <%d.cargo@example.org>\r\nFrom: someone@example.org\r\nSubject: number %d\r\n\r\n%s\r\n",
			i, i, i, corpus.Canonical([]byte("a few words\nof text\n"))))
	}
	return mails
}
