package check_test

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/check"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/signin"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// TestProviders: who is known has words and a page of its own.
func TestProviders(t *testing.T) {
	s := newStage(t, popd.Options{Reply: replying(map[string]string{
		"AUTH": "-ERR [AUTH] Application-specific password required: https://support.example/\r\n"})}, imapd.Options{})
	s.account.Source.Host, s.account.Source.AllowPlaintext = "pop.gmail.com", true
	a := run(t, s.account).Accounts[0]
	wantProblem(t, a.Source.Side, a.Destination.Side, fault.Credentials, "app-password")
	if p := a.Source.Problem; !strings.HasPrefix(p.Page, "https://") {
		t.Errorf("%+v", p)
	}
	if got := topics(a.Warnings); !slices.Contains(got, "password-in-clear") {
		t.Errorf("warnings %q", got)
	}
	// What one says of itself counts for more than what is true of all.
	for host, c := range map[string]struct{ says, topic, words string }{
		"pop.gmail.com":            {"-ERR [SYS/PERM] Your account is not enabled for POP access.", "", "POP"},
		"outlook.office365.com":    {"-ERR Logon failure: unknown user name or bad password.", "login-refused", ""},
		"pop.mail.yahoo.com":       {"-ERR [AUTH] Incorrect username or password.", "login-refused", "app password"},
		"pop.naver.com":            {"-ERR no", "login-refused", "(application password), not that of the account"},
		"pop3.web.de":              {"-ERR no", "login-refused", "see that POP3 is switched on"},
		"pop3.email.web.de":        {"-ERR POP3/IMAP access deactivated", "switched-off", "switch it on"},
		"pop.some-isp.example.org": {"-ERR no", "login-refused", "web mail"},
	} {
		s.account.Source.Host = host
		s.pop.Configure(func(o *popd.Options) {
			o.Reply = replying(map[string]string{"AUTH": c.says + "\r\n", "PASS": c.says + "\r\n"})
		})
		p := run(t, s.account).Accounts[0].Source.Problem
		if p == nil || c.topic != "" && p.Topic != c.topic || !strings.Contains(p.Check+p.Cause, c.words) ||
			(p.Page == "") != strings.HasSuffix(host, "example.org") {
			t.Errorf("%s: %+v", host, p)
		}
	}
	// A host of a provider that is not the one for POP3.
	s.account.Source.Host, s.account.Source.Dial = "smtp.gmail.com", func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	a = run(t, s.account).Accounts[0]
	wantProblem(t, a.Source.Side, a.Destination.Side, fault.Temporary, "unknown-host", "pop.gmail.com, port: 995")
}

