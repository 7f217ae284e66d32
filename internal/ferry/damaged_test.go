package ferry_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// ends is what servers do over a message that they can't read.
var ends = map[string]imapd.Action{"cut": {Cut: imapd.FIN}, "NO": {Reply: "NO no"},
	"NO, and cut": {Reply: "NO [SERVERBUG] FETCH failed", Cut: imapd.FIN}, "BYE": {Bye: "FETCH failed"}}

// TestOneEndsTheIndex (I4, I7): messages in the destination that the server can't read keep no mail
// from arriving but that of which they may be copies, and are told.
func TestOneEndsTheIndex(t *testing.T) {
	for name, bad := range map[string][]uint32{"first": {1}, "within": {7}, "last": {12}, "two": {3, 9},
		"side by side": {6, 7}, "the last two": {11, 12}, "many": {1, 2, 5, 6, 7, 9, 11, 12}} {
		for how, action := range ends {
			t.Run(name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { oneEndsTheIndex(t, action, bad) })
			})
		}
	}
}

func oneEndsTheIndex(t *testing.T, action imapd.Action, bad []uint32) {
	mail, others := ordinary(3, 32), ordinary(12, 33)
	p := newPair(t, popd.Options{}, imapd.Options{Reply: spoilt(action, "BODY", bad...)},
		mail[0], mail[1], others[bad[0]-1])
	p.deliver(others...)
	r := p.run(fault.Held, 2)
	p.tells(r, bad...)
	if why := r.Accounts[0].Messages[0].Reason; !strings.Contains(why, fmt.Sprintf("UID %d of folder INBOX", bad[0])) {
		t.Errorf("%q", why)
	}
	if n := p.imap.Counters().Connections; n > 10+6*len(bad) {
		t.Errorf("%d connections", n)
	}
	p.pop.Deliver(mail[2])
	p.run(fault.Held, 1)
	p.forget()
	p.run(fault.Held, 0)
	p.arrived(append(mail, others...)...)
	p.imap.Configure(func(o *imapd.Options) { o.Reply = nil })
	p.run(0, 0)
	p.run(0, 0)
	p.arrived(append(mail, others...)...)
}

// TestOneEndsAll (I4): where the server does not even tell the size of such a message, any mail may
// be it.
func TestOneEndsAll(t *testing.T) {
	for how, action := range ends {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mail, others := ordinary(3, 32), ordinary(12, 33)
				p := newPair(t, popd.Options{}, imapd.Options{Reply: spoilt(action, "", 5)}, append(mail, others[4])...)
				p.deliver(others...)
				want := fault.Temporary
				if action.Cut == 0 && action.Bye == "" {
					want = fault.Refused
				}
				p.run(want, 0)
				p.imap.Configure(func(o *imapd.Options) { o.Reply = nil })
				p.run(0, len(mail))
				p.arrived(append(mail, others...)...)
			})
		})
	}
}

// TestAllEndTheIndex: where the server ends the session whatever it is asked for, it is not asked
// for ever, and none of them is blamed.
func TestAllEndTheIndex(t *testing.T) {
	for _, what := range []string{"", "BODY"} {
		synctest.Test(t, func(t *testing.T) {
			mail := ordinary(12, 34)
			p := newPair(t, popd.Options{}, imapd.Options{}, mail[0])
			p.deliver(mail...)
			all := []uint32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
			p.imap.Configure(func(o *imapd.Options) { o.Reply = spoilt(imapd.Action{Cut: imapd.FIN}, what, all...) })
			p.tells(p.run(fault.Temporary, 0))
			if n := p.imap.Counters().Connections; n > 25 {
				t.Errorf("%d connections", n)
			}
			p.imap.Configure(func(o *imapd.Options) { o.Reply = nil })
			p.run(0, 0)
			p.arrived(mail...)
		})
	}
}

// TestServerGoesDown: where the server is gone, no message is looked for that may be why.
func TestServerGoesDown(t *testing.T) {
	for _, what := range []string{"BODY", "BODY.PEEK[]"} {
		synctest.Test(t, func(t *testing.T) {
			mail := ordinary(12, 34)
			p := newPair(t, popd.Options{NoTOP: true}, imapd.Options{}, mail...)
			p.deliver(mail...)
			down := 0
			p.imap.Configure(func(o *imapd.Options) {
				o.Reply = func(e imapd.Event) imapd.Action {
					switch {
					case e.Stage == imapd.AtCommand && e.Command == "UID FETCH" && strings.Contains(e.Line, what):
						down = max(down, 1)
						return imapd.Action{Cut: imapd.RST}
					case e.Stage == imapd.AtGreeting && down > 0:
						down++
						return imapd.Action{Cut: imapd.RST}
					}
					return imapd.Action{}
				}
			})
			p.o.NoWait = true
			p.tells(p.run(fault.Temporary, 0))
			if down > 15 {
				t.Errorf("%d attempts to connect", down)
			}
			p.imap.Configure(func(o *imapd.Options) { o.Reply = nil })
			p.run(0, 0)
			p.arrived(mail...)
		})
	}
}

