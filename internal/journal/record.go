package journal

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"math"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/message"
)

// keyHash is what the index for keys holds instead of a key. The instance id
// makes it different in every journal.
func (q query) keyHash(scope int64, key string) int64 {
	b := make([]byte, 0, 128)
	b = append(b, q.seed...)
	b = binary.BigEndian.AppendUint64(b, uint64(scope))
	return hash32(append(b, key...))
}

// idHash is the same for Message-IDs. There is no scope 0, so they don't meet.
func (q query) idHash(id string) int64 { return q.keyHash(0, id) }

// hash32 is signed, because SQLite keeps that in four bytes.
func hash32(b []byte) int64 {
	sum := sha256.Sum256(b)
	return int64(int32(binary.BigEndian.Uint32(sum[:])))
}

// raw marks a text that squeeze could not shorten.
const raw = "\x00"

// squeeze drops the usual beginning and end of a text; expand puts them back.
func squeeze(s, prefix, suffix string) string {
	inner, ok := strings.CutPrefix(s, prefix)
	if ok {
		inner, ok = strings.CutSuffix(inner, suffix)
	}
	if !ok || strings.HasPrefix(inner, raw) {
		return raw + s
	}
	return inner
}

func expand(s, prefix, suffix string) string {
	if whole, ok := strings.CutPrefix(s, raw); ok {
		return whole
	}
	return prefix + s + suffix
}

// uidlPrefix begins the key of a message that is named by its UIDL.
const uidlPrefix = "u:"

func squeezeKey(key string) string { return squeeze(key, uidlPrefix, "") }
func expandKey(key string) string  { return expand(key, uidlPrefix, "") }

// impliedUIDL is the UIDL that most records with a key have.
func impliedUIDL(key string) string {
	uidl, ok := strings.CutPrefix(key, uidlPrefix)
	if !ok {
		return ""
	}
	return uidl
}

func squeezeID(id string) sql.NullString {
	return sql.NullString{String: squeeze(id, "<", ">"), Valid: id != ""}
}

func expandID(id sql.NullString) string {
	if !id.Valid {
		return ""
	}
	return expand(id.String, "<", ">")
}

// blob gives a digest as it is stored.
func blob(d message.Digest) any {
	if d.IsZero() {
		return nil
	}
	return d[:]
}

func digest(b []byte) (d message.Digest) {
	copy(d[:], b)
	return d
}

// Places that are kept free in a row for times that are not known yet, of the
// size of some hours in milliseconds, and for the zero time among others.
var (
	laterTime = []byte{0, 0, 0}
	zeroTime  = []byte{}
)

// clock is a record's times as they are stored.
type clock struct{ first, delivered, verified, changed any }

// unset is the zero time in milliseconds, as no other time is.
const unset = math.MinInt64

func millis(t time.Time) int64 {
	if t.IsZero() {
		return unset
	}
	return t.UnixMilli()
}

func instant(ms int64) time.Time {
	if ms == unset {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func packClock(r *Record) clock {
	first, delivered := millis(r.FirstSeen), millis(r.DeliveredAt)
	verified, changed := millis(r.VerifiedAt), millis(r.Changed)
	base := first
	var c clock
	if first == unset {
		base = 0
	} else {
		c.first = first
	}
	after := func(ms int64, absent any) any {
		if ms == unset {
			return absent
		}
		return ms - base
	}
	c.delivered, c.verified = after(delivered, laterTime), after(verified, laterTime)
	if changed != max(first, delivered, verified) {
		c.changed = after(changed, zeroTime)
	}
	return c
}

func (c clock) unpack(r *Record) {
	first, base := int64(unset), int64(0)
	if ms, ok := c.first.(int64); ok {
		first, base = ms, ms
	}
	before := func(v any) int64 {
		if ms, ok := v.(int64); ok {
			return base + ms
		}
		return unset
	}
	delivered, verified, changed := before(c.delivered), before(c.verified), before(c.changed)
	if c.changed == nil {
		changed = max(first, delivered, verified)
	}
	r.FirstSeen, r.DeliveredAt = instant(first), instant(delivered)
	r.VerifiedAt, r.Changed = instant(verified), instant(changed)
}

// packNextUID stores UIDNEXT relative to the UID, which is mostly near.
func packNextUID(r *Record) sql.NullInt64 {
	if r.UID == 0 {
		return null(int64(r.NextUID))
	}
	return sql.NullInt64{Int64: int64(r.UID) - int64(r.NextUID), Valid: true}
}

func unpackNextUID(uid uint32, stored sql.NullInt64) uint32 {
	if uid == 0 {
		return uint32(stored.Int64)
	}
	return uint32(int64(uid) - stored.Int64)
}

// packListed stores the size in the listing only where it is another.
func packListed(r *Record) sql.NullInt64 {
	return sql.NullInt64{Int64: r.Listed, Valid: r.Listed != r.Sum.Size}
}

// row is a row of message, joined with what it refers to, as it is read.
type row struct {
	id                           int64
	key                          string
	size, state                  int64
	listed, uid, next            sql.NullInt64
	content, header, body, loose sql.RawBytes
	messageID                    sql.NullString
	folder, origin               sql.NullString
	validity                     sql.NullInt64
	clock                        clock
	uidl, reason                 sql.NullString
	ended, attempts              sql.NullInt64
}

// rowColumns are the columns of row; rowJoins is where they are from, beside
// message m.
const (
	rowColumns = `m.id, m.key, m.size, m.state, m.listed, m.uid, m.next_uid,
		m.content, m.header, m.body, m.loose, m.message_id,
		f.name, o.name, p.uidvalidity,
		m.first_seen, m.delivered, m.verified, m.changed,
		d.uidl, d.reason, d.ended, d.attempts`
	rowJoins = ` LEFT JOIN place p ON p.id = m.place
		LEFT JOIN folder f ON f.id = p.folder
		LEFT JOIN origin o ON o.id = m.origin
		LEFT JOIN detail d ON d.id = m.id`
)

func (w *row) dest() []any {
	return []any{&w.id, &w.key, &w.size, &w.state, &w.listed, &w.uid, &w.next,
		&w.content, &w.header, &w.body, &w.loose, &w.messageID,
		&w.folder, &w.origin, &w.validity,
		&w.clock.first, &w.clock.delivered, &w.clock.verified, &w.clock.changed,
		&w.uidl, &w.reason, &w.ended, &w.attempts}
}

func (w *row) record() (Record, error) {
	state, ok := stateOf(w.state)
	if !ok {
		return Record{}, errDamaged
	}
	r := Record{
		Key: expandKey(w.key), Listed: w.size, State: state,
		Sum: message.Summary{
			Size: w.size, Content: digest(w.content), Header: digest(w.header),
			Body: digest(w.body), Loose: digest(w.loose), MessageID: expandID(w.messageID),
		},
		Folder: w.folder.String, UIDValidity: uint32(w.validity.Int64),
		UID: uint32(w.uid.Int64), NextUID: unpackNextUID(uint32(w.uid.Int64), w.next),
		Origin: w.origin.String, Reason: w.reason.String, Attempts: int(w.attempts.Int64),
	}
	if w.listed.Valid {
		r.Listed = w.listed.Int64
	}
	r.UIDL = impliedUIDL(r.Key)
	if w.uidl.Valid {
		r.UIDL = w.uidl.String
	}
	if w.ended.Valid {
		r.Ended = instant(w.ended.Int64)
	}
	w.clock.unpack(&r)
	return r, nil
}
