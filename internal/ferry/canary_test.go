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
	for name, po := range map[string]popd.Options{"": {}, "no UIDL": {NoUIDL: true}} {
		for at, struck := int64(1), true; struck; at += 3 {
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
