package ferry_test

import (
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
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

// TestGuardSearchCutShort: a deletion did not take effect, POP3 does not give the mail
// again, the copies of two mails that look alike changed places, and the process dies,
// after any write, while it looks for them. They still speak for what they were brought
// for, and not for more copies that come later.
func TestGuardSearchCutShort(t *testing.T) {
	mail := [][]byte{simple("twin", "backup", "of Monday"), simple("twin", "backup", "of Friday")}
	for writes, died := 0, true; died; writes++ {
		p := deleting(t, popd.Options{KeepDeleted: true}, imapd.Options{}, mail...)
		p.run(0, len(mail))
		box := p.imap.User("")
		if _, err := box.Move("INBOX", 1, "INBOX"); err != nil {
			t.Fatal(err)
		}
		box.SetUIDValidity("INBOX", 7777)
		p.pop.Configure(func(o *popd.Options) {
			o.Reply = func(cmd string, _ int) ([]byte, bool) {
				return []byte("-ERR [SYS/PERM] it can't be read\r\n"), cmd == "RETR"
			}
		})
		whole := p.o.Journal
		p.o.Journal = dyingAfter(writes, whole)
		died = runFerry(t, p.o).ExitCode == fault.State
		p.o.Journal = whole
		p.pop.Configure(func(o *popd.Options) { o.Reply = nil })
		p.pop.Deliver(mail...)
		p.run(0, len(mail))
		p.arrived(append(mail, mail...)...)
	}
}
