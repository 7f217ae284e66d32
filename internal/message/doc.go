// Package message holds one message at rest: its exact octets, its size, its
// digests, and the few header fields that are needed to find it again.
//
// A message is taken in once, by [Spool.Receive], and everything that popferry
// will ever want to know of it is worked out while it streams by. Small ones
// stay in memory, larger ones go to a temporary file that has no name; either
// way [Message.WriteTo] gives the octets as often as they are asked for, and
// [Message.Close] gives the room back. [Summarize] works out the same facts of
// a message that is only read, and [SummarizeHeader] those that a header alone
// can tell. [Likeness] compares a message with a copy that a server altered.
//
// # Forms
//
// Three forms of a message matter:
//
//   - as received: the octets that POP3 gave, without its dot-stuffing. They are
//     what is stored and what [Spool.Wrap] preserves.
//   - as delivered: every bare LF made CRLF, and a final CRLF added when there is
//     none, because IMAP asks for it (RFC 9051 §4.3, RFC 5322 §2.1). Nothing else
//     changes: a bare CR stays, and so do NUL, 8-bit headers and endless lines. An
//     empty message stays empty.
//   - canonical: the delivered form with each NUL as 0x80, since that is what some
//     servers make of it. Digests are taken of this form, so that they are equal
//     on both sides of a transport that changed no more than that.
//
// # Header and body
//
// A header ends with its first empty line. A line of nothing but CR counts as
// empty: servers differ on whether CR CR LF ends a header, and some drop bare
// CRs. MIME is never looked at, so no structure can be a trap.
//
// The header digest covers the fields, in their order, without those that
// servers add, drop or rewrite on their own; of these it has what stands behind a CR
// amid a line, since mail whose line ends are CRs alone is a single field. Lines that are no fields at all are
// left out too, since some servers drop them, but only where the rest can tell
// two mails apart: the header is closed by an empty line and has a Message-ID.
// Otherwise such lines count, or all texts without a header would look alike and
// all but the first would be lost.
//
// Nothing in a message can make this package use much memory or fail: what is
// kept of a field, of a name and of a line is bounded, and what can't be
// understood is passed over.
package message
