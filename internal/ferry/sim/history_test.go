//go:build !race

package sim_test

import (
	"fmt"
	"hash"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/voyage"
	"github.com/popferry/popferry/plan"
)

// history is a world, and what happens in it.
type history struct {
	*testing.T
	rnd    *rand.Rand
	roads  *rand.Rand // for all that is about folders
	w      *voyage.World
	traits traits
	turns  *voyage.Turns

	life *voyage.Life
	turn int     // of the life
	due  []event // that are still to come in it

	mails        [][]byte // all that were put into a maildrop
	renumberings int
	doubt        bool // the last life did not end well
	left         int  // how many were there when somebody looked last
	stranger     *voyage.Disk
	mu           sync.Mutex     // who has it may use all this: who gives turns, or who plays
	others       sync.WaitGroup // other runners
	names        []string       // UIDLs that were once there
	skew         atomic.Int64   // by how much the clock is wrong
	wrongLife    int            // the life in which it is, where it is once
	lives        int            // that were begun
	remembered   time.Time      // when the last run ended, as far as the journal knows
	end          func()         // of what a server does wrong

	began   time.Time
	trace   hash.Hash64
	story   []string
	figures map[string]int
	seen    tally
}

// traits are what a history keeps to from beginning to end.
type traits struct {
	drops     int
	keep      plan.Keep
	lives     int
	copies    bool // there may be identical messages
	forgets   bool // the journal may be lost
	renumbers bool // UIDLs may change
	stranger  bool // somebody with another journal is at the same maildrops
	clock     clock
	wraps     bool // mail that is refused is wrapped
	routes    bool // mail goes to several folders
	options   voyage.Options
}

func (t traits) String() string {
	pop, imap := t.options.Pop, t.options.Imap
	return fmt.Sprintf("%d maildrops, %d lives, keep %v, clock %v, copies %v, journal may be lost %v, stranger %v; "+
		"POP3 without UIDL %v, TOP %v, CAPA %v, PIPELINING %v; exclusive %v, twin UIDLs %v; "+
		"EXPIRE 0 %v, LOGIN-DELAY %v; "+
		"IMAP without UIDPLUS %v, MULTIAPPEND %v; literals %d, stored at literal %v, quota %d, notes are wrapped %v, routes %v",
		t.drops, t.lives, t.keep, t.clock, t.copies, t.forgets, t.stranger,
		pop.NoUIDL, pop.NoTOP, pop.NoCAPA, pop.NoPipelining, pop.Exclusive, pop.DuplicateUIDLs,
		pop.ExpireAtOnce, pop.LoginDelay,
		imap.NoUIDPlus, imap.NoMultiAppend, imap.Literals, imap.StoreAtLiteral, imap.Quota, t.wraps, t.routes)
}

func (h *history) maybe(percent int) bool { return h.rnd.IntN(100) < percent }

// draw chooses the traits. Servers that lack something are as frequent as those
// that lack nothing.
func (h *history) draw() traits {
	t := traits{drops: 1 + h.rnd.IntN(2), lives: 1 + h.rnd.IntN(4)}
	t.keep = plan.Keep{Delete: h.maybe(60)}
	t.copies, t.forgets = h.maybe(50), h.maybe(25)
	t.renumbers, t.stranger = h.maybe(40), h.maybe(10)
	if t.keep.Delete && h.maybe(25) {
		t.keep.For = month
	}
	if h.maybe(40) {
		t.clock = wrongOnce + clock(h.rnd.IntN(2))
	}
	t.routes = h.roads.IntN(100) < 40
	o := &t.options
	o.Keep, o.Maildrops, o.Form = t.keep, t.drops, voyage.Unwrapped
	h.drawRules(&t)
	if h.maybe(50) {
		return t
	}
	o.Pop.NoUIDL, o.Pop.NoTOP = h.maybe(15), h.maybe(20)
	o.Pop.NoCAPA = h.maybe(10) && o.Pop.LoginDelay == 0 && !o.Pop.ExpireAtOnce // which nobody could know then
	o.Pop.NoPipelining, o.Pop.Exclusive = h.maybe(20), h.maybe(20)
	o.Pop.DuplicateUIDLs = h.maybe(10)
	o.Imap.NoUIDPlus, o.Imap.NoMultiAppend = h.maybe(30), h.maybe(40)
	o.Imap.Literals = imapd.Literals(h.rnd.IntN(3))
	if h.maybe(15) {
		o.Imap.StoreAtLiteral, o.Imap.NoMultiAppend = true, true
	}
	return t
}

