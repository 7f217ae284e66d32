package imapdst

import (
	"context"
	"iter"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/popferry/popferry/internal/message"
)

// indexChunk is about how many messages one FETCH of an index asks for.
const indexChunk = 10_000

// Entry is one message of an index.
type Entry struct {
	UID uint32
	// Size is RFC822.SIZE, in octets; some servers only estimate it.
	Size int64
	// MessageID is in the form of [message.Summary], or empty.
	MessageID string
}

// Index lists the messages with UIDs of at least from, in ascending order as far
// as the server keeps to it. Each is given to fn as it comes. After an error of
// fn, the answers still to come are thrown away.
//
// "n:*" includes the last message even if its UID is less than n (RFC 3501
// §6.4.8); go-imap drops answers with UIDs outside the set.
func (c *Conn) Index(ctx context.Context, f Folder, from uint32, fn func(Entry) error) error {
	from = max(from, 1)
	read := at(message.SummarizeHeader)
	return c.fetch(ctx, f, fetchPlan{
		sets: c.indexSets(f, from),
		section: &imap.FetchItemBodySection{
			Specifier: imap.PartSpecifierHeader, Peek: true, HeaderFields: []string{"MESSAGE-ID"},
		},
		largest: maxHeader,
		each: func(m *imapclient.FetchMessageData) error {
			uid, size, sum, err := readMessage(m, read)
			if err != nil {
				return err
			}
			entry := Entry{UID: uid, Size: size}
			if sum != nil {
				entry.MessageID = sum.MessageID
			}
			return fn(entry)
		},
	})
}

// minimalLimit keeps a server from making us ask for messages one by one.
const minimalLimit = 100

// indexSets cuts from:* into ranges of UIDs that hold about indexChunk messages
// each, and never more than the server gives at once (RFC 9738 §3).
func (c *Conn) indexSets(f Folder, from uint32) iter.Seq[imap.UIDSet] {
	step, next := uint64(indexChunk), uint64(f.UIDNext)
	if f.Messages > 0 {
		step *= max(1, next/uint64(f.Messages))
	}
	if limit := c.Capabilities().number("MESSAGELIMIT="); limit > 0 {
		step = min(step, max(limit, minimalLimit))
	}
	return func(yield func(imap.UIDSet) bool) {
		low := uint64(from)
		for ; low+step < next; low += step {
			if !yield(imap.UIDSet{{Start: imap.UID(low), Stop: imap.UID(low + step - 1)}}) {
				return
			}
		}
		yield(imap.UIDSet{{Start: imap.UID(low)}}) // to "*"
	}
}
