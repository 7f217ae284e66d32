package secret_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
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

// TestHide: whatever form a server echoes a password in, it is not shown.
func TestHide(t *testing.T) {
	const username, password = "alice", `p"a\ss word`
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, echo := range []string{
		"PASS " + password, `LOGIN alice "p\"a\\ss word"`, "AUTHENTICATE PLAIN " + encode("\x00alice\x00"+password),
		encode(password), password + password,
	} {
		shown := secret.New(password).Hide("bad: "+echo+" again", username)
		for _, form := range []string{password, `p\"a\\ss`, encode(password), encode("\x00alice\x00" + password)} {
			if strings.Contains(shown, form) {
				t.Errorf("%q shows %q", shown, form)
			}
		}
		if !strings.Contains(shown, "***") || !strings.HasPrefix(shown, "bad: ") || !strings.HasSuffix(shown, " again") {
			t.Errorf("%q", shown)
		}
	}
	if got := (secret.Value{}).RevealIn("*** text"); got != "*** text" {
		t.Errorf("%q", got)
	}
	said := "-ERR Application-specific password required"
	word := secret.New("password")
	if hidden := word.Hide(said, username); hidden == said || word.RevealIn(hidden) != said {
		t.Errorf("%q is %q, and back %q", said, hidden, word.RevealIn(hidden))
	}
	if got := (secret.Value{}).Hide("text", username); got != "text" {
		t.Errorf("%q", got)
	}
}

// TestHideInsideSASL: a token is found in whatever SASL response it stands, at each of
// the three places that base64 gives it, and nothing around it stays to guess from.
func TestHideInsideSASL(t *testing.T) {
	const username = "alice@example.org"
	for _, token := range []string{"ya29.a0AfH6SMB-x_y~z", "four", "pässwörd ✓", strings.Repeat("t0ken", 500)} {
		for n := range 9 {
			response := strings.Repeat("u", n) + "user=" + username + "\x01auth=Bearer " + token + "\x01\x01"
			encoded := base64.StdEncoding.EncodeToString([]byte(response))
			shown := secret.New(token).Hide("-ERR bad: "+encoded+" ("+encoded+")", username)
			if shown != "-ERR bad: *** (***)" {
				t.Errorf("%q after %d: %q", token, n, shown)
			}
		}
	}
	if got := secret.New("ab").Hide("an ordinary abbey text", username); got != "an ordinary ***bey text" {
		t.Errorf("%q", got)
	}
}

// TestMark: equal passwords have equal marks, and a mark shows nothing.
func TestMark(t *testing.T) {
	a, again, b := secret.New("correct horse"), secret.New("correct horse"), secret.New("battery")
	if a.Mark() != again.Mark() || a.Mark() == b.Mark() || b.Mark() == (secret.Value{}).Mark() {
		t.Error("marks do not tell passwords apart")
	}
	if sum := sha256.Sum256([]byte("correct horse")); a.Mark() == sum {
		t.Error("the mark can be compared with digests of guessed passwords")
	}
}
