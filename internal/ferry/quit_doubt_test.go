package ferry_test

import (
	"testing"
	"time"

	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// TestGuardCopyAfterDeletionInDoubt (W2): the answer to the QUIT that carried out
// the deletions is lost, and then only new mail is there, among it a copy of one
// that was deleted. It is a mail of its own.
func TestGuardCopyAfterDeletionInDoubt(t *testing.T) {
	mail := ordinary(5, 29)
	var p *pair
	lost := false
	p = deleting(t, popd.Options{Reply: func(cmd string, _ int) ([]byte, bool) {
		if cmd == "QUIT" && !lost && p.pop.Counters().Dele == len(mail) {
			lost = true
			return nil, true
		}
		return nil, false
	}}, imapd.Options{}, mail...)
	p.account().Source.Limits.Idle = 200 * time.Millisecond
	runFerry(t, p.o)
	if !lost {
		t.Fatal("no answer was lost")
	}
	p.left()
	more := simple("z", "new", "other mail")
	p.pop.Deliver(mail[2], more)
	p.run(0, 2)
	p.left()
	p.arrived(append(mail, mail[2], more)...)
}
