package ferry_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// passes makes a fleet of a pair and returns how to take a pass.
func (p *pair) passes() func(want fault.Code, delivered int) ferry.AccountReport {
	fleet := ferry.NewFleet(p.o)
	p.t.Cleanup(fleet.Close)
	return func(want fault.Code, delivered int) ferry.AccountReport {
		p.t.Helper()
		r := fleet.Pass(context.Background(), "alice", false)
		if r.ExitCode != want || r.Delivered != delivered {
			p.t.Fatalf("%+v, error %+v; want %v and %d delivered", r, r.Error, want, delivered)
		}
		return r
	}
}

// TestGlance: a pass that finds nothing new asks the destination nothing, and writes
// nothing; one that does goes on in the same session.
func TestGlance(t *testing.T) {
	mail := ordinary(20, 3)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail[:10]...)
	pass := p.passes()
	pass(0, 10)
	connected, written := p.imap.Counters().Connections, lastRun(t, p)
	for range 3 {
		if r := pass(0, 0); r.Listed != 10 || r.Known != 10 {
			t.Errorf("%+v", r)
		}
	}
	if p.imap.Counters().Connections != connected || lastRun(t, p) != written {
		t.Errorf("%d connections to the destination, and the journal says %s", p.imap.Counters().Connections-connected, lastRun(t, p))
	}
	before := p.pop.Counters().Sessions
	p.pop.Deliver(mail[10:]...)
	pass(0, 10)
	p.arrived(mail...)
	if n := p.pop.Counters().Sessions - before; n != 1 {
		t.Errorf("%d POP3 sessions to bring new mail", n)
	}
}

// TestHeartbeatWhenTheClockIsSetBack: the journal hears of it at once, and not only when
// the old time has come again.
func TestHeartbeatWhenTheClockIsSetBack(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(3, 3)...)
	p.passes()(0, 3)
	before := lastRun(t, p)
	p.setClock(-365 * day)
	pass := p.passes()
	pass(0, 0)
	after := lastRun(t, p)
	if after == before {
		t.Errorf("still %s", after)
	}
	pass(0, 0)
	if lastRun(t, p) != after {
		t.Errorf("and then %s", lastRun(t, p))
	}
}

// lastRun is what the journal says of the last run.
func lastRun(t *testing.T, p *pair) string {
	t.Helper()
	scopes, err := p.o.Journal.Scopes(t.Context())
	if err != nil || len(scopes) != 1 {
		t.Fatal(scopes, err)
	}
	return scopes[0].LastRun
}

