package ferry

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/plan"
)

// lane is one connection that carries batches, each for one folder. With LITERAL+ (RFC 7888) several
// batches are under way on it at once: the next is written while the server is
// still busy with the last.
type lane struct {
	p     *pipeline
	link  *link
	depth int
}

// shipment is a batch that was written and not yet answered.
type shipment struct {
	batch   []*parcel
	pending *imapdst.Pending
	done    func() // with the connection
}

// lanesDepth is how many batches are under way on one connection.
const lanesDepth = 3

// messagesPerLane is how many messages make another login worth while.
const messagesPerLane = 10

// startLanes opens as many connections as help. One is enough where literals
// need no permission; elsewhere each message costs a round trip, which more
// connections share, within limits.per_host.
func (p *pipeline) startLanes(messages int) {
	conn := p.t.dest.get()
	first := &lane{p: p, link: p.t.dest, depth: lanesDepth}
	if !conn.Capabilities().LiteralPlus {
		first.depth = 1
		p.startMore(min(p.t.account.Destination.Connections-1, messages/messagesPerLane))
	}
	p.run(first.run)
}

// startMore opens extra connections in the background. They are a bonus: many
// servers allow only a few, so that one which can't be opened is no error.
func (p *pipeline) startMore(n int) {
	for range n {
		if !p.t.engine.hosts.take(p.t.account.Destination.Address()) {
			return
		}
		extra := p.t.newLink(true)
		extra.bonus = true
		p.run(func() error {
			defer extra.close()
			if err := extra.open(p.soft, false); err != nil {
				return nil
			}
			return (&lane{p: p, link: extra, depth: 1}).run()
		})
	}
}

// run appends batches until there are no more or the connection ends. It
// concludes what it has sent even then: knowing an outcome spares the search for
// it.
func (l *lane) run() error {
	under := make(chan shipment, l.depth-1)
	var g errgroup.Group
	g.Go(func() error {
		defer close(under)
		return fault.Guard(func() error { return l.write(under) })
	})
	g.Go(func() error { return l.conclude(under) })
	return g.Wait()
}

// write puts batches on the wire.
func (l *lane) write(under chan<- shipment) error {
	for {
		select {
		case batch, ok := <-l.p.batches:
			if !ok {
				return nil
			}
			s, err := l.append(batch)
			if s.pending == nil {
				return errors.Join(err, l.giveUp(batch))
			}
			under <- s
			if err != nil {
				return err
			}
		case <-l.p.soft.Done():
			return l.p.soft.Err()
		}
	}
}

// append writes a batch; nothing was written if nothing is pending.
func (l *lane) append(batch []*parcel) (shipment, error) {
	conn, done, err := l.use()
	if err != nil {
		return shipment{}, err
	}
	pending, err := conn.Append(l.p.hard, batch[0].to.toAppend(), l.items(batch))
	return shipment{batch, pending, done}, err
}

// use returns a connection that lives. It may have ended while a message took long to
// come, and one that takes longer than the server waits would find it so in every run (I7).
func (l *lane) use() (conn *imapdst.Conn, done func(), err error) {
	link, conn, done, err := l.take()
	if err != nil || conn.Alive(l.p.hard) == nil {
		return conn, done, err
	}
	done()
	if err := link.renew(l.p.soft, conn); err != nil {
		return nil, nil, err
	}
	_, conn, done, err = l.take()
	return conn, done, err
}

// take returns the connection, and whose it is: one more that gave its place away is
// done without.
func (l *lane) take() (link *link, conn *imapdst.Conn, done func(), err error) {
	conn, done, err = l.link.use(l.p.soft)
	if !errors.Is(err, errBonus) {
		return l.link, conn, done, err
	}
	conn, done, err = l.p.t.dest.use(l.p.soft)
	return l.p.t.dest, conn, done, err
}

func (l *lane) items(batch []*parcel) []imapdst.Item {
	now := l.p.t.now()
	items := make([]imapdst.Item, len(batch))
	for i, c := range batch {
		items[i] = imapdst.Item{Size: c.msg.Size, Body: c.msg}
		if !c.bare {
			items[i].Date = c.msg.Date
			items[i].Flags = l.p.t.account.FlagsFor(c.msg.Date, now)
		}
	}
	return items
}

// conclude waits for the answers and records them. It goes on whatever happens with
// one, since write waits for it.
func (l *lane) conclude(under <-chan shipment) error {
	var first error
	for s := range under {
		err := fault.Guard(func() error {
			defer s.done()
			return l.record(s.batch, s.pending.Wait(l.p.hard))
		})
		if err != nil && first == nil {
			first = err
			l.p.fail(err) // what is not begun yet stays unsent
		}
	}
	return first
}

