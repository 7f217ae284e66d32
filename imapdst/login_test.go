package imapdst_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/wordings"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
)

// TestHostileLogin has the rows of the fault catalogue that end before or with
// the login. None of those that end before it may have seen the password.
func TestHostileLogin(t *testing.T) {
	plain := "* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN SASL-IR] hello"
	starttls := func(h handler) map[string]handler { return map[string]handler{"STARTTLS": h} }
	auth := func(answer string) map[string]handler {
		return map[string]handler{"AUTHENTICATE": say(answer)}
	}
	for _, c := range []struct {
		name   string
		server *fake
		mode   wire.TLSMode
		want   fault.Code
		text   string
		login  bool // the password may be sent
	}{
		{name: "N9 web server", server: &fake{greeting: "HTTP/1.1 400 Bad Request"},
			want: fault.Protocol, text: "not an IMAP server"},
		{name: "N9 POP3 server", server: &fake{greeting: "+OK hello"}, want: fault.Protocol},
		{name: "C1 TLS alert", server: &fake{greeting: "\x15\x03\x01\x00\x02\x02\x46"},
			want: fault.Config},
		{name: "X1 endless greeting", server: &fake{greeting: "* OK " + strings.Repeat("x", 1<<20)},
			want: fault.Protocol},
		{name: "A12 BYE at greeting", server: &fake{greeting: "* BYE too many\x1b[31m connections"},
			want: fault.Temporary, text: `too many\x1b[31m connections`},
		{name: "A22 PREAUTH in the clear", server: &fake{greeting: "* PREAUTH hi"}, want: fault.TLS},
		{name: "A22 PREAUTH before STARTTLS", server: &fake{greeting: "* PREAUTH hi"},
			mode: wire.STARTTLS, want: fault.TLS},
		{name: "A22 early tagged OK before STARTTLS",
			server: &fake{greeting: plain + "\r\na1 OK go\r\nT1 OK go"},
			mode:   wire.STARTTLS, want: fault.TLS},
		{name: "A22 wrong tag", server: &fake{on: auth("x7 OK welcome")}, want: fault.Protocol,
			login: true},
		{name: "M1 STARTTLS missing", server: &fake{caps: "IMAP4rev1 AUTH=PLAIN"},
			mode: wire.STARTTLS, want: fault.TLS, text: "TLS required but not offered"},
		{name: "M1 CAPABILITY refused",
			server: &fake{greeting: "* OK hi", on: map[string]handler{"CAPABILITY": say("TAG BAD no")}},
			mode:   wire.STARTTLS, want: fault.TLS},
		{name: "M2 STARTTLS refused", server: &fake{greeting: plain, on: starttls(say("TAG NO not now"))},
			mode: wire.STARTTLS, want: fault.TLS},
		{name: "M3 injection behind STARTTLS",
			server: &fake{greeting: plain,
				on: starttls(say("TAG OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN"))},
			mode: wire.STARTTLS, want: fault.TLS},
		{name: "N5 cut before the answer",
			server: &fake{on: map[string]handler{"AUTHENTICATE": hangUp("* OK ")}},
			want:   fault.Temporary, login: true},
		{name: "X1 endless line", server: &fake{on: auth("* " + strings.Repeat("y", 1<<20))},
			want: fault.Protocol, login: true},
		{name: "X2 endless lines", server: &fake{on: auth(strings.Repeat("* OK noise\r\n", 1000))},
			want: fault.Protocol, login: true},
		{name: "M6 endless challenges", server: &fake{on: map[string]handler{"AUTHENTICATE": challenge}},
			want: fault.Credentials, login: true},
		{name: "A11 wrong password", server: &fake{on: auth("TAG NO [authenticationfailed] no")},
			want: fault.Credentials, login: true},
		{name: "A11 no code", server: &fake{on: auth("TAG NO Login failed")}, want: fault.Credentials,
			login: true},
		{name: "A11 no code, busy", server: &fake{on: auth("TAG NO Too many simultaneous connections")},
			want: fault.Temporary, login: true},
		{name: "A11 no code, polite", server: &fake{on: auth("TAG NO Login incorrect, please try again")},
			want: fault.Credentials, login: true},
		{name: "A11 unavailable", server: &fake{on: auth("TAG NO [UNAVAILABLE] later")},
			want: fault.Temporary, login: true},
		{name: "A10 expired", server: &fake{on: auth("TAG NO [EXPIRED] old")}, want: fault.Credentials,
			login: true},
		{name: "A10 privacy", server: &fake{on: auth("TAG NO [PRIVACYREQUIRED] TLS")}, want: fault.TLS,
			login: true},
		{name: "A10 admin", server: &fake{on: auth("TAG NO [CONTACTADMIN] ask")}, want: fault.Refused,
			login: true},
		{name: "A12 BYE during login", server: &fake{on: auth("* BYE shutting down")},
			want: fault.Temporary, text: "shutting down", login: true},
		{name: "A24 BAD to LOGIN", server: &fake{on: auth("TAG BAD what")}, want: fault.Protocol,
			login: true},
		{name: "LOGINDISABLED in the clear", server: &fake{caps: "IMAP4rev1 LOGINDISABLED"},
			want: fault.TLS},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := c.server.start(t)
			if c.mode != "" {
				o.Endpoint.TLS = c.mode
			}
			conn, err := imapdst.Dial(context.Background(), o)
			if err == nil {
				conn.Close()
			}
			if err != nil && fault.HintOf(err) == "" {
				t.Errorf("no hint for: %v", err)
			}
			if got := fault.CodeOf(err); got != c.want {
				t.Errorf("code %v (%v), want %v", got, err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %q lacks %q", err, c.text)
			}
			if !c.login && leaks(c.server.received()) {
				t.Errorf("the password was sent: %q", c.server.received())
			}
		})
	}
}

