package discover_test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/discover"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/wire"
)

// drafted is the drafts, one line each.
func drafted(t *testing.T, f discover.Finder, w discover.Wish) string {
	t.Helper()
	drafts, err := f.Drafts(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, d := range drafts {
		lines = append(lines, fmt.Sprintf("%s: %s:%d %s -> %s:%d %s different=%v", d.Name, d.Source.Server.Host,
			d.Source.Server.Port, d.Source.Username, d.Destination.Server.Host, d.Destination.Server.Port,
			d.Destination.Username, d.DifferentUser))
	}
	load(t, write(t, drafts...))
	return strings.Join(lines, "\n")
}

func TestDrafts(t *testing.T) {
	at := func(host string) discover.Place { return discover.Place{Host: host, TLS: wire.Implicit} }
	for name, c := range map[string]struct {
		wish discover.Wish
		want string
	}{
		"to an address": {discover.Wish{Addresses: []string{"alice@gmx.de"}, To: "a.adams@fastmail.com"},
			"alice@gmx.de: pop.gmx.net:995 alice@gmx.de -> imap.fastmail.com:993 a.adams@fastmail.com different=true"},
		"to a domain": {discover.Wish{Addresses: []string{"alice@gmx.de", "bob@web.de"}, To: "posteo.de"},
			"alice@gmx.de: pop.gmx.net:995 alice@gmx.de -> posteo.de:993 alice@posteo.de different=false\n" +
				"bob@web.de: pop3.web.de:995 bob -> posteo.de:993 bob@posteo.de different=false"},
		"the same twice": {discover.Wish{Addresses: []string{"alice@gmx.de", "Alice@GMX.de", "alice@gmx.de"}, To: "posteo.de"},
			"alice@gmx.de: pop.gmx.net:995 alice@gmx.de -> posteo.de:993 alice@posteo.de different=false"},
		"to another server": {discover.Wish{Addresses: []string{"alice@example.org"},
			Source: at("pop.old.example"), Destination: at("imap.new.example:1993")},
			"alice@example.org: pop.old.example:995 alice@example.org -> " +
				"imap.new.example:1993 alice@example.org different=false"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := drafted(t, discover.Finder{}, c.wish); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

// TestNamesakes: that two people's mail may come into one mailbox is said beside it.
func TestNamesakes(t *testing.T) {
	drafts, err := discover.Finder{}.Drafts(t.Context(), discover.Wish{To: "posteo.de",
		Addresses: []string{"kim@gmx.de", "lee@gmx.de", "Kim@web.de"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"the mail of Kim@web.de goes to the same mailbox", "", "the mail of kim@gmx.de goes to the same mailbox"} {
		if got := strings.Join(drafts[i].Destination.Server.Warnings, "\n"); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q", drafts[i].Name, got)
		}
	}
	if text := string(write(t, drafts...)); strings.Count(text, "# WARNING: the mail of") != 2 {
		t.Error(text)
	}
}

// A hundred addresses of a domain are one search.
func TestDraftsAskOnce(t *testing.T) {
	w := newWorld(t, "pop.example.org")
	w.pop("pop.example.org:995", popd.Implicit)
	var told []string
	wish := discover.Wish{To: "gmail.com", Tell: func(p discover.Protocol, domain string) {
		told = append(told, string(p)+" "+domain)
	}}
	for i := range 100 {
		wish.Addresses = append(wish.Addresses, fmt.Sprintf("user%d@example.org", i))
	}
	if got := drafted(t, w.finder(), wish); strings.Count(got, "-> imap.gmail.com") != 100 {
		t.Error(got)
	}
	if want := []string{"POP3 example.org"}; !slices.Equal(told, want) {
		t.Errorf("told of %q", told)
	}
	if n := len(w.asked); n > 3 {
		t.Errorf("%d questions to the DNS: %v", n, w.asked)
	}
}

func TestDraftsTellAllThatIsMissing(t *testing.T) {
	w := newWorld(t, "x.example")
	_, err := w.finder().Drafts(t.Context(), discover.Wish{To: "gmail.com", Addresses: []string{
		"alice@icloud.com", "bob@icloud.com", "carol@example.org", "dave@gmx.de", "eve"}})
	if fault.CodeOf(err) != fault.Usage {
		t.Error(fault.CodeOf(err))
	}
	for want, times := range map[string]int{"iCloud has no POP3": 1, "no POP3 server found for example.org": 1,
		`"eve" is no mail address`: 1, "gmx": 0} {
		if got := strings.Count(err.Error(), want); got != times {
			t.Errorf("%q is told %d times in %q", want, got, err)
		}
	}
}

func TestDraftsAskThePerson(t *testing.T) {
	w := newWorld(t, "x.example")
	var asked []string
	wish := discover.Wish{To: "example.net", Addresses: []string{"alice@example.org", "bob@example.org"},
		Source: discover.Place{TLS: wire.Implicit}, Destination: discover.Place{TLS: wire.Implicit},
		Ask: func(p discover.Protocol, domain string) (string, error) {
			asked = append(asked, string(p)+" "+domain)
			return "box." + domain, nil
		}}
	got := drafted(t, w.finder(), wish)
	if strings.Count(got, "box.example.org:995 ") != 2 || strings.Count(got, "-> box.example.net:993 ") != 2 {
		t.Error(got)
	}
	if want := []string{"POP3 example.org", "IMAP example.net"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
	gone := errors.New("the terminal is gone")
	wish.Ask = func(discover.Protocol, string) (string, error) { return "", gone }
	if _, err := w.finder().Drafts(t.Context(), wish); !errors.Is(err, gone) {
		t.Error(err)
	}
}

func TestDraftsToTheSameMailbox(t *testing.T) {
	for _, to := range []string{"", "alice@GMX.de", "gmx.de"} {
		_, err := (discover.Finder{}).Drafts(t.Context(), discover.Wish{Addresses: []string{"alice@gmx.de"}, To: to})
		if fault.CodeOf(err) != fault.Usage || !strings.Contains(err.Error(), "same mailbox") {
			t.Errorf("%q: %v", to, err)
		}
	}
}

// What was found over the network loads too, warnings and all.
func TestDraftsFromTheNetwork(t *testing.T) {
	w := newWorld(t, "pop.hoster.example", "imap.example.net")
	w.srv["_pop3s._tcp.example.org"] = []*net.SRV{{Target: "pop.hoster.example.", Port: 995}}
	w.pop("pop.hoster.example:995", popd.Implicit)
	w.imap("imap.example.net:143", imapd.StartTLS)
	got := drafted(t, w.finder(), discover.Wish{Addresses: []string{"alice@example.org"}, To: "example.net"})
	if want := "alice@example.org: pop.hoster.example:995 alice@example.org -> " +
		"imap.example.net:143 alice@example.net different=false"; got != want {
		t.Error(got)
	}
}
