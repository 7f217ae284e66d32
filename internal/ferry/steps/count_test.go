//go:build !race

package steps_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/mailtest/voyage"
	"github.com/popferry/popferry/internal/message"
)

// miscount has the server answer a command about message n, or of what message it may
// be, so often, once or always.
type miscount struct {
	command   string
	n, times  int
	always    bool
	pipelined bool
}

func (m miscount) String() string {
	how := map[int]string{0: "left out", 2: "twice"}[m.times]
	return fmt.Sprintf("%s %d/%s/always=%v/pipelined=%v", m.command, m.n, how, m.always, m.pipelined)
}

// set makes the server so.
func (m miscount) set(w *voyage.World) {
	done := false
	w.Drops[0].Configure(func(o *popd.Options) {
		o.Times = func(command string, n int) int {
			if command != m.command || n != m.n || done && !m.always {
				return 1
			}
			done = true
			return m.times
		}
	})
}

func cured(w *voyage.World) { w.Drops[0].Configure(func(o *popd.Options) { o.Times = nil }) }

// TestM10Miscounted leaves out each answer, and gives each twice, of a few messages that
// differ in nothing that a listing shows.
func TestM10Miscounted(t *testing.T) {
	const messages = 5
	for _, command := range []string{"RETR", "TOP", "LIST"} {
		for n := range messages {
			for i := range 8 {
				m := miscount{command, n + 1, 2 * (i & 1), i&2 > 0, i&4 == 0}
				for _, c := range ways {
					t.Run(fmt.Sprintf("%v/delete=%v", m, c.delete), func(t *testing.T) {
						t.Parallel()
						s := scenario{mail: letters(0, messages), setup: m.setup(c.delete),
							options: withPop(func(o *popd.Options) { o.NoPipelining = !m.pipelined })}
						inBubble(t, s, c, nil, func(p *player) { p.miscounts(m) })
					})
				}
			}
		}
	}
}

// setup gives the destination what makes headers worth a TOP: mail of others. A
// deletion asks for them anyway.
func (m miscount) setup(deletes bool) func(*voyage.World) {
	return func(w *voyage.World) {
		m.set(w)
		if m.command == "TOP" && !deletes {
			w.Prefill("INBOX", letter(100))
		}
	}
}

// miscounts has a run meet such a server. One that miscounts once costs no message its
// delivery, and neither does one that does so each time it is asked for several at
// once.
func (p *player) miscounts(m miscount) {
	names := byName(p.w.Drops[0])
	report := p.live(&voyage.Life{})
	silent := m.command == "RETR" && m.times == 0 && m.always
	switch {
	case silent:
		if report.ExitCode != fault.Held || report.Totals.Held != 1 {
			p.Errorf("exit status %d, %d held; want %d for the one that never comes",
				report.ExitCode, report.Totals.Held, fault.Held)
		}
	case m.command == "TOP" && (m.always && p.delete || m.times == 0 && !m.pipelined):
		// Nothing is deleted from one that can never be looked at, and nothing tells
		// its silence from that of a lost connection.
		if report.ExitCode != 0 && report.ExitCode != fault.Temporary {
			p.Errorf("exit status %d", report.ExitCode)
		}
	case m.always && report.ExitCode == fault.Held: // nobody can tell
	case report.ExitCode != 0:
		p.Errorf("exit status %d: %+v", report.ExitCode, report.Totals)
	}
	p.expect("after the miscount", p.w.Lost())
	p.named(names)
	cured(p.w)
	p.w.Tune = func(o *ferry.Options) { o.Held, o.ConfirmDelete = true, true }
	p.recover()
	p.idle()
	p.named(names)
}

// byName returns the messages of a maildrop by their UIDLs.
func byName(s *popd.Server) map[string][]byte {
	names, messages := map[string][]byte{}, s.Messages()
	for i, uidl := range s.UIDLs() {
		names[uidl] = messages[i]
	}
	return names
}

// named makes sure that the journal has every message under its own name.
func (p *player) named(messages map[string][]byte) {
	p.Helper()
	j, err := p.w.Journal()
	if err != nil {
		p.Fatal(err)
	}
	defer j.Close()
	scopes, err := j.Scopes(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	for _, s := range scopes {
		ledger, err := j.Ledger(p.Context(), s.Scope)
		if err != nil {
			p.Fatal(err)
		}
		err = ledger.Each(p.Context(), journal.Query{}, func(r journal.Record) error {
			raw, known := messages[r.UIDL]
			sum, err := message.Summarize(bytes.NewReader(raw), time.Now())
			if known && !r.Sum.Content.IsZero() && r.Sum.Content != sum.Content {
				p.Errorf("%s (%s) is recorded with the content of another message", r.UIDL, r.State)
			}
			return err
		})
		if err != nil {
			p.Fatal(err)
		}
	}
}
