package sasl

import "strings"

// NotConnectedHint says what to check where a refusal is [NotConnected].
const NotConnectedHint = "the login is right, but the mailbox can't be opened; open it in Outlook on the web as this " +
	"user: if that works, have POP and IMAP switched on for it, else check its licence and the rights on it"

// NotConnected tells Exchange's refusal of who is logged in and has no mailbox to open. It
// says so of any command, as -ERR, NO or BAD.
func NotConnected(text string) bool {
	return strings.Contains(strings.ToLower(text), "authenticated but not connected")
}
