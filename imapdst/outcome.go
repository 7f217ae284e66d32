package imapdst

import (
	"context"
	"fmt"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

const (
	// completionLimit bounds the wait for the answer to an APPEND, to which
	// completionRate adds a second for so many octets.
	completionLimit = 5 * time.Minute
	completionRate  = 64 << 10
)

// State says what became of an item.
type State int

const (
	// NotSent: its last octet never left, so it was not stored.
	NotSent State = iota
	// Delivered: the server said OK.
	Delivered
	// Refused: the server said NO or BAD, or was not asked since its limits are
	// known. It was not stored (RFC 3501 §6.3.11).
	Refused
	// Unknown: it was sent, and the answer was lost. Look before appending again.
	Unknown
)

var stateNames = [...]string{"not sent", "delivered", "refused", "unknown"}

// String names the state.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("state %d", int(s))
	}
	return stateNames[s]
}

// Outcome is what became of one item.
type Outcome struct {
	State State
	// UIDValidity and UID say where a delivered item is (RFC 4315 §3). Both are 0
	// when the server did not say so, or said what can't be true.
	UIDValidity, UID uint32
	// Err is a [*fault.Error] unless the item was delivered.
	Err error
	// Batch is set when the item was refused together with others, and which one
	// is to blame is not known: append them one by one, or in halves.
	Batch bool
	// Plain is set when the item was appended again without flags and date.
	Plain bool
	// Cut is set where the connection ended: in the announcement or the octets of the item, or
	// between it and the next one of its command.
	Cut bool
}

// Pending is a batch whose answers are still to come.
type Pending struct {
	conn     *Conn
	folder   Folder
	items    []Item
	commands []*appendCommand
	outcomes []Outcome
	settled  bool
}

// appendCommand is one APPEND on its way.
type appendCommand struct {
	waiter    *waiter
	items     []int   // indices into Pending.items
	ends      []int64 // position in the stream behind each item's last octet
	size      int64   // octets of all literals
	refusedAt int     // item whose literal the server did not ask for, or -1
}

func newPending(c *Conn, f Folder, items []Item) *Pending {
	return &Pending{conn: c, folder: f, items: items, outcomes: make([]Outcome, len(items))}
}

// screen refuses what can't succeed, and returns the other items. An empty
// literal cancels a MULTIAPPEND (RFC 3502 §6.3.11), and one above the server's
// limit would only be sent to be thrown away (RFC 7889 §4).
func (p *Pending) screen() []int {
	var todo []int
	limit := p.folder.AppendLimit
	if limit == 0 {
		limit = p.conn.Capabilities().AppendLimit
	}
	for n, item := range p.items {
		switch {
		case item.Size <= 0:
			p.refuse(n, fault.New(fault.Held, "empty message: IMAP can't store it").
				WithHint("the message stays on POP3"))
		case limit > 0 && item.Size > limit:
			p.refuse(n, tooLarge(item.Size, limit))
		case !validFlags(item.Flags):
			p.refuse(n, fault.New(fault.Internal, "flags %q are not valid", item.Flags))
		default:
			todo = append(todo, n)
		}
	}
	return todo
}

func validFlags(flags []string) bool {
	for _, flag := range flags {
		if !isFlag(flag) {
			return false
		}
	}
	return true
}

func (p *Pending) refuse(n int, err *fault.Error) {
	p.outcomes[n] = Outcome{State: Refused, Err: err}
}

// lost notes why items without an answer have none.
func (p *Pending) lost(err error) (*Pending, error) {
	for n := range p.outcomes {
		if p.outcomes[n].State == NotSent {
			p.outcomes[n].Err = err
		}
	}
	return p, err
}

// Wait waits for the answers and returns one outcome per item, in their order.
// It waits 5 minutes and a second for each 64 KiB at most; cancelling ctx breaks
// the connection, and leaves items Unknown. Later calls return the same.
func (p *Pending) Wait(ctx context.Context) []Outcome {
	if p.settled {
		return p.outcomes
	}
	p.settled = true
	counted := false
	for _, cmd := range p.commands {
		if !counted && !cmd.waiter.answered() {
			p.conn.trips.Add(1)
			counted = true
		}
		p.await(ctx, cmd)
		p.settle(ctx, cmd)
	}
	return p.outcomes
}

