package message

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"slices"
	"time"
)

const (
	// maxName bounds a field's name, and what is looked at to tell what sort of
	// line a line is, in octets. RFC 5322 §2.1.1 allows a line 998.
	maxName = 1 << 10
	// maxValue bounds what is kept of a field that is looked up, in octets.
	maxValue = 64 << 10
)

// lineKind says what a header line is, and so what digest it goes to.
type lineKind int

const (
	noise   lineKind = iota // belongs to no field
	kept                    // belongs to a field that counts
	skipped                 // belongs to a field that servers add or rewrite
	tail                    // stands behind a CR amid a line of such a field
)

// header reads a header in canonical form, in pieces of any size. What it finds
// does not depend on where the pieces were cut.
type header struct {
	ended bool // the empty line has passed

	fields, noise hash.Hash
	noisy         bool
	open          lineKind // of the field, or noise, that continuation lines extend
	counted       bool     // some field counts
	cr            bool     // a CR has come, of a skipped field

	tails  hash.Hash // of what is behind CRs in skipped fields
	tailed bool
	texts  int  // behind CRs in the open field
	lines  bool // there were several

	part []byte // the beginning of a line whose end has not come yet
	long bool   // amid a line that was too long to wait for its end

	look  field // which field the value is being kept of
	value []byte
	lookup
}

func newHeader(now time.Time) *header {
	return &header{
		fields: sha256.New(), noise: sha256.New(), tails: sha256.New(), lookup: lookup{now: now},
	}
}

// write takes the next octets of a message and returns how many of them belong
// to its header, the empty line included.
func (h *header) write(p []byte) (used int) {
	for used < len(p) && !h.ended {
		n, whole := len(p)-used, false
		if i := bytes.IndexByte(p[used:], '\n'); i >= 0 {
			n, whole = i+1, true
		}
		h.piece(p[used:used+n], whole)
		used += n
	}
	return used
}

// piece takes octets of one line, up to its LF if whole. A line is looked at
// once all of it is there, or more of it than matters.
func (h *header) piece(p []byte, whole bool) {
	const enough = maxName + len("\r\n")
	switch {
	case h.long:
		h.add(p)
	case len(h.part) == 0 && (whole || len(p) >= enough):
		h.line(p, whole)
	default:
		h.part = append(h.part, p...)
		if !whole && len(h.part) < enough {
			return
		}
		h.line(h.part, whole)
		h.part = h.part[:0]
	}
	h.long = !whole
}

// line takes a line with its CRLF, or the beginning of a long one.
func (h *header) line(p []byte, whole bool) {
	text := p
	if whole {
		text = p[:len(p)-len("\r\n")]
	}
	short := len(text) <= maxName
	text = text[:min(len(text), maxName)]
	switch {
	case short && only(text, "\r"):
		h.endField()
		h.ended = true
	case !isBlank(text[0]):
		h.endField()
		h.begin(text)
		h.add(p)
	case short && h.open == kept && only(text, " \t\r"):
		// Zimbra drops continuation lines of white space alone.
	default:
		h.add(p)
	}
}

// begin looks at the first line of a field and tells what it is.
func (h *header) begin(line []byte) {
	name, _, found := bytes.Cut(line, []byte{':'})
	name = bytes.TrimRight(name, " \t") // RFC 5322 §4.5 allows it before the colon
	h.open = noise
	if !found || !isName(name) {
		return
	}
	kind, f := classify(name)
	h.open, h.cr, h.texts = kind, false, 0
	if h.wants(f) {
		h.look = f
	}
}

// add puts octets of the open field, or of noise, where they belong.
func (h *header) add(p []byte) {
	switch h.open {
	case kept:
		h.keep(p)
	case noise:
		h.noise.Write(p)
		h.noisy = true
	case skipped:
		h.skip(p)
	case tail:
		h.follow(p)
	}
	if h.look != fieldOther {
		h.value = append(h.value, p[:min(len(p), maxValue-len(h.value))]...)
	}
}

// skip passes over a piece of a field that does not count, up to text behind a CR amid its
// line. That may count: where mail has its lines end with CRs alone, as on old Macs, the
// first field has all the others in it, and the text.
func (h *header) skip(p []byte) {
	for i, c := range p {
		if h.cr && c != '\r' && c != '\n' {
			h.open, h.tailed = tail, true
			h.follow(p[i:])
			return
		}
		h.cr = c == '\r'
	}
}

// follow takes what stands behind a CR.
func (h *header) follow(p []byte) {
	munge(h.tails, p)
	for _, c := range p {
		switch c {
		case '\r':
			h.cr = true
		case '\n':
			h.cr = false
		default:
			if h.cr {
				h.texts++
			}
			h.cr = false
		}
	}
	h.lines = h.lines || h.texts >= macLines
}

// macLines is from how many texts behind CRs on a field has lines of its own. A single CR is
// just one that somebody mistyped.
const macLines = 2

// keep digests a piece of a field, with X for every octet that is not ASCII: that
// is what Cyrus stores in place of one (its option munge8bit, on by default).
func (h *header) keep(p []byte) {
	h.counted = true
	munge(h.fields, p)
}

func munge(digest hash.Hash, p []byte) {
	for len(p) > 0 {
		i := slices.IndexFunc(p, isHigh)
		if i < 0 {
			digest.Write(p)
			return
		}
		digest.Write(p[:i])
		n := slices.IndexFunc(p[i:], isASCII)
		if n < 0 {
			n = len(p) - i
		}
		for run := n; run > 0; run -= min(run, len(munged)) {
			_, _ = io.WriteString(digest, munged[:min(run, len(munged))]) // a hash never fails
		}
		p = p[i+n:]
	}
}

const munged = "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"

func isHigh(c byte) bool  { return c >= 0x80 }
func isASCII(c byte) bool { return c < 0x80 }

// endField looks the field up that has just ended.
func (h *header) endField() {
	if h.look == fieldOther {
		return
	}
	_, value, _ := bytes.Cut(h.value, []byte{':'})
	h.found(h.look, value)
	h.look, h.value = fieldOther, h.value[:0]
}

// digest gives the header digest; the package comment says what noise is for.
func (h *header) digest() Digest {
	fields := Digest(h.fields.Sum(nil))
	if h.tailed && (h.lines || !h.counted) {
		fields = sha256.Sum256(h.tails.Sum(fields[:]))
	}
	if !h.noisy || h.ended && h.id != "" {
		return fields
	}
	return sha256.Sum256(h.noise.Sum(fields[:]))
}

// isName reports whether a field may be called so (RFC 5322 §2.2). Yahoo drops
// fields that are called otherwise.
func isName(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(name) > 0
}

// only reports whether p has no octets but those of set.
func only(p []byte, set string) bool { return len(bytes.TrimLeft(p, set)) == 0 }

func isBlank(c byte) bool { return c == ' ' || c == '\t' }
