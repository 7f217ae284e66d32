package ferry_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// TestOneMailbox: where POP3 and IMAP show the same mailbox, every message is there as its own
// copy. None may go.
func TestOneMailbox(t *testing.T) {
	s := startDovecot(t, dovecot.Options{OneStore: true})
	var want [][]byte
	for _, m := range append(corpus.Ordinary(12, 4), corpus.Ordinary(1, 4)...) {
		if err := s.Deliver("alice", m.Raw); err != nil {
			t.Fatal(err)
		}
		want = append(want, m.Raw)
	}
	o := ferry.Options{Config: dovecotConfig(t, s), Journal: openJournal(t, t.TempDir()), ConfirmDelete: true}
	o.Config.Accounts[0].Keep = plan.Keep{Delete: true}
	for range 4 {
		r := runFerry(t, o)
		if r.ExitCode != fault.Config || r.Totals.Deleted != 0 {
			t.Errorf("exit %d, %+v", r.ExitCode, r.Totals)
		}
		if e := r.Accounts[0].Error; e == nil || !strings.Contains(e.Hint, "same mailbox") {
			t.Errorf("%+v", e)
		}
		sameMail(t, messages(t, s, "alice", "INBOX"), want)
		o.ConfirmDelete = false
	}
	o.Config.Accounts[0].Keep = plan.Keep{}
	if r := runFerry(t, o); r.ExitCode != fault.OK || r.Totals.Delivered != 0 {
		t.Errorf("%+v", r)
	}
	sameMail(t, messages(t, s, "alice", "INBOX"), want)
}

// found is a pair whose mail is in the destination already; shared says that this is one
// mailbox, so that what QUIT removes from POP3 is gone from IMAP.
func found(t *testing.T, shared bool, po popd.Options, io imapd.Options, mail ...[]byte) *pair {
	t.Helper()
	var p *pair
	if shared {
		po.Removed = func(raw []byte) {
			inbox := p.imap.User("").Mailbox("INBOX")
			at := slices.IndexFunc(inbox, func(m imapd.Stored) bool { return bytes.Equal(m.Raw, raw) })
			p.imap.User("").Expunge("INBOX", inbox[at].UID)
		}
	}
	p = newPair(t, po, io, mail...)
	for _, raw := range mail {
		p.imap.User("").Deliver("INBOX", raw, nil, time.Time{})
	}
	p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
	return p
}

// TestFoundMailIsDeleted, once one message proved that copies stay; that is remembered.
func TestFoundMailIsDeleted(t *testing.T) {
	for name, po := range map[string]popd.Options{"": {}, "no UIDL": {NoUIDL: true}, "no TOP": {NoTOP: true},
		"repeated UIDLs": {DuplicateUIDLs: true}} {
		for _, plus := range []bool{true, false} {
			t.Run(fmt.Sprint(name, plus), func(t *testing.T) {
				mail := ordinary(9, 1)
				p := found(t, false, po, imapd.Options{NoUIDPlus: !plus}, mail...)
				if r := p.run(fault.OK, 0); r.Totals.Deleted != 9 || len(p.pop.Messages()) != 0 {
					t.Errorf("%+v, %d left", r.Totals, len(p.pop.Messages()))
				}
				sessions := p.pop.Counters().Sessions
				more := ordinary(3, 2)
				p.pop.Deliver(more...)
				for _, raw := range more {
					p.imap.User("").Deliver("INBOX", raw, nil, time.Time{})
				}
				if r := p.run(fault.OK, 0); r.Totals.Deleted != 3 || p.pop.Counters().Sessions > sessions+3 {
					t.Errorf("%+v in %d sessions", r.Totals, p.pop.Counters().Sessions-sessions)
				}
				p.arrived(slices.Concat(mail, more)...)
			})
		}
	}
}

// TestOneMailboxWithFaults: wherever a connection breaks, the message that went first is put
// back, at the latest by the next run, and once.
func TestOneMailboxWithFaults(t *testing.T) {
	t.Parallel()
	for name, po := range map[string]popd.Options{"": {}, "no UIDL": {NoUIDL: true}} {
		for at, struck := int64(1), true; struck; at += 7 {
			struck = false
			var n atomic.Int64
			mail := append(ordinary(4, 1), ordinary(1, 1)...)
			p := found(t, true, po, imapd.Options{Reply: func(imapd.Event) imapd.Action {
				if n.Add(1) != at {
					return imapd.Action{}
				}
				struck = true
				return imapd.Action{Cut: imapd.RST}
			}}, mail...)
			for range 2 {
				runFerry(t, p.o)
			}
			n.Store(1 << 20)
			p.o.ConfirmDelete = false
			time.Sleep(p.o.Config.Settle)
			p.run(fault.Config, 0)
			if p.arrived(mail...); t.Failed() {
				t.Fatalf("%s: cut at event %d", name, at)
			}
		}
	}
}

// TestCopyThatSomebodyRemoved in the moment in which its original was deleted looks as if
// there was one mailbox; a person knows better.
func TestCopyThatSomebodyRemoved(t *testing.T) {
	mail := ordinary(5, 1)
	p := found(t, true, popd.Options{}, imapd.Options{}, mail...)
	p.run(fault.Config, 0)
	p.pop.Configure(func(o *popd.Options) { o.Removed = nil })
	p.o.ConfirmDelete = false
	p.run(fault.Config, 0)
	p.o.ConfirmDelete = true
	if r := p.run(fault.OK, 0); r.Totals.Deleted != 4 {
		t.Errorf("%+v", r.Totals)
	}
	p.arrived(mail...)
}

