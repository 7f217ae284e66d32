package sasl_test

import (
	"testing"

	"github.com/popferry/popferry/internal/sasl"
)

// TestInUse: words of servers about a mailbox that another session has, and others.
func TestInUse(t *testing.T) {
	for text, want := range map[string]bool{
		"Mailbox is locked by POP server": true, "Mailbox is locked": true, "Mailbox is currently locked": true,
		"Mailbox already in use by another process": true, "Mailbox in use.": true, "Unable to lock append mailbox": true,
		"Can't get lock": true, "Unable to get exclusive access to mailbox": true, "Timeout while waiting for lock": true,
		"The database file is locked": true, "Could not lock mailbox": true,
		"Your account is locked": false, "Mailbox of this user account is locked out": false, "Message is blocked": false,
		"Message contains NUL characters": false, "Permission denied": false, "clock on the wall": false, "": false,
	} {
		if got := sasl.InUse(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
