package pop_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/pop"
)

// FuzzSession lets a server say anything, whatever it is asked, and hang up.
func FuzzSession(f *testing.F) {
	capa := "+OK hi\r\n+OK\r\nPIPELINING\r\nSASL PLAIN\r\nTOP\r\n.\r\n+OK\r\n"
	for _, seed := range []string{
		"", "+OK\r\n", "-ERR no\r\n", "<html>", "\x15\x03\x01", "+OK\n+OK\n.\n+OK\n",
		capa + "+OK 2 10\r\n+OK\r\n1 5\r\n2 5\r\n.\r\n+OK\r\n1 a\r\n2 b\r\n.\r\n" +
			"+OK\r\nabc\r\n.\r\n-ERR gone\r\n+OK\r\n+OK\r\n.\r\n-ERR x\r\n+OK\r\n+OK bye\r\n",
		capa + "+OK 1 1\r\n+OK\r\n1 1\r\n.\r\n+OK\r\n1 \x00\r\n.\r\n+OK\r\n.\r\n.\r\nx",
		"+OK\r\n+OK\r\nUTF8 USER\r\nEXPIRE 1 USER\r\n.\r\n" +
			"+OK\r\n+OK\r\n+OK\r\n+OK\r\n.\r\n+OK 0 0\r\n-ERR\r\n-ERR\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, said string) {
		options := pop.Options{Username: "u", Password: hidden("sesame"), MaxMessages: 100}
		options.Endpoint.Host, options.Endpoint.TLS = "localhost", "none"
		options.Endpoint.Dial = func(context.Context, string, string) (net.Conn, error) {
			return &script{Reader: strings.NewReader(said)}, nil
		}
		err := session(t, options)
		var shown *fault.Error
		if err != nil && !errors.As(err, &shown) {
			t.Fatalf("error %q (%T) is no fault.Error", err, err)
		}
		if shown != nil && shown.Code == fault.Internal {
			t.Fatalf("a server can cause an internal error: %v", err)
		}
	})
}

func session(t *testing.T, options pop.Options) error {
	m, err := pop.Dial(t.Context(), options)
	if err != nil {
		return err
	}
	defer m.Close()
	entries, err := m.List(t.Context())
	if err != nil {
		return err
	}
	each := func(_ pop.Entry, body io.Reader, err error) error {
		if err != nil {
			return nil
		}
		_, err = io.Copy(io.Discard, body)
		return err
	}
	if err := m.Retrieve(t.Context(), entries, each); err != nil {
		return err
	}
	if err := m.Top(t.Context(), entries, 0, each); err != nil {
		return err
	}
	if err := m.Delete(t.Context(), entries, func(pop.Entry, error) error { return nil }); err != nil {
		return err
	}
	return m.Quit(t.Context())
}

// script is a connection that says one thing and listens to nothing.
type script struct {
	net.Conn
	io.Reader
}

func (s *script) Read(p []byte) (int, error)     { return s.Reader.Read(p) }
func (*script) Write(p []byte) (int, error)      { return len(p), nil }
func (*script) Close() error                     { return nil }
func (*script) SetDeadline(time.Time) error      { return nil }
func (*script) SetReadDeadline(time.Time) error  { return nil }
func (*script) SetWriteDeadline(time.Time) error { return nil }
