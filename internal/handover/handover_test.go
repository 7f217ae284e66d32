package handover_test

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/popferry/popferry/internal/discover"
	"github.com/popferry/popferry/internal/handover"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

var update = flag.Bool("update", false, "write the files in testdata")

const secret = "Zugang-7#geheim"

const accounts = `
defaults:
  source: {host: pop.old.example, password: "` + secret + `"}
  destination: {host: imap.new.example, password: "` + secret + `"}
accounts:
  - source: {username: alice}
    destination: {username: alice@example.org}
  - source: {username: bob@old.example}
    destination: {host: imap.gmail.com, username: bob@gmail.com}
    keep: 30d
    folder: \Archive
    routes:
      - {match: {from: "*@lists.example"}, folder: Lists/Go}
      - {match: {older_than: 365d}, folder: '\Archive/{year}'}
      - {match: {older_than: 30d}, folder: 'Old {year}'}
  - source: {username: carol}
    destination: {host: imap.gmx.net, username: carol@gmx.de, port: 143, tls: starttls}
    keep: delivered
  - source: {username: dave@hotmail.com}
    destination: {host: outlook.office365.com, username: dave@hotmail.com, auth: xoauth2}
`

func load(t *testing.T, text string) *plan.Config {
	t.Helper()
	config, err := plan.Parse("accounts.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func cards(t *testing.T, config *plan.Config) (list []handover.Card) {
	t.Helper()
	var senders handover.Senders
	for _, a := range config.Accounts {
		smtp, err := senders.Of(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, handover.New(a, smtp))
	}
	return list
}

func written(t *testing.T, write func(io.Writer, []handover.Card) error, list []handover.Card) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b, list); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	list := cards(t, load(t, accounts))
	for name, write := range map[string]func(io.Writer, []handover.Card) error{
		"cards.md": handover.Markdown, "cards.html": handover.HTML,
	} {
		got, path := written(t, write, list), filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is not as it was; go test -update writes it anew, to look at the difference:\n%s", path, got)
		}
		if strings.Contains(got, secret) {
			t.Errorf("%s holds a password", path)
		}
	}
}

func TestWhatIsOnACard(t *testing.T) {
	list := cards(t, load(t, accounts))
	if got := list[0]; got.Outgoing != nil || got.Address != "alice@example.org" || got.Page != "" ||
		!strings.Contains(got.SignIn, "not on this card") || !strings.Contains(got.Kept, "keeps its copies") {
		t.Errorf("alice: %+v", got)
	}
	if got := list[1]; *got.Outgoing != (handover.Server{"smtp.gmail.com", 465, "SSL/TLS", "bob@gmail.com"}) ||
		got.Folder != "Archive" || !slices.Equal(got.Sorted, []string{"Lists/Go", "Old"}) || !strings.Contains(got.Kept, "removed 30 days after") ||
		!strings.Contains(got.SignIn, "app password") || !strings.HasPrefix(got.Page, "https://") {
		t.Errorf("bob: %+v", got)
	}
	if got := list[2]; got.Incoming != (handover.Server{"imap.gmx.net", 143, "STARTTLS", "carol@gmx.de"}) ||
		!strings.Contains(got.First, "switched on") || !strings.HasPrefix(got.FirstPage, "https://hilfe.gmx.net/") {
		t.Errorf("carol: %+v", got)
	}
	if got := list[3]; !strings.Contains(got.SignIn, "OAuth") || got.Outgoing.Host != "smtp-mail.outlook.com" || got.Old != "pop.old.example" {
		t.Errorf("dave: %+v", got)
	}
}

// With the user's own OAuth the card says so; an application that an administrator lets
// in is none of theirs.
func TestOAuth(t *testing.T) {
	for flow, want := range map[string]string{"device": "With OAuth", "client-credentials": "With the password"} {
		config := load(t, `
accounts:
  - source: {host: pop.old.example, username: alice, password: x}
    destination:
      host: imap.new.example
      username: alice@example.org
      oauth: {flow: `+flow+`, client_id: id, client_secret: {env: S}, scopes: [mail],
        token_url: "https://login.example.org/token"`+map[string]string{
			"device": `, device_url: "https://login.example.org/device"`}[flow]+`}
`)
		if got := handover.New(config.Accounts[0], nil).SignIn; !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", flow, got)
		}
	}
}

