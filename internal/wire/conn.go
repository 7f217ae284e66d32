package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

// readBuffer holds a few network reads of a message body.
const readBuffer = 64 << 10

// ErrLineTooLong is the cause when a line exceeds the limit given to ReadLine.
var ErrLineTooLong = errors.New("line too long")

// ErrStalled is the cause when the peer is silent or too slow; every [Stall] is one.
var ErrStalled = errors.New("no progress")

// Stall is a wait in vain.
type Stall struct {
	// For is how long it was.
	For time.Duration
}

func (*Stall) Error() string { return ErrStalled.Error() }

// Unwrap makes it an [ErrStalled].
func (*Stall) Unwrap() error { return ErrStalled }

// Conn is one connection with its read buffer. Reading, and writing, are each
// for one goroutine at a time; Close and the context given to Begin may end
// both from anywhere.
type Conn struct {
	endpoint Endpoint
	limits   Limits
	mu       sync.Mutex // guards conn, secure and shown: STARTTLS replaces them
	conn     net.Conn
	secure   bool
	shown    bool // the server asked for our certificate, and saw it
	reader   *bufio.Reader
	progress progress
	failure  atomic.Pointer[fault.Error]
	canceled atomic.Bool
}

func newConn(e Endpoint, conn net.Conn) *Conn {
	c := &Conn{endpoint: e, limits: e.Limits.withDefaults(), conn: conn}
	c.reader = bufio.NewReaderSize(rawReader{c}, readBuffer)
	c.progress.reset()
	return c
}

// Address names the peer for messages: "POP3 server pop.example:995".
func (c *Conn) Address() string { return c.endpoint.String() }

// Secure reports whether the connection is inside TLS.
func (c *Conn) Secure() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.secure
}

// ShowedCertificate reports whether the server asked for a client certificate and was shown ours.
func (c *Conn) ShowedCertificate() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shown
}

// Reader is the connection's only read buffer.
func (c *Conn) Reader() *bufio.Reader { return c.reader }

// Buffered is how many received octets nobody has read yet.
func (c *Conn) Buffered() int { return c.reader.Buffered() }

// Read takes from the read buffer.
func (c *Conn) Read(p []byte) (int, error) { return c.reader.Read(p) }

// Write sends p, as one TLS record where it fits one.
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.Broken(); err != nil {
		return 0, err
	}
	conn := c.current()
	written := 0
	for written < len(p) {
		// A deadline per chunk, so that it measures progress: a large message
		// on a slow link is not a stall.
		chunk := p[written:min(len(p), written+maxWrite)]
		if err := conn.SetWriteDeadline(time.Now().Add(c.limits.Idle)); err != nil {
			return written, c.fail("write to", err)
		}
		if c.canceled.Load() {
			return written, c.fail("write to", context.Canceled)
		}
		n, err := conn.Write(chunk)
		written += n
		c.progress.add(n, 0) // the deadline is for each chunk
		if err != nil {
			return written, c.fail("write to", err)
		}
	}
	return written, nil
}

const maxWrite = 256 << 10

