package ferry_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// TestFolderRemovedAmidARun: it is made again in the same run, also where the server gives
// another reason, and the rest comes. What was in it is not brought again, and not deleted
// from POP3 (I1).
func TestFolderRemovedAmidARun(t *testing.T) {
	t.Parallel()
	var mail [][]byte
	for i := range 350 {
		mail = append(mail, simple(fmt.Sprint(i), "a", "text"))
	}
	for _, says := range []string{"", "NO [UNAVAILABLE] Mailbox was deleted under us"} {
		t.Run(says, func(t *testing.T) {
			p := newPair(t, popd.Options{}, imapd.Options{Literals: imapd.LiteralSync}, mail...)
			p.account().Folder, p.account().Destination.Connections = "Lists", 1
			p.imap.User("").Deliver("Lists", simple("old", "a", "text"), nil, time.Time{})
			var once atomic.Bool
			p.imap.Configure(func(o *imapd.Options) {
				o.Reply = func(e imapd.Event) imapd.Action {
					if e.Stage != imapd.AtCommand || e.Command != "APPEND" {
						return imapd.Action{}
					}
					if len(p.imap.Mailbox("Lists")) >= 200 && !once.Swap(true) {
						p.imap.User("").Remove("Lists")
					}
					if p.imap.User("").UIDValidity("Lists") == 0 {
						return imapd.Action{Reply: says}
					}
					return imapd.Action{}
				}
			})
			r := p.run(0, len(mail))
			there := len(p.imap.Mailbox("Lists"))
			if !once.Load() || there == 0 || there == len(mail) || !noted(r, "folder Lists was removed amid the run") {
				t.Fatalf("%d there: %+v", there, r)
			}
			// Nobody takes the UIDs that the old folder had for known ones.
			more := simple("more", "a", "text")
			p.imap.User("").Deliver("Lists", more, nil, time.Time{})
			p.pop.Deliver(more)
			if r := p.run(0, 0); r.Totals.Duplicate != 1 {
				t.Errorf("%+v", r.Totals)
			}
			p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
			if r := p.run(0, 0); len(p.pop.Messages()) != len(mail)-there {
				t.Errorf("%d there, %+v", there, r)
			}
		})
	}
}

// TestFolderSaidToBeGone: one that is there all the same is looked for once; no message is
// to blame, and so none is held.
func TestFolderSaidToBeGone(t *testing.T) {
	t.Parallel()
	for _, says := range []string{"NO [TRYCREATE] gone", "NO [NONEXISTENT] gone", "NO Mailbox doesn't exist"} {
		t.Run(says, func(t *testing.T) {
			mail := ordinary(10, 41)
			p := newPair(t, popd.Options{}, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
				if e.Stage == imapd.AtStore && e.Command == "APPEND" && e.N < 3 {
					return imapd.Action{Reply: says}
				}
				return imapd.Action{}
			}}, mail...)
			if r := p.run(fault.Refused, 0); r.Totals.Held > 0 || r.Accounts[0].Error.Hint != "the folder is gone; the next run makes it again" {
				t.Errorf("%+v, %+v", r, r.Accounts[0].Error)
			}
			p.run(0, 10)
			p.arrived(mail...)
		})
	}
}

// TestQuotaUntold: as many come as there is room for, at once; with room for none, one
// more message is sent in vain.
func TestQuotaUntold(t *testing.T) {
	mail := ordinary(40, 42)
	for _, room := range []int{0, 1, 17, 39} {
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			p := newPair(t, popd.Options{}, imapd.Options{Quota: 1 << 30, QuotaMessages: 1 + room, Hide: []string{"QUOTA"}}, mail...)
			p.imap.User("").Deliver("Old", mail[0], nil, time.Time{})
			p.run(fault.Refused, room)
			if n := p.imap.Counters().Commands["APPEND"]; room == 0 && n != 2 {
				t.Errorf("%d times APPEND", n)
			}
			p.imap.Configure(func(o *imapd.Options) { o.QuotaMessages = 100 })
			p.run(0, len(mail)-room)
			p.arrived(mail...)
		})
	}
}

// TestFolderComesLate: a folder that was just made is there a moment later; the run waits for it,
// and for one that never comes not long.
func TestFolderComesLate(t *testing.T) {
	for _, says := range []string{"NO [NONEXISTENT] no such mailbox", "NO [TRYCREATE] not yet", "NO Mailbox does not exist"} {
		for late, want := range map[time.Duration]fault.Code{2 * time.Second: fault.OK, time.Hour: fault.Refused} {
			synctest.Test(t, func(t *testing.T) {
				start, mail := time.Now(), ordinary(5, 42)
				p := newPair(t, popd.Options{}, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
					if e.Stage == imapd.AtCommand && e.Command == "EXAMINE" && time.Since(start) < late {
						return imapd.Action{Reply: says}
					}
					return imapd.Action{}
				}}, mail...)
				p.account().Folder = "New"
				p.run(want, map[fault.Code]int{fault.OK: 5}[want])
				if waited := time.Since(start); waited > time.Minute {
					t.Errorf("%s: waited %v", says, waited)
				}
			})
		}
	}
}
