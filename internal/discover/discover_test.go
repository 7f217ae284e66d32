package discover_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/discover"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/wire"
)

const (
	pop3 = discover.POP3
	imap = discover.IMAP
	smtp = discover.SMTP
)

// is fails unless a server was found, and is "host:port mode user".
func is(t *testing.T, f discover.Findings, p discover.Protocol, address, want string) discover.Server {
	t.Helper()
	s, ok := f.Server(p)
	got := "none: " + strings.Join(f.Notes, "; ")
	if ok {
		got = fmt.Sprintf("%s:%d %s %s", s.Host, s.Port, s.TLS, s.User(address))
	}
	if got != want {
		t.Errorf("%s: %s, want %s", p, got, want)
	}
	return s
}

func TestTheTableNeedsNoNetwork(t *testing.T) {
	found, err := discover.Finder{}.Find(t.Context(), "alice@web.de", pop3, imap, smtp)
	if err != nil {
		t.Fatal(err)
	}
	s := is(t, found, pop3, "alice@web.de", "pop3.web.de:995 implicit alice")
	is(t, found, imap, "bob@web.de", "imap.web.de:993 implicit bob")
	is(t, found, smtp, "alice@web.de", "smtp.web.de:465 implicit alice")
	if !strings.Contains(s.Origin, "WEB.DE") || found.Provider.ID != "webde" {
		t.Errorf("from %q, %q", s.Origin, found.Provider.ID)
	}
}

func TestTheTableSaysWhatThereIsNot(t *testing.T) {
	w := newWorld(t, "pop.icloud.com")
	w.pop("pop.icloud.com:995", popd.Implicit)
	found := w.find(w.finder(), "alice@icloud.com", pop3, imap)
	if _, ok := found.Server(pop3); ok || len(w.asked)+len(w.dialed) > 0 {
		t.Errorf("POP3 was looked for: %v %v", w.asked, w.dialed)
	}
	err := found.Missing(pop3)
	if fault.CodeOf(err) != fault.Config || !strings.Contains(err.Error(), "iCloud has no POP3") {
		t.Error(err)
	}
	is(t, found, imap, "alice@icloud.com", "imap.mail.me.com:993 implicit alice")
}

func TestSRV(t *testing.T) {
	w := newWorld(t, "in.example.org", "late.example.org")
	w.srv["_pop3s._tcp.example.org"] = []*net.SRV{{Target: "gone.example.org.", Port: 995},
		{Target: "in.example.org.", Port: 9950, Priority: 1}}
	w.srv["_imaps._tcp.example.org"] = []*net.SRV{{Target: ".", Port: 0}}
	w.srv["_imap._tcp.example.org"] = []*net.SRV{{Target: "late.example.org.", Port: 143}}
	w.srv["_submission._tcp.example.org"] = []*net.SRV{{Target: "out.example.org.", Port: 587}}
	pops := w.pop("in.example.org:9950", popd.Implicit)
	w.imap("late.example.org:143", imapd.StartTLS)
	found := w.find(w.finder(), "alice@example.org", pop3, imap, smtp)
	if s := is(t, found, pop3, "alice@example.org", "in.example.org:9950 implicit alice@example.org"); len(s.Warnings) > 0 {
		t.Errorf("warnings %q", s.Warnings)
	}
	if s := is(t, found, imap, "alice@example.org", "late.example.org:143 starttls alice@example.org"); len(s.Warnings) > 0 {
		t.Errorf("warnings %q", s.Warnings)
	}
	is(t, found, smtp, "alice@example.org", "out.example.org:587 starttls alice@example.org")
	if c := pops.Counters(); c.Sessions != 1 || len(c.Commands) > 0 {
		t.Errorf("%+v", c)
	}
	// One that can't be reached now is taken if there is no other.
	delete(w.servers, "in.example.org:9950")
	s := is(t, w.find(w.finder(), "alice@example.org", pop3), pop3, "alice@example.org",
		"gone.example.org:995 implicit alice@example.org")
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "not seen at work") {
		t.Errorf("warnings %q", s.Warnings)
	}
}

