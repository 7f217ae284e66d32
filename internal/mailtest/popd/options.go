package popd

import (
	"crypto/tls"
	"time"
)

// Mode says when a session becomes safe.
type Mode int

const (
	// Plain never speaks TLS.
	Plain Mode = iota
	// STLS offers the upgrade of RFC 2595 §4 and refuses to log in before it.
	STLS
	// Implicit speaks TLS from the first byte (RFC 8314 §3.3).
	Implicit
)

// Options make a server obedient or not. The zero value is an obedient one in
// clear text, with every extension, that lets anybody in.
type Options struct {
	// Username and Password that let a client in; no Username lets in everyone.
	Username, Password string
	// Token, unless nil, announces XOAUTH2 and says whether a token is good for a user;
	// passwords are refused then.
	Token func(user, token string) bool
	// Mode and TLS say how a session becomes safe.
	Mode Mode
	TLS  *tls.Config

	// NoCAPA refuses CAPA; NoUIDL and NoTOP refuse and do not announce those.
	NoCAPA, NoUIDL, NoTOP bool
	// NoPipelining and NoSASL leave these out of CAPA; NoSASL refuses AUTH too.
	NoPipelining, NoSASL bool
	// UTF8 announces and accepts the UTF8 command (RFC 6856 §2.1).
	UTF8 bool
	// Capabilities are announced in addition, one line each.
	Capabilities []string

	// DuplicateUIDLs gives every two messages in a row the same UIDL.
	DuplicateUIDLs bool
	// UIDL replaces the identifier of message n; "" leaves its line without one.
	UIDL func(n int, raw []byte) string
	// SizeOffset is added to each size in LIST and STAT.
	SizeOffset int

	// InUse refuses each login as if another session held the lock; Exclusive
	// really lets in one session at a time (RFC 1939 §4).
	InUse, Exclusive bool
	// LoginDelay is announced, and refuses a login that comes too early
	// (RFC 2449 §6.5).
	LoginDelay time.Duration
	// Refuse answers RETR and TOP of a message number with -ERR and this text.
	Refuse map[int]string
	// ExpireAtOnce announces EXPIRE 0, and QUIT removes what the session has retrieved
	// with RETR (RFC 2449 §6.7).
	ExpireAtOnce bool
	// Page is how many messages a session sees at most, the oldest first; 0: all.
	Page int
	// HideFetched hides from later sessions what one that ended with QUIT has retrieved
	// with RETR.
	HideFetched bool
	// TwoLineAuth ends a session that sends AUTH with an initial response.
	TwoLineAuth bool
	// MaxLogins is how many logins succeed; then each is refused as if the password were
	// wrong, until [Server.Configure] raises it. 0: any number.
	MaxLogins int
	// Removed, unless nil, is told of each message that QUIT removes.
	Removed func(raw []byte)
	// KeepDeleted makes QUIT say +OK and remove nothing.
	KeepDeleted bool
	// BareLF ends every reply line, and every line of a message, with LF alone.
	BareLF bool
	// Unstuffed forgets to double the dots (RFC 1939 §3), PlainFirst only the one at
	// the very start of a message, as Dovecot does.
	Unstuffed, PlainFirst bool

	// Reply may replace any reply. It is asked with the verb in upper case and
	// the message number that the command names, else 0; "GREETING" comes with
	// the number of the session, "SASL" after a client's answer to a challenge.
	// With override the octets of raw are sent as they are, and none of ours; no
	// octets means no answer. A replacement that starts with "-" also means that
	// the command has no effect; one that starts with "+ " continues AUTH. Several
	// sessions may ask at the same time.
	Reply func(cmd string, n int) (raw []byte, override bool)
	// Times says how often a command of a session that is logged in is answered, with
	// what it is asked as Reply is: 0 leaves the answer out. Every copy is sent alone.
	Times func(cmd string, n int) int
}

// Counters is what a server saw since it was made.
type Counters struct {
	// Sessions were greeted, Logins succeeded.
	Sessions, Logins int
	// Dele and Quit count these commands.
	Dele, Quit int
	// Retr counts RETR by message number, Commands all by verb.
	Retr     map[int]int
	Commands map[string]int
	// Pipelined counts commands that were there before the one ahead of them
	// was answered.
	Pipelined int
	// ClearLogins counts USER, PASS and AUTH seen outside TLS.
	ClearLogins int
	// BytesIn and BytesOut are octets inside TLS.
	BytesIn, BytesOut int64
}
