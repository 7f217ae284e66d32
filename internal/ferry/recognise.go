package ferry

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// recognise finds, by headers alone where those suffice, listed messages that
// are delivered although the journal does not know them by name: after the loss
// of the journal, after a renumbering, and on servers that name no mail or give
// one name twice. With act set it tells the journal. What headers can't decide
// is left to carry, which compares contents before it appends anything.
func (t *trip) recognise(ctx context.Context, act bool) (map[string]plan.Match, error) {
	unknown := slices.ContainsFunc(t.listing, t.isUnknown)
	t.unsure = slices.ContainsFunc(t.listing, t.mayBeThere)
	if !unknown && !t.unsure {
		return nil, nil
	}
	if err := t.match.prepare(ctx); err != nil || !unknown {
		return nil, err
	}
	worth, err := t.worthAsking(ctx)
	if err != nil || len(worth) == 0 {
		return nil, err
	}
	headers, err := t.headersOf(ctx, worth)
	if errors.Is(err, pop.ErrNoTop) {
		return nil, t.judgeDeletions(ctx, t.sizeListed()) // RETR will tell the rest
	}
	if err != nil {
		return nil, err
	}
	return t.matchHeaders(ctx, worth, headers, act)
}

// isUnknown reports a message that the journal can't vouch for by name, and that is to
// be brought if it is new.
func (t *trip) isUnknown(l plan.Listed) bool {
	if t.isAsBefore(l.Key) {
		return false
	}
	r, ok := t.known[l.Key]
	return !ok && !t.skips(l) || ok && !sameListing(r, l) && !wasRead(r, l)
}

// mayBeThere reports a message that the journal knows, that is to be brought, and that the
// destination may have all the same: one that was held before it could be read, in a run
// without the journal of those before; one whose copy may be what could not be read; or as a
// wrapping, where the answer to that was lost.
func (t *trip) mayBeThere(l plan.Listed) bool {
	r, wraps := t.knownAs(l.Key), t.account.Repair == repairWrap
	due := r.State == journal.Held && (t.heldToo || retriable(r, t.limit()))
	return due && (wraps || r.Sum.Content.IsZero() || awaitsReading(r)) || wraps && r.State == journal.Listed
}

// wasRead reports whether a record may be about the listed message and knows its
// content: then a header can't say anything about it that counts more.
func wasRead(r journal.Record, l plan.Listed) bool {
	undecided := r.State == journal.DeleteSent || r.State == journal.Listed
	return undecided && r.Listed == l.Size && !r.Sum.Content.IsZero()
}

// worthAsking picks the messages whose headers are worth a TOP. Where a witness
// is likely that saves their RETR; for the few new messages of an ordinary day
// it would only cost a round trip, since their content is compared anyway.
func (t *trip) worthAsking(ctx context.Context) ([]plan.Listed, error) {
	counts, err := t.ledger.Counts(ctx)
	if err != nil {
		return nil, err
	}
	records := counts[journal.Delivered] + counts[journal.DeleteSent]
	if records == 0 && !t.match.foreign {
		return nil, nil // nobody could vouch for anything
	}
	all := !t.baseline && t.match.foreign || t.renumbered
	var worth []plan.Listed
	for _, l := range t.listing {
		if t.isUnknown(l) && (all || !trusted(l) && records > 0) {
			worth = append(worth, l)
		}
	}
	return worth, nil
}

// look is what headers can tell apart: equal looks in equal numbers on both
// sides are the same mail, for skipping only.
type look struct {
	header message.Digest
	size   int64
}

// witness vouches for one message: a record or unclaimed mail.
type witness struct {
	record journal.Record
	at     spot // where the mail is; of a record: nowhere
}

func (w witness) isMail() bool { return w.at.uid != 0 }

