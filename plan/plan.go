package plan

import "time"

// Version is the version of the plan format.
const Version = 1

// Verb says what happens to a message.
type Verb string

const (
	// Copy delivers the message.
	Copy Verb = "copy"
	// Skip does nothing: it is delivered already, or the destination has it.
	Skip Verb = "skip"
	// Hold leaves it on POP3, since the destination would not take it.
	Hold Verb = "hold"
	// Delete removes it from POP3.
	Delete Verb = "delete"
	// Park leaves it alone until the outcome of an earlier append is known.
	Park Verb = "park"
)

// Action is what happens to one message, and why.
type Action struct {
	Listed
	Verb Verb `json:"verb"`
	// Why is for people: "known", "duplicate: INBOX uid 812, by content digest".
	Why string `json:"why"`
	// Possible marks a copy that may turn out to be a duplicate: reading the
	// message decides.
	Possible bool `json:"possible,omitempty"`
	// Repeated marks a message that shares its UIDL with another one, so that
	// only a digest says which is which.
	Repeated bool `json:"repeated,omitempty"`
	// Verify marks a delivered message that is due for deletion but was not read
	// back from the destination yet.
	Verify bool `json:"verify,omitempty"`
	// Match is the mail at the destination that makes it a duplicate, or a
	// possible one.
	Match *Match `json:"match,omitempty"`
	// Target is where a copy goes, if the account has routes and the header is known.
	Target *Target `json:"target,omitempty"`
}

// Target is the folder of a message, and which route leads there.
type Target struct {
	Folder string `json:"folder"`
	// Route is its number, from 1; 0 means that none matches.
	Route int `json:"route"`
}

// Match is mail at the destination that equals a listed message.
type Match struct {
	// How is "content digest", "header digest" and so on.
	How string `json:"how"`
	// Where is the place for people: "INBOX uid 812".
	Where string `json:"where"`
	// Certain is false when only reading the message can tell.
	Certain bool `json:"certain"`
}

// Destination is the folder that mail goes to, as it was found.
type Destination struct {
	Host   string `json:"host"`
	User   string `json:"user"`
	Folder string `json:"folder"`
	// UIDValidity, UIDNext and Messages are 0 while the folder does not exist
	// (RFC 9051 §2.3.1.1).
	UIDValidity uint32 `json:"uidvalidity"`
	UIDNext     uint32 `json:"uidnext"`
	Messages    uint32 `json:"messages"`
	Exists      bool   `json:"exists"`
}

// Plan says for every message of one maildrop what happens to it. It is a value:
// it can be printed, stored and compared.
type Plan struct {
	Version     int
	Account     string
	ConfigHash  string
	Destination Destination
	// Actions are in the order of the listing, one for each message.
	Actions  []Action
	Warnings []string
}

// Known is what the journal says about a message key.
type Known struct {
	// State is "delivered", "held", "intent", "delete-sent" or "gone".
	State string
	// Listed is the LIST size when it was recorded, in octets.
	Listed int64
	// DeliveredAt and VerifiedAt are zero for what did not happen yet.
	DeliveredAt, VerifiedAt time.Time
	// Reason says why it is held.
	Reason string
	// Folder and UID are where it was delivered; UID 0 is not known.
	Folder string
	UID    uint32
}

// The states of Known.State.
const (
	stateDelivered  = "delivered"
	stateHeld       = "held"
	stateIntent     = "intent"
	stateDeleteSent = "delete-sent"
	stateGone       = "gone"
)

// Input is everything that a plan depends on.
type Input struct {
	// Account is the account's name, ConfigHash the hash of what is configured.
	Account, ConfigHash string
	// Now is the time for which deletions are due.
	Now time.Time
	// LastRun is when the last run was; zero if there was none.
	LastRun time.Time
	// Listing is the maildrop. A message with a Key keeps it; the others get
	// theirs from Keys.
	Listing []Listed
	// Known is what the journal says, by key. It may hold more than the listing.
	Known map[string]Known
	// Delivered, unless nil, is the journal's word on what Known lacks: for nearly all
	// of a large maildrop a table would be larger than the listing.
	Delivered func(key string) (Known, bool)
	// Skip holds the UIDLs of messages that another program fetched before.
	Skip UIDLs
	// Found is what the destination has, by key.
	Found map[string]Match
	// Routes says that the account has routes; Targets are where they lead, by key, as
	// far as headers are known.
	Routes  bool
	Targets map[string]Target
	// Limit is the largest message that the destination accepts, in octets
	// (APPENDLIMIT, RFC 7889); 0 means that it states none.
	Limit int64
	// Destination is the folder as it was found.
	Destination Destination
	// Expire is the POP3 server's EXPIRE (RFC 2449 §6.7): after how many days it
	// removes mail by itself, "NEVER", or "" where it does not say.
	Expire string
	// Source is what is known of the maildrop's provider.
	Source Ways
	// Keep says what stays on POP3.
	Keep Keep
	// Pace is how often a bridge passes.
	Pace Pace
	// HeldToo tries held messages again.
	HeldToo bool
	// Warnings are passed on to the plan.
	Warnings []string
}

// Count is a number of messages, and their octets as LIST states them.
type Count struct {
	Messages int   `json:"messages"`
	Bytes    int64 `json:"bytes"`
}

func (c *Count) add(size int64) {
	c.Messages++
	c.Bytes += size
}

func (c *Count) sum(o Count) {
	c.Messages += o.Messages
	c.Bytes += o.Bytes
}

// Totals sums up a plan. Listed is the sum of Known, Duplicate, Copy, Held, Delete
// and Parked; Possible is a part of Copy.
type Totals struct {
	Listed    Count `json:"listed"`
	Known     Count `json:"known"`
	Duplicate Count `json:"duplicate"`
	Copy      Count `json:"copy"`
	Possible  Count `json:"possible"`
	Held      Count `json:"held"`
	Delete    Count `json:"delete"`
	Parked    Count `json:"parked"`
}

// Totals counts the actions.
func (p Plan) Totals() Totals {
	var t Totals
	for _, a := range p.Actions {
		t.Listed.add(a.Size)
		t.of(a).add(a.Size)
		if a.Verb == Copy && a.Possible {
			t.Possible.add(a.Size)
		}
	}
	return t
}

// of returns the count that an action belongs to.
func (t *Totals) of(a Action) *Count {
	switch a.Verb {
	case Copy:
		return &t.Copy
	case Hold:
		return &t.Held
	case Delete:
		return &t.Delete
	case Park:
		return &t.Parked
	}
	if a.Match != nil {
		return &t.Duplicate
	}
	return &t.Known
}

func (t *Totals) sum(o Totals) {
	into, from := t.columns(), o.columns()
	for i := range into {
		into[i].sum(*from[i])
	}
}

// columns lists the counts in the order of the table.
func (t *Totals) columns() []*Count {
	return []*Count{&t.Listed, &t.Known, &t.Duplicate, &t.Copy, &t.Possible, &t.Held,
		&t.Delete, &t.Parked}
}