// TestCopiesThatShowOnPOP3: without UIDLs, what was brought into the mailbox that POP3 shows as
// well looks like mail that the server did not delete.
func TestCopiesThatShowOnPOP3(t *testing.T) {
	mail := ordinary(5, 3)
	p := found(t, true, popd.Options{NoUIDL: true}, imapd.Options{}, mail...)
	p.mark() // no witness: all is brought
	if r := p.run(0, 5); r.Totals.Deleted != 5 {
		t.Errorf("%+v", r.Totals)
	}
	p.arrived(mail...)
	p.pop.Deliver(mail...)
	for range 3 {
		p.run(fault.Config, 0)
		p.arrived(mail...)
	}
}

// quitOnce answers the first QUIT behind a DELE otherwise; no octets: not at all.
func quitOnce(p **pair, raw []byte) func(string, int) ([]byte, bool) {
	done := false
	return func(cmd string, _ int) ([]byte, bool) {
		if cmd != "QUIT" || done || (*p).pop.Counters().Dele == 0 {
			return nil, false
		}
		done = true
		return raw, true
	}
}

// TestOneMailboxAmidOtherTrouble: nothing is lost of one mailbox where a server wants a pause
// before anybody can look, names are others or another's by then, or nobody knows whether the
// message is gone.
func TestOneMailboxAmidOtherTrouble(t *testing.T) {
	delay := []string{"LOGIN-DELAY 600"}
	renamed := func(p *pair) { p.account().Name, p.account().Source.Username = "other", "Alice@example.org" }
	renumbered := func(p *pair) {
		p.pop.Configure(func(o *popd.Options) { o.UIDL = func(n int, _ []byte) string { return fmt.Sprint("new-", n) } })
	}
	new1 := ordinary(1, 9)[0]
	arrives := func(p *pair) {
		p.pop.Deliver(new1)
		p.imap.User("").Deliver("INBOX", new1, nil, time.Time{})
	}
	for name, c := range map[string]struct {
		po     popd.Options
		quit   *[]byte
		change func(*pair)
		twice  bool // may be: where the same names come again, what is put back may be taken for new
	}{
		"a pause, and new mail":       {po: popd.Options{Capabilities: delay}, change: arrives},
		"a pause, and another name":   {po: popd.Options{Capabilities: delay}, change: renamed},
		"a pause, no UIDL, and so on": {po: popd.Options{Capabilities: delay, NoUIDL: true}, change: renamed},
		"no deletion, other UIDLs":    {quit: &[]byte{'-', 'E', 'R', 'R', '\r', '\n'}, change: renumbered},
		"numbers for UIDLs":           {po: popd.Options{UIDL: func(n int, _ []byte) string { return fmt.Sprint(n) }}, twice: true},
		"no answer, no UIDL":          {po: popd.Options{NoUIDL: true}, quit: new([]byte)},
	} {
		t.Run(name, func(t *testing.T) {
			var p *pair
			if c.quit != nil {
				c.po.Reply = quitOnce(&p, *c.quit)
			}
			mail := ordinary(5, 1)
			if c.twice {
				mail = ordinary(6, 1)
			}
			p = found(t, true, c.po, imapd.Options{}, mail...)
			p.account().Source.Limits.Idle = 100 * time.Millisecond
			runFerry(t, p.o)
			if c.change != nil {
				c.change(p)
			}
			p.o.ConfirmDelete = false
			for range 4 {
				time.Sleep(p.o.Config.Settle)
				runFerry(t, p.o)
			}
			if strings.Contains(name, "new mail") {
				mail = append(mail, new1)
			}
			if c.twice {
				p.arrivedAtLeast(mail...)
				return
			}
			p.arrived(mail...)
		})
	}
}

// arrivedAtLeast looks for mail that is lost.
func (p *pair) arrivedAtLeast(want ...[]byte) {
	p.t.Helper()
	for _, w := range want {
		if !slices.ContainsFunc(p.imap.Mailbox("INBOX"), func(m imapd.Stored) bool { return bytes.Equal(m.Raw, w) }) {
			p.t.Errorf("lost: %.100q", w)
		}
	}
}

// TestCopiesElsewhere: where the user moved the smallest of the mail that was found, another
// one goes first.
func TestCopiesElsewhere(t *testing.T) {
	mail := ordinary(30, 1)
	slices.SortFunc(mail, func(a, b []byte) int { return len(a) - len(b) })
	p := found(t, false, popd.Options{}, imapd.Options{}, mail...)
	p.account().Keep = plan.Keep{}
	p.run(fault.OK, 0)
	for i := range 12 {
		if _, err := p.imap.User("").Move("INBOX", uint32(i+1), "Elsewhere"); err != nil {
			t.Fatal(err)
		}
	}
	p.account().Keep = plan.Keep{Delete: true}
	if r := p.run(fault.OK, 0); r.Totals.Deleted != 18 {
		t.Errorf("%+v", r.Totals)
	}
}

// TestNewUIDValidityBeforeTheCheck is no sign of one mailbox.
func TestNewUIDValidityBeforeTheCheck(t *testing.T) {
	mail := ordinary(5, 1)
	p := found(t, false, popd.Options{Capabilities: []string{"LOGIN-DELAY 600"}}, imapd.Options{}, mail...)
	p.run(fault.OK, 0)
	p.imap.User("").SetUIDValidity("INBOX", 7777)
	p.run(fault.OK, 0)
	p.arrived(mail...)
}
