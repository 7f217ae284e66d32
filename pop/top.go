package pop

import (
	"context"
	"fmt"
	"io"

	"github.com/popferry/popferry/internal/fault"
)

// expectedTop is how many octets a header is expected to have, for the window.
const expectedTop = 8 << 10

// A header may have maxTop octets. Some servers send the whole message, whatever number of
// lines they are asked for, so that its size in LIST comes on top, up to maxWholeTop.
const (
	maxTop      = 32 << 20
	maxWholeTop = 1 << 30
)

// Top fetches the header and the given number of lines of the body (RFC 1939 §7)
// of each message, as [Maildrop.Retrieve] does with whole messages. It returns an
// error with [ErrNoTop] as its cause when the server has no TOP, with the session
// intact; with PIPELINING that cause may come message by message instead. Headers
// from TOP are for comparing only: servers cut and change them.
func (m *Maildrop) Top(ctx context.Context, entries []Entry, lines int,
	fn func(e Entry, body io.Reader, err error) error,
) error {
	// RFC 2449 §6.1: a server that answers CAPA announces TOP if it has it.
	if m.caps.Known && !m.caps.Top {
		return fault.New(fault.Refused, "%s: %w", m.conn.Address(), ErrNoTop).
			WithHint("whole messages have to be read instead")
	}
	f := &fetch{m: m, fn: fn, what: "TOP"}
	f.queue = newQueue(m, entries, func(e Entry) (string, int64) {
		return fmt.Sprintf("TOP %d %d", e.Number, lines), expectedTop
	})
	f.queue.named = f.queue.window > 1
	return f.run(ctx)
}
