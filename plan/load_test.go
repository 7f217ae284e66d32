package plan_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with a file of testdata, or writes it with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run the tests with -update and look at what they write", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

// write makes a file with exactly this mode.
func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

// account is a file with one complete account; extra lines are added to it.
func account(extra ...string) string {
	return strings.Join(append([]string{
		"accounts:",
		"  - source: {host: pop.example.org, username: alice, password: {env: A}}",
		"    destination: {host: imap.example.net, username: alice, password: {env: B}}",
	}, extra...), "\n") + "\n"
}

func parse(t *testing.T, text string) *plan.Config {
	t.Helper()
	config, err := plan.Parse("accounts.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// TestMistakes holds every message for every file of testdata/bad.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			config, err := plan.Parse("accounts.yaml", data)
			if config != nil || fault.CodeOf(err) != fault.Config {
				t.Fatalf("config %v, error %v", config, err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", err.Error()+"\n")
		})
	}
}

// TestSyntaxErrorsHaveTheirLine: the parser names the line where the mapping or
// list around the mistake begins, or none.
func TestSyntaxErrorsHaveTheirLine(t *testing.T) {
	const head = `accounts:
  - name: alice
    source:
      host: pop.example.org
      username: alice
      password: {
        env: A
      }
`
	for text, want := range map[string]string{
		"        tls: none\n    folder: x":                                  "accounts.yaml:9: ",
		"      tls: none\n     port: 995\n    folder: x":                    "accounts.yaml:10: ",
		"    destination: {host: x,\n      username: y":                     "accounts.yaml:9: ",
		"    seen: [a, b\n    keep: forever\n    folder: x":                 "accounts.yaml:9: ",
		"    folder: \"x\n    keep: 30d\n":                                  "accounts.yaml:9: ",
		"    folder: \"x\n    name: \"y\"\n":                                "accounts.yaml:9: ",
		"    folder: 'x'\n    # one\n    name: 'y' z\n":                     "accounts.yaml:11: ",
		"    folder: x\n    keep: \x01":                                     "accounts.yaml:10: ",
		"    folder: \xff\n    keep: forever":                               "accounts.yaml:9: ",
		"    destination: {host: y, username: a, password: x}\n---\nx: [\n": "accounts.yaml:11: ",
	} {
		_, err := plan.Parse("accounts.yaml", []byte(head+text))
		if err == nil || !strings.HasPrefix(err.Error(), want+"not valid YAML") {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
}

// TestLongSearchForALine would take minutes if every line was tried.
func TestLongSearchForALine(t *testing.T) {
	for _, lines := range []int{1000, 200_000, 2_000_000} {
		text := "accounts:\n  - [\n" + strings.Repeat("# x\n", lines)
		_, err := plan.Parse("accounts.yaml", []byte(text))
		if exact := strings.HasPrefix(err.Error(), "accounts.yaml:2: not valid"); exact != (lines == 1000) {
			t.Errorf("%d lines: %v", lines, err)
		}
	}
}

func TestErrorsIsOneFaultAndManyProblems(t *testing.T) {
	_, err := plan.Parse("accounts.yaml", []byte("accounts: []\nlimits: 3\n"))
	var list *plan.Errors
	var problem *plan.Problem
	var one *fault.Error
	if !errors.As(err, &list) || len(list.Problems) != 2 || len(list.Unwrap()) != 2 ||
		!errors.As(err, &problem) || problem.Line != 1 || problem.FaultCode() != fault.Config {
		t.Fatalf("%#v", err)
	}
	if !errors.As(err, &one) || one.Code != fault.Config || one.Message != err.Error() {
		t.Errorf("as a fault: %#v", one)
	}
}

func TestManyProblemsAreBounded(t *testing.T) {
	_, err := plan.Parse("accounts.yaml", []byte("accounts:\n"+strings.Repeat("  - {}\n", 5000)))
	var list *plan.Errors
	if !errors.As(err, &list) || len(list.Problems) != 1000 || list.More != 5000*2-1000 ||
		!strings.HasSuffix(err.Error(), "\nand 9000 more") {
		t.Fatalf("%d problems, %d more", len(list.Problems), list.More)
	}
}

// TestC5PasswordsThatAreNoText: YAML reads more than text where there are no quotes,
// and a password that is read as a number is another one.
func TestC5PasswordsThatAreNoText(t *testing.T) {
	for _, password := range []string{
		"true", "no", "yes", "off", "null", "~", "12345", "0123", "0x1f", "1e3", ".inf", "1_000", "2026-01-01",
		"!x y", "&x", "*x", "[a]", "{a: b}", "", "'open", "\t", "- a",
	} {
		text := strings.Replace(account(), "{env: A}", password, 1)
		if _, err := plan.Parse("accounts.yaml", []byte(text)); fault.CodeOf(err) != fault.Config {
			t.Errorf("password: %s gives code %v: %v", password, fault.CodeOf(err), err)
		}
	}
	for _, password := range []string{"'12345'", `"a #b: \"c\" \\d"`, "'it''s'", "a#b", "a:b", "пароль"} {
		text := strings.Replace(account(), "{env: A}", password, 1)
		if _, err := plan.Parse("accounts.yaml", []byte(text)); err != nil {
			t.Errorf("password: %s: %v", password, err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.yaml")
	data := []byte(account() + "# " + strings.Repeat("x", 10<<20))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := plan.Load(path)
	if fault.CodeOf(err) != fault.Config || !strings.Contains(err.Error(), "larger than 10 MB") {
		t.Fatal(err)
	}
}

// TestAliasBomb would take all memory, or for ever, if aliases were copied.
func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("accounts: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for _, level := range []string{"0&1", "1&2", "2&3", "3&4", "4&5", "5&6", "6&7", "7&8", "8&9"} {
		from, to, _ := strings.Cut(level, "&")
		b.WriteString("k" + to + ": &a" + to + " [" + strings.Repeat("*a"+from+", ", 9) + "]\n")
	}
	b.WriteString("defaults: *a9\n")
	if _, err := plan.Parse("x", []byte(b.String())); fault.CodeOf(err) != fault.Config {
		t.Fatal(err)
	}
	many := "defaults: &d {folder: x}\naccounts: [" + strings.Repeat("*d,", 100_001) + "]\n"
	_, err := plan.Parse("x", []byte(many))
	if err == nil || !strings.Contains(err.Error(), "more than 100000 accounts") {
		t.Fatal(err)
	}
}

func TestDeepNesting(t *testing.T) {
	for _, open := range []string{"[", "{a: ", "- "} {
		_, err := plan.Parse("x", []byte(strings.Repeat(open, 100_000)))
		if fault.CodeOf(err) != fault.Config {
			t.Errorf("%q: %v", open, err)
		}
	}
}

func TestUnreadableFile(t *testing.T) {
	for path, want := range map[string]string{
		filepath.Join(t.TempDir(), "none.yaml"): "there is no such file",
		t.TempDir():                             "cannot be read: is a directory",
	} {
		_, err := plan.Load(path)
		if fault.CodeOf(err) != fault.Config || !strings.Contains(err.Error(), want) ||
			!strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%v", err)
		}
	}
}

func TestDefaults(t *testing.T) {
	c := parse(t, account())
	a := c.Accounts[0]
	if !cmp.Equal(c.Limits, plan.Limits{Accounts: 8, PerHost: 4}) || c.Settle != 90*time.Second ||
		c.Path != "accounts.yaml" {
		t.Errorf("file: %+v", c)
	}
	if a.Name != "alice" || a.Line != 2 || a.Folder != "INBOX" || a.Keep.String() != "forever" ||
		a.Seen.String() != "never" || a.Repair != "" {
		t.Errorf("account: %+v", a)
	}
	for _, e := range []plan.Endpoint{a.Source, a.Destination} {
		if e.TLS != wire.Implicit || e.Auth != "auto" || e.AllowPlaintext || e.CAFile != "" {
			t.Errorf("endpoint: %+v", e)
		}
	}
	if a.Source.Address() != "pop.example.org:995" || a.Destination.Address() !=
		"imap.example.net:993" || a.Source.Connections != 0 || a.Destination.Connections != 4 {
		t.Errorf("endpoints: %+v", a)
	}
}

func TestPortFollowsTLS(t *testing.T) {
	for mode, want := range map[string][2]int{
		"implicit": {995, 993}, "starttls": {110, 143}, "none": {110, 143},
	} {
		c := parse(t, `
defaults:
  source: {tls: `+mode+`, host: localhost, password: x}
  destination: {tls: `+mode+`, host: 127.0.0.9, password: x}
accounts: [{source: {username: a}, destination: {username: a}}]`)
		a := c.Accounts[0]
		if got := [2]int{a.Source.Port, a.Destination.Port}; got != want {
			t.Errorf("%s: ports %v, want %v", mode, got, want)
		}
	}
}

// TestDefaultsLieUnderFieldByField checks that one field of an account leaves the
// other defaults of the same mapping alone, and that a password is one field.
func TestDefaultsLieUnderFieldByField(t *testing.T) {
	c := parse(t, `
defaults:
  folder: Old
  keep: 30d
  seen: {older_than: 7d}
  source: {host: pop.example.org, tls: starttls, password: {env: A}, auth: user}
  destination: {host: imap.example.net, connections: 2, password: {env: A}}
accounts:
  - source: {username: alice, port: 2110}
    destination: {username: alice, connections: 9}
    seen: never
  - name: bob
    folder: inbox
    keep: delivered
    repair: wrap
    source: {username: bob, tls: implicit, auth: plain, password: {file: b}}
    destination: {username: robert, different_user: true, auth: login, tls_ca: ca.pem}
`)
	alice, bob := c.Accounts[0], c.Accounts[1]
	if alice.Source.Port != 2110 || alice.Source.TLS != wire.STARTTLS ||
		alice.Source.Auth != "user" || alice.Destination.Connections != 9 ||
		alice.Folder != "Old" || alice.Keep.For != 30*24*time.Hour || alice.Seen.OlderThan != 0 {
		t.Errorf("alice: %+v", alice)
	}
	if bob.Source.Port != 995 || bob.Source.Auth != "plain" || bob.Folder != "INBOX" ||
		bob.Keep.String() != "delivered" || bob.Seen.String() != "{older_than: 7d}" ||
		bob.Repair != "wrap" || bob.Destination.Auth != "login" ||
		bob.Destination.Connections != 2 || !filepath.IsAbs(bob.Destination.CAFile) {
		t.Errorf("bob: %+v", bob)
	}
	if !strings.HasPrefix(bob.Source.Password.String(), "password file /") ||
		alice.Source.Password.String() != "environment variable A" {
		t.Errorf("passwords: %s, %s", bob.Source.Password, alice.Source.Password)
	}
}

func TestMergeKeys(t *testing.T) {
	c := parse(t, `
accounts:
  - source: &old {host: pop.example.org, tls: starttls, username: a, password: x}
    destination: &new {host: imap.example.net, username: a, password: x}
  - source: {<<: [{username: b}, *old], port: 1110}
    destination: {username: b, <<: *new}`)
	b := c.Accounts[1]
	if b.Source.Username != "b" || b.Source.Host != "pop.example.org" || b.Source.Port != 1110 ||
		b.Destination.Username != "b" || b.Destination.Host != "imap.example.net" {
		t.Errorf("%+v", b)
	}
}

func TestHosts(t *testing.T) {
	for in, want := range map[string]string{
		"POP.Example.ORG":                "pop.example.org",
		"pop.example.org.":               "pop.example.org.",
		"::1":                            "::1",
		"[2001:DB8::0:1]":                "2001:db8::1",
		"fe80::1%eth0":                   "fe80::1%eth0",
		"127.0.0.1":                      "127.0.0.1",
		"mailhost":                       "mailhost",
		"xn--bcher-kva.org":              "xn--bcher-kva.org",
		"Bücher.example.org":             "xn--bcher-kva.example.org",
		"mail.münchen.de.":               "mail.xn--mnchen-3ya.de.",
		"почта.пример.org":               "xn--80a1acny.xn--e1afmkfd.org",
		"メール.例え.jp":                      "xn--4dkua4c.xn--r8jz45g.jp",
		"他们为什么不说中文":                      "xn--ihqwcrb4cv8a8dqg056pqjye",               // RFC 3492 §7.1
		"pročprostěnemluvíčesky.example": "xn--proprostnemluvesky-uyb24dma41a.example", // and there
	} {
		c := parse(t, strings.Replace(account(), "pop.example.org", `"`+in+`"`, 1))
		if got := c.Accounts[0].Source.Host; got != want {
			t.Errorf("host %q gives %q, want %q", in, got, want)
		}
	}
}

func TestFolders(t *testing.T) {
	for in, want := range map[string]string{
		"inbox": "INBOX", `'\archive'`: `\Archive`, `\Junk`: `\Junk`, "INBOX/Old": "INBOX/Old",
		`\archive/2024/alt`: `\Archive/2024/alt`,
		"Entwürfe/2024 alt": "Entwürfe/2024 alt",
	} {
		c := parse(t, account("    folder: "+in))
		if got := c.Accounts[0].Folder; got != want {
			t.Errorf("folder %s gives %q, want %q", in, got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	c := parse(t, `{
	"accounts": [
		{"name": "j",
		"source": {"host": "pop.example.org", "username": "a\/b", "password": "x"},
		"destination": {"host": "imap.example.net", "username": "\u00e4\ud83d\ude00\\/",
			"password": "x"}}
	]
}
`)
	a := c.Accounts[0]
	if a.Name != "j" || a.Source.Username != "a/b" || a.Destination.Username != `ä😀\/` {
		t.Errorf("%+v", a)
	}
}

// TestLoopbackPortsAreServers: source and destination may be two test servers,
// or two tunnels, with one user name.
func TestLoopbackPortsAreServers(t *testing.T) {
	const text = `
defaults:
  source: {host: 127.0.0.1, tls: none, password: x, username: alice}
  destination: {host: 127.0.0.1, tls: none, password: x, username: alice}
accounts:
  - {name: a, source: {port: 2110}, destination: {port: 2143}}
  - {name: b, source: {port: 3110}, destination: {port: 2143}}
`
	if c := parse(t, text); len(c.Accounts) != 2 {
		t.Errorf("%+v", c.Accounts)
	}
	_, err := plan.Parse("x", []byte(strings.ReplaceAll(text, "3110", "2110")))
	if err == nil || !strings.Contains(err.Error(), "same source") {
		t.Errorf("the same port: %v", err)
	}
}
