package ferry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// Verify reads the destination again and proves that every delivered message is
// there: each is found where the journal says, found there altered, found elsewhere
// (moved), dropped by a provider that has the same octets already, or missing. Mail that is altered or missing ends the account with
// [fault.Held]; appends that are open, since nobody knows whether they arrived, with
// [fault.Temporary].
func Verify(ctx context.Context, o Options) VerifyReport {
	v := &verification{byName: map[string]*VerifyAccount{}}
	report := newEngine(o).each(ctx, v.account)
	return v.report(report)
}

// verifyBatch is how many messages are read in one FETCH.
const verifyBatch = 200

// verifyAccount is the work on one account.
type verifyAccount struct {
	t    *trip
	seen VerifyAccount

	proven map[string][]uint32       // UIDs of mail that is as it was sent, by mailbox
	lying  map[string]bool           // records at whose place lies something else, by key
	read   map[lair]message.Summary  // what else was read of the folders that records have their mail in
	octets map[message.Digest]string // where the destination has them, by content

	leavesOut string // a folder of which the server does not give all that it says it has
}

func (t *trip) verify(ctx context.Context) (VerifyAccount, error) {
	v := &verifyAccount{t: t, seen: VerifyAccount{Name: t.account.Name},
		proven: map[string][]uint32{}, lying: map[string]bool{}, read: map[lair]message.Summary{},
		octets: map[message.Digest]string{}}
	t.silent = true
	if err := t.openDestination(ctx); err != nil {
		return v.seen, err
	}
	if err := t.resumeUndo(ctx, false); err != nil {
		return v.seen, err
	}
	t.match = newMatcher(t)
	return v.seen, v.run(ctx)
}

func (v *verifyAccount) run(ctx context.Context) error {
	counts, err := v.t.ledger.Counts(ctx)
	if err != nil {
		return err
	}
	v.seen.Open = counts[journal.Intent]
	var strays []journal.Record
	q := journal.Query{States: []journal.State{journal.Delivered, journal.DeleteSent, journal.Gone}}
	err = inBatches(ctx, v.t.ledger, q, verifyBatch, func(records []journal.Record) error {
		v.seen.Delivered += len(records)
		lost, err := v.check(ctx, records)
		strays = append(strays, lost...)
		return err
	})
	if err != nil {
		return err
	}
	return v.search(ctx, strays)
}

// check reads messages back from where the journal says they are and returns the
// records of those that are not there.
func (v *verifyAccount) check(ctx context.Context, records []journal.Record) ([]journal.Record, error) {
	places, sums, err := v.t.readRecords(ctx, records)
	if err != nil {
		return nil, err
	}
	var proven, lost []journal.Record
	for i, r := range records {
		s, there := sums[places[i]]
		switch {
		case there && isIntact(r, s.Summary):
			r.VerifiedAt = time.Now()
			proven = append(proven, r)
			v.proven[r.Folder] = append(v.proven[r.Folder], r.UID)
			v.atHand(r, r.Folder, r.UID)
			v.tellWhy(r)
			if s.Deleted {
				v.seen.Marked++
			}
		case there && sameMail(r, s.Summary):
			v.proven[r.Folder] = append(v.proven[r.Folder], r.UID)
			v.alter(r, s.Summary)
		case there:
			v.lying[r.Key], v.read[lair{r.Folder, r.UID}] = true, s.Summary
			lost = append(lost, r)
		default:
			lost = append(lost, r)
		}
	}
	v.seen.Found += len(proven)
	return lost, v.t.ledger.Put(ctx, proven)
}

// tellWhy counts what was found and is not known to be as it was sent.
func (v *verifyAccount) tellWhy(r journal.Record) {
	switch {
	case strings.HasPrefix(r.Origin, originLoose):
		v.seen.ByMessageID++
	case onlyByHeader(r):
		v.seen.ByHeader++
	}
}

