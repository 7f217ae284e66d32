package voyage

import (
	"bytes"
	"strings"
	"time"
)

// Cut is a way in which a connection ends.
type Cut int

const (
	// FIN ends it in good order, for TCP.
	FIN Cut = iota
	// RST resets it: what was on its way to the program is lost.
	RST
	// Silence lets nothing through any more, and nobody learns of it.
	Silence
	// Late resets it for the program, and what the program was writing arrives later.
	Late
)

func (c Cut) String() string { return [...]string{"FIN", "RST", "silence", "late"}[c] }

// cut waits in a stream for its octet.
type cut struct {
	after  int               // octets from now on
	strike func(rest []byte) // rest is what of a write lies behind that octet
}

// reached counts octets down to a cut. If it lies within p, or at its end, it is
// returned with the number of octets before it.
func (s *stream) reached(p []byte) (before int, c *cut) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut == nil {
		return 0, nil
	}
	if s.cut.after > len(p) {
		s.cut.after -= len(p)
		return 0, nil
	}
	before, c = s.cut.after, s.cut
	s.cut = nil
	return before, c
}

// breakNow resets it for both sides.
func (s *stream) breakNow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken, s.waiting = true, nil
	s.changed.Broadcast()
}

// seal ends it for the reader, behind what was written so far.
func (s *stream) seal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed, s.finished = true, true
	s.changed.Broadcast()
}

// deafen loses what comes from now on.
func (s *stream) deafen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = true
}

// Break has a connection end, the n-th that was made and lives, behind so many
// more octets in one direction: up is to the server. What arrives late does so
// after that time. It says which connection it is, or "" if there is none.
func (l *Life) Break(n int, kind Cut, up bool, after int, late time.Duration) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var open []*mortal
	for _, m := range l.conns {
		if !m.over() {
			open = append(open, m)
		}
	}
	if len(open) == 0 {
		return ""
	}
	m := open[n%len(open)]
	at := m.in
	if up {
		at = m.out
	}
	at.arm(&cut{after, func(rest []byte) { m.strike(kind, up, rest, late) }})
	return m.place
}

// BreakAt resets the connection that a waiting step is about, and says whether it
// is about one.
func (l *Life) BreakAt(step string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.conns {
		if strings.HasPrefix(step, l.Who+" "+m.place+" ") {
			m.strike(RST, true, nil, 0)
			return true
		}
	}
	return false
}

func (s *stream) arm(c *cut) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = c
}

// over reports whether either side has closed it.
func (m *mortal) over() bool {
	m.in.mu.Lock()
	defer m.in.mu.Unlock()
	return m.in.ignored || m.in.finished || m.in.broken || m.in.deaf
}

// strike ends a connection.
func (m *mortal) strike(kind Cut, up bool, rest []byte, late time.Duration) {
	switch kind {
	case FIN:
		m.in.finish()
		m.out.seal()
	case RST:
		m.in.breakNow()
		m.out.seal()
	case Silence:
		m.in.deafen()
		m.out.deafen()
	case Late:
		m.in.breakNow()
		if !up {
			rest = nil
		}
		m.out.postpone(bytes.Clone(rest), late)
	}
}

// postpone lets the reader have, later, what was being written, and then the end.
func (s *stream) postpone(rest []byte, late time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed = true
	time.AfterFunc(late, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.waiting = append(s.waiting, rest...)
		s.finished = true
		s.changed.Broadcast()
	})
}
