package ferry

import (
	"net"
	"sync"
	"time"
)

// lively is how many octets have to move before a trip counts as served: what a
// server drips to seem alive is less in the time that matters.
const lively = 128

// pulse tells for how long the servers of a trip have hardly given or taken
// anything.
type pulse struct {
	mu    sync.Mutex
	moved int // since mark
	mark  time.Time
	held  bool // it is popferry that waits
}

// hold says that it is for limits of our own that nothing moves, until the returned
// function is called.
func (p *pulse) hold() (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.held, p.moved, p.mark = false, 0, time.Now()
	}
}

// beat says that the trip is served.
func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved, p.mark = 0, time.Now()
}

func (p *pulse) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.moved += n; p.moved >= lively {
		p.moved, p.mark = 0, time.Now()
	}
}

func (p *pulse) quiet() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held {
		return 0
	}
	return time.Since(p.mark)
}

// feel makes a connection felt.
func (p *pulse) feel(conn net.Conn) net.Conn { return feltConn{conn, p} }

// feltConn is a connection with a pulse.
type feltConn struct {
	net.Conn
	pulse *pulse
}

// Read implements net.Conn.
func (c feltConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.pulse.add(n)
	return n, err
}

// Write implements net.Conn.
func (c feltConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.pulse.add(n)
	return n, err
}
