package pop_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/pop"
)

// desk is a server that follows a script: each line that comes in is answered by the
// next reply to its verb, a response by the next to "". The last reply stays.
type desk struct {
	greeting string
	bare     string              // all that is said to who shows no certificate, unless empty
	sasl     string              // what CAPA says of SASL
	replies  map[string][]string // by verb
	mu       sync.Mutex
	lines    []string // what came in, without CAPA
}

func (d *desk) options(t testing.TB) pop.Options {
	t.Helper()
	client, server := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		d.serve(server)
	}()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return pop.Options{
		Username: "alice", Password: secret.New("open sesame"),
		Endpoint: wire.Endpoint{Host: "127.0.0.1", Port: 110, TLS: wire.None,
			Dial: func(context.Context, string, string) (net.Conn, error) { return client, nil }},
	}
}

func (d *desk) serve(conn net.Conn) {
	if d.bare != "" && !showsCertificate(conn) {
		io.WriteString(conn, d.bare+"\r\n")
		conn.Close()
		return
	}
	greeting := d.greeting
	if greeting == "" {
		greeting = "+OK ready"
	}
	io.WriteString(conn, greeting+"\r\n")
	for in := bufio.NewReader(conn); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		answer := d.answer(strings.TrimRight(line, "\r\n"))
		if answer == hangUp {
			conn.Close()
			return
		}
		if _, err := io.WriteString(conn, answer+"\r\n"); err != nil {
			return
		}
	}
}

func showsCertificate(conn net.Conn) bool {
	secure, ok := conn.(*tls.Conn)
	return ok && secure.Handshake() == nil && len(secure.ConnectionState().PeerCertificates) > 0
}

