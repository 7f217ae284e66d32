package ferry_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// kept fails unless the maildrop still has so many messages.
func (p *pair) kept(n int) {
	p.t.Helper()
	if got := len(p.pop.Messages()); got != n {
		p.t.Errorf("%d messages on POP3, want %d", got, n)
	}
}

// TestExpireAtOnce (S12, I2): where QUIT removes what was retrieved, neither held
// mail goes, nor what an account wants to keep, nor what was not read back yet; a
// deletion that is due works as ever.
func TestExpireAtOnce(t *testing.T) {
	poison := []byte("Subject: b\r\n\r\npoison\r\n")
	for name, po := range map[string]popd.Options{
		"UIDL": {ExpireAtOnce: true}, "no UIDL": {ExpireAtOnce: true, NoUIDL: true},
		"no TOP": {ExpireAtOnce: true, NoTOP: true},
	} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(20, 70)
			p := newPair(t, po, poisonous(imapd.Options{}), append(mail, poison)...)
			p.run(fault.Held, 20)
			p.kept(21)
			var s shelf
			p.o.KeepHeld = s.keep
			p.run(fault.Held, 0)
			s.has(t, poison)
			p.kept(21)
			p.account().Keep = plan.Keep{Delete: true}
			p.run(fault.Held, 0) // the deletion awaits consent
			p.kept(21)
			p.o.ConfirmDelete = true
			if r := p.run(fault.Held, 0); r.Totals.Deleted != 20 {
				t.Errorf("%+v", r.Totals)
			}
			p.kept(1)
			p.arrived(mail...)
		})
	}
}

// TestExpireBetweenPasses: a bridge that comes more rarely than mail is removed is told so.
func TestExpireBetweenPasses(t *testing.T) {
	for days, want := range map[int]string{1: "2d", 2: "2d", 3: ""} {
		p := newPair(t, popd.Options{Capabilities: []string{fmt.Sprint("EXPIRE ", days)}}, imapd.Options{}, ordinary(1, 1)...)
		p.account().Pace = plan.Pace{Interval: 2 * day}
		r := p.passes()(0, 1)
		if r.Retention.Interval != want || (want != "") != strings.Contains(strings.Join(r.Notes, "\n"), "a bridge may find it gone") {
			t.Errorf("EXPIRE %d: %+v, %q", days, r.Retention, r.Notes)
		}
	}
}

// TestExpireAtOnceAfterRenumbering (I1, I2): a message that was only looked at
// before a deletion, and proved to be another, stays.
func TestExpireAtOnceAfterRenumbering(t *testing.T) {
	monday, friday := simple("twin", "backup", "of Monday"), simple("twin", "backup", "of Friday")
	p := newPair(t, popd.Options{ExpireAtOnce: true}, imapd.Options{}, append([][]byte{monday}, ordinary(5, 30)...)...)
	p.run(0, 6)
	p.pop.Expunge(1)
	p.pop.Deliver(friday)
	p.pop.Configure(func(o *popd.Options) {
		o.UIDL = func(n int, _ []byte) string { return fmt.Sprintf("new-%d", n) }
	})
	p.account().Keep = plan.Keep{Delete: true}
	p.o.ConfirmDelete = true
	for range 3 {
		runFerry(t, p.o)
	}
	p.arrived(append(ordinary(5, 30), monday, friday)...)
}

// TestExpireAtOncePartly (I1): of two copies without names one is due. To tell
// which, both have to be read, and then QUIT would remove the other one too.
func TestExpireAtOncePartly(t *testing.T) {
	mail := simple("twin", "twins", "of one text")
	p := newPair(t, popd.Options{ExpireAtOnce: true, NoUIDL: true}, imapd.Options{}, mail)
	p.run(0, 1)
	p.age(40 * day)
	p.pop.Deliver(mail)
	p.account().Keep = plan.Keep{Delete: true, For: 30 * day}
	p.o.ConfirmDelete = true
	r := p.run(0, 1)
	if notes := strings.Join(r.Accounts[0].Notes, "; "); r.Totals.Deleted != 0 || !strings.Contains(notes, "EXPIRE 0") {
		t.Errorf("%+v, notes %q", r.Totals, notes)
	}
	p.kept(2)
	p.pop.Configure(func(o *popd.Options) { o.ExpireAtOnce = false })
	if r := p.run(0, 0); r.Totals.Deleted != 1 {
		t.Errorf("%+v", r.Totals)
	}
	p.kept(1)
}

