package imapdst_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
)

// writerTo is a message in memory.
type writerTo []byte

func (w writerTo) WriteTo(out io.Writer) (int64, error) {
	n, err := out.Write(w)
	return int64(n), err
}

// startDovecot runs a private Dovecot for one test.
func startDovecot(t testing.TB, o dovecot.Options) *dovecot.Server {
	t.Helper()
	if _, ok := dovecot.Found(); !ok {
		t.Skip("dovecot is not installed")
	}
	s, err := dovecot.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func endpoint(t testing.TB, address string, mode wire.TLSMode, ca string) wire.Endpoint {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Endpoint{Host: host, Port: number, TLS: mode, CAFile: ca}
}

func options(e wire.Endpoint) imapdst.Options {
	return imapdst.Options{Endpoint: e, Username: "alice",
		Password: secret.New(dovecot.DefaultPassword)}
}

func dial(t testing.TB, o imapdst.Options) *imapdst.Conn {
	t.Helper()
	c, err := imapdst.Dial(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func dialDovecot(t testing.TB, o dovecot.Options) *imapdst.Conn {
	t.Helper()
	s := startDovecot(t, o)
	return dial(t, options(endpoint(t, s.IMAP, wire.None, "")))
}

func folder(t testing.TB, c *imapdst.Conn, name string) imapdst.Folder {
	t.Helper()
	f, err := c.Folder(context.Background(), name, true)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// text makes a message of exactly size octets, or a small one where size is 0.
func text(n, size int) []byte {
	m := fmt.Appendf(nil, "Message-ID: <%d@example.org>\r\nSubject: number %d\r\n\r\nhello\r\n", n, n)
	for len(m)+80 <= size {
		m = append(m, bytes.Repeat([]byte("x"), 78)...)
		m = append(m, "\r\n"...)
	}
	if rest := size - len(m); rest > 2 {
		m = append(append(m, bytes.Repeat([]byte("y"), rest-2)...), "\r\n"...)
	}
	return m
}

func items(n, size int) []imapdst.Item {
	var all []imapdst.Item
	for i := range n {
		all = append(all, item(text(i+1, size)))
	}
	return all
}

func item(data []byte) imapdst.Item {
	return imapdst.Item{Size: int64(len(data)), Body: writerTo(data)}
}

func deliver(
	t testing.TB, c *imapdst.Conn, f imapdst.Folder, items []imapdst.Item,
) []imapdst.Outcome {
	t.Helper()
	p, err := c.Append(context.Background(), f, items)
	if err != nil {
		t.Fatal(err)
	}
	return p.Wait(context.Background())
}
