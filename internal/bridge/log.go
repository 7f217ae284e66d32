package bridge

import (
	"context"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"
)

const (
	// linesAMinute is how much the log hears of one account, however much its servers
	// or a bug of ours have to say.
	linesAMinute = 100
	// againAfter is when a line that says what was said before is written again.
	againAfter = time.Hour
	// PassLine is the message of a line about a pass.
	PassLine = "pass"
	// remembered is of how many lines of an account that is known.
	remembered = 100
)

// Calm makes a log that can be left alone for years: of each account it writes at most a
// hundred lines a minute, and one that says what was said before only once an hour, with
// how often it came. Lines are of an account if they have it as an attribute; warnings
// and errors of none are bounded as if they were of one, what else is of none is not.
//
// After a line about a pass that was well ([PassLine]) failures of its account are new again.
//
// What a failure says is not when, nor how long it took: the attributes seconds and next of
// warnings and errors don't make them new.
func Calm(h slog.Handler) slog.Handler {
	return &calm{Handler: h, speakers: &speakers{of: map[string]*speaker{}}}
}

type answering struct{}

// Answer marks what is logged with a context as the answer to a person, who may ask twice.
func Answer(ctx context.Context) context.Context {
	return context.WithValue(ctx, answering{}, true)
}

type calm struct {
	slog.Handler
	*speakers
}

type speakers struct {
	mu sync.Mutex
	of map[string]*speaker
}

// speaker is what is known of an account.
type speaker struct {
	minute time.Time // when the present one began
	lines  int       // written in it
	lost   int       // not written in it
	said   map[string]*saying
}

// saying is a line that was written.
type saying struct {
	at    time.Time
	again int // since then
}

// Handle implements [slog.Handler].
func (c *calm) Handle(ctx context.Context, r slog.Record) error {
	account, text := gist(r)
	if account == "" && (r.Level < slog.LevelWarn || ctx.Value(answering{}) != nil) {
		return c.Handler.Handle(ctx, r)
	}
	if r.Message == PassLine && r.Level < slog.LevelWarn {
		c.forget(account)
	}
	lost, again, ok := c.admit(account, text)
	if lost > 0 {
		more := slog.NewRecord(r.Time, slog.LevelWarn, "there was more to say than is written here", 0)
		more.AddAttrs(slog.String("account", account), slog.Int("lines", lost))
		if err := c.Handler.Handle(ctx, more); err != nil {
			return err
		}
	}
	if !ok {
		return nil
	}
	if again > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("again", again))
	}
	return c.Handler.Handle(ctx, r)
}

// gist is the account that a line is of, and what it says.
func gist(r slog.Record) (account, text string) {
	var said strings.Builder
	said.WriteString(r.Level.String() + r.Message)
	r.Attrs(func(a slog.Attr) bool {
		switch {
		case a.Key == "account":
			account = a.Value.String()
		case (a.Key == "seconds" || a.Key == "next") && r.Level >= slog.LevelWarn:
			return true
		}
		said.WriteString("\x00" + a.String())
		return true
	})
	return account, said.String()
}

// forget has the warnings and errors of an account written again.
func (s *speakers) forget(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.of[account]; a != nil {
		maps.DeleteFunc(a.said, func(text string, _ *saying) bool {
			return strings.HasPrefix(text, slog.LevelWarn.String()) || strings.HasPrefix(text, slog.LevelError.String())
		})
	}
}

// admit decides on a line: whether it is written, how often it came since it was, and how
// many of the account were lost in a minute that is over.
func (s *speakers) admit(account, text string) (lost, again int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	a := s.of[account]
	if a == nil {
		a = &speaker{minute: now, said: map[string]*saying{}}
		s.of[account] = a
	}
	if now.Sub(a.minute) >= time.Minute {
		lost = a.lost
		a.minute, a.lines, a.lost = now, 0, 0
	}
	before := a.said[text]
	if before != nil && now.Sub(before.at) < againAfter {
		before.again++
		return lost, 0, false
	}
	if a.lines >= linesAMinute-1 { // one is for telling so
		a.lost++
		return lost, 0, false
	}
	a.lines++
	if before != nil {
		again = before.again
	} else if len(a.said) >= remembered {
		clear(a.said)
	}
	a.said[text] = &saying{at: now}
	return lost, again, true
}

// WithAttrs and WithGroup implement [slog.Handler].
func (c *calm) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &calm{c.Handler.WithAttrs(attrs), c.speakers}
}

func (c *calm) WithGroup(name string) slog.Handler {
	return &calm{c.Handler.WithGroup(name), c.speakers}
}
