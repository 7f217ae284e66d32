package check_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// TestRefusedLogins: the three lines for what POP3 and IMAP servers say.
func TestRefusedLogins(t *testing.T) {
	for name, c := range map[string]struct {
		pop, imap string
		code      fault.Code
		topic     string
		words     string
	}{
		"POP3, app password": {pop: "-ERR [AUTH] Application-specific password required\r\n", code: fault.Credentials,
			topic: "app-password"},
		"POP3, switched off": {pop: "-ERR [AUTH] POP3 access is disabled\r\n", code: fault.Credentials,
			topic: "switched-off"},
		"POP3, locked":      {pop: "-ERR [IN-USE] lock\r\n", code: fault.Temporary, topic: "maildrop-locked"},
		"POP3, hostile":     {pop: "-ERR \x1b[2J" + strings.Repeat("x", 400) + "\r\n", code: fault.Credentials, topic: "login-refused", words: `\x1b[2J`},
		"POP3, too often":   {pop: "-ERR Exceeded the login limit for a 15 minute period\r\n", code: fault.Temporary, topic: "locked-out"},
		"POP3, mail checks": {pop: "-ERR minimum time between mail checks violation\r\n", code: fault.Temporary, topic: "login-delay"},
		"POP3, lock":        {pop: "-ERR Could not lock mailbox\r\n", code: fault.Temporary, topic: "maildrop-locked"},
		"POP3, busy":        {pop: "-ERR mailbox is busy\r\n", code: fault.Temporary, topic: "maildrop-locked"},
		"POP3, quota":       {pop: "-ERR [SYS/PERM] Mailbox over quota\r\n", code: fault.Refused, topic: "quota"},
		"POP3, a device":    {pop: "-ERR Device not registered; pending approval\r\n", code: fault.Credentials, topic: "device-approval"},
		"IMAP, quota":       {imap: "NO [OVERQUOTA] mailbox full", code: fault.Refused, topic: "quota"},
		"IMAP, plain no":    {imap: "NO no", code: fault.Credentials, topic: "login-refused"},
		"IMAP, Exchange":    {imap: "NO User is authenticated but not connected.", code: fault.Credentials, topic: "not-connected"},
		"IMAP, expired":     {imap: "NO [EXPIRED] old", code: fault.Credentials, topic: "password-expired"},
		"IMAP, too many":    {imap: "NO [LIMIT] Too many simultaneous connections", code: fault.Temporary, topic: "too-many-connections"},
		"IMAP, mechanism":   {imap: "BAD Unknown authentication mechanism", code: fault.Protocol, topic: "wrong-auth"},
		"IMAP, locked":      {imap: "NO Mailbox is locked by POP server", code: fault.Temporary, topic: "maildrop-locked"},
		"IMAP, in use":      {imap: "NO [INUSE] Mailbox in use", code: fault.Temporary, topic: "maildrop-locked"},
		"IMAP, unavailable": {imap: "NO [UNAVAILABLE] backend down", code: fault.Temporary, topic: "server-trouble"},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := popd.Options{}, imapd.Options{}
			if c.pop != "" {
				from.Reply = replying(map[string]string{"AUTH": c.pop, "PASS": c.pop})
			}
			if c.imap != "" {
				to.Reply = func(e imapd.Event) imapd.Action {
					if e.Stage == imapd.AtCommand && e.Command == "AUTHENTICATE" {
						return imapd.Action{Reply: c.imap}
					}
					return imapd.Action{}
				}
			}
			account := newStage(t, from, to).account
			account.Source.Auth, account.Destination.Auth = "plain", "plain"
			a := run(t, account).Accounts[0]
			broken, well := a.Source.Side, a.Destination.Side
			if c.imap != "" {
				broken, well = well, broken
			}
			wantProblem(t, broken, well, c.code, c.topic, c.words)
		})
	}
}