// A dot as the target says that there is none (RFC 6186 §3.4): then nothing is
// guessed either.
func TestSRVNotOffered(t *testing.T) {
	w := newWorld(t, "pop.example.org")
	w.srv["_pop3s._tcp.example.org"] = []*net.SRV{{Target: "."}}
	w.pop("pop.example.org:995", popd.Implicit)
	found := w.find(w.finder(), "alice@example.org", pop3)
	if s, ok := found.Server(pop3); ok {
		t.Errorf("found %+v", s)
	}
	if err := found.Missing(pop3); !strings.Contains(err.Error(), "there is none") {
		t.Error(err)
	}
}

func TestSRVOutsideOfTheDomain(t *testing.T) {
	for _, host := range []string{"pop.hoster.example", "evilexample.org", "example.org.evil.example"} {
		w := newWorld(t, host)
		w.srv["_pop3s._tcp.example.org"] = []*net.SRV{{Target: host + ".", Port: 995}}
		w.pop(host+":995", popd.Implicit)
		found := w.find(w.finder(), "alice@example.org", pop3)
		s := is(t, found, pop3, "alice@example.org", host+":995 implicit alice@example.org")
		if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "outside of example.org") {
			t.Errorf("%s: warnings %q", host, s.Warnings)
		}
	}
}

// Of a provider that is known it is known what its users log in with, too.
func TestSRVToAKnownProvider(t *testing.T) {
	w := newWorld(t, "mail.runbox.com")
	w.srv["_imaps._tcp.example.org"] = []*net.SRV{{Target: "mail.runbox.com.", Port: 993}}
	w.imap("mail.runbox.com:993", imapd.Implicit)
	found := w.find(w.finder(), "alice@example.org", imap)
	s := is(t, found, imap, "alice@example.org", "mail.runbox.com:993 implicit alice%example.org")
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "at Runbox") || found.Provider.ID != "runbox" {
		t.Errorf("%q, %q", found.Provider.ID, s.Warnings)
	}
}

// What the domain says itself counts for more than who takes its mail.
func TestSRVBeforeMX(t *testing.T) {
	w := newWorld(t, "pop.example.org")
	w.srv["_pop3s._tcp.example.org"] = []*net.SRV{{Target: "pop.example.org.", Port: 995}}
	w.srv["_submissions._tcp.example.org"] = []*net.SRV{{Target: "."}}
	w.mx["example.org"] = []*net.MX{{Host: "aspmx.l.google.com."}}
	w.pop("pop.example.org:995", popd.Implicit)
	found := w.find(w.finder(), "alice@example.org", pop3, imap, smtp)
	is(t, found, pop3, "alice@example.org", "pop.example.org:995 implicit alice@example.org")
	is(t, found, imap, "alice@example.org", "imap.gmail.com:993 implicit alice@example.org")
	if s, ok := found.Server(smtp); ok {
		t.Errorf("SMTP is %+v", s)
	}
}

// Whoever forges DNS has no certificate for the name that is in it.
func TestSRVWithAnotherCertificate(t *testing.T) {
	w := newWorld(t, "somewhere.example")
	w.srv["_pop3s._tcp.example.org"] = []*net.SRV{{Target: "evil.example.", Port: 995}}
	server := w.pop("evil.example:995", popd.Implicit)
	found := w.find(w.finder(), "alice@example.org", pop3)
	if s, ok := found.Server(pop3); ok {
		t.Errorf("found %+v", s)
	}
	if !strings.Contains(found.Missing(pop3).Error(), "certificate") {
		t.Error(found.Missing(pop3))
	}
	if c := server.Counters(); len(c.Commands) > 0 {
		t.Errorf("it was told %v", c.Commands)
	}
}

