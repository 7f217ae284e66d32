package bridge

import (
	"slices"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
)

// Phase is what an account is doing.
type Phase string

const (
	// Waiting for the next pass.
	Waiting Phase = "waiting"
	// Passing: a pass is under way.
	Passing Phase = "passing"
	// Failing: waiting, and the last pass failed.
	Failing Phase = "failing"
	// Parked: waiting long, since the credentials were refused.
	Parked Phase = "parked"
)

// AccountState is what is known of an account. Times are zero for what was not yet.
type AccountState struct {
	Name  string `json:"name"`
	Phase Phase  `json:"phase"`
	// Queued is set while a pass waits for its turn, as limits have it: none is under way.
	Queued bool `json:"queued,omitempty"`
	// WaitsFor is what the pass under way waits for until WaitsUntil: nothing else happens in it.
	WaitsFor   string    `json:"waits_for,omitempty"`
	WaitsUntil time.Time `json:"waits_until,omitzero"`
	// Started is when the last pass began, Ended when it was over, Next when the next
	// one is due.
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	Next    time.Time `json:"next,omitzero"`
	// Success is when a pass last succeeded, Failing since when none did.
	Success time.Time `json:"last_success,omitzero"`
	Since   time.Time `json:"failing_since,omitzero"`
	failing time.Time // since when none did before this bridge; zero, too: one did since
	// Failures are in a row.
	Failures int `json:"failures"`
	// Error is why the last pass failed, or nil.
	Error *ferry.ErrorReport `json:"error,omitempty"`
	// Works is whether the last pass that asked the servers succeeded; false before the
	// first.
	Works bool `json:"works"`
	// Resting is set while limits of the account's own, such as hours, let it do nothing.
	Resting bool `json:"resting,omitempty"`
	// Awaits is what a person has to say or to know though nothing failed, or nil.
	Awaits *ferry.ErrorReport `json:"awaits,omitempty"`
	// Held and Waiting are how many messages are held or wait for an append to settle.
	Held    int `json:"held"`
	Waiting int `json:"waiting"`
	// Left is how many messages on POP3 were still to be brought, and not held, when a pass
	// last got to know; LeftKnown is false before that.
	Left      int  `json:"left"`
	LeftKnown bool `json:"left_known"`
	// Delivered, Deleted and Bytes add up what was done since the bridge began.
	Delivered int   `json:"delivered"`
	Deleted   int   `json:"deleted"`
	Bytes     int64 `json:"bytes"`
	// SoFar is what of it the last pass did, which may be under way.
	SoFar SoFar `json:"-"`
	// Passes counts them, and Seconds how long they took.
	Passes  int     `json:"passes"`
	Seconds float64 `json:"seconds"`
	// Errors counts failures by class.
	Errors map[string]int `json:"errors,omitempty"`
	// Messages are those held, and Notes what the last pass had to say.
	Messages []ferry.MessageReport `json:"messages,omitempty"`
	Notes    []string              `json:"notes,omitempty"`
}

// SoFar is what a pass did until now.
type SoFar struct {
	Delivered int
	Bytes     int64
}

// UnderWay reports whether a pass is, and not only asked for.
func (s AccountState) UnderWay() bool { return s.Phase == Passing && !s.Queued }

// turn takes in that a pass waits for its turn, or has it: only then it begins.
func (s *AccountState) turn(queued bool, now time.Time) {
	if s.Phase != Passing {
		return
	}
	if s.Queued && !queued {
		s.Started = now
	}
	s.Queued = queued
}

// after takes in how a pass ended.
func (s *AccountState) after(r ferry.AccountReport, started, now time.Time, parked bool) {
	s.count(r)
	s.Ended, s.Notes, s.Queued = now, r.Notes, false
	if r.Left != nil {
		s.Left, s.LeftKnown = *r.Left, true
	}
	o := outcomeOf(r, now)
	if s.Resting = o.resting; s.Resting && !o.proves() {
		s.rest()
		return
	}
	if s.Works = o.ok(); s.Works {
		s.Phase, s.Error, s.Failures = Waiting, nil, 0
		s.Since, s.failing, s.Success = time.Time{}, time.Time{}, now
		s.Waiting = r.Waiting
		if !r.GaveWay || r.Held > s.Held { // else it did not come to them
			s.Held, s.Messages = r.Held, r.Messages
		}
		if !s.Resting && !r.GaveWay { // else it did not see all
			s.Awaits = awaits(r)
		}
		return
	}
	s.Phase, s.Error = Failing, r.Error
	if parked {
		s.Phase = Parked
	}
	s.Failures++
	s.since(started)
	errors := map[string]int{}
	for class, n := range s.Errors { // the old one is in snapshots
		errors[class] = n
	}
	errors[r.ExitCode.String()]++
	s.Errors = errors
}

// awaits is what a pass that went well has for a person; nil: nothing. While a bridge is at
// work no other popferry is.
func awaits(r ferry.AccountReport) *ferry.ErrorReport {
	if r.Awaits == nil {
		return nil
	}
	a := *r.Awaits
	a.Hint = "stop the bridge, and " + a.Hint
	return &a
}

