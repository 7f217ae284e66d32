package sasl_test

import (
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sasl"
)

// TestFullAndBusy: words of servers that refuse a message, and words about the message.
func TestFullAndBusy(t *testing.T) {
	type is struct{ full, busy bool }
	for text, want := range map[string]is{
		"Mailbox is full": {full: true}, "Mailbox full": {full: true}, "Over quota": {full: true},
		"No space left on device": {full: true}, "Insufficient disk space": {full: true},
		"Speicherplatz des Postfachs erschöpft": {full: true}, "Postfach voll": {full: true},
		"Espace disque insuffisant": {full: true}, "Превышена квота": {full: true}, "邮箱空间不足": {full: true},
		"Server busy, try again later": {busy: true}, "Timeout, please try again later": {busy: true},
		"Service temporarily unavailable": {busy: true}, "Rate limit hit": {busy: true},
		"Message exceeds the maximum size": {}, "Message contains a virus": {}, "Internal error": {},
		"Permission denied": {}, "Invalid date": {}, "": {},
	} {
		if got := (is{sasl.Full(text), sasl.Busy(text)}); got != want {
			t.Errorf("%q: %+v", text, got)
		}
	}
	if got := sasl.Judge("Internal server error"); got != fault.Temporary {
		t.Errorf("a login that meets an internal error is %d", got)
	}
}

// TestLater: refusals of a login that would have met the right password, too.
func TestLater(t *testing.T) {
	for text, want := range map[string]fault.Code{
		"backend server not available":                            fault.Temporary,
		"Too many login attempts, please wait 15 minutes":         0,
		"Too many login attempts":                                 0,
		"Too many login attempts with a wrong password, wait":     fault.Credentials,
		"Postfach ist durch eine andere Sitzung gesperrt":         fault.Temporary,
		"Das Postfach wird bereits verwendet":                     fault.Temporary,
		"Zu viele gleichzeitige Verbindungen":                     fault.Temporary,
		"Anmeldung fehlgeschlagen, bitte später erneut versuchen": 0,
	} {
		if got := sasl.Judge(text); got != want {
			t.Errorf("%q: %d", text, got)
		}
	}
}