// TestOwnWordings: what a provider's own servers say has its topic, and words of its own.
func TestOwnWordings(t *testing.T) {
	const unsafeLogin, passwordError = "Unsafe Login. Please contact kefu@188.com for help", "LOGIN Login error or password error"
	for _, c := range []struct{ host, command, says, topic, words string }{
		{"pop.163.com", "PASS", "Unable to log on", "login-refused", "POP3 is switched off"},
		{"pop.126.com", "PASS", "Unable to log on", "login-refused", "POP3 is switched off"},
		{"pop.yeah.net", "PASS", "Unable to log on", "login-refused", "POP3 is switched off"},
		{"imap.163.com", "AUTHENTICATE", "LOGIN Login error password error", "login-refused", "only an authorization code"},
		{"imap.126.com", "AUTHENTICATE", passwordError, "login-refused", "only an authorization code"},
		{"imap.yeah.net", "AUTHENTICATE", passwordError, "login-refused", "only an authorization code"},
		{"imap.163.com", "EXAMINE", "EXAMINE " + unsafeLogin, "folder-refused", "a client that it does not know"},
		{"imap.126.com", "EXAMINE", "EXAMINE " + unsafeLogin, "folder-refused", "a client that it does not know"},
		{"imap.yeah.net", "EXAMINE", "EXAMINE " + unsafeLogin, "folder-refused", "a client that it does not know"},
		{"imap.1und1.de", "AUTHENTICATE", "authentication failed", "login-refused", "each address has one of its own"},
		{"imap.ionos.com", "AUTHENTICATE", "authentication failed", "login-refused", "each address has one of its own"},
		{"imap.ionos.fr", "AUTHENTICATE", "authentication failed", "login-refused", "each address has one of its own"},
		{"imap.ionos.co.uk", "AUTHENTICATE", "authentication failed", "login-refused", "each address has one of its own"},
		{"imap.poczta.onet.pl", "AUTHENTICATE", "[AUTHENTICATIONFAILED] Authentication failed.", "login-refused", "access that is off"},
		{"pop.tools.sky.com", "PASS", "[AUTH] (#MBR1212) Incorrect username or password.", "login-refused", "runs at Yahoo"},
		{"imap.mail.ovh.net", "AUTHENTICATE", "[AUTHENTICATIONFAILED] Authentication failed.", "login-refused",
			"each address has one of its own"},
		{"imap.free.fr", "AUTHENTICATE", "Invalid login or password", "login-refused", "what stands before the @"},
		{"pop.free.fr", "PASS", "Invalid login or password", "login-refused", "what stands before the @"},
		{"imap.zoho.eu", "AUTHENTICATE", "[AUTHENTICATIONFAILED] Invalid credentials(Failure)", "login-refused", "another region"},
		{"imap.exmail.qq.com", "AUTHENTICATE", "Login fail. Please using weixin token", "login-refused", "signs in with WeChat"},
		{"mail.comcast.net", "PASS", "[AUTH] Temporarily blacklisted IP Address - try again later", "locked-out", "since it is that of a VPN"},
		{"imap.comcast.net", "AUTHENTICATE", "[ALERT] Temporarily blacklisted IP Address - try again later", "locked-out", "since it is that of a VPN"},
		{"mail.comcast.net", "PASS", "[AUTH] Authentication failed.", "login-refused", "access by mail programs is off"},
		{"pop3.virginmedia.com", "PASS", "[AUTH] Authentication failed.", "login-refused", "takes no account password"},
		{"mail.twc.com", "PASS", "invalid username or password", "login-refused", "a wrong password or user name"},
		{"mail.twc.com", "PASS", "account is currently inactive.", "account-disabled", "since nobody used it"},
		{"mail.runbox.com", "PASS", "Invalid login or password", "login-refused", "a wrong password or user name"},
		{"mail.gandi.net", "PASS", "Authentication failed.", "login-refused", "only forwards"},
		{"pop.sina.com", "PASS", "auth error", "login-refused", "authorization code"},
		{"imap.sina.com", "AUTHENTICATE", "LOGIN auth error", "login-refused", "authorization code"},
		{"pop3.ukr.net", "PASS", "Invalid login or password", "login-refused", "no account password"},
		{"imap.strato.de", "AUTHENTICATE", "[AUTHENTICATIONFAILED] no", "login-refused", "each address has one of its own"},
		{"imap.vodafonemail.de", "AUTHENTICATE", "Account is temporarily unavailable", "server-trouble", "more programs"},
		{"pop.secureserver.net", "PASS", "warning: auth_error: authorization failed (authorization failed wrong password)",
			"login-refused", "by APOP"},
	} {
		p := refusing(t, c.host, c.command, c.says)
		if p == nil || p.Topic != c.topic || !strings.Contains(p.Cause, c.words) || !strings.HasPrefix(p.Page, "https://") {
			t.Errorf("%s, %q: %+v", c.host, c.says, p)
		}
	}
}

// TestOnThisMachine: a server on this machine that belongs to a provider is known by its user's
// address, and others are nobody's.
func TestOnThisMachine(t *testing.T) {
	for user, want := range map[string]string{"alice@proton.me": "one of its own", "alice@gmail.com": "", "alice": ""} {
		s := newStage(t, popd.Options{}, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
			if e.Stage == imapd.AtCommand && e.Command == "AUTHENTICATE" {
				return imapd.Action{Reply: "NO no such user"}
			}
			return imapd.Action{}
		}})
		s.account.Destination.Host, s.account.Destination.Username = "127.0.0.1", user
		p := run(t, s.account).Accounts[0].Destination.Problem
		if p == nil || p.Topic != "login-refused" || !strings.Contains(p.Cause, want) || (p.Page == "") != (want == "") {
			t.Errorf("%s: %+v", user, p)
		}
	}
}

// TestWayIn: who refuses without a reason is asked for what is known to be taken there, and for
// nothing that is known not to be.
func TestWayIn(t *testing.T) {
	for host, want := range map[string]string{
		"pop3.uol.com.br":       "try what stands before the @ as user name",
		"imap.wp.pl":            "try what stands before the @ as user name",
		"pop.orange.fr":         "try the whole address as user name",
		"outlook.office365.com": "oauth: in place of password:, and sign in with popferry login",
	} {
		command := map[bool]string{true: "AUTHENTICATE", false: "PASS"}[strings.HasPrefix(host, "imap")]
		p := refusing(t, host, command, "no")
		if p == nil || p.Topic != "login-refused" || !strings.Contains(p.Check, want) {
			t.Errorf("%s: %+v", host, p)
		}
	}
}

