package ferry_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// perSession gives the messages that are picked another UIDL in each session.
func perSession(changes func(n int) bool) popd.Options {
	var session atomic.Int64
	return popd.Options{
		UIDL: func(n int, raw []byte) string {
			if changes(n) {
				return fmt.Sprintf("s%d-%d", session.Load(), n)
			}
			return fmt.Sprintf("x%d-%d", n, len(raw))
		},
		Reply: func(cmd string, _ int) ([]byte, bool) {
			if cmd == "GREETING" {
				session.Add(1)
			}
			return nil, false
		},
	}
}

// TestUIDLsOfASession: names that hold for a session only name nothing. All mail arrives
// once, what comes later too, and is deleted, as on a server without names.
func TestUIDLsOfASession(t *testing.T) {
	for name, po := range map[string]popd.Options{
		"all": perSession(func(int) bool { return true }), "most": perSession(func(n int) bool { return n%5 < 3 }),
	} {
		for _, noTop := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, no TOP %v", name, noTop), func(t *testing.T) {
				po.NoTOP = noTop
				mail := append(ordinary(6, 1), ordinary(2, 1)...)
				mail = append(mail, []byte("Subject: no name\r\n\r\none\r\n"), []byte("Subject: no name\r\n\r\ntwo\r\n"))
				p := newPair(t, po, imapd.Options{}, mail...)
				p.run(0, len(mail))
				for i := range 3 {
					more := ordinary(2, int64(10+i))
					p.pop.Deliver(more...)
					mail = append(mail, more...)
					r := p.run(0, len(more))
					if r.Totals.Known != len(mail)-len(more) {
						t.Errorf("%d known of %d", r.Totals.Known, len(mail)-len(more))
					}
					if notes := strings.Join(r.Accounts[0].Notes, "\n"); !noTop && !strings.Contains(notes, "in each session") {
						t.Errorf("notes: %s", notes)
					}
					p.arrived(mail...)
				}
				p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
				p.run(0, 0)
				more := ordinary(2, 20)
				p.pop.Deliver(more...)
				p.run(0, len(more))
				last := p.run(0, 0)
				p.arrived(append(mail, more...)...)
				if left := len(p.pop.Messages()); left > 0 {
					t.Errorf("%d left on POP3: %+v", left, last)
				}
			})
		}
	}
}

// TestAdoptUIDLsOfASession: mail that another tool copied is adopted from such a server.
func TestAdoptUIDLsOfASession(t *testing.T) {
	mail := append(ordinary(6, 1), []byte("Subject: no name\r\n\r\none\r\n"), []byte("Subject: no name\r\n\r\ntwo\r\n"))
	p := newPair(t, perSession(func(int) bool { return true }), imapd.Options{}, mail...)
	for _, m := range mail {
		p.imap.User("alice").Deliver("INBOX", m, nil, time.Time{})
	}
	r := ferry.Adopt(t.Context(), p.o, false)
	if r.ExitCode != 0 || r.Totals.Known+r.Totals.Duplicate != len(mail) {
		t.Errorf("%+v", r)
	}
	p.run(0, 0)
	p.arrived(mail...)
}
