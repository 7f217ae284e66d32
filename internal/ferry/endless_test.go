package ferry_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// TestEndlessTop (I6, I7): a message whose TOP does not end is read instead; a server
// that ends none breaks the protocol, and is not asked for ever.
func TestEndlessTop(t *testing.T) {
	endless := []byte("+OK\r\n" + strings.Repeat("X: "+strings.Repeat("x", 4000)+"\r\n", 10_000))
	for name, c := range map[string]struct {
		first, last int
		want        fault.Code
	}{"one message": {3, 3, 0}, "every message": {1, 100, fault.Protocol}} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(10, 1)
			p := newPair(t, popd.Options{Reply: func(cmd string, n int) ([]byte, bool) {
				return endless, cmd == "TOP" && c.first <= n && n <= c.last
			}}, imapd.Options{}, mail...)
			p.run(0, len(mail))
			p.forget()
			p.run(c.want, 0)
			p.arrived(mail...)
			if n := p.pop.Counters().Commands["TOP"]; n > 3*len(mail) {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// TestNothingButNewSizes (I6): a server that names no mail and lists it with another size each
// time, so that nobody knows it again, spoils each session with a message, or gives none. That is the
// same each time, and no run goes on for ever with it, nor where the listing looks like a page.
func TestNothingButNewSizes(t *testing.T) {
	for name, c := range map[string]struct {
		messages int
		reply    string // to each RETR
		want     fault.Code
	}{
		"spoils": {3, "+OK\r\nSubject: x\r\n\r\nfirst\r\n.\r\nlast\r\n.\r\n", fault.Temporary},
		"page":   {250, "-ERR it can't be read\r\n", fault.Held},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				var p *pair
				p = newPair(t, popd.Options{NoUIDL: true, Reply: func(cmd string, n int) ([]byte, bool) {
					session := p.pop.Counters().Sessions
					if session > 50 {
						cancel()
					}
					if cmd == "LIST" && n == 0 {
						return newSizes(p, session), true
					}
					return []byte(c.reply), cmd == "RETR"
				}}, imapd.Options{}, short(c.messages)...)
				r := ferry.Run(ctx, p.o)
				if n := p.pop.Counters().Sessions; r.ExitCode != c.want || n > 10 {
					t.Errorf("exit %d after %d sessions: %+v, %+v", r.ExitCode, n, r.Totals, r.Accounts[0].Error)
				}
			})
		})
	}
}

// newSizes lists mail with sizes that are not those of the session before.
func newSizes(p *pair, session int) []byte {
	list := "+OK\r\n"
	for i, m := range p.pop.Messages() {
		list += fmt.Sprintf("%d %d\r\n", i+1, len(m)-session%2)
	}
	return []byte(list + ".\r\n")
}

// TestTopsThatHangUp (I7): messages over whose headers the server hangs up are read instead, and
// after three of them all are.
func TestTopsThatHangUp(t *testing.T) {
	mail := ordinary(10, 1)
	for name, noUIDL := range map[string]bool{"UIDL": false, "no UIDL": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p *pair
				p = newPair(t, popd.Options{NoUIDL: noUIDL, Reply: func(cmd string, n int) ([]byte, bool) {
					if cmd != "TOP" || n > 5 {
						return nil, false
					}
					p.pop.Cut()
					return nil, true
				}}, imapd.Options{}, mail...)
				p.imap.User("").Deliver("INBOX", ordinary(1, 40)[0], nil, time.Time{}) // with which all is compared
				p.run(0, len(mail))
				if n := p.pop.Counters().Sessions; n > 10 {
					t.Errorf("%d sessions", n)
				}
			})
		})
	}
}
