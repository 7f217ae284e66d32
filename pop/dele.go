package pop

import (
	"context"
	"fmt"

	"github.com/popferry/popferry/internal/fault"
)

// Delete marks messages as deleted (RFC 1939 §5) and tells fn of each what the
// server said: nil, or its refusal as a *fault.Error. Nothing is removed before
// [Maildrop.Quit], and nothing at all if the session ends in another way. An
// error from fn ends the call and the session, and is returned as it is.
func (m *Maildrop) Delete(ctx context.Context, entries []Entry,
	fn func(e Entry, err error) error,
) error {
	defer m.conn.Begin(ctx)()
	m.deleted = true
	next := m.deleteOneByOne
	if m.caps.Pipelining {
		next = m.deleteAtOnce(entries)
	}
	for _, e := range entries {
		reply, err := next(e)
		if err != nil {
			return err
		}
		if err := fn(e, m.deleteError(e, reply)); err != nil {
			m.conn.Break(fault.Stopped("%s: stopped at DELE %d: %w",
				m.conn.Address(), e.Number, err))
			return err
		}
	}
	return nil
}

func deleteLine(e Entry) string { return fmt.Sprintf("DELE %d", e.Number) }

func (m *Maildrop) deleteOneByOne(e Entry) (status, error) { return m.command(deleteLine(e)) }

// deleteAtOnce returns a function that gives the answers in the order of entries.
func (m *Maildrop) deleteAtOnce(entries []Entry) func(Entry) (status, error) {
	q := newQueue(m, entries, func(e Entry) (string, int64) { return deleteLine(e), 0 })
	return func(e Entry) (status, error) {
		if err := q.refill(); err != nil {
			return status{}, err
		}
		reply, err := m.answer()
		q.answered(e)
		return reply, err
	}
}

// deleteError returns an untyped nil for a message that is now marked.
func (m *Maildrop) deleteError(e Entry, reply status) error {
	if reply.ok {
		return nil
	}
	return m.refusal(deleteLine(e), reply, fault.Held)
}
