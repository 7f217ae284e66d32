package journal

import (
	"database/sql"

	"github.com/popferry/popferry/internal/message"
)

// batch is one transaction of changes to the records of a scope.
type batch struct {
	query
	ledger *ledger
	scope  int64
	// first is the id of the first new record and next that of the one to come;
	// both are 0 before the first insert.
	first, next int64
	tally       map[int64]int64 // by state code: how many more there are now
	places      map[location]int64
	origins     map[string]int64
}

// location is a folder at a UIDVALIDITY.
type location struct {
	folder   string
	validity uint32
}

// stored is what a change has to know of the record that it replaces.
type stored struct {
	id, state int64
	detail    bool // it has a row in detail
	sum       message.Summary
}

func (l *ledger) begin(q query) (*batch, error) {
	scope, err := l.ensure(q)
	if err != nil {
		return nil, err
	}
	return &batch{
		query: q, ledger: l, scope: scope,
		tally:   make(map[int64]int64),
		places:  make(map[location]int64),
		origins: make(map[string]int64),
	}, nil
}

// known returns those records that have the keys of rs.
func (b *batch) known(rs []Record) (map[string]stored, error) {
	known := make(map[string]stored, len(rs))
	wanted := make(map[string]bool, len(rs))
	keys := make([]string, len(rs))
	for i := range rs {
		keys[i] = rs[i].Key
		wanted[keys[i]] = true
	}
	var key string
	var old stored
	var content, header, body, loose sql.RawBytes
	var id sql.NullString
	dest := []any{&old.id, &key, &old.state, &old.detail, &old.sum.Size,
		&content, &header, &body, &loose, &id}
	err := inLists(b.hashes(b.scope, keys), func(list string, args []any) error {
		const text = `SELECT m.id, m.key, m.state, d.id IS NOT NULL, m.size,
			m.content, m.header, m.body, m.loose, m.message_id
			FROM message m LEFT JOIN detail d ON d.id = m.id WHERE m.hash IN `
		return b.each(text+list+" AND m.scope = ?", append(args, b.scope), dest, func() error {
			if key = expandKey(key); !wanted[key] {
				return nil
			}
			old.sum.Content, old.sum.Header = digest(content), digest(header)
			old.sum.Body, old.sum.Loose = digest(body), digest(loose)
			old.sum.MessageID = expandID(id)
			known[key] = old
			return nil
		})
	})
	return known, err
}

// fields are the columns that change in a message's life, in the order of the
// statements below.
func (b *batch) fields(r *Record) ([]any, error) {
	place, err := b.place(r)
	if err != nil {
		return nil, err
	}
	origin, err := b.origin(r.Origin)
	if err != nil {
		return nil, err
	}
	state, _ := stateCode(r.State)
	c := packClock(r)
	return []any{packListed(r), state, place, null(int64(r.UID)), packNextUID(r), origin,
		c.first, c.delivered, c.verified, c.changed}, nil
}

func (b *batch) identity(r *Record) []any {
	s := &r.Sum
	return []any{b.keyHash(b.scope, r.Key), squeezeKey(r.Key), s.Size, blob(s.Content),
		blob(s.Header), blob(s.Body), blob(s.Loose), squeezeID(s.MessageID)}
}

