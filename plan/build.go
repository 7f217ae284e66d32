package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

// Build decides what happens to each listed message. It is a pure function: the
// same input gives the same plan.
func Build(in Input) Plan {
	b := builder{in: in, shared: sharedUIDLs(in.Listing)}
	var keys []string
	if slices.ContainsFunc(in.Listing, func(l Listed) bool { return l.Key == "" }) {
		keys = Keys(in.Listing)
	}
	p := Plan{Version: Version, Account: in.Account, ConfigHash: in.ConfigHash,
		Destination: in.Destination, Actions: make([]Action, 0, len(in.Listing))}
	for i, l := range in.Listing {
		if l.Key == "" {
			l.Key = keys[i]
		}
		if !usable(l.UIDL) {
			l.UIDL = ""
		}
		p.Actions = append(p.Actions, b.direct(b.decide(l)))
	}
	p.Warnings = append(slices.Clone(in.Warnings), b.warnings(p)...)
	return p
}

type builder struct {
	in     Input
	shared map[string]bool // UIDLs of several listed messages
}

// sharedUIDLs finds the UIDLs that are there more than once. It sorts, since a
// table of all of a million messages would be larger than the listing.
func sharedUIDLs(listing []Listed) map[string]bool {
	order := make([]int32, len(listing))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		return strings.Compare(listing[a].UIDL, listing[b].UIDL)
	})
	shared := map[string]bool{}
	for i := 1; i < len(order); i++ {
		uidl := listing[order[i]].UIDL
		if usable(uidl) && uidl == listing[order[i-1]].UIDL {
			shared[uidl] = true
		}
	}
	return shared
}

// decide applies what the journal knows; without that, what the destination has.
func (b *builder) decide(l Listed) Action {
	a := Action{Listed: l, Repeated: b.repeated(l)}
	known, ok := b.known(l.Key)
	switch {
	case !ok && b.in.Skip.Has(l.UIDL) && !a.Repeated:
		return a.with(Skip, "another program fetched it before (skip_uidls)")
	case !ok || l.Key == "":
		return b.unknown(a)
	case known.State == stateIntent:
		return a.with(Park, "an earlier append of it is not settled yet")
	case known.State == stateGone:
		a.Possible = true
		return b.fresh(a, "was deleted, and is listed again: checked before it is copied")
	case known.Listed != l.Size:
		// The server gave the UIDL of one message to another (RFC 1939 §7), or its
		// sizes are estimates: the content tells.
		a.Possible = known.State != stateHeld
		return b.fresh(a, fmt.Sprintf("UIDL reused: size changed from %s to %s",
			twoSizes(known.Listed, l.Size)...))
	case known.State == stateHeld && b.in.HeldToo:
		return b.fresh(a, "held before, tried again")
	case known.State == stateHeld:
		return a.with(Hold, "held: "+fault.Escape(known.Reason))
	case known.State == stateDelivered, known.State == stateDeleteSent:
		return b.delivered(a, known)
	}
	return a.with(Park, "the journal has it in a state that this version does not know")
}

// direct says where a copy goes.
func (b *builder) direct(a Action) Action {
	if !b.in.Routes || a.Verb != Copy {
		return a
	}
	target, known := b.in.Targets[a.Key]
	switch {
	case !known || a.Key == "":
		a.Why += "; its folder is known when it is read"
		return a
	case target.Route == 0:
		a.Why += "; no route matches, so to " + fault.Escape(target.Folder)
	default:
		a.Why += fmt.Sprintf("; to %s by route %d", fault.Escape(target.Folder), target.Route)
	}
	a.Target = &target
	return a
}

func (b *builder) known(key string) (Known, bool) {
	known, ok := b.in.Known[key]
	if !ok && b.in.Delivered != nil {
		return b.in.Delivered(key)
	}
	return known, ok
}

// repeated reports whether the UIDL names several messages, now or in the
// journal: the ordinals shift when one of them goes.
func (b *builder) repeated(l Listed) bool {
	if !usable(l.UIDL) {
		return false
	}
	if b.shared[l.UIDL] || len(b.in.Known) == 0 {
		return b.shared[l.UIDL]
	}
	_, before := b.in.Known[ordinalKey("u:"+l.UIDL, 2)]
	return before
}

// delivered decides between skipping and deleting.
func (b *builder) delivered(a Action, known Known) Action {
	if !b.in.Keep.Due(known.DeliveredAt, b.in.LastRun, b.in.Now) {
		return a.with(Skip, "known"+afterDeletion(known, ", a deletion did not take effect"))
	}
	match, found := b.in.Found[a.Key]
	confirmed := found && match.Certain && match.How == byContent
	switch {
	case known.VerifiedAt.IsZero():
		a.Verify = true
		return a.with(Skip, "known, due for deletion once it is read back")
	case a.Repeated && !confirmed:
		// An ordinal alone proves nothing: it may be the other message's.
		return a.with(Skip, "known, kept: its UIDL is repeated and its content not confirmed")
	}
	return a.with(Delete, "delivered and verified"+b.kept()+
		afterDeletion(known, ", deleted before without effect"))
}

