package report

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
)

// progress tells of the work while it goes on.
type progress interface {
	observe(ferry.Event)
	say(text string)
	// step says in one line how far the work is, where events would be too many.
	step(text string)
	close()
}

// silence tells nothing.
type silence struct{}

func (silence) observe(ferry.Event) {}
func (silence) say(string)          {}
func (silence) step(string)         {}
func (silence) close()              {}

// work is what is known of an account's progress.
type work struct {
	name          string
	planned, done int   // messages
	octets, moved int64 // planned, and done
	wait          string
	until         time.Time
	told          time.Time // when a progress line was written last
}

// tally adds up the events of all accounts.
type tally struct {
	accounts      map[string]*work
	active        []*work // in the order of their start
	finished      int
	planned, done int
	octets, moved int64
}

func newTally() *tally { return &tally{accounts: map[string]*work{}} }

// take counts an event and returns the account's state after it.
func (t *tally) take(ev ferry.Event) *work {
	w := t.accounts[ev.Account]
	if w == nil {
		w = &work{name: Harmless(ev.Account)}
		t.accounts[ev.Account] = w
	}
	switch ev.Kind {
	case ferry.Started:
		t.active = append(t.active, w)
	case ferry.Planned:
		w.planned, w.octets = w.planned+ev.Messages, w.octets+ev.Bytes
		t.planned, t.octets = t.planned+ev.Messages, t.octets+ev.Bytes
	case ferry.Delivered, ferry.Skipped, ferry.Held:
		t.advance(w, ev.Messages, ev.Bytes)
		w.wait = ""
	case ferry.Waiting:
		w.wait, w.until = Harmless(ev.Text), ev.Until
	case ferry.Finished:
		t.finish(w)
		delete(t.accounts, ev.Account)
	}
	return w
}

// advance counts what is done, never beyond what was planned: sizes in listings
// are hints, and what was held before was no part of the plan.
func (t *tally) advance(w *work, messages int, octets int64) {
	messages, octets = min(messages, w.planned-w.done), min(octets, w.octets-w.moved)
	w.done, w.moved = w.done+messages, w.moved+octets
	t.done, t.moved = t.done+messages, t.moved+octets
}

// finish takes what an account has left off the plan: nobody works on it now.
func (t *tally) finish(w *work) {
	t.planned -= w.planned - w.done
	t.octets -= w.octets - w.moved
	t.finished++
	for i, a := range t.active {
		if a == w {
			t.active = append(t.active[:i:i], t.active[i+1:]...)
			break
		}
	}
}

// state is the account's state in a few words.
func (w *work) state(now time.Time) string {
	switch {
	case w.wait != "" && w.until.After(now):
		return fmt.Sprintf("waiting %s more: %s", Duration(w.until.Sub(now)), w.wait)
	case w.planned == 0:
		return "looking what there is to do"
	}
	return fmt.Sprintf("%s of %s messages, %s", humanize.Comma(int64(w.done)),
		humanize.Comma(int64(w.planned)), Size(w.moved))
}

// ended is an account's result in one line.
func ended(r *ferry.AccountReport) string {
	took := " in " + Duration(seconds(r.Seconds))
	switch {
	case r.Error == nil:
		return done(r) + took
	case r.Error.Code == fault.Held: // nothing failed: something awaits a person
		return done(r) + took + "; " + Harmless(r.Error.Message)
	case r.Delivered > 0:
		return Count(r.Delivered, "message") + " delivered" + took + ", then failed: " + Harmless(r.Error.Message)
	}
	return "failed after " + Duration(seconds(r.Seconds)) + ": " + Harmless(r.Error.Message)
}

// done is what was done for an account that did not fail.
func done(r *ferry.AccountReport) string {
	text := "done"
	switch {
	case r.Estimate != nil:
		text = "planned"
	case r.Delivered > 0:
		text = Count(r.Delivered, "message") + " delivered, " + Size(r.Bytes)
	case r.Listed > 0 && r.Known == r.Listed:
		text = "nothing new"
	}
	for _, part := range []struct {
		n    int
		what string
	}{{r.Duplicate, "there already"}, {r.Held, "held"}, {r.Deleted, "deleted"}} {
		if part.n > 0 {
			text += fmt.Sprintf(", %s %s", humanize.Comma(int64(part.n)), part.what)
		}
	}
	return text
}

// news is the line about an event that is always worth one, or "".
func news(ev ferry.Event, w *work, now time.Time) string {
	switch ev.Kind {
	case ferry.Planned:
		if ev.Messages > 0 {
			return Count(ev.Messages, "message") + " " + ev.Text + ", " + Size(ev.Bytes)
		}
	case ferry.Held:
		return fmt.Sprintf("held, %s: %s", Size(ev.Bytes), Harmless(ev.Text))
	case ferry.Waiting:
		return w.state(now)
	case ferry.Note:
		return "note: " + Harmless(ev.Text)
	case ferry.Finished:
		if ev.Result != nil {
			return ended(ev.Result)
		}
	}
	return ""
}

// toneOf is the code that colours the line about an event.
func toneOf(ev ferry.Event) fault.Code {
	if ev.Kind == ferry.Finished && ev.Result != nil {
		return ev.Result.ExitCode
	}
	return fault.Held
}
