package ferry_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// mark marks all that is in INBOX as deleted, as a mail program does that expunges later.
func (p *pair) mark() {
	box := p.imap.User("")
	for _, m := range p.imap.Mailbox("INBOX") {
		box.MarkDeleted("INBOX", m.UID)
	}
}

// expunge removes what is marked as deleted.
func (p *pair) expunge() {
	box := p.imap.User("")
	for _, m := range p.imap.Mailbox("INBOX") {
		if slices.Contains(m.Flags, `\Deleted`) {
			box.Expunge("INBOX", m.UID)
		}
	}
}

// TestMarkedAsDeletedIsNoWitness: copies of somebody else's that the next EXPUNGE takes keep
// no mail from being brought, and none is deleted from POP3 on their strength.
func TestMarkedAsDeletedIsNoWitness(t *testing.T) {
	for name, c := range map[string]struct {
		po        popd.Options
		transform func([]byte) []byte
		mail      [][]byte
	}{
		"headers":  {mail: ordinary(10, 7)},
		"contents": {po: popd.Options{NoTOP: true}, mail: ordinary(10, 7)},
		"altered":  {transform: imapd.DropCR, mail: crMail()},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, c.po, imapd.Options{Transform: c.transform}, c.mail...)
			p.run(0, len(c.mail))
			p.mark()
			for range 2 { // in the second one the index knows what it has
				p.forget()
				p.imap.User("").Deliver("INBOX", simple("x", "a", "another"), nil, time.Time{})
				p.run(0, len(c.mail))
				p.mark()
			}
			p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
			p.forget()
			p.run(0, len(c.mail))
			p.expunge()
			p.keeps(c.mail)
			p.has(len(c.mail))
		})
	}
}

// TestAdoptsNothingMarkedAsDeleted: to adopt a copy that is about to go would lose the mail.
func TestAdoptsNothingMarkedAsDeleted(t *testing.T) {
	for _, loose := range []bool{false, true} {
		mail := withIDs(4)
		p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
		box := p.imap.User("")
		for _, raw := range mail {
			box.Deliver("INBOX", raw, nil, time.Time{})
		}
		box.MarkDeleted("INBOX", 1)
		if r := ferry.Adopt(t.Context(), p.o, loose); r.ExitCode != 0 || r.Totals.Duplicate != 3 {
			t.Errorf("%+v", r)
		}
		p.run(0, 1)
	}
}

// TestIndexOutlivesWhatItHas: adopt does not believe the index that the mail is still there.
func TestIndexOutlivesWhatItHas(t *testing.T) {
	mail := withIDs(2)
	p := newPair(t, popd.Options{}, imapd.Options{}, simple("x", "a", "b"))
	box := p.imap.User("")
	for _, raw := range mail {
		box.Deliver("INBOX", raw, nil, time.Time{})
	}
	p.run(0, 1) // reads the index
	box.Expunge("INBOX", 2)
	p.pop.Deliver(mail...)
	if r := ferry.Adopt(t.Context(), p.o, true); r.Totals.Duplicate != 1 {
		t.Errorf("%+v", r)
	}
	p.run(0, 1)
}

// TestMarkedAsDeletedStaysOnPOP3 (I4): what somebody is about to remove from the destination
// is no reason to delete the original, and what the journal knows does not come again.
func TestMarkedAsDeletedStaysOnPOP3(t *testing.T) {
	mail := ordinary(10, 8)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	p.run(0, len(mail))
	p.imap.User("").MarkDeleted("INBOX", 2, 5, 7)
	v := ferry.Verify(t.Context(), p.o)
	if want := (ferry.VerifyTotals{Delivered: 10, Found: 10, Marked: 3}); v.Totals != want || v.ExitCode != 0 {
		t.Errorf("%+v", v)
	}
	p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
	for range 2 {
		r := p.run(0, 0)
		if notes := strings.Join(r.Accounts[0].Notes, "\n"); !strings.Contains(notes, "3 messages kept") ||
			!strings.Contains(notes, "marked as deleted") {
			t.Errorf("notes %q", notes)
		}
		p.kept(3)
	}
	p.expunge()
	p.run(0, 0)
	have := map[string]bool{}
	for _, m := range p.imap.Mailbox("INBOX") {
		have[string(corpus.Canonical(m.Raw))] = true
	}
	for _, m := range p.pop.Messages() {
		have[string(corpus.Canonical(m))] = true
	}
	if len(have) != len(mail) {
		t.Errorf("%d of %d mails are left", len(have), len(mail))
	}
}

// TestMarkedBeforeItWasSettled: an append whose answer was lost has arrived, although
// somebody marked it as deleted since.
func TestMarkedBeforeItWasSettled(t *testing.T) {
	mail := ordinary(10, 9)
	p := newPair(t, popd.Options{}, imapd.Options{Reply: firstAppend(imapd.AtStore, func() imapd.Action {
		return imapd.Action{StoreAfter: -1, Cut: imapd.RST}
	})}, mail...)
	p.o.NoWait, p.o.Config.Settle = true, time.Hour
	p.run(75, 0)
	p.imap.Commit()
	p.mark()
	p.run(0, len(mail))
	p.has(len(mail))
	err := p.ledger().Each(t.Context(), journal.Query{}, func(r journal.Record) error {
		if r.Origin != "appended" {
			t.Errorf("%s: %s", r.Key, r.Origin)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
