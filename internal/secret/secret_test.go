package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/secret"
)

func TestNothingPrintsASecret(t *testing.T) {
	const password = "correct horse"
	holder := struct{ Name, Password any }{"alice", secret.New(password)}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", holder.Password)
		fmt.Fprintf(&out, verb+"\n", holder)
		fmt.Fprintf(&out, verb+"\n", struct{ hidden secret.Value }{secret.New(password)})
	}
	if err := json.NewEncoder(&out).Encode(holder); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("login", "secret", holder.Password)
	for _, form := range []string{password, fmt.Sprintf("%x", password)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("printed as %q in:\n%s", form, out.String())
		}
	}
	if secret.New(password).Reveal() != password {
		t.Error("the password itself is lost")
	}
}
