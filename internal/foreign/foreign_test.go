package foreign_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/foreign"
	"github.com/popferry/popferry/plan"
)

var toExample = []foreign.Setting{{Key: "destination.host", Value: "imap.example.net"}}

// convert makes accounts.yaml of a list and returns its accounts, without the heading.
func convert(t *testing.T, name, text string, settings ...foreign.Setting) (*foreign.List, string) {
	t.Helper()
	list, err := foreign.Read(name, "", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	settings = append(settings, toExample...)
	if err := list.Settle(settings); err != nil {
		t.Fatal(err)
	}
	written := list.Write(name, settings)
	if bad := list.Check(written); len(bad) > 0 {
		t.Errorf("the new file has mistakes: %v\n%s", bad, written.YAML)
	}
	_, accounts, found := strings.Cut(written.YAML, "accounts:\n")
	if !found {
		t.Fatal(written.YAML)
	}
	return list, accounts
}

// TestNamesakes: that two people's mail may come into one folder is said beside it, unless it is
// known to be meant so.
func TestNamesakes(t *testing.T) {
	const list = "source.host,source.username,folder,destination.different_user\n" +
		"a.example,kim@a.example,,\nb.example,Kim@b.example,,\nc.example,kim@c.example,C,\nd.example,kim@d.example,,true\n"
	local := foreign.Setting{Key: "destination.username", Value: "{local}@example.net"}
	if _, got := convert(t, "users.csv", list, local); strings.Count(got, "goes to the same folder") != 1 ||
		!strings.Contains(got, "# the mail of kim@a.example goes to the same folder: is that one person?\n  - name: Kim@b.example\n") {
		t.Error(got)
	}
	if _, got := convert(t, "users.csv", list, foreign.Setting{Key: "destination.username", Value: "archive"}); strings.Contains(got, "same folder") {
		t.Error(got)
	}
}

// TestMicrosoftsAndMore: a column named like a key counts beside Microsoft's, wherever it stands.
func TestMicrosoftsAndMore(t *testing.T) {
	for _, list := range []string{"name,source.host,EmailAddress,UserName,Password\nal,pop.a.example,alice@example.net,a,x\n,pop.b.example,bob@example.net,b,x\n",
		"EmailAddress,UserName,Password,source.host,name\nalice@example.net,a,x,pop.a.example,al\nbob@example.net,b,x,pop.b.example,\n"} {
		_, got := convert(t, "users.csv", list)
		for _, want := range []string{"- name: al\n", "host: pop.a.example, username: a,", "username: alice@example.net,",
			"- name: bob@example.net\n", "host: pop.b.example, username: b,"} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
	}
}

// TestMicrosoftsOfAnExport: what else is in such a list means nothing, and each row that has it says
// so; a column that was meant to be a key, or a password, is a mistake.
func TestMicrosoftsOfAnExport(t *testing.T) {
	const rows = "\nalice@example.net,a,x,Sales\nbob@example.net,b,z,\n"
	_, got := convert(t, "users.csv", "EmailAddress,UserName,Password,Department"+rows,
		foreign.Setting{Key: "source.host", Value: "pop.a.example"})
	for text, times := range map[string]int{"  # column Department is not taken over\n  - name: alice@example.net\n": 1,
		"Department": 1, "Sales": 0, "password: x}": 1, "password: z}": 1} {
		if strings.Count(got, text) != times {
			t.Errorf("%q: not %d times in\n%s", text, times, got)
		}
	}
	for _, header := range []string{"EmailAddress,UserName,Passwort,Department", "EmailAddress,UserName,Password,Source.Host",
		"EmailAddress,User,Password,Department", "Mail,UserName,Password,Department"} {
		if _, err := foreign.Read("users.csv", "", strings.NewReader(header+rows)); err == nil || strings.Contains(err.Error(), "Department") {
			t.Errorf("%s: %v", header, err)
		}
	}
}

// TestTrueOfSpreadsheets: they write it in capitals, whatever was typed.
func TestTrueOfSpreadsheets(t *testing.T) {
	if _, got := convert(t, "users.csv", "source.host,source.username,destination.username,destination.different_user\n"+
		"a.example,kim,TRUE,TRUE\nb.example,lee,eve,False\n"); !strings.Contains(got, `username: "TRUE", `) ||
		!strings.Contains(got, "different_user: true") || !strings.Contains(got, "different_user: false") {
		t.Error(got)
	}
}

func TestConvert(t *testing.T) {
	const secrets = ", password: {file: secrets/"
	for name, c := range map[string]struct {
		file, in, want string
		set            []foreign.Setting
	}{
		"fetchmail": {"fetchmailrc", `
# a comment with a 'quote
set daemon 300
set no bouncemail
defaults proto pop3 uidl
poll pop.oldisp.example via "real.oldisp.example" service 995:
   user 'alice@oldisp.example', with password "s3 \x41\\b#;", is alice here
     options ssl, keep, fetchall mda "/usr/bin/procmail -d %T"
   user bob there password bobpw is bob lists here nokeep limit 50000
poll apop.oldisp.example protocol APOP user carol password 'c"d' sslproto ''
poll mail.other.example proto IMAP user dave password x
skip pop.fourth.example proto pop3 user frank password x
poll pop.third.example auth cram-md5 \
  user erin password "two \
lines" is erin here \
`, `  - name: alice@oldisp.example
    source: {host: real.oldisp.example, tls: implicit, username: alice@oldisp.example, password: "s3 A\\b#;"}
    destination: {username: alice@oldisp.example` + secrets + `alice@oldisp.example-destination}}
  # fetchmail sorts this maildrop's mail by its headers to several users; here all of it goes to one folder
  # limit is not taken over
  - name: bob
    source: {host: real.oldisp.example, tls: implicit, username: bob, password: bobpw}
    destination: {username: bob` + secrets + `bob-destination}}
  # fetchmail may have sent this password in clear text; popferry wants STLS
  - name: carol
    source: {host: apop.oldisp.example, tls: starttls, username: carol, password: "c\"d", auth: apop}
    destination: {username: carol` + secrets + `carol-destination}}
  # fetchmail may have sent this password in clear text; popferry wants STLS
  - name: erin
    source: {host: pop.third.example, tls: starttls, username: erin, password: "two lines", auth: cram-md5}
    destination: {username: erin` + secrets + `erin-destination}}
`, nil},
		"fetchmail's defaults": {"fetchmailrc", `
defaults proto pop3 ssl keep sslcertfile "/etc/ca.pem" pass common
poll pop.oldisp.example user alice pass own
   user bob no ssl
`, `  - name: alice
    source: {host: pop.oldisp.example, tls: implicit, tls_ca: "/etc/ca.pem", username: alice, password: own}
    destination: {username: alice` + secrets + `alice-destination}}
  # fetchmail may have sent this password in clear text; popferry wants STLS
  - name: bob
    source: {host: pop.oldisp.example, tls: starttls, tls_ca: "/etc/ca.pem", username: bob, password: common}
    destination: {username: bob` + secrets + `bob-destination}}
`, nil},
		"fetchmail's words": {"fetchmailrc", `
set nobouncemail
set no spambounce
poll pop.a.example proto pop3 envelope 2 "Delivered-To:" nodns nouidl no checkalias preauth cram
   user alice pass a norewrite nofetchall noidle antispam 571,550 lmtp ssl
   user bob pass b smtphost h1 h2 lmtp
   user carol pass c no ssl nokeep pass8 no mimedec pre "x"
   is erin here
poll pop.b.example noenvelope localdomains b.example c.example proto pop3 pass d is dave there ssl
poll pop.c.example proto pop3 user joe jim here is frank there pass f ssl to * here
`, `  - name: alice
    source: {host: pop.a.example, tls: implicit, username: alice, password: a, auth: cram-md5}
    destination: {username: alice` + secrets + `alice-destination}}
  # fetchmail may have sent this password in clear text; popferry wants STLS
  - name: bob
    source: {host: pop.a.example, tls: starttls, username: bob, password: b, auth: cram-md5}
    destination: {username: bob` + secrets + `bob-destination}}
  # pre is not taken over
  # fetchmail may have sent this password in clear text; popferry wants STLS
  # fetchmail gave this mail to erin: if that is the new mailbox, too, it goes into destination.username
  - name: carol
    source: {host: pop.a.example, tls: starttls, username: carol, password: c, auth: cram-md5}
    destination: {username: carol` + secrets + `carol-destination}}
  - name: dave
    source: {host: pop.b.example, tls: implicit, username: dave, password: d}
    destination: {username: dave` + secrets + `dave-destination}}
  # fetchmail sorts this maildrop's mail by its headers to several users; here all of it goes to one folder
  - name: frank
    source: {host: pop.c.example, tls: implicit, username: frank, password: f}
    destination: {username: frank` + secrets + `frank-destination}}
`, nil},
		"fetchmail's defaults say all": {"fetchmailrc", "defaults proto pop3 user alice pass x ssl\npoll pop.a.example\npoll pop.b.example\n",
			`  - name: alice
    source: {host: pop.a.example, tls: implicit, username: alice, password: x}
    destination: {username: alice` + secrets + `alice-destination}}
  # the mail of alice goes to the same folder: is that one person?
  - name: alice@pop.b.example
    source: {host: pop.b.example, tls: implicit, username: alice, password: x}
    destination: {username: alice` + secrets + `alice@pop.b.example-destination}}
`, nil},
		"getmail": {"getmailrc-alice", `
[retriever]
type = SimplePOP3SSLRetriever
server = pop.oldisp.example
username: alice
password_command = ("pass", "show", 'mail/it''s')
[filter-1]
type = Filter_external
[destination]
type = Maildir
path = ~/Maildir/
[options]
delete = true
`, `  # the filters are not taken over
  - name: alice
    source: {host: pop.oldisp.example, tls: implicit, username: alice, password: {command: ["pass", "show", "mail/it", "s"]}}
    destination: {username: alice` + secrets + `alice-destination}}
`, nil},
		"getmail's blanks": {"getmailrc", `
  # all of it is further in
  [retriever] ; of mine
  type = SimplePOP3SSLRetriever

  server = pop.oldisp.example
  username: alice
  password_command = ("sh", "-c",
    # not this
    "pass show a | sed 's/\"//'", 'it\'s \\n')
[options]
    delete = true
`, `  - name: alice
    source: {host: pop.oldisp.example, tls: implicit, username: alice, password: {command: ["sh", "-c", "pass show a | sed 's/\"//'", "it's \\n"]}}
    destination: {username: alice` + secrets + `alice-destination}}
`, nil},
		"getmail's booleans": {"getmailrc", `
[retriever]
type = SimplePOP3SSLRetriever
server = pop.oldisp.example
username = alice
password = x
use_xoauth2 = false
use_apop = Yes
[options]
use_netrc = 0
netrc_file = /etc/netrc
`, `  - name: alice
    source: {host: pop.oldisp.example, tls: implicit, username: alice, password: x, auth: apop}
    destination: {username: alice` + secrets + `alice-destination}}
`, nil},
		"getmail's netrc": {"getmailrc", `
[retriever]
type = SimplePOP3SSLRetriever
server = pop.oldisp.example
username = alice
use_xoauth2 = on
[options]
use_netrc = true
`, `  # the user name and the password in ~/.netrc (use_netrc) are not taken over
  - name: alice
    source: {host: pop.oldisp.example, tls: implicit, username: alice` + secrets + `alice-source}, auth: xoauth2}
    destination: {username: alice` + secrets + `alice-destination}}
`, nil},
		"mpop": {"mpoprc", `
defaults
tls on
tls_trust_file system
account work
host pop.oldisp.example
user alice
passwordeval "gpg -q -d <~/.pw.gpg 2>&1"
keep off
account home : work
user "bob"
tls_starttls off
password "it's \ "1""
killsize 100000
account default : work
`, `  - name: work
    source: {host: pop.oldisp.example, tls: starttls, username: alice, password: {command: ["sh", "-c", "gpg -q -d <~/.pw.gpg 2>&1"]}}
    destination: {username: alice` + secrets + `work-destination}}
  # killsize is not taken over
  - name: home
    source: {host: pop.oldisp.example, tls: implicit, username: bob, password: "it's \\ \"1\""}
    destination: {username: bob` + secrets + `home-destination}}
`, nil},
		"mpop's switches": {"mpoprc", `
defaults
tls
tls_starttls off
account a
host pop.a.example
user a
account b
host pop.b.example
user b
tls_certcheck off
tls_certcheck
tls_starttls ""
`, `  - name: a
    source: {host: pop.a.example, tls: implicit, username: a` + secrets + `a-source}}
    destination: {username: a` + secrets + `a-destination}}
  - name: b
    source: {host: pop.b.example, tls: starttls, username: b` + secrets + `b-source}}
    destination: {username: b` + secrets + `b-destination}}
`, nil},
		"imapsync": {"list.txt", `# host1;user1;password1;host2;user2;password2
pop.oldisp.example;alice;s3;imap.example.net;alice@example.net;"new"
host1;User1;passwd1;host2;user2;passwd2;
pop.oldisp.example;bob;b b;imap.example.net;bob@example.net;true;--automap;
pop.oldisp.example;carol;c;imap.example.net;carol@example.net;c;--port2 1143 --tls2;
pop.oldisp.example;dave;d;imap.example.net;dave@example.net;d; --ssl2 --port2=1993
`, `  # imapsync reads this mailbox over IMAP, popferry over POP3: check that this host has it
  - name: alice
    source: {host: pop.oldisp.example, username: alice, password: s3}
    destination: {host: imap.example.net, username: alice@example.net, password: "\"new\""}
  # imapsync reads this mailbox over IMAP, popferry over POP3: check that this host has it
  # options of imapsync at the end of the line are not taken over, but for --port2, --ssl2 and --tls2
  - name: bob
    source: {host: pop.oldisp.example, username: bob, password: "b b"}
    destination: {host: imap.example.net, username: bob@example.net, password: "true"}
  # imapsync reads this mailbox over IMAP, popferry over POP3: check that this host has it
  - name: carol
    source: {host: pop.oldisp.example, username: carol, password: c}
    destination: {host: imap.example.net, port: 1143, tls: starttls, username: carol@example.net, password: c}
  # imapsync reads this mailbox over IMAP, popferry over POP3: check that this host has it
  - name: dave
    source: {host: pop.oldisp.example, username: dave, password: d}
    destination: {host: imap.example.net, port: 1993, tls: implicit, username: dave@example.net, password: d}
`, nil},
		"Microsoft": {"users.csv", "EmailAddress,UserName,Password\r\nalice@example.net,alice,\"s,3\"\r\n", `  - name: alice@example.net
    source: {host: pop.alice.example, username: alice, password: "s,3"}
    destination: {username: alice@example.net` + secrets + `alice@example.net-destination}}
`, []foreign.Setting{{Key: "destination.tls", Value: "starttls"}, {Key: "source.host", Value: "pop.{local}.example"}}},
		"Microsoft's folder": {"users.csv", "EmailAddress,UserName,Password,UserRoot\na@example.net,a,p,/Public\nb@example.net,b,p,\n",
			`  # UserRoot is not taken over: POP3 has no folders
  - name: a@example.net
    source: {username: a, password: p}
    destination: {username: a@example.net` + secrets + `a@example.net-destination}}
  - name: b@example.net
    source: {username: b, password: p}
    destination: {username: b@example.net` + secrets + `b@example.net-destination}}
`, []foreign.Setting{{Key: "source.host", Value: "pop.example"}}},
		"several providers": {"users.csv", "EmailAddress,UserName,Password,source.port,destination.host\na@gmx.de,a@gmx.de,p,,\n" +
			"b@web.de,b,p,,outlook.office365.com\nc@example.net,c@free.fr,p,1995,\n",
			`  # source.host is from the table of providers: GMX (German)
  # POP3 has to be switched on first: E-Mail settings, POP3 & IMAP; see https://hilfe.gmx.net/pop-imap/einschalten.html
  # GMX (German): with two-factor sign-in, make a password for mail programs (application-specific password)
  - name: a@gmx.de
    source: {host: pop.gmx.net, port: 995, tls: implicit, username: a@gmx.de, password: p}
    destination: {username: a@gmx.de` + secrets + `a@gmx.de-destination}}
  # source.host is from the table of providers: WEB.DE
  # POP3 has to be switched on first: E-Mail settings, POP3 & IMAP; see https://hilfe.web.de/pop-imap/einschalten.html
  # WEB.DE: with two-factor sign-in, make a password for mail programs (application-specific password)
  - name: b@web.de
    source: {host: pop3.web.de, port: 995, tls: implicit, username: b, password: p}
    destination: {host: outlook.office365.com, username: b@web.de` + secrets + `b@web.de-destination}}
  # source.host is from the table of providers: Free (France)
  # Free (France) has its users log in to POP3 as c
  - name: c@example.net
    source: {host: pop.free.fr, port: 1995, username: c@free.fr, password: p}
    destination: {username: c@example.net` + secrets + `c@example.net-destination}}
`, nil},
		"keys": {"users.csv", "source.host;source.username;source.port;destination.username;source.password.env;folder\n" +
			"pop.a.example;alice;1995;a@example.net;A_PW;Old/2020\npop.b.example;alice;;b@example.net;B_PW;\n",
			`  - name: alice
    source: {host: pop.a.example, port: 1995, username: alice, password: {env: A_PW}}
    destination: {username: a@example.net` + secrets + `alice-destination}}
    folder: Old/2020
  - name: alice@pop.b.example
    source: {host: pop.b.example, username: alice, password: {env: B_PW}}
    destination: {username: b@example.net` + secrets + `alice@pop.b.example-destination}}
`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			list, got := convert(t, c.file, c.in, c.set...)
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if len(list.Bad) > 0 {
				t.Errorf("bad: %v", list.Bad)
			}
			if other := len(list.Skipped) > 0; other != (name == "fetchmail") {
				t.Errorf("left out: %v", list.Skipped)
			}
		})
	}
}

