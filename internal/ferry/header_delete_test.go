package ferry_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// TestGuardHeaderAloneDeletesNothing (I1, I5): the provider renumbered, and of two
// mails with one header and one size the delivered one is gone and the other is
// new. Whatever the header says, what is not in IMAP stays on POP3.
func TestGuardHeaderAloneDeletesNothing(t *testing.T) {
	monday, friday := simple("twin", "backup", "of Monday"), simple("twin", "backup", "of Friday")
	others := ordinary(5, 30)
	p := newPair(t, popd.Options{}, imapd.Options{}, append([][]byte{monday}, others...)...)
	p.run(0, 6)
	p.pop.Expunge(1)
	p.pop.Deliver(friday)
	p.pop.Configure(func(o *popd.Options) {
		o.UIDL = func(n int, _ []byte) string { return fmt.Sprintf("new-%d", n) }
	})
	p.account().Keep = plan.Keep{Delete: true}
	p.o.ConfirmDelete = true
	r := runFerry(t, p.o)
	runFerry(t, p.o)
	there := 0
	for _, s := range p.imap.Mailbox("INBOX") {
		if string(s.Raw) == string(friday) {
			there++
		}
	}
	for _, raw := range p.pop.Messages() {
		if string(raw) == string(friday) {
			there++
		}
	}
	if there == 0 {
		t.Errorf("a mail is lost: it is neither on POP3 nor in IMAP\n%+v", r.Totals)
	}
}

// TestNoQuitAfterStranger (I2): a session in which a deletion proved to be about
// another mail has retrieved that mail, and does not end in QUIT.
func TestNoQuitAfterStranger(t *testing.T) {
	monday, friday := simple("twin", "backup", "of Monday"), simple("twin", "backup", "of Friday")
	var journeys []string // of the sessions
	p := newPair(t, popd.Options{Reply: func(verb string, n int) ([]byte, bool) {
		if verb == "GREETING" {
			journeys = append(journeys, "")
		}
		journeys[len(journeys)-1] += fmt.Sprint(verb, n, " ")
		return nil, false
	}}, imapd.Options{}, append([][]byte{monday}, ordinary(5, 30)...)...)
	p.run(0, 6)
	p.pop.Expunge(1)
	p.pop.Deliver(friday)
	p.pop.Configure(func(o *popd.Options) {
		o.UIDL = func(n int, _ []byte) string { return fmt.Sprintf("new-%d", n) }
	})
	p.account().Keep = plan.Keep{Delete: true}
	p.o.ConfirmDelete = true
	before := len(journeys)
	p.run(fault.Held, 0)
	read := slices.IndexFunc(journeys[before:], func(said string) bool { return strings.Contains(said, "RETR6 ") })
	if read < 0 || strings.Contains(journeys[before+read], "QUIT") {
		t.Errorf("the sessions: %q", journeys[before:])
	}
	p.run(0, 1)
	p.arrived(append(ordinary(5, 30), monday, friday)...)
}

// TestAnotherCopyIsStillToCome: of two copies that looked delivered by their headers,
// one has only a mail with another body. The run that finds this out is not done.
func TestAnotherCopyIsStillToCome(t *testing.T) {
	monday, friday := simple("twin", "backup", "of Monday"), simple("twin", "backup", "of Friday")
	p := newPair(t, popd.Options{}, imapd.Options{}, monday, friday)
	p.run(0, 2)
	p.pop.Expunge(1)
	p.pop.Deliver(friday)
	p.forget()
	p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
	p.run(fault.Held, 0)
	p.left(friday)
	p.run(0, 1)
	p.left()
	p.arrived(monday, friday, friday)
}
