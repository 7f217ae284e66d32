package ferry_test

import (
	"slices"
	"strings"
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
			r := p.undo(0, want)
			if notes := r.Accounts[0].Notes; po.NoTOP && !slices.ContainsFunc(notes, func(note string) bool {
				return strings.Contains(note, "3 messages left alone") && strings.Contains(note, "no TOP")
			}) {
				t.Errorf("notes %q", notes)
			}
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

// TestUndoComparesWhatIsListed: another mail that has the header, or the name and the
// size, of one that POP3 has lost is not taken for it.
func TestUndoComparesWhatIsListed(t *testing.T) {
	nameless := popd.Options{NoUIDL: true}
	monday, friday := simple("", "backup", "of Monday"), simple("", "backup", "of Friday")
	for name, c := range map[string]struct {
		po            popd.Options
		mail, instead [][]byte
		want          int
	}{
		"another size": {nameless, [][]byte{simple("", "backup", "failed: no space left"), monday}, nil, 1},
		"same size":    {nameless, [][]byte{monday, friday}, nil, 0},
		"copies":       {nameless, [][]byte{monday, monday}, nil, 0},
		"same name": {popd.Options{UIDL: func(int, []byte) string { return "one" }},
			[][]byte{monday}, [][]byte{simple("", "images", "of Monday")}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, c.po, imapd.Options{}, c.mail...)
			p.run(0, len(c.mail))
			p.pop.Expunge(1)
			p.pop.Deliver(c.instead...)
			r := p.undo(0, c.want)
			if notes := r.Accounts[0].Notes; len(notes) != 1 {
				t.Errorf("notes %q", notes)
			}
			p.arrived(c.mail[:len(c.mail)-c.want]...)
		})
	}
}

// TestUndoGoesOnInAnotherSession: a lost connection keeps no mail from being taken back.
func TestUndoGoesOnInAnotherSession(t *testing.T) {
	mail := ordinary(10, 34)
	var p *pair
	cut := false
	p = newPair(t, popd.Options{Reply: func(cmd string, n int) ([]byte, bool) {
		if cmd == "TOP" && n == 5 && !cut {
			cut = true
			p.pop.Cut()
		}
		return nil, false
	}}, imapd.Options{}, mail...)
	p.run(0, len(mail))
	p.undo(0, len(mail))
	p.has(0)
	if !cut {
		t.Error("no connection was lost")
	}
}

// TestUndoAfterAnotherFolder: what went to the folder of before is left, and undo tells where it
// is, and how it is taken back.
func TestUndoAfterAnotherFolder(t *testing.T) {
	for _, ran := range []bool{false, true} {
		p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(5, 34)...)
		p.account().Folder = "Pilot"
		p.run(0, 5)
		p.account().Folder = "INBOX"
		want := 0
		if ran {
			p.run(0, 5)
			want = 5
		}
		const says = "5 messages that went to folder Pilot before left alone: this takes back what went to INBOX; " +
			"set folder: Pilot for popferry undo alice"
		if r := p.undo(0, want); !slices.Equal(r.Accounts[0].Notes, []string{says}) {
			t.Errorf("notes %q", r.Accounts[0].Notes)
		}
		p.account().Folder = "Pilot"
		if r := p.undo(0, 5); len(r.Accounts[0].Notes) > 0 {
			t.Errorf("notes %q", r.Accounts[0].Notes)
		}
	}
}
