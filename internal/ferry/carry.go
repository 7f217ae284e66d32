package ferry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/limits"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// Bounds of the pipeline. A batch shares two fsyncs and one MULTIAPPEND; larger
// batches gain little and make a refusal dearer. The octets in flight are what
// bounds memory, together with spoolMemory for the one that is being received;
// Options.SpoolRoom bounds what is on disk.
const (
	batchMessages = 100
	leastBatch    = 4 // where the destination wants pauses
	batchOctets   = 8 << 20
	flightOctets  = 24 << 20
	spoolMemory   = 1 << 20
	// lull is how long an unfilled batch waits for more when nothing is under
	// way: a slow source shall not keep what it gave waiting.
	lull = 250 * time.Millisecond
)

// stumbles is what a trip knows of messages at which the servers fail. It is guarded by
// trip.mu.
type stumbles struct {
	ended    map[string]bool // a POP3 session ended while it was read, by listing key
	deadEnds int             // messages in a row that ended their sessions
	garbled  map[string]bool // spoil the POP3 session when asked for, by listing key
	badTops  int             // answers to TOP that did so because their end was none
	// unreadable ended a POP3 session when they were read before their deletion, by listing key.
	unreadable map[string]bool
	// doubtful were read then, and may be nowhere else.
	doubtful map[string]bool
	// unproven ended an IMAP session when their copies were read back, by record key.
	unproven map[string]bool
	unread   map[int64]bool // sizes of messages that the source does not give: nobody knows what they are
	// damaged are messages that the destination can't read, and allDamaged that these are too many,
	// in all or since it gave one.
	damaged      map[spot]bool
	damagedInRow int
	allDamaged   bool
}

func newStumbles() stumbles {
	return stumbles{ended: map[string]bool{}, garbled: map[string]bool{},
		unreadable: map[string]bool{}, doubtful: map[string]bool{}, unproven: map[string]bool{}, unread: map[int64]bool{},
		damaged: map[spot]bool{}}
}

// parcel is one message between the two servers.
type parcel struct {
	listed   plan.Listed
	to       *folder
	msg      *message.Message
	original *message.Message     // when msg is a wrapping of it
	forms    []message.Attachment // that it was not wrapped in yet
	load     load                 // taken of what is bounded
	received time.Time
	session  *session
	record   journal.Record // as it was recorded last
	bare     bool           // to be sent without flags and date
	repeated bool           // sent again as it was, after a refusal without a reason
	first    bool           // sent alone, and before all other mail of its connection
	refusal  error          // why the destination refused it last
}

// pipeline is what the workers of one carry share.
type pipeline struct {
	t       *trip
	budget  *semaphore.Weighted
	disk    *semaphore.Weighted // of what all have; see diskShare
	parcels chan *parcel
	batches chan []*parcel
	// soft ends when the run is cancelled or a part of the pipeline failed:
	// nothing new is begun. hard follows after the grace: even what is under way
	// ends.
	soft, hard context.Context
	stop       context.CancelFunc

	parts sync.WaitGroup
	first sync.Once
	err   error
	later error // why the fetcher stopped before all was fetched

	mu      sync.Mutex
	ceded   time.Time        // when the fetcher found that the pass gives way
	carried map[*parcel]bool // not released yet
	// released tells that one was since somebody looked.
	released chan struct{}
}

// carry brings the messages across: one goroutine fetches, one compares and
// records the intent, one per connection appends and records the outcome.
func (t *trip) carry(ctx context.Context, todo []plan.Listed) error {
	p, end := t.newPipeline(ctx)
	defer end()
	p.run(func() error { return p.fetch(todo) })
	p.run(p.pack)
	p.startLanes(len(todo))
	p.parts.Wait()
	switch {
	case ctx.Err() != nil:
		return ctx.Err() // what else failed, failed because of that
	case p.err != nil && errors.Is(p.later, errCeded):
		return p.err // the next round gives way
	}
	return errors.Join(p.err, p.later)
}

