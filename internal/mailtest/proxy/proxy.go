// Package proxy is a TCP proxy for tests: it stands between a client and a server on the loopback
// interface and makes the line between them long, or breaks it.
//
// [Start] listens and carries every connection to one target. [Options.Delay] makes each byte
// arrive later, without limiting how many are under way: a long line, not a slow one. Connecting
// to the proxy takes no time. [Options.Plan] says per connection what is to go wrong: a [Fault]
// strikes at an exact byte of a direction ([Fault.When]) and cuts the line, silences it, or holds
// back bytes that arrive after all, when the client has long given up ([Kind]).
//
// Bytes are never altered nor reordered, and the way in which one side ends its half of the
// connection (FIN or RST) is passed on to the other, in order with the bytes before it.
package proxy

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// dialLimit is how long the target, which is on the same machine, may take to accept.
const dialLimit = 5 * time.Second

// Options says what the proxy does. Target is required.
type Options struct {
	// Target is the host:port that connections are carried to.
	Target string
	// Delay is how long a byte takes in either direction, half of the round trip.
	Delay time.Duration
	// Plan returns the faults of a connection, which is numbered from 1. For each direction they
	// strike one after the other. Nil: no faults.
	Plan func(conn int) []Fault
	// OnFault, if set, is called when a fault strikes, before it has any effect.
	OnFault func(conn int, fault Fault)
}

// Stats are what a proxy has seen so far.
type Stats struct {
	// Connections were accepted in all; Open are those that are not yet over.
	Connections, Open int
	// Faults have struck.
	Faults int
	// Up are the bytes carried to the target, Down those carried to clients.
	Up, Down int64
}

// Proxy carries connections until it is closed. It is safe for concurrent use.
type Proxy struct {
	options  Options
	listener net.Listener
	done     chan struct{} // closed by Close
	running  sync.WaitGroup

	mu       sync.Mutex
	stats    Stats
	links    map[*link]struct{}
	released chan struct{} // closed by Release, then replaced
}

// Start listens on a loopback port. The caller has to call [Proxy.Close].
func Start(o Options) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start proxy: %w", err)
	}
	p := &Proxy{
		options:  o,
		listener: listener,
		done:     make(chan struct{}),
		links:    map[*link]struct{}{},
		released: make(chan struct{}),
	}
	p.running.Go(p.accept)
	return p, nil
}

// Addr returns the host:port to connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Stats returns the counters.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	stats := p.stats
	stats.Open = len(p.links)
	return stats
}

// Release ends all holds that are in force at this moment.
func (p *Proxy) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.released)
	p.released = make(chan struct{})
}

// Reset cuts all connections with RST, as if the line had broken. New ones are welcome.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// Close ends the proxy with all its connections and waits for that. It may be called again.
func (p *Proxy) Close() error {
	p.mu.Lock()
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	err := p.listener.Close()
	for l := range p.links {
		l.close()
	}
	p.mu.Unlock()
	p.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// accept takes connections until the listener is closed.
func (p *Proxy) accept() {
	for number := 1; ; number++ {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.carry(number, client.(*net.TCPConn)) })
	}
}

// carry connects to the target and pumps in both directions until both are over.
func (p *Proxy) carry(number int, client *net.TCPConn) {
	server, err := net.DialTimeout("tcp", p.options.Target, dialLimit)
	if err != nil {
		abort(client)
		return
	}
	l := newLink(p, number, client, server.(*net.TCPConn))
	if p.add(l) {
		l.run()
	}
	l.close()
	p.remove(l)
}

// add registers a connection; it fails once the proxy is closed.
func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		return false
	default:
		p.links[l] = struct{}{}
		p.stats.Connections++
		return true
	}
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

func (p *Proxy) count(dir Direction, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if dir == Up {
		p.stats.Up += int64(n)
	} else {
		p.stats.Down += int64(n)
	}
}

// strike counts a fault and returns the channel whose closing ends a hold.
func (p *Proxy) strike(number int, fault Fault) <-chan struct{} {
	p.mu.Lock()
	p.stats.Faults++
	released := p.released
	p.mu.Unlock()
	if p.options.OnFault != nil {
		p.options.OnFault(number, fault)
	}
	return released
}
