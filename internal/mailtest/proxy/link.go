package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// chunkSize is the most that is read at once and queueLength how many such reads may be under
	// way in one direction. They bound the memory of a connection.
	chunkSize   = 64 << 10
	queueLength = 1024

	// lastReads is how long both sides are listened to after the line was cut with FIN.
	lastReads = time.Second
	// quiet is how long the sender of a Zombie has to be silent to count as done.
	quiet = 50 * time.Millisecond
)

// link is one connection through the proxy: two sockets and, in each direction, a goroutine that
// reads and one that writes, with a queue between them.
type link struct {
	proxy    *Proxy
	number   int
	sides    [2]*net.TCPConn // the client's and the server's: what Up and what Down reads from
	faults   [2][]Fault
	silenced chan struct{} // closed by Silence
	dead     chan struct{} // closed when both sides are
	once     sync.Once

	mu       sync.Mutex
	finished [2]bool // the direction has passed on its last byte and the end
	broken   [2]bool // the direction could not deliver a byte
	muted    bool    // after FIN, nothing is passed on
	careless [2]bool // what is lost in the direction has no consequences
}

// item is what travels through a queue: bytes, a fault that strikes, or the end.
type item struct {
	due   time.Time
	data  []byte
	fault *Fault
	end   bool
	reset bool // the end was not an orderly one
}

func newLink(p *Proxy, number int, client, server *net.TCPConn) *link {
	l := &link{
		proxy:    p,
		number:   number,
		sides:    [2]*net.TCPConn{client, server},
		silenced: make(chan struct{}),
		dead:     make(chan struct{}),
	}
	if p.options.Plan != nil {
		for _, fault := range p.options.Plan(number) {
			l.faults[fault.Dir] = append(l.faults[fault.Dir], fault)
		}
	}
	return l
}

// run returns when both directions are over.
func (l *link) run() {
	var pumps sync.WaitGroup
	for _, dir := range []Direction{Up, Down} {
		queue := make(chan item, queueLength)
		source := &source{link: l, conn: l.sides[dir], faults: l.faults[dir], queue: queue}
		pumps.Go(source.read)
		pumps.Go(func() { l.write(dir, queue) })
	}
	pumps.Wait()
}

// close ends both sides in good order; reset does not.
func (l *link) close() {
	l.once.Do(func() {
		close(l.dead)
		for _, conn := range l.sides {
			_ = conn.Close()
		}
	})
}

func (l *link) reset() {
	l.once.Do(func() {
		close(l.dead)
		for _, conn := range l.sides {
			abort(conn)
		}
	})
}

// abort closes conn with RST.
func abort(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// source is the reading end of a direction.
type source struct {
	*link
	conn   *net.TCPConn
	faults []Fault // those that have not struck
	offset int64
	queue  chan<- item
	dying  bool // a Zombie has struck
}

// read puts what arrives into the queue until there is no more.
func (s *source) read() {
	defer close(s.queue)
	if !s.pass(nil) {
		return
	}
	buffer := make([]byte, chunkSize)
	for {
		if s.dying {
			_ = s.conn.SetReadDeadline(time.Now().Add(quiet))
		}
		n, err := s.conn.Read(buffer)
		if n > 0 && !s.pass(bytes.Clone(buffer[:n])) {
			return
		}
		select {
		case <-s.silenced:
			// Not reading on lets the sender's window fill up, as it would on a dead line.
			<-s.dead
			return
		default:
		}
		if err != nil {
			s.end(err)
			return
		}
	}
}

// pass queues data, with the faults that strike in it between its bytes.
func (s *source) pass(data []byte) bool {
	for len(s.faults) > 0 {
		n := s.faults[0].When(s.offset, data)
		if n < 0 {
			break
		}
		fault := &s.faults[0]
		if n > 0 && !s.put(item{data: data[:n]}) || !s.put(item{fault: fault}) {
			return false
		}
		s.dying = s.dying || fault.Kind == Zombie
		s.offset += int64(n)
		s.faults, data = s.faults[1:], data[n:]
	}
	s.offset += int64(len(data))
	return len(data) == 0 || s.put(item{data: data})
}

func (s *source) end(err error) {
	if s.dying && errors.Is(err, os.ErrDeadlineExceeded) {
		abort(s.conn)
		err = io.EOF
	}
	s.put(item{end: true, reset: !errors.Is(err, io.EOF)})
}

// put is false when the link is dead.
func (s *source) put(i item) bool {
	i.due = time.Now().Add(s.proxy.options.Delay)
	select {
	case s.queue <- i:
		return true
	case <-s.dead:
		return false
	}
}

// write carries out what is in the queue, each item at its time.
func (l *link) write(dir Direction, queue <-chan item) {
	for i := range queue {
		if !l.wait(time.Until(i.due), nil) {
			return
		}
		switch {
		case i.fault != nil:
			l.strike(*i.fault)
		case i.end:
			l.finish(dir, i.reset)
		default:
			l.deliver(dir, i.data)
		}
	}
}

// wait is false when the link died meanwhile. It ends early when released is closed.
func (l *link) wait(d time.Duration, released <-chan struct{}) bool {
	if d <= 0 && released == nil {
		return true
	}
	var passed <-chan time.Time // never, for a hold without a time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		passed = timer.C
	}
	select {
	case <-passed:
	case <-released:
	case <-l.dead:
		return false
	}
	return true
}

// deliver writes data, unless nobody is there to receive it.
func (l *link) deliver(dir Direction, data []byte) {
	l.mu.Lock()
	drop := l.muted || l.broken[dir]
	l.mu.Unlock()
	select {
	case <-l.silenced:
		<-l.dead
		return
	default:
	}
	if drop {
		return
	}
	n, err := l.sides[1-dir].Write(data)
	l.proxy.count(dir, n)
	if err != nil {
		l.failed(dir)
	}
}

// failed notes that the receiver of dir has gone. Its sender is told by RST, but only after the
// other direction has delivered what was under way to it.
func (l *link) failed(dir Direction) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.muted || l.careless[dir] {
		return
	}
	l.broken[dir] = true
	if l.finished[1-dir] {
		abort(l.sides[dir])
	}
}

// finish passes on the end of a direction.
func (l *link) finish(dir Direction, reset bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finished[dir] = true
	receiver := l.sides[1-dir]
	switch {
	case l.muted:
	case reset || l.broken[1-dir]:
		abort(receiver)
	default:
		_ = receiver.CloseWrite()
	}
}

// strike carries out a fault.
func (l *link) strike(fault Fault) {
	released := l.proxy.strike(l.number, fault)
	switch fault.Kind {
	case FIN:
		l.mute()
	case RST:
		l.reset()
	case Silence:
		l.silence()
	case Hold, Zombie:
		if fault.Kind == Zombie {
			l.mu.Lock()
			l.careless[1-fault.Dir] = true
			l.mu.Unlock()
		}
		l.wait(fault.For, released)
	}
}

func (l *link) mute() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.muted = true
	for _, conn := range l.sides {
		_ = conn.CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(lastReads))
	}
}

func (l *link) silence() {
	l.mu.Lock()
	select {
	case <-l.silenced:
	default:
		close(l.silenced)
	}
	l.mu.Unlock()
	<-l.dead
}
