package provider_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/provider"
)

func TestLookUps(t *testing.T) {
	type look = func(string) (provider.Provider, bool)
	for _, c := range []struct {
		by         look
		name, want string
	}{
		{provider.ByDomain, "gmail.com", "gmail"},
		{provider.ByDomain, "GoogleMail.COM.", "gmail"},
		{provider.ByDomain, "hotmail.co.uk", "outlook"},
		{provider.ByDomain, "ymail.com", "yahoo"},
		{provider.ByDomain, "verizon.net", "aol"},
		{provider.ByDomain, "cox.net", "yahoo"},
		{provider.ByDomain, "sbcglobal.net", "att"},
		{provider.ByDomain, "me.com", "icloud"},
		{provider.ByDomain, "gmx.at", "gmx"},
		{provider.ByDomain, "Contoso.onmicrosoft.com", "microsoft365"},
		{provider.ByDomain, "onmicrosoft.com", ""},
		{provider.ByDomain, "a.contoso.onmicrosoft.com", ""},
		{provider.ByDomain, "a.gmx.at", ""},
		{provider.ByDomain, "web.de", "webde"},
		{provider.ByDomain, "texas.usa.com", "mailcom"},
		{provider.ByDomain, "wanadoo.fr", "orange-fr"},
		{provider.ByDomain, "proton.me", "proton"},
		{provider.ByDomain, "yahoo.co.jp", "yahoo-jp"},
		{provider.ByDomain, "uol.com.br", "uol"},
		{provider.ByDomain, "hanmail.net", "daum"},
		{provider.ByDomain, "biglobe.ne.jp", "biglobe"},
		{provider.ByDomain, "inbox.lv", "inboxlv"},
		{provider.ByDomain, "ukr.net", "ukrnet"},
		{provider.ByDomain, "sina.com", "sina"},
		{provider.ByDomain, "zohomailcloud.ca", "zoho-ca"},
		{provider.ByDomain, "mail.gmail.com", ""}, // only hosts have names below them
		{provider.ByDomain, "gmail.com.example.org", ""},
		{provider.ByDomain, "", ""},
		{provider.ByHost, "pop.gmail.com", "gmail"},
		{provider.ByHost, "imap.gmail.com.", "gmail"},
		{provider.ByHost, "outlook.office365.com", "microsoft365"},
		{provider.ByHost, "imap-mail.outlook.com", "outlook"},
		{provider.ByHost, "securepop.t-online.de", "tonline"},
		{provider.ByHost, "pop.mail.yahoo.co.jp", "yahoo-jp"},
		{provider.ByHost, "imap.exmail.qq.com", "tencent-exmail"},
		{provider.ByHost, "imap.qq.com", "qq"},
		{provider.ByHost, "evilgmail.com", ""},
		{provider.ByHost, "gmail.com.evil.example", ""},
		{provider.ByHost, "com", ""},
		{provider.ByHost, "..", ""},
		{provider.ByMX, "ASPMX.L.google.com", "gmail"},
		{provider.ByMX, "example-org.mail.protection.outlook.com", "microsoft365"},
		{provider.ByMX, "example.olc.protection.outlook.com", "outlook"},
		{provider.ByMX, "in1-smtp.messagingengine.com", "fastmail"},
		{provider.ByMX, "mx00.kundenserver.de", "ionos-de"},
		{provider.ByMX, "smtpin.rzone.de", "strato"},
		{provider.ByMX, "mx.zoho.eu", "zoho-eu"},
		{provider.ByMX, "mxbiz1.qq.com", "tencent-exmail"},
		{provider.ByMX, "mx01.mail.icloud.com", "icloud"},
		{provider.ByMX, "mx.example.org", ""},
	} {
		p, ok := c.by(c.name)
		if p.ID != c.want || ok != (c.want != "") {
			t.Errorf("%q is %q's, %v; want %q", c.name, p.ID, ok, c.want)
		}
	}
}

