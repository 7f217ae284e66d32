package page

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/report"
)

// Tones are classes of the style sheet. None of them is ever alone: words say the same.
const (
	well = "well"
	wait = "wait"
	bad  = "bad"
	idle = "idle"
)

// row is an account as the overview has it.
type row struct {
	bridge.AccountState
	Link, State, Tone string
	// Day is nil if the history can't be read.
	Day       *day
	Attention bool
	now       time.Time
}

func newRow(a bridge.AccountState, now time.Time, days map[string]*day) row {
	r := row{AccountState: a, Link: "/account/" + url.PathEscape(a.Name), now: now}
	r.Attention = a.Error != nil || a.Awaits != nil || a.Held > 0
	r.State, r.Tone = stateOf(a)
	if days != nil {
		r.Day = cmp.Or(days[a.Name], &day{}).with(a, now)
	}
	return r
}

// stateOf says in words what an account is doing, and how bad that is.
func stateOf(a bridge.AccountState) (state, tone string) {
	switch {
	case a.Phase == bridge.Parked:
		return "can't sign in", bad
	case a.Error != nil:
		state, tone = "failing", toneOf(a.Error.Code)
		if a.UnderWay() {
			state = "trying again"
		}
		return state, tone
	case a.UnderWay():
		return "at work", well
	case a.Queued:
		return "in the queue", idle
	case a.Awaits != nil:
		return "needs your word", wait
	case a.Held > 0:
		return "mail is held", wait
	case a.Resting:
		return "resting", idle
	case !a.Works:
		return "not tried yet", idle
	}
	return "well", well
}

func toneOf(code fault.Code) string {
	switch code {
	case fault.OK:
		return well
	case fault.Held, fault.Temporary:
		return wait
	}
	return bad
}

// Last is when a pass last succeeded.
func (r row) Last() moment { return moment{r.Success, r.now} }

// Due is when the next pass is, which nobody knows while one is under way.
func (r row) Due() moment {
	if r.Phase == bridge.Passing {
		return moment{}
	}
	return moment{r.Next, r.now}
}

// Waits is until when the pass under way waits for something.
func (r row) Waits() moment { return moment{r.WaitsUntil, r.now} }

// Failing is since when it does.
func (r row) Failing() moment { return moment{r.Since, r.now} }

// Refused are the messages that are held.
func (r row) Refused() []ferry.MessageReport {
	list := heldOf(r.Messages)
	return list[:min(len(list), messagesShown)]
}

// heldOf leaves out the other messages, which a bridge with --verbose knows too.
func heldOf(messages []ferry.MessageReport) (list []ferry.MessageReport) {
	for _, m := range messages {
		if m.State == stateHeld {
			list = append(list, m)
		}
	}
	return list
}

// Spark is the picture of its day.
func (r row) Spark() spark { return newSpark(r.Day) }

// moment is a time, and from when it is seen.
type moment struct{ at, now time.Time }

// Known is false for what did not happen yet.
func (m moment) Known() bool { return !m.at.IsZero() }

// Stamp is for programs, and Full for people who want to know exactly.
func (m moment) Stamp() string { return m.at.UTC().Format(time.RFC3339) }
func (m moment) Full() string  { return m.at.Local().Format("2006-01-02 15:04:05 MST") }

// Span is how far away it is.
func (m moment) Span() string { return strings.TrimSpace(humanize.RelTime(m.at, m.now, "", "")) }

// String is how long ago it was, or how long until it is.
func (m moment) String() string {
	switch d := m.at.Sub(m.now); {
	case d >= time.Second:
		return "in " + m.Span()
	case d <= -time.Second:
		return m.Span() + " ago"
	}
	return "now"
}

// totals are what stands on top.
type totals struct {
	Accounts, Attention, Passing, Left, Held, Today int
	// Untried are those of which nobody knows yet whether they work.
	Untried int
	// Bad is set if one of them does not mend by itself.
	Bad bool
	// Known is false if nobody knows what was delivered today, LeftKnown if what is left of
	// no account.
	Known, LeftKnown bool
}

