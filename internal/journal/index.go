package journal

import (
	"context"
	"database/sql"
	"sync/atomic"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/message"
)

// index implements Index.
type index struct {
	access
	key FolderKey
	// validity is the UIDVALIDITY that the caller knows of; 0: not asked yet.
	validity atomic.Uint32
}

// Index implements Journal.
func (s *store) Index(ctx context.Context, k FolderKey) (Index, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	return &index{access: access{s, s.era}, key: k}, nil
}

// folder is a row of the table with that name; id 0 means that there is none.
type folder struct {
	id             int64
	validity, next uint32
}

func (q query) folder(k FolderKey) (f folder, err error) {
	f.next = 1
	_, err = q.one(`SELECT id, uidvalidity, next FROM folder
		WHERE host = ? AND user = ? AND name = ?`,
		[]any{k.Host, k.User, k.Folder}, &f.id, &f.validity, &f.next)
	return f, err
}

// ensureFolder returns a folder's id and makes one if need be.
func (q query) ensureFolder(k FolderKey) (int64, error) {
	f, err := q.folder(k)
	if err != nil || f.id != 0 {
		return f.id, err
	}
	return q.insert(`INSERT INTO folder (host, user, name, uidvalidity, next)
		VALUES (?, ?, ?, 0, 1)`, k.Host, k.User, k.Folder)
}

// current returns the folder if its UIDVALIDITY is the one the caller means.
func (x *index) current(q query) (folder, error) {
	f, err := q.folder(x.key)
	if err != nil {
		return f, err
	}
	x.validity.CompareAndSwap(0, f.validity)
	if known := x.validity.Load(); known != f.validity {
		return f, fault.New(fault.Temporary, "the UIDVALIDITY of folder %s changed from %d to %d "+
			"while it was in use", fault.Escape(x.key.Folder), known, f.validity).
			WithHint("run again")
	}
	return f, nil
}

// State implements Index.
func (x *index) State(ctx context.Context) (uidValidity, next uint32, err error) {
	err = x.read(ctx, func(q query) error {
		f, err := q.folder(x.key)
		uidValidity, next = f.validity, f.next
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	x.validity.Store(uidValidity)
	return uidValidity, next, nil
}

// Reset implements Index.
func (x *index) Reset(ctx context.Context, uidValidity uint32) error {
	if uidValidity == 0 {
		return invalid("a folder with the UIDVALIDITY 0")
	}
	err := x.write(ctx, func(q query) error {
		id, err := q.ensureFolder(x.key)
		if err != nil {
			return err
		}
		if err := q.exec("DELETE FROM entry WHERE folder = ?", id); err != nil {
			return err
		}
		return q.exec("UPDATE folder SET uidvalidity = ?, next = 1 WHERE id = ?", uidValidity, id)
	})
	if err == nil {
		x.validity.Store(uidValidity)
	}
	return err
}

// Extend implements Index.
func (x *index) Extend(ctx context.Context, next uint32, entries []IndexEntry) error {
	for i := range entries {
		if uid := entries[i].UID; uid == 0 || uid >= next {
			return invalid("an index entry with the UID %d, where the next is %d", uid, next)
		}
	}
	return x.write(ctx, func(q query) error {
		f, err := x.current(q)
		if err != nil {
			return err
		}
		if f.validity == 0 {
			return invalid("an index without a UIDVALIDITY is extended")
		}
		for i := range entries {
			if err := q.putEntry(f.id, &entries[i]); err != nil {
				return err
			}
		}
		return q.exec("UPDATE folder SET next = max(next, ?) WHERE id = ?", next, f.id)
	})
}

func (q query) putEntry(folder int64, e *IndexEntry) error {
	var sum message.Summary
	if e.Sum != nil {
		sum = *e.Sum
	}
	id := squeezeID(e.MessageID)
	hash := sql.NullInt64{Valid: id.Valid}
	if id.Valid {
		hash.Int64 = q.idHash(e.MessageID)
	}
	return q.exec(`INSERT INTO entry (folder, uid, size, hash, message_id, content, header, body)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET size = excluded.size,
			hash = excluded.hash, message_id = excluded.message_id,
			content = coalesce(excluded.content, content),
			header = coalesce(excluded.header, header), body = coalesce(excluded.body, body)`,
		folder, e.UID, e.Size, hash, id, blob(sum.Content), blob(sum.Header), blob(sum.Body))
}

// PutDigests implements Index.
func (x *index) PutDigests(ctx context.Context, entries []IndexEntry) error {
	return x.write(ctx, func(q query) error {
		f, err := x.current(q)
		if err != nil {
			return err
		}
		for i := range entries {
			e := &entries[i]
			if e.Sum == nil {
				continue
			}
			err := q.exec(`UPDATE entry SET content = coalesce(?, content),
				header = coalesce(?, header), body = coalesce(?, body)
				WHERE folder = ? AND uid = ?`,
				blob(e.Sum.Content), blob(e.Sum.Header), blob(e.Sum.Body), f.id, e.UID)
			if err != nil {
				return err
			}
		}
		return nil
	})
}
