package ferry_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// called gives an account the user's name that it has without a name of its own.
func called(a *plan.Account, user string) { a.Name, a.Source.Username = user, user }

// TestAnotherForm: an account without a name has another one as soon as its user's has
// another form; and a host may change with a name. Nothing is copied again, back and
// forth, and what is kept on POP3 until it was delivered goes from there.
func TestAnotherForm(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(a *plan.Account, n int){
		"user":          func(a *plan.Account, n int) { called(a, []string{"alice", "Alice@example.org"}[n%2]) },
		"name and host": func(a *plan.Account, n int) { a.Name, a.Source.Host = fmt.Sprint("n", n), fmt.Sprintf("127.0.0.%d", n) },
	} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(30, 11)
			p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
			p.run(0, 30)
			for n := 1; n < 5; n++ {
				change(p.account(), n)
				p.pop.Expunge(1) // somebody else took it
				plans, _ := ferry.Plans(t.Context(), p.o)
				if n := plans[0].Totals().Copy.Messages; n != 0 {
					t.Errorf("the plan has %d to copy", n)
				}
				p.run(0, 0)
				p.run(0, 0)
			}
			p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
			change(p.account(), 5)
			p.run(0, 0)
			p.arrived(mail...)
			if n := len(p.pop.Messages()); n != 0 {
				t.Errorf("%d are still on POP3", n)
			}
		})
	}
}

// TestStrangers: where nothing speaks for it, the account that is in the list no more is
// named, and its name is all it takes.
func TestStrangers(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(5, 11)...)
	p.run(0, 5)
	called(p.account(), "bob@example.org")
	_, r := ferry.Plans(t.Context(), p.o)
	if notes := strings.Join(r.Accounts[0].Notes, "\n"); !strings.Contains(notes, `"alice" (alice at localhost)`) {
		t.Errorf("notes: %s", notes)
	}
	p.account().Name = "alice"
	p.run(0, 0)
}

// lists is a destination that several maildrops with one local part go to, in lists that
// change.
type lists struct {
	*pair
	mail  [][][]byte
	bases []plan.Account
}

// newLists makes such maildrops, each with so many messages of its own and some that all of
// them have.
func newLists(t *testing.T, po popd.Options, common int, each ...int) *lists {
	l := &lists{pair: newPair(t, popd.Options{}, imapd.Options{})}
	for i, n := range each {
		mail := append(ordinary(n, int64(100+i)), ordinary(common, 99)...)
		drop := popd.New(po, mail...)
		t.Cleanup(func() { drop.Close() })
		base := *l.account()
		base.Source.Dial = drop.Dial
		l.mail, l.bases = append(l.mail, mail), append(l.bases, base)
	}
	return l
}

// list makes a list of accounts of some maildrops, each in a form of its user's name and
// at one of two hosts.
func (l *lists) list(forms map[int]int) {
	l.o.Config.Accounts = nil
	for i := range l.bases {
		if form, ok := forms[i]; ok {
			a := l.bases[i]
			called(&a, fmt.Sprintf("info@%c%d.example.org", 'a'+i, form/2))
			a.Source.Host = []string{"localhost", "127.0.0.1"}[form%2]
			l.o.Config.Accounts = append(l.o.Config.Accounts, a)
		}
	}
}

// TestListsChange: whichever accounts of one destination come, go, come again and get other
// names at once, each mail of theirs arrives once.
func TestListsChange(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][]map[int]int{
		"gone and back":       {{0: 0}, {1: 0}, {0: 0, 1: 0}},
		"back otherwise":      {{0: 0}, {1: 0}, {0: 2, 1: 0}},
		"back alone":          {{0: 0}, {1: 0}, {0: 0}, {1: 0}},
		"both at once":        {{0: 0, 1: 0}, {0: 2, 1: 2}, {0: 0, 1: 2}},
		"one beside another":  {{0: 0, 1: 0}, {0: 0, 1: 2}, {0: 2, 1: 2}},
		"a third instead":     {{0: 0, 1: 0}, {1: 0, 2: 0}, {0: 2, 2: 2}, {0: 0, 1: 2, 2: 4}},
		"in turns":            {{0: 0}, {1: 0}, {2: 0}, {0: 2}, {1: 2}, {2: 2}, {0: 4, 1: 4, 2: 4}},
		"the list in reverse": {{2: 0, 1: 0}, {0: 0}, {0: 2, 1: 2, 2: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLists(t, popd.Options{}, 0, 8, 8, 8)
			seen := map[int]bool{}
			for _, forms := range steps {
				l.list(forms)
				fresh := 0
				for i := range forms {
					if !seen[i] {
						fresh, seen[i] = fresh+8, true
					}
				}
				l.run(0, fresh)
				l.run(0, 0)
			}
		})
	}
}

// TestTrialInterrupted: a trial may end after any write, and whoever else may be the account
// that left takes his own out of it.
func TestTrialInterrupted(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]map[int]int{
		"the same list": {0: 2, 1: 2}, "home again": {0: 2, 1: 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for writes, died := 0, true; died; writes++ {
				l := newLists(t, popd.Options{NoTOP: true}, 0, 110, 5) // more than a batch
				l.list(map[int]int{0: 0, 1: 0})
				l.run(0, 115)
				l.list(map[int]int{0: 2, 1: 2})
				whole := l.o.Journal
				l.o.Journal = dyingAfter(writes, whole)
				l.o.Accounts = []string{l.account().Name}
				died = runFerry(t, l.o).ExitCode != 0
				l.o.Journal = whole
				l.list(next)
				l.o.Accounts = []string{l.o.Config.Accounts[1].Name}
				runFerry(t, l.o)
				l.o.Accounts = nil
				runFerry(t, l.o)
				l.run(0, 0)
				l.arrived(slices.Concat(l.mail...)...)
			}
		})
	}
}

