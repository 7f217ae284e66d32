package discover_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/discover"
	"github.com/popferry/popferry/internal/provider"
	"github.com/popferry/popferry/plan"
)

// draft is an account from one address to another, by the table alone.
func draft(t *testing.T, names *discover.Names, from, to string) discover.Draft {
	t.Helper()
	d := discover.Draft{Name: from}
	for _, part := range []struct {
		side    *discover.Side
		address string
		p       discover.Protocol
	}{{&d.Source, from, pop3}, {&d.Destination, to, imap}} {
		found, err := discover.Finder{}.Find(context.Background(), part.address, part.p)
		if err != nil {
			t.Fatal(err)
		}
		s, ok := found.Server(part.p)
		if !ok {
			t.Fatal(found.Missing(part.p))
		}
		*part.side = discover.Side{Server: s, Username: s.User(part.address), Provider: found.Provider,
			Secret: discover.Secret{Env: names.Env(from, part.p)}}
	}
	return d
}

func write(t *testing.T, drafts ...discover.Draft) string {
	t.Helper()
	var b bytes.Buffer
	if err := discover.Write(&b, drafts); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// load reads the text as popferry does, from a file.
func load(t *testing.T, text string) *plan.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "accounts.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := plan.Load(path)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return config
}

func TestWrite(t *testing.T) {
	var names discover.Names
	text := write(t, draft(t, &names, "alice@gmx.de", "alice@fastmail.com"),
		draft(t, &names, "al-ice@gmx.de", "alice@mailbox.org"), draft(t, &names, "al.ice@gmx.de", "alice@tim.it"))
	config := load(t, text)
	for i, want := range []string{
		"alice@gmx.de: pop.gmx.net:995 alice@gmx.de environment variable MAIL_ALICE_GMX_DE_POP3 -> " +
			"imap.fastmail.com:993 alice@fastmail.com environment variable MAIL_ALICE_GMX_DE_IMAP forever",
		"al-ice@gmx.de: pop.gmx.net:995 al-ice@gmx.de environment variable MAIL_AL_ICE_GMX_DE_POP3 -> " +
			"imap.mailbox.org:993 alice@mailbox.org environment variable MAIL_AL_ICE_GMX_DE_IMAP forever",
		"al.ice@gmx.de: pop.gmx.net:995 al.ice@gmx.de environment variable MAIL_AL_ICE_GMX_DE_POP3_2 -> " +
			"imap.tim.it:143 alice@tim.it environment variable MAIL_AL_ICE_GMX_DE_IMAP_2 forever",
	} {
		a := config.Accounts[i]
		got := fmt.Sprintf("%s: %s %s %s -> %s %s %s %s", a.Name, a.Source.Address(), a.Source.Username,
			a.Source.Password, a.Destination.Address(), a.Destination.Username, a.Destination.Password, a.Keep)
		if got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	flat := strings.Join(strings.Fields(strings.ReplaceAll(text, "#", "")), " ")
	for _, want := range []string{
		"from the table of providers: GMX (German) host: pop.gmx.net",
		"POP3 has to be switched on first: E-Mail settings, POP3 & IMAP; see https://hilfe.gmx.net/pop-imap/einschalten.html",
		"Fastmail refuses the account's own password: make one for mail programs (app password); see https://",
		"note: IMAP refuses bare line feeds",
	} {
		if !strings.Contains(flat, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	for i, line := range strings.Split(text, "\n") {
		if strings.Contains(line, "#") && len(line) > 130 {
			t.Errorf("line %d is long: %s", i+1, line)
		}
	}
}

// Where no password works, none is asked for.
func TestWriteOAuth(t *testing.T) {
	drafts, err := discover.Finder{}.Drafts(t.Context(), discover.Wish{Addresses: []string{"alice@outlook.com"},
		To: "alice@gmail.com"})
	if err != nil {
		t.Fatal(err)
	}
	text := write(t, drafts...)
	if _, err := plan.Parse("accounts.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "placeholder") {
		t.Errorf("without the id of an application: %v", err)
	}
	a := load(t, strings.Replace(text, "YOUR-APPLICATION-ID", "0000-1111", 1)).Accounts[0]
	if a.Source.OAuth == nil || a.Source.OAuth.Provider != plan.Microsoft || a.Destination.OAuth != nil ||
		a.Destination.Password.String() == "none" {
		t.Errorf("%+v, %v", a.Source.OAuth, a.Destination.Password)
	}
}

func TestHints(t *testing.T) {
	for _, c := range []struct {
		address string
		p       discover.Protocol
		want    string
		not     string
	}{
		{"alice@gmail.com", pop3, "POP3 lists about 250", "throws"},
		{"alice@gmail.com", imap, "throws the copy away", "250"},
		{"alice@icloud.com", imap, "iCloud address", "no POP3"},
		{"alice@proton.me", imap, "Proton Mail Bridge on your own machine", "no POP3"},
		{"alice@zoho.eu", pop3, "accounts live in one region", "off until"},
		{"alice@inbox.lv", pop3, "go off again after two months", "off until"},
	} {
		found, err := discover.Finder{}.Find(t.Context(), c.address, c.p)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(discover.Hints(found.Provider, c.p), "; ")
		if !strings.Contains(got, c.want) || strings.Contains(got, c.not) {
			t.Errorf("%s, %s: %s", c.address, c.p, got)
		}
	}
	if got := discover.Hints(provider.Provider{}, pop3); got != nil {
		t.Errorf("of nobody: %q", got)
	}
}

func TestSecretsInFiles(t *testing.T) {
	var names discover.Names
	d := draft(t, &names, "alice@gmx.de", "alice@fastmail.com")
	d.Source.Secret = discover.Secret{File: names.File("../É/alice@gmx.de", pop3)}
	d.Destination.Secret = discover.Secret{File: names.File("../É/alice@gmx.de", imap)}
	a := load(t, write(t, d)).Accounts[0]
	for _, p := range []plan.Password{a.Source.Password, a.Destination.Password} {
		if !strings.Contains(p.String(), "/secrets/___alice@gmx.de-") {
			t.Error(p)
		}
	}
}

// Whatever a name or an origin holds, the file means what it should.
func TestWriteIsNotFooled(t *testing.T) {
	for _, user := range []string{
		"alice", "yes", "null", "1e3", "~", "- x", "a: b", "#x", "a #b", `"quoted"`, "it's", "{x}", "&a", "*a", "!t",
		"x\\y", "ÄÖ@example.org", "a%b", "0x10", "2024-01-01", "@x", "a@b.c", ".", "-", "<script>", "a\u2028b",
	} {
		d := draft(t, new(discover.Names), "alice@gmx.de", "alice@fastmail.com")
		d.Name = "n " + user
		d.Source.Username, d.Destination.Username = user, user
		d.Source.Server.Origin = "x\nhost: evil.example\r\n" + user + "\x1b[31m \u2028host: evil"
		d.Source.Server.Warnings = []string{"\n      host: evil.example", strings.Repeat("y ", 500)}
		d.DifferentUser = true
		a := load(t, write(t, d)).Accounts[0]
		if a.Source.Username != user || a.Destination.Username != user || a.Name != "n "+user ||
			a.Source.Host != "pop.gmx.net" || !a.DifferentUser {
			t.Errorf("%q: %+v", user, a)
		}
	}
}
