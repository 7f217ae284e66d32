package voyage

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeBuffer is how much may be on its way in one direction, as in the buffers
// of two kernels.
const pipeBuffer = 256 << 10

// newPipe returns the two ends of a connection in memory. Unlike those of
// net.Pipe a Write does not wait until the other side reads, so that what is
// written can be on its way when the writer dies.
func newPipe() (client, server *end) {
	up, down := newStream(), newStream()
	return &end{in: down, out: up}, &end{in: up, out: down}
}

// stream is one direction of a connection.
type stream struct {
	mu       sync.Mutex
	changed  sync.Cond
	waiting  []byte
	finished bool // the writer is done: after what is waiting comes io.EOF
	ignored  bool // the reader is gone: what is written goes nowhere
	deaf     bool // what is written goes nowhere, and the reader learns nothing
	broken   bool // it was reset
	sealed   bool // what is written goes nowhere, though the reader still waits for something
	cut      *cut // where it will end; nil: nowhere
	reading  deadline
	writing  deadline
}

func newStream() *stream {
	s := &stream{}
	s.changed.L = &s.mu
	return s
}

// deadline wakes who waits when it passes.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (s *stream) setDeadline(d *deadline, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = at
	if left := time.Until(at); !at.IsZero() && left > 0 {
		d.timer = time.AfterFunc(left, s.wake)
	}
	s.changed.Broadcast()
}

func (s *stream) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// await returns when a read would not wait.
func (s *stream) await() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.ignored && !s.broken && !s.reading.passed() && len(s.waiting) == 0 && !s.finished {
		s.changed.Wait()
	}
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.ignored:
			return 0, net.ErrClosed
		case s.broken:
			return 0, syscall.ECONNRESET
		case s.reading.passed():
			return 0, os.ErrDeadlineExceeded
		case len(s.waiting) > 0:
			n := copy(p, s.waiting)
			s.waiting = s.waiting[n:]
			s.changed.Broadcast()
			return n, nil
		case s.finished:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (int, error) {
	if first, c := s.reached(p); c != nil {
		n, err := s.write(p[:first])
		if err != nil {
			return n, err
		}
		c.strike(p[first:])
		more, err := s.write(p[first:])
		return n + more, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for written < len(p) {
		switch room := pipeBuffer - len(s.waiting); {
		case s.broken || s.sealed:
			return len(p), nil // it is the reader who learns of it
		case s.finished:
			return written, net.ErrClosed
		case s.ignored || s.deaf:
			return len(p), nil // it is lost on the way, and nobody learns of it
		case s.writing.passed():
			return written, os.ErrDeadlineExceeded
		case room > 0:
			n := min(room, len(p)-written)
			s.waiting = append(s.waiting, p[written:written+n]...)
			written += n
			s.changed.Broadcast()
		default:
			s.changed.Wait()
		}
	}
	return written, nil
}

// finish lets the reader see the end behind what is waiting.
func (s *stream) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = s.finished || !s.deaf && !s.sealed
	s.changed.Broadcast()
}

// ignore throws away what is waiting and all that follows.
func (s *stream) ignore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ignored, s.waiting = true, nil
	s.changed.Broadcast()
}

// end is one end of a connection.
type end struct{ in, out *stream }

func (e *end) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *end) Write(p []byte) (int, error) { return e.out.write(p) }

// Close lets the other side read what is on its way to it, and then io.EOF.
func (e *end) Close() error {
	e.out.finish()
	e.in.ignore()
	return nil
}

func (e *end) LocalAddr() net.Addr  { return address{} }
func (e *end) RemoteAddr() net.Addr { return address{} }

func (e *end) SetDeadline(t time.Time) error {
	return firstError(e.SetReadDeadline(t), e.SetWriteDeadline(t))
}

func (e *end) SetReadDeadline(t time.Time) error {
	e.in.setDeadline(&e.in.reading, t)
	return nil
}

func (e *end) SetWriteDeadline(t time.Time) error {
	e.out.setDeadline(&e.out.writing, t)
	return nil
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

type address struct{}

func (address) Network() string { return "memory" }
func (address) String() string  { return "memory" }
