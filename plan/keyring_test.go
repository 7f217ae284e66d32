//go:build unix

package plan_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zalando/go-keyring"

	"github.com/popferry/popferry/internal/fault"
)

func TestKeyring(t *testing.T) {
	keyring.MockInit()
	for _, entry := range [][3]string{
		{"popferry", "alice", "of the account's user"}, {"popferry", "bob", "of another user"},
		{"lines", "alice", "correct-horse1\nx"}, {"newline", "alice", "word\n"},
	} {
		if err := keyring.Set(entry[0], entry[1], entry[2]); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	for reference, want := range map[string]string{
		"{keyring: popferry}":                       "of the account's user",
		"{keyring: {service: popferry}}":            "of the account's user",
		"{keyring: {service: popferry, user: bob}}": "of another user",
		"{keyring: newline}":                        "word",
	} {
		config := load(t, dir, reference)
		if err := config.Resolve(context.Background(), nil); err != nil {
			t.Errorf("%s: %v", reference, err)
		} else if got := config.Accounts[0].Source.Secret.Reveal(); got != want {
			t.Errorf("%s: %q, want %q", reference, got, want)
		}
	}
	for reference, want := range map[string]string{
		"{keyring: absent}": "keyring entry of absent for user alice does not exist; store the password under",
		"{keyring: lines}":  "keyring entry of lines for user alice gives more than one line",
	} {
		refused(t, dir, reference, want)
	}
}

// TestNoKeyring: servers mostly have none.
func TestNoKeyring(t *testing.T) {
	keyring.MockInitWithError(errors.New("dbus-launch\x1b: not found"))
	t.Cleanup(keyring.MockInit)
	refused(t, t.TempDir(), "{keyring: popferry}", "keyring entry of popferry for user alice cannot be read: "+
		`dbus-launch\x1b: not found; where there is no keyring, use env, file, credential or command instead`)
}

// TestTheUserOfADefault: what defaults say of a keyring is meant for each account's
// own user.
func TestTheUserOfADefault(t *testing.T) {
	keyring.MockInit()
	for _, user := range []string{"alice", "bob"} {
		if err := keyring.Set("popferry", user, "of "+user); err != nil {
			t.Fatal(err)
		}
	}
	config := parse(t, `
defaults:
  source: {host: pop.example.org, password: {keyring: popferry}}
  destination: {host: imap.example.net, password: {keyring: popferry}}
accounts:
  - {source: {username: alice}, destination: {username: alice}}
  - {source: {username: bob}, destination: {username: bob}}
`)
	if err := config.Resolve(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	for _, a := range config.Accounts {
		if got := a.Source.Secret.Reveal(); got != "of "+a.Name {
			t.Errorf("%s: %q", a.Name, got)
		}
	}
}

// refused resolves one password reference and expects an error.
func refused(t *testing.T, dir, reference, want string) {
	t.Helper()
	err := load(t, dir, reference).Resolve(context.Background(), nil)
	prefix := filepath.Join(dir, "accounts.yaml") + `:2:64: account "alice": ` + want
	if fault.CodeOf(err) != fault.Config || !strings.HasPrefix(err.Error(), prefix) {
		t.Errorf("%s: code %v:\n%v\nwant %s", reference, fault.CodeOf(err), err, prefix)
	}
	if err != nil && strings.Contains(err.Error(), "correct") {
		t.Errorf("%s: a password in %v", reference, err)
	}
}
