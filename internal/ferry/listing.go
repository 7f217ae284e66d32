package ferry

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// A maildrop may hold a million messages, so that what is kept of a listing is
// one slice, one string a message, and the order of its UIDLs.

// listingState is what a trip knows of the maildrop's listing.
type listingState struct {
	listing    []plan.Listed             // what the maildrop holds now
	byUIDL     []int32                   // indices of the listing, in the order of the UIDLs
	known      map[string]journal.Record // the journal's word on trusted keys, but for those that are
	unchanged  []unchanged               // as they were, in the order of the listing
	repeats    map[string]bool           // UIDLs that the listing has more than once
	skipped    int                       // messages that skip_uidls leaves alone
	inPlan     map[string]bool           // keys of the stored plan
	nameless   bool                      // the listing has messages without a lasting name
	renumbered bool                      // (almost) no UIDL of the listing is known, though others are
	unnamed    bool                      // UIDLs changed from session to session, and say nothing
	voided     bool                      // that was seen since the round began
}

// setListing gives every message its key: its UIDL where that names just one
// message, else a name for this session only, since repeated UIDLs and missing
// ones prove nothing (RFC 1939 §7) and the content has to decide.
func (t *trip) setListing(entries []pop.Entry) {
	before := t.listing
	if !t.unnamed && t.changesNames(entries) {
		t.unnamed, t.voided = true, true
		t.noteOnce("the POP3 server gives mail other UIDLs in each session, so that they are of no use: " +
			"it is recognised by its content")
	}
	if t.unnamed {
		for i := range entries {
			entries[i].UIDL = ""
		}
	}
	t.listing = make([]plan.Listed, len(entries))
	for i, e := range entries {
		t.listing[i] = plan.Listed{Number: e.Number, Size: e.Size, UIDL: e.UIDL}
	}
	t.byUIDL = slices.SortedFunc(indices(len(entries)), func(a, b int32) int {
		return strings.Compare(t.listing[a].UIDL, t.listing[b].UIDL)
	})
	t.repeats = t.repeatedUIDLs()
	t.nameless = false
	for i := range t.listing {
		l := &t.listing[i]
		entries[i].UIDL = "" // its octets are in the key from now on
		if l.UIDL == "" || t.repeats[l.UIDL] {
			l.Key = sessionPrefix + strconv.Itoa(l.Number)
			t.nameless = true
			continue
		}
		l.Key = uidlKey(l.UIDL)
		l.UIDL = l.Key[len(uidlPrefix):]
	}
	if !continues(before, t.listing) {
		t.forgetSessionNames()
	}
	t.countPage(before)
	t.keepUnchanged(before)
}

// countPage adds what a page has that the one before it had not. It is about some hundred
// messages.
func (t *trip) countPage(before []plan.Listed) {
	if !t.turned {
		return
	}
	t.turned = false
	seen := make(map[string]bool, len(before))
	for _, l := range before {
		seen[l.Key] = true
	}
	for _, l := range t.listing {
		if !seen[l.Key] {
			t.report.Listed++
		}
	}
}

// changesNames reports whether what was listed before, and is now, goes by other names
// now: then a UIDL holds for a session, if so long, and names nothing. Names that messages
// had before are on the move instead, since the maildrop changed.
func (t *trip) changesNames(now []pop.Entry) bool {
	changed := 0
	for i, e := range now {
		if i >= len(t.listing) || len(now) != len(t.listing) ||
			e.Number != t.listing[i].Number || e.Size != t.listing[i].Size {
			return false
		}
		if trusted(t.listing[i]) && e.UIDL != "" && e.UIDL != t.listing[i].UIDL {
			if t.lists(e.UIDL) {
				return false
			}
			changed++
		}
	}
	return changed > 0 && 10*changed >= len(now)
}

func indices(n int) func(yield func(int32) bool) {
	return func(yield func(int32) bool) {
		for i := range n {
			if !yield(int32(i)) {
				return
			}
		}
	}
}