// TestServersOfTheTable: they are taken where nobody names one and it is clear whose they are.
func TestServersOfTheTable(t *testing.T) {
	const none = "users.csv:2: source.host is missing"
	for name, c := range map[string]struct {
		columns, row, source, destination string
		bad                               string
	}{
		"an unknown domain":       {"source.username,destination.host", "a@unknown.example,imap.example.net", "", "imap.example.net", none},
		"no address":              {"source.username,destination.host", "a,imap.example.net", "", "imap.example.net", none},
		"a provider without POP3": {"source.username,destination.host", "a@icloud.com,imap.example.net", "", "", "users.csv:2: no POP3 server for icloud.com: iCloud has no POP3"},
		"named":                   {"source.username,source.host,destination.host", "a@gmx.de,pop.example.net,imap.example.net", "pop.example.net", "imap.example.net", ""},
		"both sides":              {"source.username,destination.username", "a@gmx.de,a@posteo.de", "pop.gmx.net", "posteo.de", ""},
		"where it is": {"source.username,destination.username", "a@gmx.de,A@gmx.de", "pop.gmx.net", "",
			"users.csv:2: destination.host is missing"},
		"no host is theirs":         {"EmailAddress,UserName,destination.host", "b@web.de,b,imap.example.net", "", "imap.example.net", none},
		"theirs, to another":        {"EmailAddress,UserName,destination.host", "b@web.de,b,imap.gmx.net", "pop3.web.de", "imap.gmx.net", ""},
		"theirs, where it is to":    {"EmailAddress,UserName,destination.host", "b@web.de,b,imap.web.de", "", "imap.web.de", none},
		"theirs, another's login":   {"EmailAddress,UserName,destination.host", "b@web.de,x,imap.gmx.net", "", "imap.gmx.net", none},
		"an old login":              {"source.username,destination.username,destination.host", "b,b@web.de,imap.example.net", "", "imap.example.net", none},
		"an old login, to another":  {"source.username,destination.username,destination.host", "b,b@web.de,imap.gmx.net", "", "imap.gmx.net", none},
		"another's login":           {"source.username,destination.username,destination.host", "x,b@web.de,imap.example.net", "", "imap.example.net", none},
		"the address that it is to": {"source.username,destination.username,destination.host", "b,b@web.de,imap.web.de", "", "imap.web.de", none},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := foreign.Read("users.csv", "", strings.NewReader(c.columns+"\n"+c.row+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			if err := list.Settle(nil); err != nil {
				t.Fatal(err)
			}
			bad := append(list.Bad, list.Check(list.Write("x", nil))...)
			if c.bad == "" && len(bad) > 0 || c.bad != "" && (len(bad) != 1 || !strings.HasPrefix(bad[0].Error(), c.bad)) {
				t.Errorf("bad: %v", bad)
			}
			for _, a := range list.Accounts {
				if got := a.Get("source.host") + " " + a.Get("destination.host"); got != c.source+" "+c.destination {
					t.Errorf("got %s", got)
				}
			}
		})
	}
}