// TestExpireUnseen (S12, I2): a server that is out of sorts when it is asked for its
// rules is asked again, and one that never answers may have any: mail that is held stays, and
// so does what is to be kept.
func TestExpireUnseen(t *testing.T) {
	poison, other := []byte("Subject: b\r\n\r\npoison\r\n"), []byte("Subject: a\r\n\r\nharmless\r\n")
	for name, reply := range map[string]string{"refused for now": "-ERR [SYS/TEMP] later\r\n", "hangs up": ""} {
		t.Run(name+", held", func(t *testing.T) { expiresUnseen(t, reply, poison, fault.Held, 0) })
		t.Run(name+", kept", func(t *testing.T) { expiresUnseen(t, reply, other, fault.OK, 1) })
	}
}

func expiresUnseen(t *testing.T, reply string, mail []byte, want fault.Code, delivered int) {
	var p *pair
	asked := 0
	p = newPair(t, popd.Options{ExpireAtOnce: true, Reply: func(cmd string, _ int) ([]byte, bool) {
		if cmd != "CAPA" {
			return nil, false
		}
		if asked++; asked > 2 {
			return nil, false
		}
		if reply == "" {
			p.pop.Cut()
		}
		return []byte(reply), true
	}}, poisonous(imapd.Options{}), mail)
	if reply != "" {
		p.run(fault.Temporary, 0)
		p.run(fault.Temporary, 0)
	}
	p.run(want, delivered)
	p.left(mail)
}

// TestRetentionIsReported by every pass that sees it: also one that only glances, and one
// whose destination is away.
func TestRetentionIsReported(t *testing.T) {
	p := newPair(t, popd.Options{Capabilities: []string{"EXPIRE 3"}}, imapd.Options{}, ordinary(3, 1)...)
	p.account().Keep = plan.Keep{Delete: true, For: 30 * day}
	pass := p.passes()
	want := ferry.Retention{Days: 3, Keep: "30d"}
	for n, delivered := range []int{3, 0} {
		if r := pass(0, delivered); r.Retention != want {
			t.Errorf("pass %d: %+v", n, r.Retention)
		}
	}
	p.imap.Close()
	p.pop.Deliver(ordinary(4, 2)[3:]...)
	if r := pass(fault.Temporary, 0); r.Retention != want {
		t.Errorf("%+v", r.Retention)
	}
	for expire, days := range map[string]int{"NEVER": 0, "0": 0, "60": 60, "2000000000": 0} {
		p := newPair(t, popd.Options{Capabilities: []string{"EXPIRE " + expire}}, imapd.Options{})
		if r := p.run(0, 0).Accounts[0].Retention; r != (ferry.Retention{Days: days}) {
			t.Errorf("EXPIRE %s: %+v", expire, r)
		}
	}
}

// TestSilentExpiry (I1, I2): where QUIT removes what was retrieved, and nobody says so, mail that is
// held stays although only reading tells what is to be deleted.
func TestSilentExpiry(t *testing.T) {
	dotted := simple("dotted", "a", "text\r\n..two dots")
	poison := []byte("Subject: b\r\n\r\npoison\r\n")
	for name, c := range map[string]struct {
		po  popd.Options
		bad []byte
	}{
		"refused":        {popd.Options{}, poison},
		"dots in doubt":  {popd.Options{Unstuffed: true}, dotted},
		"one at a time":  {popd.Options{Unstuffed: true, NoPipelining: true}, dotted},
		"repeated UIDLs": {popd.Options{Unstuffed: true, DuplicateUIDLs: true}, dotted},
	} {
		for nameless, noUIDL := range map[string]bool{"no UIDL": true, "UIDL": false} {
			t.Run(name+", "+nameless, func(t *testing.T) {
				c.po.ExpireAtOnce, c.po.NoTOP, c.po.NoUIDL = true, true, noUIDL
				c.po.Reply = func(cmd string, _ int) ([]byte, bool) {
					extra := map[bool]string{true: "PIPELINING\r\n"}[!c.po.NoPipelining] + map[bool]string{true: "UIDL\r\n"}[!noUIDL]
					return []byte("+OK\r\nUSER\r\n" + extra + ".\r\n"), cmd == "CAPA"
				}
				mail := brief(8)
				p := newPair(t, c.po, poisonous(imapd.Options{}), append(mail, c.bad)...)
				p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
				if r := p.run(fault.Held, 8); r.Totals.Deleted != 8 {
					t.Errorf("%+v", r)
				}
				p.left(c.bad)
				p.run(fault.Held, 0)
				p.left(c.bad)
			})
		}
	}
}