// sameMail compares a record with what was read back. Records that were
// recognised by their header alone have nothing else to compare, and a wrapping
// names what is inside.
func sameMail(r journal.Record, s message.Summary) bool {
	if r.Origin == originWrapped {
		return s.MessageID == r.Sum.WrappedID()
	}
	if r.Sum.Content.IsZero() {
		return r.Sum.Header == s.Header || r.Origin == originLoose && r.Sum.MessageID == s.MessageID
	}
	_, same := r.Sum.Same(s)
	return same
}

// isIntact reports whether a copy is the mail of a record without loss. One of the same size and
// other octets is, in spite of equal digests, where the server put others for the 8-bit ones of
// the header, which those digests leave open; see message.Summary.Header.
func isIntact(r journal.Record, s message.Summary) bool {
	known := r.Origin != originWrapped && !r.Sum.Content.IsZero()
	blotted := known && r.Sum.Content != s.Content && r.Sum.Size == s.Size && !s.Has8BitHeader
	return sameMail(r, s) && !blotted
}

// search looks for mail that is not where the journal says: first elsewhere in its
// folder, then in all the others.
func (v *verifyAccount) search(ctx context.Context, strays []journal.Record) error {
	if len(strays) == 0 {
		return nil
	}
	conn, done, err := v.t.dest.use(ctx)
	if err != nil {
		return err
	}
	defer done()
	if strays, err = v.searchOwn(ctx, conn, strays); err != nil {
		return err
	}
	if strays = v.dropped(v.altered(strays)); len(strays) == 0 {
		return nil
	}
	v.read = nil // what is in other folders has moved, or is other mail
	folders, err := conn.Folders(ctx)
	if err != nil {
		return err
	}
	for _, name := range folders {
		if strays, err = v.searchFolder(ctx, conn, name, strays); err != nil {
			return err
		}
		strays = v.dropped(strays)
	}
	for _, r := range strays {
		v.miss(r)
	}
	return nil
}

// miss counts mail that was found nowhere. What the server leaves out of its answers may be it.
func (v *verifyAccount) miss(r journal.Record) {
	reason := "not in any folder of the destination"
	if v.leavesOut != "" {
		v.seen.Unshown++
		reason = "not in what the server gives; it leaves out messages of folder " + fault.Escape(v.leavesOut) +
			", each time it is asked, and this may be one of them"
	}
	v.seen.Missing++
	v.seen.Messages = append(v.seen.Messages, MessageReport{
		UIDL: fault.Escape(r.UIDL), Size: r.Sum.Size, State: "missing", Folder: r.Folder, UID: r.UID, Reason: reason,
	})
}

// searchOwn looks for each stray in its own folder. All of them were opened by now.
func (v *verifyAccount) searchOwn(ctx context.Context, conn *imapdst.Conn, strays []journal.Record) (still []journal.Record, err error) {
	for _, f := range v.t.folders {
		var here, elsewhere []journal.Record
		for _, r := range strays {
			if r.Folder == f.now().Mailbox {
				here = append(here, r)
			} else {
				elsewhere = append(elsewhere, r)
			}
		}
		if len(here) > 0 && f.now().Exists {
			if here, err = v.searchIn(ctx, conn, f.now(), here); err != nil {
				return nil, err
			}
		}
		strays = append(here, elsewhere...)
	}
	return strays, nil
}

func (v *verifyAccount) searchFolder(ctx context.Context, conn *imapdst.Conn, name string,
	strays []journal.Record) ([]journal.Record, error) {
	if len(strays) == 0 {
		return nil, nil
	}
	box, err := conn.Folder(ctx, name, false)
	switch {
	case fault.CodeOf(err) == fault.Refused:
		v.t.note("folder %s was not searched: %v", fault.Escape(name), err)
		return strays, nil
	case err != nil:
		return strays, err
	case !box.Exists:
		return strays, nil
	}
	return v.searchIn(ctx, conn, box, strays)
}

func (v *verifyAccount) searchIn(ctx context.Context, conn *imapdst.Conn, box imapdst.Folder,
	strays []journal.Record) ([]journal.Record, error) {
	candidates, err := v.candidatesIn(ctx, conn, box, strays)
	if err != nil {
		return strays, err
	}
	var still []journal.Record
	taken := map[uint32]bool{}
	for _, r := range strays {
		uid := pick(candidates, r, taken)
		if uid == 0 {
			still = append(still, r)
			continue
		}
		taken[uid] = true
		if err := v.place(ctx, box, r, uid); err != nil {
			return still, err
		}
	}
	return still, nil
}

