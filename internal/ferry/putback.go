package ferry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// What was deleted from POP3 to see whether its copy stays, and whose copy went, is put back.
// Until that is done the journal has the only octets of it. Nothing but a copy that is there
// ends this: no refusal, and no other name, folder or destination of the account. Each run
// begins with it, no other message is deleted like that meanwhile, and none that leaves it
// undone ends well.

// keepOctets is what to do while the journal has the only copy of a message.
const keepOctets = "the journal has the only copy: keep the state directory; each run tries again, and run --export-held DIR " +
	"keeps the message as a file, too: once you put that into the folder by other means, the next run sees it there"

func keepCanary(ctx context.Context, c canary) error {
	fact, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return c.ledger.SetFact(ctx, factCanary, string(fact))
}

// dropCanary forgets it: a copy of the message is there.
func dropCanary(ctx context.Context, c canary) error { return c.ledger.SetFact(ctx, factCanary, "") }

// resumeCanaries puts back what an earlier run deleted first, if its copy is gone, before anything
// else can fail, and before mail on POP3 is compared with what is put back. Where that is
// refused, all else goes on, but no deletion.
func (t *trip) resumeCanaries(ctx context.Context) error {
	pending, err := t.canaries(ctx)
	if err != nil || len(pending) == 0 {
		return err
	}
	t.match = newMatcher(t)
	for _, c := range pending {
		if c.scope == scopeOf(t.account) {
			t.pending = c.Key
		}
		// That it was put back is said when more is to be deleted.
		_, _, err := t.judge(ctx, &c, false)
		if isRefusal(err) {
			t.unreturned = cmp.Or(t.unreturned, err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// rescue is resumeCanaries where the account could not be opened: to put something back takes
// no maildrop, and to keep it as a file not even the destination.
func (t *trip) rescue(ctx context.Context) error {
	if t.ledger == nil {
		return nil
	}
	pending, err := t.canaries(ctx)
	if err != nil || len(pending) == 0 {
		return err
	}
	if t.dest.get() == nil {
		return t.tellAll(ctx, pending)
	}
	if err := t.admitHome(ctx); err != nil {
		return err
	}
	return t.resumeCanaries(ctx)
}

// tellAll says where messages are that went first, since their copies may have gone, too.
func (t *trip) tellAll(ctx context.Context, pending []canary) error {
	for _, c := range pending {
		asked, err := t.wasAsked(ctx, &c)
		if err != nil {
			return err
		}
		if asked {
			t.tellUnreturned(c, nil)
		}
	}
	return nil
}

// settleCanaries finds out for good what became of the messages that went first.
func (t *trip) settleCanaries(ctx context.Context) error {
	pending, err := t.canaries(ctx)
	for _, c := range pending {
		if _, _, err := t.settleCanary(ctx, c); err != nil {
			return err
		}
	}
	return err
}

// settleCanary finds out what became of the message that went first, and puts it back if its
// copy went with it. Sure says that the copy is still there, in a folder with no fewer
// messages than before. Where POP3 can't be asked yet, the next run finds out the rest.
func (t *trip) settleCanary(ctx context.Context, c canary) (gone, sure bool, err error) {
	ok, err := t.deletionSession(ctx)
	if err != nil {
		return true, false, err
	}
	if gone, err = t.isGone(ctx, c); err != nil {
		return gone, false, err
	}
	back, sure, err := t.judge(ctx, &c, ok && gone)
	switch {
	case err != nil:
		return gone, false, err
	case back:
		return gone, false, oneMailbox(c.Folder)
	case !ok:
		return true, false, nil
	}
	return gone, sure, dropCanary(ctx, c)
}

// judge looks for the copy of a message that may be gone from POP3, and puts the message
// back where there is none.
func (t *trip) judge(ctx context.Context, c *canary, gone bool) (back, sure bool, err error) {
	if asked, err := t.wasAsked(ctx, c); err != nil || !asked {
		return false, false, err
	}
	sure, err = t.survives(ctx, c, gone)
	if err == nil && c.Missing {
		err = t.putBack(ctx, c)
		back = err == nil
	}
	if err != nil {
		t.tellUnreturned(*c, err)
	}
	return back, sure, err
}

// wasAsked reports whether the deletion of a message was asked for, and remembers it: what
// its record says is about another message once the UIDL is given anew.
func (t *trip) wasAsked(ctx context.Context, c *canary) (bool, error) {
	if c.Asked {
		return true, nil
	}
	_, r, err := t.recordOf(ctx, *c)
	if err != nil || r.Key != "" && r.State != journal.DeleteSent && r.State != journal.Gone {
		return false, err
	}
	c.Asked = true
	return true, keepCanary(ctx, *c)
}

// recordOf finds the record of a message, which may have been taken over from another scope,
// and the ledger that has it. One without a key is none.
func (t *trip) recordOf(ctx context.Context, c canary) (journal.Ledger, journal.Record, error) {
	records, err := c.ledger.Get(ctx, []string{c.Key})
	r := records[c.Key]
	if err != nil || r.Key != "" && !isLeft(r) {
		return c.ledger, r, err
	}
	names := []string{c.Key, asidePrefix + c.Key, markOf(c.scope) + c.Key}
	if records, err = t.ledger.Get(ctx, names); err != nil {
		return c.ledger, journal.Record{}, err
	}
	for _, name := range names {
		if r := records[name]; r.Sum.Content == c.sum.Content {
			return t.ledger, r, nil
		}
	}
	return c.ledger, journal.Record{}, nil
}

// survives looks whether the copy is still there. That it is not is remembered before
// anything is appended.
func (t *trip) survives(ctx context.Context, c *canary, gone bool) (sure bool, err error) {
	if c.Missing {
		return false, nil
	}
	in, err := t.placeOf(ctx, *c)
	if err != nil {
		return false, err
	}
	there, err := t.isThere(ctx, in, *c)
	switch {
	case err != nil:
		return false, err
	case there && gone && in.now().Messages >= c.Messages:
		return true, t.ledger.SetFact(ctx, factApart+c.Folder, validity(in))
	case there:
		return false, nil // not gone; or mail goes from there: this one, or that of somebody else
	}
	c.Missing = true
	if box := in.toAppend(); t.wasIn(in, *c) {
		c.From = spotFrom{box.Mailbox, box.UIDValidity, box.UIDNext}
	}
	return false, keepCanary(ctx, *c)
}

// wasIn reports whether a folder is the one in which the copy was.
func (t *trip) wasIn(in *folder, c canary) bool {
	return sameDestination(c.scope, scopeOf(t.account)) && in.now().Mailbox == c.Folder
}

// placeOf is the folder in which the copy was, as it is now, or the account's own where that
// is no more, or where the account goes to another destination by now.
func (t *trip) placeOf(ctx context.Context, c canary) (in *folder, err error) {
	in = t.home
	if sameDestination(c.scope, scopeOf(t.account)) {
		if in, err = t.folderOf(ctx, journal.Record{Folder: c.Folder}); err != nil {
			return nil, err
		}
	}
	err = t.dest.refresh(ctx, in)
	if in != t.home && (isGone(err) || err == nil && !in.now().Exists) {
		in = t.home
		err = t.dest.refresh(ctx, in)
	}
	if err == nil || in != t.home || !isRefusal(err) {
		return in, err
	}
	return in, t.provide(ctx, in)
}

// putBack appends the message again, unless it is there by now: an attempt of which the answer
// was lost, or a person did it. That copies go with their originals is remembered.
func (t *trip) putBack(ctx context.Context, c *canary) error {
	if err := t.unclaim(ctx, *c); err != nil {
		return err
	}
	if err := t.awaitLate(ctx, c); err != nil {
		return err
	}
	in, err := t.placeOf(ctx, *c) // only now: what may arrive has arrived
	if err != nil {
		return err
	}
	found, err := t.isBack(ctx, in, *c)
	if err == nil && !found {
		err = t.appendAgain(ctx, in, c)
	}
	if err != nil {
		return err
	}
	if t.wasIn(in, *c) {
		if err := t.ledger.SetFact(ctx, factOneMailbox, in.now().Name); err != nil {
			return err
		}
	}
	if err := dropCanary(ctx, *c); err != nil {
		return err
	}
	t.note("a message that was deleted from POP3, and whose copy in %s went with it, is in %s again",
		fault.Escape(c.Folder), fault.Escape(in.now().Name))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.Deleted = max(t.report.Deleted-1, 0)
	return nil
}

// isBack looks for the message among what came since it was missing.
func (t *trip) isBack(ctx context.Context, in *folder, c canary) (bool, error) {
	if err := t.match.prepare(ctx); err != nil {
		return false, err
	}
	from := uint32(0)
	if box := in.now(); c.From.Mailbox == box.Mailbox && c.From.UIDValidity == box.UIDValidity {
		from = c.From.NextUID
	}
	found, err := t.match.inDestination(ctx, map[string]message.Summary{c.Key: c.sum}, []*folder{in}, from)
	return len(found) > 0, err
}

// awaitLate waits until an earlier attempt can't arrive any more (I4).
func (t *trip) awaitLate(ctx context.Context, c *canary) error {
	if c.Sent.IsZero() {
		return nil
	}
	now := t.now()
	if c.Sent.After(now) { // the clock was set back since
		c.Sent = now
		if err := keepCanary(ctx, *c); err != nil {
			return err
		}
	}
	wait := t.engine.Config.Settle - now.Sub(c.Sent)
	switch {
	case wait <= 0:
		return nil
	case t.engine.NoWait:
		return fault.New(fault.Temporary, "a message that was deleted from POP3 is to be put back: the answer to it was lost, "+
			"and it may still arrive").WithHint("run again in %s", fault.Span(wait))
	}
	t.emit(Event{Kind: Waiting, Messages: 1, Until: time.Now().Add(wait), Text: "1 message to show up that was put back"})
	return t.slot.Sleep(ctx, wait+time.Millisecond)
}

// appendAgain appends the message as it would have been delivered, and then without flags and
// date, to which some servers object, or which end the connection. The server's limit keeps
// nobody from asking: there is no other copy.
func (t *trip) appendAgain(ctx context.Context, in *folder, c *canary) error {
	if err := t.provide(ctx, in); err != nil {
		return err
	}
	mail, err := t.engine.spool().Receive(bytes.NewReader(c.Mail))
	if err != nil {
		return err
	}
	defer mail.Close()
	full := imapdst.Item{Size: mail.Size, Body: mail, Date: mail.Date, Flags: t.account.FlagsFor(mail.Date, t.now())}
	forms := []imapdst.Item{full, {Size: mail.Size, Body: mail}}
	if c.Tries%2 == 1 {
		slices.Reverse(forms)
	}
	c.Sent, c.Tries = t.now(), c.Tries+1
	if err := keepCanary(ctx, *c); err != nil {
		return err
	}
	var o imapdst.Outcome
	for _, form := range forms {
		if o = t.appendOnce(ctx, in, form); o.State != imapdst.Refused || fault.CodeOf(o.Err) != fault.Held {
			break
		}
	}
	return t.concludeAppend(ctx, in, c, o)
}

// concludeAppend remembers that a refused attempt can't arrive any more.
func (t *trip) concludeAppend(ctx context.Context, in *folder, c *canary, o imapdst.Outcome) error {
	switch o.State {
	case imapdst.Delivered:
		return nil
	case imapdst.Refused, imapdst.NotSent:
		c.Sent = time.Time{}
		if err := keepCanary(context.WithoutCancel(ctx), *c); err != nil {
			return err
		}
	}
	code := fault.CodeOf(o.Err)
	if code == fault.Held { // which it is not: POP3 has it no more
		code = fault.Refused
	}
	return fault.New(code, "a message was deleted from POP3, its copy in %s is gone as well, and it can't be put back: %w",
		fault.Escape(in.now().Name), o.Err).WithHint(keepOctets)
}

func (t *trip) appendOnce(ctx context.Context, in *folder, item imapdst.Item) (o imapdst.Outcome) {
	_, err := t.dest.ask(ctx, in, func(conn *imapdst.Conn, box imapdst.Folder) error {
		box.AppendLimit = math.MaxInt64
		pending, _ := conn.Append(ctx, box, []imapdst.Item{item}) // the outcome tells the error
		o = pending.Wait(ctx)[0]
		return nil
	})
	o.Err = cmp.Or(o.Err, err)
	return o
}

// tellUnreturned says of a message that is not put back where it is, and keeps it where a
// person can take it from.
func (t *trip) tellUnreturned(c canary, err error) {
	if fault.HintOf(err) != keepOctets {
		t.noteOnce("a message that was deleted from POP3 is not put back yet; " + keepOctets)
	}
	if t.engine.KeepHeld == nil || t.unkept != nil {
		return
	}
	mail, err := t.engine.spool().Receive(bytes.NewReader(c.Mail))
	if err != nil {
		t.unkept = err
		return
	}
	defer mail.Close()
	file, err := t.engine.KeepHeld(t.account.Name, mail)
	if err != nil {
		t.unkept = err
		return
	}
	t.noteOnce("the message that is to be put back is in " + file)
}

// unclaim says that nothing is known of the message: its record is no claim on what is put
// back, and speaks for no other message.
func (t *trip) unclaim(ctx context.Context, c canary) error {
	ledger, r, err := t.recordOf(ctx, c)
	if err != nil || r.State != journal.DeleteSent && r.State != journal.Gone {
		return err
	}
	r.State, r.UID, r.Reason, r.Changed = journal.Listed, 0, "", t.now()
	return ledger.Put(ctx, []journal.Record{r})
}
