package bridge

import (
	"context"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

// quietFor is how long passes that did nothing are summed up before the journal hears
// of them: so a disk may sleep.
const quietFor = time.Hour

// mostUnwritten is how many passes wait at most until the history can be written again.
const mostUnwritten = 1000

// History is what a recorder writes to; a journal is one.
type History interface {
	RecordPasses(ctx context.Context, passes []journal.Pass, keep time.Duration) error
}

// Recorder remembers passes: those in which something was done or failed at once, and the
// first that went well since, the others summed up.
type Recorder struct {
	history History

	mu        sync.Mutex
	keep      time.Duration
	quiet     map[string]summed
	before    map[string]journal.Pass // the last one of each account
	unwritten []journal.Pass          // since the history could not be written
}

// summed are passes that did nothing, and the last of them.
type summed struct{ all, last journal.Pass }

// passes has the last one by itself: whoever reads it wants to know when that was.
func (s summed) passes() []journal.Pass {
	if s.all.Passes == 1 {
		return []journal.Pass{s.last}
	}
	s.all.Passes--
	s.all.Seconds -= s.last.Seconds
	return []journal.Pass{s.all, s.last}
}

// NewRecorder makes one that forgets what is longer ago than keep.
func NewRecorder(h History, keep time.Duration) *Recorder {
	return &Recorder{history: h, keep: keep, quiet: map[string]summed{}, before: map[string]journal.Pass{}}
}

// Keep changes for how long passes are remembered.
func (r *Recorder) Keep(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep = d
}

// Record takes in a pass, unless the account's own limits let it do nothing: that says not even
// whether the account works.
func (r *Recorder) Record(p Pass) error {
	if a := p.Report; a.Resting && a.Delivered+a.Duplicate+a.Deleted == 0 {
		return nil
	}
	pass := PassOf(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	before, known := r.before[pass.Account]
	r.before[pass.Account] = pass
	sum, waiting := r.quiet[pass.Account]
	if known && idle(pass) && went(before) && pass.Held == before.Held {
		last := pass
		if waiting && sum.all.Code == pass.Code {
			sum.all.Passes++
			sum.all.Seconds += pass.Seconds
			pass = sum.all
		}
		r.quiet[pass.Account] = summed{pass, last}
		if p.Started.Sub(pass.Started) < quietFor {
			return nil
		}
		delete(r.quiet, pass.Account)
		return r.write(pass)
	}
	delete(r.quiet, pass.Account)
	if waiting {
		return r.write(append(sum.passes(), pass)...)
	}
	return r.write(pass)
}

// Recall takes in a pass that could not tell of itself.
func (r *Recorder) Recall(killed journal.Pass) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.write(killed)
}

// Flush writes what was only summed up so far.
func (r *Recorder) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var passes []journal.Pass
	for _, p := range r.quiet {
		passes = append(passes, p.passes()...)
	}
	r.quiet = map[string]summed{}
	return r.write(passes...)
}

func (r *Recorder) write(passes ...journal.Pass) error {
	passes = append(r.unwritten, passes...)
	r.unwritten = nil
	err := r.history.RecordPasses(context.Background(), passes, r.keep)
	if err != nil {
		r.unwritten = passes[max(0, len(passes)-mostUnwritten):]
	}
	return err
}

// idle reports a pass in which nothing was done and nothing failed.
func idle(p journal.Pass) bool {
	return p.Delivered == 0 && p.Deleted == 0 && p.Duplicate == 0 && went(p)
}

// went reports a pass that did not fail.
func went(p journal.Pass) bool {
	code := fault.Code(p.Code)
	return code == fault.OK || code == fault.Held
}

// PassOf is how the history has a pass.
func PassOf(p Pass) journal.Pass {
	r := p.Report
	pass := journal.Pass{Account: r.Name, Started: p.Started, Passes: 1, Seconds: r.Seconds, Code: int(r.ExitCode),
		Delivered: r.Delivered, Duplicate: r.Duplicate, Deleted: r.Deleted, Held: r.Held, Bytes: r.Bytes}
	switch {
	case r.Resting || p.Stopped:
		pass.Code = int(fault.OK)
	case r.Error != nil:
		pass.Error, pass.Hint = r.Error.Message, r.Error.Hint
	}
	return pass
}
