package ferry_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// undelivering is a journal whose disk fails when it is told of a delivery.
type undelivering struct{ journal.Journal }

type undeliveringLedger struct{ journal.Ledger }

func (u undelivering) Ledger(ctx context.Context, s journal.Scope) (journal.Ledger, error) {
	l, err := u.Journal.Ledger(ctx, s)
	return undeliveringLedger{l}, err
}

func (u undeliveringLedger) Put(ctx context.Context, rs []journal.Record) error {
	for _, r := range rs {
		if r.State == journal.Delivered {
			return fault.New(fault.State, "write: %w", errors.New("no space left on device"))
		}
	}
	return u.Ledger.Put(ctx, rs)
}

// other is mail that has nothing of simple.
var other = []byte("From: cron@example.net\r\nSubject: backup\r\n\r\ndone\r\n")

// TestOpenAppendIsNobodyElses: mail that arrived when the journal could not be told is not
// taken for the copy of another one, which somebody removed, and so it is not sent again.
func TestOpenAppendIsNobodyElses(t *testing.T) {
	for name, mail := range map[string][2][]byte{
		"one header":     {simple("", "disk full", "host 1"), simple("", "disk full", "host 2")},
		"one Message-ID": {simple("again", "x", "host 1"), simple("again", "x", "host 2")},
		"no header":      {[]byte("host 1 is full\r\n"), []byte("host 2 is full\r\n")},
		"nothing alike":  {simple("", "scan", "of a page"), other},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, popd.Options{}, imapd.Options{NoUIDPlus: true}, mail[0])
			p.run(0, 1)
			p.imap.User("").Expunge("INBOX", 1)
			p.imap.User("").SetUIDValidity("INBOX", 2000)
			p.run(0, 0)
			p.pop.Deliver(mail[1])
			whole := p.o.Journal
			p.o.Journal = undelivering{whole}
			runFerry(t, p.o)
			p.o.Journal = whole
			p.run(0, 1)
			p.arrived(mail[1])
		})
	}
}

// TestOpenAppendTakesNothing: mail that was delivered is not taken for an append of the same
// mail that never arrived.
func TestOpenAppendTakesNothing(t *testing.T) {
	t.Parallel()
	for name, mail := range map[string][]byte{
		"Message-ID": simple("a", "x", "text"), "none": simple("", "x", "text"), "no header": []byte("text\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, popd.Options{}, imapd.Options{NoUIDPlus: true}, mail)
			p.run(0, 1)
			p.imap.Configure(func(o *imapd.Options) {
				o.Reply = func(e imapd.Event) imapd.Action {
					if e.Command == "APPEND" && e.Stage == imapd.AtCommand && e.N == 2 {
						return imapd.Action{Cut: imapd.RST}
					}
					return imapd.Action{}
				}
			})
			p.pop.Deliver(mail)
			p.o.NoWait, p.o.Config.Settle = true, time.Hour
			p.run(fault.Temporary, 0)
			p.imap.User("").SetUIDValidity("INBOX", 2000)
			p.o.NoWait, p.o.Config.Settle = false, time.Nanosecond
			p.run(0, 1)
			p.arrived(mail, mail)
			p.run(0, 0)
		})
	}
}

// TestNamelessMailIsNoOther: mail without a Message-ID that has no more than about the size of
// one that somebody removed is not its copy, and is known again when POP3 has it.
func TestNamelessMailIsNoOther(t *testing.T) {
	for _, mail := range [][]byte{other, append(bytes.Clone(other), "and more\r\n"...)} {
		p := newPair(t, popd.Options{}, imapd.Options{NoUIDPlus: true}, simple("", "scan", "of a page"))
		p.run(0, 1)
		p.imap.User("").Expunge("INBOX", 1)
		p.imap.User("").Deliver("INBOX", mail, nil, time.Time{})
		p.imap.User("").SetUIDValidity("INBOX", 2000)
		p.pop.Deliver(mail)
		p.run(0, 0)
		p.arrived(mail)
	}
}

// TestNamelessMailIsClaimed: the copy of mail without a Message-ID, as the server folded its
// header, is no copy of a second one.
func TestNamelessMailIsClaimed(t *testing.T) {
	mail := simple("", "scan", "of a page")
	p := newPair(t, popd.Options{}, imapd.Options{NoUIDPlus: true, Transform: func(msg []byte) []byte {
		return bytes.Replace(msg, []byte("Subject: "), []byte("Subject:\r\n "), 1)
	}}, mail)
	p.run(0, 1)
	p.imap.User("").SetUIDValidity("INBOX", 2000)
	p.run(0, 0)
	p.pop.Deliver(mail)
	p.run(0, 1)
	p.has(2)
}
