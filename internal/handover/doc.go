// Package handover makes the card that a person gets when their mail has moved: how
// to set up the new IMAP account, and what to do with the old POP3 one in the mail
// program, so that nothing is lost that only that program has.
//
// A [Card] is made of an account alone, and of the SMTP server that [Senders] finds
// for it. It knows no password, and can't: accounts.yaml is read without opening
// one. [Markdown] and [HTML] write cards; the page needs nothing else, so that it can
// be mailed or printed.
package handover
