package provider

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// TestEveryEntry holds what each file must keep to, since nobody looks at them
// all together again.
func TestEveryEntry(t *testing.T) {
	all := index().all
	if len(all) < 60 {
		t.Fatalf("%d providers only", len(all))
	}
	names := map[string]string{}
	for _, p := range all {
		t.Run(p.ID, func(t *testing.T) {
			if p.Name == "" || names[p.Name] != "" {
				t.Errorf("the name %q is empty, or %s's too", p.Name, names[p.Name])
			}
			names[p.Name] = p.ID
			if len(p.Domains)+len(p.MX) == 0 || len(p.Hosts) == 0 {
				t.Error("it can't be found")
			}
			for _, list := range [][]string{p.Domains, p.Hosts, p.MX} {
				for _, name := range list {
					checkName(t, strings.TrimPrefix(name, "*."))
				}
			}
			checkServers(t, p)
			checkAccess(t, p)
			checkWords(t, p)
			checkHelp(t, p)
			checkForbidden(t, p)
		})
	}
}

// checkForbidden keeps to what names of folders can be mapped by: a character that is no
// letter, digit or separator, and a name without such characters.
func checkForbidden(t *testing.T, p Provider) {
	t.Helper()
	for _, c := range p.Forbidden.Characters {
		if c <= ' ' || c >= 0x7f || c == '/' || c == '=' || regexp.MustCompile(`[0-9A-Za-z]`).MatchString(string(c)) {
			t.Errorf("%q can't be mapped", c)
		}
	}
	for _, name := range p.Forbidden.Names {
		if name == "" || strings.ContainsAny(name, "/="+p.Forbidden.Characters) || strings.TrimSpace(name) != name {
			t.Errorf("%q can't be mapped", name)
		}
	}
}

// checkHelp keeps a provider from being added without the page that check shows last of all.
func checkHelp(t *testing.T, p Provider) {
	t.Helper()
	if p.Help == "" {
		t.Error("there is no page to open")
	}
}

var host = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+([a-z]{2,63}|[0-9]{1,3})$`)

func checkName(t *testing.T, name string) {
	t.Helper()
	if !host.MatchString(name) {
		t.Errorf("%q is no name of a host", name)
	}
}

// ports are where a protocol is spoken in each TLS mode (RFC 8314 §3, RFC 6409 §3).
var ports = map[string]map[string]int{
	"implicit": {"POP3": 995, "IMAP": 993, "SMTP": 465},
	"starttls": {"POP3": 110, "IMAP": 143, "SMTP": 587},
}

func checkServers(t *testing.T, p Provider) {
	t.Helper()
	for protocol, s := range map[string]*Server{"POP3": p.POP3, "IMAP": p.IMAP, "SMTP": p.SMTP} {
		if s == nil {
			continue
		}
		checkName(t, s.Host)
		if s.Username != Address && s.Username != LocalPart && s.Username != Percent {
			t.Errorf("%s: the user name's form %q is not known", protocol, s.Username)
		}
		if s.Host == "127.0.0.1" { // a program on the user's own machine has its own ports
			continue
		}
		if want := ports[s.TLS][protocol]; want == 0 || s.Port != want {
			t.Errorf("%s: port %d with TLS %q", protocol, s.Port, s.TLS)
		}
		if _, ok := ByHost(s.Host); !ok {
			t.Errorf("%s: nobody has the host %s", protocol, s.Host)
		}
	}
	if (p.POP3 == nil) != p.Has("no-pop3") {
		t.Error("a provider has POP3, or says that it has not")
	}
	if p.IMAP == nil && !p.Has("no-imap") {
		t.Error("a provider has IMAP, or says that it has not")
	}
}

func checkAccess(t *testing.T, p Provider) {
	t.Helper()
	switch p.Access.Password {
	case AccountPassword, AppPassword, AppPasswordWith2FA:
	case NoPassword:
		if !p.Access.OAuth && p.IMAP != nil {
			t.Error("nobody can sign in")
		}
	default:
		t.Errorf("the password %q is not known", p.Access.Password)
	}
	if p.Access.Service != "" && !p.Access.OAuth {
		t.Error("whose OAuth?")
	}
	if s := p.SwitchOn; s != nil && s.Where == "" {
		t.Error("switched on where?")
	}
}

var flag = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func checkWords(t *testing.T, p Provider) {
	t.Helper()
	pages := []string{p.Help, p.Access.Page}
	if p.SwitchOn != nil {
		pages = append(pages, p.SwitchOn.Page)
	}
	seen := map[string]bool{}
	for _, q := range p.Quirks {
		if !flag.MatchString(q.Flag) || seen[q.Flag] || q.Text == "" || strings.Contains(q.Text, "\n") {
			t.Errorf("quirk %q: %q", q.Flag, q.Text)
		}
		seen[q.Flag] = true
	}
	for _, r := range p.Refusals {
		if r.Match == "" || r.Match != strings.ToLower(r.Match) || r.Cause.Cause == "" || r.Check == "" {
			t.Errorf("refusal %q: %+v", r.Match, r.Cause)
		}
		if got, ok := p.Diagnose("-ERR [AUTH] "+strings.ToUpper(r.Match)+"\r\n", false); !ok || got.Cause == "" {
			t.Errorf("%q is not recognised", r.Match)
		}
		if p.Access.OAuth && !r.Passwords && strings.Contains(r.Cause.Cause+r.Check, "password") {
			t.Errorf("refusal %q speaks of a password to who showed a token", r.Match)
		}
		pages = append(pages, r.Page)
	}
	for _, page := range pages {
		if u, err := url.Parse(page); page != "" && (err != nil || u.Scheme != "https" || u.Host == "" ||
			u.User != nil) {
			t.Errorf("%q is no https page", page)
		}
	}
}

// TestDecodeIsStrict keeps a typing mistake in a file from being overlooked.
func TestDecodeIsStrict(t *testing.T) {
	if _, err := decode(`{"name": "x"}`); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		``, `{"nmae": "x"}`, `{"name": "x"} {}`, `{"name": "x"} x`, `{"pop3": {"prot": 995}}`,
		`{"refusals": [{"match": "x", "casue": "y"}]}`, `[]`, `{"limits": {"page": "250"}}`,
	} {
		if _, err := decode(text); err == nil {
			t.Errorf("%s was read", text)
		}
	}
}

func TestNoNameHasTwoOwners(t *testing.T) {
	all := index()
	again := &Provider{ID: "again", Domains: []string{"gmail.com"}}
	if err := all.add(again); err == nil {
		t.Error("gmail.com has two owners")
	}
	if p, _ := ByDomain("gmail.com"); p.ID != "gmail" {
		t.Errorf("gmail.com is %s's", p.ID)
	}
}