func TestHostileSRV(t *testing.T) {
	for _, target := range []string{
		"", "..", "-x.example.org.", "a b.example.org.", "127.0.0.1.", "x\x1b[31m.example.org.",
		"x\r\nDELE 1.example.org.", "localhost.", strings.Repeat("a", 64) + ".example.org.",
		strings.Repeat("a.", 200) + "org.", "pop.example.org/../", "user@pop.example.org", "ａ\u202e.org.",
	} {
		w := newWorld(t, "pop.example.org")
		w.srv["_pop3s._tcp.example.org"] = slices.Repeat([]*net.SRV{{Target: target, Port: 995}}, 1000)
		found := w.find(w.finder(), "alice@example.org", pop3)
		if s, ok := found.Server(pop3); ok {
			t.Errorf("%q was used: %+v", target, s)
		}
		if text := found.Missing(pop3).Error(); len(text) > 3000 || strings.ContainsAny(text, "\x1b\r\n\u202e") {
			t.Errorf("%q: %q", target, text)
		}
	}
	w := newWorld(t, "pop.example.org")
	w.srv["_pop3s._tcp.example.org"] = []*net.SRV{{Target: "pop.example.org.", Port: 0}}
	if _, ok := w.find(w.finder(), "alice@example.org", pop3).Server(pop3); ok {
		t.Error("port 0 was used")
	}
}

const config = `<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="example.org">
    <domain>example.org</domain>
    <incomingServer type="imap">
      <hostname>imap.%EMAILDOMAIN%</hostname><port>143</port><socketType>plain</socketType>
      <username>%EMAILADDRESS%</username>
    </incomingServer>
    <incomingServer type="imap">
      <hostname>imap.%EMAILDOMAIN%</hostname><port>993</port><socketType>SSL</socketType>
      <username>%EMAILADDRESS%</username>
    </incomingServer>
    <incomingServer type="pop3">
      <hostname>pop.example.org</hostname><port>110</port><socketType>STARTTLS</socketType>
      <username>u-%EMAILLOCALPART%</username>
    </incomingServer>
    <outgoingServer type="smtp">
      <hostname>out.example.org</hostname><port>465</port><socketType>SSL</socketType>
      <username>%EMAILLOCALPART%</username>
    </outgoingServer>
  </emailProvider>
</clientConfig>`

func TestAutoconfig(t *testing.T) {
	for _, where := range []string{
		"autoconfig.example.org/mail/config-v1.1.xml",
		"example.org/.well-known/autoconfig/mail/config-v1.1.xml",
		"ispdb.example/v1.1/example.org",
	} {
		t.Run(where, func(t *testing.T) {
			w := newWorld(t, "autoconfig.example.org", "example.org", "ispdb.example",
				"imap.example.org", "pop.example.org")
			w.imap("imap.example.org:993", imapd.Implicit)
			w.pop("pop.example.org:110", popd.STLS)
			var told string
			w.pages[where] = func(out http.ResponseWriter, r *http.Request) {
				told = r.URL.Query().Get("emailaddress")
				out.Write([]byte(config))
			}
			f := w.finder()
			f.Database = parse(t, "https://ispdb.example/v1.1/")
			found := w.find(f, "alice+x@example.org", pop3, imap, smtp)
			is(t, found, imap, "alice+x@example.org", "imap.example.org:993 implicit alice+x@example.org")
			is(t, found, pop3, "bob@example.org", "pop.example.org:110 starttls u-bob")
			s := is(t, found, smtp, "bob@example.org", "out.example.org:465 implicit bob")
			if host, _, _ := strings.Cut(where, "/"); !strings.Contains(s.Origin, host) {
				t.Errorf("from %q", s.Origin)
			}
			if strings.HasPrefix(where, "autoconfig") != (told == "alice+x@example.org") {
				t.Errorf("it was told the address %q", told)
			}
		})
	}
}

