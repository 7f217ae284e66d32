package ferry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// Where both servers show one mailbox, all mail of POP3 is found in the destination: as
// itself. No names tell (pop.example.org, imap.example.org), and to read the copies back
// proves nothing. So of the mail that popferry did not bring itself one message is deleted
// first, its octets in the journal, and the others only when its copy was seen to outlive it.

// canary is the message that goes first, and where its copy is.
type canary struct {
	Key, Folder      string
	UIDValidity, UID uint32
	Twins            []uint32  // of what looks alike: which of them is whose copy, nobody can tell
	Messages         uint32    // in the folder before
	Mail             []byte    // all of it
	Sent             time.Time // when it was last appended anew
}

// Facts that the journal remembers of this.
const (
	factCanary     = "canary"      // it as JSON, as long as nobody knows what became of it
	factApart      = "apart "      // and a folder: the UIDVALIDITY under which a copy outlived its original
	factOneMailbox = "one-mailbox" // a folder in which none does
)

const (
	// largestCanary bounds what the journal keeps of one, in octets.
	largestCanary = 8 << 20
	// canaryTries is how many are tried where some are not where they should be, or can't
	// be deleted.
	canaryTries = 10
)

// apart returns what may be deleted of what is due: mail that popferry brought, and mail
// that it found, in folders in which copies outlive their originals. What proved to be
// another mail meanwhile is in the error, with which the others may be deleted.
func (t *trip) apart(ctx context.Context, due []journal.Record) (may []journal.Record, another, err error) {
	if err := t.refuseOneMailbox(ctx); err != nil {
		return nil, nil, err
	}
	found := map[string][]journal.Record{}
	for _, r := range due {
		if !brought(r) {
			found[r.Folder] = append(found[r.Folder], r)
		}
	}
	if len(found) == 0 {
		return due, nil, nil
	}
	for _, mailbox := range slices.Sorted(maps.Keys(found)) {
		sure, held, err := t.outlives(ctx, found[mailbox])
		if err != nil {
			return nil, nil, err
		}
		if another = cmp.Or(another, held); !sure {
			due = slices.DeleteFunc(due, func(r journal.Record) bool { return !brought(r) && r.Folder == mailbox })
		}
	}
	may, err = t.stillDue(ctx, due)
	return may, another, err
}

// stillDue returns what the journal has by now of records that were due.
func (t *trip) stillDue(ctx context.Context, due []journal.Record) (still []journal.Record, err error) {
	for part := range slices.Chunk(due, deleteBatch) {
		keys := make([]string, len(part))
		for i, r := range part {
			keys[i] = r.Key
		}
		now, err := t.ledger.Get(ctx, keys)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			if r := now[key]; (r.State == journal.Delivered || r.State == journal.DeleteSent) && t.mayList(r) {
				still = append(still, r)
			}
		}
	}
	return still, nil
}

// refuseOneMailbox refuses deletions where copies go with their originals, unless a person
// knows better.
func (t *trip) refuseOneMailbox(ctx context.Context) error {
	folder, err := t.ledger.Fact(ctx, factOneMailbox)
	switch {
	case err != nil || folder == "":
		return err
	case t.engine.ConfirmDelete:
		return t.ledger.SetFact(ctx, factOneMailbox, "")
	}
	return oneMailbox(folder)
}

func oneMailbox(folder string) error {
	return fault.New(fault.Config, "nothing is deleted from POP3: when one message was, its copy in %s was gone as well; it was put back",
		fault.Escape(folder)).WithHint("source and destination seem to be the same mailbox: set keep: forever, or another destination; " +
		"if somebody removed that copy in the same moment, run once with --confirm-delete to try again")
}

