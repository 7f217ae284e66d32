package demo

import (
	"bytes"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/popferry/popferry/internal/mailtest/corpus"
)

const (
	// seed makes the same ordinary mail in every demonstration.
	seed = 1
	// largestHard leaves out messages that are only slow to look at.
	largestHard = 20_000
	// hardEvery spreads the hard messages among the ordinary ones.
	hardEvery = 2
)

// sample is the mail of a demonstration.
type sample struct {
	messages []corpus.Mail
	hard     int
	leftOut  int
}

func newSample(ordinary int) sample {
	var s sample
	plain := corpus.Ordinary(ordinary, seed)
	for _, m := range corpus.Hard() {
		m.Raw = ended(m.Raw)
		switch {
		case len(m.Raw) > largestHard:
		case !showable(m.Raw):
			s.leftOut++
		default:
			s.hard++
			n := min(hardEvery-1, len(plain))
			s.messages = append(append(s.messages, plain[:n]...), m)
			plain = plain[n:]
		}
	}
	s.messages = append(s.messages, plain...)
	return s
}

// showable reports whether the IMAP server gives a message back as it got it. It
// parses the header first, and shows nothing where it can't.
func showable(raw []byte) bool {
	sent := delivered(raw)
	return bytes.Equal(sent, imapserver.ExtractBodySection(bytes.NewReader(sent), &imap.FetchItemBodySection{}))
}

// delivered is a message as IMAP demands it: each line ends in CRLF.
func delivered(raw []byte) []byte {
	lf := bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(lf, []byte("\n"), []byte("\r\n"))
}

// ended is a message as POP3 can send it: what follows is a lone dot, so that
// the last line has to end in CRLF (RFC 1939 §3). What the server sends is what
// there is to compare with.
func ended(raw []byte) []byte {
	if bytes.HasSuffix(raw, []byte("\r\n")) {
		return raw
	}
	return slices.Concat(raw, []byte("\r\n"))
}

func (s sample) raw() [][]byte {
	raw := make([][]byte, len(s.messages))
	for i, m := range s.messages {
		raw[i] = m.Raw
	}
	return raw
}

func (s sample) octets() int64 {
	var n int64
	for _, m := range s.messages {
		n += int64(len(m.Raw))
	}
	return n
}