// TestAddresses: a list of addresses, or a slip, is no address; and mail goes to an address
// or a domain.
func TestAddresses(t *testing.T) {
	for address, ok := range map[string]bool{
		"alice@example.org": true, "alice+x*y/z@example.org": true, `"a,b@c"@example.org`: true,
		"al,ice@example.org": false, "alice@example.org,bob@example.org": false, "a;b@example.org": false,
		"<alice@example.org>": false, "alice@@example.org": false, "alice@example": false, "alice": false, "": false,
	} {
		if err := discover.CheckAddress(address); (err == nil) != ok || err != nil && fault.CodeOf(err) != fault.Usage {
			t.Errorf("%q: %v", address, err)
		}
	}
	for to, ok := range map[string]bool{"alice@example.org": true, "example.org": true, "a,b@example.org": false,
		"new domain": false, "alice": false, "": false} {
		if err := discover.CheckTarget(to); (err == nil) != ok {
			t.Errorf("%q: %v", to, err)
		}
	}
}

// TestOrder: who is nearer to the domain's own word counts, and a guess counts least. Each
// source names a server of its own, and the first that there is has to be taken.
func TestOrder(t *testing.T) {
	const domain = "example.org"
	sources := []struct {
		host string
		add  func(*world)
	}{
		{"srv.example.org", func(w *world) {
			w.srv["_imaps._tcp."+domain] = []*net.SRV{{Target: "srv.example.org.", Port: 993}}
		}},
		{"auto.example.org", func(w *world) {
			w.page("autoconfig.example.org/mail/config-v1.1.xml", strings.ReplaceAll(config, "imap.%EMAILDOMAIN%", "auto.example.org"))
		}},
		{"imap.gmail.com", func(w *world) { w.mx[domain] = []*net.MX{{Host: "aspmx.l.google.com."}} }},
		{"imap.example.org", func(*world) {}},
	}
	for first := range sources {
		w := newWorld(t, "autoconfig.example.org", "srv.example.org", "auto.example.org", "imap.example.org")
		for _, host := range []string{"srv.example.org", "auto.example.org", "imap.example.org"} {
			w.imap(host+":993", imapd.Implicit)
		}
		for _, source := range sources[first:] {
			source.add(w)
		}
		found := w.find(w.finder(), "alice@example.org", imap)
		is(t, found, imap, "alice@example.org", sources[first].host+":993 implicit alice@example.org")
	}
}

func TestPlainHTTPOnlyIfAsked(t *testing.T) {
	w := newWorld(t, "imap.example.org")
	w.imap("imap.example.org:993", imapd.Implicit)
	// The certificate is not for this host: https ends there.
	w.page("autoconfig.example.org/mail/config-v1.1.xml", config)
	f := w.finder()
	found := w.find(f, "alice@example.org", imap)
	s, _ := found.Server(imap)
	if !strings.HasPrefix(s.Origin, "a guess") {
		t.Errorf("from %q", s.Origin)
	}
	if notes := strings.Join(found.Notes, "; "); !strings.Contains(notes, "certificate") ||
		strings.Contains(notes, "alice") {
		t.Error(notes)
	}
	f.AllowHTTP = true
	s, _ = w.find(f, "alice@example.org", imap).Server(imap)
	if !strings.Contains(s.Origin, "autoconfig") || len(s.Warnings) != 1 {
		t.Errorf("from %q, %q", s.Origin, s.Warnings)
	}
}

