package demo

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"github.com/popferry/popferry/internal/mailtest/certs"
)

// imapServer is go-imap's server with one user, on a loopback port.
type imapServer struct {
	server *imapserver.Server
	port   int
	done   chan struct{}
}

func startIMAP(keys *tls.Config, username, password string) (*imapServer, error) {
	user := imapmemserver.NewUser(username, password)
	if err := user.Create("INBOX", nil); err != nil {
		return nil, err
	}
	backend := imapmemserver.New()
	backend.AddUser(user)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", keys)
	if err != nil {
		return nil, err
	}
	s := &imapServer{port: listener.Addr().(*net.TCPAddr).Port, done: make(chan struct{})}
	s.server = imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return backend.NewSession(), nil, nil
		},
		Caps: imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}},
		// It reports broken connections, of which the client tells too.
		Logger: log.New(io.Discard, "", 0),
	})
	go func() {
		defer close(s.done)
		_ = s.server.Serve(listener) // ends when the server is closed
	}()
	return s, nil
}

func (s *imapServer) close() error {
	err := s.server.Close()
	<-s.done
	return err
}

// certificateDigest is the SHA-256 of the server's certificate.
func certificateDigest(keys *certs.Pair) [sha256.Size]byte {
	block, _ := pem.Decode(keys.CertPEM)
	return sha256.Sum256(block.Bytes)
}
