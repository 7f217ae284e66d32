// Package cyrus runs a private Cyrus for tests, as POP3 source and as IMAP destination.
package cyrus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/mailtest/servers/box"
)

// startLimit is how long the server may take to greet; it usually takes a second.
const startLimit = 30 * time.Second

// Server is a running Cyrus. POP3 shows the user's INBOX, so a user should have one role only.
type Server struct {
	// POP3 and IMAP are the addresses (host:port).
	POP3, IMAP string
	box        *box.Box
}

// owner is the number of the server's account in the box, and of its group.
const owner = 7001

const imapdConf = `configdirectory: {dir}/config
proc_path: /run/cyrus/proc
mboxname_lockpath: /run/cyrus/lock
defaultpartition: default
partition-default: {dir}/spool
mailbox_legacy_dirs: yes
hashimapspool: no
altnamespace: no
unixhierarchysep: no
admins: cyrus
allowplaintext: yes
autocreate_quota: 0
popminpoll: 0
virtdomains: off
sasl_mech_list: PLAIN
sasl_pwcheck_method: saslauthd
sasl_saslauthd_path: /run/saslauthd/mux
sievedir: {dir}/sieve
lmtpsocket: /run/cyrus/lmtp
idlesocket: /run/cyrus/idle
notifysocket: /run/cyrus/notify
`

const cyrusConf = `START {
	recover cmd="/usr/lib/cyrus/bin/ctl_cyrusdb -r"
}
SERVICES {
	imap cmd="/usr/lib/cyrus/bin/imapd" listen="{imap}" prefork=1
	pop3 cmd="/usr/lib/cyrus/bin/pop3d" listen="{pop3}" prefork=1
}
EVENTS {
	checkpoint cmd="/usr/lib/cyrus/bin/ctl_cyrusdb -c" period=30
}
`

const (
	setup = `mkdir -p /run/cyrus/proc /run/cyrus/lock /run/saslauthd "$DIR/config" "$DIR/spool"
chown -R cyrus:cyrus /run/cyrus "$DIR/config" "$DIR/spool"
chmod 755 /run/saslauthd
/usr/lib/cyrus/bin/makedirs
/usr/sbin/saslauthd -a shadow -m /run/saslauthd -n 1`
	master = "/usr/lib/cyrus/bin/master -D -M /etc/cyrus.conf -C /etc/imapd.conf"
)

// Start starts a server and waits until it greets. Its users log in with [box.Password]. The
// caller has to call [Server.Stop].
func Start(users []string) (*Server, error) {
	packages, err := box.Packages("cyrus")
	if err != nil {
		return nil, err
	}
	s := &Server{}
	if s.POP3, s.IMAP, err = freeAddresses(); err != nil {
		return nil, err
	}
	s.box, err = box.Open(box.Options{
		Packages: packages, Users: users, System: []string{"cyrus"}, Setup: setup, Main: master,
		Files: map[string]func(string) string{
			"/etc/imapd.conf": s.fill(imapdConf), "/etc/cyrus.conf": s.fill(cyrusConf),
		},
	})
	if err != nil {
		return nil, err
	}
	for _, user := range users {
		if err := s.makeInbox(user); err != nil {
			return nil, errors.Join(err, s.Stop())
		}
	}
	return s, nil
}

func (s *Server) fill(text string) func(dir string) string {
	return func(dir string) string {
		return strings.NewReplacer("{dir}", dir, "{pop3}", s.POP3, "{imap}", s.IMAP).Replace(text)
	}
}

// freeAddresses returns two loopback addresses that nobody listens on at the moment.
func freeAddresses() (string, string, error) {
	var addresses [2]string
	for i := range addresses {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		// Closed only on return, so that no port is handed out twice.
		defer listener.Close()
		addresses[i] = listener.Addr().String()
	}
	return addresses[0], addresses[1], nil
}

// makeInbox logs in, which is what makes Cyrus make a user's mailbox.
func (s *Server) makeInbox(user string) error {
	deadline := time.Now().Add(startLimit)
	for {
		answer, err := s.login(user)
		if err == nil {
			if strings.Contains(answer, "\r\n1 OK") || strings.HasPrefix(answer, "1 OK") {
				return nil
			}
			return fmt.Errorf("log in to cyrus: %q", answer)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("start cyrus: %w\n%s", err, s.box.LogTail())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// login returns all that the server says to a login and a logout.
func (s *Server) login(user string) (string, error) {
	conn, err := net.Dial("tcp", s.IMAP)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(startLimit)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(conn, "1 LOGIN %s %s\r\n2 LOGOUT\r\n", user, box.Password); err != nil {
		return "", err
	}
	var answer strings.Builder
	buffer := make([]byte, 4096)
	for {
		n, err := conn.Read(buffer)
		answer.Write(buffer[:n])
		if err != nil {
			break
		}
	}
	if answer.Len() == 0 {
		return "", errors.New("no greeting")
	}
	return answer.String(), nil
}

// Stop ends the server and removes its mail.
func (s *Server) Stop() error { return s.box.Close() }

// Deliver puts messages into a user's INBOX: as files, which Cyrus is then told to take in. What
// comes through its own LMTP has CRLF throughout, so these have, too.
func (s *Server) Deliver(user string, messages ...[]byte) error {
	present, err := s.Messages(user)
	if err != nil {
		return err
	}
	for i, raw := range messages {
		path := filepath.Join(s.inbox(user), fmt.Sprintf("%d.", len(present)+i+1))
		if err := os.WriteFile(path, withCRLF(raw), 0o600); err != nil {
			return err
		}
		if err := os.Chown(path, owner, owner); err != nil {
			return err
		}
	}
	_, err = s.box.Run(context.Background(),
		"runuser", "-u", "cyrus", "--", "/usr/lib/cyrus/bin/reconstruct", "user."+user)
	return err
}

// Messages returns what lies in a user's INBOX, in no particular order.
func (s *Server) Messages(user string) ([][]byte, error) {
	paths, err := filepath.Glob(filepath.Join(s.inbox(user), "[0-9]*."))
	if err != nil {
		return nil, err
	}
	var messages [][]byte
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		messages = append(messages, raw)
	}
	return messages, nil
}

func (s *Server) inbox(user string) string {
	return filepath.Join(s.box.Dir, "spool", "user", user)
}

// withCRLF makes every line end in CRLF.
func withCRLF(raw []byte) []byte {
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
}
