package ferry_test

import (
	"bytes"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// mirror is a pair that shows one mailbox: POP3 lists what INBOX has, when a session begins.
type mirror struct {
	*pair
	shown []uint32 // UIDs of what POP3 lists
	tells bool     // it names its mail
}

func newMirror(t *testing.T, po popd.Options, io imapd.Options, mail ...[]byte) *mirror {
	m := &mirror{pair: newPair(t, po, io), tells: !po.NoUIDL && !po.DuplicateUIDLs}
	for _, raw := range mail {
		m.imap.User("").Deliver("INBOX", raw, nil, time.Time{})
	}
	m.show()
	return m
}

// show has POP3 list what INBOX has by now.
func (m *mirror) show() {
	inbox := m.imap.Mailbox("INBOX")
	for i := len(m.shown) - 1; i >= 0; i-- {
		if !slices.ContainsFunc(inbox, func(s imapd.Stored) bool { return s.UID == m.shown[i] }) {
			m.pop.Expunge(i + 1)
			m.shown = slices.Delete(m.shown, i, i+1)
		}
	}
	for _, s := range inbox {
		if !slices.Contains(m.shown, s.UID) {
			m.pop.Deliver(s.Raw)
			m.shown = append(m.shown, s.UID)
		}
	}
}

// settles takes some passes, of which none brings anything but the first.
func (m *mirror) settles(first int) {
	m.t.Helper()
	m.run(fault.OK, first)
	said := false
	for range 4 {
		m.show()
		r := m.run(fault.OK, 0)
		said = said || strings.Contains(strings.Join(r.Accounts[0].Notes, "\n"), "one mailbox")
	}
	if m.tells && said != (first > 0) {
		m.t.Errorf("why nothing more is brought: said %v", said)
	}
}

// everyName are the ways in which POP3 tells its mail apart, and does not.
var everyName = map[string]popd.Options{"UIDL": {}, "no TOP": {NoTOP: true}, "no UIDL": {NoUIDL: true}, "repeated UIDL": {DuplicateUIDLs: true}}

// TestOneMailboxMarked: mail that is marked as deleted keeps none from being brought. Where it is
// its own original, what popferry put beside it comes up on POP3 as one more: that is the end of it.
func TestOneMailboxMarked(t *testing.T) {
	for name, po := range everyName {
		t.Run(name, func(t *testing.T) {
			mail := append(ordinary(12, 31), simple("x", "a", "b"), simple("x", "a", "b"))
			m := newMirror(t, po, imapd.Options{}, mail...)
			m.imap.User("").MarkDeleted("INBOX", 3, 7, 13)
			m.settles(3)
			m.expunge()
			m.show()
			m.settles(0)
			m.imap.User("").Deliver("INBOX", simple("y", "c", "d"), []string{`\Deleted`}, time.Time{})
			m.show()
			m.settles(1)
		})
	}
}

// TestOneMailboxExpunged: mail goes from IMAP while POP3 still has it in its session. It is brought,
// comes up on POP3 under a new name, and that is the end of it.
func TestOneMailboxExpunged(t *testing.T) {
	for name, po := range everyName {
		t.Run(name, func(t *testing.T) {
			var m *mirror
			var done atomic.Bool
			m = newMirror(t, po, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
				if e.Command == "EXAMINE" && e.Stage == imapd.AtCommand && !done.Swap(true) {
					m.imap.User("").Expunge("INBOX", 2)
					m.imap.User("").Expunge("INBOX", 5)
				}
				return imapd.Action{}
			}}, ordinary(12, 32)...)
			m.settles(2)
			if n := len(m.imap.Mailbox("INBOX")); n != 12 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// TestOneMailboxAmidARun: a maildrop of which a session may show a page is listed anew in the same
// run, with what was brought in it.
func TestOneMailboxAmidARun(t *testing.T) {
	for _, expunges := range []bool{false, true} {
		var m *mirror
		var done atomic.Bool
		m = newMirror(t, popd.Options{NoTOP: true, Reply: func(cmd string, _ int) ([]byte, bool) {
			switch {
			case cmd == "GREETING":
				m.show()
			case cmd == "RETR" && expunges && !done.Swap(true):
				m.imap.User("").Expunge("INBOX", 2)
			}
			return nil, false
		}}, imapd.Options{}, ordinary(250, 39)...)
		m.imap.User("").MarkDeleted("INBOX", 7)
		m.run(fault.OK, map[bool]int{false: 1, true: 2}[expunges])
		m.settles(0)
	}
}

// mirrors has what QUIT removes from POP3 go from INBOX, too.
func (m *mirror) mirrors() {
	m.pop.Configure(func(o *popd.Options) {
		o.Removed = func(raw []byte) {
			inbox := m.imap.Mailbox("INBOX")
			at := slices.IndexFunc(inbox, func(s imapd.Stored) bool { return bytes.Equal(s.Raw, raw) })
			m.imap.User("").Expunge("INBOX", inbox[at].UID)
		}
	})
	m.account().Keep, m.o.ConfirmDelete = plan.Keep{Delete: true}, true
}

// TestOneMailboxDeletes: what came up on POP3 again is its own copy, and no deletion takes it.
func TestOneMailboxDeletes(t *testing.T) {
	for _, n := range []int{1, 12} {
		mail := ordinary(n, 33)
		var m *mirror
		var done atomic.Bool
		m = newMirror(t, popd.Options{}, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
			if e.Command == "EXAMINE" && e.Stage == imapd.AtCommand && !done.Swap(true) {
				m.imap.User("").Expunge("INBOX", 1)
			}
			return imapd.Action{}
		}}, mail...)
		m.run(fault.OK, 1)
		m.show()
		m.run(fault.OK, 0)
		m.mirrors()
		m.run(fault.Config, 0)
		m.arrived(mail...)
	}
}

// TestSourceMovesToDestination: the source of an account becomes the server that its mail went to,
// which shows under new names what was brought. None of that may go.
func TestSourceMovesToDestination(t *testing.T) {
	mail := ordinary(5, 35)
	m := newMirror(t, popd.Options{}, imapd.Options{})
	m.pop.Deliver(mail...)
	m.run(fault.OK, 5)
	for range mail {
		m.pop.Expunge(1)
	}
	m.account().Source.Host = "127.0.0.1"
	m.show()
	m.mirrors()
	m.run(fault.Config, 0)
	m.arrived(mail...)
}

// TestCopyOfBrought: a mail that popferry brought, and POP3 has no more, comes again. Its name
// is all that is new; but what else was brought does not come up on POP3, so that is one more.
func TestCopyOfBrought(t *testing.T) {
	mail := ordinary(12, 34)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	p.run(fault.OK, 12)
	p.pop.Expunge(4)
	p.pop.Deliver(mail[3])
	p.run(fault.OK, 1)
	p.imap.User("").Deliver("INBOX", mail[5], []string{`\Deleted`}, time.Time{})
	p.pop.Deliver(mail[5])
	p.run(fault.OK, 1)
}

// TestOneMailboxWithAnotherFolder: a route that leads back to the mailbox itself brings nothing
// there, also where the account had another folder before.
func TestOneMailboxWithAnotherFolder(t *testing.T) {
	for name, po := range everyName {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t, po, imapd.Options{}, from("a", 2020, 1), from("a", 2020, 2), from("b", 2020, 3))
			m.run(fault.OK, 0)
			m.account().Folder, m.account().Routes = "Archive", []plan.Route{route("a", "INBOX")}
			for _, n := range []int{1, 0, 0} {
				m.show()
				m.run(fault.OK, n)
			}
		})
	}
}
