package imapd

import (
	"net"
	"sync"
	"time"
)

const (
	// outboxSize is how much may wait to be sent before Write blocks, as in a network's buffers.
	outboxSize = 8 << 20
	// farewell is how long a session that ends waits for its last words to be read.
	farewell = time.Second
)

// outbox is a connection whose Write returns at once and leaves the sending to a goroutine, which
// ends when the connection is closed.
type outbox struct {
	net.Conn
	count func(in, out int)
	sent  chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	changed sync.Cond
	waiting []byte
	ending  bool // nothing more will be written
	err     error
}

func newOutbox(conn net.Conn, count func(in, out int)) *outbox {
	b := &outbox{Conn: conn, count: count, sent: make(chan struct{})}
	b.changed.L = &b.mu
	go b.send()
	return b
}

func (b *outbox) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	b.count(n, 0)
	return n, err
}

func (b *outbox) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.waiting) >= outboxSize && b.err == nil {
		b.changed.Wait()
	}
	if b.err != nil {
		return 0, b.err
	}
	if b.ending {
		return 0, net.ErrClosed
	}
	b.waiting = append(b.waiting, p...)
	b.changed.Broadcast()
	return len(p), nil
}

// send writes what is waiting until there is no more to come.
func (b *outbox) send() {
	defer close(b.sent)
	var spare []byte
	for {
		b.mu.Lock()
		for len(b.waiting) == 0 && !b.ending {
			b.changed.Wait()
		}
		data := b.waiting
		b.waiting = spare[:0]
		b.mu.Unlock()
		if len(data) == 0 {
			return
		}
		n, err := b.Conn.Write(data)
		b.count(0, n)
		spare = data
		b.mu.Lock()
		b.err = err
		b.changed.Broadcast()
		b.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// SetDeadline and SetWriteDeadline leave writing alone: crypto/tls, when it closes, gives writing
// no time after its last word, which is still waiting here.
func (b *outbox) SetDeadline(t time.Time) error { return b.SetReadDeadline(t) }

// SetWriteDeadline does nothing.
func (b *outbox) SetWriteDeadline(time.Time) error { return nil }

// Close is finish with FIN, for crypto/tls.
func (b *outbox) Close() error {
	b.finish(FIN)
	return nil
}

// finish sends what is waiting, gives that a while, and ends the connection. It goes on reading
// until then: a client that is still writing could not read the last words otherwise, and closing
// a socket that has unread data sends RST, which may overtake them.
func (b *outbox) finish(end End) {
	b.stop()
	_ = b.SetReadDeadline(time.Now().Add(farewell))
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		drain(b.Conn)
	}()
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-b.sent:
	case <-timer.C:
	}
	if tcp, ok := b.Conn.(*net.TCPConn); ok {
		if end == RST {
			_ = tcp.SetLinger(0)
		} else {
			_ = tcp.CloseWrite()
			<-drained
		}
	}
	b.close()
	<-drained
}

// stop lets the goroutine end once it has sent everything.
func (b *outbox) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ending = true
	b.changed.Broadcast()
}

// close closes the connection at once. It may be called again.
func (b *outbox) close() {
	b.stop()
	_ = b.Conn.Close()
}

// drain reads until it cannot.
func drain(conn net.Conn) {
	buffer := make([]byte, 4<<10)
	for {
		if _, err := conn.Read(buffer); err != nil {
			return
		}
	}
}
