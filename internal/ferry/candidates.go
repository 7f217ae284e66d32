package ferry

import (
	"context"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// candidate is unclaimed mail, and the folder that it is in.
type candidate struct {
	journal.IndexEntry
	in *folder
}

func (c candidate) at() spot { return spot{c.in, c.UID} }

// candidates lists unclaimed mail of some folders that could be the same by Message-ID,
// or by size where there is none: servers change sizes by a little only. Mail that could not be
// asked for its Message-ID is among it if it has the very size.
func (m *matcher) candidates(ctx context.Context, sums map[string]message.Summary, where []*folder) ([]candidate, error) {
	var queries []journal.Match
	ids := map[string]bool{}
	for _, key := range inOrder(sums) {
		s := sums[key]
		if s.MessageID != "" {
			ids[s.MessageID], ids[damagedName] = true, true
			continue
		}
		low, high := sizeWindow(s.Size)
		queries = append(queries, journal.Match{MinSize: low, MaxSize: high})
	}
	if len(ids) > 0 {
		byID := journal.Match{}
		for id := range ids {
			byID.MessageIDs = append(byID.MessageIDs, id)
		}
		queries = append(queries, byID)
	}
	var out []candidate
	seen := map[spot]bool{}
	for _, f := range where {
		for _, q := range queries {
			err := f.known().Unclaimed(ctx, q, func(e journal.IndexEntry) error {
				c := candidate{e, f}
				if !seen[c.at()] && !m.spentAt[c.at()] && c.isOf(sums) {
					seen[c.at()] = true
					out = append(out, c)
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// sizeWindow bounds the size that a server may show for a mail of size octets:
// line ends and headers of its own make the difference.
func sizeWindow(size int64) (low, high int64) { return max(0, size-64), size + size/50 + 64<<10 }

// digest reads the candidates that nobody has read yet, and remembers them. Those
// that were read before must still be there: a witness that somebody deleted
// would keep a mail from being delivered.
func (m *matcher) digest(ctx context.Context, candidates []candidate) error {
	var unread, read []spot
	for _, c := range candidates {
		if c.Sum == nil {
			unread = append(unread, c.at())
		} else {
			read = append(read, c.at())
		}
	}
	present, err := askApart(ctx, m.t, read, (*imapdst.Conn).Headers)
	if err != nil {
		return err
	}
	for i := range candidates {
		at := candidates[i].at()
		c, there := present[at]
		if m.marked[at] = c.Deleted; !there {
			candidates[i].Sum = nil
		}
	}
	return m.digestUnread(ctx, candidates, unread)
}

func (m *matcher) digestUnread(ctx context.Context, candidates []candidate, unread []spot) error {
	sums, err := askApart(ctx, m.t, unread, (*imapdst.Conn).Digests)
	if err != nil {
		return err
	}
	read := map[*folder][]journal.IndexEntry{}
	for i := range candidates {
		c := &candidates[i]
		if s, ok := sums[c.at()]; ok {
			c.Sum, m.marked[c.at()] = &s.Summary, s.Deleted
			read[c.in] = append(read[c.in], c.IndexEntry)
		}
	}
	for f, entries := range read {
		if err := f.known().PutDigests(ctx, entries); err != nil {
			return err
		}
	}
	return nil
}
