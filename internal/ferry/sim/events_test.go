//go:build !race

package sim_test

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/mailtest/voyage"
	"github.com/popferry/popferry/plan"
)

// event is something that happens at a turn.
type event struct {
	at   int
	name string
	do   func(*history) string
}

// during may happen while the program runs, with these weights.
var during = []struct {
	weight int
	name   string
	do     func(*history) string
}{
	{6, "kill", (*history).kill},
	{6, "cut", (*history).cut},
	{6, "imap", (*history).imapMisbehaves},
	{4, "pop", (*history).popMisbehaves},
	{2, "journal fails", (*history).spoil},
	{5, "arrival", (*history).arrive},
	{1, "taken", (*history).take},
	{1, "uidvalidity", (*history).newUIDValidity},
	{1, "second runner", (*history).second},
	{2, "stranger", (*history).strange},
	{3, "clock", (*history).changeClock},
}

// schedule draws what happens in a life, and when.
func (h *history) schedule() []event {
	all := 0
	for _, d := range during {
		all += d.weight
	}
	var events []event
	for range h.rnd.IntN(6) {
		at := 1 + h.rnd.IntN(40<<h.rnd.IntN(4))
		which := h.rnd.IntN(all)
		for _, d := range during {
			if which -= d.weight; which < 0 {
				events = append(events, event{at, d.name, d.do})
				break
			}
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return events
}

// happen lets an event happen, if it can.
func (h *history) happen(e event) {
	if h.life.Died() {
		return
	}
	if what := e.do(h); what != "" {
		h.tell("%s: %s", e.name, what)
		h.figures[e.name]++
	}
}

// between lets things happen while nobody runs.
func (h *history) between() {
	pauses := []time.Duration{time.Millisecond, time.Second, 2 * time.Minute, 26 * time.Hour}
	if h.traits.keep.For > 0 {
		pauses = append(pauses, h.traits.keep.For/3, h.traits.keep.For+time.Hour)
	}
	time.Sleep(pauses[h.rnd.IntN(len(pauses))])
	for _, e := range []struct {
		percent int
		name    string
		do      func(*history) string
	}{
		{40, "arrival", (*history).arrive},
		{20, "arrival", (*history).arrive},
		{10, "taken", (*history).take},
		{20, "renumbered", (*history).renumber},
		{10, "uidl reused", (*history).reuse},
		{10, "uidvalidity", (*history).newUIDValidity},
		{20, "journal lost", (*history).forget},
		{0, "routes", (*history).turnRoutes},
		{5, "foreign mail", (*history).prefill},
		{100, "clock", (*history).resetClock},
	} {
		if e.percent > 0 && !h.maybe(e.percent) {
			continue
		}
		if what := e.do(h); what != "" {
			h.tell("between lives, %s: %s", e.name, what)
			h.figures[e.name]++
		}
	}
	h.left = h.w.Left()
}

func (h *history) kill() string {
	h.life.Kill()
	return fmt.Sprintf("late by %v", h.life.Late)
}

// late is how late something arrives. What puts off one append may come together,
// and has to stay within `settle` then: late octets, a slow server, and one that
// stores later than it should, each at most so long.
func (h *history) late() time.Duration {
	return time.Duration(1+h.rnd.IntN(28_000)) * time.Millisecond
}

func (h *history) cut() string {
	kind, up := voyage.Cut(h.rnd.IntN(4)), h.maybe(50)
	after, late := h.rnd.IntN(1<<h.rnd.IntN(12)), h.late()
	place := h.life.Break(h.rnd.IntN(8), kind, up, after, late)
	if place == "" {
		return ""
	}
	return fmt.Sprintf("%s, %v behind %d octets, up: %v", place, kind, after, up)
}

// imapMisbehaves has the server do something wrong at one of the next moments, once
// or several times.
func (h *history) imapMisbehaves() string {
	stage := imapd.Stage(h.rnd.IntN(5))
	appends := h.maybe(70) && stage != imapd.AtGreeting
	action := h.imapAction(stage)
	skip, times := int32(h.rnd.IntN(3)), int32(1)
	if action.Wait == 0 && h.maybe(30) {
		times = 1 + int32(h.rnd.IntN(5))
	}
	var seen atomic.Int32
	h.w.Imap.Configure(func(o *imapd.Options) {
		o.Reply = func(e imapd.Event) imapd.Action {
			if e.Stage != stage || appends && e.Command != "APPEND" {
				return imapd.Action{}
			}
			if n := seen.Add(1); n <= skip || n > skip+times {
				return imapd.Action{}
			}
			h.seen.addReply(e.Command, action.Reply)
			return action
		}
	})
	h.end = func() { seen.Store(1 << 20) }
	return fmt.Sprintf("stage %d, APPEND only: %v, after %d, %d times: %+v", stage, appends, skip, times, action)
}

// imapAction is what a server may do. It refuses nothing that it has stored: it
// stores nothing of an append that failed, which is what README's first assumption
// says.
func (h *history) imapAction(stage imapd.Stage) imapd.Action {
	refusals := []string{
		"NO no", "BAD no", "NO [UNAVAILABLE] later", "NO [INUSE] later", "NO [OVERQUOTA] full", "NO [OVERQUOTA] full",
		"NO [LIMIT] no", "NO [CANNOT] no", "NO [SERVERBUG] oops", "NO [NOPERM] no", "NO [TOOBIG] no",
	}
	may := stage == imapd.AtCommand || !h.traits.options.Imap.StoreAtLiteral && stage != imapd.AtReply
	switch n := h.rnd.IntN(8); {
	case n < 3 && may && stage != imapd.AtGreeting:
		return imapd.Action{Reply: refusals[h.rnd.IntN(len(refusals))]}
	case n == 3:
		return imapd.Action{Bye: "shutting down"}
	case n == 4:
		return imapd.Action{Silent: true}
	case n == 5:
		return imapd.Action{Wait: h.late()}
	case n == 6 && stage == imapd.AtStore && !h.traits.options.Imap.StoreAtLiteral:
		return imapd.Action{StoreAfter: h.late(), Cut: imapd.FIN}
	default:
		return imapd.Action{Cut: imapd.FIN}
	}
}

// popMisbehaves has a POP3 server answer wrongly, once or several times.
func (h *history) popMisbehaves() string {
	commands := []string{"GREETING", "CAPA", "AUTH", "LIST", "UIDL", "TOP", "RETR", "DELE", "QUIT"}
	replies := []string{
		"-ERR no\r\n", "-ERR [IN-USE] locked\r\n", "-ERR [SYS/TEMP] later\r\n", "-ERR [SYS/PERM] never\r\n",
		"-ERR [LOGIN-DELAY] wait\r\n", "<html>\r\n", "",
	}
	command, reply := commands[h.rnd.IntN(len(commands))], replies[h.rnd.IntN(len(replies))]
	switch {
	case command == "UIDL" && h.traits.copies && h.traits.keep.Delete:
		return "" // see mayCopy
	case command == "CAPA" && reply == replies[0] && h.traits.options.Pop.ExpireAtOnce:
		return "" // that is what one says which has no CAPA, and nobody can know what QUIT does
	}
	skip, times := int32(h.rnd.IntN(2)), int32(1+h.rnd.IntN(3))
	var seen atomic.Int32
	var silent atomic.Bool // a server that gives no answer gives no later one either
	drop := h.rnd.IntN(len(h.w.Drops))
	h.w.Drops[drop].Configure(func(o *popd.Options) {
		o.Reply = func(cmd string, _ int) ([]byte, bool) {
			if cmd == "GREETING" {
				silent.Store(false)
			}
			if silent.Load() {
				return nil, true
			}
			if cmd != command {
				return nil, false
			}
			n := seen.Add(1)
			wrong := n > skip && n <= skip+times
			silent.Store(wrong && reply == "")
			if wrong {
				h.seen.addReply(cmd, reply)
			}
			return []byte(reply), wrong
		}
	})
	return fmt.Sprintf("maildrop %d, %q instead of the answer to %s, after %d, %d times", drop, reply, command, skip, times)
}

// calm ends what servers do wrong.
func (h *history) calm() {
	if h.end != nil {
		h.end()
	}
	h.w.Imap.Configure(func(o *imapd.Options) { o.Reply = nil })
	for _, d := range h.w.Drops {
		d.Configure(func(o *popd.Options) { o.Reply = nil })
	}
}

func (h *history) spoil() string {
	done := h.maybe(50)
	h.life.SpoilJournal(done)
	return fmt.Sprintf("the first write is done: %v", done)
}

// arrive puts a message into a maildrop.
func (h *history) arrive() string {
	n := len(h.mails)
	raw := [](func(int) []byte){letter, letter, note, again, h.lookalike, long}[h.rnd.IntN(6)](n)
	if h.mayCopy() && n > 0 && h.maybe(40) {
		raw = h.mails[h.rnd.IntN(n)]
	}
	drop := h.rnd.IntN(h.traits.drops)
	h.mails = append(h.mails, raw)
	h.w.Arrive(drop, raw)
	h.left = h.w.Left()
	return fmt.Sprintf("%.40q in maildrop %d", raw[max(0, len(raw)-40):], drop)
}

// lookalike makes a message whose header others have, and their size too unless the
// names may be lost: an equal header with an equal size is then the same mail, until
// it is to be deleted.
func (h *history) lookalike(n int) []byte {
	if (h.traits.renumbers || h.traits.forgets) && (!h.traits.keep.Delete || h.traits.keep.For > 0) {
		return lookalike(n, n)
	}
	return lookalike(n, n%3)
}

// mayCopy reports whether an identical copy may arrive now. Where messages have no
// names and are deleted, one that stays when the other was deleted can't be told
// from one whose deletion did not take effect: it counts as that.
func (h *history) mayCopy() bool {
	pop := h.traits.options.Pop
	nameless := pop.NoUIDL || pop.DuplicateUIDLs
	return h.traits.copies && !(nameless && h.traits.keep.Delete)
}

// take has another client delete a message. Not one whose UIDL the next one shares, or
// may share when it arrives: a UIDL that names another message of the same size is
// beyond what can be noticed (README, Limits).
func (h *history) take() string {
	drop := h.rnd.IntN(h.traits.drops)
	have := len(h.w.Drops[drop].Messages())
	if have == 0 {
		return ""
	}
	n, names := 1+h.rnd.IntN(have), h.w.Drops[drop].UIDLs()
	if h.traits.options.Pop.DuplicateUIDLs && (n == have || names[n] == names[n-1]) {
		return ""
	}
	h.w.TakeAway(drop, n)
	h.left = h.w.Left()
	return fmt.Sprintf("message %d of maildrop %d", n, drop)
}

func (h *history) newUIDValidity() string {
	folder := h.folder()
	v := h.w.Imap.User("").UIDValidity(folder) + 1 + uint32(h.rnd.IntN(1000))
	h.w.Imap.User("").SetUIDValidity(folder, v)
	return fmt.Sprint(folder, " ", v)
}

// second is another program with the same journal: it is refused.
func (h *history) second() string {
	_, err := h.w.Run(h.Context(), &voyage.Life{Who: "second"})
	if fault.CodeOf(err) != fault.Temporary {
		h.Errorf("a second runner with the same journal: %v", err)
	}
	return "refused"
}

// strange is another program with a journal of its own. Where two messages in a row
// share a UIDL it deletes nothing, see take.
func (h *history) strange() string {
	if !h.traits.stranger || h.traits.options.Pop.DuplicateUIDLs && h.traits.keep.Delete {
		return ""
	}
	life := &voyage.Life{Who: fmt.Sprintf("stranger%d", h.turn), Turns: h.turns, Journal: h.stranger.Lock}
	h.others.Go(func() { _, _ = h.w.Run(h.Context(), life) })
	return "at work"
}

// prefill puts a message into the folder, as others do.
func (h *history) prefill() string {
	raw := letter(10_000 + h.rnd.IntN(1000))
	folder := h.folder()
	h.w.Prefill(folder, raw)
	return "one message into " + folder
}

// folder is one of the destination's.
func (h *history) folder() string {
	if !h.traits.routes {
		return "INBOX"
	}
	all := h.w.Imap.User("").Mailboxes()
	return all[h.roads.IntN(len(all))]
}

// turnRoutes puts the routes of an account into another order, and leaves some out where
// the journal can't be lost: what only it knows to be in a folder is not looked for
// where no route leads.
func (h *history) turnRoutes() string {
	if !h.traits.routes {
		return ""
	}
	bySubject := func(pattern, folder string) plan.Route {
		return plan.Route{Folder: folder, Match: plan.Criteria{
			Fields: []plan.FieldMatch{{Key: "subject", Pattern: pattern}}}}
	}
	routes := []plan.Route{
		bySubject("*1", "Lists/One"), bySubject("*2", "Lists/Two"), bySubject("letter*", "Letters"), bySubject("note*", "INBOX"),
		{Folder: "Archive/{year}", Match: plan.Criteria{OlderThan: 24 * time.Hour}},
	}
	h.roads.Shuffle(len(routes), func(i, j int) { routes[i], routes[j] = routes[j], routes[i] })
	if !h.traits.forgets && !h.traits.stranger && h.roads.IntN(4) == 0 {
		routes = routes[:h.roads.IntN(len(routes))]
	}
	at := h.roads.IntN(len(h.w.Config.Accounts))
	h.w.Config.Accounts[at].Routes = routes
	return fmt.Sprintf("of account %d: %v", at, routes)
}

// renumber gives all messages of a maildrop other UIDLs, unless deletions are in
// doubt: one message that is listed under another name is one that was not deleted,
// or a new copy of it. Only of many that are all back the program says that they were
// not deleted.
func (h *history) renumber() string {
	if !h.traits.renumbers || h.doubt && h.traits.keep.Delete {
		return ""
	}
	h.renumberings++
	drop := h.rnd.IntN(h.traits.drops)
	if h.traits.options.Pop.DuplicateUIDLs {
		return "" // the next to arrive may have a name from before, see take
	}
	for i, name := range h.w.Drops[drop].UIDLs() {
		h.w.Drops[drop].Rename(i+1, fmt.Sprintf("r%d%s", h.renumberings, name)) // never used before
	}
	return fmt.Sprintf("maildrop %d", drop)
}

// reuse gives a new message the UIDL of one that was in the maildrop before. It has
// a size of its own: a UIDL that names another message of the same size is beyond
// what can be noticed (README, Limits).
func (h *history) reuse() string {
	drop := h.rnd.IntN(h.traits.drops)
	names := h.w.Drops[drop].UIDLs()
	if len(h.names) == 0 {
		h.names = names
		return ""
	}
	old := h.names[h.rnd.IntN(len(h.names))]
	if slices.Contains(names, old) {
		return ""
	}
	raw := append(letter(len(h.mails)), fmt.Appendf(nil, "%0*d\r\n", 100+len(h.mails), 0)...)
	h.mails = append(h.mails, raw)
	h.w.Arrive(drop, raw)
	h.w.Drops[drop].Rename(len(names)+1, old)
	return old
}

// forget loses the journal, when nothing is on its way any more: what only the
// journal knows is lost with it.
func (h *history) forget() string {
	if !h.traits.forgets {
		return ""
	}
	time.Sleep(voyage.Settle)
	h.w.Forget()
	h.remembered = time.Time{}
	return "all of it"
}
