package journal

import "database/sql"

// applicationID marks our databases in the SQLite header: "popf".
const applicationID = 0x706f7066

// Codes of the states in the column state. SQLite stores 0 and 1 without a byte
// of their own, so the states in which records stay for ever have these.
const (
	codeGone = iota
	codeDelivered
	codeIntent
	codeHeld
	codeDeleteSent
	codeListed
)

// migrations bring an older journal up to date: the statement list at i leads
// from version i to version i+1, in one transaction with the version number.
// Released ones are never changed.
//
// The schema is tight because every message costs a row here for ever:
//
//   - message.hash is a keyed 32-bit hash of scope and key. It is the index for
//     keys, which can be a kilobyte long; whoever looks up compares the key too.
//     The key of the hash is random, so nobody can choose UIDLs that collide.
//   - digests are looked up by their first four bytes and then compared.
//   - ids are given in the order of the first Put, and span says which ids are
//     whose. So a scope is read in order, without an index over all messages,
//     and new rows always go to the end of the table.
//   - message_claim answers whether some account claims a UID of a folder.
//   - message_open holds what is not finished, which is little.
//   - detail holds what few messages have.
//   - first_seen is in milliseconds of Unix time, delivered, verified and changed
//     in milliseconds after it. A zero time is NULL, or a BLOB that keeps the
//     place free, so that rows do not grow when a message is delivered, and
//     pages do not split; changed is NULL when it is the latest of the others.
//   - next_uid is relative to uid where that is known.
//   - a key is stored without a leading "u:", a Message-ID without its brackets.
//
// uid and the like are NULL where the API says 0, digests where it says zero.
func migrations() []string { return []string{schemaV1, schemaV2} }

const schemaV1 = `
CREATE TABLE instance (
	id BLOB NOT NULL,              -- random; also the key of the hashes
	host TEXT NOT NULL,            -- where the journal was made
	created INTEGER NOT NULL);
CREATE TABLE scope (
	id INTEGER PRIMARY KEY,
	account TEXT NOT NULL, source_host TEXT NOT NULL, source_user TEXT NOT NULL,
	dest_host TEXT NOT NULL, dest_user TEXT NOT NULL, folder TEXT NOT NULL,
	UNIQUE (account, source_host, source_user, dest_host, dest_user, folder));
CREATE TABLE fact (
	scope INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
	PRIMARY KEY (scope, name)) WITHOUT ROWID;
CREATE TABLE tally (
	scope INTEGER NOT NULL, state INTEGER NOT NULL, n INTEGER NOT NULL,
	PRIMARY KEY (scope, state)) WITHOUT ROWID;
CREATE TABLE span (
	scope INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
	PRIMARY KEY (scope, first)) WITHOUT ROWID;
CREATE TABLE origin (
	id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE folder (
	id INTEGER PRIMARY KEY,
	host TEXT NOT NULL, user TEXT NOT NULL, name TEXT NOT NULL,
	uidvalidity INTEGER NOT NULL,  -- of the index; 0: never indexed
	next INTEGER NOT NULL,         -- the first UID that is not indexed
	UNIQUE (host, user, name));
CREATE TABLE place (
	id INTEGER PRIMARY KEY,
	folder INTEGER NOT NULL, uidvalidity INTEGER NOT NULL,
	UNIQUE (folder, uidvalidity));
CREATE TABLE message (
	id INTEGER PRIMARY KEY,
	scope INTEGER NOT NULL, hash INTEGER NOT NULL, key TEXT NOT NULL,
	size INTEGER NOT NULL,
	listed INTEGER,                -- NULL: as size
	content BLOB, header BLOB, body BLOB, loose BLOB, message_id TEXT,
	state INTEGER NOT NULL, place INTEGER, uid INTEGER, next_uid INTEGER,
	origin INTEGER, first_seen INTEGER, delivered, verified, changed);
CREATE INDEX message_key ON message (hash);
CREATE INDEX message_content ON message (substr(content, 1, 4));
CREATE INDEX message_header ON message (substr(header, 1, 4));
CREATE INDEX message_open ON message (scope) WHERE state > 1;
CREATE INDEX message_claim ON message (place, uid)
	WHERE uid IS NOT NULL AND state NOT IN (2, 3, 5);
CREATE TABLE detail (
	id INTEGER PRIMARY KEY,
	uidl TEXT,                     -- NULL: the rest of a key "u:…", or none
	ended INTEGER, reason TEXT, attempts INTEGER);
CREATE TABLE entry (
	folder INTEGER NOT NULL, uid INTEGER NOT NULL,
	size INTEGER NOT NULL, hash INTEGER, message_id TEXT,
	content BLOB, header BLOB, body BLOB,
	PRIMARY KEY (folder, uid)) WITHOUT ROWID;
CREATE INDEX entry_message_id ON entry (folder, hash) WHERE hash IS NOT NULL;
CREATE INDEX entry_size ON entry (folder, size);
CREATE INDEX entry_content ON entry (folder, substr(content, 1, 4))
	WHERE content IS NOT NULL;
`

// schemaV2 adds the passes. They are few beside the messages, and read from the oldest
// on, or from a moment on.
const schemaV2 = `
CREATE TABLE pass (
	id INTEGER PRIMARY KEY,
	account TEXT NOT NULL, started INTEGER NOT NULL,
	passes INTEGER NOT NULL, seconds REAL NOT NULL, code INTEGER NOT NULL,
	delivered INTEGER NOT NULL, duplicate INTEGER NOT NULL, deleted INTEGER NOT NULL,
	held INTEGER NOT NULL, bytes INTEGER NOT NULL, error TEXT NOT NULL, hint TEXT NOT NULL);
CREATE INDEX pass_started ON pass (started);
`

func stateCode(s State) (int64, bool) {
	switch s {
	case Gone:
		return codeGone, true
	case Delivered:
		return codeDelivered, true
	case Intent:
		return codeIntent, true
	case Held:
		return codeHeld, true
	case DeleteSent:
		return codeDeleteSent, true
	case Listed:
		return codeListed, true
	}
	return 0, false
}

func stateOf(code int64) (State, bool) {
	for _, s := range States() {
		if c, _ := stateCode(s); c == code {
			return s, true
		}
	}
	return "", false
}

// null makes NULL of 0, as the schema wants it for most numbers.
func null(n int64) sql.NullInt64 { return sql.NullInt64{Int64: n, Valid: n != 0} }
