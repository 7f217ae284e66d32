package journal

import (
	"context"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

const (
	// MaxPasses bounds how many passes are remembered, whatever their age.
	MaxPasses = 1_000_000
	// maxTold bounds the texts of a pass, in octets.
	maxTold = 4096
	// believedAfter is how long a clock has to go on before the history is forgotten by it:
	// one that is ahead says nothing about what is old, and is mostly put right sooner.
	believedAfter = 24 * time.Hour
)

// Pass is one pass over an account, or several that brought nothing and failed in
// nothing, summed up.
type Pass struct {
	Account string
	// Started is when it began, or the first of several.
	Started time.Time
	// Passes is how many it sums up, Seconds how long they took together.
	Passes  int
	Seconds float64
	// Code is how it ended, as an exit status.
	Code int
	// Delivered, Duplicate and Deleted count messages, Bytes octets delivered. Held is
	// how many were held at its end.
	Delivered, Duplicate, Deleted, Held int
	Bytes                               int64
	// Error and Hint are what a person was told of a failure.
	Error, Hint string
}

// Ended is when it was over; of several nobody knows more than when the first began.
func (p Pass) Ended() time.Time {
	if p.Passes > 1 {
		return p.Started
	}
	return p.Started.Add(time.Duration(p.Seconds * float64(time.Second)))
}

// RecordPasses implements Journal.
func (s *store) RecordPasses(ctx context.Context, passes []Pass, keep time.Duration) error {
	if len(passes) == 0 {
		return nil
	}
	return s.write(ctx, func(q query) error {
		for _, p := range passes {
			if p.Account == "" || p.Passes < 1 {
				return fault.New(fault.Internal, "a pass without an account, or of none")
			}
			if err := q.recordPass(p); err != nil {
				return err
			}
		}
		return q.forgetPasses(passes[len(passes)-1].Started, keep)
	})
}

// recordPass adds a pass, or says more of one that is there.
func (q query) recordPass(p Pass) error {
	err := q.exec("DELETE FROM pass WHERE started = ? AND account = ?", millis(p.Started), p.Account)
	if err != nil {
		return err
	}
	return q.exec(`INSERT INTO pass (account, started, passes, seconds, code, delivered, duplicate,
		deleted, held, bytes, error, hint) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		p.Account, millis(p.Started), p.Passes, p.Seconds, p.Code, p.Delivered, p.Duplicate,
		p.Deleted, p.Held, p.Bytes, cut(p.Error), cut(p.Hint))
}

// forgetPasses drops what is older than keep, seen from the last pass that began a day
// before now or earlier, and what is too much.
func (q query) forgetPasses(now time.Time, keep time.Duration) error {
	err := q.exec("DELETE FROM pass WHERE started < (SELECT max(started) FROM pass WHERE started <= ?) - ?",
		millis(now.Add(-believedAfter)), keep.Milliseconds())
	if err != nil {
		return err
	}
	return q.exec("DELETE FROM pass WHERE id <= (SELECT max(id) FROM pass) - ?", MaxPasses)
}

// cut shortens a text, and leaves whole characters of it only.
func cut(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxTold)], "")
}

// EachPass implements Journal.
func (s *store) EachPass(ctx context.Context, since time.Time, fn func(Pass) error) error {
	var last int64
	for {
		passes, err := s.pagePasses(ctx, since, &last)
		if err != nil {
			return err
		}
		for _, p := range passes {
			if err := fn(p); err != nil {
				return err
			}
		}
		if len(passes) < page {
			return nil
		}
	}
}

// pagePasses reads the passes behind an id, which it moves on.
func (s *store) pagePasses(ctx context.Context, since time.Time, last *int64) (passes []Pass, err error) {
	err = s.read(ctx, func(q query) error {
		var p Pass
		var started int64
		return q.each(`SELECT id, account, started, passes, seconds, code, delivered, duplicate, deleted, held,
			bytes, error, hint FROM pass WHERE id > ? AND started >= ? ORDER BY id LIMIT ?`,
			[]any{*last, millis(since), page}, []any{last, &p.Account, &started, &p.Passes, &p.Seconds, &p.Code,
				&p.Delivered, &p.Duplicate, &p.Deleted, &p.Held, &p.Bytes, &p.Error, &p.Hint}, func() error {
				p.Started = instant(started)
				passes = append(passes, p)
				return nil
			})
	})
	return passes, err
}