// TestUnknownMechanism: what auth: names and a server does not have is told of with what it
// has.
func TestUnknownMechanism(t *testing.T) {
	for _, auth := range []string{"cram-md5", "xoauth2"} {
		s := newStage(t, popd.Options{}, imapd.Options{})
		s.account.Source.Auth = auth
		a := run(t, s.account).Accounts[0]
		wantProblem(t, a.Source.Side, a.Destination.Side, fault.Config, "wrong-auth", "set auth: auto", "SASL mechanisms that it offers: PLAIN")
		s = newStage(t, popd.Options{}, imapd.Options{})
		s.account.Destination.Auth = auth
		a = run(t, s.account).Accounts[0]
		wantProblem(t, a.Destination.Side, a.Source.Side, fault.Config, "wrong-auth", "set auth: auto", "SASL mechanisms that the server offers: PLAIN")
	}
}

// TestLoginDelay: the wait that the server wants is told, also where only its provider's pages
// tell it.
func TestLoginDelay(t *testing.T) {
	s := newStage(t, popd.Options{LoginDelay: 5 * time.Minute}, imapd.Options{})
	if a := run(t, s.account).Accounts[0]; a.Source.LoginDelay != 300 || !a.Source.OK {
		t.Fatalf("%+v", a.Source)
	}
	a := run(t, s.account).Accounts[0]
	wantProblem(t, a.Source.Side, a.Destination.Side, fault.Temporary, "login-delay", "wait 5m")
	for delay, want := range map[time.Duration]float64{0: 60, 5 * time.Second: 5} {
		s = newStage(t, popd.Options{LoginDelay: delay}, imapd.Options{})
		s.account.Source.Host, s.account.Source.AllowPlaintext = "ssl0.ovh.net", true
		a = run(t, s.account).Accounts[0]
		note := "wait " + fault.Span(time.Duration(want)*time.Second) + " before a run"
		if a.Source.LoginDelay != want || !strings.Contains(strings.Join(a.Notes, "\n"), note) {
			t.Errorf("announced %v: %v, %q", delay, a.Source.LoginDelay, a.Notes)
		}
	}
}

// listening puts the POP3 server on a real socket: over a pipe, a TLS alert waits for
// a reader.
func listening(t *testing.T, s *stage) {
	t.Helper()
	address, err := s.pop.Listen()
	if err != nil {
		t.Fatal(err)
	}
	s.account.Source.Port, s.account.Source.Dial = address.Port, nil
}

func secured(t *testing.T, keys *certs.Pair, s *stage) {
	t.Helper()
	files, err := keys.WriteFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.account.Source.TLS, s.account.Source.CAFile = wire.Implicit, files.CA
	listening(t, s)
}

// TestTrust: certificates of all bad kinds, through real handshakes.
func TestTrust(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		options certs.Options
		change  func(*testing.T, *stage)
		code    fault.Code
		topic   string
		words   string
	}{
		"expired": {certs.Options{NotAfter: now.Add(-time.Hour)}, nil, fault.TLS, "certificate-expired", "tls_pin: sha256:"},
		"early": {certs.Options{NotBefore: now.Add(time.Hour), NotAfter: now.Add(48 * time.Hour)}, nil, fault.TLS,
			"certificate-not-yet-valid", ""},
		"name": {certs.Options{Hosts: []string{"mail.example.org"}}, nil, fault.TLS, "certificate-name", "mail.example.org"},
		"unknown": {certs.Options{}, func(t *testing.T, s *stage) {
			other, err := certs.New(certs.Options{})
			if err != nil {
				t.Fatal(err)
			}
			secured(t, other, s)
		}, fault.TLS, "certificate-unknown-ca", "tls_pin: sha256:"},
		"pin": {certs.Options{}, func(_ *testing.T, s *stage) {
			s.account.Source.CAFile, s.account.Source.Pin = "", "sha256:"+strings.Repeat("00", 32)
		}, fault.TLS, "pin-changed", "it is sha256:"},
		"no CA file": {certs.Options{}, func(t *testing.T, s *stage) {
			s.account.Source.CAFile = filepath.Join(t.TempDir(), "none")
		}, fault.Config, "", "check the path"},
		"old": {certs.Options{}, func(_ *testing.T, s *stage) {
			s.pop.Configure(func(o *popd.Options) { o.TLS.MaxVersion = tls.VersionTLS11; o.TLS.MinVersion = tls.VersionTLS10 })
		}, fault.TLS, "old-tls", ""},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := certs.New(c.options)
			if err != nil {
				t.Fatal(err)
			}
			s := newStage(t, popd.Options{Mode: popd.Implicit, TLS: keys.Server()}, imapd.Options{})
			secured(t, keys, s)
			if c.change != nil {
				c.change(t, s)
			}
			a := run(t, s.account).Accounts[0]
			wantProblem(t, a.Source.Side, a.Destination.Side, c.code, c.topic, c.words)
			if n := s.pop.Counters().Logins; n > 0 {
				t.Errorf("%d logins", n)
			}
		})
	}
}

