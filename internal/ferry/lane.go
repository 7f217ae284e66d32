package ferry

import (
	"context"
	"errors"
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
	ended bool // the connection, with a batch under way
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
// connections share, within limits.per_host and those of the user.
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
		places := p.t.engine.destinationPlaces(p.t.account)
		if !p.t.engine.hosts.Take(places...) {
			return
		}
		extra := p.t.newLink(places, true)
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
			if l.p.leavesOut(batch) { // the next pass asks for it again
				if err := l.leaveOut(batch); err != nil {
					return err
				}
				continue
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

// leaveOut sends nothing of a batch.
func (l *lane) leaveOut(batch []*parcel) error {
	defer l.p.releaseAll(batch)
	return l.p.t.unsent(context.WithoutCancel(l.p.hard), batch)
}

// append writes a batch; nothing was written if nothing is pending.
func (l *lane) append(batch []*parcel) (shipment, error) {
	l.p.t.mayCede()
	conn, done, err := l.use()
	if err != nil {
		return shipment{}, err
	}
	for _, c := range batch {
		c.first = len(batch) == 1 && !conn.Appended()
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
	var cut []*parcel
	for i, o := range outcomes {
		c := batch[i]
		if o.State == imapdst.NotSent && fault.CodeOf(o.Err) == fault.Held {
			behind = append(behind, c)
			continue
		}
		by[o.State] = append(by[o.State], c)
		switch o.State {
		case imapdst.Delivered:
			c.bare = c.bare || o.Plain
			if o.UID != 0 { // else the UIDNEXT of the intent bounds the search for it
				c.record.UIDValidity, c.record.UID = o.UIDValidity, o.UID
			}
		case imapdst.Refused:
			c.refusal, together, c.bare = o.Err, o.Batch, c.bare || o.Plain
			l.p.t.noteRefusal(o.Err)
		default:
			if o.Cut && len(by[imapdst.Unknown]) == 0 {
				cut = append(cut, c)
			}
			lost = o.Err
		}
	}
	t, ctx := l.p.t, context.WithoutCancel(l.p.hard)
	if len(cut) > 0 && l.blame(cut, lost) && len(batch) == 1 && mayBeCause(cut[0].record, cut[0].first) && t.hopeless(cut[0].record) {
		by[imapdst.NotSent] = nil
		lost = errors.Join(lost, l.holdCut(ctx, cut[0], lost))
	}
	err := errors.Join(t.commit(ctx, by[imapdst.Delivered]),
		t.doubt(ctx, by[imapdst.Unknown], l.ended || l.p.hard.Err() != nil), t.unsent(ctx, by[imapdst.NotSent]))
	l.ended = l.ended || lost != nil
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
	t.unexplained, t.silenced = 0, 0
	for _, c := range done {
		if c.bare {
			t.bared++
		}
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
// the next round looks for them. They are not blamed where there is another cause, such as
// refusals, a batch that went before them, or that we ended the connection.
func (t *trip) doubt(ctx context.Context, batch []*parcel, otherCause bool) error {
	t.mu.Lock()
	innocent := t.refusing || otherCause
	t.mu.Unlock()
	first := map[string]bool{}
	for _, c := range batch {
		first[c.record.Key] = c.first && !innocent
	}
	return t.restate(ctx, batch, func(r *journal.Record) {
		r.Ended = t.now()
		if !innocent {
			r.Attempts++
		}
		t.doubted(r.Key, doubt{time.Now(), true, first[r.Key]})
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