func (b *batch) insert(r *Record) (stored, error) {
	if err := b.allot(); err != nil {
		return stored{}, err
	}
	fields, err := b.fields(r)
	if err != nil {
		return stored{}, err
	}
	now := stored{id: b.next, sum: r.Sum}
	b.next++
	args := append([]any{now.id, b.scope}, fields...)
	err = b.exec(`INSERT INTO message (id, scope, listed, state, place, uid, next_uid, origin,
		first_seen, delivered, verified, changed,
		hash, key, size, content, header, body, loose, message_id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		append(args, b.identity(r)...)...)
	if err != nil {
		return stored{}, err
	}
	return b.settle(now, r)
}

// update changes what is not indexed if that is all, which is what happens to a
// message mostly: it spares the disk the pages of three indexes.
func (b *batch) update(old stored, r *Record) (stored, error) {
	if !sameSum(&old.sum, &r.Sum) {
		return b.replace(old, r)
	}
	fields, err := b.fields(r)
	if err != nil {
		return stored{}, err
	}
	err = b.exec(`UPDATE message SET listed = ?, state = ?, place = ?, uid = ?, next_uid = ?,
		origin = ?, first_seen = ?, delivered = ?, verified = ?, changed = ? WHERE id = ?`,
		append(fields, old.id)...)
	if err != nil {
		return stored{}, err
	}
	b.tally[old.state]--
	return b.settle(old, r)
}

// replace changes everything of a record but its place in the order.
func (b *batch) replace(old stored, r *Record) (stored, error) {
	fields, err := b.fields(r)
	if err != nil {
		return stored{}, err
	}
	args := append(fields, b.identity(r)...)
	err = b.exec(`UPDATE message SET listed = ?, state = ?, place = ?, uid = ?, next_uid = ?,
		origin = ?, first_seen = ?, delivered = ?, verified = ?, changed = ?,
		hash = ?, key = ?, size = ?, content = ?, header = ?, body = ?, loose = ?,
		message_id = ? WHERE id = ?`, append(args, old.id)...)
	if err != nil {
		return stored{}, err
	}
	b.tally[old.state]--
	return b.settle(old, r)
}

// settle writes what a record has beside its row, and counts it.
func (b *batch) settle(old stored, r *Record) (stored, error) {
	now := stored{id: old.id, sum: r.Sum}
	now.state, _ = stateCode(r.State)
	b.tally[now.state]++
	uidl := sql.NullString{String: r.UIDL, Valid: r.UIDL != impliedUIDL(r.Key)}
	var ended sql.NullInt64
	if !r.Ended.IsZero() {
		ended = sql.NullInt64{Int64: r.Ended.UnixMilli(), Valid: true}
	}
	now.detail = uidl.Valid || ended.Valid || r.Reason != "" || r.Attempts != 0
	var err error
	switch {
	case now.detail:
		err = b.exec("INSERT OR REPLACE INTO detail (id, uidl, ended, reason, attempts) "+
			"VALUES (?, ?, ?, ?, ?)", now.id, uidl, ended,
			sql.NullString{String: r.Reason, Valid: r.Reason != ""}, null(int64(r.Attempts)))
	case old.detail:
		err = b.exec("DELETE FROM detail WHERE id = ?", now.id)
	}
	return now, err
}

// allot finds the first free id before the first insert.
func (b *batch) allot() error {
	if b.next != 0 {
		return nil
	}
	var last sql.NullInt64
	_, err := b.one("SELECT max(id) FROM message", nil, &last)
	b.first, b.next = last.Int64+1, last.Int64+1
	return err
}

// end writes what was counted and which ids were used.
func (b *batch) end() error {
	for state, n := range b.tally {
		if n == 0 {
			continue
		}
		err := b.exec(`INSERT INTO tally (scope, state, n) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET n = n + excluded.n`, b.scope, state, n)
		if err != nil {
			return err
		}
	}
	if b.next == b.first {
		return nil
	}
	return b.extendSpan()
}

// extendSpan makes the scope's last span longer if the new ids follow it, which
// they do as long as no other scope writes, or else begins a new one.
func (b *batch) extendSpan() error {
	var first, last int64
	found, err := b.one("SELECT first, last FROM span WHERE scope = ? ORDER BY first DESC LIMIT 1",
		[]any{b.scope}, &first, &last)
	if err != nil {
		return err
	}
	if !found || last != b.first-1 {
		first = b.first
	}
	return b.exec("INSERT OR REPLACE INTO span (scope, first, last) VALUES (?, ?, ?)",
		b.scope, first, b.next-1)
}

// place returns the id of where a record is, or NULL for nowhere.
func (b *batch) place(r *Record) (sql.NullInt64, error) {
	at := location{r.Folder, r.UIDValidity}
	if at == (location{}) {
		return sql.NullInt64{}, nil
	}
	id, ok := b.places[at]
	if !ok {
		to := FolderKey{b.ledger.scope.DestHost, b.ledger.scope.DestUser, at.folder}
		folder, err := b.ensureFolder(to)
		if err != nil {
			return sql.NullInt64{}, err
		}
		if id, err = b.ensurePlace(folder, at.validity); err != nil {
			return sql.NullInt64{}, err
		}
		b.places[at] = id
	}
	return sql.NullInt64{Int64: id, Valid: true}, nil
}

func (q query) ensurePlace(folder int64, validity uint32) (id int64, err error) {
	found, err := q.one("SELECT id FROM place WHERE folder = ? AND uidvalidity = ?",
		[]any{folder, validity}, &id)
	if err != nil || found {
		return id, err
	}
	return q.insert("INSERT INTO place (folder, uidvalidity) VALUES (?, ?)", folder, validity)
}

// origin returns the id of an origin, or NULL for none.
func (b *batch) origin(name string) (sql.NullInt64, error) {
	if name == "" {
		return sql.NullInt64{}, nil
	}
	id, ok := b.origins[name]
	if !ok {
		found, err := b.one("SELECT id FROM origin WHERE name = ?", []any{name}, &id)
		if err == nil && !found {
			id, err = b.query.insert("INSERT INTO origin (name) VALUES (?)", name)
		}
		if err != nil {
			return sql.NullInt64{}, err
		}
		b.origins[name] = id
	}
	return sql.NullInt64{Int64: id, Valid: true}, nil
}