// A name that comes from somebody else's list stays text in both forms.
func TestHostileNames(t *testing.T) {
	for _, user := range []string{
		"<script>alert(1)</script>", "`x` **b** <b>", "``", "a\u202eb", "x](http://evil.example)", `"onload="x`,
		"&amp;", "|", "\u2028x", strings.Repeat("w", 5000), "",
	} {
		list := []handover.Card{{Address: user, Folder: user, Old: user,
			Incoming: handover.Server{Host: user, Username: user}, Outgoing: &handover.Server{Host: user, Username: user}}}
		page, text := written(t, handover.HTML, list), written(t, handover.Markdown, list)
		checkPage(t, page)
		for _, form := range []string{page, text} {
			if strings.ContainsAny(form, "\u202e\u2028") || len(form) > 20_000 {
				t.Errorf("%.40q: %d octets: %.200s", user, len(form), form)
			}
		}
		for _, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(line, "# ") && !heading.MatchString(line) {
				t.Errorf("%q is the heading of %.40q", line, user)
			}
		}
	}
}

// heading has the address between backticks, of which there are as many on each side
// and fewer inside.
var heading = regexp.MustCompile("^# Your mail account (`[^`]+`|`` .*[^`].* ``|``` .* ```|` +`)$")

// checkPage holds that a page has no elements but those of ours, and gets nothing
// from elsewhere.
func checkPage(t *testing.T, page string) {
	t.Helper()
	for z := html.NewTokenizer(strings.NewReader(page)); ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			return
		}
		token := z.Token()
		if kind == html.StartTagToken && (token.Data == "script" || token.Data == "b" || token.Data == "img" ||
			token.Data == "link") {
			t.Errorf("the page has a %s", token.Data)
		}
		for _, a := range token.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "src" || a.Key == "href" && !strings.HasPrefix(a.Val, "https://") {
				t.Errorf("the page has %s=%q", a.Key, a.Val)
			}
		}
	}
}

// TestAddress: the old address is not the new one, unless it is there too, nor does anybody
// sign in by it.
func TestAddress(t *testing.T) {
	for _, c := range []struct{ source, host, destination, address, sender string }{
		{"alice", "imap.new.example", "alice@new.example", "alice@new.example", "-"},
		{"alice@old.example", "imap.new.example", "alice", "alice", "-"},
		{"alice@new.example", "imap.new.example", "alice", "alice@new.example", "-"},
		{"alice.old@new.example", "imap.new.example", "alice", "alice", "-"},
		{"alice", "imap.new.example", "a", "a", "-"},
		{"fred.old@gmx.de", "imap.web.de", "fred", "fred", "fred"},
		{"fred.old@web.de", "imap.web.de", "fred", "fred", "fred"},
		{"fred@web.de", "imap.web.de", "Fred", "fred@web.de", "fred"},
		{"fred.old@web.de", "imap.web.de", "fred@email.de", "fred@email.de", "fred"},
		{"fred.old@gmx.de", "imap.mail.me.com", "fred", "fred", ""},
		{"fred@me.com", "imap.mail.me.com", "fred", "fred@me.com", "fred@me.com"},
		{"fred.old@gmx.de", "imap.laposte.net", "fred", "fred@laposte.net", "fred"},
		{"fred.old@gmx.de", "imap.gmail.com", "fred", "fred", "fred"},
		{"fred.old@gmx.de", "imap.fastmail.com", "fred", "fred", "fred"},
	} {
		a := plan.Account{Source: plan.Endpoint{Username: c.source}, Destination: plan.Endpoint{Username: c.destination}}
		a.Destination.Host = c.host
		smtp, err := new(handover.Senders).Of(t.Context(), a)
		if card := handover.New(a, smtp); card.Address != c.address || err != nil || card.KnowsAddress() != strings.Contains(c.address, "@") {
			t.Errorf("%+v: %q, %v", c, card.Address, err)
		}
		if (smtp == nil) != (c.sender == "-") || smtp != nil && smtp.Username != c.sender {
			t.Errorf("%+v: sends by %+v", c, smtp)
		}
	}
}

// TestSharedLogin: what an administrator logs in with is not for the user's card.
func TestSharedLogin(t *testing.T) {
	a := plan.Account{Name: "alice",
		Source:      plan.Endpoint{Username: "admin@old.example", AuthorizeAs: "alice@old.example"},
		Destination: plan.Endpoint{Username: "admin@new.example", AuthorizeAs: "alice@new.example", Auth: "xoauth2"}}
	a.Keep = plan.Keep{Delete: true, For: 24 * time.Hour}
	c := handover.New(a, nil)
	if !strings.Contains(c.Kept, " 1 day after") {
		t.Errorf("%s", c.Kept)
	}
	if c.Address != "alice@new.example" || c.Incoming.Username != "alice@new.example" || strings.Contains(c.SignIn, "OAuth") {
		t.Errorf("%+v", c)
	}
}

