package journal

import (
	"context"
	"time"

	"github.com/popferry/popferry/internal/message"
)

// Scope names the messages of one account on their way to one destination. What
// was delivered to one destination is not delivered to another, so two scopes
// that differ in any field share nothing.
type Scope struct {
	Account    string // the account's name in the configuration
	SourceHost string
	SourceUser string
	DestHost   string
	DestUser   string
	Folder     string // as configured
}

// State is what has become of a message.
type State string

const (
	// Listed means that the message was seen in its maildrop and is certain not
	// to be in the destination by our doing: nothing of it was sent, what was
	// sent was refused or never arrived, or it was taken back.
	Listed State = "listed"
	// Intent means that bytes which may complete an append were to be sent: the
	// destination has to be asked before it is sent again.
	Intent State = "intent"
	// Delivered means that the destination holds the message.
	Delivered State = "delivered"
	// Held means that the message can't be delivered and stays on POP3.
	Held State = "held"
	// DeleteSent means that DELE was sent and that no listing has confirmed it.
	DeleteSent State = "delete-sent"
	// Gone means that the message was deleted from POP3 and that a listing
	// without it was seen.
	Gone State = "gone"
)

// States lists every state, in the order of a message's life.
func States() []State { return []State{Listed, Intent, Held, Delivered, DeleteSent, Gone} }

// Record is all that is kept about one message of a scope.
type Record struct {
	Key    string // names the message in its source; never empty
	UIDL   string // its UIDL, or ""
	Listed int64  // octets, as LIST had it

	// Sum is stored in part: Size, Content, Header, Body, Loose and MessageID.
	// The other fields come back as their zero values.
	Sum message.Summary

	State       State
	Folder      string // where it is, or was to go
	UIDValidity uint32
	UID         uint32 // 0: not told by the server
	NextUID     uint32 // UIDNEXT before its append: where to begin to look for it

	// Ended is when the connection that carried an Intent ended; zero: not known.
	Ended time.Time
	// Origin is how it got there: "appended", "found", "adopted", …
	Origin string

	FirstSeen   time.Time
	DeliveredAt time.Time
	VerifiedAt  time.Time
	Changed     time.Time

	Reason   string // of a Held message: why
	Attempts int    // how often it was tried
}

// Query says which records are wanted. A condition that is empty is none; all
// that are given must hold, and each holds if any of its values fits.
type Query struct {
	States   []State
	Contents []message.Digest // a zero digest fits nothing
	Headers  []message.Digest // a zero digest fits nothing
}

// Ledger is what is known of the messages of one [Scope].
//
// See the package comment for what errors leave behind. A record that can't be
// stored as it is (without a key, of an unknown state) is an error with the code
// [fault.Internal], which changes nothing and leaves the ledger usable.
type Ledger interface {
	// Get returns the records that have one of the keys. Unknown keys are left
	// out; that is no error. The map is never nil.
	Get(ctx context.Context, keys []string) (map[string]Record, error)

	// Each calls fn with the records that a query wants, in the order in which
	// they were first put, and returns fn's first error unchanged. fn may call
	// the ledger: a record is shown as it was at most a page ago, once, and
	// records that are put for the first time meanwhile may be shown or not.
	Each(ctx context.Context, q Query, fn func(Record) error) error

	// Put stores records, each in the place of the one with the same key if
	// there is one; of two with the same key the later one stays. It is durable
	// when it returns, and all or none. No records is no error.
	Put(ctx context.Context, rs []Record) error

	// Rekey replaces records by others with other keys: moves goes from old
	// keys to new records, which keep the old ones' place in the order. All or
	// none, and durable. Keys may be exchanged. An old key that is not there, or
	// a new key that another record has or gets, is an error with the code
	// [fault.Internal] and nothing is changed: records are never merged.
	Rekey(ctx context.Context, moves map[string]Record) error

	// Counts returns how many records are in each state. States without any are
	// left out. The map is never nil.
	Counts(ctx context.Context) (map[State]int, error)

	// Fact returns a text stored under a name, or "" if there is none.
	Fact(ctx context.Context, name string) (string, error)

	// SetFact stores a text under a name in the place of an earlier one. It is
	// durable when it returns.
	SetFact(ctx context.Context, name, value string) error
}

// LastRun is the name of the fact that [Status] shows.
const LastRun = "last-run"

// FolderKey names a folder of a destination. Scope.DestHost, Scope.DestUser and
// Record.Folder must be written the same way for a record to claim a message of
// the folder.
type FolderKey struct{ Host, User, Folder string }

