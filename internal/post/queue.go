package post

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/popferry/popferry/internal/bridge"
)

const (
	// many is how many news wait for one way each by itself. Further ones join one of their
	// kind, as far as that changes the order of no account's news.
	many = 20
	// queued is how many may wait in all, and joined how many may join one.
	queued = 100
	joined = 1000
	// mostTries is how often a news is tried: for about a week.
	mostTries = 7 * 24
	// mostKept bounds what is kept of them for a restart, in octets.
	mostKept = 2 << 20
)

// item is a news that waits.
type item struct {
	bridge.News
	Tries int `json:"tries,omitempty"` // to bring it
}

// queue is what waits for a way, in order. The first may be in hand.
type queue struct {
	save  func(text string)
	fresh chan struct{} // has an element when there is something to look at

	mu     sync.Mutex
	news   []item
	inHand bool // the first is being brought
	last   bool // nothing comes any more
}

// newQueue makes one of what was kept. What can't be read is lost.
func newQueue(kept string, save func(text string)) *queue {
	q := &queue{save: save, fresh: make(chan struct{}, 1)}
	_ = json.Unmarshal([]byte(kept), &q.news)
	return q
}

// add reports whether there was a place.
func (q *queue) add(n bridge.News) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := q.placeLocked(n)
	switch {
	case at > 0:
		m := &q.news[at]
		m.More = append(m.More, bridge.More{Account: n.Account, Time: n.Time, Text: n.Text})
	case len(q.news) < queued:
		q.news = append(q.news, item{News: n})
	default:
		return false
	}
	q.supersedeLocked()
	q.keepLocked()
	q.wake()
	return true
}

// placeLocked is what a news joins, or 0.
func (q *queue) placeLocked(n bridge.News) int {
	for i := len(q.news) - 1; len(q.news) >= many && i > 0; i-- {
		switch m := q.news[i]; {
		case m.Kind == n.Kind && len(m.More) < joined:
			return i
		case m.about(n.Account):
			return 0
		}
	}
	return 0
}

func (i *item) about(account string) bool {
	return i.Account == account || slices.ContainsFunc(i.More, func(m bridge.More) bool { return m.Account == account })
}

// shares reports whether both are about one account.
func (i *item) shares(o item) bool {
	return o.about(i.Account) || slices.ContainsFunc(i.More, func(m bridge.More) bool { return o.about(m.Account) })
}

// supersedeLocked drops that an account fails where it waits as well that it recovered.
func (q *queue) supersedeLocked() {
	var works []string
	for i := len(q.news) - 1; i >= 0 && (i > 0 || !q.inHand); i-- {
		n := &q.news[i]
		switch n.Kind {
		case bridge.Recovered:
			works = append(works, n.Account)
			for _, m := range n.More {
				works = append(works, m.Account)
			}
		case bridge.Fails:
			n.More = slices.DeleteFunc(n.More, func(m bridge.More) bool { return slices.Contains(works, m.Account) })
			if len(n.More) == 0 && slices.Contains(works, n.Account) {
				q.news = slices.Delete(q.news, i, i+1)
			}
		}
	}
}

// next waits for what is to be brought; there is none once ctx or until ends, or nothing
// waits and nothing comes any more.
func (q *queue) next(ctx context.Context, until <-chan struct{}) (n bridge.News, ok bool) {
	for {
		select {
		case <-until:
			return bridge.News{}, false
		default:
		}
		q.mu.Lock()
		if len(q.news) > 0 || q.last {
			defer q.mu.Unlock()
			return q.firstLocked()
		}
		q.mu.Unlock()
		select {
		case <-q.fresh:
		case <-until:
		case <-ctx.Done():
			return bridge.News{}, false
		}
	}
}

func (q *queue) firstLocked() (n bridge.News, ok bool) {
	if len(q.news) == 0 {
		return bridge.News{}, false
	}
	q.inHand = true
	return q.news[0].News, true
}

// done takes out what was in hand.
func (q *queue) done() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inHand = false
	q.news = slices.Delete(q.news, 0, 1)
	q.keepLocked()
}

// failed has what was in hand wait on, and reports whether it does: at some time it is given
// up. If it is this one that is refused, others go first, but none of the same account.
func (q *queue) failed(refused bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.keepLocked()
	q.inHand = false
	n, others := &q.news[0], q.news[1:]
	if n.Tries++; n.Tries >= mostTries {
		q.news = others
		return false
	}
	if refused && !slices.ContainsFunc(others, n.shares) {
		q.news = append(slices.Clone(others), *n)
	}
	q.supersedeLocked()
	return true
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

// end tells that nothing comes any more.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.last = true
	q.wake()
}

// forget keeps nothing any more: the next start has no such way.
func (q *queue) forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.save("")
	q.save = func(string) {}
}

func (q *queue) left() []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.news)
}

func (q *queue) wake() {
	select {
	case q.fresh <- struct{}{}:
	default: // there is something to look at already
	}
}

// keepLocked lets what waits survive a restart, the oldest of it if it is too much.
func (q *queue) keepLocked() {
	for n := len(q.news); ; n /= 2 {
		text, _ := json.Marshal(q.news[:n]) // news can be encoded: a webhook gets it
		if len(text) <= mostKept {
			q.save(string(text))
			return
		}
	}
}
