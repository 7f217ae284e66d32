package ferry

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
)

// matcher answers whether a mail is delivered already. It knows two kinds of
// witness: journal records whose name left the listing (the provider renumbered,
// or never names mail at all), and mail in the destination that no record
// claims. Each witness speaks for one message only: that is the multiset rule,
// by which a mail that the source holds twice arrives twice.
type matcher struct {
	t        *trip
	mu       sync.Mutex
	spent    map[string]bool // records that already speak for a message
	spentAt  map[spot]bool   // mail in the destination that does
	folders  []*folder       // those whose mail is known and can be a witness
	foreign  bool            // they have unclaimed mail at all
	blank    bool            // the journal knew nothing when the round began
	compared int             // messages whose copy in the destination could be compared

	// marked is unclaimed mail that is marked as \Deleted, of what was read: somebody wants
	// it gone, and the next EXPUNGE takes it (RFC 3501 §2.3.2). It vouches for no new mail.
	marked map[spot]bool

	// By listing key, messages of which the destination has no more than a copy
	// with more fields, or one of the same name and origin.
	grown, namesakes map[string]bool

	// doubtful are messages that the destination may have, by listing key, and why nobody can tell.
	doubtful map[string]string
}

func newMatcher(t *trip) *matcher {
	m := &matcher{t: t, spent: map[string]bool{}, spentAt: map[spot]bool{}, marked: map[spot]bool{},
		grown: map[string]bool{}, namesakes: map[string]bool{}, doubtful: map[string]string{}}
	for _, l := range t.listing {
		// A trusted name in the listing keeps its record for itself, unless it
		// names another message by now.
		if r, ok := t.known[l.Key]; ok && sameListing(r, l) {
			m.spent[l.Key] = true
		}
	}
	return m
}

// isSpent reports whether a record speaks for a message already.
func (m *matcher) isSpent(key string) bool { return m.spent[key] || m.t.isAsBefore(key) }

// sameListing reports whether a record may be believed to be about the listed
// message: after a deletion, or with another size, the UIDL may name something
// else (RFC 1939 §7 permits the reuse), and the content has to tell.
func sameListing(r journal.Record, l plan.Listed) bool {
	switch r.State {
	case journal.Intent, journal.Delivered, journal.Held:
		return r.Listed == l.Size
	}
	return false
}