// outlives reports whether copies in the folder of these records outlive their originals.
// Unless that is known, one of them is deleted to see.
func (t *trip) outlives(ctx context.Context, records []journal.Record) (sure bool, another, err error) {
	in, err := t.folderOf(ctx, records[0])
	if err != nil {
		return false, nil, err
	}
	seen, err := t.ledger.Fact(ctx, factApart+records[0].Folder)
	if err != nil || seen == validity(in) {
		return err == nil, nil, err
	}
	candidates, err := t.candidates(ctx, records)
	if err != nil {
		return false, nil, err
	}
	for _, r := range candidates {
		gone, sure, err := t.sacrifice(ctx, in, r, records)
		switch {
		case fault.CodeOf(err) == fault.Held: // nothing was deleted
			another = err
			t.hangUp() // of what was read, not all is delivered (I2)
			if err := t.ledger.SetFact(ctx, factCanary, ""); err != nil {
				return false, nil, err
			}
		case err != nil || gone:
			return sure, another, err
		}
	}
	t.triedInVain()
	t.note("%s kept on POP3: popferry did not bring them itself, and found none whose deletion would show "+
		"that the copies stay (popferry verify tells where they are)", count(len(records), "message"))
	return false, another, nil
}

// validity is the UIDVALIDITY of a folder.
func validity(f *folder) string { return strconv.FormatUint(uint64(f.now().UIDValidity), 10) }

// candidates are some of the records whose copy is where it should be, the easiest to keep first.
func (t *trip) candidates(ctx context.Context, records []journal.Record) (some []journal.Record, err error) {
	for part := range slices.Chunk(smallest(records), verifyBatch) {
		proven, err := t.proveAnywhere(ctx, part)
		if err != nil {
			return nil, err
		}
		if some = append(some, proven...); len(some) >= canaryTries {
			return some[:canaryTries], nil
		}
	}
	return some, nil
}

// smallest orders the records by how easily their message is kept and told from others.
func smallest(records []journal.Record) []journal.Record {
	size := func(r journal.Record) int64 { return max(r.Listed, r.Sum.Size) }
	like := map[message.Digest]int{}
	for _, r := range records {
		like[r.Sum.Header]++
	}
	small := slices.DeleteFunc(slices.Clone(records), func(r journal.Record) bool { return size(r) > largestCanary })
	slices.SortStableFunc(small, func(a, b journal.Record) int {
		return cmp.Or(nameless(a)-nameless(b), like[a.Sum.Header]-like[b.Sum.Header], cmp.Compare(size(a), size(b)))
	})
	return small
}

// nameless is 1 for a message of which no listing tells that it is gone.
func nameless(r journal.Record) int {
	if named(r.Key) {
		return 0
	}
	return 1
}

// sacrifice deletes one message and looks what becomes of its copy.
func (t *trip) sacrifice(ctx context.Context, in *folder, r journal.Record, others []journal.Record) (gone, sure bool, err error) {
	if pending, err := t.ledger.Fact(ctx, factCanary); err != nil || pending != "" {
		return true, false, err // one at a time: its octets are nowhere else
	}
	if err := t.dest.refresh(ctx, in); err != nil {
		return false, false, err
	}
	at := spot{in, r.UID}
	texts, err := ask(ctx, t, []spot{at}, (*imapdst.Conn).Texts)
	if err != nil || texts[at] == nil {
		return false, false, err
	}
	c := canary{Key: r.Key, Folder: r.Folder, UIDValidity: r.UIDValidity, UID: r.UID,
		Messages: in.now().Messages, Mail: texts[at]}
	if c.Twins, err = t.twins(ctx, in, r); err != nil {
		return false, false, err
	}
	if err := t.keepCanary(ctx, c); err != nil {
		return false, false, err
	}
	if _, err := t.deleteProven(ctx, []journal.Record{r}, headerOnly(others)); err != nil {
		return false, false, err // what became of it is found out next time
	}
	return t.settleCanary(ctx)
}