func (d *desk) answer(line string) string {
	if line == "CAPA" {
		return "+OK\r\nSASL " + d.sasl + "\r\n."
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
	verb, _, _ := strings.Cut(line, " ")
	if _, known := d.replies[verb]; !known {
		verb = ""
	}
	reply := d.replies[verb][0]
	if len(d.replies[verb]) > 1 {
		d.replies[verb] = d.replies[verb][1:]
	}
	return reply
}

func (d *desk) received() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

func base64of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func tokenOf(text string) func(context.Context) (secret.Value, error) {
	return func(context.Context) (secret.Value, error) { return secret.New(text), nil }
}

// TestAuthLines has what goes out for each way to log in.
func TestAuthLines(t *testing.T) {
	const bearer = "user=alice\x01auth=Bearer tok\x01\x01"
	long := strings.Repeat("t", 300)
	plain := base64of("\x00alice\x00open sesame")
	accept := map[string][]string{"AUTH": {"+OK in"}, "": {"+OK in"}}
	ask := map[string][]string{"AUTH": {"+ "}, "": {"+OK in"}}
	refuse := func(text string, more ...string) map[string][]string {
		return map[string][]string{"AUTH": append([]string{text}, more...), "": {"+OK in"}, "USER": {"+OK"}, "PASS": {"+OK in"}}
	}
	for name, test := range map[string]struct {
		desk      *desk
		auth      string
		as        string
		token     string
		want      []string
		mechanism string
	}{
		"xoauth2": {&desk{replies: accept}, "xoauth2", "", "tok",
			[]string{"AUTH XOAUTH2 " + base64of(bearer)}, "XOAUTH2"},
		"xoauth2, long": {&desk{replies: ask}, "xoauth2", "", long,
			[]string{"AUTH XOAUTH2", base64of("user=alice\x01auth=Bearer " + long + "\x01\x01")}, "XOAUTH2"},
		"xoauth2, Exchange": {&desk{greeting: "+OK The Microsoft Exchange POP3 service is ready.", replies: ask},
			"xoauth2", "", "tok", []string{"AUTH XOAUTH2", base64of(bearer)}, "XOAUTH2"},
		"xoauth2, protocol error": {&desk{replies: refuse("-ERR Protocol error. 14", "+ ")}, "xoauth2", "", "tok",
			[]string{"AUTH XOAUTH2 " + base64of(bearer), "AUTH XOAUTH2", base64of(bearer)}, "XOAUTH2"},
		"xoauth2 by password": {&desk{replies: accept}, "xoauth2", "", "",
			[]string{"AUTH XOAUTH2 " + base64of("user=alice\x01auth=Bearer open sesame\x01\x01")}, "XOAUTH2"},
		"oauthbearer": {&desk{replies: accept}, "oauthbearer", "bob", "tok",
			[]string{"AUTH OAUTHBEARER " + base64of("n,a=bob,\x01host=127.0.0.1\x01port=110\x01auth=Bearer tok\x01\x01")},
			"OAUTHBEARER"},
		"auto with a token": {&desk{sasl: "PLAIN XOAUTH2", replies: accept}, "", "", "tok",
			[]string{"AUTH XOAUTH2 " + base64of(bearer)}, "XOAUTH2"},
		"auto": {&desk{sasl: "LOGIN PLAIN CRAM-MD5", replies: accept}, "auto", "", "",
			[]string{"AUTH PLAIN " + plain}, "PLAIN"},
		"auto, none announced": {&desk{sasl: "NTLM", replies: refuse("")}, "auto", "", "",
			[]string{"USER alice", "PASS open sesame"}, "USER"},
		"auto, none known": {&desk{sasl: "PLAIN LOGIN", replies: refuse("-ERR unsupported mechanism", "-ERR unknown command")},
			"auto", "", "", []string{"AUTH PLAIN " + plain, "AUTH LOGIN", "USER alice", "PASS open sesame"}, "USER"},
		"for somebody else": {&desk{sasl: "PLAIN", replies: accept}, "", "bob", "",
			[]string{"AUTH PLAIN " + base64of("bob\x00alice\x00open sesame")}, "PLAIN"},
		"login": {&desk{replies: map[string][]string{"AUTH": {"+ " + base64of("Username:")},
			"": {"+ " + base64of("Password:"), "+OK in"}}}, "login", "", "",
			[]string{"AUTH LOGIN", base64of("alice"), base64of("open sesame")}, "LOGIN"},
		"cram-md5": {&desk{replies: map[string][]string{"AUTH": {"+ " + base64of("<a@example.org>")}, "": {"+OK in"}}},
			"cram-md5", "", "", []string{"AUTH CRAM-MD5", base64of("alice f48fddcc42752f16763708fc593de56e")}, "CRAM-MD5"},
		"apop": {&desk{greeting: "+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>",
			replies: map[string][]string{"APOP": {"+OK in"}}}, "apop", "", "",
			[]string{"APOP alice 57be98a82bc64b84a78658ec6570f272"}, "APOP"},
	} {
		t.Run(name, func(t *testing.T) {
			o := test.desk.options(t)
			o.Auth, o.AuthorizeAs = test.auth, test.as
			if test.token != "" {
				o.Token, o.Password = tokenOf(test.token), secret.Value{}
			}
			m := dial(t, o)
			if diff := cmp.Diff(test.want, test.desk.received()); diff != "" {
				t.Error(diff)
			}
			if got := m.Mechanism(); got != test.mechanism {
				t.Errorf("logged in by %q", got)
			}
		})
	}
}

// TestAuthRefused has one login each that ends badly, and how often it was tried.
func TestAuthRefused(t *testing.T) {
	for name, test := range map[string]struct {
		auth, greeting string
		sasl           string
		replies        map[string][]string
		code           fault.Code
		words          []string
		lines          int
	}{
		"token revoked": {"xoauth2", "", "", map[string][]string{
			"AUTH": {"+ " + base64of(`{"status":"401","schemes":"bearer","scope":"https://mail.example/"}`)},
			"":     {"-ERR [AUTH] AUTHENTICATE failed."}}, fault.Credentials,
			[]string{"AUTHENTICATE failed", "token: status 401, scope https://mail.example/", "expired or revoked"}, 2},
		"token revoked, RFC 7628": {"oauthbearer", "", "", map[string][]string{
			"AUTH": {"+ " + base64of(`{"status":"invalid_token"}`)}, "": {"-ERR no"}}, fault.Credentials,
			[]string{"status invalid_token"}, 2},
		"token echoed": {"xoauth2", "", "", map[string][]string{
			"AUTH": {"-ERR bad " + base64of("user=alice\x01auth=Bearer open sesame\x01\x01")}}, fault.Credentials,
			[]string{"bad ***"}, 1},
		"error, then OK": {"xoauth2", "", "", map[string][]string{
			"AUTH": {"+ " + base64of(`{"status":"401"}`)}, "": {"+OK welcome"}}, fault.Protocol,
			[]string{"in the middle of a login"}, 2},
		"auto: one bad login is one": {"auto", "", "PLAIN LOGIN", map[string][]string{
			"AUTH": {"-ERR authentication failed"}}, fault.Credentials, []string{"password"}, 1},
		"auto: after SCRAM one more": {"auto", "", "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN", map[string][]string{
			"AUTH": {"-ERR authentication failed"}}, fault.Credentials, []string{"password"}, 2},
		"auto: SCRAM alone": {"auto", "", "SCRAM-SHA-256", map[string][]string{"AUTH": {"-ERR no"}, "USER": {"-ERR no"}},
			fault.Credentials, []string{"password"}, 2},
		"auto: SCRAM, busy": {"auto", "", "SCRAM-SHA-256 PLAIN", map[string][]string{"AUTH": {"-ERR [IN-USE] wait"}},
			fault.Temporary, []string{"IN-USE"}, 1},
		"auto: SCRAM, busy in words": {"auto", "", "SCRAM-SHA-256 PLAIN", map[string][]string{"AUTH": {"-ERR System busy!"}},
			fault.Temporary, []string{"later"}, 1},
		"OK to SCRAM at once": {"scram-sha-256", "", "", map[string][]string{"AUTH": {"+OK welcome"}}, fault.Protocol,
			[]string{"in the middle of a login", "poses"}, 1},
		"OK to CRAM-MD5 at once": {"cram-md5", "", "", map[string][]string{"AUTH": {"+OK welcome"}}, fault.Protocol,
			[]string{"in the middle of a login"}, 1},
		"SCRAM, cancelled": {"scram-sha-1", "", "", map[string][]string{
			"AUTH": {"+ " + base64of("r=x,s=c2FsdA==,i=2147483648")}, "": {"-ERR cancelled"}}, fault.Protocol,
			[]string{"iterations", "auth: plain"}, 2},
		"CRAM-MD5, no msg-id": {"cram-md5", "", "", map[string][]string{
			"AUTH": {"+ " + base64of("<\x01\x02@x>")}, "": {"-ERR cancelled"}}, fault.Credentials,
			[]string{"unusable challenge"}, 2},
		"APOP without timestamp": {"apop", "+OK ready", "", nil, fault.Refused, []string{"timestamp", "auth: auto"}, 0},
		"APOP, no msg-id":        {"apop", "+OK <a\x80\xff@b>", "", nil, fault.Refused, []string{"timestamp"}, 0},
		"APOP, open":             {"apop", "+OK <a@b", "", nil, fault.Refused, []string{"timestamp"}, 0},
		"APOP refused": {"apop", "+OK <a@b>", "", map[string][]string{"APOP": {"-ERR no"}}, fault.Credentials,
			[]string{"password"}, 1},
		"named, not known": {"cram-md5", "", "PLAIN", map[string][]string{"AUTH": {"-ERR unknown command"}},
			fault.Config, []string{"CRAM-MD5", "auth: auto", "PLAIN"}, 1},
		"auto, nothing known": {"auto", "", "NTLM", map[string][]string{"USER": {"-ERR unknown command"}},
			fault.Refused, []string{"USER", "NTLM", "TLS"}, 1},
		"NTLM": {"ntlm", "", "", nil, fault.Config, []string{"ntlm"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := &desk{greeting: test.greeting, sasl: test.sasl, replies: test.replies}
			o := d.options(t)
			o.Auth = test.auth
			_, err := pop.Dial(t.Context(), o)
			wantFault(t, err, test.code, test.words...)
			lines := d.received()
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
	d := &desk{sasl: "PLAIN NTLM"}
	o := d.options(t)
	o.Token, o.Password = tokenOf("tok"), secret.Value{}
	_, err := pop.Dial(t.Context(), o)
	wantFault(t, err, fault.Refused, "PLAIN, NTLM", "auth: xoauth2")
	if lines := d.received(); len(lines) != 0 {
		t.Errorf("sent %q", lines)
	}

	o = (&desk{}).options(t)
	o.Token = func(context.Context) (secret.Value, error) {
		return secret.Value{}, fault.New(fault.Credentials, "no token").WithHint("log in")
	}
	_, err = pop.Dial(t.Context(), o)
	wantFault(t, err, fault.Credentials, "no token", "log in")
	o.Token = tokenOf("a\r\nb")
	_, err = pop.Dial(t.Context(), o)
	wantFault(t, err, fault.Config, "token")
}

func TestSomebodyElse(t *testing.T) {
	for _, auth := range []string{"user", "apop", "login", "cram-md5"} {
		o := (&desk{greeting: "+OK <a@b>"}).options(t)
		o.Auth, o.AuthorizeAs = auth, "bob"
		_, err := pop.Dial(t.Context(), o)
		wantFault(t, err, fault.Config, "authorize_as", "plain")
	}
	o := (&desk{sasl: "LOGIN"}).options(t)
	o.AuthorizeAs = "bob"
	_, err := pop.Dial(t.Context(), o)
	wantFault(t, err, fault.Refused, "LOGIN", "authorize_as")
}

// TestM1NothingBeforeTLS: however a login is to be done, a server that refuses TLS, or
// pretends to be further already, is told nothing.
func TestM1NothingBeforeTLS(t *testing.T) {
	words := []string{"auto", "user", "apop"}
	for _, name := range sasl.Mechanisms() {
		words = append(words, strings.ToLower(name))
	}
	for _, auth := range words {
		for name, reply := range map[string]string{
			"refused": "-ERR no TLS", "ahead": "+OK go\r\n+OK you are in\r\n+OK", "challenge": "+ ",
		} {
			d := &desk{greeting: "+OK <a@b>", replies: map[string][]string{"STLS": {reply}, "": {"+OK in"}}}
			o := d.options(t)
			o.Auth, o.Endpoint.TLS, o.Token = auth, wire.STARTTLS, tokenOf("tok")
			o.Endpoint.Certificate = &tls.Certificate{}
			if _, err := pop.Dial(t.Context(), o); err == nil {
				t.Errorf("%s, %s: logged in", auth, name)
			}
			if lines := d.received(); !slices.Equal(lines, []string{"STLS"}) {
				t.Errorf("%s, %s: sent %q", auth, name, lines)
			}
		}
	}
}