// TestServersBeforeSettings: a host that settings name is for those whose provider is not
// known, with what else they say of that server.
func TestServersBeforeSettings(t *testing.T) {
	for host, own := range map[string]string{"pop.firma.example": "", "pop.{local}.example": "pop.a.example"} {
		settings := []foreign.Setting{{Key: "source.port", Value: "1110"}, {Key: "source.host", Value: host},
			{Key: "source.tls", Value: "starttls"}, {Key: "destination.host", Value: "imap.example.net"}}
		list, err := foreign.Read("users.csv", "", strings.NewReader("source.username,source.host,destination.username\n"+
			"a@firma.example,,a1\na,,a@web.de\na@gmx.de,,a3\na@gmx.de,pop.mine.example,a4\na@icloud.com,,a5\n"))
		if err != nil {
			t.Fatal(err)
		}
		if err := list.Settle(settings); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range list.Accounts {
			got = append(got, fmt.Sprintf("%s %s %s %t", a.Get("source.host"), a.Get("source.port"), a.Get("source.tls"), a.Elsewhere))
		}
		want := []string{own + "   false", own + "   false", "pop.gmx.net 995 implicit true", "pop.mine.example   false"}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", host, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if len(list.Bad) != 1 || !strings.Contains(list.Bad[0].Error(), "users.csv:6: no POP3 server for icloud.com") {
			t.Errorf("%s: bad: %v", host, list.Bad)
		}
		if bad := list.Check(list.Write("x", settings)); len(bad) > 0 {
			t.Errorf("%s: %v", host, bad)
		}
	}
}