// A few entries as a whole, so that a mistake in reading shows.
func TestGolden(t *testing.T) {
	for domain, want := range map[string]string{
		"gmail.com": "POP3 pop.gmail.com:995 implicit, IMAP imap.gmail.com:993 implicit, " +
			"SMTP smtp.gmail.com:465 implicit, app oauth=true",
		"outlook.com": "POP3 outlook.office365.com:995 implicit, IMAP outlook.office365.com:993 implicit, " +
			"SMTP smtp-mail.outlook.com:587 starttls, none oauth=true",
		"icloud.com": "POP3 none, IMAP imap.mail.me.com:993 implicit, " +
			"SMTP smtp.mail.me.com:587 starttls, app oauth=false",
		"yahoo.co.jp": "POP3 pop.mail.yahoo.co.jp:995 implicit, IMAP imap.mail.yahoo.co.jp:993 implicit, " +
			"SMTP smtp.mail.yahoo.co.jp:465 implicit, account oauth=false",
		"tim.it": "POP3 pop.tim.it:110 starttls, IMAP imap.tim.it:143 starttls, " +
			"SMTP smtp.tim.it:587 starttls, account oauth=false",
	} {
		p, _ := provider.ByDomain(domain)
		got := fmt.Sprintf("POP3 %s, IMAP %s, SMTP %s, %s oauth=%v",
			show(p.POP3), show(p.IMAP), show(p.SMTP), p.Access.Password, p.Access.OAuth)
		if got != want {
			t.Errorf("%s: %s", domain, got)
		}
	}
	gmail, _ := provider.ByDomain("gmail.com")
	if gmail.Limits.Page != 250 || gmail.Limits.Connections != 15 || !gmail.Has("pop-hides-fetched") {
		t.Errorf("%+v", gmail.Limits)
	}
}

func show(s *provider.Server) string {
	if s == nil {
		return "none"
	}
	return fmt.Sprintf("%s:%d %s", s.Host, s.Port, s.TLS)
}

func TestUser(t *testing.T) {
	for _, c := range []struct{ id, address, want string }{
		{"gmail.com", "alice@gmail.com", "alice@gmail.com"},
		{"web.de", "alice@web.de", "alice"},
		{"uol.com.br", "alice@uol.com.br", "alice"},
		{"icloud.com", "alice@icloud.com", "alice"},
		{"runbox.com", "alice@RUNBOX.com", "alice"},
		{"runbox.com", "alice@example.org", "alice%example.org"},
		{"web.de", "alice", "alice"},
		{"web.de", "a@b@web.de", "a@b"},
	} {
		p, _ := provider.ByDomain(c.id)
		if got := p.User(*p.IMAP, c.address); got != c.want {
			t.Errorf("%s at %s logs in as %q, want %q", c.address, c.id, got, c.want)
		}
	}
}

func TestDiagnose(t *testing.T) {
	for _, c := range []struct{ domain, said, want string }{
		{"gmail.com", "NO [ALERT] Application-specific  password required: https://support.google.com/x (Failure)",
			"no account password"},
		{"gmail.com", "-ERR [AUTH] Username and password not accepted.", "app password"},
		{"gmail.com", "-ERR [SYS/PERM] Your account is not enabled for POP access.", "POP3 is switched off"},
		{"gmail.com", "NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", "in a day"},
		{"gmail.com", "NO [ALERT] Lookup failed a1mb603055274wlx", "sign-ins that are right"},
		{"outlook.com", "a1 NO Basic authentication is disabled.", "no passwords"},
		{"contoso.onmicrosoft.com", "-ERR Authentication failure: unknown user name or bad password.", "no passwords"},
		{"contoso.onmicrosoft.com", "A01 BAD User is authenticated but not connected.", "can't be opened"},
		{"yahoo.com", "NO [AUTHENTICATIONFAILED] (#MBR1212) Incorrect username or password.", "app password"},
		{"gmx.de", "-ERR authentication failed", "switched off"},
		{"zoho.com", "NO [ALERT] You are yet to enable IMAP for your account. Please contact your administrator",
			"IMAP is switched off"},
		{"yandex.com", "NO [AUTHENTICATIONFAILED] LOGIN invalid credentials or IMAP is disabled sc=x", "switched off"},
		{"mail.ru", "NEOBHODIM parol prilozheniya / Aplication password is REQUIRED", "no account password"},
		{"qq.com", "-ERR Login fail. Account is abnormal, service is not open, password is incorrect, login frequency limited, " +
			"or system is busy. More information at https://help.mail.qq.com/detail/108/1023", "authorization code"},
		{"foxmail.com", "NO Login fail. Please enter your authorization code to login.", "no account password"},
		{"163.com", "NO SELECT Unsafe Login. Please contact kefu@188.com for help", "authorization code"},
	} {
		p, _ := provider.ByDomain(c.domain)
		got, ok := p.Diagnose(c.said, false)
		if !ok || !strings.Contains(got.Cause, c.want) || got.Check == "" {
			t.Errorf("%s said %q: %+v", p.ID, c.said, got)
		}
	}
}

func TestDiagnoseGivesUp(t *testing.T) {
	gmail, _ := provider.ByDomain("gmail.com")
	for _, said := range []string{
		"", "NO something else", strings.Repeat("x", 5000) + "web login required",
	} {
		if got, ok := gmail.Diagnose(said, false); ok {
			t.Errorf("%.20q is %+v", said, got)
		}
	}
	if got, ok := gmail.Diagnose("NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", true); ok {
		t.Errorf("a token is no password: %+v", got)
	}
	if _, ok := (provider.Provider{}).Diagnose("web login required", false); ok {
		t.Error("nobody's server refused")
	}
}