// title is that of the window, which people see when they look at something else.
func (t totals) title() string {
	if t.Attention == 0 {
		return "popferry"
	}
	return "(" + humanize.Comma(int64(t.Attention)) + ") popferry"
}

// overview is what the first page shows.
type overview struct {
	layout
	totals
	Rows []row
	filter
}

// filter chooses accounts. What stands on top is of all of them, whichever are shown.
type filter struct {
	// Only is set when only those are shown that need attention.
	Only bool
	// Sought is what the name or the state has in it; "": anything.
	Sought string
}

// maxSought bounds it, in characters.
const maxSought = 100

// newFilter leaves out of what was asked for all that can't be seen.
func newFilter(asked url.Values) filter {
	seen := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, strings.TrimSpace(asked.Get("q")))
	runes := []rune(seen)
	return filter{Only: asked.Get("show") == "attention", Sought: string(runes[:min(len(runes), maxSought)])}
}

// shows reports whether an account is to be seen.
func (f filter) shows(r row) bool {
	sought := strings.ToLower(f.Sought)
	return (r.Attention || !f.Only) &&
		(strings.Contains(strings.ToLower(r.Name), sought) || strings.Contains(r.State, sought))
}

// Bound is how long what is sought may be.
func (f filter) Bound() int { return maxSought }

// newOverview puts first what needs attention.
func newOverview(s bridge.Snapshot, days map[string]*day, f filter) overview {
	o := overview{filter: f, totals: totals{Known: days != nil}}
	for _, a := range s.Accounts {
		r := newRow(a, s.Now, days)
		o.count(r)
		if f.shows(r) {
			o.Rows = append(o.Rows, r)
		}
	}
	slices.SortStableFunc(o.Rows, func(a, b row) int { return cmp.Compare(rank(a), rank(b)) })
	return o
}

func (t *totals) count(r row) {
	t.Accounts++
	t.Left += r.Left
	t.LeftKnown = t.LeftKnown || r.LeftKnown
	t.Bad = t.Bad || r.Tone == bad
	t.Held += r.Held
	switch {
	case r.Attention:
		t.Attention++
	case !r.Works:
		t.Untried++
	}
	if r.UnderWay() {
		t.Passing++
	}
	if r.Day != nil {
		t.Today += r.Day.Today
	}
}

func rank(r row) int {
	switch {
	case r.Tone == bad:
		return 0
	case r.Attention:
		return 1
	}
	return 2
}

// Verdict is the whole page in a sentence.
func (t totals) Verdict() string {
	switch {
	case t.Accounts == 0:
		return "There are no accounts."
	case t.Attention == 0 && t.Untried > 0:
		return "Nothing needs attention; " + report.Count(t.Untried, "account") + " not tried yet."
	case t.Attention == 0 && t.Accounts == 1:
		return "The account is well."
	case t.Attention == 0:
		return "All " + report.Count(t.Accounts, "account") + " are well."
	case t.Attention == 1:
		return "1 of " + report.Count(t.Accounts, "account") + " needs attention."
	}
	return humanize.Comma(int64(t.Attention)) + " of " + report.Count(t.Accounts, "account") + " need attention."
}

// Tone is that of the verdict.
func (t totals) Tone() string {
	switch {
	case t.Attention == 0 && t.Untried > 0:
		return idle
	case t.Attention == 0:
		return well
	case t.Bad:
		return bad
	}
	return wait
}

// detail is the page of an account.
type detail struct {
	layout
	row
}

// pass is one of the passes that an account made.
type pass struct {
	journal.Pass
	now time.Time
}

// Recent are its passes, the latest first.
func (d detail) Recent() (list []pass) {
	for _, p := range slices.Backward(d.Day.Passes) {
		list = append(list, pass{p, d.now})
	}
	return list
}

// When is the time of its start.
func (p pass) When() moment { return moment{p.Started, p.now} }

// Result and Tone say how it ended.
func (p pass) Result() string { return fault.Code(p.Code).String() }
func (p pass) Tone() string   { return toneOf(fault.Code(p.Code)) }
