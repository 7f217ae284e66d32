package imapd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// firstValidity is where UIDVALIDITY values begin.
const firstValidity = 1000

// Server is an IMAP server. It is safe for concurrent use.
type Server struct {
	running sync.WaitGroup
	done    chan struct{} // closed by Close

	mu         sync.Mutex // guards all below and all that is in stores
	options    Options
	stores     map[string]*Store
	validity   uint32 // the one given last
	counters   Counters
	seen       map[seenKey]int
	violations []string
	conns      map[*outbox]struct{}
	listeners  []net.Listener
	pending    []*pending
	closed     bool // done is closed
}

// seenKey is what events are counted by.
type seenKey struct {
	stage   Stage
	command string
}

// pending is a store that is yet to happen.
type pending struct {
	store func()
	timer *time.Timer // nil: waits for Commit
}

// New makes a server.
func New(o Options) *Server {
	return &Server{
		done:     make(chan struct{}),
		options:  o,
		stores:   map[string]*Store{},
		validity: firstValidity,
		counters: Counters{Commands: map[string]int{}},
		seen:     map[seenKey]int{},
		conns:    map[*outbox]struct{}{},
	}
}

// Configure changes the options. Sessions see the change with their next command.
func (s *Server) Configure(change func(*Options)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.options)
}

// snapshot returns the options as they are now.
func (s *Server) snapshot() Options {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.options
}

// User returns the mailboxes of a user; without Options.Separate those that all users share.
func (s *Server) User(name string) *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.options.Separate {
		name = ""
	}
	if s.stores[name] == nil {
		s.stores[name] = newStore(s)
	}
	return s.stores[name]
}

// Mailbox returns the messages of a mailbox that all users share, by UID; with Options.Separate
// those of Options.Username.
func (s *Server) Mailbox(name string) []Stored {
	return s.User(s.snapshot().Username).Mailbox(name)
}

// Counters returns what the server has seen so far.
func (s *Server) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	counters := s.counters
	counters.Commands = maps.Clone(counters.Commands)
	return counters
}

// Violations returns what clients did that the protocol, or what they had been offered, forbids.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}

// Commit carries out now all stores that were put off, and returns how many messages that was.
func (s *Server) Commit() int {
	s.mu.Lock()
	due := s.pending
	s.pending = nil
	before := s.counters.Messages
	s.mu.Unlock()
	for _, p := range due {
		if p.timer == nil || p.timer.Stop() {
			p.store()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counters.Messages - before
}

// putOff stores after a time, or at Commit if that is negative.
func (s *Server) putOff(after time.Duration, store func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	p := &pending{store: store}
	s.pending = append(s.pending, p)
	if after >= 0 {
		p.timer = time.AfterFunc(after, func() {
			store()
			s.mu.Lock()
			defer s.mu.Unlock()
			s.pending = slices.DeleteFunc(s.pending, func(o *pending) bool { return o == p })
		})
	}
}

// Listen serves a free loopback port in the background and returns it.
func (s *Server) Listen() (*net.TCPAddr, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start imap server: %w", err)
	}
	s.running.Go(func() { _ = s.Serve(listener) })
	return listener.Addr().(*net.TCPAddr), nil
}

// Serve accepts connections until the listener or the server is closed, and then returns nil. It
// closes the listener.
func (s *Server) Serve(listener net.Listener) error {
	defer listener.Close()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.listeners = append(s.listeners, listener)
	s.mu.Unlock()
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		s.running.Go(func() { s.ServeConn(conn) })
	}
}

// Dial opens a session over a pipe. It has the form of net.Dialer's DialContext and ignores its
// arguments.
func (s *Server) Dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	s.running.Go(func() { s.ServeConn(server) })
	return client, nil
}

// ServeConn holds one session and closes the connection.
func (s *Server) ServeConn(conn net.Conn) {
	box := newOutbox(conn, s.countBytes)
	number, ok := s.register(box)
	if ok {
		newSession(s, box, number).run()
		s.forget(box)
	}
	box.close()
	<-box.sent
}

func (s *Server) register(box *outbox) (number int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, false
	}
	s.conns[box] = struct{}{}
	c := &s.counters
	c.Connections++
	c.Open++
	c.MaxOpen = max(c.MaxOpen, c.Open)
	return c.Connections, true
}

func (s *Server) forget(box *outbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, box)
	s.counters.Open--
}

func (s *Server) countBytes(in, out int) {
	s.count(func(c *Counters) {
		c.BytesIn += int64(in)
		c.BytesOut += int64(out)
	})
}

func (s *Server) count(change func(*Counters)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.counters)
}

// number counts an event.
func (s *Server) number(stage Stage, command string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := seenKey{stage, command}
	s.seen[key]++
	return s.seen[key]
}

// violation notes what a client must not do. Only the first hundred are kept.
func (s *Server) violation(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.violations) < 100 {
		s.violations = append(s.violations, fmt.Sprintf(format, args...))
	}
}

// Disconnect cuts all sessions, as a server that is killed does. New ones are welcome; what was
// put off is still stored.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for box := range s.conns {
		box.close()
	}
}

// Close ends the server, with all sessions, and waits for that. Stores that were put off do not
// happen. The mail can still be looked at.
func (s *Server) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	for _, p := range s.pending {
		if p.timer != nil {
			p.timer.Stop()
		}
	}
	s.pending = nil
	for _, listener := range s.listeners {
		_ = listener.Close()
	}
	for box := range s.conns {
		box.close()
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}