// TestTrialEnds: what an account has after a trial, to verify and to take back, is its own,
// however it is called by now, and nothing of another one that it was like.
func TestTrialEnds(t *testing.T) {
	l := newLists(t, popd.Options{}, 0, 8, 8)
	l.list(map[int]int{0: 0})
	l.run(0, 8)
	l.list(map[int]int{1: 0})
	l.run(0, 8)
	if v := ferry.Verify(t.Context(), l.o); v.Totals.Delivered != 8 {
		t.Errorf("not all of it is its own: %+v", v)
	}
	l.list(map[int]int{1: 2})
	if r := ferry.Undo(t.Context(), l.o); r.ExitCode != 0 || r.Totals.Deleted != 0 {
		t.Errorf("before it knows its own: %+v", r)
	}
	l.run(0, 0)
	if r := ferry.Undo(t.Context(), l.o); r.ExitCode != 0 || r.Totals.Deleted != 8 {
		t.Errorf("%+v", r)
	}
	l.arrived(l.mail[0]...)
	l.list(map[int]int{0: 2, 1: 2})
	l.run(0, 8)
	l.arrived(slices.Concat(l.mail...)...)
}

// TestListsChangeAnyhow plays such changes at random, among them runs that die amid a
// write, and accounts that are left out of a run.
func TestListsChangeAnyhow(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			l := newLists(t, popd.Options{}, 3, 5, 5, 5)
			whole := l.o.Journal
			forms := map[int]int{}
			for range 12 {
				for i := range l.bases {
					switch rnd.IntN(4) {
					case 0:
						delete(forms, i)
					case 1:
						forms[i] = rnd.IntN(6)
					}
				}
				if len(forms) == 0 {
					continue
				}
				l.list(forms)
				l.o.Journal = whole
				if rnd.IntN(3) == 0 {
					l.o.Journal = dyingAfter(rnd.IntN(25), whole)
				}
				runFerry(t, l.o)
			}
			l.o.Journal = whole
			l.list(map[int]int{0: 9, 1: 9, 2: 9})
			runFerry(t, l.o)
			l.run(0, 0)
			l.arrived(slices.Concat(l.mail...)...)
		})
	}
}

// lent makes the account's name that of another maildrop, which has so many messages, for two
// runs, and returns the list with the first one under another name.
func (p *pair) lent(mail [][]byte) {
	p.t.Helper()
	drop := popd.New(popd.Options{}, mail...)
	p.t.Cleanup(func() { drop.Close() })
	first := *p.account()
	p.account().Source.Username, p.account().Source.Dial = "bob", drop.Dial
	p.run(0, len(mail))
	p.run(0, 0)
	first.Name = "other"
	p.o.Config.Accounts = append(p.o.Config.Accounts, first)
}

// TestNameLent: an account's name is that of another maildrop for a while. The first one is
// known by its host and user when it comes back under another name.
func TestNameLent(t *testing.T) {
	mail, others := ordinary(30, 6), ordinary(5, 7)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	p.run(0, len(mail))
	p.lent(others)
	plans, _ := ferry.Plans(t.Context(), p.o)
	if n := plans[1].Totals().Copy.Messages; n != 0 {
		t.Errorf("the plan has %d to copy", n)
	}
	p.run(0, 0)
	p.arrived(slices.Concat(mail, others)...)
}

// TestTrialLeavesDoubts: what another maildrop lists says nothing about a deletion in doubt.
func TestTrialLeavesDoubts(t *testing.T) {
	var answers atomic.Bool
	l := newLists(t, popd.Options{Reply: func(cmd string, _ int) ([]byte, bool) {
		return nil, cmd == "DELE" && !answers.Load()
	}}, 0, 1, 5)
	for i := range l.bases {
		l.bases[i].Keep, l.o.ConfirmDelete = plan.Keep{Delete: true}, true
		l.bases[i].Source.Limits.Idle = 200 * time.Millisecond
	}
	l.list(map[int]int{0: 0})
	runFerry(t, l.o)
	answers.Store(true)
	l.list(map[int]int{1: 0})
	l.run(0, 5)
	l.list(map[int]int{0: 2, 1: 0})
	l.run(0, 0)
	l.arrived(slices.Concat(l.mail...)...)
}

// TestNameStays: where the maildrop of a name moved, what POP3 has no more of it stays known
// under that name, and can be verified.
func TestNameStays(t *testing.T) {
	for name, writes := range map[string]int{"at once": 1 << 20, "soon": 12, "later": 16} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(30, 6)
			p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
			p.run(0, len(mail))
			p.pop.Expunge(1)
			p.pop.Expunge(1)
			p.account().Source.Host = "127.0.0.1"
			whole := p.o.Journal
			p.o.Journal = dyingAfter(writes, whole)
			runFerry(t, p.o)
			p.o.Journal = whole
			p.run(0, 0)
			if v := ferry.Verify(t.Context(), p.o); v.ExitCode != 0 || v.Totals.Delivered != len(mail) {
				t.Errorf("%+v", v.Totals)
			}
		})
	}
}
