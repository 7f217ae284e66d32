package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"time"
)

// digester works out a Summary while a message passes in large pieces. The
// octets of a body are hashed twice, for Content and for Body, and scanned with
// vector instructions only.
type digester struct {
	sum           Summary
	now           time.Time
	ends          lineEnds
	content, body hash.Hash
	head          *header
	scratch       []byte
}

func newDigester(now time.Time) *digester {
	return &digester{
		now: now, content: sha256.New(), body: sha256.New(), head: newHeader(now),
	}
}

// write takes the next octets as received.
func (d *digester) write(p []byte) {
	d.sum.Raw += int64(len(p))
	d.deliver(d.ends.next(p))
}

// deliver takes the next octets as delivered.
func (d *digester) deliver(p []byte) {
	d.sum.Size += int64(len(p))
	d.sum.Lines += int64(bytes.Count(p, lineFeed))
	text := d.canonical(p)
	d.content.Write(text)
	if !d.head.ended {
		n := d.head.write(text)
		d.sum.Has8BitHeader = d.sum.Has8BitHeader || has8Bit(p[:n])
		text = text[n:]
	}
	d.body.Write(text)
}

// canonical gives the canonical form of delivered octets.
func (d *digester) canonical(p []byte) []byte {
	i := bytes.IndexByte(p, 0)
	if i < 0 {
		return p
	}
	d.sum.HasNUL = true
	d.scratch = append(d.scratch[:0], p...)
	for ; i < len(p); i++ {
		if p[i] == 0 {
			d.scratch[i] = 0x80
		}
	}
	return d.scratch
}

// finish ends the message.
func (d *digester) finish() Summary {
	d.deliver(d.ends.tail())
	h, s := d.head, &d.sum
	s.HeaderOpen = !h.ended
	h.endField()
	d.content.Sum(s.Content[:0])
	d.body.Sum(s.Body[:0])
	s.Header = h.digest()
	s.MessageID = h.id
	s.Loose = h.loose()
	s.Date, s.DateFrom = h.internalDate()
	return d.sum
}

var lineFeed = []byte("\n")

// has8Bit reports whether any octet of p has its high bit set.
func has8Bit(p []byte) bool {
	const high = 0x8080808080808080
	for ; len(p) >= 8; p = p[8:] {
		if binary.NativeEndian.Uint64(p)&high != 0 {
			return true
		}
	}
	for _, c := range p {
		if c&0x80 != 0 {
			return true
		}
	}
	return false
}
