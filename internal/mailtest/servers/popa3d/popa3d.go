// Package popa3d runs a private popa3d for tests: a POP3 server that reads mail spool files, and
// that has neither CAPA nor unique UIDLs for mail that is alike.
package popa3d

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/popferry/popferry/internal/mailtest/servers/box"
	"github.com/popferry/popferry/internal/mailtest/servers/mbox"
)

// Server is a running popa3d.
type Server struct {
	// POP3 is the address (host:port).
	POP3 string
	box  *box.Box
}

// Start starts a server. Its users log in with [box.Password]. The caller has to call
// [Server.Stop].
func Start(users []string) (*Server, error) {
	packages, err := box.Packages("popa3d")
	if err != nil {
		return nil, err
	}
	b, err := box.Open(box.Options{
		Packages: packages, Users: users, System: []string{"popa3d"},
		Setup: `mkdir -m 1777 "$DIR/mail" /var/lib /var/lib/popa3d
chmod 755 /var/lib /var/lib/popa3d
mount --bind "$DIR/mail" /var/mail`,
	})
	if err != nil {
		return nil, err
	}
	s := &Server{box: b}
	s.POP3, err = b.Serve("/usr/sbin/popa3d")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start popa3d: %w", err), b.Close())
	}
	return s, nil
}

// Stop ends the server and removes its mail.
func (s *Server) Stop() error { return s.box.Close() }

// Deliver puts messages into a user's maildrop.
func (s *Server) Deliver(user string, messages ...[]byte) error {
	path := filepath.Join(s.box.Dir, "mail", user)
	if err := mbox.Append(path, mbox.Lossy, messages...); err != nil {
		return err
	}
	return os.Chown(path, box.UID, box.GID)
}

// Maildrop returns what lies in a user's spool file.
func (s *Server) Maildrop(user string) ([][]byte, error) {
	return mbox.Read(filepath.Join(s.box.Dir, "mail", user))
}
