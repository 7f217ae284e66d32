package ferry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/limits"
	"github.com/popferry/popferry/internal/signin"
	"github.com/popferry/popferry/pop"
)

// mayQuit reports whether the session may end in QUIT: all that it retrieved is
// delivered, or held and safe (I2). A server that announces EXPIRE 0, or may want to, takes
// QUIT for the deletion of all that was retrieved (RFC 2449 §6.7), though it is to be kept,
// or was not read back yet (I1), or can't be delivered; without QUIT nothing goes.
func (t *trip) mayQuit(source *pop.Maildrop) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mayExpireAtOnce(source) {
		return t.session.retrieved == 0
	}
	return t.session.retrieved == t.session.resolved && !t.risksHeldLocked()
}

// risksHeldLocked reports whether QUIT might hide or remove mail that is held, so that nobody
// could try it again: servers do that to what was retrieved, and few of them say so. What is
// kept as a file is lost to nobody, but hidden all the same.
func (t *trip) risksHeldLocked() bool {
	for key := range t.held {
		if t.session.given[key] && (t.hidesGiven() || t.report.Messages[t.rows[key]].File == "") {
			return true
		}
	}
	return false
}

// mayExpireAtOnce reports a server that keeps nothing that was retrieved, as far as
// anybody knows.
func mayExpireAtOnce(source *pop.Maildrop) bool {
	caps := source.Capabilities()
	return caps.Expire == "0" || caps.Unsure
}

// leave ends the POP3 session: with QUIT where nothing was retrieved that is not
// safe by now, else by closing the socket. The answer is waited for in the
// background, since nothing depends on it but the next session.
func (t *trip) leave(ctx context.Context) {
	source := t.source
	if source == nil {
		return
	}
	t.source = nil
	t.seat.leaving()
	quit := t.mayQuit(source)
	if quit && t.session.retrieved > 0 {
		t.quit.Store(true)
	}
	t.farewell.Go(func() {
		defer t.seat.left()
		defer source.Close()
		if !quit {
			return
		}
		// Nothing is marked for deletion: a QUIT that fails changes nothing.
		if err := fault.Guard(func() error { return source.Quit(ctx) }); err != nil && ctx.Err() == nil && !t.seat.isEnded() {
			t.note("the POP3 server did not say goodbye: %v", err)
		}
	})
}

// hangUp ends the POP3 session without QUIT.
func (t *trip) hangUp() {
	if t.source != nil {
		t.source.Close()
		t.source = nil
		t.seat.left()
	}
}

// close gives everything back, whatever state the trip is in.
func (t *trip) close() {
	t.hangUp()
	t.purses.Close()
	t.dest.close()
	t.farewell.Wait()
	t.seat.close(t.well)
	if !t.glances { // else nobody needed it
		t.giveBackTurns()
	}
	t.engine.slots.End(t.slot)
}

// LastRun is how an account's last run ended, as `status` shows it.
type LastRun struct {
	At       time.Time    `json:"at"`
	Seconds  float64      `json:"seconds"`
	ExitCode fault.Code   `json:"exit_code"`
	Totals   Totals       `json:"totals"`
	Error    *ErrorReport `json:"error,omitempty"`
	// Awaits is what a person has to say before all can be done.
	Awaits *ErrorReport `json:"awaits,omitempty"`
	// Sizes is how far those of LIST were right, over all runs.
	Sizes sizes `json:"sizes,omitzero"`
	// Recorded is how many messages the journal had as delivered at its end; nil: an earlier
	// version did not count.
	Recorded *int `json:"recorded,omitempty"`
}

// saysAs reports whether two runs differ only in when they were.
func (l LastRun) saysAs(other LastRun) bool {
	l.At, l.Seconds = other.At, other.Seconds
	one, _ := json.Marshal(l)
	two, _ := json.Marshal(other)
	return string(one) == string(two)
}

// finish completes the report and lets the journal remember how it ended.
func (t *trip) finish(err error, took time.Duration) AccountReport {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.report
	r.Seconds = took.Seconds()
	r.Waiting = len(t.parked)
	if r.Left != nil { // more may have come to light than was listed at first
		*r.Left = max(0, r.Listed-r.Known-r.Duplicate-r.Delivered-r.Held)
	}
	if len(t.account.Routes) > 0 {
		r.Folders = slices.SortedFunc(maps.Values(t.got), func(a, b FolderReport) int {
			return cmp.Compare(a.Folder, b.Folder)
		})
	}
	r.Error = NewErrorReport(err)
	r.ExitCode, r.Refusals = fault.CodeOf(err), fault.RefusalsOf(err)
	r.Untried = errors.Is(err, signin.ErrUntried) && r.Refusals == 0
	if r.Held > 0 {
		r.ExitCode = fault.Worst(r.ExitCode, fault.Held)
	}
	r.NotBefore, r.Resting, r.Stopped = t.notBefore(err), errors.Is(err, limits.ErrLater), errors.Is(err, context.Canceled)
	if r.Asked = r.NotBefore; r.Resting {
		r.Asked = t.loginAgain
	}
	last := LastRun{t.now().UTC(), r.Seconds, r.ExitCode, r.Totals, r.Error, r.Awaits, t.sizes, t.lastRun.Recorded}
	if r.GaveWay { // it did not come to ask
		last.Awaits = t.lastRun.Awaits
	}
	if t.ledger == nil || t.silent {
		return *r
	}
	if n, err := t.tally(context.Background()); err == nil {
		last.Recorded = &n
	}
	if !t.worthSaying(last) {
		return *r
	}
	_ = t.learnClock(context.Background(), t.reads(t.opened, t.now())) // as below
	if text, err := json.Marshal(last); err == nil {
		// The run is over and its context may be too; the fact is a courtesy to
		// `status`, so that its loss changes no exit status.
		_ = t.ledger.SetFact(context.Background(), factLastRun, string(text))
	}
	return *r
}
