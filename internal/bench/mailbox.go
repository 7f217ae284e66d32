package main

import (
	"crypto/sha256"
	"io"

	"github.com/popferry/popferry/internal/mailtest/corpus"
)

// mailbox is the mail of a workload. It is made again for each run and never held as a whole.
type mailbox struct {
	Messages int   // ordinary ones
	Seed     int64 // of the first thousand; each thousand has its own
	Large    int64 // octets of one message more, 0 for none
}

// each makes the messages one after the other.
func (m mailbox) each(fn func(raw []byte) error) error {
	const chunk = 1000
	for done := 0; done < m.Messages; done += chunk {
		n := min(chunk, m.Messages-done)
		for _, mail := range corpus.Ordinary(n, m.Seed+int64(done/chunk)) {
			if err := fn(mail.Raw); err != nil {
				return err
			}
		}
	}
	if m.Large == 0 {
		return nil
	}
	raw, err := io.ReadAll(corpus.Large(m.Large))
	if err != nil {
		return err
	}
	return fn(raw)
}

// count returns how many messages there are.
func (m mailbox) count() int {
	if m.Large > 0 {
		return m.Messages + 1
	}
	return m.Messages
}

// tally counts messages by their canonical content.
type tally map[[sha256.Size]byte]int

func (t tally) add(raw []byte) { t[sha256.Sum256(corpus.Canonical(raw))]++ }

// outcome is what became of the messages.
type outcome struct {
	Delivered int `json:"delivered"` // messages that are at the destination
	Intact    int `json:"intact"`    // of those, how many are what was sent
}

// wrong returns how many messages were lost, altered or doubled when n were sent.
func (o outcome) wrong(n int) int { return max(n, o.Delivered) - o.Intact }

// compare holds what arrived against what was sent, copies included.
func (t tally) compare(got tally) outcome {
	var o outcome
	for sum, n := range got {
		o.Delivered += n
		o.Intact += min(n, t[sum])
	}
	return o
}
