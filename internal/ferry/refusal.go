package ferry

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/fault"
)

// resistance is what the destination did against messages. It is guarded by trip.mu.
type resistance struct {
	refusing    bool // messages were refused in this round
	paused      bool // it wanted a pause in this round
	choked      bool // it ended the connection amid a message in this round
	silenced    int  // messages held in a row over which it ended its connection
	unexplained int  // messages in a row refused without a reason
	accused     int  // messages that became suspects by a refusal
	bared       int  // delivered without flags and date
}

// refused finds the culprit of a refused batch by halves, and tries a single
// message once more, and without flags and date, before it is held: some servers
// object to those only. A refusal that is about the account ends the trip.
func (l *lane) refused(batch []*parcel, together bool) error {
	if len(batch) == 0 {
		return nil
	}
	if together && len(batch) > 1 {
		switch {
		case fault.CodeOf(batch[0].refusal) == fault.Held,
			l.p.t.concernsFolder(batch[0]) && isForbidden(batch[0].refusal):
			return l.inParts(batch, len(batch)/2)
		case overQuota(batch[0].refusal) && l.p.soft.Err() == nil:
			return l.fill(batch)
		}
	}
	var errs error
	for _, c := range batch {
		// Should the connection end first, over too many refusals: these come last then.
		if fault.CodeOf(c.refusal) == fault.Held {
			l.p.t.accuse(c)
		}
	}
	for i, c := range batch {
		if l.p.t.concernsFolder(c) {
			errs = errors.Join(errs, l.p.t.holdHere(context.WithoutCancel(l.p.hard), c))
			l.p.release(c)
			continue
		}
		if fault.CodeOf(c.refusal) != fault.Held {
			errs = errors.Join(errs, l.setback(c, len(batch) == 1))
			continue
		}
		if err := l.ladder(c); err != nil {
			return errors.Join(errs, err, l.giveUp(batch[i+1:]))
		}
	}
	return errs
}

// accuse makes a message a suspect, which is progress: a server that ends the session over so
// many refusals does so over others next time.
func (t *trip) accuse(c *parcel) {
	if suspect(c) {
		return
	}
	c.record.Attempts = suspectAttempts
	t.mu.Lock()
	defer t.mu.Unlock()
	t.accused++
}

// inParts delivers the first n of a batch, and then the others.
func (l *lane) inParts(batch []*parcel, n int) error {
	if err := l.deliver(batch[:n:n]); err != nil {
		return errors.Join(err, l.giveUp(batch[n:]))
	}
	return l.deliver(batch[n:])
}

// fill delivers as much of a batch as there is room for, where none is for all of it and
// nobody tells how much there is. The smallest goes first: where even that is refused, no
// more is sent in vain.
func (l *lane) fill(batch []*parcel) error {
	least := 0
	for i, c := range batch {
		if c.msg.Size < batch[least].msg.Size {
			least = i
		}
	}
	rest := slices.Delete(slices.Clone(batch), least, least+1)
	if err := l.deliver(batch[least : least+1 : least+1]); err != nil {
		return errors.Join(err, l.giveUp(rest))
	}
	if len(rest) == 1 {
		return l.deliver(rest)
	}
	return l.inParts(rest, len(rest)/2)
}

// concernsFolder reports whether a refusal may be about the message's folder, of several,
// and nothing else of the account.
func (t *trip) concernsFolder(c *parcel) bool {
	var e *fault.Error
	return len(t.account.Routes) > 0 && errors.As(c.refusal, &e) &&
		(isGone(e) || isForbidden(e) || e.Response == "READ-ONLY") // RFC 5530 §3, RFC 3501 §7.1
}

// isForbidden reports a refusal for want of a right (RFC 5530 §3). Content filters give it,
// too, and mean one message.
func isForbidden(refusal error) bool {
	var e *fault.Error
	return errors.As(refusal, &e) && e.Response == "NOPERM"
}