// record sorts the outcomes of a batch: delivered ones are committed together,
// the others each go their way.
func (l *lane) record(batch []*parcel, outcomes []imapdst.Outcome) error {
	var by [4][]*parcel
	var behind []*parcel // not sent because the server refused one before them
	together := false
	var lost error
	for i, o := range outcomes {
		c := batch[i]
		if o.State == imapdst.NotSent && fault.CodeOf(o.Err) == fault.Held {
			behind = append(behind, c)
			continue
		}
		by[o.State] = append(by[o.State], c)
		switch o.State {
		case imapdst.Delivered:
			if o.UID != 0 { // else the UIDNEXT of the intent bounds the search for it
				c.record.UIDValidity, c.record.UID = o.UIDValidity, o.UID
			}
		case imapdst.Refused:
			c.refusal, together = o.Err, o.Batch
			l.p.t.noteRefusal(o.Err)
		default:
			lost = o.Err
		}
	}
	t, ctx := l.p.t, context.WithoutCancel(l.p.hard)
	err := errors.Join(t.commit(ctx, by[imapdst.Delivered]),
		t.doubt(ctx, by[imapdst.Unknown]), t.unsent(ctx, by[imapdst.NotSent]))
	l.p.releaseAll(by[imapdst.Delivered])
	l.p.releaseAll(by[imapdst.Unknown])
	l.p.releaseAll(by[imapdst.NotSent])
	err = errors.Join(err, l.refused(by[imapdst.Refused], together), lost)
	if len(behind) == 0 {
		return err
	}
	if err != nil {
		defer l.p.releaseAll(behind)
		return errors.Join(err, t.unsent(ctx, behind))
	}
	return l.deliver(behind)
}

// refused finds the culprit of a refused batch by halves, and tries a single
// message once more without flags and date before it is held: some servers
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
			c.record.Attempts = max(c.record.Attempts, suspectAttempts)
		}
	}
	for i, c := range batch {
		if l.p.t.concernsFolder(c) {
			errs = errors.Join(errs, l.p.t.holdHere(context.WithoutCancel(l.p.hard), l.p, c))
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
	if !c.bare {
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
	return fault.New(fault.Refused, "%d messages in a row refused without a reason; the last time: %w",
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

func (l *lane) deliver(batch []*parcel) error {
	if batch[0].to.closed() != nil {
		return l.p.t.holdAll(context.WithoutCancel(l.p.hard), l.p, batch)
	}
	s, err := l.append(batch)
	if s.pending == nil {
		return errors.Join(err, l.giveUp(batch))
	}
	defer s.done()
	return l.record(batch, s.pending.Wait(l.p.hard)) // the outcomes tell err
}

// commit records a batch as delivered, durably, and counts it.
func (t *trip) commit(ctx context.Context, done []*parcel) error {
	if len(done) == 0 {
		return nil
	}
	now := t.now()
	records := make([]journal.Record, len(done))
	var octets int64
	for i, c := range done {
		c.record.State, c.record.DeliveredAt, c.record.Changed = journal.Delivered, now, now
		c.record.Reason, c.record.Attempts = "", 0
		if c.record.Origin == "" {
			c.record.Origin = originAppended
		}
		c.record.Origin = c.mark(c.record.Origin)
		records[i] = c.record
		octets += c.msg.Size
	}
	if err := t.noteUnlocated(ctx, records); err != nil {
		return err
	}
	if err := t.ledger.Put(ctx, records); err != nil {
		return err
	}
	t.countSizes(done)
	t.countDelivered(done, octets)
	t.emit(Event{Kind: Delivered, Messages: len(done), Bytes: octets})
	return nil
}

// noteUnlocated says of records without a UID that they have to be located, before
// they are there: later is too late for whoever dies in between.
func (t *trip) noteUnlocated(ctx context.Context, records []journal.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range records {
		if r.UID != 0 || t.unlocatedNoted[r.Folder] {
			continue
		}
		t.unlocatedNoted[r.Folder] = true
		if err := t.engine.unlocated(ctx, t.ledger, r.Folder, true); err != nil {
			return err
		}
	}
	return nil
}

func (t *trip) countDelivered(done []*parcel, octets int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unexplained = 0
	for _, c := range done {
		c.session.resolved++
		t.report.Delivered++
		t.own[c.record.Key] = true
		t.gotLocked(c.record.Folder, c.msg.Size)
		c.to.delivered()
		if c.record.UID != 0 {
			c.to.gained(c.record.UID)
		}
	}
	t.report.Bytes += octets
	t.room = t.room.Less(plan.Count{Messages: len(done), Bytes: octets})
}

// gotLocked counts a message by its folder.
func (t *trip) gotLocked(mailbox string, octets int64) {
	g := t.got[mailbox]
	t.got[mailbox] = FolderReport{mailbox, g.Delivered + 1, g.Bytes + octets}
}

// noteRefusal notes that a message was refused: some servers end a session in which
// that happens too often (Exchange: ten times).
func (t *trip) noteRefusal(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refusing = t.refusing || fault.CodeOf(err) == fault.Held
}

// doubt records that the outcome of appends is unknown and since when, so that
// the next round looks for them. Where refusals may be why, they are not blamed.
func (t *trip) doubt(ctx context.Context, batch []*parcel) error {
	t.mu.Lock()
	refusing := t.refusing
	t.mu.Unlock()
	return t.restate(ctx, batch, func(r *journal.Record) {
		r.Ended = t.now()
		if !refusing {
			r.Attempts++
		}
		t.doubted(r.Key, doubt{time.Now(), true})
	})
}

// unsent records that nothing of a batch can have arrived.
func (t *trip) unsent(ctx context.Context, batch []*parcel) error {
	return t.restate(ctx, batch, func(r *journal.Record) { r.State = journal.Listed })
}

func (t *trip) restate(ctx context.Context, batch []*parcel, change func(*journal.Record)) error {
	if len(batch) == 0 {
		return nil
	}
	records := make([]journal.Record, len(batch))
	for i, c := range batch {
		change(&c.record)
		c.record.Changed = time.Now()
		records[i] = c.record
	}
	return t.ledger.Put(ctx, records)
}
