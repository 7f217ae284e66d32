package imapdst_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
)

// FuzzGuard lets a server say anything after the login. Whatever it is, every
// call comes back, with an error of a class that blames the server or nothing.
func FuzzGuard(f *testing.F) {
	for _, seed := range noise {
		f.Add([]byte(seed + "\r\nTAG OK done\r\n"))
	}
	for _, seed := range []string{
		"* XLIST (\\HasNoChildren \\Spam) \"/\" \"Bulk\"\r\n* XLIST () NIL {3}\r\na&b\r\nTAG OK done\r\n",
		"* LIST (\\HasNoChildren) \"/\" \"INBOX\"\r\n* LIST () NIL {3}\r\na&b\r\nTAG OK done\r\n",
		"* NAMESPACE ((\"INBOX.\" \".\")) NIL ((\"#shared/\" \"/\" \"X\" (\"y\")))\r\nTAG OK\r\n",
		"* OK [UIDVALIDITY 3857529045] ok\r\n* OK [UIDNEXT 4392] ok\r\nTAG OK [READ-WRITE] done\r\n",
		"* 12 FETCH (UID 5 RFC822.SIZE 44 BODY[HEADER.FIELDS (MESSAGE-ID)] {13}\r\n" +
			"Message-ID: x)\r\nTAG OK x\r\n",
		"* 1 FETCH (BODY[] {2}\r\nab UID 1)\r\nTAG OK\r\n", "* 1 FETCH (UID 1 BODY[] ((((((((((\r\n",
		"* STATUS INBOX (UIDNEXT 7 UIDVALIDITY 99999999999)\r\nTAG OK\r\n", "* BYE gone\r\n",
		"* QUOTAROOT INBOX \"\" {1}\r\nx\r\n* QUOTA \"\" (STORAGE 10 512 MESSAGE -1 x)\r\nTAG OK\r\n",
		"TAG OK [APPENDUID 1 1:3] done\r\n", "+ go\r\nTAG NO [TRYCREATE] no\r\n", "TAG BAD\r\n",
		"TAG OK [\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		// In the bubble the wait for an answer that never comes takes no time.
		synctest.Test(t, func(t *testing.T) { fuzzSession(t, script) })
	})
}

func fuzzSession(t *testing.T, script []byte) {
	conn := newPuppet(script)
	e := wire.Endpoint{Host: "127.0.0.1", Port: 143, TLS: wire.None}
	e.Dial = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	c, err := imapdst.Dial(t.Context(), imapdst.Options{Endpoint: e, Username: "u",
		Password: secret.New("p")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := fuzzWalk(t.Context(), c); err != nil {
		switch fault.CodeOf(err) {
		case fault.Internal, fault.OK, fault.Usage, fault.State:
			t.Errorf("unclassified: %v", err)
		}
		if strings.Contains(err.Error(), "can't be understood") {
			t.Errorf("go-imap got to see what it can't parse: %v", err)
		}
	}
}

func fuzzWalk(ctx context.Context, c *imapdst.Conn) error {
	_, errFolders := c.Folders(ctx)
	f, errFolder := c.Folder(ctx, "INBOX", true)
	_, errRoom := c.Room(ctx, f)
	p, errAppend := c.Append(ctx, f, items(2, 0))
	for _, o := range p.Wait(ctx) {
		if o.State == imapdst.Delivered && o.Err != nil || o.State != imapdst.Delivered && o.Err == nil {
			return fault.New(fault.Internal, "state %v with %w", o.State, o.Err)
		}
	}
	errIndex := c.Index(ctx, f, 1, func(imapdst.Entry) error { return nil })
	errDigests := c.Digests(ctx, f, []uint32{1, 5}, func(uint32, imapdst.Copy) error { return nil })
	return errors.Join(errFolders, errFolder, errRoom, errAppend, errIndex, errDigests)
}

// puppet is a connection whose server answers every command with the script, in
// which TAG stands for the tag, until it has done so often enough.
type puppet struct {
	net.Conn
	script []byte
	mu     sync.Mutex
	wake   *sync.Cond
	out    bytes.Buffer
	left   int
	closed bool
}

func newPuppet(script []byte) *puppet {
	p := &puppet{script: script, left: 40}
	p.wake = sync.NewCond(&p.mu)
	p.out.WriteString("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi\r\n")
	return p
}

func (p *puppet) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.out.Len() == 0 {
		if p.closed || p.left <= 0 {
			return 0, io.EOF
		}
		p.wake.Wait()
	}
	return p.out.Read(b)
}

func (p *puppet) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.wake.Broadcast()
	if p.closed {
		return 0, net.ErrClosed
	}
	tag, rest, _ := strings.Cut(string(b), " ")
	if strings.HasPrefix(rest, "AUTHENTICATE") {
		p.out.WriteString(tag +
			" OK [CAPABILITY IMAP4rev1 LITERAL+ MULTIAPPEND NAMESPACE UIDPLUS QUOTA] in\r\n")
		return len(b), nil
	}
	p.left--
	p.out.Write(bytes.ReplaceAll(p.script, []byte("TAG"), []byte(tag)))
	return len(b), nil
}

func (p *puppet) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.wake.Broadcast()
	return nil
}

func (p *puppet) SetDeadline(at time.Time) error {
	if !at.IsZero() && time.Until(at) < 0 {
		return p.Close()
	}
	return nil
}
func (p *puppet) SetReadDeadline(time.Time) error  { return nil }
func (p *puppet) SetWriteDeadline(time.Time) error { return nil }
func (p *puppet) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (p *puppet) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