// TestWordings: what real servers say leads to the class it has to.
func TestWordings(t *testing.T) {
	refusals := wordings.IMAP()
	for _, r := range wordings.Bare() {
		r.Text = "NO " + r.Text
		refusals = append(refusals, r)
	}
	for _, r := range refusals {
		answer := "TAG " + r.Text
		if strings.HasPrefix(r.Text, "BYE") {
			answer = "* " + r.Text
		}
		server := fake{on: map[string]handler{"AUTHENTICATE": say(answer)}}
		if _, err := imapdst.Dial(t.Context(), server.start(t)); fault.CodeOf(err) != r.Class || fault.HintOf(err) == "" {
			t.Errorf("%s, %q: %v, want %v; check %s", r.Server, r.Text, fault.CodeOf(err), r.Class, fault.HintOf(err))
		}
	}
}

// TestNotConnected: Exchange says in a BAD that the login is right and there is no mailbox.
func TestNotConnected(t *testing.T) {
	const answer = "TAG BAD User is authenticated but not connected."
	for _, auth := range []string{"login", "plain", "xoauth2", "auto"} {
		server := fake{on: map[string]handler{"LOGIN": say(answer), "AUTHENTICATE": say(answer)}}
		o := server.start(t)
		o.Auth = auth
		_, err := imapdst.Dial(context.Background(), o)
		if fault.CodeOf(err) != fault.Credentials || !strings.HasPrefix(fault.HintOf(err), "the login is right") {
			t.Errorf("%s: %v: %v; check %s", auth, fault.CodeOf(err), err, fault.HintOf(err))
		}
	}
	for _, verb := range []string{"LIST", "EXAMINE", "UID FETCH"} {
		err := walk((&fake{on: map[string]handler{verb: say(answer)}}).dial(t))
		if fault.CodeOf(err) != fault.Credentials || !strings.HasPrefix(fault.HintOf(err), "the login is right") {
			t.Errorf("%s: %v: %v; check %s", verb, fault.CodeOf(err), err, fault.HintOf(err))
		}
	}
}

// TestEchoHidesThePassword: a server that repeats what it got does not get the
// password onto the screen.
func TestEchoHidesThePassword(t *testing.T) {
	for _, answer := range []string{"TAG NO bad: %s", "TAG BAD %s", "* BYE %s", "nonsense %s", "* OK [ALERT] %s"} {
		for _, o := range []string{"plain", "login"} {
			f := &fake{}
			echo := func(f *fake, tag, args string) {
				f.send(strings.ReplaceAll(fmt.Sprintf(answer, args), "TAG", tag))
				f.send(tag + " NO no")
			}
			f.on = map[string]handler{"AUTHENTICATE": echo, "LOGIN": echo}
			options := f.start(t)
			options.Auth = o
			_, err := imapdst.Dial(context.Background(), options)
			if err == nil || leaks(err.Error()) || leaks(fault.HintOf(err)) {
				t.Errorf("%s, %s: %v", answer, o, err)
			}
		}
	}
}

// challenge asks for ever, and says NO when the client gives up.
func challenge(f *fake, tag, _ string) {
	for range 5 {
		f.send("+ ")
		line, err := f.in.ReadString('\n')
		if err != nil {
			return
		}
		if line == "*\r\n" {
			f.send(tag + " NO cancelled")
			return
		}
	}
}

// leaks tells whether the password is in s, in any form that we could send.
func leaks(s string) bool {
	return strings.Contains(s, password) || strings.Contains(s, `p\"a\\ss`) ||
		strings.Contains(s, base64.StdEncoding.EncodeToString([]byte("\x00"+username+"\x00"+password)))
}