// prepare learns whether there is foreign mail to compare with: in the folders that the
// trip has opened, or in all that mail can be in.
func (m *matcher) prepare(ctx context.Context) error {
	if err := m.t.reach(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	m.folders, m.foreign = nil, false
	m.mu.Unlock()
	for _, f := range m.t.folders {
		if err := m.lookInto(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// lookInto makes the mail of a folder known, unless that was done.
func (m *matcher) lookInto(ctx context.Context, f *folder) error {
	if slices.Contains(m.folders, f) {
		return nil
	}
	if err := m.t.freshen(ctx, f); err != nil {
		return err
	}
	if !f.now().Exists || f.isHidden() {
		return nil
	}
	if err := m.t.extendIndex(ctx, f); err != nil {
		return m.t.orHide(f, err)
	}
	if err := m.t.locate(ctx, f); err != nil {
		return m.t.orHide(f, err)
	}
	n, err := f.known().UnclaimedCount(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.folders, m.foreign = append(m.folders, f), m.foreign || n > 0
	return err
}

// find looks for messages, named by key, by their full digests and returns the
// records of those that are delivered already, or whose append is still open
// (State Intent).
func (m *matcher) find(ctx context.Context, sums map[string]message.Summary) (map[string]journal.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.doubtful)
	found := map[string]journal.Record{}
	var err error
	if !m.blank {
		found, err = m.inJournal(ctx, sums)
	}
	if err != nil {
		return found, err
	}
	rest := without(sums, found)
	if m.foreign && len(rest) > 0 {
		elsewhere, err := m.inDestination(ctx, rest, m.t.leastShared(m.folders), 0)
		maps.Copy(found, elsewhere)
		if err != nil {
			return found, err
		}
		rest = without(rest, elsewhere)
	}
	if m.blank || len(rest) == 0 {
		return found, nil
	}
	itself, err := m.itself(ctx, rest)
	maps.Copy(found, itself)
	return found, err
}

// without leaves out what was found.
func without(sums map[string]message.Summary, found map[string]journal.Record) map[string]message.Summary {
	rest := maps.Clone(sums)
	maps.DeleteFunc(rest, func(key string, _ message.Summary) bool {
		_, done := found[key]
		return done
	})
	return rest
}

// taken says that a record speaks for a message of this run already, so that it
// can't speak for another copy of the same mail.
func (m *matcher) taken(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spent[key] = true
}

// free takes that back.
func (m *matcher) free(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.spent, key)
}

// take is taken, unless the record speaks for another message already.
func (m *matcher) take(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isSpent(key) {
		return false
	}
	m.spent[key] = true
	return true
}

// inJournal finds records with the same content that are delivered, or may be.
func (m *matcher) inJournal(ctx context.Context, sums map[string]message.Summary) (map[string]journal.Record, error) {
	found := map[string]journal.Record{}
	var contents, headers []message.Digest
	for _, s := range sums {
		contents, headers = append(contents, s.Content), append(headers, s.Header)
	}
	// By their contents records of earlier versions are known, too, whose header digests
	// left out more.
	content := func(s message.Summary) message.Digest { return s.Content }
	if err := m.testify(ctx, journal.Query{Contents: contents}, content, sums, found); err != nil {
		return nil, err
	}
	// Servers write fields of their own into the header (X-UID, Status): then the
	// content differs and the mail is the same.
	if err := m.complete(ctx, headers); err != nil {
		return nil, err
	}
	header := func(s message.Summary) message.Digest { return s.Header }
	return found, m.testify(ctx, journal.Query{Headers: headers}, header, sums, found)
}

// complete reads the copies of records that were recognised by their header alone
// and may have to speak about a content now.
func (m *matcher) complete(ctx context.Context, headers []message.Digest) error {
	var bare []journal.Record
	err := m.t.ledger.Each(ctx, journal.Query{Headers: headers}, func(r journal.Record) error {
		if r.Sum.Content.IsZero() && delivered(r) && r.UID != 0 && !m.isSpent(r.Key) {
			bare = append(bare, r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = m.t.withContents(ctx, bare)
	return err
}

// withContents reads the copies of mail that was recognised by its header alone.
func (t *trip) withContents(ctx context.Context, bare []journal.Record) (full []journal.Record, err error) {
	at := map[spot]journal.Record{}
	var spots []spot
	for _, r := range bare {
		place, ok, err := t.spotOf(ctx, r)
		if err != nil {
			return nil, err
		}
		if ok {
			at[place] = r
			spots = append(spots, place)
		}
	}
	for part := range slices.Chunk(spots, deleteBatch) {
		sums, err := t.readBack(ctx, part)
		if err != nil {
			return nil, err
		}
		for place, s := range sums {
			if r := at[place]; sameMail(r, s.Summary) {
				full = append(full, completed(r, s.Summary))
			}
		}
	}
	if len(full) == 0 {
		return nil, nil
	}
	return full, t.ledger.Put(ctx, full)
}

// testify lets the records that a query finds by a digest speak for messages that nobody
// has spoken for yet. What was deleted under another name comes last: of several with the same
// octets it is another one that is there.
func (m *matcher) testify(ctx context.Context, q journal.Query, by func(message.Summary) message.Digest,
	sums map[string]message.Summary, found map[string]journal.Record) error {
	byDigest := map[message.Digest][]string{}
	for _, key := range inOrder(sums) {
		if _, done := found[key]; !done {
			byDigest[by(sums[key])] = append(byDigest[by(sums[key])], key)
		}
	}
	speak := func(r journal.Record) {
		keys := byDigest[by(r.Sum)]
		for i, key := range keys {
			if sameOrEmpty(r, key, sums[key]) && m.t.mayWitness(r, key) {
				found[key], m.spent[r.Key] = r, true
				byDigest[by(r.Sum)] = slices.Delete(keys, i, i+1)
				break
			}
		}
	}
	var last []journal.Record
	err := m.t.ledger.Each(ctx, q, func(r journal.Record) error {
		_, named := sums[r.Key]
		switch {
		case m.isSpent(r.Key):
		case r.State == journal.DeleteSent && !named:
			last = append(last, r)
		default:
			speak(r)
		}
		return nil
	})
	for _, r := range last {
		speak(r)
	}
	return err
}

// inDestination finds unclaimed mail in some folders, with UIDs from the given one on,
// that is the same mail. What is marked as deleted is only found where it came since then.
func (m *matcher) inDestination(ctx context.Context, sums map[string]message.Summary, where []*folder,
	from uint32) (map[string]journal.Record, error) {
	return m.amongst(ctx, sums, where, func(at spot) bool { return at.uid >= from && (from > 0 || !m.marked[at]) })
}

// amongst finds unclaimed mail in some folders that may vouch and is the same mail.
func (m *matcher) amongst(ctx context.Context, sums map[string]message.Summary, where []*folder,
	may func(spot) bool) (map[string]journal.Record, error) {
	candidates, err := m.candidates(ctx, sums, where)
	if err != nil {
		return nil, err
	}
	if err := m.digest(ctx, candidates); err != nil {
		return nil, err
	}
	found := map[string]journal.Record{}
	for _, key := range exactFirst(sums) {
		s := sums[key]
		for i := range candidates {
			c := &candidates[i]
			if m.spentAt[c.at()] || !may(c.at()) {
				continue
			}
			if c.Sum == nil {
				if m.t.isDamaged(c.at()) && c.mayBe(s) {
					m.doubt(key, *c)
				}
				continue
			}
			if how, same := s.Same(*c.Sum); same {
				m.spentAt[c.at()] = true
				m.compared++
				found[key] = m.foundRecord(s, c.at(), how)
				break
			}
		}
	}
	return found, nil
}

// exactFirst orders messages such that one with a NUL comes after one that has 0x80
// in its place: their digests are equal, and the other has the better claim.
func exactFirst(sums map[string]message.Summary) []string {
	nul := func(key string) int {
		if sums[key].HasNUL {
			return 1
		}
		return 0
	}
	return slices.SortedFunc(maps.Keys(sums), func(a, b string) int {
		return cmp.Or(nul(a)-nul(b), strings.Compare(a, b))
	})
}

// inOrder returns the keys of a map in an order that is the same each time, so that
// a history which went wrong can be played again.
func inOrder[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
