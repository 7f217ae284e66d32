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

// roster writes accounts.yaml and the users.csv that it names, and loads it.
func roster(t testing.TB, yaml, csv string) (*plan.Config, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"accounts.yaml": yaml, "users.csv": csv} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return plan.Load(filepath.Join(dir, "accounts.yaml"))
}

const rosterDefaults = `
defaults:
  source: {host: pop.oldisp.example, password: {env: POP}}
  destination: {host: imap.example.net, password: {env: IMAP}}
accounts_from: users.csv
`

// described says of each account what a roster can set.
func described(t *testing.T, config *plan.Config) string {
	t.Helper()
	if err := config.Resolve(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, a := range config.Accounts {
		fmt.Fprintf(&b, "%d %s: %s@%s %q -> %s@%s %q %s %s\n", a.Line, a.Name, a.Source.Username, a.Source.Address(),
			a.Source.Secret.Reveal(), a.Destination.Username, a.Destination.Address(), a.Destination.Secret.Reveal(),
			a.Folder, a.Keep)
	}
	return b.String()
}

func TestRoster(t *testing.T) {
	t.Setenv("POP", "pop-secret")
	t.Setenv("IMAP", "imap-secret")
	for name, c := range map[string]struct{ yaml, csv, want string }{
		"columns named like keys": {
			rosterDefaults,
			"name,source.username,source.port,source.password,destination.username,destination.connections,folder,keep\n" +
				"alice,alice,1995,\"a \"\"b\"\", #c\",alice@example.net,2,Old mail,30d\n" +
				"bob,bob,,12345,bob@example.net,,,\n",
			"2 alice: alice@pop.oldisp.example:1995 \"a \\\"b\\\", #c\" -> alice@example.net@imap.example.net:993 \"imap-secret\" Old mail 30d\n" +
				"3 bob: bob@pop.oldisp.example:995 \"12345\" -> bob@example.net@imap.example.net:993 \"imap-secret\" INBOX forever\n",
		},
		"Microsoft's columns": {
			rosterDefaults,
			"\xef\xbb\xbfEmailAddress,UserName,Password\r\nalice@example.net,old-alice,no\r\n",
			"2 alice@example.net: old-alice@pop.oldisp.example:995 \"no\" -> alice@example.net@imap.example.net:993 \"imap-secret\" INBOX forever\n",
		},
		"Microsoft's columns without a password, and with a folder": {
			rosterDefaults,
			"EmailAddress,UserName,UserRoot\nalice@example.net,old-alice,/Public\n",
			"2 alice@example.net: old-alice@pop.oldisp.example:995 \"pop-secret\" -> alice@example.net@imap.example.net:993 \"imap-secret\" INBOX forever\n",
		},
		"Microsoft's columns, and some named like keys": {
			rosterDefaults,
			"name,EmailAddress,UserName,Password,source.host,folder,destination.username,Notes\n" +
				"al,alice@example.net,old-alice,no,pop.other.example,Old/A,,x\n,bob@example.net,old-bob,so,,,bob,\n",
			"2 al: old-alice@pop.other.example:995 \"no\" -> alice@example.net@imap.example.net:993 \"imap-secret\" Old/A forever\n" +
				"3 bob@example.net: old-bob@pop.oldisp.example:995 \"so\" -> bob@imap.example.net:993 \"imap-secret\" INBOX forever\n",
		},
		"Microsoft's columns, and where the password is": {
			rosterDefaults,
			"EmailAddress,Name,UserName,Password,source.password.env\nalice@example.net,Alice,old-alice,,IMAP\n",
			"2 alice@example.net: old-alice@pop.oldisp.example:995 \"imap-secret\" -> alice@example.net@imap.example.net:993 \"imap-secret\" INBOX forever\n",
		},
		"a template": {
			rosterDefaults + `
template:
  name: "{user}"
  folder: "{Folder}"
  source: {username: "{user}", port: "{port}", password: "{{{pw}}}"}
  destination: {username: "{user}@example.net", host: "imap.{site}.example", connections: 1}
`,
			"User;PW;Folder;Site;Port\nalice;s3;;north;\nbob;true;Old/{x};south;110\n",
			"2 alice: alice@pop.oldisp.example:995 \"{s3}\" -> alice@example.net@imap.north.example:993 \"imap-secret\" INBOX forever\n" +
				"3 bob: bob@pop.oldisp.example:110 \"{true}\" -> bob@example.net@imap.south.example:993 \"imap-secret\" Old/x forever\n",
		},
		"beside accounts": {
			rosterDefaults + "accounts:\n  - {source: {username: first}, destination: {username: first}}\n",
			"source.username,destination.username\nsecond,second\n",
			"7 first: first@pop.oldisp.example:995 \"pop-secret\" -> first@imap.example.net:993 \"imap-secret\" INBOX forever\n" +
				"2 second: second@pop.oldisp.example:995 \"pop-secret\" -> second@imap.example.net:993 \"imap-secret\" INBOX forever\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := roster(t, c.yaml, strings.ReplaceAll(c.csv, "{x}", "x"))
			if err != nil {
				t.Fatal(err)
			}
			if got := described(t, config); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestRosterMistakes(t *testing.T) {
	const header = "name,source.username,destination.username,source.port\n"
	for name, c := range map[string]struct {
		yaml, csv string
		want      []string
	}{
		"a row": {rosterDefaults, header + "a,a,a,\nb,b\nc,c,c,99999\n", []string{
			"users.csv:3:1: the row has 2 columns, and the header has 4",
			`users.csv:4:7: account "c": source.port must be a whole number`}},
		"all rows that cannot be read": {rosterDefaults, header + "a,a,a,\nb,\"b,b,\nc,c,c,\nd,\xe4,d,\ne,e,e\x00,\n", []string{
			"users.csv:3:1: a double quote opens a value and is not closed", "users.csv:5:3: is not UTF-8", "users.csv:6:5: holds a NUL"}},
		"nothing where something must be": {rosterDefaults, "name,source.username\nalice,alice\n", []string{
			`users.csv:2:1: account "alice": destination.username is missing`}},
		"no host": {strings.Replace(rosterDefaults, "host: pop.oldisp.example, ", "", 1), header + "a@gmx.de,a@gmx.de,a,\n", []string{
			`source.host is missing; it must be a name such as "mail.example.org"; popferry import fills in those of large providers`}},
		"an empty cell of a template": {rosterDefaults + "template: {name: '{n}', source: {username: '{u}', auth: plain}, destination: {username: '{n}'}}\n",
			"n,u\na,a\nb,\n", []string{`users.csv:3:1: account "b": source.username is missing`}},
		"twice": {rosterDefaults + "accounts: [{source: {username: a}, destination: {username: a}}]\n",
			header + "x,b,b,\nx,B,c,\ny,a,d,\n", []string{
				`users.csv:3:1: account "x": the name is taken by the account in line 2 of the CSV file`,
				`users.csv:3:1: account "x": the account in line 2 of the CSV file has the same source`,
				`users.csv:4:1: account "y": the account in line 6 has the same source`}},
		"columns": {rosterDefaults, "name,sorce.username,source,source.hots,tr0ub4dor&3\na,b,c,d,e\n", []string{
			"users.csv:1:6: unknown column; the first line must name", "calls them; did you mean source?", "users.csv:1:21: source is not one value: write source.username",
			"users.csv:1:28: source has no such key; it takes host,", "did you mean host?", "users.csv:1:40: unknown column; the first"}},
		"Microsoft's, mistyped": {rosterDefaults, "EmailAddress,UserName,Passwort\na@example.net,a,x\n", []string{
			"users.csv:1:1: unknown column", "users.csv:1:14: unknown column", "users.csv:1:23: unknown column"}},
		"Microsoft's, with keys mistyped": {rosterDefaults, "EmailAddress,UserName,Password,source.hots,Folder,Notes\na@example.net,a,x,h,f,n\n", []string{
			"users.csv:1:32: source has no such key", "did you mean host?", "users.csv:1:44: unknown column", "did you mean folder?"}},
		"two forms": {rosterDefaults, "source.username,destination.username,source.password,source.password.env\na,a,x,Y\n", []string{
			"users.csv:2:7: another column gives this row the same key in another form"}},
		"no rows":         {rosterDefaults, header, []string{"accounts.yaml:5:16: accounts_from: the file has no account"}},
		"no file":         {strings.Replace(rosterDefaults, "users.csv", "user.csv", 1), header, []string{"accounts.yaml:5:16: accounts_from: the file cannot be read: no such file"}},
		"UTF-16":          {rosterDefaults, "\xff\xfex", []string{"users.csv: is UTF-16"}},
		"no such column":  {rosterDefaults + "template: {name: '{user}', folder: '{year}', source: {username: '{user} {'}}\n", "usr\na\n", []string{"accounts.yaml:6:18: template: a name in braces is no column of the CSV file; its first line has 1 and must name them all; did you mean usr?"}},
		"a brace":         {rosterDefaults + "template: {source: {username: '{usr} }'}}\n", "usr\na\n", []string{"accounts.yaml:6:31: template: a brace stands alone"}},
		"template alone":  {account("template: {}"), "", []string{"template has no effect without accounts_from"}},
		"constants":       {rosterDefaults + "template: {keep: soon, source: {username: '{u}'}, destination: {username: '{u}'}}\n", "u\na\nb\n", []string{`accounts.yaml:6:18: account "a": keep must be forever`}},
		"template a loop": {rosterDefaults + "template: &t {name: '{u}', source: *t}\n", "u\na\n", []string{"nested too deeply"}},
		"many aliases": {rosterDefaults + "template: {name: &n '{u}', seen: &a [*n,*n,*n,*n,*n,*n,*n,*n], folder: &b [*a,*a,*a,*a,*a,*a,*a,*a], keep: [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]}\n",
			"u\na\n", []string{"makes too much of one row"}},
		"aliases of aliases": {rosterDefaults + nested("'{u}'"), "u\na\n", []string{
			"accounts.yaml:6:11: the template has more than 100000 parts, with what its aliases repeat; write it without aliases"}},
		"aliases without braces": {rosterDefaults + nested("u"), "u\na\n", []string{"more than 100000 parts"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := roster(t, c.yaml, c.csv)
			if fault.CodeOf(err) != fault.Config {
				t.Fatalf("code %v: %v", fault.CodeOf(err), err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nlacks %s", err, want)
				}
			}
			if strings.Contains(err.Error(), "tr0ub4dor") {
				t.Errorf("shows what may be a password: %v", err)
			}
		})
	}
	if _, err := plan.Parse("accounts.yaml", []byte(rosterDefaults)); err == nil || !strings.Contains(err.Error(), "accounts_from needs accounts.yaml to be a file") {
		t.Errorf("without files: %v", err)
	}
}

// nested is a template whose aliases make half a million values of one.
func nested(value string) string {
	text := "template: {x0: &x0 " + value
	for i := range 6 {
		alias := fmt.Sprintf("*x%d", i)
		text += fmt.Sprintf(", x%d: &x%d [%s]", i+1, i+1, strings.TrimSuffix(strings.Repeat(alias+", ", 9), ", "))
	}
	return text + "}\n"
}

// TestC8RosterWithoutHeader: what stands where the names of columns should be may be
// passwords, and so may braces.
func TestC8RosterWithoutHeader(t *testing.T) {
	for template, want := range map[string]string{
		"": "users.csv:1:19: unknown column; the first line must name the columns",
		"template: {name: '{Mail}', source: {username: '{Mail}', password: 'x{tr0ub4dor}'}}\n": "accounts.yaml:6:18: " +
			"template: a name in braces is no column of the CSV file; its first line has 3 and must name them all",
	} {
		_, err := roster(t, rosterDefaults+template, "alice@example.net,correcthorse,hunter2\n")
		if fault.CodeOf(err) != fault.Config || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
		for _, hidden := range []string{"alice@", "correcthorse", "hunter2", "tr0ub4dor"} {
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("shows %s: %v", hidden, err)
			}
		}
	}
}

// TestC8RosterOpenToOthers: a CSV file with passwords is a secret like any other.
func TestC8RosterOpenToOthers(t *testing.T) {
	t.Setenv("POP", "x")
	t.Setenv("IMAP", "x")
	for csv, want := range map[string]fault.Code{
		"source.username,destination.username,source.password\na,a,secret\n":        fault.Credentials,
		"source.username,destination.username,source.password.file\na,a,secret.txt": fault.OK,
	} {
		dir := t.TempDir()
		path := write(t, filepath.Join(dir, "accounts.yaml"), rosterDefaults, 0o644)
		write(t, filepath.Join(dir, "users.csv"), csv, 0o644)
		_, err := plan.Load(path)
		if got := fault.CodeOf(err); got != want || want != fault.OK && !strings.Contains(err.Error(), "users.csv:2:5: ") {
			t.Errorf("%q: code %v: %v", csv, got, err)
		}
	}
}

// BenchmarkTenThousandAccounts has to stay well below two seconds.
func BenchmarkTenThousandAccounts(b *testing.B) {
	var csv strings.Builder
	csv.WriteString("source.username,source.password,destination.username,folder\n")
	yaml := strings.Builder{}
	yaml.WriteString(strings.Replace(rosterDefaults, "accounts_from: users.csv", "accounts:", 1))
	for i := range 10_000 {
		fmt.Fprintf(&csv, "user%d,p%d,user%d@example.net,Old\n", i, i, i)
		fmt.Fprintf(&yaml, "  - {source: {username: user%d, password: p%d}, destination: {username: user%d@example.net}, folder: Old}\n", i, i, i)
	}
	for name, text := range map[string]string{"csv": rosterDefaults, "yaml": yaml.String()} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				config, err := roster(b, text, csv.String())
				if err != nil || len(config.Accounts) != 10_000 {
					b.Fatal(err)
				}
			}
		})
	}
}
