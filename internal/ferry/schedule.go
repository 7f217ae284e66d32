package ferry

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/places"
	"github.com/popferry/popferry/plan"
)

// ahead is how many accounts are looked at for one that can begin, of those that begin with all
// that they need: who glances needs a place at the source only, which is soon known.
const ahead = 1000

// request asks for a trip. Begin gets it, with all that it needs, and returns at once.
type request struct {
	account plan.Account
	// glance begins without the destination, which may not be needed; held tries held
	// messages again.
	glance, held bool
	// asked is when it was, and long says that the pass before gave way with much left to do.
	asked time.Time
	long  bool
	// over ends the wait; nil: nothing does.
	over  <-chan struct{}
	begin func(*trip)
}

// isOver reports a request that nobody waits for any more.
func (r request) isOver() bool {
	select {
	case <-r.over:
		return true
	default:
		return false
	}
}

// longWaits is for how long a pass that gave way lets others begin before it.
const longWaits = time.Minute

// queued adds a request to those that wait.
func queued(waiting []request, r request) []request {
	i := len(waiting)
	for ; !r.long && i > 0 && waiting[i-1].long && r.asked.Sub(waiting[i-1].asked) < longWaits; i-- {
	}
	return slices.Insert(waiting, i, r)
}

// each runs work for every chosen account, limits.accounts at a time. One bad account
// never stops the others.
func (e *engine) each(ctx context.Context, work func(*trip, context.Context) error) Report {
	started := time.Now()
	chosen := e.chosen()
	reports := make([]AccountReport, len(chosen))
	requests := make(chan request, len(chosen))
	ended := make(chan struct{}, 1)
	var under sync.WaitGroup
	for i, account := range chosen {
		requests <- request{account: account, begin: func(t *trip) {
			under.Go(func() {
				reports[i] = t.one(ctx, work)
				tellEnd(ended)
			})
		}}
	}
	close(requests)
	e.serve(requests, ended)
	under.Wait()
	return newReport(started, reports)
}

// serve begins trips as they are asked for, until no more are: in order, but one that
// has to wait for a place at a server, or for a folder, keeps nobody behind it waiting.
// Ended tells that a trip is over.
func (e *engine) serve(requests <-chan request, ended <-chan struct{}) {
	var waiting []request
	for open := true; open || len(waiting) > 0; {
		waiting = slices.DeleteFunc(waiting, request.isOver)
		if len(waiting) == 0 {
			if !open {
				return
			}
			r, ok := <-requests
			if open = ok; ok {
				waiting = queued(waiting, r)
			}
			continue
		}
		n, t := e.next(waiting)
		if t != nil {
			begin := waiting[n].begin
			copy(waiting[1:], waiting[:n])
			waiting = waiting[1:]
			begin(t)
			continue
		}
		// No longer than a beat: others may lend what they have.
		select {
		case r, ok := <-requests:
			if ok {
				waiting = queued(waiting, r)
			} else {
				requests, open = nil, false
			}
		case <-ended:
		case <-time.After(places.Beat):
		}
	}
}

func tellEnd(ended chan<- struct{}) {
	select {
	case ended <- struct{}{}:
	default:
	}
}

// next returns the first of the waiting accounts that can begin, with all that it
// needs for that, or nil. Who has a place that one of them lacks is asked for it.
func (e *engine) next(waiting []request) (n int, t *trip) {
	waiting = withinSight(waiting)
	defer func() { e.foresee(waiting, n, t) }()
	given := e.slots.Begin()
	if given == nil {
		return 0, nil
	}
	wanted := map[string]int{}
	for n, r := range waiting {
		sources := e.sourcePlaces(r.account)
		switch {
		case r.glance && e.sit(sources, wanted):
			return n, newTrip(e, r, given, sources)
		case !r.glance && e.reserve(r.account, wanted):
			return n, newTrip(e, r, given, sources)
		}
	}
	e.slots.End(given)
	for place, n := range wanted {
		e.hosts.Ask(place, min(n, e.slots.Free()), places.WishBegin)
	}
	return 0, nil
}

// withinSight are the first of the waiting accounts, so many that ahead of them begin with all.
func withinSight(waiting []request) []request {
	n := 0
	for i, r := range waiting {
		if !r.glance {
			n++
		}
		if n > ahead {
			return waiting[:i]
		}
	}
	return waiting
}