// TestHome: "~" is who imports at home, for the programs that mean it so.
func TestHome(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	for file, c := range map[string]struct{ in, want string }{
		"fetchmailrc": {"poll a.example proto pop3 user b pass c sslcertfile ~/ca.pem", "~/ca.pem"},
		"getmailrc":   {"[retriever]\ntype=SimplePOP3SSLRetriever\nserver=a.example\nusername=b\nca_certs=~/ca.pem\n", home + "/ca.pem"},
		"mpoprc":      {"account a\nhost a.example\nuser b\ntls_trust_file ~/ca.pem\n", home + "/ca.pem"},
		"mpoprc-2":    {"account a\nhost a.example\nuser b\ntls_trust_file certs/~/ca.pem\n", "certs/~/ca.pem"},
	} {
		list, _ := convert(t, file, c.in)
		if got := list.Accounts[0].Get("source.tls_ca"); got != c.want {
			t.Errorf("%s: %s, want %s", file, got, c.want)
		}
	}
}

// TestWhoseMailItIs: the address that fetchmail delivers to is the new mailbox; another name may be.
func TestWhoseMailItIs(t *testing.T) {
	const set, noted = "destination: {username: ", "# fetchmail gave this mail to "
	for options, want := range map[string]string{
		"user old pass x is kim@example.net here":                            set + "kim@example.net,",
		"user old pass x is kim@example.net":                                 set + "kim@example.net,",
		"user old pass x is vmail here smtpname kim@example.net":             set + "kim@example.net,",
		"user old pass x smtpname kim@example.net is lee@example.net here":   set + "kim@example.net,",
		"user kim@example.net here is old there pass x":                      set + "kim@example.net,",
		"user old pass x is kim here":                                        noted + "kim: if",
		"user old pass x is kim@localhost here":                              noted + "kim@localhost: if",
		"user old pass x smtpname \"kim\\x1b\"":                              noted + `kim\x1b: if`,
		"user Kim@a.example pass x is kim here":                              set + "Kim@a.example,",
		"user old pass x is kim@example.net lee@example.net here":            set + "old,",
		"user old pass x is kim@example.net here is lee@example.net here":    set + "old,",
		"user old pass x is kim@example.net here user too pass y is too":     set + "too,",
		"user old pass x is kim@example.net here user too pass y is a@b.org": set + "a@b.org,",
	} {
		_, got := convert(t, "fetchmailrc", "poll pop.example proto pop3 "+options+" ssl\n")
		if !strings.Contains(got, want) || strings.HasPrefix(want, noted) != strings.Contains(got, noted) {
			t.Errorf("%s:\n%s", options, got)
		}
	}
	if _, got := convert(t, "fetchmailrc", "defaults proto pop3 is kim@example.net here\npoll pop.example user old pass x"); !strings.Contains(got, set+"kim@example.net,") {
		t.Errorf("of defaults:\n%s", got)
	}
}

// TestSTLSofFetchmail: with sslproto it has no other way; without, it goes on in clear text.
func TestSTLSofFetchmail(t *testing.T) {
	const clear = "# fetchmail may have sent this password in clear text"
	for options, c := range map[string]struct {
		tls   string
		clear bool
	}{
		"":                      {"starttls", true},
		"sslproto ''":           {"starttls", true},
		"sslproto tls1.2+":      {"starttls", false},
		"sslproto auto ssl":     {"implicit", false},
		"ssl sslproto tls1":     {"implicit", false},
		"no ssl sslproto tls1+": {"starttls", false},
	} {
		list, got := convert(t, "fetchmailrc", "poll pop.example proto pop3 user kim pass x "+options)
		if tls := list.Accounts[0].Get("source.tls"); tls != c.tls || strings.Contains(got, clear) != c.clear {
			t.Errorf("%s:\n%s", options, got)
		}
	}
	if list, got := convert(t, "fetchmailrc", "poll pop.example proto pop3 port 995 user kim pass x sslproto auto"); list.Accounts[0].Get("source.tls") != "implicit" {
		t.Error(got)
	}
}

// TestProtocolOfNobody: fetchmail tries IMAP first, so that a server may have no POP3.
func TestProtocolOfNobody(t *testing.T) {
	const other, told = "the protocol is not POP3", "tried IMAP first: check that this host has POP3"
	for options, want := range map[string]string{"": told, "proto auto service pop3s": told, "proto pop3": "", "proto apop": "",
		"port 993": other, "proto auto service imap": other, "proto pop3 port 993": ""} {
		list, err := foreign.Read("fetchmailrc", "", strings.NewReader("poll a.example "+options+" user kim pass x\npoll b.example proto pop3 user b\n"))
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(errorsOf(list.Skipped), "") + strings.Join(list.Accounts[0].Notes, "")
		for _, text := range []string{other, told} {
			if strings.Contains(got, text) != (text == want) {
				t.Errorf("%s: %s", options, got)
			}
		}
	}
}

