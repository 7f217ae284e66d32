package ferry

import (
	"time"

	"github.com/popferry/popferry/internal/journal"
)

// EventKind says what an [Event] tells.
type EventKind int

// The events of one account arrive in this order; Delivered to Note repeat.
const (
	// Started: the account's turn has come.
	Started EventKind = iota
	// Planned: Messages and Bytes are the work, and Text says what it is: what is
	// to be copied, or would be, or is only looked for. It may come again when more work turns up,
	// and then adds to what was said before.
	Planned
	// Delivered: so many more messages and octets are durably delivered.
	Delivered
	// Skipped: so many more planned messages turned out to be there already.
	Skipped
	// Held: so many more messages can't be delivered and stay on POP3.
	Held
	// Deleted: so many more messages are gone; Text says from where.
	Deleted
	// Waiting: Text says what for, Until when it ends.
	Waiting
	// Note: Text is worth a person's attention.
	Note
	// Finished: the account is done; Result is its report.
	Finished
	// Queued: the account waits for its turn, in a [Fleet]: before Started.
	Queued
	// Killed: a pass before this one never ended; Pass is what it delivered. Who is killed
	// amid this one as well is told of both as of one, which began when the first did.
	Killed
)

// Event is one step of a run, for whoever shows it. Observers are called from
// several goroutines, one at a time, and must return quickly.
type Event struct {
	Kind     EventKind
	Account  string
	Messages int
	Bytes    int64 // octets
	Text     string
	Until    time.Time
	Result   *AccountReport
	Pass     *journal.Pass
}