// A web server may say anything; none of it may be used, repeated raw, or take long.
func TestHostileAutoconfig(t *testing.T) {
	const place = "autoconfig.example.org/mail/config-v1.1.xml"
	redirect := func(to string) http.HandlerFunc {
		return func(out http.ResponseWriter, r *http.Request) { http.Redirect(out, r, to, http.StatusFound) }
	}
	text := func(s string) http.HandlerFunc {
		return func(out http.ResponseWriter, _ *http.Request) { out.Write([]byte(s)) }
	}
	swap := func(old, new string) http.HandlerFunc { return text(strings.ReplaceAll(config, old, new)) }
	entity := `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>` +
		strings.Replace(config, "<username>%EMAILADDRESS%", "<username>&e;", 2)
	for name, page := range map[string]http.HandlerFunc{
		"http":      redirect("http://autoconfig.example.org/plain"),
		"loop":      redirect("https://" + place),
		"file":      redirect("file:///etc/passwd"),
		"server":    func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(500) },
		"large":     text(config + strings.Repeat(" ", 1<<20)),
		"endless":   func(out http.ResponseWriter, _ *http.Request) { flood(out) },
		"entity":    text(entity),
		"deep":      text(strings.Repeat("<a>", 200_000)),
		"cut":       text(config[:len(config)/2]),
		"none":      text(""),
		"html":      text("<html><body>captive portal</body></html>"),
		"charset":   text(strings.Replace(config, "UTF-8", "EBCDIC", 1)),
		"host":      swap("imap.%EMAILDOMAIN%", "imap.example.org\nDELE 1"),
		"address":   swap("imap.%EMAILDOMAIN%", "169.254.1.1"),
		"path":      swap("imap.%EMAILDOMAIN%", "imap.example.org/x"),
		"port":      swap("<port>993</port>", "<port>99999</port>"),
		"words":     swap("<port>993</port>", "<port>imap</port>"),
		"plaintext": swap("<socketType>SSL</socketType>", "<socketType>plain</socketType>"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "autoconfig.example.org", "imap.example.org")
			w.pages[place] = page
			w.page("autoconfig.example.org/plain", config)
			w.says("imap.example.org:1", "* OK\r\n") // the host is there, at no usual port
			found := w.find(w.finder(), "alice@example.org", imap)
			if s, ok := found.Server(imap); ok {
				t.Errorf("found %+v", s)
			}
			if said := found.Missing(imap).Error(); strings.ContainsAny(said, "\x1b\r\n") || len(said) > 3000 ||
				strings.Contains(said, "alice") {
				t.Errorf("said %q", said)
			}
		})
	}
}

func flood(out http.ResponseWriter) {
	block := []byte(strings.Repeat("<x></x>", 10_000))
	out.Write([]byte("<clientConfig>"))
	for range 1000 {
		if _, err := out.Write(block); err != nil {
			return
		}
	}
}

// A few redirects are followed, and the address is in no error.
func TestRedirects(t *testing.T) {
	w := newWorld(t, "autoconfig.example.org", "imap.example.org", "example.net")
	w.imap("imap.example.org:993", imapd.Implicit)
	hops := 0
	w.pages["autoconfig.example.org/mail/config-v1.1.xml"] = func(out http.ResponseWriter, r *http.Request) {
		http.Redirect(out, r, "https://example.net/config", http.StatusMovedPermanently)
	}
	w.page("example.net/config", config)
	if s, _ := w.find(w.finder(), "alice@example.org", imap).Server(imap); !strings.Contains(s.Origin, "autoconfig") {
		t.Errorf("from %q", s.Origin)
	}
	w.pages["example.net/config"] = func(out http.ResponseWriter, r *http.Request) {
		hops++
		http.Redirect(out, r, "https://example.net/config", http.StatusFound)
	}
	w.page("example.org/.well-known/autoconfig/mail/config-v1.1.xml", config) // without a certificate
	found := w.find(w.finder(), "alice@example.org", imap)
	if hops == 0 || hops > 3 {
		t.Errorf("%d redirects", hops)
	}
	if notes := strings.Join(found.Notes, "; "); !strings.Contains(notes, "from one address to the next") ||
		!strings.Contains(notes, "certificate") || strings.Contains(notes, "alice") {
		t.Error(notes)
	}
}