// twins lists the UIDs, in its folder, of delivered mail that looks like that of a record.
func (t *trip) twins(ctx context.Context, in *folder, r journal.Record) (uids []uint32, err error) {
	var spots []spot
	q := journal.Query{Headers: []message.Digest{r.Sum.Header}, States: []journal.State{journal.Delivered}}
	err = t.ledger.Each(ctx, q, func(o journal.Record) error {
		if o.Key != r.Key && o.Folder == r.Folder && o.UIDValidity == r.UIDValidity && o.UID != 0 {
			spots = append(spots, spot{in, o.UID})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	there, err := t.readHeaders(ctx, spots)
	for at, s := range there {
		if !s.Deleted {
			uids = append(uids, at.uid)
		}
	}
	return uids, err
}

func (t *trip) keepCanary(ctx context.Context, c canary) error {
	fact, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return t.ledger.SetFact(ctx, factCanary, string(fact))
}

// settleCanary finds out what became of the message that went first, if there is one, and
// puts it back if its copy went with it. Sure says that the copy is still there, in a folder
// with no fewer messages than before.
func (t *trip) settleCanary(ctx context.Context) (gone, sure bool, err error) {
	c, err := t.canary(ctx)
	if err != nil || c.Key == "" {
		return false, false, err
	}
	if ok, err := t.deletionSession(ctx); err != nil || !ok {
		return true, false, err
	}
	gone, err = t.isGone(ctx, c)
	if err == nil {
		sure, err = t.survives(ctx, c, gone)
	}
	if err != nil {
		return gone, false, err
	}
	return gone, sure, t.ledger.SetFact(ctx, factCanary, "")
}

// resumeCanary puts back what an earlier run deleted first, if its copy is gone, before anything
// else can fail, and before mail on POP3 is compared with what is put back.
func (t *trip) resumeCanary(ctx context.Context) error {
	c, err := t.canary(ctx)
	if err != nil || c.Key == "" {
		return err
	}
	t.match, t.pending = newMatcher(t), c.Key
	if _, err = t.survives(ctx, c, false); fault.CodeOf(err) == fault.Config {
		return nil // it was put back, which is said when more is to be deleted
	}
	return err
}

// canary returns the message that went first, as long as nobody knows what became of it.
func (t *trip) canary(ctx context.Context) (c canary, err error) {
	fact, err := t.ledger.Fact(ctx, factCanary)
	if err != nil || fact == "" {
		return canary{}, err
	}
	if err := json.Unmarshal([]byte(fact), &c); err != nil {
		return canary{}, fault.New(fault.State, "the journal has something unreadable about a deletion: %w", err).
			WithHint("make another journal: move the state directory away")
	}
	return c, nil
}

// takeCanary takes it over from another scope, where its record gets another key.
func (t *trip) takeCanary(ctx context.Context, from journal.Ledger, prefix string) error {
	fact, err := from.Fact(ctx, factCanary)
	var c canary
	if err != nil || fact == "" || json.Unmarshal([]byte(fact), &c) != nil {
		return err
	}
	c.Key = prefix + c.Key
	if err := t.keepCanary(ctx, c); err != nil {
		return err
	}
	return from.SetFact(ctx, factCanary, "")
}

// isGone reports whether POP3 has certainly lost the message.
func (t *trip) isGone(ctx context.Context, c canary) (bool, error) {
	if _, listed := t.at(c.Key); listed {
		return false, nil
	}
	records, err := t.ledger.Get(ctx, []string{c.Key})
	r := records[c.Key]
	if r.Key == "" || c.Key == t.pending && (t.renumbered || t.unnamed) {
		return false, err // names say nothing
	}
	return named(c.Key) || r.Reason == quitOK || r.State == journal.Gone, err
}

// survives looks for the copy of a message that may be gone from POP3, and puts the message
// back where there is none.
func (t *trip) survives(ctx context.Context, c canary, gone bool) (sure bool, err error) {
	records, err := t.ledger.Get(ctx, []string{c.Key})
	if err != nil {
		return false, err
	}
	if r, known := records[c.Key]; known && r.State != journal.DeleteSent && r.State != journal.Gone {
		return false, nil // its deletion was not asked for, or had no effect
	}
	in, err := t.folderOf(ctx, journal.Record{Folder: c.Folder})
	if err != nil {
		return false, err
	}
	if err := t.dest.refresh(ctx, in); err != nil {
		return false, err
	}
	sum, err := message.Summarize(bytes.NewReader(c.Mail), t.now())
	if err != nil {
		return false, err
	}
	there, err := t.isThere(ctx, in, c, sum)
	switch {
	case err != nil:
		return false, err
	case there && gone && in.now().Messages >= c.Messages:
		return true, t.ledger.SetFact(ctx, factApart+c.Folder, validity(in))
	case there:
		return false, nil // not gone; or mail goes from there: this one, or that of somebody else
	}
	return false, t.putBack(ctx, in, c, sum)
}

// isThere reports whether the copy is where it was, and what looks like it too. What is
// marked as deleted is as good as gone.
func (t *trip) isThere(ctx context.Context, in *folder, c canary, sum message.Summary) (bool, error) {
	if in.now().UIDValidity != c.UIDValidity {
		found, err := t.placeNow(ctx, in, &c)
		if err != nil || !found {
			return false, err
		}
	}
	at := spot{in, c.UID}
	read, err := t.readBack(ctx, []spot{at})
	s, there := read[at]
	if _, same := sum.Same(s.Summary); err != nil || !there || !same || s.Deleted {
		return false, err
	}
	twins := make([]spot, len(c.Twins))
	for i, uid := range c.Twins {
		twins[i] = spot{in, uid}
	}
	seen, err := t.readHeaders(ctx, twins)
	for _, s := range seen {
		there = there && !s.Deleted
	}
	return there && len(seen) == len(twins), err
}

// placeNow finds the place of the copy under a new UIDVALIDITY.
func (t *trip) placeNow(ctx context.Context, in *folder, c *canary) (found bool, err error) {
	if err := t.match.prepare(ctx); err != nil { // which gives each record its place
		return false, err
	}
	records, err := t.ledger.Get(ctx, []string{c.Key})
	r := records[c.Key]
	c.UID, c.Twins = r.UID, nil
	return r.UIDValidity == in.now().UIDValidity, err
}

// putBack appends the message again, unless it is there under another UID: an attempt of
// which the answer was lost. That copies go with their originals is remembered.
func (t *trip) putBack(ctx context.Context, in *folder, c canary, sum message.Summary) error {
	if err := t.match.prepare(ctx); err != nil {
		return err
	}
	var found map[string]journal.Record
	var err error
	if !c.Sent.IsZero() {
		found, err = t.match.inDestination(ctx, map[string]message.Summary{c.Key: sum}, []*folder{in}, 0)
	}
	if err == nil && len(found) == 0 {
		err = t.appendAgain(ctx, in, c, sum)
	}
	if err == nil {
		err = t.ledger.SetFact(ctx, factOneMailbox, in.now().Name)
	}
	if err == nil {
		err = t.unclaim(ctx, c.Key)
	}
	if err == nil {
		err = t.ledger.SetFact(ctx, factCanary, "")
	}
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.report.Deleted = max(t.report.Deleted-1, 0)
	t.mu.Unlock()
	return oneMailbox(in.now().Name)
}

// appendAgain appends the message, but not while an earlier attempt may still arrive (I4).
func (t *trip) appendAgain(ctx context.Context, in *folder, c canary, sum message.Summary) error {
	if wait := t.engine.Config.Settle - t.now().Sub(c.Sent); wait > 0 && wait <= t.engine.Config.Settle {
		return fault.New(fault.Temporary, "a message that was deleted from POP3 is to be put back, and may still arrive").
			WithHint("run again in %v", wait.Round(time.Second)).WithRest(wait, "by then it has arrived, or never will")
	}
	c.Sent = t.now()
	if err := t.keepCanary(ctx, c); err != nil {
		return err
	}
	_, err := t.dest.ask(ctx, in, func(conn *imapdst.Conn, box imapdst.Folder) error {
		pending, err := conn.Append(ctx, box, []imapdst.Item{{Size: int64(len(c.Mail)), Body: bytes.NewReader(c.Mail),
			Flags: t.account.FlagsFor(sum.Date, t.now()), Date: sum.Date}})
		return cmp.Or(pending.Wait(ctx)[0].Err, err)
	})
	if err == nil {
		return nil
	}
	return fault.New(fault.CodeOf(err), "a message was deleted from POP3, its copy in %s is gone as well, and it can't be put back: %w",
		fault.Escape(in.now().Name), err).WithHint("its octets are in the journal: keep the state directory, and run again")
}

// unclaim says that nothing is known of a message.
func (t *trip) unclaim(ctx context.Context, key string) error {
	records, err := t.ledger.Get(ctx, []string{key})
	if err != nil || len(records) == 0 {
		return err
	}
	r := records[key]
	r.State, r.UID, r.Reason, r.Changed = journal.Listed, 0, "", t.now()
	return t.ledger.Put(ctx, []journal.Record{r})
}
