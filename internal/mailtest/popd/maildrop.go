package popd

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
)

// stored is one message. Its name gone and hidden change, under the server's lock.
type stored struct {
	raw  []byte
	uidl string
	gone bool
	// hidden are those that Options.HideFetched keeps from later sessions.
	hidden bool
}

// Deliver appends messages to the maildrop. Sessions that are logged in do not
// see them (RFC 1939 §4: the maildrop is locked for a session).
func (s *Server) Deliver(messages ...[]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, raw := range messages {
		s.serial++
		s.drop = append(s.drop, &stored{raw: raw, uidl: s.makeUIDL(raw)})
	}
}

// makeUIDL gives the same list of messages the same identifiers in each server.
func (s *Server) makeUIDL(raw []byte) string {
	if s.options.DuplicateUIDLs {
		return fmt.Sprintf("twin%08d", s.serial/2)
	}
	sum := sha256.Sum256(raw)
	return fmt.Sprintf("%x-%d", sum[:8], s.serial)
}

// Messages returns what the maildrop holds now.
func (s *Server) Messages() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	messages := make([][]byte, len(s.drop))
	for i, m := range s.drop {
		messages[i] = m.raw
	}
	return messages
}

// Expunge removes the message with this number (from 1) as another client
// would; sessions that are logged in get -ERR for it from now on.
func (s *Server) Expunge(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop[n-1].gone = true
	s.drop = slices.Delete(s.drop, n-1, n)
}

// Shuffle reorders the maildrop for later sessions: order[i] is the present
// number (from 1) of the message that becomes number i+1.
func (s *Server) Shuffle(order ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := slices.Clone(s.drop)
	for i, n := range order {
		s.drop[i] = old[n-1]
	}
}

// UIDLs returns the identifiers of what the maildrop holds now.
func (s *Server) UIDLs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, len(s.drop))
	for i, m := range s.drop {
		names[i] = m.uidl
	}
	return names
}

// Rename gives the message with this number (from 1) another identifier.
func (s *Server) Rename(n int, uidl string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop[n-1].uidl = uidl
}

// view returns what a session sees. It is called with the server's lock held.
func (s *Server) view() []*stored {
	seen := slices.DeleteFunc(slices.Clone(s.drop), func(m *stored) bool { return m.hidden })
	if page := s.options.Page; page > 0 && len(seen) > page {
		seen = seen[:page]
	}
	return seen
}

// hide keeps messages from later sessions.
func (s *Server) hide(given map[*stored]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for m := range given {
		m.hidden = true
	}
}

// Show shows later sessions again what is hidden from them.
func (s *Server) Show() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.drop {
		m.hidden = false
	}
}

// Hidden returns how many messages no session sees any more.
func (s *Server) Hidden() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, m := range s.drop {
		if m.hidden {
			n++
		}
	}
	return n
}

// commit removes what a session marked (RFC 1939 §6).
func (s *Server) commit(marked map[*stored]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.options.KeepDeleted {
		return
	}
	s.drop = slices.DeleteFunc(s.drop, func(m *stored) bool {
		if marked[m] && s.options.Removed != nil {
			s.options.Removed(m.raw)
		}
		return marked[m]
	})
}

// stuff returns the lines of a message as they go over the wire: dots doubled at
// the start of a line (RFC 1939 §3), ended by CR LF, without the terminator.
func stuff(raw []byte, o Options) []byte {
	if o.BareLF {
		raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	}
	end := o.lineEnd()
	if !o.Unstuffed {
		raw = doubleDots(raw, end, !o.PlainFirst)
	}
	if len(raw) > 0 && !bytes.HasSuffix(raw, end) {
		raw = slices.Concat(raw, end)
	}
	return raw
}

func doubleDots(raw, end []byte, first bool) []byte {
	dot := slices.Concat(end, []byte("."))
	if bytes.Contains(raw, dot) {
		raw = bytes.ReplaceAll(raw, dot, slices.Concat(dot, []byte(".")))
	}
	if first && bytes.HasPrefix(raw, []byte(".")) {
		raw = slices.Concat([]byte("."), raw)
	}
	return raw
}

// top cuts a message after its header, the empty line and some lines of the body
// (RFC 1939 §7).
func top(raw []byte, lines int) []byte {
	header := bytes.Index(raw, []byte("\r\n\r\n"))
	if header < 0 {
		return raw
	}
	end := header + len("\r\n\r\n")
	for ; lines > 0; lines-- {
		next := bytes.Index(raw[end:], []byte("\r\n"))
		if next < 0 {
			return raw
		}
		end += next + len("\r\n")
	}
	return raw[:end]
}