// TestSelfSigned: such a certificate has the remedy of its own.
func TestSelfSigned(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s := newStage(t, popd.Options{Mode: popd.Implicit, TLS: config}, imapd.Options{})
	s.account.Source.TLS = wire.Implicit
	listening(t, s)
	a := run(t, s.account).Accounts[0]
	wantProblem(t, a.Source.Side, a.Destination.Side, fault.TLS, "self-signed", "tls_pin: sha256:")
}

// TestRootInTheChain: a server that sends its private authority along did not sign for itself.
func TestRootInTheChain(t *testing.T) {
	keys, err := certs.New(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := certs.New(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	config := keys.Server()
	root, _ := pem.Decode(keys.CAPEM)
	config.Certificates[0].Certificate = append(config.Certificates[0].Certificate, root.Bytes)
	s := newStage(t, popd.Options{Mode: popd.Implicit, TLS: config}, imapd.Options{})
	secured(t, other, s)
	for _, file := range []string{"", s.account.Source.CAFile} {
		s.account.Source.CAFile = file
		a := run(t, s.account).Accounts[0]
		wantProblem(t, a.Source.Side, a.Destination.Side, fault.TLS, "certificate-unknown-ca", "tls_pin: sha256:")
	}
}

// TestWrongServers: what answers is something else, or speaks TLS at another time.
func TestWrongServers(t *testing.T) {
	keys, err := certs.New(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	answering := func(text string) wire.DialFunc {
		return func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				io.WriteString(server, text)
				io.Copy(io.Discard, server)
			}()
			return client, nil
		}
	}
	plain := newStage(t, popd.Options{}, imapd.Options{})
	listening(t, plain)
	listener := func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, plain.account.Source.Address())
	}
	imap := imapd.New(imapd.Options{})
	implicit := popd.New(popd.Options{Mode: popd.Implicit, TLS: keys.Server()})
	t.Cleanup(func() { imap.Close(); implicit.Close() })
	for name, c := range map[string]struct {
		dial  wire.DialFunc
		mode  wire.TLSMode
		code  fault.Code
		topic string
	}{
		"HTTP":             {answering("HTTP/1.1 400 Bad Request\r\n\r\n"), wire.None, fault.Protocol, "web-server"},
		"SMTP":             {answering("220 mail ESMTP\r\n"), wire.None, fault.Protocol, "smtp-port"},
		"IMAP":             {imap.Dial, wire.None, fault.Protocol, "other-protocol"},
		"SSH":              {answering("SSH-2.0-OpenSSH_9\r\n"), wire.None, fault.Protocol, "no-mail-server"},
		"TLS to plain":     {listener, wire.Implicit, fault.Config, "tls-not-spoken"},
		"plain to TLS":     {implicit.Dial, wire.None, fault.Config, "tls-expected"},
		"no STLS":          {popd.New(popd.Options{}).Dial, wire.STARTTLS, fault.TLS, "starttls-missing"},
		"refused":          {nil, wire.None, fault.Temporary, "connection-refused"},
		"a greeting of no": {answering("-ERR too busy\r\n"), wire.None, fault.Temporary, "server-trouble"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, popd.Options{}, imapd.Options{})
			s.account.Source.Dial, s.account.Source.TLS = c.dial, c.mode
			s.account.Source.Port = 20110
			s.account.Source.Limits = wire.Limits{Greeting: time.Second, Probe: 20 * time.Second}
			if c.dial == nil {
				s.account.Source.Port = closedPort(t)
			}
			a := run(t, s.account).Accounts[0]
			wantProblem(t, a.Source.Side, a.Destination.Side, c.code, c.topic)
		})
	}
}

