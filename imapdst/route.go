package imapdst

import (
	"crypto/rand"
	"strconv"
	"strings"
	"sync"

	"github.com/popferry/popferry/internal/fault"
)

// appendMark stands in our own tags where go-imap's have their "T".
const appendMark = "A"

// route says whom a tagged response is for.
type route int

const (
	forNobody  route = iota
	forControl       // a command of go-imap's
	forAppend        // a command of ours; its waiter has the answer
	tooEarly         // OK to an APPEND whose last octet was not sent
)

// newTags returns letters that no server can guess, for the start of all tags of
// one connection: an answer sent ahead of its command is then never taken for
// one (CVE-2026-42246).
func newTags() string { return strings.ToLower(rand.Text()[:8]) }

// router knows which commands wait for an answer.
type router struct {
	prefix string

	mu      sync.Mutex
	wake    *sync.Cond         // something is expected, or failed
	control map[string]bool    // go-imap's tags
	waiters map[string]*waiter // ours
	asking  *waiter            // its synchronising literal waits for "+"
	count   int                // of our tags
	refused bool               // the last answer to one of ours was NO or BAD
	failure *fault.Error
}

// waiter is one APPEND command that waits for its answer.
type waiter struct {
	tag     string
	proceed chan struct{} // receives once for each "+"
	done    chan struct{} // closed when answer or failure is set
	answer  status
	failure *fault.Error
	// complete is set, under the router's lock, before the last octet goes out.
	complete bool
}

func newRouter(prefix string) *router {
	r := &router{
		prefix: prefix, control: map[string]bool{}, waiters: map[string]*waiter{},
	}
	r.wake = sync.NewCond(&r.mu)
	return r
}

// sent notes that go-imap sends a command.
func (r *router) sent(tag string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure != nil {
		return r.failure
	}
	r.control[tag] = true
	r.wake.Broadcast()
	return nil
}

// open makes the waiter of an APPEND, under the same lock that checks whether
// the connection still lives: later it would wait for ever.
func (r *router) open() (*waiter, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure != nil {
		return nil, r.failure
	}
	r.count++
	w := &waiter{
		tag:     r.prefix + appendMark + strconv.Itoa(r.count),
		proceed: make(chan struct{}, 1), done: make(chan struct{}),
	}
	r.waiters[w.tag] = w
	r.wake.Broadcast()
	return w, nil
}

// ask says that the next "+" is for w (RFC 3501 §7.5). Only the command that is
// being written can wait for one, so there is never a second.
func (r *router) ask(w *waiter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asking = w
}

// finish notes that the last octet of w is about to be sent.
func (r *router) finish(w *waiter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.complete = true
}

// proceed passes a "+" on; one that nobody waits for is dropped.
func (r *router) proceed() (wanted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asking == nil {
		return false
	}
	r.asking.proceed <- struct{}{}
	r.asking = nil
	return true
}

// answer takes a tagged response to whom it is for; for go-imap it returns the
// tag as go-imap knows it.
func (r *router) answer(tag string, s status) (to route, known string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := strings.CutPrefix(tag, r.prefix)
	if !ok || s.kind == "BYE" || s.kind == "PREAUTH" {
		return forNobody, ""
	}
	if r.control[known] {
		delete(r.control, known)
		r.refused = false
		return forControl, known
	}
	w := r.waiters[tag]
	if w == nil {
		return forNobody, ""
	}
	if s.kind == "OK" && !w.complete {
		return tooEarly, ""
	}
	r.refused = s.kind != "OK"
	delete(r.waiters, tag)
	if r.asking == w {
		r.asking = nil
	}
	w.answer = s
	close(w.done)
	return forAppend, ""
}

func (r *router) refusedBefore() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

// idle blocks while no answer is expected.
func (r *router) idle() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.failure == nil && len(r.control)+len(r.waiters) == 0 {
		r.wake.Wait()
	}
	if r.failure != nil {
		return r.failure
	}
	return nil
}

// busy tells whether an answer is expected.
func (r *router) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.control)+len(r.waiters) > 0
}

// behind tells whether w is not the only APPEND without an answer.
func (r *router) behind(w *waiter) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiters) > 1 && r.waiters[w.tag] == w
}

// fail ends every wait, now and later.
func (r *router) fail(err *fault.Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == nil {
		r.failure = err
	}
	for tag, w := range r.waiters {
		delete(r.waiters, tag)
		w.failure = r.failure
		close(w.done)
	}
	r.wake.Broadcast()
}
