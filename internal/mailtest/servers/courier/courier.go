// Package courier runs Courier's POP3 and IMAP servers for tests, both over Maildirs.
package courier

import (
	"bytes"
	"errors"
	"path/filepath"

	"github.com/popferry/popferry/internal/mailtest/servers/box"
	"github.com/popferry/popferry/internal/mailtest/servers/maildir"
)

// Server is a running pair of servers. They share the users' Maildirs, so a user should have one
// role only.
type Server struct {
	// POP3 and IMAP are the addresses (host:port).
	POP3, IMAP string
	box        *box.Box
}

// What Debian's start scripts do, but for the tcpd, whose part is played by [box.Box.Serve].
const (
	// Gamin's server, through which imapd waits for locks, ends when it has no client for a while;
	// a client that comes in that moment waits for ever. So one is started that stays.
	setup = `mkdir -p /run/courier/authdaemon
chown -R courier:courier /run/courier
setpriv --reuid=7000 --regid=7000 --clear-groups /usr/libexec/gam_server --notimeout 3>&- &`
	authDaemon = "/usr/lib/courier/courier-authlib/authdaemond"
	pop3       = `set -a
. /etc/courier/pop3d-ssl
. /etc/courier/pop3d
exec /usr/lib/courier/courier/courierpop3login /usr/lib/courier/courier/courierpop3d Maildir`
	imap = `set -a
. /etc/courier/imapd
. /etc/courier/imapd-ssl
umask "$IMAP_UMASK"
ulimit -v "$IMAP_ULIMITD"
IMAP_STARTTLS=NO
exec /usr/lib/courier/courier/imaplogin /usr/bin/imapd Maildir`
	environment = `TCPLOCALIP=127.0.0.1 TCPREMOTEIP=127.0.0.1 TCPREMOTEPORT=1 TCPLOCALPORT=1
export TCPLOCALIP TCPREMOTEIP TCPREMOTEPORT TCPLOCALPORT
`
)

// Start starts the servers. Their users log in with [box.Password]. The caller has to call
// [Server.Stop].
func Start(users []string) (*Server, error) {
	packages, err := box.Packages("courier")
	if err != nil {
		return nil, err
	}
	b, err := box.Open(box.Options{
		Packages: packages, Users: users, System: []string{"courier"},
		Setup: setup, Main: authDaemon,
	})
	if err != nil {
		return nil, err
	}
	s := &Server{box: b}
	if err := s.serve(users); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return s, nil
}

func (s *Server) serve(users []string) error {
	for _, user := range users {
		if err := maildir.Make(s.maildir(user), box.UID, box.GID); err != nil {
			return err
		}
	}
	var popErr, imapErr error
	s.POP3, popErr = s.box.Serve("/bin/sh", "-c", environment+pop3)
	s.IMAP, imapErr = s.box.Serve("/bin/sh", "-c", environment+imap)
	return errors.Join(popErr, imapErr)
}

// Stop ends the servers and removes their mail.
func (s *Server) Stop() error { return s.box.Close() }

// Deliver puts messages into a user's maildrop, with lines that end in LF as Courier's own
// delivery agent leaves them: the POP3 server would send a CR before every CRLF.
func (s *Server) Deliver(user string, messages ...[]byte) error {
	stored := make([][]byte, len(messages))
	for i, raw := range messages {
		stored[i] = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	}
	return maildir.Deliver(s.maildir(user), box.UID, box.GID, stored...)
}

// Messages returns what lies in a user's Maildir, which is both maildrop and INBOX.
func (s *Server) Messages(user string) ([][]byte, error) { return maildir.Read(s.maildir(user)) }

func (s *Server) maildir(user string) string {
	return filepath.Join(s.box.Dir, "home", user, "Maildir")
}
