package ferry

import (
	"errors"
	"fmt"
	"strings"

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
	// second reading, or that they are right; sizesMeanNothing is enough to delete in spite of
	// them, where next to none is right and they do not end after the same length.
	sizesAreOff      = 3
	sizesMeanNothing = 20
	fewRight         = 10 // percent
	sameLength       = 1 << 10
)

// lengths is what a trip knows of messages that are not as long as LIST says. It is guarded
// by trip.mu.
type lengths struct {
	sizes       sizes                      // how far those of LIST are right
	sizesRead   sizes                      // the same, with what was read and is not delivered
	grown       map[string]int64           // at least as large, whatever LIST said, by listing key
	shortened   map[string]message.Summary // arrived too short, by listing key
	rereads     []plan.Listed              // to be read a second time: of these, or put off
	off         int                        // messages that were shorter than listed, twice the same
	cutOff      int                        // messages that seem to be cut off, and were delivered
	firstCutOff string                     // the first of these
}

func newLengths() lengths {
	return lengths{grown: map[string]int64{}, shortened: map[string]message.Summary{}}
}

func short(listed, got int64) bool {
	return got < listed-max(shortOctets, listed*shortPercent/100)
}

// long reports a message that has more than LIST says, even if that counts each line end as
// one octet and not the two that came (RFC 1939 §11), and none at the end: something of the
// conversation may have got into it.
func long(listed int64, got message.Summary) bool {
	return got.Raw > listed+got.Lines+2
}

// These mark the origin of mail whose size in the journal doesn't tell how long it was as it came:
// tooLong of what had more, and tooShort of what had less before each bare line feed became two octets.
const (
	tooLong  = " and longer than listed"
	tooShort = " and shorter than listed"
)

func markLength(origin string, l plan.Listed, got message.Summary) string {
	switch {
	case long(l.Size, got) && !strings.Contains(origin, tooLong):
		return origin + tooLong
	case got.Raw < l.Size && got.Size >= l.Size && !strings.Contains(origin, tooShort):
		return origin + tooShort
	}
	return origin
}

// sizes counts the messages that were delivered, over all runs: those that the server gave
// as large as it had said, and those that were shorter, with the lengths that these had.
type sizes struct {
	Right int   `json:"right"`
	Short int   `json:"short"`
	Least int64 `json:"least"`
	Most  int64 `json:"most"`
	// Long were longer, and Exact those of Right that were not, since these are counted.
	Long  int `json:"long,omitempty"`
	Exact int `json:"exact,omitempty"`
	// Equal are those that had just as much as was said, and Less those of a little less.
	Equal int `json:"equal,omitempty"`
	Less  int `json:"less,omitempty"`
}

func (s *sizes) add(listed int64, sum message.Summary) {
	got := sum.Raw
	switch {
	case long(listed, sum):
		s.Long++
		s.Right++
	case !short(listed, got):
		s.Exact++
		s.Right++
	default:
		if s.Short++; s.Short == 1 {
			s.Least = got
		}
		s.Least, s.Most = min(s.Least, got), max(s.Most, got)
	}
	switch {
	case got == listed:
		s.Equal++
	case got < listed && !short(listed, got):
		s.Less++
	}
}

// tooSmall reports a server whose sizes are too small nearly always, such as one that adds
// fields as it gives the message.
func (s sizes) tooSmall() bool { return s.Long >= sizesAreOff && 100*s.Exact < fewRight*s.Long }

// meanNothing reports a server whose sizes are too large nearly always. Where some are right,
// what is shorter was cut off in the server's own store, or on its way out.
func (s sizes) meanNothing() bool {
	return s.Short >= sizesMeanNothing && 100*s.Right < fewRight*s.Short && s.Most-s.Least > sameLength
}

// lacks reports a message that has less than was said, however little, unless the server is known
// for sizes that are a little too large.
func (s sizes) lacks(listed, got int64) bool { return got < listed && !s.areLoose() }

// areLoose reports a server whose sizes are a little too large often.
func (s sizes) areLoose() bool { return s.Less >= sizesAreOff && 2*s.Less >= s.Equal }

// verdict is what becomes of a message that may have been cut off.
type verdict int

const (
	whole verdict = iota // deliver it
	again                // read it a second time
	cut                  // it differs every time, or ends amid its header: hold it
)

// weigh judges a message by its length. One that is shorter than announced, by a twentieth or,
// unless sizes are often so, by less, is read twice, the second time in a session of its own: the same
// content both times means that the server has no more of it, or that its sizes are off, and
// differing ones that it can't be trusted. So is one that begins as an answer does.
func (t *trip) weigh(l plan.Listed, msg *message.Message) verdict {
	got, answer := msg.Summary, beginsAsAnswer(msg)
	t.mu.Lock()
	defer t.mu.Unlock()
	before, seen := t.shortened[l.Key]
	lacks := t.sizesRead.lacks(l.Size, got.Raw)
	t.sizesRead.add(l.Size, got)
	switch {
	case !answer && !lacks && (!short(l.Size, got.Raw) || !seen && t.off >= sizesAreOff):
		return whole
	case !seen:
		t.shortened[l.Key] = got
		t.rereads = append(t.rereads, l)
		return again
	}
	cutOff := short(l.Size, got.Raw)
	if _, same := before.Same(got); !same || cutOff && got.HeaderOpen {
		return cut
	}
	if !cutOff {
		return whole
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

// beginsAsAnswer reports a message whose first line is an answer of the server's (RFC 1939 §3),
// as if that had come twice. What can't be read back is not delivered anyway.
func beginsAsAnswer(m *message.Message) bool {
	const indicator = "+OK"
	head, err := m.Head(len(indicator) + 1)
	return err == nil && len(head) > len(indicator) &&
		strings.EqualFold(string(head[:len(indicator)]), indicator) && head[len(indicator)] <= ' '
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
		t.sizes.add(c.listed.Size, msg.Summary)
	}
}

// erasable reports whether a record may ever lead to a deletion. What the server seems to
// have more of may not, nor what is less than half of what it says in any case, nor what has
// more, or a little less, where others have not.
func (t *trip) erasable(r journal.Record) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	size, listed := r.Sum.Size, r.Listed
	switch {
	case !isSame(r), strings.Contains(r.Origin, tooLong) && !t.sizes.tooSmall():
		return false
	case size > 0 && short(listed, size):
		return t.sizes.meanNothing() && 2*size >= listed
	case strings.Contains(r.Origin, tooShort):
		return t.sizes.areLoose() || t.sizes.meanNothing()
	}
	return size == 0 || size >= listed || t.sizes.areLoose()
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
	if !short(l.Size, got.Raw) {
		return errors.New("it arrives differently each time, and begins as the answers of the server do")
	}
	if got.HeaderOpen {
		return fmt.Errorf("it ends amid its header, and is shorter than announced (%d of %d bytes)", got.Raw, l.Size)
	}
	return fmt.Errorf("it arrives differently each time, and shorter than announced (%d of %d bytes)",
		got.Raw, l.Size)
}
