package limits

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

// Day is how long what a user has spent counts, from the first octet of it on.
const Day = 24 * time.Hour

// ahead is how much more than was spent is written down at a time.
const ahead = 8 << 20

// Books have what accounts spent, as facts of theirs.
type Books interface {
	// Read returns a fact of any account; "": there is none.
	Read(ctx context.Context, a plan.Account, fact string) (string, error)
	// Write sets a fact of the account whose books they are.
	Write(ctx context.Context, fact, text string) error
}

// Budgets are bytes_per_day, of each user of a host.
type Budgets struct {
	mu sync.Mutex
	of map[owner]*budget
}

type owner struct{ host, user string }

// budget is that of one user of a host, whose accounts may be several.
type budget struct {
	owner
	mu      sync.Mutex
	limit   int64
	knownOf string
	known   bool // what earlier runs spent was asked for
	spent   expense
}

// expense is what was spent since the first of it.
type expense struct {
	From   time.Time `json:"from"`
	Octets int64     `json:"octets"`
}

func (x expense) over(now time.Time) bool {
	return now.Sub(x.From) >= Day || x.From.After(now) // a clock that was set back
}

// NewBudgets makes them without any. They may serve several configurations, one after the other.
func NewBudgets() *Budgets { return &Budgets{of: map[owner]*budget{}} }

// at returns the budget of the user of an endpoint, or nil.
func (b *Budgets) at(l plan.Limits, side plan.Endpoint) *budget {
	limits, key := l.Host(side.Host), owner{side.Host, side.Mailbox()}
	if limits.BytesPerDay <= 0 { // or plan.Unlimited
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of[key] == nil {
		b.of[key] = &budget{owner: key}
	}
	one := b.of[key]
	one.mu.Lock()
	defer one.mu.Unlock()
	one.limit, one.knownOf = limits.BytesPerDay, limits.KnownOf // they may be of another configuration
	return one
}

// Purses are the parts of an account in budgets: at its source, and at its destination.
type Purses struct {
	account plan.Account
	all     []plan.Account // of the configuration; some may be of the same user
	books   Books
	clock   func() time.Time
	of      []*purse
}

// purse is an account's part of a budget.
type purse struct {
	*budget
	own      expense
	recorded int64 // octets, in the books
	open     bool  // own is what the books say
}

// Purses returns those of an account.
func (b *Budgets) Purses(c *plan.Config, a plan.Account, books Books, clock func() time.Time) *Purses {
	ps := &Purses{account: a, all: c.Accounts, books: books, clock: clock}
	for _, side := range []plan.Endpoint{a.Source, a.Destination} {
		one := b.at(c.Limits, side)
		if one != nil && (len(ps.of) == 0 || ps.of[0].budget != one) {
			ps.of = append(ps.of, &purse{budget: one})
		}
	}
	slices.SortFunc(ps.of, func(a, b *purse) int { return strings.Compare(a.fact(), b.fact()) })
	return ps
}

// Spend takes the octets of a message from every purse, or from none and says when there
// will be more.
func (ps *Purses) Spend(ctx context.Context, octets int64) error { return ps.spend(ctx, ps.of, octets) }

// SpendAt is Spend for what one side only gives or takes.
func (ps *Purses) SpendAt(ctx context.Context, side plan.Endpoint, octets int64) error {
	var of []*purse
	for _, p := range ps.of {
		if p.countsFor(side) {
			of = append(of, p)
		}
	}
	return ps.spend(ctx, of, octets)
}

func (ps *Purses) spend(ctx context.Context, of []*purse, octets int64) error {
	for _, p := range of { // all lock them in the same order
		p.mu.Lock()
		defer p.mu.Unlock()
	}
	now := ps.clock()
	for _, p := range of {
		if err := ps.recall(ctx, p); err != nil {
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
		if err := ps.record(ctx, p, min(ahead, p.limit/10)); err != nil {
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

func (ps *Purses) record(ctx context.Context, p *purse, ahead int64) error {
	x := expense{From: p.own.From, Octets: p.own.Octets + ahead}
	text, err := json.Marshal(x)
	if err == nil {
		err = ps.books.Write(ctx, p.fact(), string(text))
	}
	if err == nil {
		p.recorded = x.Octets
	}
	return err
}

// Close writes down what was spent after all. If that fails, more counts as spent than was.
func (ps *Purses) Close() {
	for _, p := range ps.of {
		p.mu.Lock()
		if p.recorded > p.own.Octets {
			_ = ps.record(context.Background(), p, 0)
		}
		p.mu.Unlock()
	}
}

// fact is what the books have it under.
func (o owner) fact() string { return "budget " + o.host + " " + o.user }

func (o owner) countsFor(side plan.Endpoint) bool {
	return side.Host == o.host && side.Mailbox() == o.user
}

func (b *budget) used(now time.Time) error {
	again := b.spent.From.Add(Day)
	hint := "run again after " + again.Format("Mon 2 Jan 15:04")
	if b.knownOf != "" {
		hint += fmt.Sprintf("; bytes_per_day of limits.hosts.%s takes the place of what is known of %s", b.host, b.knownOf)
	}
	return fault.New(fault.Temporary, "%s, used up for %s: %w", b.terms(), fault.Escape(b.user), ErrLater).
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

// Days is how many days are to pass before so much work is done, if nothing is used
// up yet, and what makes it so many.
func (ps *Purses) Days(work plan.Count) (days int64, terms string) {
	for _, p := range ps.of {
		p.mu.Lock()
		if n := (work.Bytes - 1) / p.limit; n > days {
			days, terms = n, p.terms()
		}
		p.mu.Unlock()
	}
	return days, terms
}

// recall asks the books what the account has spent, and, once for each budget, what all
// accounts of the user have.
func (ps *Purses) recall(ctx context.Context, p *purse) (err error) {
	if !p.known {
		if err := ps.recallAll(ctx, p.budget); err != nil {
			return err
		}
	}
	if p.open {
		return nil
	}
	p.own, err = ps.expenseOf(ctx, ps.account, p.budget)
	p.own.From, p.recorded, p.open = p.spent.From, p.own.Octets, err == nil
	return err
}

func (ps *Purses) recallAll(ctx context.Context, b *budget) error {
	var all expense
	for _, a := range ps.all {
		x, err := ps.expenseOf(ctx, a, b)
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

// expenseOf is what an account has spent of a budget, as far as it still counts.
func (ps *Purses) expenseOf(ctx context.Context, a plan.Account, b *budget) (x expense, err error) {
	if !b.countsFor(a.Source) && !b.countsFor(a.Destination) {
		return x, nil
	}
	text, err := ps.books.Read(ctx, a, b.fact())
	// A fact that can't be read is none.
	if err != nil || json.Unmarshal([]byte(text), &x) != nil || x.over(ps.clock()) {
		return expense{}, err
	}
	return x, nil
}
