package pop

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"

	"github.com/popferry/popferry/internal/wire"
)

// body reads a multi-line reply after its status line and undoes the doubled
// dots (RFC 1939 §3). Only CRLF ends a line and only CRLF "." CRLF ends the body;
// a bare LF or a bare CR is data. A server whose status line ended in a bare LF
// frames its bodies the same way, so there a LF alone ends a line.
//
// Of two dots at the start of a line one is removed. A single one that ends
// nothing stays: RFC 1939 would remove it too, but no server that doubles dots
// sends it, so it belongs to the message. See dots.go for the first line.
//
// It copies runs of octets from the connection's buffer and looks at single ones
// only where a line starts with a dot.
type body struct {
	r *bufio.Reader
	// dotted is what comes before and with a dot that needs a look.
	dotted []byte
	// start tells that the next octet starts a line.
	start bool
	// tail holds the last octets that were given out, oldest first.
	tail [3]byte
	// size counts the octets that were given out, and lines the line ends among them.
	size, lines int64
	// header is where the first empty line ended; it is looked for where most is set.
	header int64
	// owed are octets that were taken out of the buffer and have to be given out.
	owed []byte
	// first is what became of a dot at the very start.
	first firstDot
	// keepFirst takes two dots at the very start as they are; doublesAll takes one of any two
	// away, whatever the size says.
	keepFirst, doublesAll bool
	// removed counts the lines that lost one of two dots, and alone tells that a line
	// behind the first kept its only one.
	removed int64
	alone   bool
	// most is how many octets there may be; 0: any number.
	most int64
	// sum, unless nil, is over the octets that were given out.
	sum *maphash.Hash
	// finish is asked at the terminator whether it is one: early tells that the
	// message goes on behind it, and an error takes the place of io.EOF.
	finish func() (early bool, err error)
	err    error
}

func newBody(r *bufio.Reader, bareLF bool, finish func() (early bool, err error)) *body {
	b := &body{r: r, dotted: []byte("\r\n."), start: true, finish: finish}
	copy(b.tail[1:], "\r\n") // a line starts
	if bareLF {
		b.dotted = []byte("\n.")
	}
	return b
}

// Read implements io.Reader. Its errors are final.
func (b *body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, b.err
	}
	chunk, err := b.next(len(p))
	if err != nil {
		return 0, err
	}
	n := copy(p, chunk)
	b.consume(chunk)
	return n, nil
}

// WriteTo implements io.WriterTo and spares io.Copy its buffer.
func (b *body) WriteTo(w io.Writer) (written int64, err error) {
	for {
		chunk, err := b.next(b.r.Size())
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		n, err := w.Write(chunk)
		written += int64(n)
		if err != nil {
			return written, err
		}
		b.consume(chunk)
	}
}

// next returns octets of the message that are in the buffer, at most limit, and
// waits for some when there are none.
func (b *body) next(limit int) ([]byte, error) {
	for b.err == nil {
		if b.most > 0 && b.size >= b.most {
			return nil, b.fail(ErrTopTooLong)
		}
		if len(b.owed) > 0 {
			return b.owed[:min(len(b.owed), limit)], nil
		}
		if _, err := b.r.Peek(1); err != nil {
			return nil, b.fail(err)
		}
		window, _ := b.r.Peek(min(b.r.Buffered(), limit))
		if !b.start || window[0] != '.' {
			return b.run(window), nil
		}
		b.dot()
	}
	return nil, b.err
}

// run is how much of the window comes before the next dot at the start of a line.
func (b *body) run(window []byte) []byte {
	// The line end may be split between this window and what was given out.
	if b.tail[2] == '\r' && window[0] == '\n' {
		return window[:1]
	}
	if i := bytes.Index(window, b.dotted); i >= 0 {
		return window[:i+len(b.dotted)-1]
	}
	return window
}

// consume takes a non-empty chunk from where next found it and notes its end.
func (b *body) consume(chunk []byte) {
	if b.most > 0 && b.header == 0 {
		b.seekHeaderEnd(chunk)
	}
	b.lines += b.lineEnds(chunk)
	if n := len(chunk); n >= len(b.tail) {
		copy(b.tail[:], chunk[n-len(b.tail):])
	} else {
		copy(b.tail[:], b.tail[n:])
		copy(b.tail[len(b.tail)-n:], chunk)
	}
	b.start = bytes.HasSuffix(b.tail[:], b.dotted[:len(b.dotted)-1])
	b.size += int64(len(chunk))
	if b.sum != nil {
		_, _ = b.sum.Write(chunk)
	}
	if len(b.owed) > 0 {
		b.owed = b.owed[len(chunk):]
		return
	}
	_, _ = b.r.Discard(len(chunk)) // it is buffered
}