// repeatedUIDLs finds what several messages are called: they are neighbours in
// the order.
func (t *trip) repeatedUIDLs() map[string]bool {
	repeats := map[string]bool{}
	for i := 1; i < len(t.byUIDL); i++ {
		uidl := t.listing[t.byUIDL[i]].UIDL
		if uidl == t.listing[t.byUIDL[i-1]].UIDL {
			repeats[uidl] = true
		}
	}
	return repeats
}

// at finds a listed message by its key.
func (t *trip) at(key string) (plan.Listed, bool) {
	if number, ok := strings.CutPrefix(key, sessionPrefix); ok {
		n, err := strconv.Atoi(number)
		l := t.numbered(n)
		return l, err == nil && l.Key == key
	}
	i, found := t.find(key)
	if !found {
		return plan.Listed{}, false
	}
	return t.listing[i], true
}

// find finds the place in the listing of a message by its lasting name.
func (t *trip) find(key string) (int, bool) {
	uidl, ok := strings.CutPrefix(key, uidlPrefix)
	i, found := slices.BinarySearchFunc(t.byUIDL, uidl, func(i int32, uidl string) int {
		return strings.Compare(t.listing[i].UIDL, uidl)
	})
	if !ok || !found {
		return 0, false
	}
	at := int(t.byUIDL[i])
	return at, t.listing[at].Key == key
}

// numbered finds a listed message by its number in this session.
func (t *trip) numbered(n int) plan.Listed {
	i, found := slices.BinarySearchFunc(t.listing, n, func(l plan.Listed, n int) int {
		return l.Number - n
	})
	if !found {
		return plan.Listed{}
	}
	return t.listing[i]
}

// lists reports whether some message is called so.
func (t *trip) lists(uidl string) bool {
	_, listed := t.at(uidlKey(uidl))
	return uidl != "" && (listed || t.repeats[uidl])
}

// entriesOf returns the session's entries of messages.
func entriesOf(want []plan.Listed) []pop.Entry {
	entries := make([]pop.Entry, len(want))
	for i, l := range want {
		entries[i] = pop.Entry{Number: l.Number, Size: l.Size, UIDL: l.UIDL}
	}
	return entries
}

// forgetSessionNames drops what was noted about messages under names that mean
// others now.
func (t *trip) forgetSessionNames() {
	t.mu.Lock()
	defer t.mu.Unlock()
	forgetSession(t.held)
	forgetSession(t.rows)
	forgetSession(t.exported)
	forgetSession(t.garbled)
	forgetSession(t.unreadable)
	forgetSession(t.doubtful)
	forgetSession(t.grown)
	forgetSession(t.ended)
	forgetSession(t.later)
	forgetSession(t.shortened)
	forgetSession(t.targets)
}

func forgetSession[V any](noted map[string]V) {
	maps.DeleteFunc(noted, func(key string, _ V) bool { return strings.HasPrefix(key, sessionPrefix) })
}

// The journal's keys: "u:" and the UIDL, or "c:", the content digest and an
// ordinal; "x:" for what has no message any more. Names with sessionPrefix never reach the journal.
const (
	uidlPrefix    = "u:"
	contentPrefix = "c:"
	asidePrefix   = "x:" // a record whose UIDL names another message now
	sessionPrefix = "n:"
)

func uidlKey(uidl string) string { return uidlPrefix + uidl }

// trusted reports whether the key alone names the message.
func trusted(l plan.Listed) bool { return l.Key == uidlKey(l.UIDL) && l.UIDL != "" }

// continues reports whether a listing begins as an earlier one did. Messages with
// a lasting name may have changed their size: some servers write flags into them.
func continues(before, now []plan.Listed) bool {
	if len(now) < len(before) {
		return false
	}
	for i, b := range before {
		n := now[i]
		if n.Key != b.Key || n.Number != b.Number || !trusted(n) && n.Size != b.Size {
			return false
		}
	}
	return true
}