// TestNoUIDValidity: what ends a run is no surprise after a check.
func TestNoUIDValidity(t *testing.T) {
	s := newStage(t, popd.Options{}, imapd.Options{NoUIDValidity: true})
	a := run(t, s.account).Accounts[0]
	if p := a.Destination.Problem; p == nil || a.ExitCode != fault.Protocol || !strings.Contains(p.Symptom, "UIDVALIDITY") {
		t.Errorf("exit %d, %+v", a.ExitCode, a.Destination.Problem)
	}
}

func closedPort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// TestTooRare: mail would be gone before a bridge came for it.
func TestTooRare(t *testing.T) {
	for days, want := range map[int][]string{2: {"too-rare"}, 3: nil} {
		s := newStage(t, popd.Options{Capabilities: []string{fmt.Sprint("EXPIRE ", days)}}, imapd.Options{})
		s.account.Pace.Interval = 48 * time.Hour
		s.account.Destination.Secret = secret.New("another")
		if got := topics(run(t, s.account).Accounts[0].Warnings); !slices.Equal(got, want) {
			t.Errorf("EXPIRE %d: %q, want %q", days, got, want)
		}
	}
}

// TestDestinationWarnings: what works now and would not go well.
func TestDestinationWarnings(t *testing.T) {
	big := "Subject: big\r\n\r\n" + strings.Repeat("line\r\n", 400)
	for name, c := range map[string]struct {
		folder string
		to     imapd.Options
		make   []string
		want   []string
		words  string
	}{
		"not enough room":      {"INBOX", imapd.Options{Quota: 1024}, nil, []string{"quota"}, "2.4 kB are waiting and the destination's quota leaves 1.0 kB"},
		"just enough messages": {"INBOX", imapd.Options{Quota: 1 << 30, QuotaMessages: 1}, []string{}, nil, ""},
		"too large":            {"INBOX", imapd.Options{AppendLimit: 300}, nil, []string{"too-large"}, "takes 300 B"},
		"not subscribed":       {"Old", imapd.Options{}, []string{"Old"}, []string{"not-subscribed"}, "Old is not subscribed"},
		"another case":         {"old", imapd.Options{}, []string{"Old"}, []string{"folder-case"}, "old is not there, but Old is"},
		"the server's own folder": {"Sent", imapd.Options{SpecialUse: map[string]string{"Gesendet": `\Sent`}},
			[]string{"Gesendet"}, []string{"special-folder"}, `set folder: \Sent`},
		"by use": {`\Sent`, imapd.Options{SpecialUse: map[string]string{"Gesendet": `\Sent`}}, []string{"Gesendet"},
			[]string{"not-subscribed"}, "Gesendet"},
		"new": {"New", imapd.Options{Prefix: "INBOX."}, nil, nil, "folder INBOX.New is not there; the first run makes it"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, popd.Options{}, c.to, big)
			for _, box := range c.make {
				s.imap.User("alice").Create(box)
			}
			s.account.Folder = c.folder
			s.account.Destination.Secret = secret.New("another")
			r := run(t, s.account)
			a := r.Accounts[0]
			if got := topics(a.Warnings); !slices.Equal(got, c.want) || r.ExitCode != fault.OK {
				t.Errorf("exit %v, warnings %q, want %q", r.ExitCode, got, c.want)
			}
			if all := fmt.Sprint(a.Warnings, a.Notes); !strings.Contains(all, c.words) {
				t.Errorf("%q is not in %s", c.words, all)
			}
		})
	}
}

