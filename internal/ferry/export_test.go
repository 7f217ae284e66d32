package ferry_test

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/message"
)

// shelf keeps held messages by content digest, as [report.HeldFolder] does.
type shelf struct {
	mu   sync.Mutex
	mail map[string][]byte
	err  error
}

func (s *shelf) keep(account string, m *message.Message) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return "", s.err
	}
	if s.mail == nil {
		s.mail = map[string][]byte{}
	}
	var b bytes.Buffer
	_, err := m.WriteOriginal(&b)
	name := account + "-" + m.Content.String()
	s.mail[name] = b.Bytes()
	return name, err
}

// has fails unless exactly these messages were kept, octet for octet.
func (s *shelf) has(t *testing.T, want ...[]byte) {
	t.Helper()
	if len(s.mail) != len(want) {
		t.Errorf("%d messages were kept, want %d", len(s.mail), len(want))
	}
	for _, w := range want {
		found := false
		for _, got := range s.mail {
			found = found || bytes.Equal(got, w)
		}
		if !found {
			t.Errorf("not kept: %q", w[:min(len(w), 80)])
		}
	}
}

// poisonous refuses one kind of mail for what is in it.
func poisonous(o imapd.Options) imapd.Options {
	o.Refuse = func(msg []byte) string {
		if bytes.Contains(msg, []byte("poison")) {
			return "NO [CANNOT] Message contains poison"
		}
		return ""
	}
	return o
}

// TestHeldMailIsExported: what is held now, what an earlier run held, and what is
// too large to be retrieved at all otherwise, are kept as POP3 has them; the
// session still ends in QUIT (I2), and the delivered mail is no part of it.
func TestHeldMailIsExported(t *testing.T) {
	// A bare LF would be repaired on delivery.
	earlier := []byte("Subject: a\nX: bare\r\n\r\npoison of yesterday\r\n")
	now := []byte("Subject: b\r\n\r\npoison\nof today\r\n")
	large := []byte("Subject: c\r\n\r\n" + strings.Repeat("too large\r\n", 9000))
	empty := []byte("\r\n")
	for name, po := range map[string]popd.Options{"UIDL": {}, "no UIDL": {NoUIDL: true}, "no TOP": {NoTOP: true}} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(20, 60)
			p := newPair(t, po, poisonous(imapd.Options{AppendLimit: 90_000}), append(mail, earlier, large, empty)...)
			p.run(fault.Held, 21)
			var s shelf
			p.o.KeepHeld = s.keep
			p.pop.Deliver(now)
			quits := p.pop.Counters().Quit
			r := p.run(fault.Held, 0)
			s.has(t, earlier, now, large)
			if p.pop.Counters().Quit == quits {
				t.Error("no QUIT, though nothing is neither delivered nor held")
			}
			for _, m := range r.Accounts[0].Messages {
				if s.mail[m.File] == nil {
					t.Errorf("the report has no file of %+v", m)
				}
			}
			p.run(fault.Held, 0)
			s.has(t, earlier, now, large)
			p.arrived(append(mail, empty)...)
		})
	}
}

// TestExportSaysWhatItCannotHave: a message that POP3 does not give is told of.
func TestExportSaysWhatItCannotHave(t *testing.T) {
	var s shelf
	poison := []byte("Subject: b\r\n\r\npoison\r\n")
	p := newPair(t, popd.Options{Refuse: map[int]string{2: "damaged"}}, poisonous(imapd.Options{}),
		append(ordinary(3, 61), poison)...)
	p.o.KeepHeld = s.keep
	r := p.run(fault.Held, 2)
	s.has(t, poison)
	want := "1 held message could not be exported: the POP3 server does not give it"
	if notes := r.Accounts[0].Notes; len(notes) != 1 || notes[0] != want {
		t.Errorf("notes %q, want %q", notes, want)
	}
}

// TestExportIsOutOfTheWay: neither a full disk nor a POP3 server that goes mad at
// the second RETR of a message keeps anything from being delivered and recorded.
func TestExportIsOutOfTheWay(t *testing.T) {
	poison := []byte("Subject: b\r\n\r\npoison\r\n")
	mail := ordinary(5, 62)
	t.Run("full disk", func(t *testing.T) {
		s := shelf{err: fault.New(fault.State, "write held/x.eml: %w", io.ErrShortWrite)}
		p := newPair(t, popd.Options{}, poisonous(imapd.Options{}), append([][]byte{poison}, mail...)...)
		p.o.KeepHeld = s.keep
		p.run(fault.State, 5)
		p.arrived(mail...)
		s.err = nil
		p.run(fault.Held, 0)
		s.has(t, poison)
	})
	t.Run("out of step", func(t *testing.T) {
		var s shelf
		retrieved := 0
		p := newPair(t, popd.Options{Reply: func(verb string, n int) ([]byte, bool) {
			if verb == "RETR" && n == 1 {
				retrieved++
			}
			return []byte("gibberish\r\n"), verb == "RETR" && n == 1 && retrieved > 1
		}}, poisonous(imapd.Options{}), append([][]byte{poison}, mail...)...)
		p.o.KeepHeld = s.keep
		r := p.run(fault.Held, 5)
		s.has(t)
		if notes := r.Accounts[0].Notes; len(notes) != 1 || !strings.Contains(notes[0], "could not be exported") {
			t.Errorf("notes %q", notes)
		}
		p.arrived(mail...)
	})
}