// matchHeaders pairs messages with witnesses of the same look, but only where
// their numbers agree, neither a message whose header is not known nor one that
// another account is about to find there could have that look, and the header has
// something that no other mail has: a Message-ID, or a date. A header of mail of several
// sizes tells nothing: LIST and RFC822.SIZE may differ for one mail, and then agree for two.
// Nor does one whose witness is a deletion in doubt: that was most likely carried out.
func (t *trip) matchHeaders(ctx context.Context, want []plan.Listed,
	headers map[string]message.Summary, act bool) (map[string]plan.Match, error) {
	if err := t.judgeDeletions(ctx, headerListed(headers)); err != nil {
		return nil, err
	}
	witnesses, err := t.witnesses(ctx, headers)
	if err != nil {
		return nil, err
	}
	groups, vague := map[look][]plan.Listed{}, vagueOf(witnesses)
	for _, l := range want {
		if s, ok := headers[l.Key]; ok && !s.Header.IsZero() {
			k := look{s.Header, l.Size}
			groups[k] = append(groups[k], l)
			vague.see(k)
			vague[k.header].plain = isPlain(s)
		}
	}
	awaited, err := t.awaited(ctx)
	if err != nil {
		return nil, err
	}
	unseen := t.unseen(headers)
	matches := map[string]plan.Match{}
	recognised := map[string]journal.Record{}
	for k, members := range groups {
		theirs := witnesses[k]
		for i, l := range members {
			if i >= len(theirs) {
				break
			}
			certain := len(theirs) == len(members) && !inDoubt(theirs) && !unseen[k.size] && !awaited[k.header] && !vague[k.header].is()
			matches[l.Key] = matchOf(theirs[i], certain)
			if certain {
				recognised[l.Key] = theirs[i].record
				t.match.spend(theirs[i])
			}
		}
	}
	if !act {
		guess(matches, want, headers, witnesses)
		return matches, nil
	}
	return certainOnly(matches), t.recordRecognised(ctx, recognised, headers)
}

// vague knows of headers whether they can tell one mail from others.
type vague map[message.Digest]*vagueness

type vagueness struct {
	size  int64
	mixed bool // there is mail of several sizes
	plain bool // nothing in it is that mail's own
}

func (v *vagueness) is() bool { return v.mixed || v.plain }

func vagueOf(witnesses map[look][]witness) vague {
	v := vague{}
	for k := range witnesses {
		v.see(k)
	}
	return v
}

func (v vague) see(k look) {
	known := v[k.header]
	if known == nil {
		v[k.header] = &vagueness{size: k.size}
		return
	}
	known.mixed = known.mixed || known.size != k.size
}

// awaited has the headers of what other accounts sent to this destination and have yet
// to find there: mail that looks so may be theirs.
func (t *trip) awaited(ctx context.Context) (map[message.Digest]bool, error) {
	headers := map[message.Digest]bool{}
	if !t.match.foreign {
		return headers, nil
	}
	err := t.eachNeighbour(ctx, func(ledger journal.Ledger, own bool) error {
		if own {
			return nil // its own were looked for before
		}
		open := journal.Query{States: []journal.State{journal.Intent}}
		return ledger.Each(ctx, open, func(r journal.Record) error {
			headers[r.Sum.Header] = true
			return nil
		})
	})
	return headers, err
}

// unseen has the sizes of messages that a witness may be about, and whose header was
// not asked for or not given.
func (t *trip) unseen(headers map[string]message.Summary) map[int64]bool {
	sizes := map[int64]bool{}
	for _, l := range t.listing {
		if t.isUnknown(l) && headers[l.Key].Header.IsZero() {
			sizes[l.Size] = true
		}
	}
	return sizes
}

// guess adds what is likely and not certain: the header is there, with another
// size. Only reading the message will tell.
func guess(matches map[string]plan.Match, want []plan.Listed, headers map[string]message.Summary,
	witnesses map[look][]witness) {
	byHeader := map[message.Digest]witness{}
	for k, ws := range witnesses {
		byHeader[k.header] = ws[0]
	}
	for _, l := range want {
		_, matched := matches[l.Key]
		w, likely := byHeader[headers[l.Key].Header]
		if !matched && likely {
			matches[l.Key] = matchOf(w, false)
		}
	}
}

func matchOf(w witness, certain bool) plan.Match {
	m := plan.Match{How: "header digest", Where: "the journal", Certain: certain}
	if w.isMail() || w.record.UID != 0 {
		m.Where = fmt.Sprintf("%s uid %d", w.record.Folder, w.record.UID)
	}
	return m
}

// certainOnly drops guesses: whoever is about to act compares contents instead.
func certainOnly(matches map[string]plan.Match) map[string]plan.Match {
	for key, m := range matches {
		if !m.Certain {
			delete(matches, key)
		}
	}
	return matches
}

func (m *matcher) spend(w witness) {
	if w.isMail() {
		m.spentAt[w.at] = true
		m.compared++
		return
	}
	m.spent[w.record.Key] = true
}

