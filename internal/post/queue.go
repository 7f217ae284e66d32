package post

import (
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
)

const (
	// many is how many news wait for one way each by itself. Further ones join one of their
	// kind, as far as that changes the order of no account's news.
	many = 20
	// flood is how many of a kind within floodIn tell that one cause makes them: those that follow
	// wait for each other, for gather, and go as one.
	flood   = 10
	floodIn = time.Minute
	gather  = 30 * time.Second
	// queued is how many may wait in all, and joined how many may join one.
	queued = 100
	joined = 1000
	// triedFor is how long a news is tried, and leastTries how often at least, whatever a
	// clock says.
	triedFor   = 7 * 24 * time.Hour
	leastTries = 20
	// mostKept bounds what is kept of them for a restart, in octets.
	mostKept = 2 << 20
)

// item is a news that waits.
type item struct {
	bridge.News
	Tries int       `json:"tries,omitempty"` // to bring it
	From  time.Time `json:"from,omitzero"`   // when the first failed
	Got   []string  `json:"got,omitempty"`   // the recipients that need no further one, if some do

	due     time.Time // when it is tried again
	pauses  *backoff.ExponentialBackOff
	refused bool // by the last try, so that it is left alone
}

// partial is why a news did not reach all of its recipients, of which some have it.
type partial struct {
	error
	got []string
}

// Unwrap is for errors.As.
func (p *partial) Unwrap() error { return p.error }

// queue is what waits for a way, in order. Each news is tried by itself, so that one which
// can't be brought keeps back only those of the same account.
type queue struct {
	fresh chan struct{} // has an element when there is something to look at

	disk sync.Mutex // is locked before mu
	save func(text string)

	mu     sync.Mutex
	news   []*item
	inHand *item                       // is being brought, or nil
	told   map[bridge.Kind][]time.Time // when the last ones of a kind were brought, up to flood
}

// newQueue makes one of what was kept. What can't be read is lost.
func newQueue(kept string, save func(text string)) *queue {
	q := &queue{save: save, fresh: make(chan struct{}, 1), told: map[bridge.Kind][]time.Time{}}
	_ = json.Unmarshal([]byte(kept), &q.news)
	q.news = slices.DeleteFunc(q.news, func(n *item) bool { return n == nil })
	return q
}

// add reports whether there was a place.
func (q *queue) add(n bridge.News) bool {
	if !q.take(n) {
		return false
	}
	q.keep()
	q.wake()
	return true
}

func (q *queue) take(n bridge.News) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n.Kind == bridge.Recovered && q.settledLocked(n.Account) {
		return true
	}
	m := q.placeLocked(n)
	switch {
	case m != nil:
		m.join(n)
	case len(q.news) < queued:
		q.news = append(q.news, &item{News: n, due: q.dueLocked(n.Kind)})
	default:
		return false
	}
	return true
}

// dueLocked is when a news is to be brought; zero: at once.
func (q *queue) dueLocked(k bridge.Kind) time.Time {
	now := time.Now()
	if told := q.told[k]; len(told) < flood || now.Sub(told[0]) > floodIn {
		return time.Time{}
	}
	return now.Add(gather)
}

// placeLocked is what a news joins, or nil: rather what was never tried, and none that it
// would keep back.
func (q *queue) placeLocked(n bridge.News) (place *item) {
	if len(q.news) < many && q.dueLocked(n.Kind).IsZero() || len(q.news) < queued && q.failsLocked(n.Account) {
		return nil
	}
	for _, m := range slices.Backward(q.news) {
		fits := m != q.inHand && m.Kind == n.Kind && len(m.More) < joined && len(m.Got) == 0
		if fits && (place == nil || m.Tries < place.Tries) {
			place = m
		}
		if m.about(n.Account) {
			break
		}
	}
	return place
}

// join adds a news, which has a week of its own before it.
func (i *item) join(n bridge.News) {
	i.More = append(i.More, bridge.More{Account: n.Account, Time: n.Time, Text: n.Text})
	if i.Tries > 0 {
		i.From, i.due, i.pauses = time.Now(), time.Time{}, nil
	}
}

// failsLocked reports whether a news of an account was tried in vain.
func (q *queue) failsLocked(account string) bool {
	return slices.ContainsFunc(q.news, func(n *item) bool { return n.Tries > 0 && n.about(account) })
}

func (i *item) about(account string) bool { return slices.Contains(i.accounts(), account) }

func (i *item) accounts() []string {
	names := []string{i.Account}
	for _, m := range i.More {
		names = append(names, m.Account)
	}
	return names
}

// follows reports whether one that was seen before is about the same account.
func (i *item) follows(seen map[string]bool) (follows bool) {
	for _, account := range i.accounts() {
		follows = follows || seen[account]
	}
	for _, account := range i.accounts() {
		seen[account] = true
	}
	return follows
}

// settledLocked drops what waits of whether an account works, as it does now, and reports
// whether nothing is left to tell: nobody can know yet that it failed.
func (q *queue) settledLocked(account string) bool {
	for _, n := range slices.Backward(q.news) {
		if n.Kind == bridge.Fails && n.Tries == 0 && n != q.inHand && n.about(account) {
			q.withoutLocked(n, account)
			return true
		}
	}
	for _, n := range slices.Clone(q.news) {
		if n.onWorking() && n != q.inHand {
			q.withoutLocked(n, account)
		}
	}
	return false
}