// byItself has a hint say that a bridge does by itself what else a person has to do. It may do
// so later than a server wants.
var byItself = strings.NewReplacer("run again in", "the bridge runs again by itself after",
	"run again", "the bridge runs again by itself", "run it again", "the bridge runs again by itself")

// unattended is why a pass failed, for whoever has a bridge to run the next.
func unattended(e *ferry.ErrorReport) *ferry.ErrorReport {
	if e == nil {
		return nil
	}
	u := *e
	u.Hint = byItself.Replace(u.Hint)
	return &u
}

// count adds up what a pass did.
func (s *AccountState) count(r ferry.AccountReport) {
	s.Passes++
	s.Seconds += r.Seconds
	s.Deleted += r.Deleted
	s.brought(r.Delivered-s.SoFar.Delivered, r.Bytes-s.SoFar.Bytes)
}

// brought adds to what the last pass did.
func (s *AccountState) brought(messages int, octets int64) {
	s.SoFar.Delivered += messages
	s.SoFar.Bytes += octets
	s.Delivered += messages
	s.Bytes += octets
}

// progress takes in a step of the pass under way.
func (s *AccountState) progress(ev ferry.Event) {
	switch {
	case s.Phase != Passing:
	case ev.Kind == ferry.Planned:
		s.Left, s.LeftKnown = ev.Messages, true
	case ev.Kind == ferry.Delivered:
		s.brought(ev.Messages, ev.Bytes)
		fallthrough
	case ev.Kind == ferry.Skipped:
		s.Left = max(0, s.Left-ev.Messages)
	}
}

// rest takes in that a pass says nothing of the account: what failed before it still does.
func (s *AccountState) rest() {
	s.Phase = Waiting
	if s.Error != nil {
		s.Phase = Failing
	}
}

// stuck reports whether the account waits for what another configuration may change: for
// somebody to do something, or for limits of its own.
func (s *AccountState) stuck() bool {
	switch s.Phase {
	case Passing:
		return false
	case Parked:
		return true
	}
	return s.Resting || s.Phase == Failing && s.Error != nil && s.Error.Code != fault.Temporary
}

// park takes in that the account waits since too many logins were refused, perhaps before
// this process began. What a pass was told of that says more, and stays.
func (s *AccountState) park(known *recall) {
	s.Phase = Parked
	switch {
	case s.Error != nil && s.Error.Code == fault.Credentials:
	case known.why != nil:
		s.Error = known.why
	default:
		s.Error = &ferry.ErrorReport{Code: fault.Credentials,
			Message: "its credentials were refused three times within the hour",
			Hint:    "check username and password; it is tried again by itself within the hour"}
	}
	s.since(known.refused[0])
}

// since takes in that the account has failed since a time at least.
func (s *AccountState) since(at time.Time) {
	switch {
	case !s.Since.IsZero():
	case !s.failing.IsZero() && s.failing.Before(at):
		s.Since = s.failing
	default:
		s.Since = at
	}
}

// Snapshot is what is known of all accounts at one moment.
type Snapshot struct {
	// Started is when the bridge began, Now when this was taken.
	Started  time.Time      `json:"started"`
	Now      time.Time      `json:"now"`
	Accounts []AccountState `json:"accounts"`
}

// Snapshot returns what is known now, in the order of the configuration.
func (b *Bridge) Snapshot() Snapshot {
	b.mu.Lock()
	keepers := b.keepers
	b.mu.Unlock()
	s := Snapshot{Started: b.started, Now: time.Now(), Accounts: make([]AccountState, len(keepers))}
	wall := b.options.Wall()
	for i, k := range keepers {
		k.mu.Lock()
		s.Accounts[i] = k.state
		k.mu.Unlock()
		s.Accounts[i].tell(s.Now, wall)
	}
	return s
}

// tell has times be as the clock shows them that may have been set since, at now: until when a
// pass waits, when the next is due, and what would be in the future by it. Whatever else happened was when it was seen.
func (s *AccountState) tell(now, wall time.Time) {
	if s.Phase != Passing || !s.WaitsUntil.After(now) {
		s.WaitsFor, s.WaitsUntil = "", time.Time{}
	} else {
		s.WaitsUntil = wall.Add(s.WaitsUntil.Sub(now))
	}
	if !s.Next.IsZero() {
		s.Next = wall.Add(s.Next.Sub(now))
	}
	for _, at := range []*time.Time{&s.Started, &s.Ended, &s.Success, &s.Since} {
		if at.Round(0).After(wall) {
			*at = wall.Add(at.Sub(now))
		}
	}
}

// Rests reports whether all that the bridge does is to wait for times in which its accounts
// may work.
func (s Snapshot) Rests() bool {
	return len(s.Accounts) > 0 && !slices.ContainsFunc(s.Accounts, func(a AccountState) bool {
		return !a.Resting || a.Phase != Waiting
	})
}

// Worst is the class of the most severe present failure.
func (s Snapshot) Worst() fault.Code {
	worst := fault.OK
	for _, a := range s.Accounts {
		if a.Error != nil {
			worst = fault.Worst(worst, a.Error.Code)
		}
	}
	return worst
}
