package ferry_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// parcels are n messages of about 10 kB.
func parcels(n int) [][]byte {
	var out [][]byte
	for i := range n {
		out = append(out, fmt.Appendf(nil, "Message-ID: <%d@example.org>\r\nSubject: parcel %d\r\n\r\n%s", i, i,
			strings.Repeat("Seventy-eight octets and a line end, over and over again until it is enough.\r\n", 130)))
	}
	return out
}

// retrieved is how many RETR the maildrop has seen.
func (p *pair) retrieved() int { return p.pop.Counters().Commands["RETR"] }

// TestQuotaStopsBeforeRETR (A5): what has room arrives. Of what has none one
// message is tried, and when that is refused nothing further is retrieved and the
// session ends without QUIT. With more room the rest arrives, once.
func TestQuotaStopsBeforeRETR(t *testing.T) {
	for name, io := range map[string]imapd.Options{
		"storage":     {Quota: 55 << 10},
		"messages":    {Quota: 1 << 30, QuotaMessages: 5},
		"no LITERAL+": {Quota: 55 << 10, Literals: imapd.LiteralSync},
	} {
		t.Run(name, func(t *testing.T) {
			mail := parcels(40)
			p := newPair(t, popd.Options{}, io, mail...)
			plans, _ := ferry.Plans(t.Context(), p.o)
			warned(t, plans[0].Warnings)
			if p.retrieved() != 0 {
				t.Errorf("the plan retrieved %d messages", p.retrieved())
			}
			quits := p.pop.Counters().Quit
			r := p.run(fault.Refused, 5)
			warned(t, r.Accounts[0].Notes)
			if p.retrieved() != 6 {
				t.Errorf("%d messages were retrieved for 5 that fit", p.retrieved())
			}
			if p.pop.Counters().Quit != quits {
				t.Error("QUIT after a message that was not delivered")
			}
			p.imap.Configure(func(o *imapd.Options) { o.Quota, o.QuotaMessages = 1<<30, 0 })
			p.run(0, 35)
			p.run(0, 0)
			p.arrived(mail...)
		})
	}
}

func warned(t *testing.T, warnings []string) {
	t.Helper()
	if len(warnings) != 1 || !strings.Contains(warnings[0], "left in the quota of alice on localhost") {
		t.Errorf("warnings: %q", warnings)
	}
}

// TestQuotaOfLargeMessage (I7): one that is larger than what is left does not keep
// the others from arriving.
func TestQuotaOfLargeMessage(t *testing.T) {
	large := append([]byte("Subject: large\r\n\r\n"), bytes.Repeat([]byte("too large for what is left\r\n"), 5000)...)
	mail := parcels(5)
	p := newPair(t, popd.Options{}, imapd.Options{Quota: 100 << 10}, append([][]byte{large}, mail...)...)
	p.run(fault.Refused, 5)
	p.arrived(mail...)
	p.run(fault.Refused, 0)
	p.imap.Configure(func(o *imapd.Options) { o.Quota = 1 << 20 })
	p.run(0, 1)
	p.arrived(append(mail, large)...)
}

// TestSoftQuota: a quota that may be exceeded warns and stops nobody.
func TestSoftQuota(t *testing.T) {
	mail := parcels(40)
	p := newPair(t, popd.Options{}, imapd.Options{Quota: 55 << 10, SoftQuota: true}, mail...)
	r := p.run(0, 40)
	warned(t, r.Accounts[0].Notes)
	p.arrived(mail...)
}

// TestQuotaIsAskedOnce: not by a run with nothing to copy, and by no other more
// than once, in however many rounds it goes.
func TestQuotaIsAskedOnce(t *testing.T) {
	mail := parcels(250) // looks like a page, so that there is a second round
	p := newPair(t, popd.Options{}, imapd.Options{Quota: 1 << 30}, mail...)
	r := p.run(0, 250)
	asked := func() int { return p.imap.Counters().Commands["GETQUOTAROOT"] }
	if asked() != 1 || len(r.Accounts[0].Notes) != 0 {
		t.Errorf("asked %d times; notes %q", asked(), r.Accounts[0].Notes)
	}
	p.run(0, 0)
	if asked() != 1 {
		t.Error("asked by a run with nothing to copy")
	}
}

