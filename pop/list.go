package pop

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/popferry/popferry/internal/fault"
)

const (
	// maxListing bounds the octets of a LIST or UIDL reply.
	maxListing = 256 << 20
	// maxUIDL bounds an identifier. RFC 1939 §7 says 70; servers go beyond.
	maxUIDL = 1 << 10
	// maxUIDLLine bounds a line of UIDL, so that an identifier that is too long
	// costs this message its identifier and not the session its life.
	maxUIDLLine = 32 << 10
)

// Entry is one message as the server lists it.
type Entry struct {
	// Number names the message in this session, from 1.
	Number int
	// Size is what LIST says in octets. It is a hint: servers estimate it, or
	// count line ends in their own way. 0 when not said.
	Size int64
	// UIDL is the unique identifier (RFC 1939 §7), "" when there is none or an
	// unusable one. It may repeat within a listing.
	UIDL string
}

// List returns what the maildrop holds, by number. STAT, LIST and UIDL are held
// against each other: LIST and UIDL are the truth where they agree, and a
// listing that contradicts itself is refused as a breach of protocol, since a
// wrong number would delete the wrong message.
func (m *Maildrop) List(ctx context.Context) ([]Entry, error) {
	defer m.conn.Begin(ctx)()
	l := listing{limit: m.options.MaxMessages, gaps: m.deleted, count: -1}
	var calls []call
	if m.recheck {
		reply := m.readCAPA
		if m.mayRecheckKnown() {
			reply = m.recheckKnown
		}
		calls = append(calls, call{line: "CAPA", multiline: true, reply: reply})
	}
	calls = append(calls,
		call{line: "STAT", reply: func(reply status) error {
			m.stat = reply
			return l.stat(reply)
		}},
		call{line: "LIST", multiline: true, reply: func(reply status) error {
			return m.readSizes(reply, &l)
		}},
		call{line: "UIDL", multiline: true, reply: func(reply status) error {
			return m.readUIDLs(reply, &l)
		}})
	if err := m.exchange(calls...); err != nil {
		return nil, err
	}
	if err := l.check(); err != nil {
		return nil, m.badListing(err)
	}
	return l.entries, nil
}

func (m *Maildrop) readSizes(reply status, l *listing) error {
	if !reply.ok {
		if l.count == 0 {
			return nil // some refuse to list nothing
		}
		err := m.refusal("LIST", reply, fault.Refused)
		if err.Code == fault.Refused {
			err.Hint = "the server can't list this maildrop; one damaged message may be the cause: " +
				"ask its operator"
		}
		return m.conn.Break(err)
	}
	if err := m.readListing(maxLine, l.addSize); err != nil {
		return err
	}
	l.endSizes()
	return nil
}

// readUIDLs goes without identifiers when the server has none: UIDL is optional
// (RFC 1939 §7).
func (m *Maildrop) readUIDLs(reply status, l *listing) error {
	if reply.ok {
		l.hasUIDL = true
		return m.readListing(maxUIDLLine, l.addUIDL)
	}
	if err := m.refusal("UIDL", reply, fault.OK); err.Code != fault.OK {
		return m.conn.Break(err) // it has them, only not now
	}
	return nil
}

func (m *Maildrop) readListing(limit int, add func([]byte) error) error {
	return m.readLines(limit, func(line []byte) error {
		if err := add(line); err != nil {
			return m.badListing(err)
		}
		return nil
	})
}

func (m *Maildrop) badListing(err error) error {
	return m.broken("%s: unusable listing: %w", m.conn.Address(), err)
}

// listing collects the replies to STAT, LIST and UIDL. Its memory grows with what
// arrives, never with what is announced, and nothing in it is copied to grow.
type listing struct {
	limit   int
	gaps    bool // numbers may be missing: their messages are marked as deleted
	count   int  // of STAT; -1 when it made no sense
	sizes   pile // of LIST, until that is complete
	entries []Entry
	uidls   texts
	next    int // index in entries of the next message for UIDL
	last    int // number of the last line of UIDL
	found   int // how many lines UIDL had
	hasUIDL bool
}

// stat reads "+OK 2 320" (RFC 1939 §5). It is a cross-check only, so that what
// makes no sense is passed over.
func (l *listing) stat(reply status) error {
	count, _, err := parseNumber([]byte(reply.text))
	if !reply.ok || err != nil || count < 0 || count > l.limit {
		return nil
	}
	l.count = count
	return nil
}