// begin makes the world, with some mail in it.
func (h *history) begin() {
	h.began = time.Now()
	h.traits = h.draw()
	h.tell("%s", h.traits)
	h.w = voyage.New(h.traits.options)
	for i := range h.w.Config.Accounts {
		if h.traits.wraps {
			h.w.Config.Accounts[i].Repair = "wrap"
		}
	}
	h.tune(false)
	h.wrongLife = 1 + h.rnd.IntN(h.traits.lives)
	if h.traits.routes {
		h.turnRoutes()
	}
	h.stranger = voyage.NewDisk()
	for range h.rnd.IntN(7) {
		h.arrive()
	}
	if h.maybe(20) {
		h.prefill()
	}
	h.turns = voyage.NewTurns(h.choose)
}

// play has one life after the other, and then a healthy end.
func (h *history) play() {
	over := make(chan struct{})
	defer close(over)
	go h.turns.Give(over)
	h.mu.Lock()
	defer h.mu.Unlock()
	for n := range h.traits.lives {
		h.lives++
		h.between()
		h.live(n)
	}
	h.heal()
	h.epilogue()
}

// choose is asked for whose turn it is: it lets happen what is due, looks whether
// all is well, and draws.
func (h *history) choose(waiting []string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turn++
	for len(h.due) > 0 && h.due[0].at <= h.turn {
		next := h.due[0]
		h.due = h.due[1:]
		h.happen(next)
	}
	h.look()
	at := h.rnd.IntN(len(waiting))
	h.note("%d: %s", len(waiting), waiting[at])
	return at
}

// look makes sure that nothing was deleted too early, whenever something was.
func (h *history) look() {
	h.count("early", h.hasty())
	left := h.w.Left()
	if left == h.left {
		return
	}
	h.left = left
	h.count("early", h.lost())
}

// lost is what is in neither place.
func (h *history) lost() []string {
	if h.traits.uncounted() {
		return h.w.Vanished()
	}
	return h.w.Lost()
}

// uncounted are histories in which nobody can know how many copies of a message
// there were: what deletes, and does not know what it did before or what another
// did, takes a copy that is there for that of the message at hand.
func (t traits) uncounted() bool { return t.copies && t.keep.Delete && (t.forgets || t.stranger) }

// count fails with what is wrong, and counts it.
func (h *history) count(kind string, wrong []string) {
	h.figures[kind] += len(wrong)
	for _, line := range wrong {
		h.tell("%s: %s", kind, line)
		h.Errorf("%s: %s", kind, line)
	}
}

// tags are chosen so that nobody can guess them.
var tags = regexp.MustCompile(`\b[a-z2-7]{8}[A-Z]?[0-9]+\b`)

// note makes something part of the trace.
func (h *history) note(format string, args ...any) string {
	line := tags.ReplaceAllString(fmt.Sprintf(format, args...), "TAG")
	line = fmt.Sprintf("%v %d %s", time.Since(h.began), h.turn, line)
	_, _ = h.trace.Write([]byte(line))
	if verbose {
		h.story = append(h.story, line)
	}
	return line
}

// tell makes something part of the trace and of the story.
func (h *history) tell(format string, args ...any) {
	line := h.note(format, args...)
	if !verbose {
		h.story = append(h.story, line)
	}
}