// TestRecent: what Gmail takes before a user name is for its POP3 alone.
func TestRecent(t *testing.T) {
	const list = "[retriever]\ntype = SimplePOP3SSLRetriever\nserver = pop.gmail.com\nusername = recent:Kim@gmail.com\n"
	_, got := convert(t, "getmailrc", list)
	for _, want := range []string{"- name: Kim@gmail.com\n", `username: "recent:Kim@gmail.com",`, "destination: {username: Kim@gmail.com,"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	local := foreign.Setting{Key: "destination.username", Value: "{local}@example.net"}
	if _, got := convert(t, "getmailrc", list, local); !strings.Contains(got, "destination: {username: Kim@example.net,") {
		t.Error(got)
	}
}

// TestNotTakenOver: what an account loses is a comment at it, whoever said it.
func TestNotTakenOver(t *testing.T) {
	const certificate, unchecked = "the client certificate is not taken over; see tls_cert", "certificates went unchecked"
	for file, c := range map[string]struct {
		in   string
		want []string
	}{
		"fetchmailrc": {"defaults proto pop3 principal x\npoll a.example plugin p interface i\n user b pass c ssl folder f sslcommonname n " +
			"sslcertpath /p sslfingerprint ff limit 5 pre x post y sslkey k no sslcertck",
			[]string{"principal", "plugin", "interface", "folder", "sslcommonname", "sslcertpath", "sslfingerprint", "limit", "pre", "post",
				certificate, unchecked}},
		"getmailrc": {"[retriever]\ntype=SimplePOP3SSLRetriever\nserver=a.example\nusername=b\nkeyfile=k\ncertfile=c\nssl_version=x\n" +
			"ssl_fingerprints=('ff',)\nssl_cert_hostname=h\nssl_ciphers=c\n[options]\nmax_message_size=5\n",
			[]string{certificate, "ssl_fingerprints", "ssl_cert_hostname", "ssl_version", "ssl_ciphers", "max_message_size"}},
		"mpoprc": {"account a\nhost a.example\nuser b\ntls on\ntls_starttls off\nauth gssapi\ntls_host_override h\ntls_key_file k\ntls_cert_file c\n" +
			"socket /s\ntls_certcheck off\ntls_fingerprint ff\ntls_crl_file f\ntls_priorities p\nskipsize 5\n",
			[]string{"tls_host_override", certificate, "socket", unchecked, "tls_fingerprint", "tls_crl_file", "tls_priorities", "skipsize", "auth gssapi"}},
	} {
		_, got := convert(t, file, c.in)
		for _, want := range c.want {
			if !strings.Contains(got, "  # "+want) {
				t.Errorf("%s: no word of %s:\n%s", file, want, got)
			}
		}
		if n := strings.Count(got, "  # "); n != len(c.want) {
			t.Errorf("%s: %d notes, want %d:\n%s", file, n, len(c.want), got)
		}
	}
}

// TestBlanksAroundNames: nobody sees them, and no server knows the name with them.
func TestBlanksAroundNames(t *testing.T) {
	list, accounts := convert(t, "users.csv", "EmailAddress,UserName,Password,source.host\na@example.net,old-a\u00a0,\" p \",pop.example\n"+
		"b@gmx.de ,\tb@gmx.de,p, \n")
	for i, want := range []string{"a@example.net old-a  p ", "b@gmx.de b@gmx.de p"} {
		a := list.Accounts[i]
		if got := a.Get("name") + " " + a.Get("source.username") + " " + a.Get("source.password"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := list.Accounts[1].Get("source.host"); got != "pop.gmx.net" {
		t.Errorf("nothing but a blank is no host: %q", got)
	}
	for text, times := range map[string]int{"# blanks around source.username are left out": 2, "# blanks around name are left out": 1,
		"# blanks around destination.username are left out": 1} {
		if strings.Count(accounts, text) != times {
			t.Errorf("%s: not %d times in\n%s", text, times, accounts)
		}
	}
}

// TestRowWithoutEmailAddress: Microsoft's lists say by it whose mailbox a row goes to, so
// that one without it goes to nobody, unless a setting says so.
func TestRowWithoutEmailAddress(t *testing.T) {
	read := func(settings ...foreign.Setting) *foreign.List {
		list, err := foreign.Read("users.csv", "", strings.NewReader("EmailAddress,UserName,Password,source.host\n"+
			"a@example.net,a,p,pop.example\n,g,p,pop.example\n \u00a0,h,p,pop.example\n"))
		if err != nil {
			t.Fatal(err)
		}
		if err := list.Settle(settings); err != nil {
			t.Fatal(err)
		}
		return list
	}
	list := read()
	if len(list.Accounts) != 1 || len(list.Bad) != 2 || list.Bad[0].Line != 3 || list.Bad[1].Line != 4 ||
		!strings.Contains(list.Bad[0].Error(), "no EmailAddress") {
		t.Errorf("%+v, %v", list.Accounts, list.Bad)
	}
	list = read(foreign.Setting{Key: "destination.username", Value: "{local}@example.net"})
	if len(list.Accounts) != 3 || len(list.Bad) != 0 || list.Accounts[1].Get("destination.username") != "g@example.net" {
		t.Errorf("%+v, %v", list.Accounts, list.Bad)
	}
}

// TestGuess: what a file is shows in its name, else in what is in it.
func TestGuess(t *testing.T) {
	for name, c := range map[string]struct{ file, in, user string }{
		"fetchmail's commas":     {"mail.conf", "# mine\npoll pop.a.example, proto pop3, user a, pass \"b\", ssl\n", "a"},
		"fetchmail's semicolons": {"mail.conf", "poll pop.a.example; proto pop3; user a; pass b; ssl; keep; fetchall\n", "a"},
		"fetchmail's defaults":   {"mail.conf", "defaults proto pop3, ssl;\npoll pop.a.example user a pass b\n", "a"},
		"a BOM":                  {"mail.conf", "\xef\xbb\xbfpoll pop.a.example proto pop3 user a pass b\n", "a"},
		"mpop's defaults":        {"mail.conf", "defaults\ntls on\naccount a\nhost pop.a.example\nuser a\n", "a"},
		"imapsync's spreadsheet": {"users.csv", "host1;user1;password1;host2;user2;password2\r\na.example;a;p;b.example;b;q\r\n", "a"},
		"imapsync's comment":     {"users.csv", "# host1;user1;password1;host2;user2;password2;\na.example;a;p;b.example;b;q;\n", "a"},
		"a table":                {"list", "source.host,source.username\npoll,a\n", "a"},
	} {
		list, err := foreign.Read(c.file, "", strings.NewReader(c.in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(list.Accounts) != 1 || list.Accounts[0].Get("source.username") != c.user {
			t.Errorf("%s: %+v", name, list.Accounts)
		}
	}
}

// TestMpopsEvalIsNotRun: what it would say is missing, and that is said.
func TestMpopsEvalIsNotRun(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	list, err := foreign.Read("mpoprc", "", strings.NewReader("account base\neval touch "+ran+"\n"+
		"account a : base\nhost a.example\nuser a\n"+
		"account b\neval echo host b.example\nuser b\n"+
		"account c\nhost c.example\neval echo user c\n"+
		"account d\nuser d\n"+
		"account e\nhost e.example\neval echo user e\n"+
		"account f : e\nuser f\n"+
		"account all\ntls on\n"+
		"account g : all\nhost g.example\nuser g\n"))
	if err != nil {
		t.Fatal(err)
	}
	const told = "host or user is missing, and eval is not run; write what its program says in its place"
	got := append(errorsOf(list.Bad), errorsOf(list.Skipped)...)
	if want := []string{"mpoprc:1: " + told, "mpoprc:6: " + told, "mpoprc:9: " + told, "mpoprc:14: " + told,
		"mpoprc:12: the account has no host"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if len(list.Accounts) != 3 || !strings.Contains(strings.Join(list.Accounts[0].Notes, "\n"), "eval is not run") {
		t.Errorf("%+v", list.Accounts)
	}
	if _, err := os.Stat(ran); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the program was run: %v", err)
	}
}

func errorsOf(bad []foreign.Bad) (texts []string) {
	for _, b := range bad {
		texts = append(texts, b.Error())
	}
	return texts
}

// TestSkippedEntries: what fetchmail left alone is no account, and that is said.
func TestSkippedEntries(t *testing.T) {
	list, err := foreign.Read("fetchmailrc", "", strings.NewReader(
		"skip a.example proto pop3 user a pass a\n  user b pass b\npoll c.example proto pop3 user c pass c\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := errorsOf(list.Skipped)
	want := []string{"fetchmailrc:1: fetchmail did not poll this one (skip)", "fetchmailrc:2: fetchmail did not poll this one (skip)"}
	if len(list.Accounts) != 1 || !slices.Equal(got, want) {
		t.Errorf("%d accounts, left out: %q", len(list.Accounts), got)
	}
}

func TestBadLists(t *testing.T) {
	for name, c := range map[string]struct{ file, in, want string }{
		"nothing":          {"x", "hello\n", "it is not clear what it is; say --format csv, fetchmailrc"},
		"empty":            {"users.csv", "", "is empty"},
		"header":           {"users.csv", "user,pw\na,b\n", "line 1: unknown column number 1"},
		"YAML":             {"users.csv", "source.host,\"source.x}: y\"\na,b\n", "line 1: column number 2: source has no such key"},
		"second level":     {"users.csv", "name,source.usernme\na,b\n", "line 1: column number 2: source has no such key"},
		"binary":           {"mpoprc", "account\x00", "holds a NUL"},
		"UTF-16":           {"fetchmailrc", "\xff\xfep\x00o\x00l\x00l\x00", "is UTF-16; save it as UTF-8"},
		"UTF-16, unknown":  {"list.txt", "\xfe\xff\x00a\x00", "is UTF-16; save it as UTF-8"},
		"UTF-16, CSV":      {"list.csv", "\xfe\xff\x00a\x00;", "is UTF-16; save it as CSV in UTF-8"},
		"large":            {"fetchmailrc", strings.Repeat("#", 16<<20+1), "is larger than 16 MB"},
		"no account":       {"fetchmailrc", "set daemon 300\n", "has no POP3 account"},
		"only skip":        {"fetchmailrc", "\nskip a user b", "line 2: has no POP3 account to take over: fetchmail did not poll"},
		"open quote":       {"fetchmailrc", "poll a user \"b\n", "line 1: a quote opens here"},
		"long value":       {"fetchmailrc", "\npoll " + strings.Repeat("x", 5000), "line 2: a value is longer than 4096"},
		"no section":       {"getmailrc", "type = x\n", "line 1: must be a section in brackets"},
		"no retriever":     {"getmailrc", "[options]\nx=1\n", "has no section [retriever]"},
		"IMAP":             {"getmailrc", "\n[retriever]\ntype=SimpleIMAPRetriever\n", "line 2: the retriever is none for POP3"},
		"password_command": {"getmailrc", "[retriever]\ntype=SimplePOP3Retriever\npassword_command=pass\n", "line 1: password_command must be words in quotes"},
		"parent":           {"mpoprc", "account a : b\n", "line 1: the account after the colon"},
		"account twice":    {"mpoprc", "account a\naccount a\n", "line 2: an account needs a name of its own"},
	} {
		_, err := foreign.Read(c.file, "", strings.NewReader(c.in))
		var wrong *foreign.Mistake
		if !errors.As(err, &wrong) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// TestBadAccounts: what is wrong with one account is told with its line, and the
// others go on without it.
func TestBadAccounts(t *testing.T) {
	for name, c := range map[string]struct {
		file, in string
		want     []string
		left     int
	}{
		"CSV": {"users.csv", "name,source.host,source.username,source.port\na,pop.a.example,a,\nb,pop.b.example\nc,pop.c.example,c,x\na,pop.d.example,d,\n",
			[]string{"users.csv:3: the row has 2 columns", "users.csv:4: source.port must be a whole number", "users.csv:5: the name is taken"}, 1},
		"fetchmail": {"fetchmailrc", "poll a.example proto pop3 user a pass a sowhat\npoll b.example proto pop3 user b pass b\npoll c.example proto pop3 user \"d\ne\" pass c\n",
			[]string{"fetchmailrc:1: there is an unknown option", "fetchmailrc:3: source.username contains a line break"}, 1},
		"one user": {"fetchmailrc", "poll a.example proto pop3\n user a pass a\n user b pass b sowhat 1\n user c pass c\n",
			[]string{"fetchmailrc:3: there is an unknown option"}, 2},
		"a server": {"fetchmailrc", "poll a.example sowhat proto pop3\n user a pass a\n user b pass b\npoll c.example user c pass c\n",
			[]string{"fetchmailrc:2: what line 1 says for this user cannot be read: there is an unknown option",
				"fetchmailrc:3: what line 1 says"}, 1},
		"defaults": {"fetchmailrc", "defaults\n ssl sowhat\npoll a.example user a pass a\npoll b.example user b pass b\n",
			[]string{"fetchmailrc:3: what line 2 says for this user", "fetchmailrc:4: what line 2 says"}, 0},
		"no user": {"fetchmailrc", "poll a.example proto pop3 user x here pass a\npoll b.example user b pass b\n",
			[]string{"fetchmailrc:1: source.username is missing"}, 1},
		"not wanted": {"fetchmailrc", "poll a.example proto imap user a sowhat\npoll b.example user b pass b\n", nil, 1},
		"one line": {"fetchmailrc", "poll a.example proto pop3 user \"d\\ne\" pass c user f pass c\n",
			[]string{"fetchmailrc:1: source.username contains a line break"}, 1},
		"set":      {"fetchmailrc", "poll a.example proto pop3 user a pass a\nset", []string{"fetchmailrc:2: nothing follows set"}, 1},
		"set no":   {"fetchmailrc", "poll a.example proto pop3 user a pass a\nset no", []string{"fetchmailrc:2: set no has no value"}, 1},
		"imapsync": {"list", "a;b;c;d;e;f\na;b;c\n", []string{"list:2: needs six values"}, 1},
		"imapsync, a semicolon": {"list", "a;b;c;d;e;f; ;\nb;b;p;w;e;f;g\nc;b;c;d;e;p;w;--ssl2\nd;b;c;d;e;f; --ssl2;--port2 993;\n",
			[]string{"list:2: has more than six values", "list:3: has more than six values"}, 2},
		"letters": {"mpoprc", "account a\nhost a.example\nuser a\npassword \xe9\naccount b\nhost b.example\nuser b\n", []string{"mpoprc:1: has letters that are not UTF-8"}, 1},
		"YAML":    {"users.csv", "source.host,source.username,\"source.password.x}: y\"\na.example,a,b\nb.example,b,\n", []string{"users.csv:2: password: unknown key"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := foreign.Read(c.file, "", strings.NewReader(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if err := list.Settle(toExample); err != nil {
				t.Fatal(err)
			}
			list.Drop(list.Check(list.Write("x", toExample)))
			var got []string
			for _, b := range list.Bad {
				got = append(got, b.Error())
			}
			for _, want := range c.want {
				if !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, want) }) {
					t.Errorf("%q lacks %s", got, want)
				}
			}
			if again := list.Check(list.Write("x", toExample)); len(again) > 0 || len(list.Accounts) != c.left {
				t.Errorf("%d accounts are left, with %v", len(list.Accounts), again)
			}
		})
	}
}

// TestMistakesNameLinesOfTheLists: also where one account is held against another.
func TestMistakesNameLinesOfTheLists(t *testing.T) {
	all := &foreign.List{}
	for _, c := range []struct{ file, in string }{
		{"a.csv", "name,source.host,source.username\na,a.example,a\nb,b.example,b\nc,b.example,b\n"},
		{"b.csv", "name,source.host,source.username\na,c.example,c\n"},
	} {
		list, err := foreign.Read(c.file, "", strings.NewReader(c.in))
		if err != nil {
			t.Fatal(err)
		}
		all.Join(list)
	}
	if err := all.Settle(toExample); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range all.Check(all.Write("x", toExample)) {
		got = append(got, b.Error())
	}
	want := []string{"a.csv:4: the account in line 3 has the same source; two accounts must not empty one maildrop",
		"b.csv:2: the name is taken by the account in line 2 of a.csv; choose another one with name:"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestManyBad: a file tells only so many mistakes at once.
func TestManyBad(t *testing.T) {
	list, err := foreign.Read("users.csv", "", strings.NewReader("source.host,source.username,source.port,source.tls\na.example,a,,\n"+
		strings.Repeat("b.example,b,x,y\n", 2500)))
	if err != nil {
		t.Fatal(err)
	}
	if err := list.Settle(toExample); err != nil {
		t.Fatal(err)
	}
	list.Drop(list.CheckAll(list.Write("x", toExample)))
	if again := list.Check(list.Write("x", toExample)); len(again) > 0 {
		t.Errorf("%d more", len(again))
	}
	if n := foreign.CountBad(list.Bad); n != 2500 || len(list.Accounts) != 1 {
		t.Errorf("%d accounts, %d bad", len(list.Accounts), n)
	}
}

// TestSeen reads what the programs themselves have written.
func TestSeen(t *testing.T) {
	for file, want := range map[string]foreign.Seen{
		"fetchids": {Host: "localhost", UIDLs: []string{"000000a1.uid,", "UID%41#;=[x]", "plain-3", "99fc1ae52349d05a-4"}},
		"oldmail-127.0.0.1-41261-alice@oldisp.example": {Host: "127.0.0.1", Port: "41261",
			UIDLs: []string{"000000a1.uid, \"odd\"", "99fc1ae52349d05a-4 getmail", "UID%41#;=[x]", "plain-3 getmail"}},
		"uidls": {Host: "127.0.0.1", UIDLs: []string{"000000a1.uid, \"odd\"", "99fc1ae52349d05a-4", "UID%41#;=[x]", "plain-3"}},
	} {
		f, err := os.Open(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		seen, err := foreign.ReadSeen(f.Name(), f)
		f.Close()
		if err != nil || len(seen) != 1 {
			t.Errorf("%s: %+v, %v", file, seen, err)
			continue
		}
		if got := seen[0]; got.User != "alice@oldisp.example" || got.Host != want.Host {
			t.Errorf("%s: %+v", file, got)
		}
		if seen[0].Port != want.Port {
			t.Errorf("%s: port %q", file, seen[0].Port)
		}
		slices.Sort(seen[0].UIDLs)
		slices.Sort(want.UIDLs)
		if !slices.Equal(seen[0].UIDLs, want.UIDLs) {
			t.Errorf("%s: %q", file, seen[0].UIDLs)
		}
	}
}

func TestRemember(t *testing.T) {
	list, err := foreign.Read("fetchmailrc", "", strings.NewReader(
		"poll label via pop.oldisp.example proto pop3 user alice pass x user bob pass y"))
	if err != nil {
		t.Fatal(err)
	}
	unknown := list.Remember([]foreign.Seen{
		{User: "alice", Host: "label", UIDLs: []string{"1"}},
		{User: "alice", Host: "POP.oldisp.example.", UIDLs: []string{"2", "a b", "\xff", "a-b getmail"}},
		{User: "alice", Host: "other.example", UIDLs: []string{"3"}},
	})
	if len(unknown) != 1 || unknown[0].Host != "other.example" || len(list.Accounts[0].Seen) != 3 ||
		len(list.Accounts[1].Seen) != 0 || !strings.Contains(fmt.Sprint(list.Accounts[0].Notes), "some mail that was fetched counts as new") ||
		len(list.Accounts[1].Notes) != len(list.Accounts[0].Notes)-1 {
		t.Errorf("%+v, %+v", unknown, list.Accounts)
	}
	if err := list.Settle(toExample); err != nil {
		t.Fatal(err)
	}
	if got := list.Accounts[0].Get("source.skip_uidls"); got != "seen/alice" {
		t.Errorf("%q", got)
	}
	var b strings.Builder
	if err := list.Accounts[0].WriteSeen(&b); err != nil || b.String() != "1\n2\na-b getmail\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestIsOldmail(t *testing.T) {
	for name, want := range map[string]bool{"/home/a/.getmail/oldmail-pop.a.example-995-b-c": true, "oldmail-users.csv": false,
		"fetchids-995-a": false} {
		if foreign.IsOldmail(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

// TestNumbersAreNoUIDLs: where getmail went by numbers, a server's UIDLs may look the same.
func TestNumbersAreNoUIDLs(t *testing.T) {
	for kind, taken := range map[string]bool{"BrokenUIDLPOP3SSLRetriever": false, "SimplePOP3SSLRetriever": true} {
		list, accounts := convert(t, "getmailrc", "[retriever]\ntype="+kind+"\nserver=a.example\nusername=b\n")
		seen, err := foreign.ReadSeen("oldmail-a.example-995-b", strings.NewReader("1\x001700000000\n"))
		if err != nil {
			t.Fatal(err)
		}
		left := list.Remember(seen)
		if said := len(left) == 1 && strings.Contains(left[0].Left, "BrokenUIDL"); said == taken || len(list.Accounts[0].Seen) == 1 != taken {
			t.Errorf("%s: %+v, %q", kind, left, list.Accounts[0].Seen)
		}
		if noted := strings.Contains(accounts, "# getmail knew no UIDLs of this maildrop (BrokenUIDL"); noted == taken {
			t.Errorf("%s:\n%s", kind, accounts)
		}
	}
}

// TestRememberWhose: of accounts that differ in little, each gets its own.
func TestRememberWhose(t *testing.T) {
	const table = "source.host,source.port,source.tls,source.username\n" +
		"localhost,9951,,alice\n" +
		"localhost,9952,,alice\n" +
		"pop.example,,implicit,b/c\n" +
		"pop.example,,implicit,b:c\n" +
		"pop.example,,implicit,b-c\n" +
		"pop.example,,,d\n" +
		"pop.example,110,starttls,d\n"
	for name, c := range map[string]struct {
		of   foreign.Seen
		want int // the account, or -1
	}{
		"port":                {foreign.Seen{Host: "localhost", Port: "9952", User: "alice"}, 1},
		"no port":             {foreign.Seen{Host: "localhost", User: "alice"}, 0},
		"another port":        {foreign.Seen{Host: "localhost", Port: "995", User: "alice"}, -1},
		"the user exactly":    {foreign.Seen{Host: "pop.example", Port: "995", User: "b-c"}, 4},
		"a user of fetchmail": {foreign.Seen{Host: "pop.example", User: "b:c"}, 3},
		"what tls means":      {foreign.Seen{Host: "pop.example", Port: "995", User: "d"}, 5},
		"the other, exactly":  {foreign.Seen{Host: "pop.example", Port: "110", User: "d"}, 6},
		"TLS came since":      {foreign.Seen{Host: "pop.example", Port: "110", User: "b/c"}, 2},
		"a port for itself":   {foreign.Seen{Host: "pop.example", Port: "1995", User: "d"}, -1},
	} {
		list, err := foreign.Read("users.csv", "", strings.NewReader(table))
		if err != nil {
			t.Fatal(err)
		}
		c.of.UIDLs = []string{"1"}
		list.Remember([]foreign.Seen{c.of})
		got := slices.IndexFunc(list.Accounts, func(a *foreign.Account) bool { return len(a.Seen) > 0 })
		if got != c.want {
			t.Errorf("%s: account %d, want %d", name, got, c.want)
		}
	}
}

// TestRememberWithSettings: what --set says for all is known of each.
func TestRememberWithSettings(t *testing.T) {
	list, err := foreign.Read("users.csv", "", strings.NewReader("source.username\nalice\n"))
	if err != nil {
		t.Fatal(err)
	}
	all := []foreign.Seen{{Host: "pop.example", Port: "9951", User: "alice"}, {Host: "pop.example", Port: "9952", User: "alice"}}
	unknown := list.Remember(all, foreign.Setting{Key: "source.host", Value: "pop.example"}, foreign.Setting{Key: "source.port", Value: "9951"})
	if len(unknown) != 1 || unknown[0].Place() != "alice at pop.example:9952" {
		t.Errorf("%+v", unknown)
	}
}

// TestFetchmailNamesUsersAsTheyAre: only getmail changes them, for the name of a file.
func TestFetchmailNamesUsersAsTheyAre(t *testing.T) {
	for _, c := range []struct {
		of    foreign.Seen
		known bool
	}{
		{foreign.Seen{Host: "a.example", User: "b-c-d\\"}, false},
		{foreign.Seen{Host: "a.example", Port: "995", User: "b-c-d\\"}, true},
	} {
		list, err := foreign.Read("users.csv", "", strings.NewReader("source.host,source.username\na.example,b/:;c|d\\\n"))
		if err != nil {
			t.Fatal(err)
		}
		if unknown := list.Remember([]foreign.Seen{c.of}); (len(unknown) == 0) != c.known {
			t.Errorf("%+v: %v", c.of, unknown)
		}
	}
}

// TestPassedOver: mpop remembers what it was told to kill and to keep as fetched, and getmail what
// its filters dropped.
func TestPassedOver(t *testing.T) {
	const mpop, getmail = "account a\nhost pop.example\nuser a\n", "[retriever]\ntype = SimplePOP3SSLRetriever\nserver = pop.example\nusername = a\n"
	for text, want := range map[string]bool{
		mpop + "keep on\nkillsize 5000": true, mpop + "keep on\nfilter \"f\"": true, mpop + "keep off\nkillsize 5000": false,
		mpop + "keep on\nkillsize off": false, mpop + "keep on\nskipsize 5000": false,
		getmail + "[filter-spam]\ntype = Filter_external\n": true, getmail + "[options]\nmax_message_size = 1\n": false,
	} {
		list, err := foreign.Read("list", "", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		list.Remember([]foreign.Seen{{User: "a", Host: "pop.example", UIDLs: []string{"1"}}})
		if got := fmt.Sprint(list.Accounts[0].Notes); strings.Contains(got, "among what it remembers as fetched") != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}

// TestUsersWithBlanks: fetchmail, mpop and getmail write them as they are.
func TestUsersWithBlanks(t *testing.T) {
	for name, in := range map[string]string{
		"fetchids":                       "al ice@pop.example x@1\nbob@pop.example 2\nal ice@pop.example 3 \n",
		"uidls":                          " 2 pop.example al ice\nx@1\n3\n 1 pop.example bob\n2\n",
		"oldmail-pop.example-995-al ice": "x@1\x001\n3\x001\n",
	} {
		seen, err := foreign.ReadSeen(name, strings.NewReader(in))
		if err != nil || seen[0].User != "al ice" || seen[0].Host != "pop.example" || !slices.Equal(seen[0].UIDLs, []string{"x@1", "3"}) {
			t.Errorf("%s: %+v, %v", name, seen, err)
		}
	}
}

func TestBadSeen(t *testing.T) {
	for name, in := range map[string]string{
		"fetchids": "hello\n", "fetchids ": "@host uid\n", "no host": "alice@ uid\n", "no UIDL": "alice@host \n", "no user": "alice host\n", "oldmail-host": "x\x00y\n", "oldmail-h-110-u": "no time\n",
		"uidls": " 1 host\n", "long": "a@b " + strings.Repeat("x", 5000),
	} {
		_, err := foreign.ReadSeen(name, strings.NewReader(in))
		var wrong *foreign.Mistake
		if !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseSetting(t *testing.T) {
	for _, text := range []string{"", "x", "destination.host=", "destination=x", "hots=x", "=x"} {
		if s, err := foreign.ParseSetting(text); err == nil {
			t.Errorf("%q: %+v", text, s)
		}
	}
	s, err := foreign.ParseSetting("source.password.command=a=b")
	if err != nil || s != (foreign.Setting{Key: "source.password.command", Value: "a=b"}) {
		t.Errorf("%+v, %v", s, err)
	}
}

// FuzzRead: whatever comes, it ends in a mistake, or in a list whose accounts with
// mistakes can be left out, and whose values are in the new file as they were.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"poll a proto pop3 user b pass 'c'", "set", "set no", "[retriever]\ntype=SimplePOP3Retriever\nserver=a\n",
		"account a\nhost b\nuser c\n", "a;b;c;d;e;f", "source.host,source.username\na,b\n"} {
		for i := range foreign.Formats {
			f.Add(i, seed)
		}
	}
	f.Fuzz(func(t *testing.T, format int, text string) {
		name := foreign.Formats[uint(format)%uint(len(foreign.Formats))]
		list, err := foreign.Read("x", name, strings.NewReader(text))
		if err != nil || list.Settle(toExample) != nil {
			return
		}
		for list.Drop(list.Check(list.Write("x\ny", toExample))) {
			continue
		}
		if len(list.Accounts) == 0 {
			return
		}
		written := list.Write("x", toExample)
		config, err := plan.Parse("accounts.yaml", []byte(written.YAML))
		if err != nil {
			t.Fatalf("%v\n%s", err, written.YAML)
		}
		for i, a := range config.Accounts {
			if want := list.Accounts[i].Get("source.username"); a.Source.Username != want {
				t.Errorf("user name %q, want %q\n%s", a.Source.Username, want, written.YAML)
			}
		}
	})
}
