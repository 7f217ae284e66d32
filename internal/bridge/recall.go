package bridge

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
)

const (
	// mostRefusals is how many bad logins an account may have within refusalsIn,
	// whatever restarts and reloads there are: more would lock it at many providers.
	mostRefusals = 3
	refusalsIn   = time.Hour
)

// recall is what a keeper has to know after a restart. Its times are on the clock that
// can't be set; only in the text that is kept they are as a wall clock shows them.
type recall struct {
	load func() string
	save func(text string)

	held    time.Time   // when held mail was last tried
	refused []time.Time // the last logins that were refused, or may have been
	asking  bool        // the last of these is under way
	// why is what the last refusal said, or nil.
	why *ferry.ErrorReport

	servers   string        // whom notBefore is of
	notBefore time.Time     // when the servers permit another pass
	kept      time.Time     // what the text has for it
	rest      time.Duration // from the start of a pass to the next that they permit
}

// recalled is its text.
type recalled struct {
	Held    time.Time   `json:"held"`
	Refused []time.Time `json:"refused,omitempty"`
	// Error is how the last of them was refused.
	Error *ferry.ErrorReport `json:"error,omitempty"`
	// NotBefore is what Servers asked for at Asked.
	Servers   string    `json:"servers,omitempty"`
	Asked     time.Time `json:"asked,omitzero"`
	NotBefore time.Time `json:"not_before,omitzero"`
}

// RefusedIn tells of a text that a bridge kept whether the account was refused so often
// that it is left alone, and when that was last.
func RefusedIn(text string) (last time.Time, parked bool) {
	var known recalled
	// What can't be read is not known.
	_ = json.Unmarshal([]byte(text), &known)
	if p := (pace{refusals: passesOf(known.Refused)}); !p.parked() {
		return time.Time{}, false
	}
	return known.Refused[len(known.Refused)-1], true
}

// read takes up what was kept. What seems to be in the future was written before the
// clock was set back, and counts as now.
func (r *recall) read() {
	now := time.Now()
	var text recalled
	// What can't be read is not known.
	_ = json.Unmarshal([]byte(r.load()), &text)
	r.held = now
	if !text.Held.IsZero() {
		r.held = ago(now, text.Held)
	}
	for _, at := range text.Refused[max(0, len(text.Refused)-mostRefusals):] {
		r.refused = append(r.refused, ago(now, at))
	}
	r.why, r.servers = text.Error, text.Servers
	// By a clock that was set back since it may be long until then, and is what was asked for.
	if left := min(text.NotBefore.Sub(now), text.NotBefore.Sub(text.Asked), longestPause); left > 0 {
		r.notBefore = now.Add(left)
		r.kept = r.notBefore
	}
	if text.Held.IsZero() {
		r.write()
	}
}

// ago is a moment of the past by the clock that can't be set.
func ago(now, at time.Time) time.Time { return now.Add(-max(0, now.Sub(at))) }

func (r *recall) write() {
	known := recalled{Held: r.held.UTC(), Refused: utc(r.refused), Error: r.why}
	if now := time.Now(); r.notBefore.After(now) {
		known.Servers, known.Asked, known.NotBefore = r.servers, now.UTC(), r.notBefore.UTC()
	}
	r.kept = r.notBefore
	text, _ := json.Marshal(known) // times can be encoded
	r.save(string(text))
}

// serve takes in which servers the passes to come ask: what others asked for says nothing.
func (r *recall) serve(servers string) {
	if r.servers != servers {
		r.servers, r.notBefore, r.rest = servers, time.Time{}, 0
	}
}

// asked takes in when the servers permit another pass after one that began at started.
func (r *recall) asked(at, started time.Time) {
	now := time.Now()
	r.notBefore, r.rest = time.Time{}, 0
	if at.After(now) {
		r.notBefore = now.Add(min(at.Sub(now), longestPause))
		r.rest = r.notBefore.Sub(started)
	}
	later := r.notBefore.Sub(r.kept) > time.Second
	if sooner := r.notBefore.IsZero() && r.kept.After(now); later || sooner {
		r.write()
	}
}

func utc(times []time.Time) (out []time.Time) {
	for _, at := range times {
		out = append(out, at.UTC())
	}
	return out
}

// pause is how long to wait before another login, lest there be too many bad ones.
func (r *recall) pause() time.Duration {
	if len(r.refused) < mostRefusals {
		return 0
	}
	return refusalsIn - time.Since(r.refused[len(r.refused)-mostRefusals])
}

// begin notes a pass that begins, as far as it has to be known should the process die in
// it: that held mail is tried, a login with what was refused before, and when the next one
// may be.
func (r *recall) begin(now time.Time, held bool) {
	if held {
		r.held = now
	}
	if r.asking = len(r.refused) > 0; r.asking {
		r.add(now)
	}
	if r.rest > 0 { // they will want as much again, and nobody may live to hear it
		r.notBefore = now.Add(r.rest)
	}
	if held || r.asking || r.rest > 0 {
		r.write()
	}
}

// forgive takes in that what was refused is not what the next login is with.
func (r *recall) forgive() {
	r.refused, r.why = nil, nil
	r.write()
}

// end takes in how it ended, and how many logins were refused in it, the last as why says.
func (r *recall) end(code fault.Code, refusals int, why *ferry.ErrorReport) {
	before := slices.Clone(r.refused)
	if r.asking { // what was noted, which may have been none, or more than one
		r.refused = r.refused[:len(r.refused)-1]
	}
	if (outcome{code: code}).ok() {
		r.refused, r.why = nil, nil
	}
	if refusals > 0 && code == fault.Credentials {
		r.why = why
	}
	now := time.Now()
	for range refusals {
		r.add(now)
	}
	if !slices.Equal(r.refused, before) {
		r.write()
	}
}

// passesOf is in how many passes logins were refused: those of one pass have one time.
func passesOf(refused []time.Time) int {
	n := 0
	for i, at := range refused {
		if i == 0 || !at.Equal(refused[i-1]) {
			n++
		}
	}
	return n
}

func (r *recall) add(at time.Time) {
	r.refused = append(r.refused, at)
	r.refused = r.refused[max(0, len(r.refused)-mostRefusals):]
}
