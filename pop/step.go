package pop

import (
	"bytes"
	"cmp"
	"fmt"

	"github.com/popferry/popferry/internal/fault"
)

// A server that leaves out one answer, or gives one twice, and goes on would have
// every message behind it arrive under the number of another. So each pipelined RETR
// and TOP has a LIST of the same message right behind it, in the same packet: its
// answer says whose it is (RFC 1939 §5), and no body ends in io.EOF before it did.
// That costs a line each way and no wait. A server that has no such LIST, which every
// one must have, is asked for one message at a time after that; see
// [Maildrop.OneByOne].
//
// With one command on its way an answer that is left out is silence. One that comes
// twice makes the next body equal to the last one, and then LIST is asked for as well.

// whose returns the message that a LIST answer is about: "2 120" (RFC 1939 §5). Bare
// tells that nothing follows the size, though text may.
func whose(reply status) (number int, bare bool) {
	number, rest, err := parseNumber([]byte(reply.text))
	size, text, _ := bytes.Cut(rest, []byte(" "))
	if err != nil || !reply.ok || len(size) == 0 || len(bytes.Trim(size, "-0123456789")) > 0 {
		return 0, false
	}
	return number, len(text) == 0
}

// strays reports whether the answer to a LIST came in the place of that to RETR or TOP:
// its own was left out, or one before came twice, be it in an earlier call. With text
// behind the size it is only taken for one of this message or the last one named.
func (f *fetch) strays(e Entry, reply status) bool {
	number, bare := whose(reply)
	return f.queue.named && number > 0 && (bare || number == e.Number || number == f.m.named)
}

// named reads the answer to the LIST behind a message.
func (f *fetch) named(e Entry, refused bool) error {
	reply, err := f.m.answer()
	if err != nil {
		return err
	}
	number, _ := whose(reply)
	f.m.named = number
	if number != e.Number && !(refused && !reply.ok) { // no such message, it may say twice
		return f.outOfStep(e, fmt.Sprintf("LIST %d", e.Number), reply)
	}
	return nil
}

// sameAgain reports a body that is the last one again.
func (f *fetch) sameAgain() bool {
	return f.lastBody != nil && f.lastBody.size == f.body.size &&
		f.lastBody.sum.Sum64() == f.body.sum.Sum64()
}

// askInStep asks for the name of a message whose size does not vouch for it. What comes
// first may be the rest of a message that seemed to end, and a line of that may look like
// any reply: a name is one that it can't know. A server that has no such LIST says the
// same to STAT as it did when it listed.
func (f *fetch) askInStep(e Entry) (early bool, err error) {
	if !f.asked {
		f.asked = true
		if err := f.m.send(fmt.Sprintf("LIST %d\r\n", e.Number), 0); err != nil {
			return false, err
		}
	}
	if early, err := f.noReply(); early || err != nil {
		return early, err
	}
	f.asked = false
	reply, err := f.m.answer()
	if err != nil {
		return false, err
	}
	switch number, _ := whose(reply); {
	case number == e.Number && f.asListed(e, reply):
		return false, f.m.expectSilence()
	case number == e.Number || number == 0:
		return false, f.sameStat()
	}
	return false, f.outOfStep(e, fmt.Sprintf("LIST %d", e.Number), reply)
}

// asListed tells whether the answer to a LIST has the size that the listing had, which a
// message that only looks like that answer does not know.
func (f *fetch) asListed(e Entry, reply status) bool {
	_, rest, err := parseNumber([]byte(reply.text))
	return err == nil && parseSize(rest) == e.Size
}

// sameStat asks what nobody who wrote a message knows the answer to.
func (f *fetch) sameStat() error {
	if f.m.conn.Buffered() > 0 {
		return ErrEndedEarly
	}
	if err := f.m.send("STAT\r\n", 0); err != nil {
		return err
	}
	early, err := f.noReply()
	if err != nil || early {
		return cmp.Or(err, ErrEndedEarly)
	}
	if reply, err := f.m.answer(); err != nil || reply != f.m.stat {
		return cmp.Or(err, ErrEndedEarly)
	}
	return f.m.expectSilence()
}

// askName asks for nothing but the name of the message that was just read.
func (f *fetch) askName(e Entry) error {
	if err := f.m.send(fmt.Sprintf("LIST %d\r\n", e.Number), 0); err != nil {
		return err
	}
	return f.named(e, false)
}

func (f *fetch) outOfStep(e Entry, command string, reply status) error {
	indicator := "-ERR "
	if reply.ok {
		indicator = "+OK "
	}
	return f.m.conn.Break(fault.New(fault.Protocol, "%s: %w: at message %d, %s was answered \"%s\"",
		f.m.conn.Address(), ErrOutOfStep, e.Number, command, f.m.shown(indicator+reply.text)).
		WithHint("it left out an answer, or gave one twice; one message at a time may work"))
}