// A user name that holds something else is not used; the address is.
func TestHostileUserName(t *testing.T) {
	w := newWorld(t, "autoconfig.example.org", "imap.example.org")
	w.imap("imap.example.org:993", imapd.Implicit)
	w.page("autoconfig.example.org/mail/config-v1.1.xml",
		strings.ReplaceAll(config, "%EMAILADDRESS%", "x&#10;a LOGOUT&#10;"))
	found := w.find(w.finder(), "alice@example.org", imap)
	is(t, found, imap, "alice@example.org", "imap.example.org:993 implicit alice@example.org")
}

func TestMXLeadsToTheTable(t *testing.T) {
	w := newWorld(t, "x.example")
	w.mx["example.org"] = []*net.MX{{Host: "mx.example.org."}, {Host: "ASPMX.L.GOOGLE.COM.", Pref: 10}}
	found := w.find(w.finder(), "alice@example.org", pop3, imap, smtp)
	s := is(t, found, pop3, "alice@example.org", "pop.gmail.com:995 implicit alice@example.org")
	is(t, found, smtp, "alice@example.org", "smtp.gmail.com:465 implicit alice@example.org")
	if !strings.Contains(s.Origin, "MX record of example.org") || found.Provider.ID != "gmail" {
		t.Errorf("from %q, %q", s.Origin, found.Provider.ID)
	}
	w.mx["runbox.example"] = []*net.MX{{Host: "mx.runbox.com."}}
	is(t, w.find(w.finder(), "alice@runbox.example", imap), imap, "alice@runbox.example",
		"mail.runbox.com:993 implicit alice%runbox.example")
	w.mx["example.net"] = []*net.MX{{Host: "."}} // RFC 7505: takes no mail
	if _, ok := w.find(w.finder(), "alice@example.net", imap).Server(imap); ok {
		t.Error("a server was found where no mail goes")
	}
}

func TestGuesses(t *testing.T) {
	w := newWorld(t, "pop3.example.org", "mail.example.org")
	pops := w.pop("mail.example.org:995", popd.Implicit)
	w.pop("pop3.example.org:995", popd.Implicit)
	w.says("pop.example.org:995", "220 smtp.example.org ESMTP\r\n")
	imaps := w.imap("mail.example.org:143", imapd.StartTLS)
	w.says("mail.example.org:993", "HTTP/1.0 400 Bad Request\r\n\r\n")
	found := w.find(w.finder(), "alice@example.org", pop3, imap)
	s := is(t, found, pop3, "alice@example.org", "pop3.example.org:995 implicit alice@example.org")
	is(t, found, imap, "alice@example.org", "mail.example.org:143 starttls alice@example.org")
	if want := "a guess: pop3.example.org answered as POP3"; s.Origin != want {
		t.Errorf("from %q", s.Origin)
	}
	if c := pops.Counters(); c.Sessions == 0 || c.Logins+c.Commands["USER"]+c.Commands["PASS"]+c.Commands["AUTH"] > 0 {
		t.Errorf("a guess was told %+v", c)
	}
	if c := imaps.Counters(); c.Connections == 0 || c.Logins+c.Refused+c.Commands["LOGIN"]+c.Commands["AUTHENTICATE"] > 0 {
		t.Errorf("a guess was told %+v", c)
	}
}

// No guess speaks clear text, and none has another's certificate.
func TestBadGuesses(t *testing.T) {
	w := newWorld(t, "other.example")
	w.pop("pop.example.org:995", popd.Implicit)
	w.pop("pop.example.org:110", popd.STLS)
	w.pop("mail.example.org:110", popd.Plain)
	found := w.find(w.finder(), "alice@example.org", pop3)
	if s, ok := found.Server(pop3); ok {
		t.Errorf("found %+v", s)
	}
	err := found.Missing(pop3)
	if text := err.Error(); fault.CodeOf(err) != fault.Config || !strings.Contains(text, "pop.example.org:995: certificate not trusted") ||
		!strings.Contains(text, "valid for other.example") || !strings.Contains(err.Hint, "what the certificate is for") ||
		!strings.Contains(err.Hint, "--source-host") {
		t.Errorf("%v; %s", err, err.Hint)
	}
}

