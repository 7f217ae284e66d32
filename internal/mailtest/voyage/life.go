package voyage

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

// errDead is what a dead program gets from the network.
var errDead = errors.New("the program is dead")

// Life is one life of the program, from its start to its end or to its death.
type Life struct {
	// KillAt is the step at which it dies, counted from 1; 0: it does not.
	KillAt int
	// Only restricts what KillAt counts to steps with a name that it likes; nil: all
	// count.
	Only func(name string) bool
	// Late holds back, for so long after death, what was being written to a server
	// at that moment, and the end of its connection: a link that delivers late. 0:
	// everything arrives at once.
	Late time.Duration
	// Watch sees every step, from several goroutines; nil: nobody does. It is not
	// called any more after death.
	Watch func(name string)
	// Who is what its steps begin with where Turns gives turns; nil: nobody does.
	Who   string
	Turns *Turns
	// Journal opens its journal; nil: it is that of the world.
	Journal func() (journal.Journal, error)

	mu    sync.Mutex
	steps int
	liked int
	names []string
	dead  chan struct{} // closed at death; nil until someone asks
	conns []*mortal
	paper paper
}

// Steps says how many steps there were so far, the last one included.
func (l *Life) Steps() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.steps
}

// Name says what step n was, counted from 1; "" if there was none.
func (l *Life) Name(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n < 1 || n > len(l.names) {
		return ""
	}
	return l.names[n-1]
}

// Died reports whether it ended by being killed.
func (l *Life) Died() bool {
	select {
	case <-l.Death():
		return true
	default:
		return false
	}
}

// Death is closed at the moment of death.
func (l *Life) Death() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deathLocked()
}

func (l *Life) deathLocked() chan struct{} {
	if l.dead == nil {
		l.dead = make(chan struct{})
	}
	return l.dead
}

// step counts one more moment, at a place that tells it from others of that name.
// It is false if the program is dead, maybe since just now.
func (l *Life) step(place, name string) bool {
	if l.Turns != nil && !l.Died() {
		l.Turns.await(l, l.Who+" "+place+" "+name)
	}
	if !l.count(name) {
		return false
	}
	if l.Watch != nil {
		l.Watch(name)
	}
	return true
}

func (l *Life) count(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	dead := l.deathLocked()
	select {
	case <-dead:
		return false
	default:
	}
	l.steps++
	l.names = append(l.names, name)
	if l.Only == nil || l.Only(name) {
		l.liked++
	}
	if l.liked != l.KillAt || l.KillAt == 0 {
		return true
	}
	l.dieLocked()
	return false
}

// Kill ends it between two steps.
func (l *Life) Kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.deathLocked():
	default:
		l.dieLocked()
	}
}

func (l *Life) dieLocked() {
	close(l.deathLocked())
	for _, c := range l.conns {
		l.abandon(c.end)
	}
}

// abandon ends a connection of the dead, at once or late.
func (l *Life) abandon(c *end) {
	if l.Late == 0 {
		c.Close()
		return
	}
	c.in.ignore()
	time.AfterFunc(l.Late, c.out.finish)
}

// alive reports whether the journal still hears the program.
func (l *Life) alive() error {
	if l.Died() {
		return fault.New(fault.State, "%w", errDead)
	}
	return nil
}

// connect gives the program an end of a connection that dies with it.
func (l *Life) connect(name string, c *end) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.deathLocked():
		c.Close()
		return nil, errDead
	default:
	}
	m := &mortal{end: c, life: l, name: name, place: fmt.Sprintf("%s#%d", name, len(l.conns)+1)}
	l.conns = append(l.conns, m)
	return m, nil
}

// mortal is a connection as the program sees it.
type mortal struct {
	*end
	life        *Life
	name, place string
}

// Read is a step before anything that arrived is heard.
func (m *mortal) Read(p []byte) (int, error) {
	m.in.await()
	if !m.life.step(m.place, m.name+" read") {
		return 0, errDead
	}
	return m.end.Read(p)
}

// Write is a step before and after, and for what is longer than a few words also
// in the middle and shortly before the end: before the last octet but two, which
// completes a literal, and before the CR LF that completes a command.
//
// What the dead write goes nowhere and is no error: when a write fails, go-imap ends
// all its commands although its reader may be busy with them (beta.8).
func (m *mortal) Write(p []byte) (int, error) {
	if !m.life.step(m.place, m.name+" write "+verb(p)) {
		return len(p), nil
	}
	from := 0
	all := cuts(len(p))
	for i, to := range all {
		name := fmt.Sprintf("%s wrote %d/%d of %s", m.name, i+1, len(all), verb(p))
		if alive, err := m.put(name, p[from:to]); err != nil {
			return from, err
		} else if !alive {
			break
		}
		from = to
	}
	return len(p), nil
}

// put writes a piece and is a step behind it. A piece that is held back is written
// when the end of its connection is near.
func (m *mortal) put(name string, piece []byte) (alive bool, err error) {
	if m.life.Late == 0 {
		if _, err := m.end.Write(piece); err != nil {
			return true, err
		}
	}
	if !m.life.step(m.place, name) {
		if m.life.Late > 0 {
			held := bytes.Clone(piece)
			time.AfterFunc(m.life.Late-time.Millisecond, func() { _, _ = m.end.Write(held) })
		}
		return false, nil
	}
	if m.life.Late > 0 {
		_, err = m.end.Write(piece)
	}
	return true, err
}

// Close does nothing after death: the end of the connection is not the program's
// to choose any more.
func (m *mortal) Close() error {
	if m.life.Died() {
		return nil
	}
	return m.end.Close()
}

// cuts says where a write may be cut.
func cuts(n int) []int {
	const word = 80
	if n < word {
		return []int{n}
	}
	return []int{n / 2, n - 3, n - 2, n}
}

// verb is enough of a command to know it again.
func verb(p []byte) string {
	const most = 24
	for i, c := range p {
		if i == most || c < ' ' {
			return string(p[:i])
		}
	}
	return string(p)
}
