package ferry_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// othersEachTime are the options of a server that gives mail other UIDLs in each session, but
// for the first messages, which have one that repeats.
func othersEachTime(repeated int) popd.Options {
	var session atomic.Int64
	return popd.Options{UIDL: func(n int, _ []byte) string {
		if n <= repeated {
			return "same"
		}
		return fmt.Sprintf("s%d-%d", session.Load(), n)
	}, Reply: func(cmd string, _ int) ([]byte, bool) {
		if cmd == "GREETING" {
			session.Add(1)
		}
		return nil, false
	}}
}

// TestDeletionUnderOtherNames: what is found out of names in the session that deletes ends no
// run.
func TestDeletionUnderOtherNames(t *testing.T) {
	for _, noTop := range []bool{false, true} {
		po := othersEachTime(2)
		po.NoTOP = noTop
		mail := ordinary(10, 1)
		p := newPair(t, po, imapd.Options{}, mail...)
		p.run(fault.OK, 10)
		p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
		for range 4 {
			p.run(fault.OK, 0)
		}
		p.arrived(mail...)
		p.kept(0)
	}
}

// TestHeldUnderAnotherName: held mail has not disappeared because its name changed.
func TestHeldUnderAnotherName(t *testing.T) {
	mail := append(ordinary(9, 1), []byte("Subject: b\r\n\r\npoison\r\n"))
	p := newPair(t, othersEachTime(0), poisonous(imapd.Options{}), mail...)
	for range 3 {
		r := runFerry(t, p.o)
		if notes := strings.Join(r.Accounts[0].Notes, "\n"); r.ExitCode != fault.Held || strings.Contains(notes, "disappeared") {
			t.Errorf("exit %d, %s", r.ExitCode, notes)
		}
	}
}

// TestMessageNotGiven: what the server says of one message, such as "internal error", holds that
// message, and is no trouble of the server.
func TestMessageNotGiven(t *testing.T) {
	for _, says := range []string{"internal server error", "message unavailable", "system error"} {
		p := newPair(t, popd.Options{Reply: func(cmd string, n int) ([]byte, bool) {
			return []byte("-ERR " + says + "\r\n"), cmd == "RETR" && n%3 == 0
		}}, imapd.Options{}, ordinary(40, 3)...)
		if r := p.run(fault.Held, 27); r.Totals.Held != 13 {
			t.Errorf("%s: %+v", says, r.Totals)
		}
	}
}

// marksRead makes the server say in the Status of mail, from the next session but one on, that
// it was read.
func (p *pair) marksRead() {
	var sessions atomic.Int64
	p.pop.Configure(func(o *popd.Options) {
		noTop := o.NoTOP
		o.Reply = func(cmd string, n int) ([]byte, bool) {
			if cmd == "GREETING" {
				sessions.Add(1)
			}
			if cmd != "RETR" && (cmd != "TOP" || noTop) || sessions.Load() == 1 {
				return nil, false
			}
			now := strings.Replace(string(p.pop.Messages()[n-1]), "Status: N", "Status: R", 1)
			return []byte("+OK\r\n" + now + ".\r\n"), true
		}
	})
}

// TestStatusOfUnnamedMail (S4, S6): mail that nothing but its content names, and into which the
// server writes that it was read, is deleted as what was delivered, and comes no second time.
func TestStatusOfUnnamedMail(t *testing.T) {
	var mail [][]byte
	for i := range 6 {
		mail = append(mail, fmt.Appendf(nil, "Status: N\r\nSubject: %d\r\n\r\nx\r\n", i/2))
	}
	same := func(int, []byte) string { return "same" }
	for _, po := range []popd.Options{{NoUIDL: true}, {NoUIDL: true, NoTOP: true}, {UIDL: same}} {
		p := newPair(t, po, imapd.Options{}, mail...)
		p.marksRead()
		p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
		p.run(fault.OK, 6)
		p.run(fault.OK, 0)
		p.arrived(mail...)
		p.kept(0)
	}
}

// TestOthersReadBesideDeletion (S4): such mail whose time on POP3 is not over, and which is read
// in the session that deletes, is no new mail either.
func TestOthersReadBesideDeletion(t *testing.T) {
	mail := func(text string) []byte { return []byte("Status: N\r\nSubject: a\r\n\r\n" + text + "\r\n") }
	p := newPair(t, popd.Options{NoUIDL: true, NoTOP: true}, imapd.Options{}, mail("old"))
	p.marksRead()
	p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true, For: 48 * time.Hour}, true
	p.run(fault.OK, 1)
	p.o.Clock = func() time.Time { return time.Now().Add(60 * time.Hour) }
	p.pop.Deliver(mail("new"))
	p.run(fault.OK, 1)
	for range 2 {
		p.run(fault.OK, 0)
	}
	p.kept(1)
}

// TestTwinsHaveTheirTime (S4, D4): of two mails with the same octets the first goes when its time on
// POP3 is over, and the second stays until its own is.
func TestTwinsHaveTheirTime(t *testing.T) {
	same := func(int, []byte) string { return "same" }
	for _, po := range []popd.Options{{}, {NoUIDL: true}, {NoUIDL: true, NoTOP: true}, {UIDL: same}} {
		mail := simple("twin", "backup", "all is well")
		p := newPair(t, po, imapd.Options{}, mail)
		p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true, For: 30 * day}, true
		p.run(fault.OK, 1)
		p.setClock(20 * day)
		p.pop.Deliver(mail)
		p.run(fault.OK, 1)
		for _, c := range []struct{ at, left int }{{31, 2}, {32, 1}, {33, 1}, {49, 1}, {50, 1}, {51, 0}} {
			p.setClock(time.Duration(c.at) * day)
			p.run(fault.OK, 0)
			p.kept(c.left)
		}
	}
}

// TestEmptyMailWithoutAUIDL: a message of no octets, which no server stores, is not the mail of
// an empty line that the destination has: it takes no copy from that, and is not deleted for it.
func TestEmptyMailWithoutAUIDL(t *testing.T) {
	for name, po := range map[string]popd.Options{"TOP": {NoUIDL: true}, "no TOP": {NoUIDL: true, NoTOP: true}} {
		mail := append(ordinary(110, 1), []byte("\r\n"), []byte("\r\r\n"))
		p := newPair(t, po, imapd.Options{}, append([][]byte{{}}, mail...)...)
		p.run(fault.Held, len(mail))
		p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
		for range 2 {
			p.run(fault.Held, 0)
		}
		p.arrived(mail...)
		p.left([]byte{})
		if t.Failed() {
			t.Fatal(name)
		}
	}
}