// byContent is the only Match.How that may lead to a deletion.
const byContent = "content digest"

func afterDeletion(known Known, text string) string {
	if known.State == stateDeleteSent {
		return text
	}
	return ""
}

func (b *builder) kept() string {
	if b.in.Keep.For == 0 {
		return ""
	}
	return ", kept for " + b.in.Keep.String()
}

// unknown decides about a message that the journal has not under its key.
func (b *builder) unknown(a Action) Action {
	if a.Key == "" {
		a.Possible = true
		return b.fresh(a, "no UIDL: its content decides")
	}
	if a.Repeated {
		if _, first := b.in.Known[ordinalKey("u:"+a.UIDL, 1)]; first {
			a.Possible = true
			return b.fresh(a, "shares its UIDL with a known message: its content decides")
		}
	}
	return b.fresh(a, "new")
}

// fresh copies a message unless the destination has it or would refuse it.
func (b *builder) fresh(a Action, why string) Action {
	match, found := b.in.Found[a.Key]
	found = found && a.Key != ""
	if found {
		a.Match = &match
	}
	switch {
	case found && match.Certain:
		a.Possible = false
		return a.with(Skip, "duplicate: "+match.text())
	case b.in.Limit > 0 && a.Size > b.in.Limit:
		a.Possible = false
		return a.with(Hold, fmt.Sprintf("larger than the destination accepts (%s > %s)",
			twoSizes(a.Size, b.in.Limit)...))
	case found:
		a.Possible = true
		return a.with(Copy, "possible duplicate: "+match.text())
	}
	return a.with(Copy, why)
}

func (a Action) with(verb Verb, why string) Action {
	a.Verb, a.Why = verb, why
	return a
}

func (m Match) text() string {
	return fault.Escape(m.Where) + ", by " + fault.Escape(m.How)
}

// warnings says what about the maildrop as a whole makes the work slower or less
// certain.
func (b *builder) warnings(p Plan) []string {
	var list []string
	repeated, nameless := 0, 0
	for _, a := range p.Actions {
		if a.Repeated {
			repeated++
		}
		if a.UIDL == "" {
			nameless++
		}
	}
	if repeated > 0 {
		list = append(list, fmt.Sprintf("%s with a repeated UIDL; "+
			"each run confirms such mail by its content", messages(repeated)))
	}
	if nameless > 0 {
		list = append(list, fmt.Sprintf("%s without a UIDL; each run reads such mail to know it",
			messages(nameless)))
	}
	if from := b.in.Source; from.FullPage(len(p.Actions)) {
		list = append(list, fmt.Sprintf("%s lists about %d messages at a time: more may be waiting than are listed, "+
			"and a run brings those too", fault.Escape(from.Provider), from.Page))
	}
	return append(list, b.retention(p.Totals().Held.Messages)...)
}

// retention warns where the POP3 server's own rule takes mail that is to stay
// there (RFC 2449 §6.7).
func (b *builder) retention(held int) []string {
	days, err := strconv.ParseInt(b.in.Expire, 10, 32)
	switch {
	case err != nil: // NEVER, or not said
		return nil
	case days == 0:
		return []string{"the POP3 server removes what was retrieved when the session ends with QUIT " +
			"(EXPIRE 0); such sessions end without it, and nothing goes before its time"}
	}
	var list []string
	rule := RemovedAfter(int(days))
	if b.in.Keep.For > time.Duration(days)*day {
		list = append(list, fmt.Sprintf("keep: %s is longer than mail stays: %s", b.in.Keep, rule))
	}
	if b.in.Pace.TooRare(int(days)) {
		list = append(list, fmt.Sprintf("interval: %s is no less than mail stays, and a bridge may find it gone: %s", b.in.Pace.Every(), rule))
	}
	if held > 0 {
		list = append(list, HeldRemoved(held, int(days)))
	}
	return list
}

// HeldRemoved says that held messages do not stay on POP3 for ever.
func HeldRemoved(held, days int) string {
	return fmt.Sprintf("%s held, and %s; run --export-held keeps what is held, while no bridge is at work",
		messages(held), RemovedAfter(days))
}

// RemovedAfter says in words what EXPIRE announces (RFC 2449 §6.7).
func RemovedAfter(days int) string {
	after := "1 day"
	if days != 1 {
		after = fmt.Sprintf("%d days", days)
	}
	return fmt.Sprintf("the POP3 server removes mail after %s by itself (EXPIRE %d)", after, days)
}
