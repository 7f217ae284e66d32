package ferry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// budgetDay is how long what a user has spent counts, from the first octet of it on.
const budgetDay = 24 * time.Hour

// budgetAhead is how much more than was spent the journal is told at a time: who dies
// before the next time has spent less than it says.
const budgetAhead = 8 << 20

// factBudget is, with a host and a user behind it, what an account spent there: an expense as
// JSON.
const factBudget = "budget "

type expense struct {
	From   time.Time `json:"from"`
	Octets int64     `json:"octets"`
}

func (x expense) over(now time.Time) bool {
	return now.Sub(x.From) >= budgetDay || x.From.After(now) // a clock that was set back
}

// budget is bytes_per_day of one user of a host, whose accounts may be several.
type budget struct {
	host, user string
	limit      int64
	knownOf    string
	mu         sync.Mutex
	known      bool // what earlier runs spent was asked for
	spent      expense
}

// purse is an account's part of a budget.
type purse struct {
	*budget
	own      expense
	recorded int64 // octets, in the journal
	open     bool  // own is what the journal says
}

// budgetOf returns the budget of an account's user at one of its hosts, or nil.
func (e *engine) budgetOf(host, user string) *budget {
	limits := e.Config.Limits.Host(host)
	if limits.BytesPerDay <= 0 { // or plan.Unlimited
		return nil
	}
	e.budgetsMu.Lock()
	defer e.budgetsMu.Unlock()
	key := host + "\x00" + user
	b := e.budgets[key]
	if b == nil {
		b = &budget{host: host, user: user}
		e.budgets[key] = b
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit, b.knownOf = limits.BytesPerDay, limits.KnownOf // they may be of another configuration
	return b
}

func (e *engine) pursesOf(a plan.Account) []*purse {
	var list []*purse
	for _, side := range []plan.Endpoint{a.Source, a.Destination} {
		b := e.budgetOf(side.Host, side.Mailbox())
		if b != nil && (len(list) == 0 || list[0].budget != b) {
			list = append(list, &purse{budget: b})
		}
	}
	slices.SortFunc(list, func(a, b *purse) int { return strings.Compare(a.fact(), b.fact()) })
	return list
}

// spend takes the octets of a message from every budget, or from none and says when there
// will be more.
func (t *trip) spend(ctx context.Context, of []*purse, octets int64) error {
	for _, p := range of { // all lock them in the same order
		p.mu.Lock()
		defer p.mu.Unlock()
	}
	now := t.engine.Clock()
	for _, p := range of {
		if err := t.recall(ctx, p); err != nil {
			return err
		}
		if err := p.permitLocked(now, octets); err != nil {
			return err
		}
	}
	for _, p := range of {
		p.takeLocked(octets)
		if p.recorded >= p.own.Octets {
			continue
		}
		if err := t.recordExpense(ctx, p, min(budgetAhead, p.limit/10)); err != nil {
			return err
		}
	}
	return nil
}

// permitLocked is the error for octets that are too many. One message that is larger than
// a whole budget goes alone.
func (b *budget) permitLocked(now time.Time, octets int64) error {
	if b.spent.over(now) {
		b.spent = expense{From: now}
	}
	if b.spent.Octets > 0 && b.spent.Octets+octets > b.limit {
		return b.used(now)
	}
	return nil
}

func (p *purse) takeLocked(octets int64) {
	if p.own.From != p.spent.From {
		p.own, p.recorded = expense{From: p.spent.From}, 0
	}
	p.spent.Octets += octets
	p.own.Octets += octets
}

func (t *trip) recordExpense(ctx context.Context, p *purse, ahead int64) error {
	x := expense{From: p.own.From, Octets: p.own.Octets + ahead}
	text, err := json.Marshal(x)
	if err == nil {
		err = t.ledger.SetFact(ctx, p.fact(), string(text))
	}
	if err == nil {
		p.recorded = x.Octets
	}
	return err
}

// closePurses tells the journal what was spent after all. If it can't be told, more
// counts as spent than was.
func (t *trip) closePurses() {
	for _, p := range t.purses {
		p.mu.Lock()
		if p.recorded > p.own.Octets {
			_ = t.recordExpense(context.Background(), p, 0)
		}
		p.mu.Unlock()
	}
}

func (b *budget) fact() string { return factBudget + b.host + " " + b.user }

func (b *budget) used(now time.Time) error {
	again := b.spent.From.Add(budgetDay)
	hint := "run again after " + again.Format("Mon 2 Jan 15:04")
	if b.knownOf != "" {
		hint += fmt.Sprintf("; bytes_per_day of limits.hosts.%s takes the place of what is known of %s", b.host, b.knownOf)
	}
	return fault.New(fault.Temporary, "%s, used up for %s: %w", b.terms(), fault.Escape(b.user), errLater).
		WithHint("%s", hint).WithAfter(again.Sub(now))
}

// terms says how much it is, and who says so.
func (b *budget) terms() string {
	size := humanize.IBytes(uint64(b.limit))
	if b.knownOf != "" {
		return fmt.Sprintf("%s takes or gives about %s a day", b.knownOf, size)
	}
	return fmt.Sprintf("bytes_per_day of %s are %s", b.host, size)
}

// days is how many days are to pass before so much work is done, if nothing is used
// up yet, and what makes it so many.
func (t *trip) days(work plan.Count) (days int64, terms string) {
	for _, p := range t.purses {
		p.mu.Lock()
		if n := (work.Bytes - 1) / p.limit; n > days {
			days, terms = n, p.terms()
		}
		p.mu.Unlock()
	}
	return days, terms
}

// recall asks the journal what the account has spent, and, once in a run, what all
// accounts of the user have.
func (t *trip) recall(ctx context.Context, p *purse) (err error) {
	if !p.known {
		if err := t.recallAll(ctx, p.budget); err != nil {
			return err
		}
	}
	if p.open {
		return nil
	}
	p.own, err = t.expenseOf(ctx, t.account, p.budget)
	p.own.From, p.recorded, p.open = p.spent.From, p.own.Octets, err == nil
	return err
}

func (t *trip) recallAll(ctx context.Context, b *budget) error {
	var all expense
	for _, a := range t.engine.Config.Accounts {
		x, err := t.expenseOf(ctx, a, b)
		if err != nil {
			return err
		}
		if x.Octets > 0 && (all.Octets == 0 || x.From.Before(all.From)) {
			all.From = x.From
		}
		all.Octets += x.Octets
	}
	b.spent, b.known = all, true
	return nil
}

func (b *budget) countsFor(side plan.Endpoint) bool {
	return side.Host == b.host && side.Mailbox() == b.user
}

// expenseOf is what an account has spent of a budget, as far as it still counts.
func (t *trip) expenseOf(ctx context.Context, a plan.Account, b *budget) (x expense, err error) {
	if !b.countsFor(a.Source) && !b.countsFor(a.Destination) {
		return x, nil
	}
	ledger, err := t.engine.Journal.Ledger(ctx, scopeOf(a))
	if err != nil {
		return x, err
	}
	text, err := ledger.Fact(ctx, b.fact())
	// A fact that can't be read is none.
	if json.Unmarshal([]byte(text), &x) != nil || x.over(t.engine.Clock()) {
		return expense{}, err
	}
	return x, err
}