// TestDovecotQuota (A5): the real server's quota, told before and enforced; with
// more room the rest arrives, once.
func TestDovecotQuota(t *testing.T) {
	dir := t.TempDir()
	mail := parcels(40)
	s := startDovecot(t, dovecot.Options{Dir: dir, Quota: "storage=205k"})
	for _, m := range mail {
		if err := s.Deliver("alice", m); err != nil {
			t.Fatal(err)
		}
	}
	o := ferry.Options{Config: dovecotConfig(t, s), Journal: openJournal(t, t.TempDir())}
	r := runFerry(t, o)
	if r.ExitCode != fault.Refused || r.Totals.Delivered != 20 {
		t.Fatalf("within the quota: %+v", r)
	}
	if e := r.Accounts[0].Error; !strings.Contains(e.Message, "OVERQUOTA") || !strings.Contains(e.Hint, "room") {
		t.Errorf("said: %+v", e)
	}
	if notes := r.Accounts[0].Notes; len(notes) != 1 || !strings.Contains(notes[0], "left in the quota of alice") {
		t.Errorf("notes: %q", notes)
	}
	if n := maildrop(t, s, "alice"); n != len(mail) {
		t.Errorf("%d left on POP3", n)
	}
	sameMail(t, messages(t, s, "alice", "INBOX"), mail[:20])

	if r := runFerry(t, o); r.ExitCode != fault.Refused || r.Totals.Delivered != 0 {
		t.Errorf("again: %+v", r)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s = startDovecot(t, dovecot.Options{Dir: dir, Quota: "storage=10M"})
	o.Config = dovecotConfig(t, s)
	if r := runFerry(t, o); r.ExitCode != 0 || r.Totals.Delivered != 20 || len(r.Accounts[0].Notes) != 0 {
		t.Errorf("with more room: %+v", r)
	}
	if r := runFerry(t, o); r.ExitCode != 0 || r.Totals.Delivered != 0 {
		t.Errorf("once more: %+v", r)
	}
	sameMail(t, messages(t, s, "alice", "INBOX"), mail)
}

// TestQuotaHoldsNothing: a message that there is no room for is not held, however
// often smaller ones arrive meanwhile; with more room the next run brings it.
func TestQuotaHoldsNothing(t *testing.T) {
	large := append([]byte("Subject: large\r\n\r\n"), bytes.Repeat([]byte("too large for what is left\r\n"), 5000)...)
	p := newPair(t, popd.Options{}, imapd.Options{Quota: 60 << 10}, large)
	for i := range 6 {
		p.pop.Deliver(simple(fmt.Sprint(i), "small", "text"))
		p.run(fault.Refused, 1)
	}
	p.imap.Configure(func(o *imapd.Options) { o.Quota = 1 << 30 })
	p.run(0, 1)
}

// TestQuotaBlocksNobody (I7): nor does such a message keep those behind it from
// arriving where the server does not tell its quota and takes or refuses a batch as
// a whole.
func TestQuotaBlocksNobody(t *testing.T) {
	small := ordinary(5, 93)
	p := newPair(t, popd.Options{}, imapd.Options{Literals: imapd.LiteralSync, Refuse: func(msg []byte) string {
		if bytes.Contains(msg, []byte("no room")) {
			return "NO [OVERQUOTA] full"
		}
		return ""
	}}, append([][]byte{[]byte("Subject: large\r\n\r\nno room\r\n")}, small...)...)
	for range 4 {
		if r := runFerry(t, p.o); r.ExitCode != fault.Refused {
			t.Errorf("%+v", r)
		}
	}
	p.arrived(small...)
	p.imap.Configure(func(o *imapd.Options) { o.Refuse = nil })
	p.run(0, 1)
}
