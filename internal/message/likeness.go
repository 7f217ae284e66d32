package message

import (
	"bufio"
	"crypto/sha256"
	"hash"
	"io"
	"slices"
	"time"
)

// Likeness is what a message has in common with its copy on a server that alters
// mail: all that is left of it without what servers are known to change. It is
// worked out only where digests found nothing, since it costs a look at every
// octet; and it is enough to recognise a copy, never to delete the original.
//
// Left out are
//
//   - CRs that are part of no line end (Courier),
//   - what follows a NUL in its line (mailutils, and Cyrus's POP3),
//   - blanks and folds of the header, and the case of names (mailutils),
//   - the fields that the header digest leaves out, and which octet a header has
//     where it is not ASCII (Cyrus),
//   - "From " at the start of a line, and ">From " anywhere (mbox stores, and
//     mailutils, which puts one into the middle of lines),
//   - empty lines at the end (qmail, popa3d, mailutils).
type Likeness struct {
	// Loose is that of [Summary].
	Loose Digest

	fields map[fieldMark]int // how often the header has each field that counts
	spare  map[fieldMark]int // and each that does not, unless it has lines of its own
	trace  []fieldMark       // its Received fields
	count  int               // of fields
	body   Digest
	text   bool // the body is not empty
}

// fieldMark stands for a field; half a digest is plenty within one header.
type fieldMark [16]byte

const (
	// maxFields bounds the fields that are told apart. What follows counts as text.
	maxFields = 1 << 17
	// fewFields say too little to look past fields that a copy has in addition.
	fewFields = 3
)

// Resemblance is how a copy compares with a message.
type Resemblance int

const (
	// Other mail has another text, or lacks a field.
	Other Resemblance = iota
	// Grown mail has all that the message has, and more fields. Some servers add
	// one to everything; but so do those that a mailing list's copy came by.
	Grown
	// Alike are a message and its copy if all of both is the same.
	Alike
)

// In compares a copy with the message.
func (l Likeness) In(c Likeness) Resemblance {
	if l.body != c.body || l.count == 0 && !l.text {
		return Other
	}
	lent := 0 // fields that had lines of their own, by CRs, which the copy has lost
	for mark, n := range l.fields {
		lack := max(0, n-c.fields[mark])
		if lack > c.spare[mark] {
			return Other
		}
		lent += lack
	}
	switch {
	case l.count == c.count+lent:
		return Alike
	case l.count < fewFields:
		return Other
	}
	return Grown
}

// CameFrom reports whether a copy has all of the message's Received fields, and so
// went the way that the message went (RFC 5321 §4.4). A copy that reached the same
// person by another way has not, and one without such fields can't tell.
func (c Likeness) CameFrom(l Likeness) bool {
	return len(l.trace) > 0 && !slices.ContainsFunc(l.trace, func(m fieldMark) bool { return c.fields[m] == 0 })
}

// ReadLikeness reads a message to its end. An error is that of r, unchanged.
func ReadLikeness(r io.Reader) (Likeness, error) {
	w := newLikener()
	if _, err := io.Copy(w, r); err != nil {
		return Likeness{}, err
	}
	return w.finish(), nil
}

// Likeness works it out for a message at rest. An error is that of
// [Message.WriteTo].
func (m *Message) Likeness() (Likeness, error) {
	w := newLikener()
	if _, err := m.WriteTo(w); err != nil {
		return Likeness{}, err
	}
	return w.finish(), nil
}

// likener takes a message octet by octet.
type likener struct {
	Likeness
	ends lineEnds
	head *header // for Loose

	cut   bool // behind a NUL, until the line ends
	start bool // at the start of a line
	ended bool // the header has

	open  bool   // amid a field
	name  []byte // of the field, until its colon
	named bool   // the colon has come
	cr    bool   // a CR has come in this line
	texts int    // behind CRs in the field
	field hash.Hash
	value *bufio.Writer // into field

	rest quoteless
}

func newLikener() *likener {
	field := sha256.New()
	return &likener{
		Likeness: Likeness{fields: map[fieldMark]int{}, spare: map[fieldMark]int{}}, start: true,
		head:  newHeader(time.Time{}),
		field: field, value: bufio.NewWriterSize(field, 1<<10), rest: newQuoteless(),
	}
}

func (w *likener) Write(p []byte) (int, error) {
	if !w.head.ended {
		w.head.write(w.ends.next(p))
	}
	for i := 0; i < len(p); {
		if w.ended && !w.cut && w.rest.idle() {
			if n := plain(p[i:]); n > 0 {
				w.rest.put(p[i : i+n])
				i += n
				continue
			}
		}
		w.octet(p[i])
		i++
	}
	return len(p), nil
}

// plain counts the octets up to the next one that may mean something in a text.
func plain(p []byte) int {
	n := slices.IndexFunc(p, func(c byte) bool {
		return c == '\n' || c == '\r' || c == 0 || c == '>'
	})
	if n < 0 {
		return len(p)
	}
	return n
}

