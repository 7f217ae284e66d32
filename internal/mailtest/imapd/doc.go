// Package imapd is an IMAP4rev1 server (RFC 3501) for tests, which keeps its mail in memory and
// misbehaves on request. It shares no code with the libraries that popferry uses.
//
// [New] makes a [Server]; [Server.Listen] serves a loopback port, [Server.Dial] a pipe in memory
// and [Server.ServeConn] any connection. Nothing depends on real time except that messages are
// dated with time.Now, and every goroutine ends with its connection, so a server works inside a
// testing/synctest bubble. What the server writes is queued, as a network would, so that a client
// may send a pipeline of commands over a pipe before it reads any answer.
//
// What a client is offered, what the server does to messages and which of them it refuses is in
// [Options]; [Server.Configure] changes them in mid-course. [Options.Reply] sees every command and
// every stage of an APPEND as an [Event] and may answer with an [Action]: another reply, a cut
// before or after storing, silence, a farewell, or a store that happens when the client has gone.
//
// [Gmail], [Exchange] and [Yahoo] are options for servers that have the ways of these providers.
//
// The truth about what is stored comes from [Server.Mailbox], what clients did from
// [Server.Counters], and what they must not do but did from [Server.Violations].
//
// Supported beside RFC 3501: LITERAL+ and LITERAL- (RFC 7888), MULTIAPPEND (RFC 3502), UIDPLUS
// (RFC 4315), SASL-IR (RFC 4959), NAMESPACE (RFC 2342), ID (RFC 2971), ENABLE (RFC 5161), UNSELECT
// (RFC 3691), MESSAGELIMIT (RFC 9738, FETCH and APPEND only), APPENDLIMIT (RFC 7889), QUOTA (RFC 9208),
// SPECIAL-USE (RFC 6154) and response codes (RFC 5530). Not supported: MIME parts, ENVELOPE and
// BODYSTRUCTURE, COPY, IDLE.
package imapd