func (i *item) onWorking() bool { return i.Kind == bridge.Fails || i.Kind == bridge.Recovered }

// supersedeLocked drops of a news what a later one says has changed: that the account works.
func (q *queue) supersedeLocked(n *item) {
	var works []string
	for _, later := range q.news[slices.Index(q.news, n)+1:] {
		if n.onWorking() && later.Kind == bridge.Recovered {
			works = append(works, later.accounts()...)
		}
	}
	q.withoutLocked(n, works...)
}

// withoutLocked takes accounts out of a news. If it began with one, the next is the first,
// of which no more is known than that.
func (q *queue) withoutLocked(n *item, accounts ...string) {
	gone := func(m bridge.More) bool { return slices.Contains(accounts, m.Account) }
	n.More = slices.DeleteFunc(n.More, gone)
	switch {
	case !slices.Contains(accounts, n.Account):
	case len(n.More) == 0:
		q.news = slices.DeleteFunc(q.news, func(m *item) bool { return m == n })
	default:
		m := n.More[0]
		n.News = bridge.News{Version: n.Version, Kind: n.Kind, Account: m.Account, Time: m.Time, Text: m.Text, More: n.More[1:]}
	}
}

// next takes in hand what is to be brought now: of the first of each account, what was
// tried least. There may be none before some time, or, if that is zero, before a fresh one.
func (q *queue) next() (n item, due time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inHand, due = q.firstLocked(time.Now())
	if q.inHand == nil {
		return item{}, due, false
	}
	return *q.inHand, due, true
}

func (q *queue) firstLocked(now time.Time) (first *item, due time.Time) {
	seen := map[string]bool{}
	for _, n := range q.news {
		switch {
		case len(n.Got) == 0 && n.follows(seen): // what some have keeps back nothing from them
		case n.due.After(now):
			if due.IsZero() || n.due.Before(due) {
				due = n.due
			}
		case first == nil || n.Tries < first.Tries:
			first = n
		}
	}
	return first, due
}

// ready reports whether something is to be brought now.
func (q *queue) ready() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	first, _ := q.firstLocked(time.Now())
	return first != nil
}

// done takes out what was in hand. As the way works, what it did not take for now is tried
// again soon.
func (q *queue) done() {
	defer q.keep()
	q.mu.Lock()
	defer q.mu.Unlock()
	told := append(q.told[q.inHand.Kind], time.Now())
	q.told[q.inHand.Kind] = told[max(0, len(told)-flood):]
	q.dropLocked()
	soon := time.Now().Add(soonest)
	for _, n := range q.news {
		if !n.refused && n.Tries > 0 && n.due.After(soon) {
			n.due = soon
		}
	}
}

func (q *queue) dropLocked() {
	q.news = slices.DeleteFunc(q.news, func(n *item) bool { return n == q.inHand })
	q.inHand = nil
}

// failed has what was in hand wait on, and reports whether it does: at some time it is given
// up.
func (q *queue) failed(err error) bool {
	defer q.keep()
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.inHand
	if n.Tries++; n.isOver(time.Now()) {
		q.dropLocked()
		return false
	}
	if p := (*partial)(nil); errors.As(err, &p) {
		n.Got = p.got
	}
	n.refused = fault.CodeOf(err) != fault.Temporary
	n.pause()
	q.inHand = nil
	q.supersedeLocked(n)
	return true
}

// isOver reports whether it was tried for long enough.
func (i *item) isOver(now time.Time) bool {
	if i.From.IsZero() || i.From.After(now) { // the clock was set back
		i.From = now
	}
	return i.Tries >= leastTries && now.Sub(i.From) > triedFor
}

// pause has it wait, longer from try to try.
func (i *item) pause() {
	if i.pauses == nil {
		i.pauses = &backoff.ExponentialBackOff{InitialInterval: soonest, RandomizationFactor: 0.3, Multiplier: 3, MaxInterval: latest}
	}
	pause := i.pauses.NextBackOff()
	if i.refused {
		pause = max(pause, refusedFor)
	}
	i.due = time.Now().Add(pause)
}

// again has all tried at once: somebody may have mended what was wrong.
func (q *queue) again() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, n := range q.news {
		n.due, n.pauses = time.Time{}, nil
	}
}

// waiting counts the news, those that were put together as well.
func (q *queue) waiting() (count int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, n := range q.news {
		count += 1 + len(n.More)
	}
	return count
}

// forget keeps nothing any more: the next start has no such way.
func (q *queue) forget() {
	q.disk.Lock()
	defer q.disk.Unlock()
	q.save("")
	q.save = func(string) {}
}

func (q *queue) wake() {
	select {
	case q.fresh <- struct{}{}:
	default: // there is something to look at already
	}
}

// keep lets what waits survive a restart. Nobody who only looks waits for that.
func (q *queue) keep() {
	q.disk.Lock()
	defer q.disk.Unlock()
	q.save(q.text())
}

// text is what is kept: the oldest of what waits if it is too much.
func (q *queue) text() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	for n := len(q.news); ; n /= 2 {
		text, _ := json.Marshal(q.news[:n]) // news can be encoded: a webhook gets it
		if len(text) <= mostKept {
			return string(text)
		}
	}
}
