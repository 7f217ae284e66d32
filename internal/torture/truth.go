package main

import (
	"crypto/sha256"
	"sync"

	"github.com/popferry/popferry/internal/mailtest/corpus"
)

// mark names a mail by its content in canonical form.
type mark [sha256.Size]byte

func markOf(raw []byte) mark { return sha256.Sum256(corpus.Canonical(raw)) }

// bag counts mail.
type bag map[mark]int

func bagOf(mails ...[]byte) bag {
	b := bag{}
	for _, raw := range mails {
		b[markOf(raw)]++
	}
	return b
}

// size is how many mails are in the bag, copies counted.
func (b bag) size() int {
	n := 0
	for _, count := range b {
		n += count
	}
	return n
}

// verdict is what is wrong with what arrived. All of it has to be 0.
type verdict struct {
	// Lost mail was sent and is not there, or not often enough; Doubled is there too often;
	// Altered is there and was never sent.
	Lost    int `json:"lost"`
	Doubled int `json:"doubled"`
	Altered int `json:"altered"`
	// Early was gone from POP3 at a time when it was not yet in IMAP.
	Early int `json:"early"`
}

func (v *verdict) add(o verdict) {
	v.Lost += o.Lost
	v.Doubled += o.Doubled
	v.Altered += o.Altered
	v.Early += o.Early
}

// compare holds what arrived against what was sent.
func (b bag) compare(got bag) verdict {
	var v verdict
	for m, n := range b {
		v.Lost += max(0, n-got[m])
		v.Doubled += max(0, got[m]-n)
	}
	for m, n := range got {
		if b[m] == 0 {
			v.Altered += n
		}
	}
	return v
}

// missing returns the mail of which more copies have left the source than are in the
// destination: sent counts all that there was, left what the source still has.
func (b bag) missing(left, got bag) []mark {
	var out []mark
	for m, n := range b {
		if n-left[m] > got[m] {
			out = append(out, m)
		}
	}
	return out
}

// truth is what was put into a maildrop. It is safe for concurrent use.
type truth struct {
	mu    sync.Mutex
	sent  bag
	mails [][]byte
}

func newTruth() *truth { return &truth{sent: bag{}} }

// add notes a mail that is in the maildrop by now.
func (t *truth) add(raw []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent[markOf(raw)]++
	t.mails = append(t.mails, raw)
}

// snapshot is what was sent so far.
func (t *truth) snapshot() bag {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := make(bag, len(t.sent))
	for m, n := range t.sent {
		b[m] = n
	}
	return b
}

// earlier returns one of the mails that were sent, or nil; pick gets their number.
func (t *truth) earlier(pick func(n int) int) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.mails) == 0 {
		return nil
	}
	return t.mails[pick(len(t.mails))]
}

func (t *truth) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.mails)
}

// sample is one mail of those with equal content.
type sample struct {
	raw    []byte
	copies int
}

func (t *truth) samples() map[mark]sample {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[mark]sample, len(t.sent))
	for _, raw := range t.mails {
		m := markOf(raw)
		out[m] = sample{raw, out[m].copies + 1}
	}
	return out
}