// live is a life in which things go wrong.
func (h *history) live(n int) {
	h.life = &voyage.Life{Who: fmt.Sprintf("life%d", n+1), Turns: h.turns}
	if h.maybe(40) {
		h.life.Late = h.late()
	}
	h.turn, h.due = 0, h.schedule()
	h.figures["lives"]++
	report := h.run(h.life)
	h.due = nil
	h.doubt = h.life.Died() || report.ExitCode != fault.OK
	switch {
	case h.life.Died():
		h.tell("killed")
		h.figures["kills"]++
	case !slices.Contains(expected, report.ExitCode):
		h.Errorf("exit status %d", report.ExitCode)
	}
	if !h.life.Died() && report.ExitCode != fault.State {
		h.remembered = time.Now()
	}
	h.mu.Unlock()
	h.others.Wait()
	h.mu.Lock()
	h.calm()
	h.count("lost", h.lost())
}

// expected are the exit statuses of a run in trouble.
var expected = []fault.Code{fault.OK, fault.Held, fault.Refused, fault.State, fault.Temporary, fault.Protocol, fault.Credentials}

// run is a life, and tells how it ended.
func (h *history) run(life *voyage.Life) ferry.Report {
	h.mu.Unlock()
	time.Sleep(h.traits.options.Pop.LoginDelay)
	report, err := h.w.Run(h.Context(), life)
	h.mu.Lock()
	h.addLife(report)
	if err != nil {
		h.Errorf("run: %v", err)
	}
	h.tell("exit status %d, %d steps: %+v", report.ExitCode, life.Steps(), report.Totals)
	for _, a := range report.Accounts {
		if a.Error != nil {
			h.tell("%s: %d %s", a.Name, a.Error.Code, a.Error.Message)
		}
		for _, m := range a.Messages {
			h.tell("%s: message %d %s: %s", a.Name, m.Number, m.State, m.Reason)
		}
		for _, note := range a.Notes {
			h.tell("%s: %s", a.Name, note)
		}
	}
	return report
}

// heal makes the servers obedient and lets them forget sessions that nobody ends.
func (h *history) heal() {
	h.calm()
	h.makeRoom()
	for _, d := range h.w.Drops {
		d.Cut()
	}
	h.w.Imap.Disconnect()
	time.Sleep(time.Millisecond)
}

// epilogue runs in health until all is done, and once more.
func (h *history) epilogue() {
	h.tune(true)
	h.turn, h.lives = 0, h.lives+1
	h.resetClock()
	report := h.run(&voyage.Life{Who: "healthy", Turns: h.turns})
	// A message that looks like a delivered one is found out when it is read before
	// its deletion, and delivered by the run after that.
	for n := 0; n < 3 && report.ExitCode == fault.Held; n++ {
		h.figures["run again"]++
		report = h.run(&voyage.Life{Who: "healthy", Turns: h.turns})
	}
	if report.ExitCode != fault.OK {
		h.figures["exits"]++
		h.Errorf("the healthy run: exit status %d", report.ExitCode)
	}
	h.judge()
	before := h.w.Imap.Counters().Messages
	report = h.run(&voyage.Life{Who: "idle", Turns: h.turns})
	if stored := h.w.Imap.Counters().Messages - before; stored != 0 || report.Totals.Delivered != 0 {
		h.figures["doubled"] += stored
		h.Errorf("the run after it: %d delivered, %d stored", report.Totals.Delivered, stored)
	}
	if report.ExitCode != fault.OK {
		h.Errorf("the run after it: exit status %d", report.ExitCode)
	}
	h.judge()
	h.wait()
	if left := h.w.Left() - h.staying(); h.mustEmpty() && left > 0 {
		h.figures["left"]++
		h.Errorf("%d messages are left in the maildrops", left)
	}
}

// judge compares what the servers have with what was sent.
func (h *history) judge() {
	h.count("misdated", h.misdated())
	if h.traits.stranger || h.traits.uncounted() {
		h.count("lost", h.lost())
		return
	}
	for _, line := range h.w.Wrong() {
		kind, _, _ := strings.Cut(line, ":")
		kind = map[string]string{"missing": "lost", "unexpected": "altered"}[kind]
		if kind == "" {
			kind, _, _ = strings.Cut(line, ":")
		}
		h.count(kind, []string{line})
	}
}