// lineEnds counts those in a chunk, of which the first may have begun in what was given out before.
func (b *body) lineEnds(chunk []byte) int64 {
	lineEnd := b.dotted[:len(b.dotted)-1]
	n := bytes.Count(chunk, lineEnd)
	if !b.bareLF() && b.tail[2] == '\r' && chunk[0] == '\n' {
		n++
	}
	return int64(n)
}

// seekHeaderEnd looks for an empty line, which may begin in what was given out before.
func (b *body) seekHeaderEnd(chunk []byte) {
	lineEnd := b.dotted[:len(b.dotted)-1]
	empty := bytes.Repeat(lineEnd, 2)
	if i := bytes.Index(append(b.tail[:], chunk...), empty); i >= 0 {
		b.header = b.size + int64(i+len(empty)-len(b.tail))
	}
}

// dot decides what a dot at the start of a line is: one that was put there to be
// removed, the terminator, or a part of the message. More octets must follow it.
func (b *body) dot() {
	next, err := b.r.Peek(len(".."))
	if err != nil {
		b.fail(err)
		return
	}
	if next[1] == '.' {
		b.doubled()
		return
	}
	ends, err := b.terminator()
	switch {
	case err != nil:
		b.fail(err)
	case ends == 0:
		b.single()
	default:
		terminator, _ := b.r.Peek(ends)
		terminator = bytes.Clone(terminator)
		_, _ = b.r.Discard(ends)
		b.end(terminator)
	}
}

// terminator returns the length of the terminator that is next, or 0.
func (b *body) terminator() (int, error) {
	if b.bareLF() {
		next, err := b.r.Peek(len(".\n"))
		if err != nil || next[1] == '\n' {
			return len(next), err
		}
		if next[1] != '\r' {
			return 0, nil
		}
	}
	next, err := b.r.Peek(len(".\r\n"))
	if err != nil {
		return 0, b.badEnd(next, err)
	}
	if string(next) == ".\r\n" {
		return len(next), nil
	}
	return 0, nil
}

func (b *body) bareLF() bool { return b.dotted[0] == '\n' }

// vouchedBy tells whether the size that was announced is that of what was read: nothing is
// missing then. Some servers count a line end as one octet, and a last one that was
// missing and that they add not at all.
func (b *body) vouchedBy(announced int64) bool { return b.vouchedWith(0, announced) }

// vouchedWith tells whether it is, with so many octets more.
func (b *body) vouchedWith(more, announced int64) bool {
	if announced <= 0 {
		return false // LIST did not say
	}
	switch over := b.size + more - announced; {
	case b.bareLF():
		return over == 0 || over == -b.lines
	default:
		return over == 0 || over == int64(len("\r\n")) || over == b.lines || over == b.lines+1
	}
}

// end keeps io.EOF back until the server is seen to be at the end as well.
func (b *body) end(terminator []byte) {
	early, err := false, error(nil)
	if b.finish != nil {
		early, err = b.finish()
	}
	switch {
	case err != nil:
		b.err = err
	case early && b.size == 0:
		b.notTheEnd(terminator)
	case early:
		b.err = ErrEndedEarly
	default:
		b.err = io.EOF
	}
}

func (b *body) fail(err error) error {
	// A server that ends lines in CRLF and bodies in LF leaves us waiting.
	if bytes.Equal(b.tail[:], []byte("\n.\n")) {
		err = b.badEnd(b.tail[:], err)
	}
	if errors.Is(err, io.EOF) { // ours is for the terminator alone
		err = io.ErrUnexpectedEOF
	}
	b.err = err
	return err
}

// badEnd tells a wait for the rest of the terminator from any other.
func (b *body) badEnd(got []byte, err error) error {
	if !errors.Is(err, wire.ErrStalled) || len(got) < len(".\n") {
		return err
	}
	return fmt.Errorf("%w: got %q, then: %w", ErrBadEnd, got, err)
}