// TestNamespace: a name that the server can't have is written in another form, which a
// person may not want, and one with the prefix of another server was not meant so.
func TestNamespace(t *testing.T) {
	for _, c := range []struct{ folder, prefix, symptom, check string }{
		{"Old.Mail", "INBOX.", "folder Old.Mail is called INBOX.Old=2EMail", "not INBOX.Lists.Go"},
		{"Lists/go.org", "INBOX.", "folder Lists/go.org is called INBOX.Lists.go=2Eorg", "nothing, if that name will do"},
		{"100%", "", "folder 100% is called 100=25", "nothing, if that name will do"},
		{"Inbox.Old.x", "", "folder Inbox.Old.x has the prefix of another server", "not INBOX.Lists.Go"},
		{"INBOX/Sub", "Mail^", "folder INBOX/Sub would be called INBOX^Sub on this server, where the user's folders begin with Mail^",
			"without the server's prefix"},
		{"INBOX/Sub", "INBOX.", "", ""},
		{"Mail/Sub", "Mail^", "", ""},
		{"INBOX.Old.x", "INBOX.", "", ""},
		{"INBOX.There", "", "", ""},
		{"INBOX/Old.x", "", "", ""},
	} {
		s := newStage(t, popd.Options{}, imapd.Options{Prefix: c.prefix})
		if c.folder == "INBOX.There" {
			s.imap.User("alice").Create(c.folder)
		}
		s.account.Folder, s.account.Destination.Secret = c.folder, secret.New("another")
		r := run(t, s.account)
		symptom, check := "", ""
		for _, w := range r.Accounts[0].Warnings {
			if w.Topic == "namespace" {
				symptom, check = w.Symptom, w.Check
			}
		}
		if r.ExitCode != fault.OK || (c.symptom == "") != (symptom == "") || !strings.Contains(symptom, c.symptom) ||
			!strings.Contains(check, c.check) {
			t.Errorf("%s: %v %q, %q", c.folder, r.ExitCode, symptom, check)
		}
	}
}

// TestNamesAProviderForbids: check says what a run will call such folders, though their
// names have a "=" already.
func TestNamesAProviderForbids(t *testing.T) {
	s := newStage(t, popd.Options{}, imapd.Options{})
	s.account.Destination.Secret = secret.New("another")
	s.account.Destination.Ways.Forbidden = plan.Forbidden{Characters: "^", Names: []string{"Files"}}
	s.account.Folder, s.account.Routes = "Files", []plan.Route{{Folder: "a=b^c"}}
	a := run(t, s.account).Accounts[0]
	if got := topics(a.Warnings); !slices.Equal(got, []string{"namespace", "namespace"}) ||
		!strings.Contains(a.Warnings[0].Symptom, "folder Files is called =Files on this server, which forbids") ||
		!strings.Contains(a.Warnings[1].Symptom, "folder a=b^c is called a=b=5Ec on this server, which forbids") {
		t.Errorf("%+v", a.Warnings)
	}
}

// TestRoutes: every folder that mail may go to is looked at, each once.
func TestRoutes(t *testing.T) {
	s := newStage(t, popd.Options{}, imapd.Options{})
	s.imap.User("alice").Create("Lists")
	s.account.Destination.Secret = secret.New("another")
	for _, folder := range []string{"Lists", "INBOX", "Archive/{year}", "New", "Lists"} {
		s.account.Routes = append(s.account.Routes, plan.Route{Folder: folder})
	}
	a := run(t, s.account).Accounts[0]
	if got := topics(a.Warnings); !slices.Equal(got, []string{"not-subscribed"}) ||
		!strings.Contains(fmt.Sprint(a.Notes), "folder New is not there") {
		t.Errorf("warnings %q, notes %q", got, a.Notes)
	}
	if d := a.Destination; len(d.Routed) != 3 || d.Folder.Mailbox != "INBOX" || s.imap.Counters().Commands["CREATE"] > 0 {
		t.Errorf("%+v", d.Routed)
	}
	if strings.Contains(fmt.Sprint(a.Notes), "Archive") {
		t.Errorf("a date in a name is no folder that is missing: %q", a.Notes)
	}
}

