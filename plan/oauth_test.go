//go:build unix

package plan_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// TestOAuthDefaults: a provider determines the addresses and scopes, by protocol.
func TestOAuthDefaults(t *testing.T) {
	const frame = "accounts:\n  - name: alice\n    source: {host: pop.example.org, username: a, %s}\n" +
		"    destination: {host: imap.example.net, username: a, %[1]s}\n"
	show := func(o *plan.OAuth) string {
		return fmt.Sprintln(o.Flow, o.ClientID, o.Scopes, o.AuthURL, o.TokenURL, o.DeviceURL, o.Store)
	}
	const login = "https://login.microsoftonline.com/"
	for text, want := range map[string][2]string{
		"oauth: {provider: microsoft, client_id: i}": {
			"device i [https://outlook.office.com/POP.AccessAsUser.All offline_access]  " +
				login + "common/oauth2/v2.0/token " + login + "common/oauth2/v2.0/devicecode file\n",
			"device i [https://outlook.office.com/IMAP.AccessAsUser.All offline_access]  " +
				login + "common/oauth2/v2.0/token " + login + "common/oauth2/v2.0/devicecode file\n"},
		"oauth: {provider: microsoft, client_id: i, tenant: Contoso.example, flow: browser, store: keyring}": {
			"browser i [https://outlook.office.com/POP.AccessAsUser.All offline_access] " +
				login + "Contoso.example/oauth2/v2.0/authorize " + login + "Contoso.example/oauth2/v2.0/token  keyring\n",
			"browser i [https://outlook.office.com/IMAP.AccessAsUser.All offline_access] " +
				login + "Contoso.example/oauth2/v2.0/authorize " + login + "Contoso.example/oauth2/v2.0/token  keyring\n"},
		"oauth: {provider: microsoft, client_id: i, tenant: t, flow: client-credentials, client_secret: s}": {
			"client-credentials i [https://outlook.office365.com/.default]  " + login + "t/oauth2/v2.0/token  file\n",
			"client-credentials i [https://outlook.office365.com/.default]  " + login + "t/oauth2/v2.0/token  file\n"},
		"oauth: {provider: google, client_id: i, client_secret: s}": {
			"browser i [https://mail.google.com/] https://accounts.google.com/o/oauth2/v2/auth " +
				"https://oauth2.googleapis.com/token  file\n",
			"browser i [https://mail.google.com/] https://accounts.google.com/o/oauth2/v2/auth " +
				"https://oauth2.googleapis.com/token  file\n"},
		"oauth: {provider: google, flow: service-account, key_file: k}": {
			"service-account  [https://mail.google.com/]  https://oauth2.googleapis.com/token  file\n",
			"service-account  [https://www.googleapis.com/auth/gmail.imap_admin]  https://oauth2.googleapis.com/token  file\n"},
		"oauth: {client_id: i, device_url: 'https://a.example/d', token_url: 'http://127.0.0.1:1/t', scopes: [mail]}": {
			"device i [mail]  http://127.0.0.1:1/t https://a.example/d file\n",
			"device i [mail]  http://127.0.0.1:1/t https://a.example/d file\n"},
	} {
		a := parse(t, fmt.Sprintf(frame, text)).Accounts[0]
		if got := show(a.Source.OAuth); got != want[0] {
			t.Errorf("%s, POP3:\n%s\nwant\n%s", text, got, want[0])
		}
		if got := show(a.Destination.OAuth); got != want[1] {
			t.Errorf("%s, IMAP:\n%s\nwant\n%s", text, got, want[1])
		}
	}
}

// TestOAuthOrPassword: what stands nearer to the account counts, and oauth is laid
// under field by field.
func TestOAuthOrPassword(t *testing.T) {
	config := parse(t, `
defaults:
  source: {host: pop.example.org, oauth: {provider: microsoft, client_id: i, tenant: a.example}}
  destination: {host: imap.example.net, password: {env: A}}
accounts:
  - source: {username: alice, oauth: {tenant: b.example}}
    destination: {username: alice}
  - source: {username: bob, password: {env: B}}
    destination: {username: bob, oauth: {provider: google, client_id: j, client_secret: {env: S}}}
  - source: {username: carol, oauth: {provider: google, flow: service-account, key_file: k}}
    destination: {username: carol}
`)
	if o := config.Accounts[2].Source.OAuth; o.ClientID != "" {
		t.Errorf("carol's service account has the client_id of defaults: %+v", o)
	}
	alice, bob := config.Accounts[0], config.Accounts[1]
	if o := alice.Source.OAuth; o == nil || o.ClientID != "i" || !strings.Contains(o.TokenURL, "/b.example/") {
		t.Errorf("alice's source: %+v", o)
	}
	if alice.Destination.OAuth != nil || bob.Source.OAuth != nil || bob.Destination.OAuth == nil {
		t.Errorf("%+v %+v %+v", alice.Destination.OAuth, bob.Source.OAuth, bob.Destination.OAuth)
	}
}

func TestOAuthSecrets(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "key.json"), "{\n \"private_key\": \"x\"\n}\n", 0o600)
	path := write(t, filepath.Join(dir, "accounts.yaml"), `
defaults:
  source: {host: pop.example.org, oauth: {provider: microsoft, client_id: i, client_secret: {command: [sh, -c, 'echo x >> asked; echo s']}}}
  destination: {host: imap.example.net, oauth: {provider: google, flow: service-account, key_file: key.json}}
accounts:
  - {source: {username: a}, destination: {username: a}}
  - {source: {username: b}, destination: {username: b}}
`, 0o644)
	config, err := plan.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := config.Resolve(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	for _, a := range config.Accounts {
		if got := a.Source.OAuth.Secret.Reveal(); got != "s" {
			t.Errorf("secret %q", got)
		}
		if got := a.Destination.OAuth.Key.Reveal(); !strings.HasPrefix(got, "{\n") {
			t.Errorf("key %q", got)
		}
	}
	if asked, err := os.ReadFile(filepath.Join(dir, "asked")); string(asked) != "x\n" {
		t.Errorf("the command ran for each account: %q, %v", asked, err)
	}
	for mode, want := range map[os.FileMode]fault.Code{0o644: fault.Credentials, 0o600: fault.Config} {
		write(t, filepath.Join(dir, "key.json"), "", mode)
		if err := config.Resolve(context.Background(), nil); fault.CodeOf(err) != want ||
			!strings.Contains(err.Error(), "defaults: key file "+dir) {
			t.Errorf("%o: code %v: %v", mode, fault.CodeOf(err), err)
		}
	}
}