// A server without TLS is told of, and its name is no use. What does not answer is nothing.
func TestGuessesWithoutTLS(t *testing.T) {
	w := newWorld(t, "mail.example.org")
	w.pop("mail.example.org:110", popd.Plain)
	found := w.find(w.finder(), "alice@example.org", pop3, imap)
	err := found.Missing(pop3)
	if !strings.Contains(err.Error(), "can't be trusted (POP3 server mail.example.org:110 does not upgrade to TLS)") || !strings.Contains(err.Hint, "help pages") {
		t.Errorf("%v; %s", err, err.Hint)
	}
	if err := found.Missing(imap); !strings.HasSuffix(err.Error(), "and no answer at the usual names") {
		t.Error(err)
	}
}

func TestOnlyWhatIsWanted(t *testing.T) {
	w := newWorld(t, "imap.example.org")
	w.imap("imap.example.org:993", imapd.Implicit)
	w.find(w.finder(), "alice@example.org", imap)
	for _, name := range slices.Concat(w.asked, w.dialed) {
		if strings.Contains(name, "pop") || strings.Contains(name, "submission") {
			t.Errorf("%s was asked for", name)
		}
	}
}

func TestDNSTrouble(t *testing.T) {
	w := newWorld(t, "x.example")
	w.failing = &net.DNSError{Err: "i/o timeout\x1b[31m", Name: "example.org", IsTimeout: true}
	err := w.find(w.finder(), "alice@example.org", pop3).Missing(pop3)
	if fault.CodeOf(err) != fault.Temporary || !strings.Contains(err.Error(), "no answer in time") ||
		strings.Contains(err.Error(), "no SRV record") || !strings.Contains(err.Error(), "who could be asked knows none") ||
		strings.Contains(err.Error(), "\x1b") {
		t.Error(err)
	}
}

// Without a network nobody says that anything was asked.
func TestNoNetwork(t *testing.T) {
	found, err := discover.Finder{}.Find(t.Context(), "alice@example.org", pop3)
	if err != nil {
		t.Fatal(err)
	}
	if err := found.Missing(pop3); strings.Contains(err.Error(), "SRV") || !strings.Contains(err.Hint, "--source-host") {
		t.Errorf("%v; %s", err, err.Hint)
	}
}

func TestStopped(t *testing.T) {
	w := newWorld(t, "x.example")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.finder().Find(ctx, "alice@example.org", pop3); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNoAddress(t *testing.T) {
	for _, address := range []string{
		"", "alice", "@example.org", "alice@", "alice@localhost", "a b@example.org", "alice@exa mple.org",
		"alice@example.org\r\nx", "alice@192.0.2.1", "alice@-.org", strings.Repeat("a", 400) + "@example.org",
	} {
		if _, err := (discover.Finder{}).Find(t.Context(), address, pop3); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%.40q: %v", address, err)
		}
	}
}

func TestNamed(t *testing.T) {
	for where, want := range map[string]string{
		"mail.example.org":      "mail.example.org:110",
		"mail.example.org:8110": "mail.example.org:8110",
	} {
		s, err := discover.Named(pop3, where, wire.STARTTLS, "example.org")
		if got := fmt.Sprintf("%s:%d", s.Host, s.Port); err != nil || got != want ||
			s.User("alice@example.org") != "alice@example.org" {
			t.Errorf("%s is %s, %v", where, got, err)
		}
	}
	for _, where := range []string{"", ":995", "x:", "x:0", "x:99999", "x:y", "a b"} {
		if s, err := discover.Named(pop3, where, wire.Implicit, "example.org"); err == nil {
			t.Errorf("%q is %+v", where, s)
		}
	}
}
