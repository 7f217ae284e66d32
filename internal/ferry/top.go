package ferry

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// topHeaders digests the headers of listed messages (RFC 1939 §7, TOP n 0).
func (t *trip) topHeaders(ctx context.Context, want []plan.Listed) (map[string]message.Summary, error) {
	if t.badTops >= maxDeadEnds {
		return nil, pop.ErrNoTop // each one more costs all the time that a silent server is given
	}
	want = slices.DeleteFunc(slices.Clone(want), func(l plan.Listed) bool { return t.garbled[l.Key] })
	t.session.topped = true
	entries := entriesOf(want)
	headers := make(map[string]message.Summary, len(want))
	now := time.Now()
	noTop, done, alone := false, 0, t.oneByOne
	err := t.source.Top(ctx, entries, 0, func(e pop.Entry, body io.Reader, refused error) error {
		if refused != nil {
			noTop = noTop || errors.Is(refused, pop.ErrNoTop)
			done++
			return nil // RETR will tell what is wrong with it
		}
		listed := t.numbered(e.Number)
		key := listed.Key
		header := t.newHeader(body)
		s, err := message.SummarizeHeader(header, now)
		switch {
		case errors.Is(err, pop.ErrTopTooLong):
			return t.endlessTop(key, err)
		case fault.CodeOf(err) == fault.Protocol:
			return t.spoiled(key, err)
		}
		if err == nil {
			headers[key] = s
			t.aim(listed, header, s)
			done++
		}
		return err
	})
	switch {
	case errors.Is(err, pop.ErrOutOfStep):
		err = t.lostCount(err)
	case fault.CodeOf(err) == fault.Temporary && done < len(want) && ctx.Err() == nil && !t.seat.isEnded():
		t.topEndedAt(want[done].Key, alone)
	}
	if err == nil && noTop {
		return nil, pop.ErrNoTop
	}
	return headers, err
}

// topEndedAt notes where a session ended. Where it does so twice, or that was it already when
// headers were asked for one at a time, it is that message.
func (t *trip) topEndedAt(key string, alone bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.garbled[key]:
	case alone:
		t.garbled[key] = true
		t.badTops++
	default:
		t.oneByOne = t.ended[key]
		t.ended[key] = true
	}
}

// deadEndAt notes a message whose header the server may leave out each time, which RETR will
// tell; see endedAt.
func (t *trip) deadEndAt(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.garbled[key] {
		t.garbled[key] = true
		t.deadEnds++
	}
}

// endlessTop goes on in a new session without asking for the header of that message,
// unless one after the other is so: then it is the server that breaks the protocol.
func (t *trip) endlessTop(key string, err error) error {
	t.deadEndAt(key)
	if t.deadEnds >= maxDeadEnds {
		return err
	}
	return outOfStep(err)
}

// spoiled remembers a message that the server garbles, and with it the session:
// the next round goes on without asking for its header.
func (t *trip) spoiled(key string, err error) error {
	if errors.Is(err, pop.ErrOutOfStep) && !t.oneByOne {
		return t.lostCount(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.garbled[key] = true
	if errors.Is(err, pop.ErrBadEnd) {
		t.badTops++
	}
	return outOfStep(err)
}

// lostCount ends a session whose server left out an answer or gave one twice. What it
// gave up to then was certain; from the next session on it is asked for one message
// at a time.
func (t *trip) lostCount(err error) error {
	t.oneByOne = true
	return fault.New(fault.Temporary, "%w", err).
		WithHint("a new session asks for one message at a time; ask the server's operator why it breaks POP3")
}

// outOfStep ends a session in which nobody knows any more what answers what.
func outOfStep(err error) error {
	return fault.New(fault.Temporary, "the POP3 session is out of step: %w", err).
		WithHint("a new session goes on without this message; ask the server's operator why it breaks POP3")
}