// newPipeline returns a pipeline without parts, and what to do when all its parts
// have ended: a panic may have left parcels behind.
func (t *trip) newPipeline(ctx context.Context) (p *pipeline, end func()) {
	soft, stop := context.WithCancel(ctx)
	hard, cancel := withGrace(soft, grace)
	p = &pipeline{
		t: t, soft: soft, hard: hard, stop: stop, budget: semaphore.NewWeighted(flightOctets),
		disk:    semaphore.NewWeighted(t.engine.diskShare()),
		parcels: make(chan *parcel, batchMessages), batches: make(chan []*parcel),
		carried: map[*parcel]bool{}, released: make(chan struct{}, 1),
	}
	return p, func() {
		stop()
		cancel()
		p.releaseAll(slices.Collect(maps.Keys(p.carried)))
	}
}

// run starts a part of the pipeline.
func (p *pipeline) run(part func() error) {
	p.parts.Go(func() {
		if err := fault.Guard(part); err != nil {
			p.fail(err)
		}
	})
}

// fail makes the failure of one part the end of all. The first error is the one
// that explains the others, which are about being stopped.
func (p *pipeline) fail(err error) {
	p.first.Do(func() { p.err = err })
	p.stop()
}

// withGrace returns a context that ends some time after ctx does.
func withGrace(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(d, cancel)
		context.AfterFunc(hard, func() { timer.Stop() })
	})
	return hard, cancel
}

// fetch retrieves the messages in order. It stops for as long as the octets in
// flight are at their bound.
func (p *pipeline) fetch(todo []plan.Listed) error {
	defer close(p.parcels)
	t := p.t
	entries := entriesOf(todo)
	spool := t.engine.spool()
	session := t.session
	done := 0
	if !t.nameless { // else it begins with what it brought before
		t.mayCede()
	}
	err := t.source.Retrieve(p.soft, entries, func(e pop.Entry, body io.Reader, refused error) error {
		listed := t.numbered(e.Number)
		switch {
		case p.drained():
			return errCeded
		case fault.CodeOf(refused) == fault.Temporary:
			return refused // a limit of the session, or a passing fault: later
		case refused != nil:
			done++
			return cmp.Or(t.holdUnread(p.hard, listed, refused), p.enough())
		}
		if err := t.mayFetch(p.hard, listed); err != nil {
			if errors.Is(err, limits.ErrLater) {
				p.later = err
			}
			return err
		}
		err := p.receive(spool, session, listed, body)
		if err != nil {
			return err
		}
		done++
		return p.enough()
	})
	if p.hasCeded() && done < len(todo) {
		p.later = errCeded
	}
	if p.later != nil && err != nil {
		t.hangUp() // no farewell is said there
	}
	if p.later != nil {
		return nil // what it gave is to arrive all the same
	}
	if errors.Is(err, pop.ErrOutOfStep) {
		err = t.lostCount(err)
	}
	if fault.CodeOf(err) == fault.Temporary && !errors.Is(err, errOutgrown) &&
		p.soft.Err() == nil && done < len(todo) && !t.seat.isEnded() {
		return p.endedAt(todo[done], len(todo) == 1, err)
	}
	return err
}

// maxDeadEnds is how many messages in a row may end their session before it is the
// link that can't carry any.
const maxDeadEnds = 3

// endedAt notes at which message the server ended the session. That message is
// asked for alone next time; if that ends the session too, it is held, so that it
// does not keep what is behind it from arriving (I7).
func (p *pipeline) endedAt(l plan.Listed, alone bool, err error) error {
	t := p.t
	t.mu.Lock()
	twice := t.ended[l.Key] && alone
	t.ended[l.Key] = true
	if twice {
		t.deadEnds++
	}
	t.mu.Unlock()
	if !twice {
		return err
	}
	return errors.Join(t.holdUnread(p.hard, l, fmt.Errorf("the session ends when it is asked for: %w", err)), err)
}

// deadEnd counts a message that ended its session, and reports whether it is the server's
// way: each costs all the time that a silent server is given.
func (t *trip) deadEnd() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deadEnds++
	return t.deadEnds >= maxDeadEnds
}

