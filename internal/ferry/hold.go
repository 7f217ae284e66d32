package ferry

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/plan"
)

// Reasons that later runs look at: mail held for them is tried again when the
// obstacle may be gone.
const (
	reasonSource   = "the POP3 server does not give it"
	reasonTooLarge = "larger than the destination accepts"
	reasonSilent   = "the destination never answered when it was sent"
)

// holding is what a trip did with the messages that it holds. It is guarded by trip.mu.
type holding struct {
	held     map[string]bool // reported as held in this run, by listing key
	rows     map[string]int  // where the report has messages, by listing key
	exported map[string]bool // their export was tried
}

func newHolding() holding {
	return holding{held: map[string]bool{}, rows: map[string]int{}, exported: map[string]bool{}}
}

// hold records that a message can't be delivered. It stays on POP3, and the
// others go on (I7).
func (t *trip) hold(ctx context.Context, l plan.Listed, r journal.Record, reason string) error {
	r.State, r.Reason, r.Changed = journal.Held, reason, time.Now()
	r.UIDL, r.Listed = l.UIDL, l.Size
	if r.Key == "" {
		if err := t.name(ctx, l, &r, r.Sum); err != nil {
			return err
		}
	}
	if trusted(l) {
		if err := t.vacate(ctx, l); err != nil {
			return err
		}
	}
	if err := t.ledger.Put(ctx, []journal.Record{r}); err != nil {
		return err
	}
	t.countHeld(l, reason)
	return nil
}

// countHeld reports a held message, once in a run.
func (t *trip) countHeld(l plan.Listed, reason string) {
	t.mu.Lock()
	if t.held[l.Key] {
		t.mu.Unlock()
		return
	}
	t.held[l.Key] = true
	t.report.Held++
	t.showLocked(l.Key, MessageReport{
		Number: l.Number, UIDL: fault.Escape(l.UIDL), Size: l.Size,
		State: string(journal.Held), Reason: reason,
	})
	t.mu.Unlock()
	t.emit(Event{Kind: Held, Messages: 1, Bytes: l.Size, Text: reason})
}

// showLocked puts a message into the report, in the place of what an earlier round said of it.
func (t *trip) showLocked(key string, row MessageReport) {
	at, shown := t.rows[key]
	if !shown {
		at = len(t.report.Messages)
		t.rows[key], t.report.Messages = at, append(t.report.Messages, row)
	}
	t.report.Messages[at] = row
}

// heldFor corrects why a message is held.
func (t *trip) heldFor(key, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.Messages[t.rows[key]].Reason = reason
}

func (t *trip) isHeld(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.held[key]
}

// holdUnread holds a message that the source refuses to give, or that is larger
// than anything popferry carries. Without a lasting name there is nothing to
// remember it by; it is reported all the same.
func (t *trip) holdUnread(ctx context.Context, l plan.Listed, cause error) error {
	reason := fmt.Sprintf("%s: %v", reasonSource, cause)
	t.notRead(l)
	if !trusted(l) {
		t.countHeld(l, reason)
		return nil
	}
	r := t.knownAs(l.Key)
	if delivered(r) {
		// The record may be about this very message, which only its content could
		// tell: it goes on saying so.
		t.countHeld(l, reason)
		return nil
	}
	r.Key = l.Key
	r.Attempts++
	return t.hold(ctx, l, r, reason)
}

func (t *trip) notRead(l plan.Listed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unread[l.Size] = true
}

// recordHolds takes over what the plan holds back.
func (t *trip) recordHolds(ctx context.Context, p plan.Plan) error {
	for _, a := range p.Actions {
		if a.Verb != plan.Hold {
			continue
		}
		known, ok := t.known[a.Key]
		if ok && known.State == journal.Held && known.Sum.Content.IsZero() {
			t.notRead(a.Listed)
		}
		if ok && (known.State == journal.Held || delivered(known)) || !trusted(a.Listed) {
			t.countHeld(a.Listed, cmp.Or(known.Reason, a.Why))
			continue
		}
		known.Key = a.Key
		if err := t.hold(ctx, a.Listed, known, a.Why); err != nil {
			return err
		}
	}
	return nil
}

// holdUnfit takes out of a batch what no server would accept, and what may be there already.
func (t *trip) holdUnfit(ctx context.Context, p *pipeline, batch []*parcel) ([]*parcel, error) {
	rest := batch[:0:0]
	for i, c := range batch {
		reason := cmp.Or(t.match.doubtOf(c.listed.Key), unsendable(c.msg.Size, c.to.now().AppendLimit))
		if reason == "" {
			rest = append(rest, c)
			continue
		}
		c.record.Sum = c.msg.Summary
		err := t.hold(ctx, c.listed, c.record, reason)
		t.resolved(c.session)
		p.release(c)
		if err != nil {
			return append(rest, batch[i+1:]...), err
		}
	}
	return rest, nil
}

// unsendable says why a message of a size can't be appended, or "".
func unsendable(size, limit int64) string {
	switch {
	case size == 0:
		return "it is empty (0 bytes), and no IMAP server stores that"
	case limit > 0 && size > limit:
		return fmt.Sprintf("%s (%d bytes of at most %d)", reasonTooLarge, size, limit)
	}
	return ""
}

// refusalReason is what the destination said, for people, and what may help. Of a
// message that was refused wrapped as well, nothing does.
func refusalReason(c *parcel) string {
	reason := "the destination refuses it: "
	if c.original != nil {
		return reason + c.refusal.Error()
	}
	return reason + hinted(c.refusal)
}

// hinted is a refusal and what may help. Servers end what they say with a stop, or not.
func hinted(refusal error) string {
	return strings.TrimSuffix(refusal.Error(), ".") + "; " + fault.HintOf(refusal)
}