// ReadLine returns the next line without its line end, which is CR LF or a bare
// LF; the slice is valid until the next read. A line of more than limit octets
// breaks the connection with [ErrLineTooLong].
func (c *Conn) ReadLine(limit int) ([]byte, error) {
	line, err := c.reader.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, err = c.readLong(line, limit)
	}
	if err != nil {
		return nil, err
	}
	if len(line) > limit {
		return nil, c.tooLong(limit)
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

// ReadStart is ReadLine for a line of which the start is enough, as for a person: of one that is
// longer than 64 KiB it returns no more than that. How much it may be longer, most tells by it.
func (c *Conn) ReadStart(most func(start []byte) int) ([]byte, error) {
	line, err := c.reader.ReadSlice('\n')
	if err == nil {
		return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
	}
	start := bytes.Clone(line)
	for size, limit := len(line), most(start); errors.Is(err, bufio.ErrBufferFull); size += len(line) {
		if size >= limit {
			return nil, c.tooLong(limit)
		}
		line, err = c.reader.ReadSlice('\n')
	}
	return start, err
}

func (c *Conn) readLong(start []byte, limit int) ([]byte, error) {
	long := bytes.Clone(start)
	for len(long) <= limit {
		more, err := c.reader.ReadSlice('\n')
		long = append(long, more...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return long, err
		}
	}
	return nil, c.tooLong(limit)
}

func (c *Conn) tooLong(limit int) error {
	return c.Break(fault.New(fault.Protocol, "%s sent a line of more than %d bytes: %w",
		c.Address(), limit, ErrLineTooLong).
		WithHint("check that this host and port are those of the mail server"))
}

// Begin starts a command: until the returned function is called, ctx ends every
// wait on the connection and breaks it. Both directions start with a fresh
// allowance of time.
func (c *Conn) Begin(ctx context.Context) (end func()) {
	c.progress.reset()
	stop := context.AfterFunc(ctx, func() {
		c.canceled.Store(true)
		// A deadline in the past wakes readers and writers at once.
		c.current().SetDeadline(time.Unix(1, 0))
	})
	return func() { stop() }
}

// Break marks the connection as unusable, closes it and returns the error that
// was first, which is the one that explains the others.
func (c *Conn) Break(err *fault.Error) *fault.Error {
	c.failure.CompareAndSwap(nil, err)
	c.current().Close()
	return c.failure.Load()
}

// Broken returns the error that ended the connection, or nil.
func (c *Conn) Broken() error {
	if err := c.failure.Load(); err != nil {
		return err
	}
	return nil
}

// Close closes the socket and says nothing to the server.
func (c *Conn) Close() error {
	c.failure.CompareAndSwap(nil, fault.Stopped(
		"connection to %s: %w", c.Address(), net.ErrClosed))
	return c.current().Close()
}

// LocalAddr, RemoteAddr and the deadline setters make Conn a net.Conn for the
// protocol libraries. Their own deadlines are ignored: ours measure progress.
func (c *Conn) LocalAddr() net.Addr            { return c.current().LocalAddr() }
func (c *Conn) RemoteAddr() net.Addr           { return c.current().RemoteAddr() }
func (*Conn) SetDeadline(time.Time) error      { return nil }
func (*Conn) SetReadDeadline(time.Time) error  { return nil }
func (*Conn) SetWriteDeadline(time.Time) error { return nil }

func (c *Conn) current() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// rawReader fills the read buffer under the deadlines.
type rawReader struct{ c *Conn }

func (r rawReader) Read(p []byte) (int, error) { return r.c.fill(p) }

func (c *Conn) fill(p []byte) (int, error) {
	if err := c.Broken(); err != nil {
		return 0, err
	}
	if err := c.progress.check(c.limits); err != nil {
		return 0, c.fail("read from", err)
	}
	conn := c.current()
	if err := conn.SetReadDeadline(time.Now().Add(c.limits.Idle)); err != nil {
		return 0, c.fail("read from", err)
	}
	if c.canceled.Load() { // a cancellation between its deadline and ours
		return 0, c.fail("read from", context.Canceled)
	}
	began := time.Now()
	n, err := conn.Read(p)
	c.progress.add(n, time.Since(began))
	if err != nil && n == 0 {
		return 0, c.fail("read from", err)
	}
	return n, nil
}

// fail classifies an error of the network and breaks the connection with it.
func (c *Conn) fail(verb string, err error) error {
	return c.Break(c.classify(verb, err))
}

func (c *Conn) classify(verb string, err error) *fault.Error {
	address := c.Address()
	switch {
	case c.canceled.Load():
		return fault.Stopped("%s %s: %w", verb, address, context.Canceled)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fault.New(fault.Temporary, "%s %s: %w for %s", verb, address,
			&Stall{c.limits.Idle}, fault.Span(c.limits.Idle)).
			WithHint("the server accepted the connection but stopped talking; try again later")
	case errors.Is(err, ErrStalled):
		return fault.New(fault.Temporary, "%s %s: %w", verb, address, err).
			WithHint("the server or the link is too slow; try again later")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		closed := fault.New(fault.Temporary, "%s closed the connection", address).
			WithHint("the server may be busy or limit connections; try again later")
		closed.Err = io.ErrUnexpectedEOF
		return closed
	case isAlert(err):
		return c.endpoint.alertError(err)
	}
	failed := fault.New(fault.Temporary, "%s %s: %s", verb, address, fault.Escape(reason(err))).
		WithHint("check the network and that the server is up")
	failed.Err = err
	return failed
}

// fairRate is how many octets earn a command a second more than [Limits.Command].
const fairRate = 1 << 10

// pace is how much moved, and how long the peer was waited for meanwhile: what the
// reader does in between is not held against the peer.
type pace struct {
	moved  int64
	waited time.Duration
}

// progress is the pace of a command, and what it was when the current window began.
type progress struct {
	mu     sync.Mutex
	now    pace
	window pace
}

func (p *progress) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now, p.window = pace{}, pace{}
}

func (p *progress) add(n int, waited time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.moved += int64(n)
	p.now.waited += waited
}

// check ends a peer that drips a byte now and then to stay below the idle limit, and one
// that is a little faster but goes on for ever.
func (p *progress) check(l Limits) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	earned := time.Duration(float64(p.now.moved) / fairRate * float64(time.Second))
	unearned := p.now.waited - earned
	if unearned > l.Command {
		return p.now.stalled(unearned)
	}
	last := pace{p.now.moved - p.window.moved, p.now.waited - p.window.waited}
	if last.waited < l.Window {
		return nil
	}
	if float64(last.moved) < l.MinRate*last.waited.Seconds() {
		return last.stalled(max(last.waited, unearned)) // it may have been a little faster before
	}
	p.window = p.now
	return nil
}

func (p pace) stalled(in time.Duration) error {
	return fmt.Errorf("%w: %d bytes in %s", &Stall{in}, p.moved, fault.Span(p.waited))
}