func (p *pipeline) receive(spool *message.Spool, s *session, l plan.Listed, body io.Reader) error {
	load, err := p.take(l)
	if err != nil {
		return err
	}
	growing := &growing{p: p, listed: l, body: body, load: load}
	msg, err := spool.Receive(growing)
	load = growing.load
	switch {
	case errors.Is(err, pop.ErrOutOfStep):
		p.giveBack(load)
		return err // it may be another message
	case fault.CodeOf(err) == fault.Held:
		// Too large, or nobody can tell what its bytes are; the session goes on.
		p.giveBack(load)
		p.t.retrieved(s, l.Key)
		p.t.resolved(s)
		return p.t.holdUnread(p.hard, l, err)
	case fault.CodeOf(err) == fault.Protocol:
		// The server garbled this message and with it the session. It is held so
		// that it blocks nobody; the others follow in the next round's session.
		p.giveBack(load)
		if errors.Is(err, pop.ErrBadEnd) && p.t.deadEnd() {
			return err
		}
		return errors.Join(p.t.holdUnread(p.hard, l, err),
			outOfStep(err))
	case err != nil:
		p.giveBack(load)
		return err
	}
	p.t.retrieved(s, l.Key)
	switch p.t.weigh(l, msg) {
	case again:
		msg.Close()
		p.giveBack(load)
		return nil
	case cut:
		msg.Close()
		p.giveBack(load)
		p.t.resolved(s)
		return p.t.holdUnread(p.hard, l, cutReason(l, msg.Summary))
	}
	parcel := &parcel{listed: l, to: p.t.home, msg: msg, load: load, received: time.Now(), session: s,
		record: p.t.knownAs(l.Key)}
	p.track(parcel)
	select {
	case p.parcels <- parcel:
		return nil
	case <-p.soft.Done():
		p.release(parcel)
		return p.soft.Err()
	}
}

// load is what a message takes of what is bounded: octets of memory, of the spool's disk, and
// of the account's share of that.
type load struct{ memory, disk, share int64 }

// take waits until there is room for a message.
func (p *pipeline) take(l plan.Listed) (load, error) {
	if err := p.t.brake(p.soft, p.t.brakes.Message()); err != nil {
		return load{}, err
	}
	if err := p.t.slot.Work(p.soft); err != nil {
		return load{}, err
	}
	size := p.t.sizeOf(l)
	w := load{memory: flightWeight(size)}
	if err := p.budget.Acquire(p.soft, w.memory); err != nil {
		return load{}, err
	}
	p.t.slot.Flight.Add(w.memory)
	if size <= spoolMemory {
		return w, nil // behind nobody who waits for the disk
	}
	share := min(size, p.t.engine.diskShare())
	if err := p.disk.Acquire(p.soft, share); err != nil {
		p.giveBack(w)
		return load{}, err
	}
	w.share = share
	disk := min(size, p.t.engine.SpoolRoom)
	if err := p.t.engine.disk.Acquire(p.soft, disk); err != nil {
		p.giveBack(w)
		return load{}, err
	}
	w.disk = disk
	return w, nil
}

func (p *pipeline) giveBack(w load) {
	p.t.slot.Flight.Add(-w.memory)
	p.budget.Release(w.memory)
	p.disk.Release(w.share)
	p.t.engine.disk.Release(w.disk)
}

// diskShares is how many accounts that keep all that they may of the spool leave no room to
// others. A message that is larger than a share goes alone.
const diskShares = 8

func (e *engine) diskShare() int64 { return max(1, e.SpoolRoom/diskShares) }

// flightWeight is the memory that a message of a size takes, in octets: whole
// chunks, and for a large one what is in memory before it goes to a file.
func flightWeight(size int64) int64 {
	const chunk = 16 << 10
	return min(max(size+chunk-1, chunk)/chunk*chunk, spoolMemory)
}

func (p *pipeline) track(c *parcel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.carried[c] = true
}

// release gives back what a parcel holds.
func (p *pipeline) release(c *parcel) {
	p.mu.Lock()
	delete(p.carried, c)
	p.mu.Unlock()
	c.msg.Close()
	if c.original != nil {
		c.original.Close()
	}
	p.giveBack(c.load)
	select {
	case p.released <- struct{}{}:
	default:
	}
}

func (t *trip) retrieved(s *session, key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.retrieved++
	s.given[key] = true
	t.deadEnds = 0
}

func (t *trip) resolved(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.resolved++
}