func (w *likener) octet(c byte) {
	switch {
	case c == '\r':
		w.cr = true
		return
	case w.cut && c != '\n':
		return
	case c == 0:
		w.cut = true
		return
	case c == '\n':
		w.cut, w.cr = false, false
	}
	if w.ended {
		w.rest.octet(c)
		return
	}
	w.headerOctet(c)
}

func (w *likener) headerOctet(c byte) {
	if w.start {
		w.lineStarts(c)
	}
	w.start = c == '\n'
	switch {
	case w.ended:
		if c != '\n' { // too many fields: text from here on
			w.rest.octet(c)
		}
	case c <= ' ' || c == 0x7f:
	case c >= 0x80:
		w.visible('X')
	default:
		w.visible(c)
	}
}

// lineStarts ends the field, or the header, unless the line goes on with the field.
func (w *likener) lineStarts(c byte) {
	if w.open && isBlank(c) {
		return
	}
	w.endField()
	w.ended = c == '\n' || w.count == maxFields
	w.open = !w.ended
}

// visible takes an octet of a field that is no blank.
func (w *likener) visible(c byte) {
	if w.cr {
		w.texts, w.cr = w.texts+1, false
	}
	if !w.named {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		w.named = c == ':'
		if !w.named && len(w.name) < maxName {
			w.name = append(w.name, c)
		}
	}
	_ = w.value.WriteByte(c) // a hash never fails
}

func (w *likener) endField() {
	if !w.open {
		return
	}
	_ = w.value.Flush()
	kind, what := kept, fieldOther
	if w.named {
		kind, what = classify(w.name)
	}
	var mark fieldMark
	copy(mark[:], w.field.Sum(nil))
	if kind == kept || w.texts >= macLines { // behind CRs it may be anything: see [header.skip]
		w.fields[mark]++
		w.count++
		if what == fieldReceived {
			w.trace = append(w.trace, mark)
		}
	} else if len(w.spare) < maxFields {
		w.spare[mark]++
	}
	w.field.Reset()
	w.open, w.named, w.texts, w.name = false, false, 0, w.name[:0]
}

func (w *likener) finish() Likeness {
	w.endField()
	w.head.write(w.ends.tail())
	w.head.endField()
	w.Loose = w.head.loose()
	w.body, w.text = w.rest.finish()
	if w.count == 0 && !w.text { // all there is, and maybe CRs that ended its lines were dropped
		for mark, n := range w.spare {
			w.fields[mark], w.count = n, w.count+n
		}
		w.spare = nil
	}
	return w.Likeness
}

// fromLine is what mbox stores quote at the start of a line (RFC 4155), and what
// quotes of any depth are taken out together with.
const fromLine = "From "

// quoteless digests a text without its "From " at the start of lines, quoted or
// not, without quoted ones anywhere, and without empty lines at its end.
type quoteless struct {
	text    hash.Hash
	out     *bufio.Writer // into text
	start   bool          // at the start of a line
	quotes  int           // ">" held back
	matched int           // octets of fromLine held back
	ends    int           // line ends held back
	any     bool          // there is something but line ends
}

func newQuoteless() quoteless {
	text := sha256.New()
	return quoteless{text: text, out: bufio.NewWriterSize(text, 4<<10), start: true}
}

// idle reports whether nothing is held back but line ends, amid a line.
func (q *quoteless) idle() bool { return !q.start && q.quotes+q.matched == 0 }

func (q *quoteless) octet(c byte) {
	switch {
	case c == fromLine[q.matched] && (q.matched > 0 || q.quotes > 0 || q.start):
		if q.matched++; q.matched == len(fromLine) {
			q.quotes, q.matched, q.start = 0, 0, false
		}
		return
	case c == '>' && q.matched == 0:
		q.quotes++
		return
	}
	q.letGo()
	switch c {
	case '\n':
		q.ends++
		q.start = true
	case '>':
		q.quotes, q.start = 1, false
	default:
		q.put([]byte{c})
		q.start = false
	}
}

// letGo puts out what was held back and turned out to be text.
func (q *quoteless) letGo() {
	if q.quotes+q.matched == 0 {
		return
	}
	for ; q.quotes > 0; q.quotes-- {
		q.put([]byte(">"))
	}
	q.put([]byte(fromLine[:q.matched]))
	q.matched, q.start = 0, false
}

func (q *quoteless) put(text []byte) {
	if len(text) == 0 {
		return
	}
	q.any = true
	for ; q.ends > 0; q.ends-- {
		_ = q.out.WriteByte('\n') // a hash never fails
	}
	_, _ = q.out.Write(text)
}

func (q *quoteless) finish() (sum Digest, text bool) {
	q.letGo()
	_ = q.out.Flush()
	q.text.Sum(sum[:0])
	return sum, q.any
}
