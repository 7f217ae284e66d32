package journal

import (
	"context"

	"github.com/popferry/popferry/plan"
)

// ScopeOf names what is kept for an account.
func ScopeOf(a plan.Account) Scope {
	source, destination := a.Places()
	return Scope{
		Account: a.Name, SourceHost: source, SourceUser: a.Source.Mailbox(),
		DestHost: destination, DestUser: a.Destination.Mailbox(), Folder: a.Folder,
	}
}

// In names a folder of the scope's destination.
func (s Scope) In(folder string) FolderKey { return FolderKey{s.DestHost, s.DestUser, folder} }

// Portless implements Journal.
func (s *store) Portless(ctx context.Context) (all []Scope, err error) {
	err = s.read(ctx, func(q query) error {
		var c Scope
		return q.each(`SELECT account, source_host, source_user, dest_host, dest_user, folder
			FROM scope WHERE portless ORDER BY id`, nil, c.fields(), func() error {
			all = append(all, c)
			return nil
		})
	})
	return all, err
}

// fields are what the fields of a scope are read to, in the order of their columns.
func (s *Scope) fields() []any {
	return []any{&s.Account, &s.SourceHost, &s.SourceUser, &s.DestHost, &s.DestUser, &s.Folder}
}

// values are its fields in the same order.
func (s Scope) values() []any {
	return []any{s.Account, s.SourceHost, s.SourceUser, s.DestHost, s.DestUser, s.Folder}
}

// scope returns a scope's id, or 0 while nothing is stored for it.
func (q query) scope(s Scope) (id int64, err error) {
	_, err = q.one(`SELECT id FROM scope WHERE account = ? AND source_host = ?
		AND source_user = ? AND dest_host = ? AND dest_user = ? AND folder = ?`, s.values(), &id)
	return id, err
}

// Rename implements Journal.
func (s *store) Rename(ctx context.Context, names map[Scope]Scope) error {
	return s.write(ctx, func(q query) error {
		for from, to := range names {
			if err := q.rename(from, to); err != nil {
				return err
			}
		}
		return nil
	})
}

func (q query) rename(from, to Scope) error {
	id, err := q.scope(from)
	if err != nil || id == 0 {
		return err
	}
	if taken, err := q.scope(to); err != nil {
		return err
	} else if taken != 0 {
		to = from
	}
	if err := q.exec(`UPDATE scope SET account = ?, source_host = ?, source_user = ?, dest_host = ?,
		dest_user = ?, folder = ?, portless = 0 WHERE id = ?`, append(to.values(), id)...); err != nil {
		return err
	}
	if from.In("") == to.In("") {
		return nil
	}
	places, err := q.placesAt(from)
	for i := 0; err == nil && i < len(places); i++ {
		err = q.resettle(id, places[i], to)
	}
	return err
}

// placed is where records may have their mail.
type placed struct {
	id int64
	location
}

// placesAt lists the places at a scope's destination.
func (q query) placesAt(s Scope) (all []placed, err error) {
	var p placed
	err = q.each(`SELECT p.id, f.name, p.uidvalidity FROM folder f JOIN place p ON p.folder = f.id
		WHERE f.host = ? AND f.user = ?`, []any{s.DestHost, s.DestUser},
		[]any{&p.id, &p.folder, &p.validity}, func() error {
			all = append(all, p)
			return nil
		})
	return all, err
}

// resettle says that what a scope's records have in a place is at another destination, in a
// folder of the same name.
func (q query) resettle(scope int64, from placed, to Scope) error {
	folder, err := q.ensureFolder(to.In(from.folder))
	if err != nil {
		return err
	}
	place, err := q.ensurePlace(folder, from.validity)
	if err != nil {
		return err
	}
	return q.exec(`UPDATE message SET place = ? WHERE place = ? AND id IN (SELECT m.id FROM span s
		JOIN message m ON m.id BETWEEN s.first AND s.last WHERE s.scope = ?)`, place, from.id, scope)
}
