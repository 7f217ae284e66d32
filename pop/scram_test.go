package pop_test

import (
	"strings"
	"testing"

	"github.com/popferry/popferry/pop"
)

// TestScramOfferedAndRefused: the server keeps the password in another form than SCRAM
// needs, and takes PLAIN. NoScram saves the refusal.
func TestScramOfferedAndRefused(t *testing.T) {
	for _, noScram := range []bool{false, true} {
		d := &desk{sasl: "SCRAM-SHA-256 PLAIN", replies: map[string][]string{"AUTH": {"-ERR authentication failed", "+OK welcome"}}}
		if noScram {
			d.replies["AUTH"] = []string{"+OK welcome"}
		}
		o := d.options(t)
		o.Auth, o.NoScram = "auto", noScram
		m, err := pop.Dial(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		refused := ""
		if !noScram {
			refused = "SCRAM-SHA-256"
		}
		if m.Mechanism() != "PLAIN" || m.RefusedScram() != refused {
			t.Errorf("logged in by %s, refused %q", m.Mechanism(), m.RefusedScram())
		}
		if sent := strings.Join(d.received(), "\n"); strings.Contains(sent, "SCRAM") == noScram {
			t.Errorf("sent %s", sent)
		}
		m.Close()
	}
}