// giveUp leaves refused messages to the next round or run.
func (l *lane) giveUp(batch []*parcel) error {
	defer l.p.releaseAll(batch)
	return l.p.t.unsent(context.WithoutCancel(l.p.hard), batch)
}

// setback gives up on a message for now: what the server said is about the
// account or the moment. But a server may say so of one message only, or seem to
// when it repeats what is in it: one that was refused alone, again and again,
// while others were accepted, is held, so that it does not end every run (I7). Not
// so for want of room, which a smaller one may still find: there will be more.
func (l *lane) setback(c *parcel, alone bool) error {
	t, ctx := l.p.t, context.WithoutCancel(l.p.hard)
	defer l.p.release(c)
	if fault.AfterOf(c.refusal) > 0 { // no message is to blame for a pause
		t.wantsPause()
		return errors.Join(c.refusal, t.unsent(ctx, []*parcel{c}))
	}
	if isGone(c.refusal) && t.mayMakeAnew() {
		again := fault.New(fault.Temporary, "%w", c.refusal).WithHint("%s", fault.HintOf(c.refusal))
		return errors.Join(again, t.unsent(ctx, []*parcel{c}))
	}
	if alone && c.record.Attempts >= maxAttempts && t.anyDelivered() && !overQuota(c.refusal) {
		if len(t.account.Routes) > 0 && isTrouble(c.refusal) {
			return t.holdHere(ctx, c)
		}
		t.resolved(c.session)
		return t.hold(ctx, c.listed, c.record, refusalReason(c))
	}
	c.record.Attempts++
	return errors.Join(c.refusal, t.unsent(ctx, []*parcel{c}))
}

func (t *trip) wantsPause() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paused = true
}

// overQuota reports a refusal for want of room (RFC 5530 §3).
func overQuota(refusal error) bool {
	var e *fault.Error
	return errors.As(refusal, &e) && e.Response == "OVERQUOTA"
}

func (t *trip) anyDelivered() bool { return t.delivered() > 0 }

func (t *trip) delivered() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.report.Delivered
}

// ladder is the way of a message that was refused alone.
func (l *lane) ladder(c *parcel) error {
	switch {
	case !c.bare && !c.repeated && !explained(c.refusal): // it may have been about the moment
		c.repeated = true
		return l.deliver([]*parcel{c})
	case !c.bare:
		c.bare = true
		return l.deliver([]*parcel{c})
	}
	t, ctx := l.p.t, context.WithoutCancel(l.p.hard)
	if done, err := l.wrapped(ctx, c); done {
		return err
	}
	defer l.p.release(c)
	t.resolved(c.session)
	if err := t.hold(ctx, c.listed, c.record, refusalReason(c)); err != nil {
		return err
	}
	return t.tolerate(c.refusal)
}

// sayBared tells of messages whose date and flags the destination did not take.
func (t *trip) sayBared() {
	t.mu.Lock()
	n := t.bared
	t.mu.Unlock()
	if n > 0 {
		t.note("%s delivered without INTERNALDATE and flags: the destination refused to take them with these", count(n, "message"))
	}
}

// maxUnexplained is how many messages in a row a destination may refuse without
// saying why.
const maxUnexplained = 10

// tolerate ends the trip when message after message was refused for no reason and
// none was accepted: then it is hardly the messages. Holding them all would take a
// person's word to try them again.
func (t *trip) tolerate(refusal error) error {
	if explained(refusal) {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unexplained++
	if t.unexplained < maxUnexplained || t.report.Delivered > 0 {
		return nil
	}
	return fault.New(fault.Refused, "%d messages in a row refused, and none taken; the last time: %w",
		t.unexplained, refusal).
		WithHint("ask the destination's operator; then run with --held to try these again")
}

// explained reports a refusal that says what is wrong with the message: with a
// response code, or in Cyrus's words.
func explained(refusal error) bool {
	var e *fault.Error
	return errors.As(refusal, &e) &&
		(e.Response != "" || strings.Contains(e.Message, "Message contains"))
}