// TestDatedRoutes: of a folder with a date in its name it is told what the server calls it.
func TestDatedRoutes(t *testing.T) {
	to := imapd.Options{Prefix: "INBOX.", SpecialUse: map[string]string{"INBOX.Archiv": `\Archive`}}
	s := newStage(t, popd.Options{}, to)
	s.imap.User("alice").Create("INBOX.Archiv")
	s.account.Destination.Secret = secret.New("another")
	for _, folder := range []string{`\Archive/{year}`, "Lists {year}/{month}", "go.org/{year}", `\Sent/{year}`} {
		s.account.Routes = append(s.account.Routes, plan.Route{Folder: folder})
	}
	a := run(t, s.account).Accounts[0]
	var got []string
	for _, f := range a.Destination.Routed {
		got = append(got, f.Mailbox)
		if !f.Dated {
			t.Errorf("%+v", f)
		}
	}
	if want := []string{"INBOX.Archiv.{year}", "INBOX.Lists {year}.{month}", "INBOX.go=2Eorg.{year}",
		"INBOX.Sent.{year}"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := topics(a.Warnings); !slices.Equal(got, []string{"namespace"}) ||
		!slices.Equal(a.Notes[1:], []string{`the server marks no folder as \Sent; INBOX.Sent.{year} is used`}) {
		t.Errorf("warnings %q, notes %q", got, a.Notes)
	}
}

// TestReadOnly: access lists say it, before a run finds out.
func TestReadOnly(t *testing.T) {
	s := newStage(t, popd.Options{}, imapd.Options{Capabilities: []string{"ACL"}, Reply: func(e imapd.Event) imapd.Action {
		if e.Stage == imapd.AtCommand && e.Command == "MYRIGHTS" {
			return imapd.Action{Raw: "* MYRIGHTS INBOX lrs\r\n", Reply: "OK done"}
		}
		return imapd.Action{}
	}})
	a := run(t, s.account).Accounts[0]
	wantProblem(t, a.Destination.Side, a.Source.Side, fault.Refused, "read-only", "folder INBOX")
}

// TestAlerts: what an IMAP server wants people to know is passed on (RFC 3501 §7.1).
func TestAlerts(t *testing.T) {
	s := newStage(t, popd.Options{}, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
		if e.Stage == imapd.AtCommand && e.Command == "EXAMINE" {
			return imapd.Action{Raw: "* OK [ALERT] Closed on Sunday \x1b[2J\r\n"}
		}
		return imapd.Action{}
	}})
	notes := strings.Join(run(t, s.account).Accounts[0].Notes, "\n")
	if !strings.Contains(notes, `Closed on Sunday \x1b[2J`) {
		t.Errorf("notes %q", notes)
	}
}

// TestMaildropNotes: what is good to know of a server before the first run.
func TestMaildropNotes(t *testing.T) {
	s := newStage(t, popd.Options{NoUIDL: true, LoginDelay: time.Minute}, imapd.Options{}, "Subject: x\r\n\r\n")
	notes := strings.Join(run(t, s.account).Accounts[0].Notes, "\n")
	for _, words := range []string{"no names (UIDL)", "wait 1m before a run"} {
		if !strings.Contains(notes, words) {
			t.Errorf("%q is not in %q", words, notes)
		}
	}
}

// TestEmptyMaildrop leads to what may be the matter.
func TestEmptyMaildrop(t *testing.T) {
	a := run(t, newStage(t, popd.Options{}, imapd.Options{}).account).Accounts[0]
	if !strings.Contains(fmt.Sprint(a.Notes), "--explain nothing-listed") {
		t.Errorf("notes %q", a.Notes)
	}
}
