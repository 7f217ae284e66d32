package ferry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// A message that its server can't read any more is counted all the same, and its size is told:
// Dovecot has that in the name of a file over which it ends the session. It shall not keep all
// mail from arriving (I7); but what it may be a copy of waits until that can be told (I4).

// damagedName is in the index in the place of a Message-ID that can't be asked for. No mail has
// it (RFC 5322 §3.6.4).
const damagedName = "\x00"

// reasonDamaged begins the reason of what is held because such a message may be its copy.
const reasonDamaged = "it may be there already"

func awaitsReading(r journal.Record) bool { return strings.HasPrefix(r.Reason, reasonDamaged) }

// spoils reports an error that one message may be what causes: the server refuses to give it,
// stalls, or ends the session.
func (t *trip) spoils(ctx context.Context, err error) bool {
	if errors.As(err, &offline{}) || ctx.Err() != nil || t.stood(err) {
		return false
	}
	code := fault.CodeOf(err)
	return code == fault.Temporary || code == fault.Protocol || isRefusal(err)
}

// mayGoAround reports whether a question is to go on without the message that may be what caused
// an error.
func (t *trip) mayGoAround(ctx context.Context, err error) bool {
	t.mu.Lock()
	all := t.allDamaged
	t.mu.Unlock()
	return !all && t.spoils(ctx, err)
}

// maxDamaged is how many such messages a run goes around: each costs some connections.
const maxDamaged = 10

// blamed notes a message that can't be read; some in a row or in all, or something else is wrong.
func (t *trip) blamed(at spot) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.damagedInRow++
	t.allDamaged = t.allDamaged || t.damagedInRow > maxDeadEnds || len(t.damaged) >= maxDamaged
	if !t.allDamaged {
		t.damaged[at] = true
	}
	return !t.allDamaged
}

// gave notes that others can be read.
func (t *trip) gave(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n > 0 {
		t.damagedInRow = 0
	}
}

// givesNothing says that it makes no difference what is asked for.
func (t *trip) givesNothing() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.allDamaged = true
}

func (t *trip) isDamaged(at spot) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.damaged[at]
}

// sayDamaged tells of messages that can't be read, once it is certain that others can be.
func (t *trip) sayDamaged() {
	t.mu.Lock()
	spots := slices.SortedFunc(maps.Keys(t.damaged), comparePlaces)
	t.mu.Unlock()
	for _, at := range spots {
		t.noteOnce(fmt.Sprintf("the IMAP server can't give the message with UID %d of folder %s (it refuses, ends the connection "+
			"or stalls), and mail that may be the same is held; its operator can tell what is wrong with that message",
			at.uid, fault.Escape(at.in.now().Name)))
	}
}

// askApart is ask that goes on without messages that can't be read, some at most.
func askApart[T any](ctx context.Context, t *trip, spots []spot, q query[T]) (map[spot]T, error) {
	spots = slices.SortedFunc(slices.Values(spots), comparePlaces)
	answers := make(map[spot]T, len(spots))
	err := askHalves(ctx, t, slices.DeleteFunc(spots, t.isDamaged), q, answers)
	if err == nil {
		t.sayDamaged()
	}
	return answers, err
}

// askHalves finds those by asking for ever fewer.
func askHalves[T any](ctx context.Context, t *trip, spots []spot, q query[T], answers map[spot]T) error {
	given, err := ask(ctx, t, spots, q)
	maps.Copy(answers, given)
	t.gave(len(given))
	if err == nil || !t.mayGoAround(ctx, err) {
		return err
	}
	rest := slices.DeleteFunc(slices.Clone(spots), func(at spot) bool {
		_, given := given[at]
		return given
	})
	switch {
	case len(rest) == 0:
		return err
	case len(spots) > 1:
		half := len(rest) / 2
		if err := askHalves(ctx, t, rest[:half], q, answers); err != nil {
			return err
		}
		return askHalves(ctx, t, rest[half:], q, answers)
	case t.blamed(rest[0]):
		return nil
	}
	return err
}

// indexDamaged puts a message that can't be read into the index, by its size alone. Where even
// that is not told, any mail may be it, and err stays.
func (t *trip) indexDamaged(ctx context.Context, at spot, err error) error {
	sizes, refusal := ask(ctx, t, []spot{at}, (*imapdst.Conn).Sizes)
	if refusal != nil || sizes[at] == 0 {
		t.givesNothing()
		return err
	}
	if !t.blamed(at) {
		return err
	}
	return at.in.known().Extend(ctx, at.uid+1, []journal.IndexEntry{{UID: at.uid, Size: sizes[at], MessageID: damagedName}})
}

// mayBe reports whether a candidate that can't be read may be a copy of a message: of its
// Message-ID, or of its size where that is all that is known.
func (c candidate) mayBe(s message.Summary) bool {
	if c.MessageID == damagedName {
		return -lineEnd <= c.Size-s.Size && c.Size-s.Size <= lineEnd
	}
	return c.MessageID == s.MessageID
}

// isOf reports whether a candidate may be a copy of one of some messages, as far as its size tells
// where nothing else does.
func (c candidate) isOf(sums map[string]message.Summary) bool {
	if c.MessageID != damagedName {
		return true
	}
	for _, s := range sums {
		if c.mayBe(s) {
			return true
		}
	}
	return false
}

// lineEnd is by how many octets a copy may be larger or smaller: some lack the last line end.
const lineEnd = 2

// doubt notes that a candidate may be the copy of a message, and nobody can tell.
func (m *matcher) doubt(key string, c candidate) {
	m.doubtful[key] = fmt.Sprintf("%s: the IMAP server can't give the message with UID %d of folder %s, which may be the same; "+
		"its operator can repair or remove that one", reasonDamaged, c.UID, fault.Escape(c.in.now().Name))
}

// doubtOf says why nobody can tell whether a message is in the destination, or "".
func (m *matcher) doubtOf(key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.doubtful[key]
}

// restartIndex has all of a folder asked for again: of what an index has nobody asks for more.
func (t *trip) restartIndex(ctx context.Context, f *folder, err error) error {
	return errors.Join(err, f.known().Reset(context.WithoutCancel(ctx), f.now().UIDValidity))
}
