package voyage

import (
	"context"
	"slices"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// folder is the index of one folder.
type folder struct {
	validity, next uint32
	entries        []journal.IndexEntry // by UID
}

// index is a folder of an open journal.
type index struct {
	*memory
	key      journal.FolderKey
	validity uint32 // as State or Reset last told it; 0: neither was asked
}

// current runs fn with the folder, which may be nil, unless it was reset to
// another UIDVALIDITY behind this index's back.
func (x *index) current(ctx context.Context, fn func(*folder) error) error {
	return x.locked(ctx, func() error {
		f := x.disk.folders[x.key]
		if f != nil && x.validity != 0 && f.validity != x.validity {
			return fault.New(fault.Temporary, "UIDVALIDITY of %s changed", x.key.Folder)
		}
		return fn(f)
	})
}

// State implements journal.Index.
func (x *index) State(ctx context.Context) (validity, next uint32, err error) {
	err = x.locked(ctx, func() error {
		next = 1
		if f := x.disk.folders[x.key]; f != nil {
			validity, next = f.validity, f.next
		}
		x.validity = validity
		return nil
	})
	return validity, next, err
}

// Reset implements journal.Index.
func (x *index) Reset(ctx context.Context, validity uint32) error {
	return x.locked(ctx, func() error {
		if validity == 0 {
			return fault.New(fault.Internal, "UIDVALIDITY 0")
		}
		x.disk.folders[x.key] = &folder{validity: validity, next: 1}
		x.validity = validity
		return nil
	})
}

// Extend implements journal.Index.
func (x *index) Extend(ctx context.Context, next uint32, entries []journal.IndexEntry) error {
	return x.current(ctx, func(f *folder) error {
		if f == nil {
			return fault.New(fault.Internal, "%s was never reset", x.key.Folder)
		}
		for _, e := range entries {
			if e.UID == 0 || e.UID >= next {
				return fault.New(fault.Internal, "uid %d with uidnext %d", e.UID, next)
			}
		}
		for _, e := range entries {
			f.add(e)
		}
		f.next = max(f.next, next)
		return nil
	})
}

func (f *folder) find(uid uint32) (at int, ok bool) {
	return slices.BinarySearchFunc(f.entries, uid, func(e journal.IndexEntry, uid uint32) int {
		return int(int64(e.UID) - int64(uid))
	})
}

func (f *folder) add(e journal.IndexEntry) {
	sum := e.Sum
	e.Sum = nil
	at, ok := f.find(e.UID)
	if ok {
		e.Sum = f.entries[at].Sum
		f.entries[at] = e
	} else {
		f.entries = slices.Insert(f.entries, at, e)
	}
	f.entries[at].Sum = merged(f.entries[at].Sum, sum)
}

// merged adds the digests that are there to those that are known.
func merged(known, more *message.Summary) *message.Summary {
	if more == nil {
		return known
	}
	sum := message.Summary{}
	if known != nil {
		sum = *known
	}
	for _, d := range []struct{ to, from *message.Digest }{
		{&sum.Content, &more.Content}, {&sum.Header, &more.Header}, {&sum.Body, &more.Body},
	} {
		if !d.from.IsZero() {
			*d.to = *d.from
		}
	}
	return &sum
}

// PutDigests implements journal.Index.
func (x *index) PutDigests(ctx context.Context, entries []journal.IndexEntry) error {
	return x.current(ctx, func(f *folder) error {
		for _, e := range entries {
			if f == nil || e.Sum == nil {
				continue
			}
			if at, ok := f.find(e.UID); ok {
				f.entries[at].Sum = merged(f.entries[at].Sum, e.Sum)
			}
		}
		return nil
	})
}

// Unclaimed implements journal.Index.
func (x *index) Unclaimed(ctx context.Context, m journal.Match, fn func(journal.IndexEntry) error) error {
	var fit []journal.IndexEntry
	err := x.current(ctx, func(f *folder) error {
		for _, e := range x.unclaimed(f) {
			if fits(m, &e) {
				fit = append(fit, e)
			}
		}
		return nil
	})
	for _, e := range fit {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = fn(e)
		}
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// UnclaimedCount implements journal.Index.
func (x *index) UnclaimedCount(ctx context.Context) (n int, err error) {
	err = x.current(ctx, func(f *folder) error {
		n = len(x.unclaimed(f))
		return nil
	})
	return n, err
}

// unclaimed lists the entries that no record claims.
func (x *index) unclaimed(f *folder) []journal.IndexEntry {
	if f == nil {
		return nil
	}
	claimed := map[uint32]bool{}
	for _, s := range x.disk.scopes {
		if s.name.DestHost != x.key.Host || s.name.DestUser != x.key.User {
			continue
		}
		for i := range s.records {
			if r := &s.records[i]; r.Folder == x.key.Folder && r.UIDValidity == f.validity && claims(r) {
				claimed[r.UID] = true
			}
		}
	}
	var free []journal.IndexEntry
	for _, e := range f.entries {
		if !claimed[e.UID] {
			free = append(free, e)
		}
	}
	return free
}

func claims(r *journal.Record) bool {
	return r.State == journal.Delivered || r.State == journal.DeleteSent || r.State == journal.Gone
}

func fits(m journal.Match, e *journal.IndexEntry) bool {
	if len(m.MessageIDs) > 0 && (e.MessageID == "" || !slices.Contains(m.MessageIDs, e.MessageID)) {
		return false
	}
	if (m.MinSize != 0 || m.MaxSize != 0) && (e.Size < m.MinSize || e.Size > m.MaxSize) {
		return false
	}
	return len(m.Contents) == 0 || e.Sum != nil && among(m.Contents, e.Sum.Content)
}
