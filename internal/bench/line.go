package main

import (
	"sync"
	"time"

	"github.com/popferry/popferry/internal/mailtest/proxy"
)

// line is a long line to a server that counts the round trips it is used for.
type line struct {
	proxy *proxy.Proxy

	mu    sync.Mutex
	conns []*turns
}

// stretch starts a line to address with a round trip of the given length.
func stretch(address string, trip time.Duration) (*line, error) {
	l := &line{}
	var err error
	l.proxy, err = proxy.Start(proxy.Options{Target: address, Delay: trip / 2, Plan: l.watch})
	return l, err
}

func (l *line) addr() string { return l.proxy.Addr() }
func (l *line) close() error { return l.proxy.Close() }

// watch sees all bytes of a connection as triggers of faults that never strike.
func (l *line) watch(int) []proxy.Fault {
	t := &turns{}
	l.mu.Lock()
	l.conns = append(l.conns, t)
	l.mu.Unlock()
	var faults []proxy.Fault
	for _, dir := range []proxy.Direction{proxy.Up, proxy.Down} {
		faults = append(faults, proxy.Fault{Dir: dir, When: func(_ int64, data []byte) int {
			if len(data) > 0 {
				t.saw(dir)
			}
			return -1
		}})
	}
	return faults
}

// trips returns the round trips of all connections together.
func (l *line) trips() (trips int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.conns {
		trips += t.count()
	}
	return trips
}

// turns counts how often the client of one connection spoke after the server had: each time
// cost it a round trip, if it could not speak before it had the answer. What the server says
// unasked, such as its greeting, is followed by such a turn, so it is counted as well.
//
// Bytes are seen where they enter the line. What a client sends within one round trip, in however
// many pieces, is thus one turn. Where both sides talk at the same time, as with a window of
// commands that is kept full, turns are more than the round trips that were waited for.
type turns struct {
	mu    sync.Mutex
	n     int
	after bool // the last bytes went up
}

func (t *turns) saw(dir proxy.Direction) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if dir == proxy.Up && !t.after {
		t.n++
	}
	t.after = dir == proxy.Up
}

func (t *turns) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}
