package ferry

import (
	"fmt"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
)

// Sizes of LIST are hints: servers count line ends differently, and some guess.
// What arrives shorter than announced by more than this may have been cut off.
const (
	shortOctets  = 64
	shortPercent = 5
	// sizesAreOff is how many messages show that sizes say nothing, enough to go without a
	// second reading; sizesMeanNothing is enough to delete in spite of them, where next to
	// none is right and they do not end after the same length.
	sizesAreOff      = 3
	sizesMeanNothing = 20
	fewRight         = 10 // percent
	sameLength       = 1 << 10
)

func short(listed, got int64) bool {
	return got < listed-max(shortOctets, listed*shortPercent/100)
}

// sizes counts the messages that were delivered, over all runs: those that the server gave
// as large as it had said, and those that were shorter, with the lengths that these had.
type sizes struct {
	Right int   `json:"right"`
	Short int   `json:"short"`
	Least int64 `json:"least"`
	Most  int64 `json:"most"`
}

func (s *sizes) add(listed, got int64) {
	if !short(listed, got) {
		s.Right++
		return
	}
	if s.Short++; s.Short == 1 {
		s.Least = got
	}
	s.Least, s.Most = min(s.Least, got), max(s.Most, got)
}

// meanNothing reports a server whose sizes are too large nearly always. Where some are right,
// what is shorter was cut off in the server's own store, or on its way out.
func (s sizes) meanNothing() bool {
	return s.Short >= sizesMeanNothing && 100*s.Right < fewRight*s.Short && s.Most-s.Least > sameLength
}

// verdict is what becomes of a message that may have been cut off.
type verdict int

const (
	whole verdict = iota // deliver it
	again                // read it a second time
	cut                  // it differs every time, or ends amid its header: hold it
)

// weigh judges a message by its length. One that is shorter than announced is
// read twice, the second time in a session of its own: the same content both
// times means that the server has no more of it, or that its sizes are off, and
// differing ones that it can't be trusted.
func (t *trip) weigh(l plan.Listed, got message.Summary) verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, seen := t.shortened[l.Key]
	switch {
	case !short(l.Size, got.Raw), !seen && t.off >= sizesAreOff:
		return whole
	case !seen:
		t.shortened[l.Key] = got
		t.rereads = append(t.rereads, l)
		return again
	}
	if _, same := before.Same(got); !same || got.HeaderOpen {
		return cut
	}
	t.off++
	if t.cutOff++; t.cutOff == 1 {
		t.firstCutOff = fmt.Sprintf("message %d has %d of %d bytes", l.Number, got.Raw, l.Size)
	}
	return whole
}

// sayCutOff tells of messages that were delivered as they came, and seem to be cut off.
func (t *trip) sayCutOff() {
	t.mu.Lock()
	n, first, off := t.cutOff, t.firstCutOff, t.sizes.meanNothing()
	t.mu.Unlock()
	if n == 0 || off {
		return
	}
	t.note("%s shorter than the POP3 server says, each time it is asked (%s): what is delivered is all that it "+
		"gives, and stays on POP3 too; its operator can tell whether more is there", count(n, "message"), first)
}

// countSizes takes in messages that were delivered.
func (t *trip) countSizes(done []*parcel) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range done {
		msg := c.msg
		if c.original != nil {
			msg = c.original
		}
		t.sizes.add(c.listed.Size, msg.Raw)
	}
}

// erasable reports whether a record may ever lead to a deletion. What the server seems to
// have more of may not, nor what is less than half of what it says in any case.
func (t *trip) erasable(r journal.Record) bool {
	cutOff := r.Sum.Size > 0 && short(r.Listed, r.Sum.Size)
	t.mu.Lock()
	defer t.mu.Unlock()
	return isSame(r) && (!cutOff || t.sizes.meanNothing() && 2*r.Sum.Size >= r.Listed)
}

// takeRereads returns the messages to be read a second time.
func (t *trip) takeRereads() []plan.Listed {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.rereads
	t.rereads = nil
	return list
}

func cutReason(l plan.Listed, got message.Summary) error {
	if got.HeaderOpen {
		return fmt.Errorf("it ends amid its header, and is shorter than announced (%d of %d bytes)", got.Raw, l.Size)
	}
	return fmt.Errorf("it arrives differently each time, and shorter than announced (%d of %d bytes)",
		got.Raw, l.Size)
}
