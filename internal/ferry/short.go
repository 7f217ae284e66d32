package ferry

import (
	"fmt"

	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
)

// Sizes of LIST are hints: servers count line ends differently, and some guess.
// What arrives shorter than announced by more than this may have been cut off. A
// server whose sizes proved to be off a few times is not asked twice any more.
const (
	shortOctets  = 64
	shortPercent = 5
	sizesAreOff  = 3
)

func short(listed, got int64) bool {
	return got < listed-max(shortOctets, listed*shortPercent/100)
}

// verdict is what becomes of a message that may have been cut off.
type verdict int

const (
	whole verdict = iota // deliver it
	again                // read it a second time
	cut                  // it differs every time: hold it
)

// weigh judges a message by its length. One that is shorter than announced is
// read twice, the second time in a session of its own: the same content both
// times means that the server's sizes are off, and differing ones that it can't
// be trusted.
func (t *trip) weigh(l plan.Listed, got message.Summary) verdict {
	if !short(l.Size, got.Raw) {
		return whole
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before, seen := t.shortened[l.Key]
	switch {
	case !seen && t.off >= sizesAreOff:
		return whole
	case !seen:
		t.shortened[l.Key] = got
		t.rereads = append(t.rereads, l)
		return again
	}
	if _, same := before.Same(got); !same {
		return cut
	}
	t.off++
	return whole
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
	return fmt.Errorf("it arrives differently each time, and shorter than announced (%d of %d bytes)",
		got.Raw, l.Size)
}
