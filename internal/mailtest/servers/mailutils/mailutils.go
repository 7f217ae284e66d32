// Package mailutils runs GNU Mailutils' POP3 and IMAP servers for tests, both over mail spool
// files.
package mailutils

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/popferry/popferry/internal/mailtest/servers/box"
	"github.com/popferry/popferry/internal/mailtest/servers/mbox"
)

// Server is a running pair of servers. They share the users' spool files, so a user should have
// one role only.
type Server struct {
	// POP3 and IMAP are the addresses (host:port).
	POP3, IMAP string
	box        *box.Box
}

// Start starts the servers. Their users log in with [box.Password]. The caller has to call
// [Server.Stop].
func Start(users []string) (*Server, error) {
	packages, err := box.Packages("mailutils")
	if err != nil {
		return nil, err
	}
	b, err := box.Open(box.Options{
		Packages: packages, Users: users,
		// imap4d appends to an INBOX that exists only.
		Setup: `mkdir -m 1777 "$DIR/mail"
for user in ` + strings.Join(users, " ") + `; do
	: >"$DIR/mail/$user"
	chown "$user" "$DIR/mail/$user"
done
mount --bind "$DIR/mail" /var/mail`,
	})
	if err != nil {
		return nil, err
	}
	s := &Server{box: b}
	var popErr, imapErr error
	s.POP3, popErr = b.Serve("/usr/sbin/pop3d", "--inetd")
	s.IMAP, imapErr = b.Serve("/usr/sbin/imap4d", "--inetd")
	if err := errors.Join(popErr, imapErr); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return s, nil
}

// Stop ends the servers and removes their mail.
func (s *Server) Stop() error { return s.box.Close() }

// Deliver puts messages into a user's maildrop.
func (s *Server) Deliver(user string, messages ...[]byte) error {
	path := filepath.Join(s.box.Dir, "mail", user)
	if err := mbox.Append(path, mbox.Reversible, messages...); err != nil {
		return err
	}
	return os.Chown(path, box.UID, box.GID)
}

// Messages returns what lies in a user's spool file, which is both maildrop and INBOX, without
// what the servers put before lines that begin with "From ".
func (s *Server) Messages(user string) ([][]byte, error) {
	messages, err := mbox.Read(filepath.Join(s.box.Dir, "mail", user))
	for i, stored := range messages {
		messages[i] = mbox.Unquoted(stored)
	}
	return messages, err
}