// foresee tells those that let all others pass which places accounts will need that have not
// begun, but for the one that did now, if any, and those that wait for their source: that may
// be for one of those.
func (e *engine) foresee(waiting []request, n int, begun *trip) {
	wanted := map[string]bool{}
	defer e.hosts.Want(wanted)
	if !e.hosts.HasLast() {
		return
	}
	for i, r := range waiting {
		if r.glance || begun != nil && i == n || e.hosts.Full(sourcePlace(r.account)) {
			continue
		}
		for _, place := range e.destinationPlaces(r.account) {
			wanted[place] = true
		}
	}
}

// sit takes a place at the source. Where an account that was not left standing there of late
// lacks one, it is counted as wanted.
func (e *engine) sit(places []string, wanted map[string]int) bool {
	if e.hosts.Take(places...) {
		return true
	}
	if len(places) == 1 {
		wanted[places[0]]++
	}
	return false
}

// reserve takes the folders and places at both servers for an account. If all that
// is missing is a place at the destination, it is counted as wanted.
func (e *engine) reserve(a plan.Account, wanted map[string]int) bool {
	source, destination := sourcePlace(a), e.destinationPlaces(a)
	switch {
	case e.hosts.Full(source) || !e.folders.Take(e.turns(a)...):
		return false
	case e.hosts.Take(append(destination, source)...):
		return true
	}
	e.folders.Release(e.turns(a)...)
	wanted[e.hosts.Lacking(destination...)]++
	return false
}

// sourcePlace is what a POP3 server is counted under.
func sourcePlace(a plan.Account) string { return places.Source(a.Source.Address()) }

// destinationPlaces is what a connection to the destination counts under: its user, where
// the provider bounds those, and the server.
func (e *engine) destinationPlaces(a plan.Account) []string {
	var users []string
	if user := e.Config.Limits.Host(a.Destination.Host).PerUser.Of(a.Destination); user != "" {
		users = []string{places.User(user)}
	}
	return e.withShare(a.Name, a.Destination.Address(), users)
}

// withShare adds the place at a server to what a connection counts under, and in a fleet that
// of those which were left standing there.
func (e *engine) withShare(account, place string, others []string) []string {
	all := append(others, place)
	if e.keeps && e.standing.IsIll(account, place) {
		all = append(all, places.Slow(place))
	}
	return all
}

// owner is a user at a host, whose folders accounts fill.
type owner struct {
	// whole says that all its accounts take turns: one of them names a folder by its use
	// (RFC 6154 §2) or with a date, which may be any.
	whole bool
	turns []string // at its folders, sorted
}

// ownersOf names the owners of what accounts fill.
func ownersOf(accounts []plan.Account) map[string]owner {
	owners := map[string]owner{}
	for _, a := range accounts {
		open := func(name string) bool { return strings.ContainsAny(name, `\{`) }
		o := owner{slices.ContainsFunc(foldersOf(a), open), folderTurns(a)}
		owners[mailboxUser(a)] = owners[mailboxUser(a)].with(o)
	}
	return owners
}

func (o owner) with(other owner) owner {
	turns := slices.Concat(o.turns, other.turns)
	slices.Sort(turns)
	return owner{o.whole || other.whole, slices.Compact(turns)}
}

// remember adds the owners of configurations before, by which passes may still be under
// way.
func (e *engine) remember(before map[string]owner) {
	for user, o := range before {
		e.owners[user] = e.owners[user].with(o)
	}
}

// turns names what an account takes turns at: its folders, or where one of its user's may
// be any, the user and all folders of it, which accounts of another configuration may
// have taken one by one.
func (e *engine) turns(a plan.Account) []string {
	user := mailboxUser(a)
	if o := e.owners[user]; o.whole {
		return append([]string{user}, o.turns...)
	}
	return folderTurns(a)
}

// folderTurns are the turns at the folders of an account, in any case, since servers
// differ in what case means (RFC 3501 §5.1).
func folderTurns(a plan.Account) []string {
	var turns []string
	for _, name := range foldersOf(a) {
		turns = append(turns, mailboxUser(a)+"\x00"+strings.ToLower(name))
	}
	slices.Sort(turns)
	return slices.Compact(turns) // one that is named twice is one
}

// mailboxUser names whose folders an account fills, as the journal does ([scopeOf]): a
// host has the same ones at each of its ports.
func mailboxUser(a plan.Account) string {
	return a.Destination.Host + "\x00" + a.Destination.Mailbox()
}
