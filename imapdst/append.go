package imapdst

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

const (
	// largeLiteral is from which size on a refusal up front is worth a round
	// trip (RFC 4549 §4.2.2.1), even where the server needs none.
	largeLiteral = 1 << 20
	// continuationLimit bounds the wait for "+", when no other answer is due first.
	continuationLimit = time.Minute
	// dateLayout is date-time (RFC 3501 §9), with a day of two digits: some
	// servers refuse the form with a space.
	dateLayout = "02-Jan-2006 15:04:05 -0700"
)

// Item is one message to append.
type Item struct {
	// Size is its exact size in octets.
	Size int64
	// Body writes exactly Size octets. It must stay valid until Wait returned.
	Body io.WriterTo
	// Flags such as \Seen; may be empty.
	Flags []string
	// Date becomes the INTERNALDATE (RFC 3501 §2.3.3); zero: the server's clock.
	Date time.Time
}

// Append writes messages to a folder and returns once all bytes are out, so that
// the next batch can be written while the server works on this one. The answers
// come from [Pending.Wait], which must be called for each Pending.
//
// Several items go into one MULTIAPPEND (RFC 3502) where the server has it:
// then all are stored or none. Otherwise each is an APPEND of its own, and none
// waits for the answer to the one before. Literals do not wait with LITERAL+ or,
// up to 4,096 octets, LITERAL- (RFC 7888); above 1 MiB they always do.
//
// An error means that the connection is dead. The Pending then still says of
// each item whether it may have been stored.
func (c *Conn) Append(ctx context.Context, f Folder, items []Item) (*Pending, error) {
	p := newPending(c, f, items)
	todo := p.screen()
	if len(todo) == 0 {
		return p, nil
	}
	if err := c.ensureAlive(ctx); err != nil {
		return p.lost(err)
	}
	end, err := c.begin(ctx, quietLimit)
	if err != nil {
		return p.lost(err)
	}
	defer end()
	c.mailbox.Lock()
	defer c.mailbox.Unlock()
	c.turn.Lock()
	defer c.turn.Unlock()
	c.leaveMailbox()
	c.appended.Store(true)
	if err := p.upload(ctx, c.groups(todo)); err != nil {
		return p.lost(err)
	}
	return p, nil
}

// leaveMailbox closes what EXAMINE opened, in the same packet as what follows:
// some servers refuse an APPEND to the mailbox that is open read-only (Courier
// 5.0). It expunges nothing there (RFC 9051 §6.4.1). The caller holds the turn.
func (c *Conn) leaveMailbox() {
	c.mu.Lock()
	leave := c.selected != "" && !c.writable
	if leave {
		c.selected = ""
	}
	c.mu.Unlock()
	if leave {
		c.client.UnselectAndExpunge() // its answer changes nothing
	}
}

// Appended reports whether the connection has carried mail.
func (c *Conn) Appended() bool { return c.appended.Load() }

// Alive returns the error that ended the connection, or nil. It asks the server only if
// the connection lay idle, or refused a message last.
func (c *Conn) Alive(ctx context.Context) error {
	if err := c.wire.Broken(); err != nil {
		return err
	}
	return c.ensureAlive(ctx)
}

// Rests reports whether the connection is, as far as is known, alive, with nothing under
// way.
func (c *Conn) Rests() bool { return c.wire.Broken() == nil && !c.guard.router.busy() }

// ensureAlive asks before a batch goes into a connection that lay idle, or on which more may
// follow a refusal than its answer: a quotation of the message, which ends it.
func (c *Conn) ensureAlive(ctx context.Context) error {
	router := c.guard.router
	if router.busy() || c.guard.quiet() < staleAfter && !router.refusedBefore() {
		return nil
	}
	// A refused NOOP is an answer, too.
	if err := c.noop(ctx); err != nil {
		return c.wire.Broken()
	}
	return nil
}

// groups decides what goes into one command.
func (c *Conn) groups(items []int) [][]int {
	most := uint64(1)
	if c.Capabilities().MultiAppend {
		most = c.atOnce()
	}
	return slices.Collect(slices.Chunk(items, int(min(most, uint64(len(items))))))
}

