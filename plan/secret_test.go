package plan_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popferry/popferry/plan"
)

// leak reports whether text holds the password in some form.
func leak(text, password string) bool {
	return strings.Contains(text, password) ||
		strings.Contains(text, strings.Trim(fmt.Sprintf("%q", password), `"`)) ||
		strings.Contains(text, fmt.Sprintf("%x", password)) ||
		strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(password)))
}

// TestNoErrorRepeatsAPassword puts a password, in all the wrong ways that people
// find, into every place; each must be refused without repeating it.
func TestNoErrorRepeatsAPassword(t *testing.T) {
	const frame = "accounts:\n  - name: alice\n    source:\n      host: pop.example.org\n" +
		"      username: alice\n      %s\n    destination: {host: imap.example.net," +
		" username: alice, password: {env: A}}\n"
	for _, place := range []string{
		"password: %s\n      password: %[1]s", "password: !%s x", "password: !!int %s",
		"password: *%s", "password: &%s", "password: {%s}", "password: {%s: x}",
		"password: {env: %s-}", "password: {env: [%s]}", "password: {command: %s}",
		"password: {command: {a: %s}}", "password: {command: [sh, {a: %s}]}",
		"password: [%s]", "password: \"%s\\n\"", "password: |\n        %s", "password: %s # x",
		"password: %s: x", "password: \"%s\\q\"", "password: \"%s", "password: '%s' x",
		"password: @%s", "password: `%s", "password: %%%s", "password: x\n      %s: ",
		"password:%s", "password %s", "password: x\n      tls: %s", "password: x\n      port: %s",
		"password: x\n      auth: %s", "password: x\n      tls_pin: %s",
		"password: x\n      allow_plaintext: %s", "password: x\n      host: alice:%s@pop",
		"password: x\n      unknown: %s", "password: x\n      x%s: y",
		"password: x\n    keep: %s", "password: x\n    seen: %s", "password: x\n    repair: %s",
		"oauth: %s", "oauth: [%s]", "oauth: {%s: x}", "oauth: {client_secret: [%s]}",
		"oauth: {client_secret: {%s}}", "oauth: {client_secret: {env: %s-}}", "oauth: {flow: %s}", "oauth: {store: %s}",
		"oauth: {provider: %s}", "oauth: {token_url: %s}", "oauth: {token_url: 'https://user:%s@a.example/'}",
		"oauth: {tenant: 'a/%s'}", "oauth: {scopes: ['%s x']}", "oauth: {scopes: %s}", "oauth: {client_id: {%s: x}}",
		"password: x\n    seen: {%s}", "password: x\n    folder: /%s", "{%s}",
	} {
		for _, password := range []string{"correct-horse1", "123456789"} {
			text := fmt.Sprintf(frame, fmt.Sprintf(place, password))
			config, err := plan.Parse("accounts.yaml", []byte(text))
			if err == nil {
				t.Errorf("accepted: %s gives %v", place, config.Accounts[0].Source.Password)
				continue
			}
			if leak(err.Error(), password) {
				t.Errorf("%s: %v", place, err)
			}
		}
	}
}

// TestNothingPrintsAPassword covers what a good file becomes.
func TestNothingPrintsAPassword(t *testing.T) {
	const password = "correct-horse1"
	t.Setenv("A", password)
	config := parse(t, strings.Replace(account(), "{env: B}", password, 1))
	if err := config.Resolve(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	a := config.Accounts[0]
	if a.Source.Secret.Reveal() != password || a.Destination.Secret.Reveal() != password {
		t.Fatal("the passwords were not read")
	}
	all := fmt.Sprintf("%v %+v %#v %v", config, config, *config, a.Warnings()) +
		fmt.Sprint(a.Source.Password, a.Destination.Password)
	if leak(all, password) {
		t.Error(all)
	}
}

// TestHash pins what counts: no secret and no speed, and everything else.
func TestHash(t *testing.T) {
	base := parse(t, account())
	if len(base.Hash) != 64 || len(base.Accounts[0].Hash()) != 64 {
		t.Fatalf("%q", base.Hash)
	}
	for _, same := range []string{
		strings.ReplaceAll(account(), "{env: A}", "{file: other}"),
		"# comment\nlimits: {accounts: 2}\nsettle: 5s\n" + account("    keep: forever"),
		strings.Replace(account(), "imap.example.net", "IMAP.example.net, connections: 9", 1),
	} {
		if got := parse(t, same).Hash; got != base.Hash {
			t.Errorf("another hash for\n%s", same)
		}
	}
	for _, other := range []string{
		account("    folder: Old"), account("    keep: 30d"), account("    seen: always"),
		account("    repair: wrap"), account("    name: other"),
		strings.Replace(account(), "username: alice", "username: bob", 1),
		strings.Replace(account(), "pop.example.org", "pop2.example.org", 1),
		strings.Replace(account(), "pop.example.org", "pop.example.org, port: 996", 1),
		strings.Replace(account(), "pop.example.org", "pop.example.org, auth: plain", 1),
		strings.Replace(account(), "pop.example.org", "pop.example.org, tls_ca: x", 1),
	} {
		if parse(t, other).Hash == base.Hash {
			t.Errorf("the same hash for\n%s", other)
		}
	}
	two := "accounts:\n  - {name: %s, source: {host: a, username: %[1]s, password: x}, " +
		"destination: {host: b, username: %[1]s, password: x}}\n"
	ab := fmt.Sprintf(two, "a") + strings.TrimPrefix(fmt.Sprintf(two, "b"), "accounts:\n")
	ba := fmt.Sprintf(two, "b") + strings.TrimPrefix(fmt.Sprintf(two, "a"), "accounts:\n")
	if parse(t, ab).Hash != parse(t, ba).Hash {
		t.Error("the order of the accounts counts")
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(account("    seen: {older_than: 3d}")))
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := plan.Parse("accounts.yaml", data)
		if (config == nil) == (err == nil) {
			t.Fatalf("config %v, error %v", config, err)
		}
		if err != nil {
			return
		}
		for _, a := range config.Accounts {
			if a.Name == "" || a.Source.Host == "" || a.Destination.Username == "" ||
				a.Source.Port == 0 || a.Folder == "" {
				t.Fatalf("incomplete: %+v", a)
			}
		}
	})
}
