package ferry_test

import (
	"bytes"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// TestDeletionGoesOnWithout (I6, I7): a message over which each session ends that is to delete it
// stays, and keeps no other from being deleted; where every TOP does so, mail is read instead.
func TestDeletionGoesOnWithout(t *testing.T) {
	mail := ordinary(10, 1)
	endless := []byte("+OK\r\n" + strings.Repeat("X: "+strings.Repeat("x", 4000)+"\r\n", 10_000))
	all := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	for name, c := range map[string]struct {
		po    popd.Options
		cmd   string
		reply []byte // nil: hangs up
		bad   []int
		want  fault.Code
		stays []int
	}{
		"endless":              {cmd: "TOP", reply: endless, bad: []int{3}, stays: []int{3}},
		"two":                  {cmd: "TOP", reply: endless, bad: []int{0, 9}, stays: []int{0, 9}},
		"every one":            {cmd: "TOP", reply: endless, bad: all},
		"stalls":               {cmd: "TOP", reply: []byte("+OK\r\nSubject: x\r\n"), bad: []int{3}, stays: []int{3}},
		"says nothing":         {cmd: "TOP", reply: []byte{}, bad: []int{3}, stays: []int{3}},
		"hangs up":             {cmd: "TOP", bad: []int{3}, stays: []int{3}},
		"one at a time":        {po: popd.Options{NoPipelining: true}, cmd: "TOP", reply: endless, bad: []int{3}, stays: []int{3}},
		"one at a time, stall": {po: popd.Options{NoPipelining: true}, cmd: "TOP", reply: []byte{}, bad: []int{3}, stays: []int{3}},
		"RETR hangs up":        {po: popd.Options{NoTOP: true}, cmd: "RETR", bad: []int{3, 5}, stays: []int{3, 5}},
		"every RETR":           {po: popd.Options{NoTOP: true}, cmd: "RETR", bad: all, want: fault.Temporary, stays: all},
		"no UIDL, endless":     {po: popd.Options{NoUIDL: true}, cmd: "TOP", reply: endless, bad: []int{3}, stays: []int{3}},
		"no UIDL, hangs up":    {po: popd.Options{NoUIDL: true}, cmd: "TOP", bad: []int{3}, stays: []int{3}},
		"no UIDL, stalls":      {po: popd.Options{NoUIDL: true}, cmd: "TOP", reply: []byte("+OK\r\nSubject: x\r\n"), bad: []int{3}, stays: []int{3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, c.po, imapd.Options{}, mail...)
				p.run(0, len(mail))
				p.pop.Configure(func(o *popd.Options) {
					o.Reply = func(cmd string, n int) ([]byte, bool) {
						left := p.pop.Messages() // fewer than a session that was left counts
						if cmd != c.cmd || n > len(left) || !slices.ContainsFunc(c.bad, func(i int) bool { return bytes.Equal(mail[i], left[n-1]) }) {
							return nil, false
						}
						if c.reply == nil {
							p.pop.Cut()
						}
						return c.reply, true
					}
				})
				p.account().Source.Limits.Idle = 5 * time.Second
				p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
				before := p.pop.Counters().Sessions
				r := runFerry(t, p.o)
				if r.ExitCode != c.want || r.Totals.Deleted != len(mail)-len(c.stays) {
					t.Errorf("exit %d, %+v, %+v", r.ExitCode, r.Totals, r.Accounts[0])
				}
				if said := strings.Contains(strings.Join(r.Accounts[0].Notes, "\n"), "the session ends, or stalls"); said != (len(c.stays) > 0 && c.want == 0) {
					t.Errorf("%q", r.Accounts[0].Notes)
				}
				var stays [][]byte
				for _, i := range c.stays {
					stays = append(stays, mail[i])
				}
				p.left(stays...)
				if n := p.pop.Counters().Sessions - before; n > 8 {
					t.Errorf("%d sessions", n)
				}
			})
		})
	}
}

// TestCopyThatIsNotGiven (I6, I7): a copy that the IMAP server refuses to give, or over which each
// session ends that is to read it back, keeps no original but its own; one after the other is the
// server's way.
func TestCopyThatIsNotGiven(t *testing.T) {
	for name, c := range map[string]struct {
		bad    []string
		says   string // in the place of the copy
		answer string
		want   fault.Code
	}{
		"one":           {bad: []string{"4"}, says: " FETCH (UID 4 BODY[] {2000000000}"},
		"three":         {bad: []string{"1", "4", "10"}, says: " FETCH (UID 4 BODY[] {2000000000}"},
		"four":          {bad: []string{"1", "3", "4", "10"}, says: " FETCH (UID 4 BODY[] {2000000000}", want: fault.Protocol},
		"one refused":   {bad: []string{"4"}, answer: "NO some are damaged"},
		"three refused": {bad: []string{"1", "4", "10"}, answer: "NO some are damaged"},
		"four refused":  {bad: []string{"1", "3", "4", "10"}, answer: "NO some are damaged", want: fault.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(10, 1)
			p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
			p.run(0, len(mail))
			var left atomic.Bool // out of the answer
			p.imap.Configure(func(o *imapd.Options) {
				o.Untagged = func(_, text string) string {
					number, _, _ := strings.Cut(text, " ")
					if !strings.Contains(text, "BODY[]") || !slices.Contains(c.bad, number) {
						return text
					}
					if left.Store(true); c.says == "" {
						return ""
					}
					return number + c.says
				}
				o.Reply = func(e imapd.Event) (a imapd.Action) {
					if e.Stage == imapd.AtReply && e.Command == "UID FETCH" && left.Swap(false) {
						a.Reply = c.answer
					}
					return a
				}
			})
			p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
			stay := len(mail)
			if c.want == 0 {
				stay = len(c.bad)
			}
			r := p.run(c.want, 0)
			notes := strings.Join(r.Accounts[0].Notes, "\n")
			for _, uid := range c.bad[:min(len(c.bad), 3)] {
				if !strings.Contains(notes, "the message with UID "+uid+" of folder INBOX") {
					t.Errorf("UID %s is not in %q", uid, notes)
				}
			}
			p.kept(stay)
			p.imap.Configure(func(o *imapd.Options) { o.Untagged, o.Reply = nil, nil })
			p.run(0, 0)
			p.kept(0)
			p.arrived(mail...)
		})
	}
}

// TestAnotherOneEachTime (I2): a server that gives another message wrongly in each session deletes
// none, and the run says so.
func TestAnotherOneEachTime(t *testing.T) {
	mail := ordinary(10, 1)
	p := newPair(t, popd.Options{NoTOP: true}, imapd.Options{}, mail...)
	p.run(0, len(mail))
	given := 0
	p.pop.Configure(func(o *popd.Options) {
		o.Reply = func(cmd string, n int) ([]byte, bool) {
			if cmd != "RETR" || n != p.pop.Counters().Sessions%len(mail)+1 {
				return nil, false
			}
			given++
			return []byte("+OK\r\nSubject: " + strings.Repeat("x", given) + "\r\n\r\n.\r\n"), true
		}
	})
	p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
	r := p.run(0, 0)
	if notes := strings.Join(r.Accounts[0].Notes, "\n"); !strings.Contains(notes, "10 messages kept on POP3: each time another one") {
		t.Errorf("%q", notes)
	}
	p.left(mail...)
}
