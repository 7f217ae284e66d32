// Package imapdst is an IMAP account as a destination of mail: it logs in, finds
// or makes folders, appends messages in batches, and reads back what is there.
//
// The order of use is [Dial], [Conn.Folder], then any number of [Conn.Append]
// and [Pending.Wait], [Conn.Index], [Conn.Headers], [Conn.Digests], and at the
// end [Conn.Close]. After an error of the connection nothing works on it any
// more; dial again.
//
// # Two planes on one connection
//
// The commands that ask (NAMESPACE, LIST, STATUS, CREATE, SUBSCRIBE, SELECT,
// FETCH, STORE, EXPUNGE, GETQUOTAROOT) are go-imap's: the control plane. Logging in and APPEND
// are our own: go-imap makes every literal over 4,096 octets wait for the
// server, knows no MULTIAPPEND, and treats the set of UIDs that answers one as a
// fatal error. Both share the connection through the guard, which go-imap takes
// for its network connection:
//
//	Append ──► stream ───────────────► server
//	go-imap ─► guard.Write (tags) ───► server
//	go-imap ◄─ guard.Read (repair) ◄── server
//	Append ◄────── route (our tags, "+")
//
// The guard reads in go-imap's reader goroutine and splits what the server says
// into responses (RFC 3501 §2.2.2). Tagged responses to our own commands and
// continuation requests go to whoever waits for them. Of the untagged data only
// what go-imap needs is handed on, and only in a form that we wrote ourselves:
// go-imap never parses a byte of a control line that a server chose freely.
// Every line, literal and nesting depth has a limit, and no answer is accepted
// for a command that was not sent: tags start with letters that can't be
// guessed.
//
// # What a lost connection leaves behind
//
// IMAP can't say whether an APPEND whose answer was lost took place (RFC 3501
// §6.3.11). So every item of a batch ends in one of four states: Delivered,
// Refused, NotSent (its last literal octet never left, so no server stored it;
// RFC 3502 §6.3.11 makes that true of a whole MULTIAPPEND) or Unknown, which the
// caller resolves by looking.
package imapdst