// TestCommonWordings: a provider whose own words nobody knows has those of its server
// explained, in all three lines and with its page.
func TestCommonWordings(t *testing.T) {
	for said, topic := range map[string]string{
		"[AUTH] Authentication failed.":                                 "login-refused", // Dovecot, Open-Xchange
		"Login failed.":                                                 "login-refused", // Courier
		"Login failed: authentication failure":                          "login-refused", // Cyrus
		"LOGIN failed":                                                  "login-refused", // Zimbra
		"invalid username/password":                                     "login-refused",
		"account is not active":                                         "account-disabled",
		"LOGIN DENIED -- EXCESSIVE FAILURES -- IP TEMP BANNED":          "locked-out", // cPanel
		"Maximum number of login attempts exceeded":                     "locked-out",
		"Account temporarily locked":                                    "locked-out",
		"Authorized code is incorrect":                                  "app-password",
		"Mail drop is locked":                                           "maildrop-locked",
		"mailbox has been locked by another":                            "maildrop-locked",
		"Can't get lock.  Try again or use IMAP instead":                "maildrop-locked",
		"Your account is locked by another session":                     "maildrop-locked",
		"The POP3 protocol is disabled for this mailbox":                "switched-off",
		"Temporary authentication failure. [m.example.org:2026-01-02]":  "server-trouble",
		"Maximum number of connections from user+IP exceeded":           "too-many-connections",
		"Application-specific password required: https://a.example.org": "app-password",
	} {
		for host, command := range map[string]string{"pop.orange.fr": "PASS", "imap.orange.fr": "AUTHENTICATE"} {
			p := refusing(t, host, command, said)
			if p == nil || p.Topic != topic || p.Symptom == "" || p.Cause == "" || p.Check == "" ||
				!strings.HasPrefix(p.Page, "https://assistance.orange.fr/") {
				t.Errorf("%s, %q: %+v", host, said, p)
			}
		}
	}
}

// TestPasswordOfProviders: who wants another password than that of the account says so
// where a login is refused.
func TestPasswordOfProviders(t *testing.T) {
	for host, words := range map[string]string{
		"imap.seznam.cz": "two-step login", "imapmail.libero.it": "two-step login", "pop.tools.sky.com": "Sky wants a password",
		"pop3.virginmedia.com": "email app password", "pop.rambler.ru": "POP3 is switched on",
	} {
		command := "PASS"
		if strings.HasPrefix(host, "imap") {
			command = "AUTHENTICATE"
		}
		if p := refusing(t, host, command, "Authentication failed."); p == nil || p.Topic != "login-refused" ||
			!strings.Contains(p.Cause+p.Check, words) || p.Page == "" {
			t.Errorf("%s: %+v", host, p)
		}
	}
}

// refusing is what is found where a host says no to a command.
func refusing(t *testing.T, host, command, says string) *check.Problem {
	t.Helper()
	from := popd.Options{NoSASL: true, Reply: replying(map[string]string{command: "-ERR " + says + "\r\n"})}
	s := newStage(t, from, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
		if e.Stage == imapd.AtCommand && e.Command == command {
			return imapd.Action{Reply: "NO " + says}
		}
		return imapd.Action{}
	}})
	side := &s.account.Source
	if strings.HasPrefix(host, "imap") {
		side = &s.account.Destination
	}
	side.Host, side.AllowPlaintext = host, true
	a := run(t, s.account).Accounts[0]
	return cmp.Or(a.Source.Problem, a.Destination.Problem)
}

// TestPasswordIsAWord: what a server says is known also where the password is a word of it,
// and is shown without that word.
func TestPasswordIsAWord(t *testing.T) {
	for _, c := range []struct {
		password, says, topic, shown string
		code                         fault.Code
	}{
		{"password", "-ERR [AUTH] Application-specific password required", "app-password", "Application-specific *** required",
			fault.Credentials},
		{"lock", "-ERR POP lock busy! Is another session active?", "maildrop-locked", "POP *** busy", fault.Temporary},
		{"secret", "-ERR [AUTH] no user with ***", "login-refused", "no user with ***", fault.Credentials},
	} {
		s := newStage(t, popd.Options{Reply: replying(map[string]string{"AUTH": c.says + "\r\n"})}, imapd.Options{})
		s.account.Source.Host, s.account.Source.AllowPlaintext = "pop.gmail.com", true
		s.account.Source.Secret = secret.New(c.password)
		a := run(t, s.account).Accounts[0]
		wantProblem(t, a.Source.Side, a.Destination.Side, c.code, c.topic, c.shown)
		p := a.Source.Problem
		if c.topic == "app-password" && p.Cause != "Google takes no account password from mail programs" {
			t.Errorf("%+v", p)
		}
		if strings.Contains(p.Symptom, c.password) {
			t.Errorf("it shows the password: %s", p.Symptom)
		}
	}
}

