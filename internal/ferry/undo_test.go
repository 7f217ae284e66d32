package ferry_test

import (
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// undo takes back and checks how that ended.
func (p *pair) undo(want fault.Code, taken int) ferry.Report {
	p.t.Helper()
	r := ferry.Undo(p.t.Context(), p.o)
	if r.ExitCode != want || r.Totals.Deleted != taken {
		p.t.Fatalf("exit %d, %d taken back; want %d and %d\n%+v", r.ExitCode, r.Totals.Deleted, want, taken, r)
	}
	return r
}

// TestUndoAfterACrash: mail whose append was under way when the process died is taken
// back, too, once it is known what became of it.
func TestUndoAfterACrash(t *testing.T) {
	mail := ordinary(10, 31)
	var p *pair
	p = newPair(t, popd.Options{}, imapd.Options{Reply: firstAppend(imapd.AtReply, func() imapd.Action {
		p.o.Journal.Close() // the process dies
		return imapd.Action{Cut: imapd.RST}
	})}, mail...)
	dir := t.TempDir()
	p.o.Journal = openJournal(t, dir)
	if r := runFerry(t, p.o); r.ExitCode == 0 {
		t.Fatalf("the run did not die: %+v", r)
	}
	p.has(len(mail))
	p.o.Journal = openJournal(t, dir)
	p.undo(0, len(mail))
	p.has(0)
	p.run(0, len(mail))
	p.arrived(mail...)
}

// TestUndoWaitsForWhatIsUnderWay: before the settling time has passed nobody knows
// what else arrives.
func TestUndoWaitsForWhatIsUnderWay(t *testing.T) {
	mail := ordinary(10, 32)
	p := newPair(t, popd.Options{}, imapd.Options{Reply: firstAppend(imapd.AtStore, func() imapd.Action {
		return imapd.Action{StoreAfter: -1, Cut: imapd.RST}
	})}, mail...)
	p.o.NoWait, p.o.Config.Settle = true, time.Hour
	p.run(fault.Temporary, 0)
	p.undo(fault.Temporary, 0)
	p.imap.Commit()
	p.undo(0, len(mail))
	p.has(0)
}

// TestUndoLeavesWhatMoved: mail that somebody moved is left, is told, and is not
// delivered a second time.
func TestUndoLeavesWhatMoved(t *testing.T) {
	mail := ordinary(5, 33)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	p.run(0, len(mail))
	box := p.imap.User("")
	box.Create("Moved")
	if _, err := box.Move("INBOX", p.imap.Mailbox("INBOX")[2].UID, "Moved"); err != nil {
		t.Fatal(err)
	}
	r := p.undo(0, len(mail)-1)
	if notes := r.Accounts[0].Notes; len(notes) != 1 {
		t.Errorf("notes %q", notes)
	}
	p.has(0)
	p.run(0, len(mail)-1)
	p.has(len(mail) - 1)
}

// TestUndoKeepsTheOnlyCopy: what POP3 has lost since, by its own rules or by another
// client, is not taken from the destination.
func TestUndoKeepsTheOnlyCopy(t *testing.T) {
	for name, po := range map[string]popd.Options{"UIDL": {}, "no UIDL": {NoUIDL: true}, "no UIDL, no TOP": {NoUIDL: true, NoTOP: true}} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(3, 5)
			p := newPair(t, po, imapd.Options{}, mail...)
			p.run(0, len(mail))
			p.pop.Expunge(1)
			want := 2
			if po.NoTOP {
				want = 0 // nobody can tell
			}
			p.undo(0, want)
			left := map[string]bool{}
			for _, m := range p.imap.Mailbox("INBOX") {
				left[string(corpus.Canonical(m.Raw))] = true
			}
			if !left[string(corpus.Canonical(mail[0]))] {
				t.Error("the only copy is gone")
			}
			p.has(len(mail) - want)
		})
	}
}
