package imapd

import "crypto/tls"

// Mode says when a session becomes safe.
type Mode int

const (
	// Plain never speaks TLS.
	Plain Mode = iota
	// StartTLS offers the upgrade of RFC 3501 §6.2.1 and refuses to log in before it.
	StartTLS
	// Implicit speaks TLS from the first byte (RFC 8314 §3.2).
	Implicit
)

// Literals says which literals without a pause the server takes (RFC 7888).
type Literals int

const (
	// LiteralPlus takes them in any size.
	LiteralPlus Literals = iota
	// LiteralMinus takes them up to 4096 bytes and ends the session over a larger one.
	LiteralMinus
	// LiteralSync does not know them: what follows is read as commands.
	LiteralSync
)

// Options make a server obedient or not. The zero value is an obedient one in clear text, with
// every extension, that lets anybody in and has one mailbox, INBOX.
type Options struct {
	// Username and Password that let a client in; no Username lets in everyone.
	Username, Password string
	// Token, unless nil, announces XOAUTH2 and says whether a token is good for a user;
	// passwords are refused then.
	Token func(user, token string) bool
	// Separate gives each user name mailboxes of its own ([Server.User]); without it all share.
	Separate bool
	// Mode and TLS say how a session becomes safe.
	Mode Mode
	TLS  *tls.Config

	// Literals says which literals are taken, and announces them.
	Literals Literals
	// NoUIDPlus, NoMultiAppend, NoNamespace and NoSASLIR neither announce nor do these.
	NoUIDPlus, NoMultiAppend, NoNamespace, NoSASLIR bool
	// NoGreetingCapability leaves the capabilities out of the greeting and the answer to a login.
	NoGreetingCapability bool
	// Capabilities are announced in addition; Hide names some not to announce, though they work.
	Capabilities, Hide []string

	// Prefix, such as "INBOX.", begins the name of every mailbox but INBOX. Its last character is
	// the hierarchy separator; with no prefix that is Separator, by default "/".
	Prefix, Separator string
	// NoUIDValidity leaves UIDVALIDITY out of what SELECT and EXAMINE tell, against RFC 3501 §6.3.1.
	NoUIDValidity bool
	// Caseless finds a mailbox whose name differs in case only. LIST goes by the case.
	Caseless bool
	// SpecialUse announces RFC 6154 and gives mailboxes their attributes, such as "\\Archive", by
	// name. It does not create them.
	SpecialUse map[string]string

	// AppendLimit is the largest message taken, in bytes, and announced (RFC 7889); 0: any.
	AppendLimit int64
	// Quota is how many bytes of mail a user may have, and announces RFC 9208; 0: any number.
	Quota int64
	// QuotaMessages is how many messages a user may have if there is a Quota; 0: any number.
	QuotaMessages int
	// SoftQuota tells of the quota and takes what exceeds it.
	SoftQuota bool
	// ReadOnly lets nobody change a mailbox.
	ReadOnly bool
	// UIDNotSticky renumbers a mailbox each time it is selected, says so, and gives no APPENDUID
	// (RFC 4315 §2).
	UIDNotSticky bool

	// Transform is what storing does to a message; nil: nothing. See [NULTo80] and the others.
	Transform func(msg []byte) []byte
	// Refuse may refuse a message, before it is transformed, with the tagged answer that it
	// returns, such as "NO [CANNOT] Message contains NUL characters". "" takes it. One refused
	// message fails a whole MULTIAPPEND (RFC 3502 §6.3.11).
	Refuse func(msg []byte) string
	// DropDuplicates answers OK, with an APPENDUID, to a message with a Message-ID that the user
	// has already, in whichever mailbox, and throws it away.
	DropDuplicates bool
	// MessageLimit is how many messages one FETCH gives, and one APPEND may have, and is announced
	// (RFC 9738); 0: any number.
	MessageLimit int
	// Late tells of messages that have their UID and are not shown yet, as on a server whose
	// database commits late. One that is shown at last comes up when the mailbox is selected.
	Late func(msg []byte) bool
	// StoreAtLiteral stores each message as soon as its last byte has arrived and not when the
	// command is complete. It makes a MULTIAPPEND store one by one.
	StoreAtLiteral bool

	// Reply is asked at every stage of every command what to do; nil: always go on. It runs in the
	// session's goroutine, and several sessions may ask at once.
	Reply func(Event) Action
	// Untagged may replace what an untagged response says, such as "3 EXISTS"; "" leaves the
	// response out. It is asked like Reply is; command is what it is told in answer to.
	Untagged func(command, text string) string
}

// Counters are what a server has seen since it was made.
type Counters struct {
	// Connections were accepted; Open are there now; MaxOpen is the most there were at once.
	Connections, Open, MaxOpen int
	// Logins succeeded, Refused ones did not.
	Logins, Refused int
	// Commands counts commands by name in upper case, such as "UID FETCH". An APPEND counts once,
	// whatever the number of its messages.
	Commands map[string]int
	// Messages were stored by APPEND; MultiAppends are the commands that stored more than one.
	Messages, MultiAppends int
	// ClearLogins counts LOGIN and AUTHENTICATE seen outside TLS.
	ClearLogins int
	// BytesIn and BytesOut are on the wire, TLS included.
	BytesIn, BytesOut int64
}

// separator returns the hierarchy separator.
func (o *Options) separator() string {
	switch {
	case o.Prefix != "":
		return o.Prefix[len(o.Prefix)-1:]
	case o.Separator != "":
		return o.Separator
	default:
		return "/"
	}
}