func (w *waiter) answered() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

func (p *Pending) await(ctx context.Context, cmd *appendCommand) {
	limit := completionLimit + time.Duration(cmd.size/completionRate)*time.Second
	if end, err := p.conn.begin(ctx, limit); err == nil {
		defer end()
	}
	select {
	case <-cmd.waiter.done:
	case <-ctx.Done():
		p.conn.guard.fail(fault.Stopped("append to %s: %w",
			p.conn.wire.Address(), ctx.Err()))
		<-cmd.waiter.done
	}
}

// settle turns the answer to a command into outcomes.
func (p *Pending) settle(ctx context.Context, cmd *appendCommand) {
	w := cmd.waiter
	switch {
	case w.failure != nil:
		p.unanswered(cmd)
	case w.answer.kind == "OK":
		p.delivered(cmd)
	default:
		p.refused(ctx, cmd)
	}
}

// unanswered tells what was never completed from what may have been stored.
func (p *Pending) unanswered(cmd *appendCommand) {
	state := NotSent
	// A MULTIAPPEND stores all or nothing (RFC 3502 §6.3.11), so the last literal
	// decides. Some servers store at its last octet, before the final CRLF.
	if n := len(cmd.items); len(cmd.ends) == n && p.conn.stream.mayHaveLeft(cmd.ends[n-1]) {
		state = Unknown
	}
	for _, n := range cmd.items {
		p.outcomes[n] = Outcome{State: state, Err: cmd.waiter.failure}
	}
	if state == NotSent {
		p.cut(cmd)
	}
}

// cut marks the items of a command between which, or in which, the connection ended.
func (p *Pending) cut(cmd *appendCommand) {
	left := 0 // items that may have left whole
	for left < len(cmd.ends) && p.conn.stream.mayHaveLeft(cmd.ends[left]) {
		left++
	}
	p.outcomes[cmd.items[left]].Cut = true
	if left > 0 && left == len(cmd.ends) { // nothing of the next one left
		p.outcomes[cmd.items[left-1]].Cut = true
	}
}

func (p *Pending) delivered(cmd *appendCommand) {
	validity, uids := p.conn.acceptUIDs(p.folder, cmd.waiter.answer, len(cmd.items))
	for i, n := range cmd.items {
		p.outcomes[n] = Outcome{State: Delivered}
		if uids != nil {
			p.outcomes[n].UIDValidity, p.outcomes[n].UID = validity, uids[i]
		}
	}
}

func (p *Pending) refused(ctx context.Context, cmd *appendCommand) {
	answer := cmd.waiter.answer
	err := appendError(p.conn.wire.Address(), p.folder.Name, answer)
	if answer.kind == "BAD" && !explained(answer.code) && fault.CodeOf(err) == fault.Held {
		p.conn.distrust(len(cmd.items) > 1)
		if p.retryPlain(ctx, cmd) {
			return
		}
	}
	blamed := cmd.blamed()
	for i, n := range cmd.items {
		if i < blamed {
			p.outcomes[n] = Outcome{State: Refused, Err: err, Batch: blamed > 1}
			continue
		}
		p.outcomes[n] = Outcome{State: NotSent, Err: err}
	}
}

// blamed is how many of the first items may be the reason of a refusal: all,
// unless the server refused before it had seen the later ones.
func (c *appendCommand) blamed() int {
	if c.refusedAt < 0 {
		return len(c.items)
	}
	return c.refusedAt + 1
}

// retryPlain appends a single item again without flags and date, since BAD may
// be about those. Where the session ended before that, the refusal stands.
func (p *Pending) retryPlain(ctx context.Context, cmd *appendCommand) bool {
	if len(cmd.items) > 1 {
		return false
	}
	n := cmd.items[0]
	item := p.items[n]
	if len(item.Flags) == 0 && item.Date.IsZero() {
		return false
	}
	item.Flags, item.Date = nil, time.Time{}
	// The error of a dead connection is in the outcome, too.
	again, _ := p.conn.Append(ctx, p.folder, []Item{item})
	outcome := again.Wait(ctx)[0]
	if outcome.State == NotSent {
		return false
	}
	outcome.Plain = true
	p.outcomes[n] = outcome
	return true
}
