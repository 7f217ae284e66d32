// Package ferry carries out plans: it moves the mail of each account from its
// POP3 maildrop into its IMAP folder, exactly once, and can prove it.
//
// [Run] takes one pass over the accounts, several at a time. The pass over one
// account is a trip, and its files read in the order in which it happens:
//
//	open     both sides are dialled at once, the maildrop is listed
//	survey   the listing is held against the journal; what the journal knows
//	         and the server can't have changed is skipped without a question
//	settle   appends whose outcome a crash left open are looked for first
//	recognise  mail that is new to the journal is held against the mail in the
//	         destination (lost journal) and against journal entries that vanished
//	         from the listing (renumbered UIDLs), by headers where those suffice; where both
//	         servers show one mailbox, what was brought comes up as new, see mirror
//	room     what the destination's quotas leave is asked for, if there is work
//	carry    RETR, digest, match by content, INTENT, APPEND, DELIVERED: fetching
//	         and appending overlap, bounded by octets in flight; what only a copy
//	         that the destination altered vouches for comes last. Where an account
//	         has routes, each batch is parted by folder, and a folder is opened or
//	         made when the first message goes to it
//	export   held messages are retrieved once more, for [Options.KeepHeld]
//	page     where the provider lists only a part, what is known of it is read again, so that
//	         another part is listed
//	delete   in a POP3 session of its own, what was read back from IMAP; of mail that was
//	         found there one message goes first, see canary. What went so, and its copy with
//	         it, is put back before anything else, by whatever run comes next
//
// UIDLs that are others in the next session of the run name nothing: the round begins
// again, in that session, as with a server that has none.
//
// An account without routes has one folder. With routes every record says in which
// folder its message is, and is looked for, read back and taken back there; mail that
// no record knows is looked for in all folders that the routes can lead to.
//
// An account that waits for a server keeps nobody else waiting: while others wait it
// lends its slot of limits.accounts and its place at the destination, see package places and
// link. In a [Fleet] it lends its place at the source, too, and its pass is ended where a
// server leaves it without an answer for long while others wait, see seat and turns, or
// behind a message once it has carried for a while, see cede. Between two passes of a fleet
// it keeps its connection, see kept. How it logs in is for package signin.
//
// The invariants are those of the design: INTENT is durable before the octets
// that could complete an APPEND leave; an unknown outcome stays INTENT until the
// destination was asked, and asked again after the settling time; a maildrop
// session that retrieved something not delivered, nor held and safe, ends without QUIT;
// every doubt leaves the message on POP3. A trip that fails leaves the journal
// such that the next one does the right thing: nothing has to be cleaned up.
//
// The package talks to nobody: it reports through [Event] and [Report].
package ferry
