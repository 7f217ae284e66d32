package pop_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/pop"
)

// cutter ends each connection once the server has sent, or was sent, a number of
// octets. A negative number is no limit.
type cutter struct {
	net.Conn
	read, write int
	err         error
	most        *atomic.Int64 // octets read, over all connections
}

func (c *cutter) Read(p []byte) (int, error) {
	if c.read == 0 {
		return 0, c.err
	}
	if c.read > 0 && len(p) > c.read {
		p = p[:c.read]
	}
	n, err := c.Conn.Read(p)
	if c.read > 0 {
		c.read -= n
	}
	c.most.Add(int64(n))
	return n, err
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.write >= 0 && len(p) > c.write {
		n, _ := c.Conn.Write(p[:c.write])
		c.Conn.Close()
		return n, c.err
	}
	n, err := c.Conn.Write(p)
	if c.write >= 0 {
		c.write -= n
	}
	return n, err
}

// ride is a whole session: what was accepted of three messages, and how it ended.
func ride(t *testing.T, server *popd.Server, read, write int, cause error) (
	[]fetched, int64, error,
) {
	var octets atomic.Int64
	options := over(server)
	options.Endpoint.Dial = func(context.Context, string, string) (net.Conn, error) {
		conn, err := server.Dial(t.Context(), "", "")
		return &cutter{conn, read, write, cause, &octets}, err
	}
	m, err := pop.Dial(t.Context(), options)
	if err != nil {
		return nil, octets.Load(), err
	}
	defer m.Close()
	entries, err := m.List(t.Context())
	if err != nil {
		return nil, octets.Load(), err
	}
	got, err := retrieve(t.Context(), m, entries)
	if err != nil {
		return got, octets.Load(), err
	}
	if err := m.Delete(t.Context(), entries, asIs); err != nil {
		return got, octets.Load(), err
	}
	return got, octets.Load(), m.Quit(t.Context())
}

// N5: cut at every octet of what the server says. No part of a message is ever
// taken for the whole, every end is one to try again after, and nothing is
// removed before the QUIT is out.
func TestN5CutWhatTheServerSays(t *testing.T) {
	mail := []string{"Subject: a\r\n\r\n.\r\n..\r\n", ".\r\n", "b\r\n"}
	for _, noPipelining := range []bool{false, true} {
		whole := serve(t, popd.Options{NoPipelining: noPipelining}, mail...)
		_, total, err := ride(t, whole, -1, -1, nil)
		if err != nil || total < 300 {
			t.Fatalf("an uncut session has %d octets and ends in %v", total, err)
		}
		quit := int(total) // ride counts up to QUIT, of which nothing was read yet
		for kind, cause := range map[string]error{"FIN": io.EOF, "RST": syscall.ECONNRESET} {
			for offset := range quit + len("+OK") {
				name := fmt.Sprintf("%s at %d, one at a time %v", kind, offset, noPipelining)
				server := serve(t, popd.Options{NoPipelining: noPipelining}, mail...)
				got, _, err := ride(t, server, offset, -1, cause)
				wantFault(t, err, fault.Temporary)
				for i, g := range got {
					if g.text != mail[i] {
						t.Errorf("%s: message %d was accepted as %q", name, g.number, g.text)
					}
				}
				server.Close()
				if offset < quit && len(texts(server)) != len(mail) {
					t.Errorf("%s: messages were removed without QUIT", name)
				}
				if t.Failed() {
					t.Fatal(name)
				}
			}
		}
	}
}

// N5 in the other direction: every octet of what we say.
func TestN5CutWhatWeSay(t *testing.T) {
	mail := []string{"a\r\n", "b\r\n", "c\r\n"}
	whole := serve(t, popd.Options{}, mail...)
	if _, _, err := ride(t, whole, -1, -1, nil); err != nil {
		t.Fatal(err)
	}
	total := int(whole.Counters().BytesIn)
	for offset := range total {
		server := serve(t, popd.Options{}, mail...)
		got, _, err := ride(t, server, -1, offset, syscall.EPIPE)
		wantFault(t, err, fault.Temporary)
		for i, g := range got {
			if g.text != mail[i] {
				t.Errorf("message %d was accepted as %q", g.number, g.text)
			}
		}
		server.Close()
		if diff := cmp.Diff(mail, texts(server)); diff != "" {
			t.Fatalf("cut at %d of %d: %s", offset, total, diff)
		}
	}
}