// addSize reads "1 120" (RFC 1939 §5). Text behind the size is allowed there.
func (l *listing) addSize(line []byte) error {
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	number, rest, err := parseNumber(line)
	if err != nil {
		return err
	}
	if err := l.inOrder(number, l.sizes.last().number); err != nil {
		return err
	}
	switch {
	case l.sizes.count == l.limit:
		return fmt.Errorf("more than %d messages", l.limit)
	case l.count >= 0 && l.sizes.count >= farBeyond(l.count):
		return fmt.Errorf("STAT counts %d messages, and LIST goes on after %d", l.count, l.sizes.count)
	}
	l.sizes.add(sized{number, parseSize(rest)})
	return nil
}

// farBeyond is where a listing that STAT says to be shorter does not end any more.
func farBeyond(count int) int { return 2*count + 100_000 }

// endSizes makes the entries that UIDL is about.
func (l *listing) endSizes() {
	if l.sizes.count == 0 {
		return
	}
	l.entries = make([]Entry, 0, l.sizes.count)
	for _, piece := range l.sizes.pieces {
		for _, s := range piece {
			l.entries = append(l.entries, Entry{Number: s.number, Size: s.size})
		}
	}
	l.sizes = pile{}
}

// inOrder wants 1, 2, 3, …: RFC 1939 §5 numbers messages so, and leaves out only
// those that are marked as deleted.
func (l *listing) inOrder(number, last int) error {
	switch {
	case number < 1:
		return fmt.Errorf("message number %d", number)
	case number == last:
		return fmt.Errorf("message %d listed twice", number)
	case number < last:
		return fmt.Errorf("message %d listed after message %d", number, last)
	case number > last+1 && !l.gaps:
		return fmt.Errorf("message %d follows message %d", number, last)
	}
	return nil
}

// addUIDL reads "1 whqtswO00WBw418f9t5JxYwZ" (RFC 1939 §7). Messages without a
// line, or with an unusable one, stay without an identifier.
func (l *listing) addUIDL(line []byte) error {
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	number, rest, err := parseNumber(line)
	if err != nil {
		return err
	}
	switch {
	case number < 1:
		return fmt.Errorf("message number %d", number)
	case number == l.last:
		return fmt.Errorf("message %d has two identifiers", number)
	case number < l.last:
		return fmt.Errorf("identifier of message %d after that of message %d", number, l.last)
	}
	l.last = number
	l.found++
	for l.next < len(l.entries) && l.entries[l.next].Number < number {
		l.next++
	}
	if l.next == len(l.entries) || l.entries[l.next].Number != number {
		return fmt.Errorf("message %d has an identifier but no size", number)
	}
	l.entries[l.next].UIDL = l.uidls.keep(usableUIDL(rest))
	return nil
}

// check holds STAT against the rest. Where UIDL confirms LIST message by message
// STAT is overruled; some servers count what they do not list.
func (l *listing) check() error {
	confirmed := l.hasUIDL && l.found == len(l.entries)
	if l.count <= 0 || l.count == len(l.entries) || confirmed || l.gaps {
		return nil
	}
	return fmt.Errorf("STAT counts %d messages and LIST shows %d", l.count, len(l.entries))
}

// parseNumber takes a decimal number off the front, and the blanks around it:
// some servers pad.
func parseNumber(line []byte) (number int, rest []byte, err error) {
	line = bytes.TrimLeft(line, " \t")
	digits := line
	if i := bytes.IndexAny(line, " \t"); i >= 0 {
		digits, rest = line[:i], bytes.Trim(line[i:], " \t")
	}
	number, err = strconv.Atoi(string(digits[:min(len(digits), maxDigits)]))
	if err != nil || len(digits) > maxDigits {
		return 0, nil, fmt.Errorf("\"%s\" is not a message number", fault.Escape(string(digits)))
	}
	return number, rest, nil
}

// maxDigits bounds a number's length; a message number of an int64 has 19.
const maxDigits = 20

// parseSize reads the size at the front; what is none is not said.
func parseSize(rest []byte) int64 {
	if i := bytes.IndexAny(rest, " \t"); i >= 0 {
		rest = rest[:i]
	}
	if len(rest) > maxDigits {
		return 0
	}
	size, err := strconv.ParseInt(string(rest), 10, 64)
	if err != nil || size < 0 || size == math.MaxInt64 {
		return 0
	}
	return size
}

// usableUIDL takes the rest of the line. RFC 1939 §7 allows 0x21 to 0x7E; a blank
// inside still tells messages apart. Anything else is no identifier.
func usableUIDL(rest []byte) []byte {
	if len(rest) > maxUIDL {
		return nil
	}
	for _, c := range rest {
		if c < 0x20 || c > 0x7e {
			return nil
		}
	}
	return rest
}