// place counts a stray that turned up: as found if it is in its folder after all
// (no UID was known, or UIDVALIDITY changed), which the journal then learns.
func (v *verifyAccount) place(ctx context.Context, box imapdst.Folder, r journal.Record, uid uint32) error {
	v.atHand(r, box.Name, uid)
	if box.Mailbox == r.Folder {
		v.seen.Found++
		v.tellWhy(r)
		v.proven[r.Folder] = append(v.proven[r.Folder], uid)
		r.UIDValidity, r.UID, r.VerifiedAt = box.UIDValidity, uid, time.Now()
		return v.t.ledger.Put(ctx, []journal.Record{r})
	}
	v.seen.Moved++
	v.seen.Messages = append(v.seen.Messages, MessageReport{
		UIDL: fault.Escape(r.UIDL), Size: r.Sum.Size, State: "moved", Folder: box.Name, UID: uid,
		Reason: fmt.Sprintf("was %s uid %d", r.Folder, r.UID),
	})
	return nil
}

func pick(candidates map[string][]uint32, r journal.Record, taken map[uint32]bool) uint32 {
	for _, uid := range candidates[lookupKey(r)] {
		if !taken[uid] {
			return uid
		}
	}
	return 0
}

// lookupKey is what a record's copy can be found by.
func lookupKey(r journal.Record) string {
	switch {
	case r.Origin == originWrapped:
		return r.Sum.WrappedID()
	case r.Origin == originLoose:
		return r.Sum.MessageID
	case r.Sum.Content.IsZero():
		return r.Sum.Header.String()
	}
	return r.Sum.Header.String() + r.Sum.Body.String()
}

// lookupKeys are the keys under which a copy is found by any kind of record. Equal
// content means equal header and body, so that these two stand for it.
func lookupKeys(s message.Summary) []string {
	return []string{s.MessageID, s.Header.String(), s.Header.String() + s.Body.String()}
}

// isOneOf reports whether mail of a size may be one of the strays: of some the server gives no
// header fields, whatever there are.
func isOneOf(size int64, strays []journal.Record) bool {
	return slices.ContainsFunc(strays, func(r journal.Record) bool {
		low, high := sizeWindow(r.Sum.Size)
		return low <= size && size <= high
	})
}

// candidatesIn digests the mail of a folder that could be one of the strays, and is not
// another record's.
func (v *verifyAccount) candidatesIn(ctx context.Context, conn *imapdst.Conn, box imapdst.Folder,
	strays []journal.Record) (map[string][]uint32, error) {
	ids := map[string]bool{}
	nameless := false
	for _, r := range strays {
		ids[r.Sum.MessageID], ids[r.Sum.WrappedID()] = true, true
		nameless = nameless || r.Sum.MessageID == ""
	}
	var uids []uint32
	proven := v.proven[box.Mailbox]
	slices.Sort(proven)
	err := conn.IndexParts(ctx, box, 1, &imapdst.Path{}, func(part []imapdst.Entry, _ uint32) error {
		for _, e := range part {
			_, another := slices.BinarySearch(proven, e.UID)
			named := ids[e.MessageID]
			if e.MessageID == "" {
				named = nameless || isOneOf(e.Size, strays)
			}
			if named && !another {
				uids = append(uids, e.UID)
			}
		}
		return nil
	}, func(imapdst.Gap) error {
		v.leavesOut = box.Name
		return nil
	})
	if err != nil || len(uids) == 0 {
		return nil, err
	}
	found := map[string][]uint32{}
	err = conn.Digests(ctx, box, uids, func(uid uint32, c imapdst.Copy) error {
		if v.read != nil {
			v.read[lair{box.Mailbox, uid}] = c.Summary
		}
		for _, key := range lookupKeys(c.Summary) {
			found[key] = append(found[key], uid)
		}
		return nil
	})
	return found, err
}
