package message_test

import (
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/message"
)

// TestMemoryDoesNotGrow counts all that is allocated for a message of 24 MiB,
// which bounds what a larger one can need: for a body, and for headers that must
// be looked at line by line.
func TestMemoryDoesNotGrow(t *testing.T) {
	const size, allowed = 24 << 20, 2 << 20
	s := &message.Spool{Dir: t.TempDir(), Now: clock}
	large := func(of string) io.Reader { return io.LimitReader(repeat(of), size) }
	for name, r := range map[string]io.Reader{
		"body":          corpus.Large(size),
		"bare LF":       large("\n"),
		"one field":     io.MultiReader(strings.NewReader("Subject: "), large("x")),
		"continuations": io.MultiReader(strings.NewReader("Subject: x\n"), large(" x\r\n")),
		"blank":         io.MultiReader(strings.NewReader("Subject: x\n"), large(" ")),
		"no colons":     large("no colon\r\n"),
		"nul":           large("\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			m, err := s.Receive(r)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if n, err := m.WriteTo(io.Discard); n != m.Size || err != nil {
				t.Errorf("wrote %d of %d: %v", n, m.Size, err)
			}
			runtime.ReadMemStats(&after)
			if m.Raw < size || m.InMemory() != 0 {
				t.Errorf("%d octets, %d of them in memory", m.Raw, m.InMemory())
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > allowed && name != "received" {
				t.Errorf("allocated %d octets", n)
			}
			if n := after.HeapAlloc; n > before.HeapAlloc+8<<20 {
				t.Errorf("the heap grew from %d to %d", before.HeapAlloc, n)
			}
		})
	}
}

// repeat is an endless reader of the same text.
func repeat(of string) io.Reader { return &repeated{text: []byte(strings.Repeat(of, 1000))} }

type repeated struct {
	text []byte
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}
