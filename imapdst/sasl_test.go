package imapdst_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
)

func base64of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func tokenOf(text string) func(context.Context) (secret.Value, error) {
	return func(context.Context) (secret.Value, error) { return secret.New(text), nil }
}

// inTurn answers a login with these lines, and reads one from the client between
// two of them.
func inTurn(lines ...string) map[string]handler {
	answer := func(f *fake, tag, _ string) {
		for i, line := range lines {
			if i > 0 {
				if _, err := f.in.ReadString('\n'); err != nil {
					return
				}
			}
			f.send(strings.ReplaceAll(line, "TAG", tag))
		}
	}
	return map[string]handler{"AUTHENTICATE": answer}
}

// logins are the lines of the login that the server got, without tags and ID.
func logins(f *fake) (lines []string) {
	for line := range strings.Lines(f.received()) {
		line = strings.TrimRight(line, "\r\n")
		if tag, rest, ok := strings.Cut(line, " "); ok && strings.HasPrefix(rest, "AUTHENTICATE") {
			line = strings.TrimPrefix(line, tag+" ")
		} else if ok && strings.HasPrefix(rest, "LOGIN ") {
			line = "LOGIN"
		} else if ok {
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

// TestAuthLines has what goes out for each way to log in.
func TestAuthLines(t *testing.T) {
	const bearer = "user=alice\x01auth=Bearer tok\x01\x01"
	plain := base64of("\x00alice\x00" + password)
	in := "TAG OK in"
	once := func(t map[string]handler) *fake {
		return &fake{caps: "IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=XOAUTH2", on: t}
	}
	for name, test := range map[string]struct {
		server    *fake
		auth      string
		as, token string
		want      []string
		mechanism string
	}{
		"xoauth2": {once(nil), "xoauth2", "", "tok", []string{"AUTHENTICATE XOAUTH2 " + base64of(bearer)}, "XOAUTH2"},
		"xoauth2 in two steps": {&fake{caps: "IMAP4rev1", on: inTurn("+ ", in)}, "xoauth2", "", "tok",
			[]string{"AUTHENTICATE XOAUTH2", base64of(bearer)}, "XOAUTH2"},
		"xoauth2, too long for a line": {&fake{caps: "IMAP4rev1 SASL-IR", on: inTurn("+ ", in)}, "xoauth2", "",
			strings.Repeat("t", 9000), []string{"AUTHENTICATE XOAUTH2",
				base64of("user=alice\x01auth=Bearer " + strings.Repeat("t", 9000) + "\x01\x01")}, "XOAUTH2"},
		"oauthbearer": {once(nil), "oauthbearer", "bob", "tok", []string{"AUTHENTICATE OAUTHBEARER " +
			base64of("n,a=bob,\x01host=127.0.0.1\x01port=143\x01auth=Bearer tok\x01\x01")}, "OAUTHBEARER"},
		"auto with a token": {once(nil), "", "", "tok", []string{"AUTHENTICATE XOAUTH2 " + base64of(bearer)}, "XOAUTH2"},
		"auto for somebody else": {once(nil), "", "bob", "",
			[]string{"AUTHENTICATE PLAIN " + base64of("bob\x00alice\x00"+password)}, "PLAIN"},
		"auto, LOGIN command": {&fake{caps: "IMAP4rev1 AUTH=LOGIN"}, "auto", "", "", []string{"LOGIN"}, "LOGIN command"},
		"auto, AUTH=LOGIN": {&fake{caps: "IMAP4rev1 AUTH=LOGIN LOGINDISABLED", on: inTurn("+ ", "+ ", in)}, "auto", "", "",
			[]string{"AUTHENTICATE LOGIN", base64of("alice"), base64of(password)}, "LOGIN"},
		"login, AUTH=LOGIN": {&fake{caps: "IMAP4rev1 AUTH=LOGIN LOGINDISABLED", on: inTurn("+ ", "+ ", in)}, "login", "", "",
			[]string{"AUTHENTICATE LOGIN", base64of("alice"), base64of(password)}, "LOGIN"},
		"auto, DBMail's PLAIN": {&fake{caps: "IMAP4rev1 AUTH=LOGIN AUTH=PLAIN AUTH=CRAM-MD5", on: inTurn("+ DQo=", in)},
			"auto", "", "", []string{"AUTHENTICATE PLAIN", plain}, "PLAIN"},
		"auto, PLAIN not known": {once(map[string]handler{"AUTHENTICATE": say("TAG NO Unsupported authentication mechanism.")}),
			"auto", "", "", []string{"AUTHENTICATE PLAIN " + plain, "LOGIN"}, "LOGIN command"},
		"cram-md5": {&fake{caps: "IMAP4rev1", on: inTurn("+ "+base64of("<a@example.org>"), in)}, "cram-md5", "", "",
			[]string{"AUTHENTICATE CRAM-MD5", base64of("alice 02479ee1fc64f7b6a4e18cb7df6c2a74")}, "CRAM-MD5"},
	} {
		t.Run(name, func(t *testing.T) {
			o := test.server.start(t)
			o.Auth, o.AuthorizeAs = test.auth, test.as
			if test.token != "" {
				o.Token, o.Password = tokenOf(test.token), secret.Value{}
			}
			c := dial(t, o)
			if diff := cmp.Diff(test.want, logins(test.server)); diff != "" {
				t.Error(diff)
			}
			if got := c.Mechanism(); got != test.mechanism {
				t.Errorf("logged in by %q", got)
			}
		})
	}
}

// TestAuthRefused has one login each that ends badly, and how often it was tried.
func TestAuthRefused(t *testing.T) {
	for name, test := range map[string]struct {
		auth, caps string
		on         map[string]handler
		code       fault.Code
		text       string
		lines      int
	}{
		"token revoked": {"xoauth2", "SASL-IR", inTurn("+ "+base64of(
			`{"status":"400","schemes":"Bearer","scope":"https://mail.example/"}`), "TAG NO [AUTHENTICATIONFAILED] Invalid credentials"),
			fault.Credentials, "Invalid credentials; token: status 400, scope https://mail.example/", 2},
		"token echoed": {"xoauth2", "SASL-IR", map[string]handler{"AUTHENTICATE": say("TAG NO bad " +
			base64of("user=alice\x01auth=Bearer "+password+"\x01\x01"))}, fault.Credentials, "bad ***", 1},
		"error, then OK": {"oauthbearer", "SASL-IR", inTurn("+ "+base64of(`{"status":"401"}`), "TAG OK in"),
			fault.Protocol, "in the middle of a login", 2},
		"auto: one bad login is one": {"auto", "SASL-IR AUTH=PLAIN",
			map[string]handler{"AUTHENTICATE": say("TAG NO [AUTHENTICATIONFAILED] no such mechanism for you")},
			fault.Credentials, "no such mechanism", 1},
		"auto: after SCRAM one more": {"auto", "SASL-IR AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-1 AUTH=PLAIN",
			map[string]handler{"AUTHENTICATE": say("TAG NO [AUTHENTICATIONFAILED] no")}, fault.Credentials, "NO [AUTH", 2},
		"auto: an administrator's SCRAM": {"auto", "SASL-IR AUTH=SCRAM-SHA-256 AUTH=PLAIN",
			map[string]handler{"AUTHENTICATE": func(f *fake, tag, args string) {
				if strings.HasPrefix(args, "SCRAM") {
					f.send(tag + " NO [AUTHORIZATIONFAILED] no")
				} else {
					f.send(tag + " NO [AUTHENTICATIONFAILED] wrong")
				}
			}}, fault.Credentials, "wrong", 2},
		"auto: SCRAM, busy": {"auto", "SASL-IR AUTH=SCRAM-SHA-256 AUTH=PLAIN",
			map[string]handler{"AUTHENTICATE": say("TAG NO [UNAVAILABLE] later")}, fault.Temporary, "later", 1},
		"auto: SCRAM, busy in words": {"auto", "SASL-IR AUTH=SCRAM-SHA-256 AUTH=PLAIN",
			map[string]handler{"AUTHENTICATE": say("TAG NO System busy!")}, fault.Temporary, "busy", 1},
		"OK to SCRAM at once": {"scram-sha-256", "SASL-IR", map[string]handler{"AUTHENTICATE": say("TAG OK in")},
			fault.Protocol, "in the middle of a login", 1},
		"OK to PLAIN before the password": {"plain", "", map[string]handler{"AUTHENTICATE": say("TAG OK in")},
			fault.Protocol, "in the middle of a login", 1},
		"SCRAM, cancelled": {"scram-sha-1", "SASL-IR", inTurn("+ "+base64of("r=x,s=c2FsdA==,i=2147483648"), "TAG BAD cancelled"),
			fault.Protocol, "iterations", 2},
		"cancelled, then OK": {"scram-sha-1", "SASL-IR", inTurn("+ "+base64of("r=x,s=c2FsdA==,i=1"), "TAG OK in"),
			fault.Protocol, "in the middle of a login", 2},
		"CRAM-MD5, no msg-id": {"cram-md5", "", inTurn("+ "+base64of("<\x01@x>"), "TAG BAD cancelled"),
			fault.Credentials, "unusable challenge", 2},
		"not base64": {"plain", "", inTurn("+ go ahead!", "TAG BAD cancelled"), fault.Credentials, "go ahead!", 2},
		"named, not known": {"cram-md5", "AUTH=PLAIN", map[string]handler{"AUTHENTICATE": say("TAG BAD unsupported")},
			fault.Config, "BAD unsupported", 1},
		"named, a bare BAD": {"scram-sha-1", "SASL-IR AUTH=PLAIN", map[string]handler{"AUTHENTICATE": say("TAG BAD unknown")},
			fault.Config, "BAD unknown", 1},
		"offered, a bare BAD": {"plain", "SASL-IR AUTH=PLAIN", map[string]handler{"AUTHENTICATE": say("TAG BAD unknown")},
			fault.Protocol, "BAD unknown", 1},
		"auto, nothing known": {"auto", "AUTH=NTLM", map[string]handler{"LOGIN": say("TAG BAD unknown command")},
			fault.Refused, "BAD unknown command", 1},
		"auto, LOGIN not known": {"auto", "AUTH=CRAM-MD5", map[string]handler{"LOGIN": say("TAG BAD unknown command")},
			fault.Refused, "BAD unknown command", 1},
		"auto, in clear text":          {"auto", "LOGINDISABLED AUTH=CRAM-MD5", nil, fault.Refused, "mechanisms: CRAM-MD5", 0},
		"auto, in clear text with TLS": {"auto", "STARTTLS LOGINDISABLED AUTH=CRAM-MD5", nil, fault.TLS, "mechanisms: CRAM-MD5", 0},
		"login for nobody":             {"login", "LOGINDISABLED", nil, fault.TLS, "offers no login", 0},
	} {
		t.Run(name, func(t *testing.T) {
			server := &fake{caps: "IMAP4rev1 " + test.caps, on: test.on}
			o := server.start(t)
			o.Auth = test.auth
			_, err := imapdst.Dial(t.Context(), o)
			if fault.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.text) || fault.HintOf(err) == "" {
				t.Errorf("got %v (%v), want %v with %q", err, fault.CodeOf(err), test.code, test.text)
			}
			names := strings.Contains(fault.HintOf(err), "set auth: cram-md5")
			if offered := strings.Contains(test.caps, "CRAM-MD5") && test.code == fault.Refused; names != offered {
				t.Errorf("the hint is %q", fault.HintOf(err))
			}
			lines := logins(server)
			if len(lines) != test.lines {
				t.Errorf("%d lines went out: %q", len(lines), lines)
			}
			if strings.Contains(name, "cancelled") && lines[len(lines)-1] != "*" {
				t.Errorf("not cancelled: %q", lines)
			}
		})
	}
}

func TestTokenOnly(t *testing.T) {
	server := &fake{}
	o := server.start(t)
	o.Token, o.Password = tokenOf("tok"), secret.Value{}
	_, err := imapdst.Dial(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "PLAIN") || len(logins(server)) != 0 {
		t.Errorf("%v; sent %q", err, logins(server))
	}
	o.Token = func(context.Context) (secret.Value, error) {
		return secret.Value{}, fault.New(fault.Credentials, "no token").WithHint("log in")
	}
	if _, err = imapdst.Dial(t.Context(), o); fault.CodeOf(err) != fault.Credentials {
		t.Errorf("%v", err)
	}
	o.Token = tokenOf("a\x01b")
	if _, err = imapdst.Dial(t.Context(), o); fault.CodeOf(err) != fault.Config {
		t.Errorf("%v", err)
	}
}

// TestM1NothingBeforeTLS: however a login is to be done, a server that refuses TLS, or
// pretends to be further already, is told nothing.
func TestM1NothingBeforeTLS(t *testing.T) {
	words := []string{"auto"}
	for _, name := range sasl.Mechanisms() {
		words = append(words, strings.ToLower(name))
	}
	for _, auth := range words {
		for name, answer := range map[string]string{
			"refused": "TAG NO no TLS", "bad": "TAG BAD what", "ahead": "TAG OK go\r\n* OK [CAPABILITY IMAP4rev1] you are in",
			"challenge": "+ ", "logged out": "* BYE",
		} {
			server := &fake{caps: "IMAP4rev1 STARTTLS SASL-IR AUTH=PLAIN", on: map[string]handler{"STARTTLS": say(answer)}}
			o := server.start(t)
			o.Auth, o.Endpoint.TLS, o.Token = auth, wire.STARTTLS, tokenOf("tok")
			o.Endpoint.Certificate = &tls.Certificate{}
			if _, err := imapdst.Dial(t.Context(), o); err == nil {
				t.Errorf("%s, %s: logged in", auth, name)
			}
			if got := server.received(); strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, " STARTTLS\r\n") {
				t.Errorf("%s, %s: sent %q", auth, name, got)
			}
		}
	}
}

// TestScramInClearText: who listens never hears the password, also where SCRAM was
// refused before.
func TestScramInClearText(t *testing.T) {
	for _, noScram := range []bool{false, true} {
		server := &fake{caps: "IMAP4rev1 SASL-IR AUTH=SCRAM-SHA-256 AUTH=PLAIN",
			on: map[string]handler{"AUTHENTICATE": say("TAG NO [AUTHENTICATIONFAILED] no")}}
		o := server.start(t)
		o.Auth, o.NoScram = "auto", noScram
		o.Endpoint.Host, o.Endpoint.AllowPlaintext = "imap.example.org", true
		if _, err := imapdst.Dial(t.Context(), o); fault.CodeOf(err) != fault.Credentials {
			t.Errorf("%v", err)
		}
		if sent := logins(server); len(sent) != 1 || !strings.HasPrefix(sent[0], "AUTHENTICATE SCRAM-SHA-256") {
			t.Errorf("no SCRAM: %v, sent %q", noScram, sent)
		}
	}
}

// TestAfterRefusedScram: if the server hangs up on the second way, the password was refused;
// if we stop there, nobody knows.
func TestAfterRefusedScram(t *testing.T) {
	for _, stop := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		tries := 0
		server := &fake{caps: "IMAP4rev1 SASL-IR AUTH=SCRAM-SHA-256 AUTH=PLAIN"}
		server.on = map[string]handler{"AUTHENTICATE": func(f *fake, tag, args string) {
			switch tries++; {
			case tries == 1:
				say("TAG NO [AUTHENTICATIONFAILED] wrong")(f, tag, args)
			case stop:
				cancel()
			default:
				hangUp("")(f, tag, args)
			}
		}}
		o := server.start(t)
		o.Auth = "auto"
		_, err := imapdst.Dial(ctx, o)
		if got := fault.CodeOf(err) == fault.Credentials; got == stop || tries != 2 {
			t.Errorf("stopped: %v, %d tries, error %v", stop, tries, err)
		}
		if n, want := fault.RefusalsOf(err), map[bool]int{false: 2, true: 1}[stop]; n != want {
			t.Errorf("stopped: %v, %d refusals, want %d", stop, n, want)
		}
	}
}
