package places

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
	// slow is the host whose limits make the trip wait, until shortly after that: what
	// moves in between counts as nothing, since others could do more in that time.
	slow  string
	until time.Time
}

// Brake says that popferry waits so long for limits of its own: those of a host, or of
// all, which are no silence, since nobody else could go on.
func (p *pulse) Brake(host string, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if host == "" {
		p.markLocked(time.Now().Add(wait))
		return
	}
	p.slow, p.until = host, time.Now().Add(wait+Patience)
}

// Beat says that the trip is served.
func (p *pulse) Beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.markLocked(time.Now())
}

func (p *pulse) markLocked(at time.Time) {
	p.moved = 0
	if at.After(p.mark) {
		p.mark = at
	}
}

func (p *pulse) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.moved += n; p.moved >= lively && !p.brakedLocked() {
		p.markLocked(time.Now())
	}
}

func (p *pulse) brakedLocked() bool { return time.Now().Before(p.until) }

// braked reports whether the limits of a host make the trip wait.
func (p *pulse) braked() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.brakedLocked()
}

func (p *pulse) quiet() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.mark)
}

// QuietAt is quiet for those who want a place at a host: who waits for its limits does
// not leave it to others that would wait there as well.
func (p *pulse) QuietAt(host string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slow == host && p.brakedLocked() {
		return 0
	}
	return time.Since(p.mark)
}

// Feel makes a connection felt.
func (p *pulse) Feel(conn net.Conn) net.Conn { return feltConn{conn, p} }

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
