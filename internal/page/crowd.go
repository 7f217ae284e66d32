package page

import (
	"net"
	"net/http"
	"sync"
)

// crowd bounds the connections of a listener. Whoever comes while all places are taken gets
// that of one on which nothing is asked, as soon as there is one: so nobody who keeps
// connections, and asks again and again, keeps out a health check.
type crowd struct {
	net.Listener

	mu     sync.Mutex
	freed  *sync.Cond // or closed
	taken  int
	waits  bool // somebody has no place
	idle   map[net.Conn]struct{}
	closed bool
}

func newCrowd(l net.Listener) *crowd {
	c := &crowd{Listener: l, idle: map[net.Conn]struct{}{}}
	c.freed = sync.NewCond(&c.mu)
	return c
}

// Accept implements [net.Listener].
func (c *crowd) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits = c.taken >= maxConnections; c.waits {
		c.dropLocked()
	}
	for c.taken >= maxConnections && !c.closed {
		c.freed.Wait()
	}
	if c.waits = false; c.closed {
		_ = conn.Close() // it was never answered
		return nil, net.ErrClosed
	}
	c.taken++
	return conn, nil
}

// dropLocked closes a connection on which nothing is asked. Its place is free when the
// server notices.
func (c *crowd) dropLocked() {
	for conn := range c.idle {
		delete(c.idle, conn)
		_ = conn.Close() // nothing is lost by it
		return
	}
}

// note is told by the server what its connections are at.
func (c *crowd) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.idle, conn)
	switch state {
	case http.StateIdle:
		if c.idle[conn] = struct{}{}; c.waits && c.taken >= maxConnections {
			c.dropLocked()
		}
	case http.StateClosed, http.StateHijacked:
		c.taken--
		c.freed.Signal()
	}
}

// Close implements [net.Listener].
func (c *crowd) Close() error {
	c.mu.Lock()
	c.closed = true
	c.freed.Broadcast()
	c.mu.Unlock()
	return c.Listener.Close()
}