// TestOneCanNotBeCompared (I4, I7): what the server gives the Message-ID of, and not the rest, keeps
// only mail of that Message-ID from arriving.
func TestOneCanNotBeCompared(t *testing.T) {
	for how, action := range ends {
		for _, po := range []popd.Options{{}, {NoUIDL: true}, {NoTOP: true}} {
			t.Run(fmt.Sprint(how, po.NoUIDL, po.NoTOP), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					mail, others := ordinary(30, 35), ordinary(30, 36)
					p := newPair(t, po, imapd.Options{Reply: spoilt(action, "BODY.PEEK[]", 7, 20)}, append(mail, others...)...)
					p.deliver(others...)
					if !po.NoTOP { // headers tell the same
						p.run(0, len(mail))
					} else {
						p.tells(p.run(fault.Held, len(mail)), 7, 20)
						p.run(fault.Held, 0)
					}
					p.forget()
					p.imap.Configure(func(o *imapd.Options) { o.Reply = spoilt(action, "BODY.PEEK[", 7, 20) })
					p.tells(p.run(fault.Held, 0), 7, 20)
					p.imap.Configure(func(o *imapd.Options) { o.Reply = nil })
					p.run(0, 0)
					p.arrived(append(mail, others...)...)
				})
			})
		}
	}
}

// TestUnreadAppend (I4): a copy that may be there since the answer was lost, and that the server
// can't read, is sent no second time, however long that goes on.
func TestUnreadAppend(t *testing.T) {
	for _, what := range []string{"BODY", "BODY.PEEK[]"} {
		for i, io := range []imapd.Options{{}, {NoUIDPlus: true}, {}} {
			synctest.Test(t, func(t *testing.T) {
				mail := ordinary(5, 37)
				p := newPair(t, popd.Options{NoUIDL: i == 2, NoTOP: i == 2}, io, mail...)
				bad := spoilt(imapd.Action{Bye: "FETCH failed"}, what, 5)
				cut := false
				p.imap.Configure(func(o *imapd.Options) {
					o.Reply = func(e imapd.Event) imapd.Action {
						if e.Stage == imapd.AtReply && e.Command == "APPEND" && !cut {
							cut = true
							return imapd.Action{Cut: imapd.RST}
						}
						return bad(e)
					}
				})
				p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
				p.run(fault.Held, 4)
				for range 3 {
					time.Sleep(time.Hour)
					p.run(fault.Held, 0)
				}
				p.left(mail[4])
				p.imap.Configure(func(o *imapd.Options) { o.Reply = nil })
				p.run(0, 0)
				p.run(0, 0)
				p.arrived(mail...)
				p.left()
			})
		}
	}
}

// deliver puts mail into the destination.
func (p *pair) deliver(mail ...[]byte) {
	for _, raw := range mail {
		p.imap.User("").Deliver("INBOX", raw, nil, time.Time{})
	}
}

// tells wants messages of the destination to be told as unreadable, and no others.
func (p *pair) tells(r ferry.Report, uids ...uint32) {
	p.t.Helper()
	notes := strings.Join(r.Accounts[0].Notes, "\n")
	for uid := range uint32(40) {
		want := fmt.Sprintf("the message with UID %d of folder INBOX", uid)
		n := strings.Count(notes, want)
		if said := n > 0; said != slices.Contains(uids, uid) || n > 1 {
			p.t.Errorf("%q is %d times in %s", want, n, notes)
		}
	}
}

// spoilt has something happen when one of some messages is asked for, and what of it.
func spoilt(ends imapd.Action, what string, uids ...uint32) func(imapd.Event) imapd.Action {
	return func(e imapd.Event) imapd.Action {
		if e.Stage != imapd.AtCommand || e.Command != "UID FETCH" || !strings.Contains(e.Line, what) {
			return imapd.Action{}
		}
		for _, asked := range strings.Split(strings.Fields(e.Line)[2], ",") {
			low, high, isRange := strings.Cut(asked, ":")
			from, _ := strconv.Atoi(low)
			to, err := strconv.Atoi(high)
			if !isRange {
				to = from
			} else if err != nil {
				to = math.MaxInt
			}
			for _, uid := range uids {
				if from <= int(uid) && int(uid) <= to {
					return ends
				}
			}
		}
		return imapd.Action{}
	}
}
