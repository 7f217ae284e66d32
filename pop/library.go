package pop

import (
	"context"
	"net"

	"github.com/knadh/go-pop3"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
)

// commander is all that we ask of a POP3 library. The error is one of the
// connection; a refusal is a status.
type commander interface {
	// Command sends one line and returns the one-line answer.
	Command(line string) (status, error)
}

// library is go-pop3 on our connection. It knows neither deadlines nor typed
// errors nor bare LF nor +ok in lower case, so [lineConn] deals with those
// before it sees a line.
type library struct {
	client *pop3.Conn
	lines  *lineConn
}

// openLibrary connects and lets go-pop3 take the greeting (RFC 1939 §4).
func openLibrary(ctx context.Context, o Options) (*library, error) {
	e := o.Endpoint
	dialer := &libraryDialer{ctx: ctx, endpoint: e, shown: o.shown}
	client, err := pop3.New(pop3.Opt{Host: e.Host, Port: e.Port, Dialer: dialer}).NewConn()
	if err != nil {
		dialer.close() // NewConn does not
		return nil, err
	}
	return &library{client, dialer.lines}, nil
}

// Command implements [commander]. What go-pop3 makes of the answer is not used:
// its errors are texts, and the line itself says more.
func (l *library) Command(line string) (status, error) {
	_, err := l.client.Cmd(line, false)
	if broken := l.lines.Broken(); broken != nil {
		return status{}, broken
	}
	if err != nil && l.lines.last.ok {
		return status{}, l.lines.Break(fault.New(fault.Internal,
			"%s: go-pop3 did not understand the reply: %w", l.lines.Address(), err))
	}
	return l.lines.last, nil
}

// libraryDialer gives go-pop3 a connection whose greeting was already found
// good. It carries the context because go-pop3's interface has none.
type libraryDialer struct {
	ctx      context.Context
	endpoint wire.Endpoint
	shown    func(string) string
	lines    *lineConn
}

// Dial implements go-pop3's Dialer. The address is the endpoint's, whatever
// go-pop3 made of it (it puts no brackets around IPv6).
func (d *libraryDialer) Dial(string, string) (net.Conn, error) {
	conn, err := d.endpoint.Connect(d.ctx)
	if err != nil {
		return nil, err
	}
	greeting, err := greet(d.ctx, conn, d.endpoint)
	if err != nil {
		conn.Close()
		return nil, err
	}
	d.lines = &lineConn{Conn: conn, shown: d.shown}
	d.lines.hold(greeting)
	return d.lines, nil
}

func (d *libraryDialer) close() {
	if d.lines != nil {
		d.lines.Close()
	}
}

// lineConn hands out at most one line a Read, so that the buffer inside go-pop3
// is empty whenever it returns and the next octet is ours to read.
type lineConn struct {
	*wire.Conn
	shown   func(string) string
	last    status
	pending []byte
}

// Read gives go-pop3 the next reply line, in the one form that it understands.
func (c *lineConn) Read(p []byte) (int, error) {
	if len(c.pending) == 0 {
		reply, err := readStatus(c.Conn, c.shown)
		if err != nil {
			return 0, err
		}
		c.hold(reply)
	}
	n := copy(p, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

func (c *lineConn) hold(reply status) {
	c.last = reply
	indicator := "-ERR "
	if reply.ok {
		indicator = "+OK "
	}
	c.pending = append(c.pending[:0], indicator+reply.text+"\r\n"...)
}