// TestMasterUser: of a user name with an administrator's in it the card has the user's part,
// and the way in which the administrator signs in is not for it.
func TestMasterUser(t *testing.T) {
	for login, want := range map[string]string{
		"bob@new.example*admin": "bob@new.example", "bob*admin@new.example": "bob", "bob*a*b": "bob",
		"*bob": "*bob", "bob*": "bob*", "bob": "bob",
	} {
		a := plan.Account{Name: "bob", Source: plan.Endpoint{Username: "bob"},
			Destination: plan.Endpoint{Username: login, Auth: "xoauth2"}}
		c := handover.New(a, nil)
		own := want == login
		if c.Address != want || c.Incoming.Username != want || (c.Login == "") != own ||
			strings.Contains(c.SignIn, "OAuth") != own {
			t.Errorf("%s: %+v", login, c)
		}
	}
	a := plan.Account{Source: plan.Endpoint{Username: "bob@old.example*admin"},
		Destination: plan.Endpoint{Username: "admin", AuthorizeAs: "b*b"}}
	if c := handover.New(a, nil); c.Address != "b*b" || c.Incoming.Username != "b*b" || c.Login != "" {
		t.Errorf("%+v", c)
	}
}

// records is a DNS with two SRV records.
type records struct {
	imap  string
	asked int
}

func (r *records) LookupSRV(_ context.Context, service, _, name string) (string, []*net.SRV, error) {
	r.asked++
	switch service {
	case "imaps":
		return name, []*net.SRV{{Target: r.imap + ".", Port: 993}}, nil
	case "submissions":
		return name, []*net.SRV{{Target: "smtp.example.org.", Port: 465}}, nil
	}
	return name, nil, &net.DNSError{IsNotFound: true}
}

func (r *records) LookupMX(context.Context, string) ([]*net.MX, error) {
	return nil, &net.DNSError{IsNotFound: true}
}

// The domain's records count only if they speak of the account's IMAP server: when
// mail moves, they may still name the old provider. One search does for a domain.
func TestSendersAskTheDomain(t *testing.T) {
	config := load(t, accounts)
	refuse := func(context.Context, string, string) (net.Conn, error) { return nil, &net.DNSError{IsNotFound: true} }
	for imap, want := range map[string]string{"imap.new.example": "smtp.example.org", "imap.old.example": ""} {
		dns := &records{imap: imap}
		senders := handover.Senders{Finder: discover.Finder{Resolver: dns, Dial: refuse, Transport: offline{}}}
		for range 3 {
			smtp, err := senders.Of(t.Context(), config.Accounts[0])
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if smtp != nil {
				got = smtp.Host
			}
			if got != want {
				t.Errorf("%s: SMTP server %q, want %q", imap, got, want)
			}
		}
		if dns.asked > 4 {
			t.Errorf("%d questions", dns.asked)
		}
	}
}

// TestSendersByTheOldDomain: it may have moved along with its mail, and then it names the
// server; whoever signs in is the one of the new mailbox.
func TestSendersByTheOldDomain(t *testing.T) {
	senders := handover.Senders{Finder: discover.Finder{Resolver: &records{imap: "imap.new.example"}, Transport: offline{},
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, &net.DNSError{IsNotFound: true} }}}
	a := plan.Account{Source: plan.Endpoint{Username: "alice.old@example.org"}, Destination: plan.Endpoint{Username: "alice"}}
	a.Destination.Host = "imap.new.example"
	smtp, err := senders.Of(t.Context(), a)
	if err != nil || smtp == nil || smtp.Host != "smtp.example.org" || smtp.Username != "alice" {
		t.Errorf("%+v, %v", smtp, err)
	}
}

func TestSendersStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	senders := handover.Senders{Finder: discover.Finder{Resolver: &records{}, Transport: offline{}}}
	if _, err := senders.Of(ctx, load(t, accounts).Accounts[0]); err == nil {
		t.Error("it went on")
	}
}

func TestNamed(t *testing.T) {
	got, err := handover.Named("out.example.net", wire.STARTTLS, "alice")
	if err != nil || *got != (handover.Server{"out.example.net", 587, "STARTTLS", "alice"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := handover.Named("out.example.net:0", wire.Implicit, "alice"); err == nil {
		t.Error("port 0 is a port")
	}
}

// offline is a web without pages.
type offline struct{}

func (offline) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.DNSError{IsNotFound: true}
}