// TestRefusedTokens: who showed a token is told nothing about passwords, and what lets
// the token in that this login gets.
func TestRefusedTokens(t *testing.T) {
	const exchange = "-ERR Logon failure: unknown user name or bad password."
	flow := func(f plan.Flow) *plan.OAuth {
		return &plan.OAuth{Flow: f, Scopes: []string{"https://mail.google.com/"}}
	}
	for _, c := range []struct {
		host, says string
		oauth      *plan.OAuth
		words      []string
	}{
		{"pop.gmail.com", "-ERR [AUTH] Invalid credentials (Failure)", flow(plan.BrowserFlow),
			[]string{"who signed in", "popferry login", "POP3 is switched on: Gmail settings"}},
		{"pop.gmail.com", "-ERR [AUTH] Username and password not accepted.", flow(plan.ServiceAccount),
			[]string{"delegation", "https://mail.google.com/"}},
		{"outlook.office365.com", exchange, flow(plan.DeviceFlow), []string{"wait some minutes", "who signed in"}},
		{"outlook.office365.com", "-ERR Authentication failure: unknown user name or bad password.",
			flow(plan.ClientCredentials), []string{"New-ServicePrincipal", "Add-MailboxPermission", "POP.AccessAsApp"}},
		{"pop.some-isp.example.org", "-ERR no", nil, []string{"renew what gives it"}},
	} {
		s := newStage(t, popd.Options{Reply: replying(map[string]string{"AUTH": c.says + "\r\n"})}, imapd.Options{})
		s.account.Source.Host, s.account.Source.AllowPlaintext = c.host, true
		s.account.Source.Auth, s.account.Source.OAuth = "xoauth2", c.oauth
		dial := func(ctx context.Context, a plan.Account) (*pop.Maildrop, error) {
			a.Source.OAuth = nil // the password is the token
			return signin.Dial{}.Source(ctx, a)
		}
		r, err := check.Run(t.Context(), check.Options{DialSource: dial, Config: &plan.Config{
			Accounts: []plan.Account{s.account}, Limits: plan.Limits{Accounts: 1, PerHost: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		a := r.Accounts[0]
		wantProblem(t, a.Source.Side, a.Destination.Side, fault.Credentials, "token-refused", c.words...)
		if p := a.Source.Problem; c.oauth != nil && strings.Contains(p.Cause+p.Check, "password") {
			t.Errorf("%s: %+v", c.says, p)
		}
	}
}

// TestLimitsOfProviders: what a provider is known to take, where its server does not
// say so.
func TestLimitsOfProviders(t *testing.T) {
	s := newStage(t, popd.Options{}, imapd.Options{})
	for range 240 {
		s.pop.Deliver([]byte("Subject: x\r\n\r\n"))
	}
	s.pop.Configure(func(o *popd.Options) { o.SizeOffset = 40_000_000 })
	s.account.Source.Host, s.account.Source.AllowPlaintext = "pop.gmail.com", true
	s.account.Destination.Host, s.account.Destination.AllowPlaintext = "imap.gmail.com", true
	s.account.Destination.Connections, s.account.Destination.Secret = 20, secret.New("another")
	s.account.Keep.Delete = true
	a := run(t, s.account).Accounts[0]
	want := []string{"password-in-clear", "password-in-clear", "too-large", "too-many-connections", "one-mailbox"}
	if got := topics(a.Warnings); !slices.Equal(got, want) {
		t.Errorf("warnings %q, want %q", got, want)
	}
	notes := strings.Join(a.Notes, "\n")
	for _, words := range []string{"lists about 250 messages at a time", "keep: delivered finds little to delete", "takes about 524 MB a day: what is waiting needs 19 days"} {
		if !strings.Contains(notes, words) {
			t.Errorf("%q is not in %q", words, notes)
		}
	}
	s.account.Destination.Host, s.account.Destination.Connections = "imap.gmx.net", 4
	for i := range 20 {
		s.account.Routes = append(s.account.Routes, plan.Route{Folder: fmt.Sprintf("a/%d", i)})
	}
	s.account.Routes[7].Folder += "/b/c"
	crowded := run(t, s.account).Accounts[0].Warnings
	crowded = slices.DeleteFunc(crowded, func(f check.Finding) bool { return f.Topic != "too-many-folders" })
	if len(crowded) != 2 || !strings.Contains(crowded[0].Symptom, "23 folders") || !strings.Contains(crowded[0].Symptom, "GMX (German) has 20") ||
		!strings.Contains(crowded[1].Symptom, "folder a/7/b/c has 4 levels") {
		t.Errorf("warnings %+v", crowded)
	}
	if quirks := strings.Join(a.Source.Quirks, "\n"); a.Source.Provider == "" || len(a.Destination.Quirks) == 0 ||
		!strings.Contains(quirks, "more than once in ten minutes") {
		t.Errorf("%+v", a.Source)
	}
}
