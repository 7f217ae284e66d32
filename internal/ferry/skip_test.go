package ferry_test

import (
	"context"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// TestSkipUIDLs: what another program fetched before is left alone on both sides,
// whatever keep says, with and without the journal; what is new is brought.
func TestSkipUIDLs(t *testing.T) {
	mail := ordinary(30, 5)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	uidls := p.pop.UIDLs()
	p.account().Source.Skip = plan.NewUIDLs(append(uidls[:25:25], "no-longer-there")...)
	p.account().Keep = plan.Keep{Delete: true}
	p.o.ConfirmDelete = true
	for _, lost := range []bool{false, true} {
		if lost {
			p.pop.Deliver(mail[25:]...)
			p.forget()
		}
		want := 5
		if lost {
			want = 0 // these are at the destination
		}
		r := p.run(0, want)
		if r.Totals.Known < 25 || r.Totals.LeftAlone != 25 || r.Totals.Deleted != 5 || len(p.pop.Messages()) != 25 {
			t.Errorf("%+v; %d are left", r.Totals, len(p.pop.Messages()))
		}
		if notes := strings.Join(r.Accounts[0].Notes, "\n"); !strings.Contains(notes, "25 messages left alone") ||
			strings.Contains(notes, "renumbered") {
			t.Errorf("%s", notes)
		}
		p.arrived(mail[25:]...)
	}
}

// TestSkipUIDLsProvesNothing: a UIDL that two messages have names neither.
func TestSkipUIDLsProvesNothing(t *testing.T) {
	mail := ordinary(6, 8)
	p := newPair(t, popd.Options{DuplicateUIDLs: true}, imapd.Options{}, mail...)
	p.account().Source.Skip = plan.NewUIDLs(p.pop.UIDLs()...)
	p.run(0, 4) // the first and the last one have a name of their own
	p.arrived(mail[1:5]...)
}

func TestSkipUIDLsInThePlan(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(3, 9)...)
	p.account().Source.Skip = plan.NewUIDLs(p.pop.UIDLs()[1])
	plans, _ := ferry.Plans(context.Background(), p.o)
	a := plans[0].Actions
	if a[0].Verb != plan.Copy || a[1].Verb != plan.Skip || a[2].Verb != plan.Copy || !strings.Contains(a[1].Why, "skip_uidls") {
		t.Errorf("%+v", a)
	}
	p.o.EveryMessage = true
	r := p.run(0, 2)
	skipped := 0
	for _, m := range r.Accounts[0].Messages {
		if m.State == "skipped" {
			skipped++
		}
	}
	if len(r.Accounts[0].Messages) != 3 || skipped != 1 {
		t.Errorf("%+v", r.Accounts[0].Messages)
	}
}

// TestSkipUIDLsInAGlance: also a pass that finds nothing new tells both apart.
func TestSkipUIDLsInAGlance(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(5, 9)...)
	p.account().Source.Skip = plan.NewUIDLs(p.pop.UIDLs()[:2]...)
	pass := p.passes()
	for _, delivered := range []int{3, 0} {
		if r := pass(0, delivered); r.LeftAlone != 2 {
			t.Errorf("%+v", r.Totals)
		}
	}
}
