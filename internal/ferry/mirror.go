package ferry

import (
	"context"
	"maps"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// Where both servers show one mailbox, what popferry puts there comes up on POP3 as new mail,
// and its copy would, and so on, one in each run. Mail begins to be brought there for two
// reasons: it is marked as \Deleted, and vouches for nothing; or it goes from IMAP while POP3
// still has it in its session. It is brought once then, and no more.

// itself finds what the destination has for new mail of octets that popferry brought before, in a
// folder whose mail comes up on POP3: the original, whose \Deleted means
// little where the octets are there without it, or else what was brought.
func (m *matcher) itself(ctx context.Context, sums map[string]message.Summary) (map[string]journal.Record, error) {
	again, brought, err := m.again(ctx, sums)
	if err != nil || len(again) == 0 {
		return nil, err
	}
	found, err := m.amongst(ctx, again, m.t.leastShared(m.folders), func(at spot) bool { return m.marked[at] })
	if err != nil {
		return nil, err
	}
	cameUp, err := m.ownCopies(ctx, without(again, found), brought)
	maps.Copy(found, cameUp)
	if len(found) > 0 {
		m.t.noteOnce("what popferry brought before comes up on POP3 as new mail, and is not brought again: source and " +
			"destination seem to be one mailbox; set another destination, or take the account out")
	}
	return found, err
}

// ownCopies has records of what was brought speak for new mail that is that very copy.
func (m *matcher) ownCopies(ctx context.Context, again map[string]message.Summary,
	brought []journal.Record) (map[string]journal.Record, error) {
	found := map[string]journal.Record{}
	for _, r := range brought {
		key, err := m.cameUp(ctx, r, again)
		if err != nil {
			return nil, err
		}
		if key == "" {
			continue
		}
		r.Origin = originFound // no deletion may take it for another mail than its copy
		found[key], m.spent[r.Key] = r, true
		delete(again, key)
	}
	return found, nil
}

// again picks the new mail whose octets were brought to a folder that shows on POP3, and the
// records of that.
func (m *matcher) again(ctx context.Context, sums map[string]message.Summary) (again map[string]message.Summary,
	brought []journal.Record, err error) {
	alike, err := m.broughtAlike(ctx, sums)
	if err != nil || len(alike) == 0 {
		return nil, nil, err
	}
	shows, err := m.shown(ctx, sums)
	if err != nil {
		return nil, nil, err
	}
	again = map[string]message.Summary{}
	for _, r := range alike {
		if !shows[r.Folder] {
			continue
		}
		brought = append(brought, r)
		for key, s := range sums {
			if _, same := s.Same(r.Sum); same {
				again[key] = s
			}
		}
	}
	return again, brought, nil
}

// broughtAlike lists what popferry brought with one of the headers.
func (m *matcher) broughtAlike(ctx context.Context, sums map[string]message.Summary) (alike []journal.Record, err error) {
	q := journal.Query{States: []journal.State{journal.Delivered}}
	for _, s := range sums {
		q.Headers = append(q.Headers, s.Header)
	}
	err = m.t.ledger.Each(ctx, q, func(r journal.Record) error {
		if brought(r) {
			alike = append(alike, r)
		}
		return nil
	})
	return alike, err
}

// shown has the folders of which POP3 shows what popferry brought: most of it is among the new
// mail, or was when another record was made of it. Of a mail alone nobody could tell whether it
// was sent twice.
func (m *matcher) shown(ctx context.Context, sums map[string]message.Summary) (map[string]bool, error) {
	there, put := map[message.Digest]bool{}, map[folderHeader]bool{}
	for _, s := range sums {
		there[s.Header] = true
	}
	q := journal.Query{States: []journal.State{journal.Delivered}}
	err := m.t.ledger.Each(ctx, q, func(r journal.Record) error {
		if brought(r) {
			put[folderHeader{r.Folder, r.Sum.Header}] = true
		} else {
			there[r.Sum.Header] = true
		}
		return nil
	})
	more := map[string]int{} // by how many it is most
	for at := range put {
		if there[at.header] {
			more[at.folder]++
		} else {
			more[at.folder]--
		}
	}
	shown := map[string]bool{}
	for folder, n := range more {
		shown[folder] = n > 0
	}
	return shown, err
}

// folderHeader is mail of a folder by its header.
type folderHeader struct {
	folder string
	header message.Digest
}

// cameUp is the key of the new mail that a record may be about: POP3 does not list what it was
// brought for, not only since it was fetched, and the copy is there. It is "" if there is none.
func (m *matcher) cameUp(ctx context.Context, r journal.Record, again map[string]message.Summary) (string, error) {
	_, listed := m.t.at(r.Key)
	if listed || !named(r.Key) || m.isSpent(r.Key) || m.t.isOwn(r.Key) && !m.t.showsFetched() {
		return "", nil
	}
	for _, key := range inOrder(again) {
		if _, same := again[key].Same(r.Sum); !same {
			continue
		}
		there, err := m.t.isUnmarked(ctx, r)
		if err != nil || !there {
			return "", err
		}
		return key, nil
	}
	return "", nil
}

// showsFetched reports whether POP3 lists something that this run has brought: some servers hide
// that, and then show more copies.
func (t *trip) showsFetched() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.own {
		if _, listed := t.at(key); listed {
			return true
		}
	}
	return false
}

// isUnmarked reports whether the copy of a record is where it was put, and nobody wants it gone.
func (t *trip) isUnmarked(ctx context.Context, r journal.Record) (bool, error) {
	at, ok, err := t.spotOf(ctx, r)
	if err != nil || !ok {
		return false, err
	}
	seen, err := t.readHeaders(ctx, []spot{at})
	c, there := seen[at]
	return there && !c.Deleted && c.Header == r.Sum.Header, err
}
