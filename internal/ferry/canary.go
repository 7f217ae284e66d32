package ferry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
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

// canary is the message that goes first, and where its copy is. From its deletion on, until
// its copy was seen again, what the journal has of it may be all that is left: see putback.go.
type canary struct {
	Key, Folder      string
	UIDValidity, UID uint32
	Twins            []uint32 // of what looks alike: which of them is whose copy, nobody can tell
	Messages         uint32   // in the folder before
	Mail             []byte   // all of it

	Asked   bool      // its deletion was asked for, whatever its record says by now
	Missing bool      // its copy was looked for, and is not there
	From    spotFrom  // where it would be found, once put back
	Sent    time.Time // when it was last appended anew, unless that was refused
	Tries   int       // of appending it

	scope  journal.Scope  // whose it is
	ledger journal.Ledger // of that, which has it
	sum    message.Summary
}

// spotFrom is where mail is found that comes from now on.
type spotFrom struct {
	Mailbox              string
	UIDValidity, NextUID uint32
}

// Facts that the journal remembers of this.
const (
	factCanary     = "canary"      // it as JSON, as long as nobody has seen its copy since
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
		if mayBeCopy(r) {
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
			due = slices.DeleteFunc(due, func(r journal.Record) bool { return mayBeCopy(r) && r.Folder == mailbox })
		}
	}
	may, err = t.stillDue(ctx, due)
	return may, another, err
}

// mayBeCopy reports mail whose message on POP3 may be its own copy: popferry did not bring it,
// or did so under another name, or it is listed after it was deleted, which is what the copy
// looks like without a UIDL of its own.
func mayBeCopy(r journal.Record) bool {
	return !brought(r) || r.Reason == notDeleted || strings.Contains(r.Origin, otherName)
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
			r := now[key]
			doubted := r.State == journal.DeleteSent && r.Reason != quitOK // else it just went first
			if (r.State == journal.Delivered || doubted) && t.mayList(r) {
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
	may, err := t.mayInsert(ctx, in)
	if err != nil || !may {
		return false, nil, err
	}
	candidates, err := t.candidates(ctx, in, records)
	if err != nil {
		return false, nil, err
	}
	for _, r := range candidates {
		gone, sure, err := t.sacrifice(ctx, in, r, records)
		switch {
		case fault.CodeOf(err) == fault.Held: // nothing was deleted
			another = err
			t.hangUp() // of what was read, not all is delivered (I2)
		case err != nil || gone:
			return sure, another, err
		}
	}
	t.triedInVain()
	t.note("%s kept on POP3: not brought by popferry itself under this name, and it found none whose deletion would show "+
		"that the copies stay, and that could be put back (popferry verify tells where they are)", count(len(records), "message"))
	return false, another, nil
}

// mayInsert reports whether a message that is deleted from POP3 could be put back into a
// folder, should its copy go with it.
func (t *trip) mayInsert(ctx context.Context, in *folder) (may bool, err error) {
	err = t.dest.do(ctx, in, func(c *imapdst.Conn, box imapdst.Folder) (err error) {
		may, err = c.MayInsert(ctx, box)
		return err
	})
	if isRefusal(err) {
		may, err = false, nil
	}
	if err == nil && !may {
		t.triedInVain()
		t.note("mail is kept on POP3 that popferry did not bring itself: this user may put nothing into folder %s, so that "+
			"no message could be put back if its copy went with it", fault.Escape(in.now().Name))
	}
	return may, err
}

// validity is the UIDVALIDITY of a folder.
func validity(f *folder) string { return strconv.FormatUint(uint64(f.now().UIDValidity), 10) }

// candidates are some of the records whose copy is where it should be, the easiest to keep first.
func (t *trip) candidates(ctx context.Context, in *folder, records []journal.Record) (some []journal.Record, err error) {
	for part := range slices.Chunk(smallest(records, in.now().AppendLimit), verifyBatch) {
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

// smallest orders the records by how easily their message is kept and told from others. What
// the destination would not take back is none of them.
func smallest(records []journal.Record, limit int64) []journal.Record {
	size := func(r journal.Record) int64 { return max(r.Listed, r.Sum.Size) }
	like := map[message.Digest]int{}
	for _, r := range records {
		like[r.Sum.Header]++
	}
	small := slices.DeleteFunc(slices.Clone(records), func(r journal.Record) bool {
		return size(r) > largestCanary || unsendable(size(r), limit) != ""
	})
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
	if pending, err := t.canaries(ctx); err != nil || len(pending) > 0 {
		return true, false, err // one at a time: its octets are nowhere else
	}
	c, err := t.prepareCanary(ctx, in, r)
	if err != nil || c.Key == "" {
		return false, false, err
	}
	goOn, err := t.deleteProven(ctx, []journal.Record{r}, headerOnly(others))
	asked, errAsked := t.wasAsked(ctx, &c)
	switch {
	case errAsked != nil:
		return false, false, errors.Join(err, errAsked)
	case !asked:
		return err == nil && !goOn, false, errors.Join(err, dropCanary(ctx, c))
	case err != nil:
		return false, false, err // what became of it is found out next time
	}
	return t.settleCanary(ctx, c)
}

// prepareCanary has the journal keep the message of a record, and all that tells what
// becomes of its copy. There is none if that can't be read, or could not be put back.
func (t *trip) prepareCanary(ctx context.Context, in *folder, r journal.Record) (c canary, err error) {
	if err := t.dest.refresh(ctx, in); err != nil {
		return canary{}, err
	}
	at := spot{in, r.UID}
	texts, err := ask(ctx, t, []spot{at}, (*imapdst.Conn).Texts)
	if err != nil || texts[at] == nil {
		return canary{}, err
	}
	c = canary{Key: r.Key, Folder: r.Folder, UIDValidity: r.UIDValidity, UID: r.UID,
		Messages: in.now().Messages, Mail: texts[at], scope: scopeOf(t.account), ledger: t.ledger}
	if c.sum, err = message.Summarize(bytes.NewReader(c.Mail), t.now()); err != nil ||
		unsendable(c.sum.Size, in.now().AppendLimit) != "" {
		return canary{}, err
	}
	if c.Twins, err = t.twins(ctx, in, r); err != nil {
		return canary{}, err
	}
	return c, keepCanary(ctx, c)
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

// isGone reports whether POP3 has certainly lost the message.
func (t *trip) isGone(ctx context.Context, c canary) (bool, error) {
	if c.scope != scopeOf(t.account) {
		return false, nil // its name says nothing here
	}
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

// isThere reports whether the copy is where it was, and what looks like it too. What is
// marked as deleted is as good as gone.
func (t *trip) isThere(ctx context.Context, in *folder, c canary) (bool, error) {
	switch {
	case !t.wasIn(in, c):
		return false, nil
	case in.now().UIDValidity != c.UIDValidity:
		found, err := t.placeNow(ctx, in, &c)
		if err != nil || !found {
			return false, err
		}
	}
	at := spot{in, c.UID}
	read, err := t.readBack(ctx, []spot{at})
	s, there := read[at]
	if _, same := c.sum.Same(s.Summary); err != nil || !there || !same || s.Deleted {
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
	_, r, err := t.recordOf(ctx, *c)
	c.UID, c.Twins = r.UID, nil
	return r.Folder == c.Folder && r.UIDValidity == in.now().UIDValidity, err
}
