package popd

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"sync"
	"time"
)

// Server is a POP3 server with one maildrop.
type Server struct {
	mu        sync.Mutex
	options   Options
	drop      []*stored
	serial    int
	counters  Counters
	lastLogin time.Time
	locked    bool
	closed    bool
	listeners []net.Listener
	conns     map[net.Conn]bool
	running   sync.WaitGroup
}

// New makes a server that holds the given messages, numbered from 1.
func New(o Options, messages ...[]byte) *Server {
	s := &Server{
		options:  o,
		conns:    make(map[net.Conn]bool),
		counters: Counters{Retr: make(map[int]int), Commands: make(map[string]int)},
	}
	s.Deliver(messages...)
	return s
}

// Configure changes the options for the sessions that begin from now on.
func (s *Server) Configure(change func(*Options)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.options)
}

// Counters returns what the server saw so far.
func (s *Server) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counters
	c.Retr, c.Commands = maps.Clone(c.Retr), maps.Clone(c.Commands)
	return c
}

// count changes the counters.
func (s *Server) count(change func(*Counters)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.counters)
}

// Listen serves a free loopback port in the background and returns it.
func (s *Server) Listen() (*net.TCPAddr, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.running.Go(func() { _ = s.Serve(listener) })
	return listener.Addr().(*net.TCPAddr), nil
}

// Serve accepts connections until the listener or the server is closed. It
// closes the listener and returns nil after [Server.Close].
func (s *Server) Serve(listener net.Listener) error {
	defer listener.Close()
	if !s.adopt(listener) {
		return nil
	}
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		s.running.Go(func() { s.ServeConn(conn) })
	}
}

func (s *Server) adopt(listener net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.listeners = append(s.listeners, listener)
	return true
}

// Dial opens a session over a pipe; it has the form of net.Dialer's DialContext
// and ignores the address.
func (s *Server) Dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	s.running.Go(func() { s.ServeConn(server) })
	return client, nil
}

// ServeConn holds one session and closes the connection.
func (s *Server) ServeConn(conn net.Conn) {
	defer conn.Close()
	options, ok := s.register(conn)
	if !ok {
		return
	}
	defer s.forget(conn)
	if options.Mode == Implicit {
		conn = tls.Server(conn, options.TLS)
	}
	newSession(s, options, conn).run()
}

func (s *Server) register(conn net.Conn) (Options, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Options{}, false
	}
	s.conns[conn] = true
	s.counters.Sessions++
	return s.options, true
}

func (s *Server) forget(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// Cut closes every open connection at once, as a power failure would.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		conn.Close()
	}
}

// Close ends the listeners and all sessions, and waits for them.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, listener := range s.listeners {
		listener.Close()
	}
	s.mu.Unlock()
	s.Cut()
	s.running.Wait()
	return nil
}
