package ferry_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// maildrop is how many messages POP3 still has, by the server's files.
func maildrop(t *testing.T, s *dovecot.Server, user string) int {
	t.Helper()
	files, err := s.Maildrop(user)
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// TestDeleteOnlyWithConsent: the first deletion waits for a person's word, is
// made after the copies were read back, and is confirmed by a later listing.
func TestDeleteOnlyWithConsent(t *testing.T) {
	s := startDovecot(t, dovecot.Options{})
	var want [][]byte
	for _, m := range corpus.Ordinary(30, 4) {
		if err := s.Deliver("alice", m.Raw); err != nil {
			t.Fatal(err)
		}
		want = append(want, m.Raw)
	}
	o := ferry.Options{Config: dovecotConfig(t, s), Journal: openJournal(t, t.TempDir())}
	o.Config.Accounts[0].Keep = plan.Keep{Delete: true}

	r := runFerry(t, o)
	if r.ExitCode != fault.Held || r.Totals.Delivered != 30 || r.Totals.Deleted != 0 {
		t.Fatalf("without consent: %+v", r)
	}
	if n := maildrop(t, s, "alice"); n != 30 {
		t.Fatalf("%d left on POP3", n)
	}
	o.ConfirmDelete = true
	if r := runFerry(t, o); r.ExitCode != 0 || r.Totals.Deleted != 30 {
		t.Fatalf("with consent: %+v", r)
	}
	if n := maildrop(t, s, "alice"); n != 0 {
		t.Fatalf("%d left on POP3", n)
	}
	sameMail(t, messages(t, s, "alice", "INBOX"), want)

	o.ConfirmDelete = false // it is remembered
	late := []byte("Message-ID: <late@example.org>\r\n\r\nlate\r\n")
	if err := s.Deliver("alice", late); err != nil {
		t.Fatal(err)
	}
	if r := runFerry(t, o); r.ExitCode != 0 || r.Totals.Delivered != 1 || r.Totals.Deleted != 1 {
		t.Fatalf("later mail: %+v", r)
	}
	if r := ferry.Undo(t.Context(), o); r.ExitCode != fault.Refused {
		t.Errorf("undo after deletions: %+v", r)
	}
	sameMail(t, messages(t, s, "alice", "INBOX"), append(want, late))
}

// TestDeleteNothingThatIsNotThere (I1): a copy that vanished from IMAP before it
// was read back keeps its original on POP3.
func TestDeleteNothingThatIsNotThere(t *testing.T) {
	s := startDovecot(t, dovecot.Options{})
	for _, m := range corpus.Ordinary(5, 5) {
		if err := s.Deliver("alice", m.Raw); err != nil {
			t.Fatal(err)
		}
	}
	o := ferry.Options{Config: dovecotConfig(t, s), Journal: openJournal(t, t.TempDir()), ConfirmDelete: true}
	if r := runFerry(t, o); r.Totals.Delivered != 5 {
		t.Fatalf("%+v", r)
	}
	if r := ferry.Undo(t.Context(), ferry.Options{Config: o.Config, Journal: openJournal(t, t.TempDir())}); r.Totals.Deleted != 0 {
		t.Fatalf("a blank journal undid %+v", r)
	}
	removeFromINBOX(t, s, 2)
	o.Config.Accounts[0].Keep = plan.Keep{Delete: true}
	r := runFerry(t, o)
	if r.Totals.Deleted != 4 || maildrop(t, s, "alice") != 1 {
		t.Fatalf("deleted %d, %d left on POP3: %+v", r.Totals.Deleted, maildrop(t, s, "alice"), r)
	}
}

// TestDeleteInBatches: many messages are deleted in several sessions, none with
// more than a thousand, and all of them once.
func TestDeleteInBatches(t *testing.T) {
	t.Parallel()
	var mail [][]byte
	for i := range 2050 {
		mail = append(mail, simple(fmt.Sprint(i), "a", "text"))
	}
	p := deleting(t, popd.Options{}, imapd.Options{}, mail...)
	p.run(0, len(mail))
	if left := len(p.pop.Messages()); left != 0 {
		t.Errorf("%d messages are left", left)
	}
	if c := p.pop.Counters(); c.Dele != len(mail) || c.Quit < 3 {
		t.Errorf("%d times DELE, %d times QUIT", c.Dele, c.Quit)
	}
	p.arrived(mail...)
}

// TestHeldMailBlocksNoDeletion (I7): mail that is held stays, and the others go, also
// where only reading tells them apart.
func TestHeldMailBlocksNoDeletion(t *testing.T) {
	for name, po := range map[string]popd.Options{"TOP": {NoUIDL: true}, "no TOP": {NoUIDL: true, NoTOP: true}} {
		t.Run(name, func(t *testing.T) {
			bad := []byte("Subject: x\r\n\r\npoison\r\n")
			p := deleting(t, po, imapd.Options{Refuse: func(msg []byte) string {
				if bytes.Contains(msg, []byte("poison")) {
					return "NO [CANNOT] poison"
				}
				return ""
			}}, append(ordinary(5, 12), bad)...)
			p.run(fault.Held, 5)
			p.left(bad)
		})
	}
}

// TestNamelessCopyOfANamedMail (I1): a copy without a UIDL that comes between the two
// sessions of a run is not deleted on the word of the record that has a name.
func TestNamelessCopyOfANamedMail(t *testing.T) {
	raw := simple("x", "a", "same")
	var p *pair
	var once atomic.Bool
	p = deleting(t, popd.Options{UIDL: func(n int, _ []byte) string {
		if n == 1 {
			return "one"
		}
		return ""
	}, Reply: func(cmd string, _ int) ([]byte, bool) {
		if cmd == "QUIT" && !once.Swap(true) {
			p.pop.Deliver(raw)
		}
		return nil, false
	}}, imapd.Options{}, raw)
	p.run(0, 1)
	p.left(raw)
	p.arrived(raw)
}

// TestDeleteWhatLostItsName: a message whose UIDL another one has by now is deleted all
// the same, though the other has to stay.
func TestDeleteWhatLostItsName(t *testing.T) {
	good, bad := simple("a", "a", "text"), []byte("Subject: bad\r\n\r\npoison\r\n")
	p := newPair(t, popd.Options{UIDL: func(int, []byte) string { return "twin" }}, imapd.Options{
		Refuse: func(raw []byte) string {
			if bytes.Contains(raw, []byte("Subject: bad\r\n\r\n")) {
				return "NO [CANNOT] no"
			}
			return ""
		}}, good)
	p.run(0, 1)
	p.pop.Deliver(bad)
	p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
	p.run(fault.Held, 0)
	p.left(bad)
	p.arrived(good)
}

// TestDeletionsWithoutEffect: the server says +OK to DELE and QUIT and keeps all. Each
// run says so, none counts them again, and a bridge does not read them again in each pass.
func TestDeletionsWithoutEffect(t *testing.T) {
	for name, po := range map[string]popd.Options{"UIDL": {KeepDeleted: true}, "no UIDL": {KeepDeleted: true, NoUIDL: true}} {
		t.Run(name, func(t *testing.T) {
			p := deleting(t, po, imapd.Options{}, ordinary(5, 31)...)
			if r := p.run(0, 5); r.Totals.Deleted != 5 || len(r.Accounts[0].Notes) > 0 && !po.NoUIDL {
				t.Errorf("at first: %+v", r)
			}
			for range 2 {
				r := p.run(0, 0)
				if r.Totals.Deleted != 0 || !noted(r, "5 messages still on POP3, though the server said that it deleted") {
					t.Errorf("later: %+v", r)
				}
			}
			pass := p.passes()
			pass(0, 0)
			before := retrievals(p)
			for range 4 {
				pass(0, 0)
			}
			if n := retrievals(p) - before; n > 5 && !po.NoUIDL {
				t.Errorf("a bridge read %d messages again in four passes", n)
			}
			p.arrived(p.pop.Messages()...)
		})
	}
}

// retrievals is how often anything was retrieved.
func retrievals(p *pair) (n int) {
	for _, times := range p.pop.Counters().Retr {
		n += times
	}
	return n
}

// TestDeletionsRefused: the reason of the first is told.
func TestDeletionsRefused(t *testing.T) {
	p := deleting(t, popd.Options{Reply: func(cmd string, _ int) ([]byte, bool) {
		return []byte("-ERR [SYS/PERM] maildrop is read-only\r\n"), cmd == "DELE"
	}}, imapd.Options{}, ordinary(5, 32)...)
	for i := range 2 {
		var deleted []ferry.Event
		p.o.Observe = func(e ferry.Event) {
			if e.Kind == ferry.Deleted {
				deleted = append(deleted, e)
			}
		}
		r := p.run(0, 5-5*i)
		if !noted(r, "5 messages kept on POP3, the first") || !noted(r, "maildrop is read-only") || len(deleted) > 0 {
			t.Errorf("%v, %+v", deleted, r)
		}
	}
}

// noted reports whether a note of the report has a text.
func noted(r ferry.Report, text string) bool {
	return slices.ContainsFunc(r.Accounts[0].Notes, func(note string) bool { return strings.Contains(note, text) })
}

// TestKnownInARunThatDeletes: what is deleted was known, also if verify read it back.
func TestKnownInARunThatDeletes(t *testing.T) {
	p := deleting(t, popd.Options{}, imapd.Options{}, ordinary(5, 33)...)
	p.account().Keep.Delete = false
	p.run(0, 5)
	if r := ferry.Verify(t.Context(), p.o); r.ExitCode != 0 {
		t.Fatalf("%+v", r)
	}
	p.account().Keep.Delete = true
	if r := p.run(0, 0); r.Totals.Known != 5 || r.Totals.Deleted != 5 {
		t.Errorf("%+v", r.Totals)
	}
}

// TestOneBadReading (S8, I4): what the POP3 server gives wrong once, as a message is read before
// its deletion, is no other mail: it is not brought again, and deleted when it is given right.
// What it gives differently each time is kept on POP3, and brought once.
func TestOneBadReading(t *testing.T) {
	stamped := 0
	for name, c := range map[string]struct {
		options popd.Options
		wrong   func(raw []byte, n int) []byte // the n-th reading
		left    int
	}{
		"cut, no UIDL":   {popd.Options{NoUIDL: true}, cutSecond, 0},
		"cut, no TOP":    {popd.Options{NoTOP: true}, cutSecond, 0},
		"other, no UIDL": {popd.Options{NoUIDL: true}, otherSecond, 0},
		"other, no TOP":  {popd.Options{NoTOP: true}, otherSecond, 0},
		"stamped, no TOP": {popd.Options{NoTOP: true}, func(raw []byte, _ int) []byte {
			stamped++
			return append(fmt.Appendf(nil, "X-Antivirus: VPS %06d\r\n", stamped), raw...)
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(3, 5)
			read := map[string]int{}
			var p *pair
			c.options.Reply = func(cmd string, n int) ([]byte, bool) {
				if cmd != "RETR" {
					return nil, false
				}
				raw := p.pop.Messages()[n-1]
				read[string(raw)]++
				given := c.wrong(raw, read[string(raw)])
				if given == nil || !bytes.Equal(raw, mail[1]) && c.left == 0 {
					return nil, false
				}
				return fmt.Appendf(nil, "+OK\r\n%s.\r\n", bytes.ReplaceAll(given, []byte("\r\n."), []byte("\r\n.."))), true
			}
			p = newPair(t, c.options, imapd.Options{}, mail...)
			p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
			for range 4 {
				runFerry(t, p.o)
			}
			p.has(3)
			if left := len(p.pop.Messages()); left != c.left {
				t.Errorf("%d left on POP3, want %d", left, c.left)
			}
		})
	}
}

// cutSecond and otherSecond spoil the second reading, the one before the deletion.
func cutSecond(raw []byte, n int) []byte {
	if n != 2 {
		return nil
	}
	return append(raw[:len(raw)/2:len(raw)/2], "\r\n"...)
}

func otherSecond(raw []byte, n int) []byte {
	if n != 2 {
		return nil
	}
	return append(bytes.Clone(raw), "and another text\r\n"...)
}

// TestNoQuitAfterUnsteady (I2): of mail without a name that is given differently each time nobody
// knows whether it was delivered, so that no QUIT follows its RETR, and nothing is deleted.
func TestNoQuitAfterUnsteady(t *testing.T) {
	mail := ordinary(3, 5)
	read := 0
	p := deleting(t, popd.Options{NoUIDL: true, Reply: func(cmd string, n int) ([]byte, bool) {
		if cmd != "RETR" || n != 2 {
			return nil, false
		}
		if read++; read == 1 {
			return nil, false
		}
		return fmt.Appendf(nil, "+OK\r\n%sreading %d\r\n.\r\n", mail[1], read), true
	}}, imapd.Options{}, mail...)
	r := p.run(fault.Held, 3)
	if e := r.Accounts[0].Error; e == nil || !strings.Contains(e.Message, "1 message given differently each time") {
		t.Errorf("%+v", e)
	}
	p.kept(3)
	if n := p.pop.Counters().Commands; n["AUTH"]-n["QUIT"] != 1 || read != 3 { // the last session
		t.Errorf("%d sessions, %d QUIT, read %d times", n["AUTH"], n["QUIT"], read)
	}
}