// TestGlanceOverlooksNothing: what is due for anything is done, although nothing is new.
func TestGlanceOverlooksNothing(t *testing.T) {
	mail := ordinary(10, 4)
	for name, c := range map[string]struct {
		change func(*pair)
		code   fault.Code
		check  func(*testing.T, *pair, ferry.AccountReport)
	}{
		"deletions that a person agrees to": {func(p *pair) {
			p.account().Keep = plan.Keep{Delete: true}
			p.o.ConfirmDelete = true
		}, fault.OK, func(t *testing.T, p *pair, r ferry.AccountReport) {
			if r.Deleted != 10 || len(p.pop.Messages()) != 0 {
				t.Errorf("%+v", r)
			}
		}},
		"renumbered UIDLs": {func(p *pair) {
			p.pop.Configure(func(o *popd.Options) {
				o.UIDL = func(n int, _ []byte) string { return fmt.Sprintf("new-%d", n) }
			})
		}, fault.OK, func(*testing.T, *pair, ferry.AccountReport) {}},
		"another message of the same name": {func(p *pair) {
			uidls := p.pop.UIDLs()
			p.pop.Expunge(10)
			p.pop.Deliver([]byte("Subject: another\r\n\r\nlonger than the one before it was\r\n"))
			p.pop.Rename(10, uidls[9])
		}, fault.OK, func(t *testing.T, p *pair, r ferry.AccountReport) {
			if r.Delivered != 1 || len(p.imap.Mailbox("INBOX")) != 11 {
				t.Errorf("%+v", r)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
			p.passes()(0, 10)
			c.change(p)
			fleet := ferry.NewFleet(p.o)
			defer fleet.Close()
			r := fleet.Pass(t.Context(), "alice", false)
			if r.ExitCode != c.code {
				t.Fatalf("%+v", r)
			}
			c.check(t, p, r)
		})
	}
}

// TestGlanceTellsOfHeldMail: it is held although nobody asks the destination.
func TestGlanceTellsOfHeldMail(t *testing.T) {
	large := []byte("Subject: large\r\n\r\n" + strings.Repeat("x\r\n", 20000))
	p := newPair(t, popd.Options{}, imapd.Options{AppendLimit: 50000}, append(ordinary(3, 6), large)...)
	pass := p.passes()
	pass(fault.Held, 3)
	connected := p.imap.Counters().Connections
	again := pass(fault.Held, 0)
	if p.imap.Counters().Connections != connected || again.Held != 1 || len(again.Messages) != 1 || again.Messages[0].Reason == "" {
		t.Errorf("%+v", again)
	}
}

// TestGlanceTellsThatItNeedsAWord for the first deletion: nobody would agree else, and a
// pass that finds nothing new costs no more for it.
func TestGlanceTellsThatItNeedsAWord(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(3, 6)...)
	p.account().Keep = plan.Keep{Delete: true}
	pass := p.passes()
	first := pass(fault.Held, 3)
	connected := p.imap.Counters().Connections
	again := pass(0, 0)
	for _, r := range []ferry.AccountReport{first, again} {
		if r.Awaits == nil || !strings.HasPrefix(r.Awaits.Message, "3 messages could be deleted") {
			t.Errorf("%+v", r.Awaits)
		}
	}
	if p.imap.Counters().Connections != connected || again.Error != nil {
		t.Errorf("%+v", again)
	}
	if last := lastRun(t, p); !strings.Contains(last, `"exit_code":0`) || !strings.Contains(last, `"awaits":{"code":65,"message":"3 messages`) {
		t.Errorf("the journal has %s", last)
	}
}

// TestJournalHearsThatAWordIsNeeded once it is, although nothing is new.
func TestJournalHearsThatAWordIsNeeded(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(3, 6)...)
	p.passes()(0, 3)
	for _, keep := range []plan.Keep{{Delete: true}, {}} {
		p.account().Keep = keep
		p.passes()(0, 0)
		if last := lastRun(t, p); strings.Contains(last, "awaits") != keep.Delete {
			t.Errorf("%+v: %s", keep, last)
		}
	}
}

// TestLeft: what is on POP3 and could not be brought is told, whether the pass fails or not;
// what is held is not among it.
func TestLeft(t *testing.T) {
	poison := []byte("Message-ID: <p@example.org>\r\n\r\npoison\r\n")
	p := newPair(t, popd.Options{}, poisonous(imapd.Options{Quota: 10_000_000, QuotaMessages: 6}), append(ordinary(10, 3), poison)...)
	fleet := ferry.NewFleet(p.o)
	defer fleet.Close()
	left := func(code fault.Code, want string) {
		t.Helper()
		r := fleet.Pass(t.Context(), "alice", false)
		got := "unknown"
		if r.Left != nil {
			got = fmt.Sprint(*r.Left)
		}
		if r.ExitCode != code || got != want {
			t.Errorf("left %s, want %s; %+v, %+v", got, want, r.Totals, r.Error)
		}
	}
	left(fault.Refused, "5")
	left(fault.Refused, "5")
	p.imap.Configure(func(o *imapd.Options) { o.QuotaMessages = 100 })
	left(fault.Held, "0")
	left(fault.Held, "0")
	p.pop.Configure(func(o *popd.Options) { o.Username = "nobody" })
	left(fault.Credentials, "unknown")
}

// TestGlanceRoundTrips: a pass that finds nothing new takes 8 at most, of which TCP and
// TLS 1.3 have one each.
func TestGlanceRoundTrips(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(10, 3)...)
	var last *pop.Maildrop
	p.o.DialSource = func(ctx context.Context, a plan.Account) (*pop.Maildrop, error) {
		m, err := pop.Dial(ctx, pop.Options{Endpoint: a.Source.Endpoint, Username: a.Source.Username,
			Password: a.Source.Secret, Auth: a.Source.Auth})
		last = m
		return m, err
	}
	pass := p.passes()
	pass(0, 10)
	pass(0, 0)
	if n := last.RoundTrips(); n > 6 || n < 3 {
		t.Errorf("%d round trips", n)
	}
}
