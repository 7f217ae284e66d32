package imapdst_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/message"
)

// cutShort is the beginning of an answer with a literal of which the rest never comes.
const cutShort = "* 1 FETCH (UID 5 RFC822.SIZE 100 BODY[] {100}\r\nSubject: no"

// cut is a session whose server says the beginning of an answer, and then it ends.
type cut struct {
	server *fake
	conn   *imapdst.Conn
	cancel context.CancelFunc
}

var errCut = fault.New(fault.Temporary, "another needs the place")

var ends = map[string]func(cut){
	"FIN":    func(c cut) { c.server.conn.Close() },
	"RST":    func(c cut) { c.server.conn.(*net.TCPConn).SetLinger(0); c.server.conn.Close() },
	"Break":  func(c cut) { c.conn.Break(errCut) },
	"Abort":  func(c cut) { c.conn.Abort() },
	"cancel": func(c cut) { c.cancel() },
	"limit":  func(cut) {}, // of silence
}

// TestEndAmidLiteral ends the connection while a literal is read, above all for the race
// detector: whoever reads it and go-imap's reader must not both go on.
func TestEndAmidLiteral(t *testing.T) {
	five := []uint32{5}
	for way := range ends {
		for name, read := range map[string]func(context.Context, *imapdst.Conn) error{
			"Headers": func(ctx context.Context, c *imapdst.Conn) error {
				return c.Headers(ctx, inboxFolder, five, func(uint32, imapdst.Copy) error { return nil })
			},
			"Digests": func(ctx context.Context, c *imapdst.Conn) error {
				return c.Digests(ctx, inboxFolder, five, func(uint32, imapdst.Copy) error { return nil })
			},
			"Texts": func(ctx context.Context, c *imapdst.Conn) error {
				return c.Texts(ctx, inboxFolder, five, func(uint32, []byte) error { return nil })
			},
			"Likenesses": func(ctx context.Context, c *imapdst.Conn) error {
				return c.Likenesses(ctx, inboxFolder, five, func(uint32, message.Likeness) error { return nil })
			},
			"Index": func(ctx context.Context, c *imapdst.Conn) error {
				return c.Index(ctx, inboxFolder, 1, func(imapdst.Entry) error { return nil })
			},
		} {
			t.Run(way+" "+name, func(t *testing.T) { endAmid(t, way, cutShort, read) })
		}
	}
}

// TestEndAmidSkippedLiteral ends it while one is skipped: of a message that nobody asked for,
// a second one of the same, one behind an error, and one that is kept until its UID comes.
func TestEndAmidSkippedLiteral(t *testing.T) {
	for way := range ends {
		for name, said := range map[string]string{
			"unasked": strings.Replace(cutShort, "UID 5", "UID 7", 1),
			"second":  "* 1 FETCH (UID 5 BODY[] {2}\r\n\r\n BODY[] {100}\r\nSubject: no",
			"error":   "* 1 FETCH (UID 6 BODY[] {2}\r\n\r\n)\r\n" + cutShort,
			"no UID":  "* 1 FETCH (BODY[] {100}\r\nSubject: no",
			"long":    strings.ReplaceAll(cutShort, "100", "9000"),
		} {
			t.Run(way+" "+name, func(t *testing.T) {
				endAmid(t, way, said, func(ctx context.Context, c *imapdst.Conn) error {
					return c.Digests(ctx, inboxFolder, []uint32{5, 6},
						func(uint32, imapdst.Copy) error { return errCut })
				})
			})
		}
	}
}

// endAmid reads what a server says, and what it says is cut short.
func endAmid(t *testing.T, way, said string, read func(context.Context, *imapdst.Conn) error) {
	synctest.Test(t, func(t *testing.T) {
		c := cut{server: &fake{}}
		if way == "RST" {
			c.server.pair = func() (client, server net.Conn) { return tcpPair(t) }
		}
		var ctx context.Context
		ctx, c.cancel = context.WithCancel(t.Context())
		defer c.cancel()
		c.server.on = map[string]handler{"UID FETCH": func(f *fake, _, _ string) {
			io.WriteString(f.conn, said)
			ends[way](c)
		}}
		c.conn = c.server.dial(t)
		if err := read(ctx, c.conn); fault.CodeOf(err) != fault.Temporary ||
			way == "Break" && !errors.Is(err, errCut) {
			t.Errorf("%v", err)
		}
	})
}

func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// TestEndWhileMoreIsAskedFor has a FETCH that can't be sent while go-imap's reader is about to
// hand over the answer to another, so often that the race detector sees it.
func TestEndWhileMoreIsAskedFor(t *testing.T) {
	for range 100 {
		server := &fake{caps: allCaps + " MESSAGELIMIT=1", on: map[string]handler{"UID FETCH": hangUp(cutShort)}}
		conn := server.dial(t)
		err := conn.Digests(t.Context(), inboxFolder, []uint32{5, 7, 9},
			func(uint32, imapdst.Copy) error { return nil })
		if fault.CodeOf(err) != fault.Temporary {
			t.Fatalf("%v", err)
		}
	}
}