// TestLoginForms holds how the credentials go out.
func TestLoginForms(t *testing.T) {
	response := base64.StdEncoding.EncodeToString([]byte("\x00" + username + "\x00" + password))
	for _, c := range []struct {
		name, caps, auth, user, want string
	}{
		{"PLAIN at once", "SASL-IR AUTH=PLAIN", "", username, " AUTHENTICATE PLAIN " + response + "\r\n"},
		{"PLAIN in two steps", "AUTH=PLAIN", "", username, " AUTHENTICATE PLAIN\r\n" + response + "\r\n"},
		{"LOGIN quoted", "", "", username, ` LOGIN "alice" "p\"a\\ss"` + "\r\n"},
		{"LOGIN chosen", "AUTH=PLAIN", "login", username, ` LOGIN "alice" "p\"a\\ss"` + "\r\n"},
		{"LOGIN literal", "", "", "älice", " LOGIN {6}\r\nälice" + ` "p\"a\\ss"` + "\r\n"},
		{"LOGIN literal+", "LITERAL+", "", "älice", " LOGIN {6+}\r\nälice" + ` "p\"a\\ss"` + "\r\n"},
		{"ID ahead", "ID SASL-IR AUTH=PLAIN", "", username, ` ID ("name" "popferry")` + "\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := fake{caps: "IMAP4rev1 " + c.caps, on: map[string]handler{
				"AUTHENTICATE": takeRest, "LOGIN": takeRest,
			}}
			o := server.start(t)
			o.Auth, o.Username = c.auth, c.user
			dial(t, o)
			if got := server.received(); !strings.Contains(got, c.want) {
				t.Errorf("sent %q, want %q", got, c.want)
			}
		})
	}
}

// takeRest asks for what is missing of a login command, then accepts it.
func takeRest(f *fake, tag, args string) {
	for args == "PLAIN" || literalEnd.MatchString(args) {
		if !strings.HasSuffix(args, "+}") {
			f.send("+ ")
		}
		line, err := f.in.ReadString('\n')
		if err != nil {
			return
		}
		args = strings.TrimRight(line, "\r\n")
	}
	f.send(tag + " OK [CAPABILITY " + f.caps + "] welcome")
}

func TestBadOptions(t *testing.T) {
	for name, change := range map[string]func(*imapdst.Options){
		"C6 line break in the password": func(o *imapdst.Options) { o.Password = secret.New("a\r\nb") },
		"C6 NUL in the user name":       func(o *imapdst.Options) { o.Username = "a\x00b" },
		"unknown auth":                  func(o *imapdst.Options) { o.Auth = "apop" },
	} {
		t.Run(name, func(t *testing.T) {
			server := fake{}
			o := server.start(t)
			change(&o)
			if _, err := imapdst.Dial(context.Background(), o); fault.CodeOf(err) != fault.Config {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestCapabilitiesAreAskedOnlyWhenNotTold counts the waits of a server that
// tells nothing by itself.
func TestCapabilitiesAreAskedOnlyWhenNotTold(t *testing.T) {
	server := fake{greeting: "* OK hi", on: map[string]handler{
		"AUTHENTICATE": say("TAG OK in"), "LOGIN": say("TAG OK in"),
	}}
	c := server.dial(t)
	if got := c.RoundTrips(); got != 4 { // greeting, CAPABILITY, AUTHENTICATE, CAPABILITY
		t.Errorf("%d round trips", got)
	}
	caps := c.Capabilities()
	if !caps.MultiAppend || !caps.LiteralPlus || !caps.UIDPlus || !caps.Namespace {
		t.Errorf("%+v", caps)
	}
}

// A web server waits for us as we wait for it; what a silent one is nobody knows.
func TestN9SilentWebServer(t *testing.T) {
	clear := httptest.NewServer(http.NotFoundHandler())
	defer clear.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	certificate := sha256.Sum256(secure.Certificate().RawSubjectPublicKeyInfo)
	for _, c := range []struct {
		name     string
		listener net.Listener
		mode     wire.TLSMode
		want     fault.Code
		text     string
	}{
		{"clear", clear.Listener, wire.None, fault.Protocol, "is a web server, not an IMAP server"},
		{"TLS", secure.Listener, wire.Implicit, fault.Protocol, "is a web server, not an IMAP server"},
		{"silent", silent, wire.None, fault.Temporary, "accepted the connection but said nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := endpoint(t, c.listener.Addr().String(), c.mode, "")
			e.Pin = fmt.Sprintf("sha256:%x", certificate)
			e.Limits = wire.Limits{Greeting: time.Millisecond, Probe: time.Minute}
			if c.want == fault.Temporary {
				e.Limits.Probe = time.Millisecond
			}
			_, err := imapdst.Dial(t.Context(), options(e))
			if fault.CodeOf(err) != c.want || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v", err)
			}
		})
	}
}
