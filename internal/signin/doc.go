// Package signin logs in to both sides of an account, and learns from how that ended: a login that
// is refused too often locks a user out, and hundreds of accounts may share one.
//
//   - [Dial] opens a session at either side, in the way that the account says ([Tokens] where
//     that is OAuth).
//   - [Learned] is what such attempts taught, for as long as the process lives, and for a day
//     also for the next one: which way was refused where another was good, what a POP3 server
//     offers, how soon it lets a user in again.
//   - A door is one login, whosever mailboxes it opens. Until it was good it is tried by one
//     account at a time; what was refused is left alone for minutes, then for a day
//     ([ErrUntried]), and never more than three times an hour.
//
// It decides when a login is not to be tried. Whether there is a connection to be had, and when
// one is tried again after a failure, is for those who ask.
package signin
