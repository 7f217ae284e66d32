package ferry

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// relocate looks by content for mail that is not where the journal has it. Claims
// that proved to be wrong are given up first: two records may have had each other's.
//
// What is marked as deleted is found if it has a UID from the given one on, which is not 0.
func (t *trip) relocate(ctx context.Context, due []journal.Record, marked uint32) error {
	lost := map[string]message.Summary{}
	at := map[string]int{}
	if err := t.match.prepare(ctx); err != nil {
		return err
	}
	before := slices.Clone(due)
	for i := range due {
		due[i].UID = 0
	}
	// Their claims are given up for the search, since two may have changed places. Who
	// dies in between has them located anew.
	if err := t.noteUnlocated(ctx, due); err != nil {
		return err
	}
	if err := t.ledger.Put(ctx, due); err != nil {
		return err
	}
	for i, r := range due {
		if !r.Sum.Content.IsZero() {
			lost[r.Key], at[r.Key] = r.Sum, i
		}
	}
	found, err := t.inTheirFolders(ctx, due, lost, marked)
	for key, f := range found {
		r := &due[at[key]]
		r.UIDValidity, r.UID = f.UIDValidity, f.UID
	}
	for i := range due {
		if due[i].UID == 0 { // it may be there still, and not be what was sent
			due[i].UIDValidity, due[i].UID = before[i].UIDValidity, before[i].UID
		}
	}
	return errors.Join(err, t.ledger.Put(context.WithoutCancel(ctx), due))
}

// inTheirFolders looks for the mail of records in the folder of each.
func (t *trip) inTheirFolders(ctx context.Context, records []journal.Record,
	sums map[string]message.Summary, marked uint32) (map[string]journal.Record, error) {
	wanted := map[*folder]map[string]message.Summary{}
	for _, r := range records {
		f, err := t.folderOf(ctx, r)
		if err != nil {
			return nil, err
		}
		if wanted[f] == nil {
			wanted[f] = map[string]message.Summary{}
		}
		if s, ok := sums[r.Key]; ok {
			wanted[f][r.Key] = s
		}
	}
	found := map[string]journal.Record{}
	for _, f := range slices.SortedFunc(maps.Keys(wanted), byMailbox) {
		if !slices.Contains(t.match.folders, f) {
			continue // it does not exist
		}
		there, err := t.match.inDestination(ctx, wanted[f], []*folder{f}, marked)
		maps.Copy(found, there)
		if err != nil {
			return found, err
		}
	}
	return found, nil
}
