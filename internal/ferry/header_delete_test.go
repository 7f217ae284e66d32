package ferry_test

import (
	"fmt"
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
	var journey strings.Builder // of the last session
	p := newPair(t, popd.Options{Reply: func(verb string, _ int) ([]byte, bool) {
		if verb == "GREETING" {
			journey.Reset()
		}
		journey.WriteString(verb + " ")
		return nil, false
	}}, imapd.Options{}, ordinary(1, 31)...)
	p.run(0, 1)
	renames := func(to string) {
		p.pop.Configure(func(o *popd.Options) {
			o.UIDL = func(n int, _ []byte) string { return fmt.Sprintf("%s-%d", to, n) }
		})
	}
	// Once one has shown that copies stay, others that were renamed need not.
	renames("first")
	p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
	p.run(0, 0)
	p.account().Keep = plan.Keep{}
	p.pop.Deliver(append([][]byte{monday}, ordinary(5, 30)...)...)
	p.run(0, 6)
	p.pop.Expunge(1)
	p.pop.Deliver(friday)
	renames("second")
	p.account().Keep = plan.Keep{Delete: true}
	p.run(fault.Held, 0)
	if said := journey.String(); !strings.Contains(said, "RETR") || strings.Contains(said, "QUIT") {
		t.Errorf("the last session: %s", said)
	}
	p.run(0, 1)
	p.arrived(append(ordinary(5, 30), ordinary(1, 31)[0], monday, friday)...)
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