// IndexEntry is one message of a destination folder.
type IndexEntry struct {
	UID       uint32
	Size      int64  // octets, as RFC822.SIZE
	MessageID string // or ""

	// Sum holds Content, Header and Body only; nil until they are known.
	Sum *message.Summary
}

// Match says which entries are wanted. A condition that is empty is none; all
// that are given must hold, and each holds if any of its values fits.
type Match struct {
	MessageIDs       []string         // an empty one fits nothing
	MinSize, MaxSize int64            // octets, both included; both 0: any size
	Contents         []message.Digest // fits only entries whose digests are known
}

// Index is the cached list of the messages in one destination folder. It is
// shared by all accounts that deliver there.
//
// An Index belongs to the UIDVALIDITY that State or Reset last told it. When
// another Index of the same folder has been reset to a different one since,
// every other method fails with the code [fault.Temporary] and changes nothing:
// the caller's UIDs are worth nothing then (RFC 3501 §2.3.1.1).
type Index interface {
	// State returns the folder's UIDVALIDITY and the first UID that is not
	// indexed: 0 and 1 for a folder that is not known.
	State(ctx context.Context) (uidValidity, next uint32, err error)

	// Reset forgets all entries and starts again with a UIDVALIDITY, which may
	// be the old one but not 0. It is durable when it returns.
	Reset(ctx context.Context, uidValidity uint32) error

	// Extend adds entries and moves the first UID that is not indexed to next,
	// never back. An entry with a known UID takes the old one's place, but
	// digests that it does not have are kept. An entry with the UID 0 or one
	// not below next, and a folder that was never Reset, are errors with the
	// code [fault.Internal]. All or none, and durable.
	Extend(ctx context.Context, next uint32, entries []IndexEntry) error

	// PutDigests adds what Sum holds to entries that are indexed; digests that
	// are zero there are kept as they were. UIDs that are not indexed and
	// entries without a Sum are passed over. All or none, and durable.
	PutDigests(ctx context.Context, entries []IndexEntry) error

	// Unclaimed calls fn, by ascending UID, with the entries that fit m and that
	// no record in the state Delivered, DeleteSent or Gone claims, whatever its
	// scope's account: a claim is the same host, user, folder, UIDVALIDITY and
	// UID. It returns fn's first error unchanged. fn may call the journal: what
	// it changes shows after at most a page.
	Unclaimed(ctx context.Context, m Match, fn func(IndexEntry) error) error

	// UnclaimedCount returns how many entries nothing claims.
	UnclaimedCount(ctx context.Context) (int, error)
}

// Status sums up one scope.
type Status struct {
	Scope   Scope
	Counts  map[State]int // states without any records are left out
	LastRun string        // the fact [LastRun], or ""
}

// Journal is an open journal.
type Journal interface {
	// Ledger returns the ledger of a scope. Nothing is stored by this alone.
	Ledger(ctx context.Context, s Scope) (Ledger, error)

	// Index returns the index of a folder. Nothing is stored by this alone.
	Index(ctx context.Context, k FolderKey) (Index, error)

	// Scopes returns all scopes in which something was stored, in the order of
	// their first write.
	Scopes(ctx context.Context) ([]Status, error)

	// RecordPasses adds to the history, and forgets what is longer ago than keep, seen
	// from the last pass that began at least a day before the last of them: a clock that
	// is ahead for less than that makes it forget nothing. A pass takes the place of one of the
	// same account that began in the same millisecond. All or none, and durable. A pass without an account is an error with the code [fault.Internal]; texts are cut
	// to 4 KiB.
	RecordPasses(ctx context.Context, passes []Pass, keep time.Duration) error

	// EachPass calls fn with the passes that began at a moment or later, in the order
	// in which they were recorded, and returns fn's first error unchanged. fn may call
	// the journal.
	EachPass(ctx context.Context, since time.Time, fn func(Pass) error) error

	// Renew is for who keeps a journal open for years, before each pass. After an error of
	// the disk it opens the database anew, as Open does, under the lock that it has; what
	// was handed out before stays refused. It returns what a person should be told of what
	// it found. The code is [fault.State] if the disk still fails, or if the state
	// directory or the journal in it is another one by now, or gone.
	Renew(ctx context.Context) (notes []string, err error)

	// Rebuilt tells that a damaged journal was found and that this one is new:
	// what was delivered before is not known here.
	Rebuilt() bool

	// Notes returns what a person should be told about this journal, such as
	// that it was made on another machine; usually nothing.
	Notes() []string

	// Close gives up the lock. Every later call fails. A second Close does
	// nothing and returns nil.
	Close() error
}