// upload writes the commands and leaves nothing in the buffer.
func (p *Pending) upload(ctx context.Context, groups [][]int) error {
	for _, group := range groups {
		waiter, err := p.conn.guard.router.open()
		if err != nil {
			return err
		}
		cmd := &appendCommand{waiter: waiter, items: group, refusedAt: -1}
		p.commands = append(p.commands, cmd)
		if err := p.write(ctx, cmd); err != nil {
			return err
		}
	}
	return p.conn.stream.flush()
}

// write sends one APPEND or MULTIAPPEND (RFC 3501 §6.3.11, RFC 3502 §6.3.11):
//
//	tag APPEND mailbox *( [(flags)] [date] {size[+]} CRLF octets) CRLF
func (p *Pending) write(ctx context.Context, cmd *appendCommand) error {
	out := p.conn.stream
	out.text(cmd.waiter.tag, " APPEND ", p.conn.guard.rawName(p.folder.Mailbox))
	for i, n := range cmd.items {
		item := p.items[n]
		out.text(preamble(item))
		proceed, err := p.announce(ctx, cmd, item.Size)
		if err != nil {
			return err
		}
		if !proceed {
			cmd.refusedAt = i
			return nil
		}
		cmd.size += item.Size
		cmd.ends = append(cmd.ends, out.queued+item.Size)
		if err := p.writeBody(cmd, item, i == len(cmd.items)-1); err != nil {
			return err
		}
	}
	out.text("\r\n")
	return nil
}

// preamble is what stands before the literal of an item.
func preamble(item Item) string {
	var b strings.Builder
	if len(item.Flags) > 0 {
		b.WriteString(" (" + strings.Join(item.Flags, " ") + ")")
	}
	if !item.Date.IsZero() {
		b.WriteString(` "` + item.Date.Format(dateLayout) + `"`)
	}
	b.WriteString(" ")
	return b.String()
}

// announce writes "{size}" and, where the literal is a synchronising one (RFC
// 3501 §4.3), waits until the server wants it. proceed is false when it refused
// the command instead, which leaves the connection in order.
func (p *Pending) announce(ctx context.Context, cmd *appendCommand, size int64) (bool, error) {
	c := p.conn
	if c.mayPush(size) {
		c.stream.text(fmt.Sprintf("{%d+}\r\n", size))
		return true, nil
	}
	c.guard.router.ask(cmd.waiter)
	c.stream.text(fmt.Sprintf("{%d}\r\n", size))
	if err := c.stream.flush(); err != nil {
		return false, err
	}
	c.trips.Add(1)
	limit := continuationLimit
	if c.guard.router.behind(cmd.waiter) {
		limit += completionLimit
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-cmd.waiter.proceed:
		return true, nil
	case <-cmd.waiter.done:
		if cmd.waiter.failure != nil {
			return false, cmd.waiter.failure
		}
		return false, nil
	case <-ctx.Done():
		return false, c.guard.fail(fault.Stopped("append to %s: %w",
			c.wire.Address(), ctx.Err()))
	case <-timer.C:
		return false, c.guard.fail(fault.New(fault.Temporary,
			"%s did not ask for the message within %s", c.wire.Address(), fault.Span(limit)).
			WithHint("the server may be overloaded; try again later"))
	}
}

// mayPush tells whether a literal may go out without waiting (RFC 7888 §4, §5).
func (c *Conn) mayPush(size int64) bool {
	caps := c.Capabilities()
	return caps.LiteralPlus && size <= largeLiteral ||
		caps.LiteralMinus && size <= literalMinusMax
}

// writeBody writes the literal. If the message turns out shorter or longer than
// announced, only closing the connection keeps the server from misreading it.
func (p *Pending) writeBody(cmd *appendCommand, item Item, last bool) error {
	out := &body{out: p.conn.stream, left: item.Size, last: func() {
		if last {
			p.conn.guard.router.finish(cmd.waiter)
		}
	}}
	_, err := item.Body.WriteTo(out)
	if err == nil && out.left > 0 {
		err = errBodySize
	}
	if err == nil {
		return nil
	}
	var known *fault.Error
	if !errors.As(err, &known) {
		err = fault.New(fault.Internal, "read a message to append: %w", err)
	}
	return p.conn.guard.fail(err)
}
