package message

import "bytes"

// lineEnds turns a message as received into a message as delivered, piece by
// piece. The zero value is ready for a new message.
type lineEnds struct {
	last    byte // the last octet received; 0 at the start
	begun   bool
	scratch []byte
}

// next gives the delivered form of the next piece. The result is valid until
// the next call; it is p itself when nothing had to change, as in nearly all
// mail.
func (l *lineEnds) next(p []byte) []byte {
	if len(p) == 0 {
		return nil
	}
	out, copied := l.scratch[:0], 0
	for i := 0; ; i++ {
		n := bytes.IndexByte(p[i:], '\n')
		if n < 0 {
			break
		}
		i += n
		if l.before(p, i) == '\r' {
			continue
		}
		if cap(out) == 0 { // for lines of 16 octets on average
			out = make([]byte, 0, len(p)+len(p)/16)
		}
		out = append(append(out, p[copied:i]...), '\r', '\n')
		copied = i + 1
	}
	l.last, l.begun = p[len(p)-1], true
	if copied == 0 {
		return p
	}
	l.scratch = append(out, p[copied:]...)
	return l.scratch
}

// before gives the octet before p[i], which may be in the piece before.
func (l *lineEnds) before(p []byte, i int) byte {
	if i == 0 {
		return l.last
	}
	return p[i-1]
}

// tail gives what the message still lacks at its end: a CRLF or nothing.
func (l *lineEnds) tail() []byte {
	if !l.begun || l.last == '\n' {
		return nil
	}
	return []byte("\r\n")
}
