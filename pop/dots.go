package pop

import (
	"errors"
	"strings"
)

// Dovecot (2.3) doubles the dots of every line but the first. A message that
// starts with a dot, which no mail program makes on purpose, so arrives in one of
// three forms:
//
//	.x     the dot stays, as in any line; see [body]
//	. CRLF looks like the terminator of an empty message, until what follows
//	       turns out not to be a reply
//	..x    may be two dots, or one that was doubled: what is known of the server
//	       decides, and the size that LIST gave has to agree

// firstDot is what became of a dot at the very start of a message.
type firstDot int

const (
	none    firstDot = iota
	single           // stood alone: the server does not double it
	removed          // one of two was taken away
	kept             // both of two were kept
)

// errDots is the cause when the wrong thing was done with some dot. The message
// is refused, since it can't be told from one that was changed.
var errDots = errors.New("nobody can tell which dots belong to the message")

// leavesFirstLine knows a Dovecot by its greeting.
func leavesFirstLine(greeting string) bool { return strings.Contains(greeting, "Dovecot") }

// doublesAll knows two servers by their greetings that double each dot, and whose sizes may by
// chance be those of a message that lost some: inbucket counts a line end as two octets where it
// wrote the line itself, and as one elsewhere; DBMail leaves out the fields that it adds.
func doublesAll(greeting string) bool {
	return strings.Contains(greeting, "Inbucket POP3 server") || strings.Contains(greeting, "DBMAIL pop3 server")
}

// doubled takes one of two dots at the start of a line away.
func (b *body) doubled() {
	b.start = false
	if b.size == 0 && b.keepFirst {
		b.first = kept
		return
	}
	if b.size == 0 {
		b.first = removed
	}
	b.removed++
	_, _ = b.r.Discard(len("."))
}

// single leaves a dot that nobody can have put there.
func (b *body) single() {
	b.start = false
	if b.size == 0 {
		b.first = single
		return
	}
	b.alone = true
}

// notTheEnd gives out a first line with a dot alone that was taken for the end.
func (b *body) notTheEnd(line []byte) {
	b.owed, b.start, b.first = line, false, single
}

// dotsFit tells whether what was done with the dots makes sense together: a server
// that leaves one dot alone did not double the others that were found doubled. And
// in what is longer than announced, such a dot may be a terminator without its line
// end, and what follows it the next reply.
func (b *body) dotsFit(announced int64) bool {
	return !(b.alone && (b.removed > 0 || b.outgrew(announced))) && b.firstFits(announced) && !b.lostDots(announced)
}

// lostDots reports a message that has the announced size only with the dots that were
// taken away: all dots were its own, from a server that doubles none. One that counts
// those which it adds looks the same.
func (b *body) lostDots(announced int64) bool {
	return b.removed > 0 && !b.doublesAll && !b.vouchedBy(announced) && b.vouchedWith(b.removed, announced)
}

func (b *body) outgrew(announced int64) bool {
	return !b.bareLF() && announced > 0 && b.size > announced+int64(len("\r\n"))
}

// firstFits tells whether the size that was announced, or that and a line end
// that was missing, supports what was done with two dots at the start. Sizes that
// fit neither way prove nothing, nor do those of a server with line ends of its own.
func (b *body) firstFits(announced int64) bool {
	if b.bareLF() || announced <= 0 {
		return true
	}
	other := b.size
	switch b.first {
	case removed:
		other++
	case kept:
		other--
	default:
		return true
	}
	fits := func(size int64) bool { return size == announced || size == announced+int64(len("\r\n")) }
	return fits(b.size) || !fits(other)
}