// judgeDeletions decides whether deletions in doubt may have had no effect although
// all their names are gone: then the listing has nearly all of their mail again,
// under new names, as far as looks tell. One alone is new mail, unless other mail under new
// names shows that this is what happened to all.
func (t *trip) judgeDeletions(ctx context.Context, listed func(journal.Record) bool) error {
	if t.undeleted = false; !t.renumbered {
		return nil
	}
	sent, back, renamed := 0, 0, false
	q := journal.Query{States: []journal.State{journal.DeleteSent, journal.Delivered}}
	err := t.ledger.Each(ctx, q, func(r journal.Record) error {
		_, there := t.at(r.Key)
		switch {
		case !named(r.Key):
		case r.State == journal.DeleteSent:
			sent++
			if listed(r) {
				back++
			}
		case !there && listed(r):
			renamed = true
		}
		return nil
	})
	t.comeback.sent = sent
	t.undeleted = (sent > 1 || renamed) && t.comeback.enough(back)
	return err
}

func headerListed(headers map[string]message.Summary) func(journal.Record) bool {
	listed := map[message.Digest]int{}
	for _, s := range headers {
		listed[s.Header]++
	}
	return func(r journal.Record) bool {
		listed[r.Sum.Header]--
		return listed[r.Sum.Header] >= 0
	}
}

// sizeListed is for servers without TOP. Contents are compared later.
func (t *trip) sizeListed() func(journal.Record) bool {
	listed := map[int64]int{}
	for _, l := range t.listing {
		listed[l.Size]++
	}
	return func(r journal.Record) bool {
		listed[r.Listed]--
		return listed[r.Listed] >= 0
	}
}

// witnesses gathers by look everything that could vouch for the headers: first
// the journal's records that lost their name, then unclaimed mail.
func (t *trip) witnesses(ctx context.Context, headers map[string]message.Summary) (map[look][]witness, error) {
	out := map[look][]witness{}
	digests := make([]message.Digest, 0, len(headers))
	for _, s := range headers {
		digests = append(digests, s.Header)
	}
	err := t.ledger.Each(ctx, journal.Query{Headers: digests}, func(r journal.Record) error {
		inDoubt := r.State == journal.DeleteSent && t.mayBeBack(r)
		if !t.match.isSpent(r.Key) && (r.State == journal.Delivered || inDoubt) &&
			(!named(r.Key) || t.unnamed || t.renamed(r) || t.repeats[r.UIDL]) {
			k := look{r.Sum.Header, r.Listed}
			out[k] = append(out[k], witness{record: r})
		}
		return nil
	})
	if err != nil || !t.match.foreign {
		return out, err
	}
	mail, err := t.unclaimedLooks(ctx, headers)
	for k, ws := range mail {
		out[k] = append(out[k], ws...)
	}
	return out, err
}

// unclaimedLooks reads the headers of unclaimed mail that could be the same.
func (t *trip) unclaimedLooks(ctx context.Context, headers map[string]message.Summary) (map[look][]witness, error) {
	sums := make(map[string]message.Summary, len(headers))
	for key, s := range headers {
		l, _ := t.at(key)
		s.Size = l.Size // TOP does not tell; LIST's word is near enough
		sums[key] = s
	}
	candidates, err := t.match.candidates(ctx, sums, t.match.folders)
	if err != nil {
		return nil, err
	}
	read, err := askApart(ctx, t, spotsOf(candidates), (*imapdst.Conn).Headers)
	if err != nil {
		return nil, err
	}
	out := map[look][]witness{}
	for _, c := range candidates {
		s, ok := read[c.at()]
		if !ok || s.Deleted {
			continue
		}
		k := look{s.Header, c.Size}
		r := t.match.foundRecord(s.Summary, c.at(), "header digest")
		r.Sum.Size = c.Size
		r.Origin += byHeader
		out[k] = append(out[k], witness{record: r, at: c.at()})
	}
	return out, nil
}

// recordRecognised makes the journal know the messages by their present names.
func (t *trip) recordRecognised(ctx context.Context, recognised map[string]journal.Record,
	headers map[string]message.Summary) error {
	var found []foundAs
	for _, key := range inOrder(recognised) {
		r := recognised[key]
		if named(r.Key) && !onlyByHeader(r) && provable(r) {
			r.Origin += byHeader // under its new name nobody has read it
		}
		listed, _ := t.at(key)
		found = append(found, foundAs{listed: listed, record: r, sum: headers[key]})
	}
	return t.recordFound(ctx, found)
}
