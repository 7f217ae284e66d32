package pop_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/pop"
)

func TestDialModes(t *testing.T) {
	for name, mode := range map[string]popd.Mode{
		"none": popd.Plain, "starttls": popd.STLS, "implicit": popd.Implicit,
	} {
		t.Run(name, func(t *testing.T) {
			o := popd.Options{Username: "alice", Password: "open sesame"}
			server, options := secured(t, mode, o, "A: b\r\n\r\nc\r\n")
			m := dial(t, options)
			if entries := list(t, m); len(entries) != 1 {
				t.Errorf("%d entries, want 1", len(entries))
			}
			if err := m.Quit(t.Context()); err != nil {
				t.Error(err)
			}
			clear := server.Counters().ClearLogins
			if want := map[bool]int{true: 1}[mode == popd.Plain]; clear != want {
				t.Errorf("%d login commands in clear text, want %d", clear, want)
			}
		})
	}
}

// The connection, one packet each for CAPA, for the login, and for STAT, LIST
// and UIDL.
func TestRoundTrips(t *testing.T) {
	for name, test := range map[string]struct {
		options popd.Options
		auth    string
		want    int
	}{
		"pipelined":    {popd.Options{UTF8: true}, "auto", 4},
		"user":         {popd.Options{UTF8: true}, "user", 4},
		"no pipeline":  {popd.Options{NoPipelining: true}, "auto", 6},
		"old server":   {popd.Options{NoCAPA: true}, "auto", 7},
		"recheck CAPA": {popd.Options{Capabilities: []string{"EXPIRE 5 USER"}}, "auto", 4},
	} {
		t.Run(name, func(t *testing.T) {
			options := over(serve(t, test.options, "A: b\r\n\r\nc\r\n"))
			options.Auth = test.auth
			m := dial(t, options)
			list(t, m)
			if got := m.RoundTrips(); got != test.want {
				t.Errorf("%d round trips, want %d", got, test.want)
			}
		})
	}
}

func TestGreetings(t *testing.T) {
	for name, test := range map[string]struct {
		greeting string
		code     fault.Code
		words    []string
	}{
		"N9 HTML": {"<html><body>Sign in</body></html>\r\n", fault.Protocol,
			[]string{"not a POP3 server", "<html>"}},
		"N9 HTTP": {"HTTP/1.1 400 Bad Request\r\n", fault.Protocol,
			[]string{"not a POP3 server"}},
		"N9 IMAP":       {"* OK IMAP4rev1 ready\r\n", fault.Protocol, []string{"IMAP", "995"}},
		"N9 SMTP":       {"220 mx.example.org ESMTP\r\n", fault.Protocol, []string{"SMTP"}},
		"N9 empty line": {"\r\n", fault.Protocol, []string{"not a POP3 server"}},
		"N9 challenge":  {"+ hello\r\n", fault.Protocol, []string{"not a POP3 server"}},
		"N11 refused": {"-ERR too many connections\r\n", fault.Temporary,
			[]string{"too many connections", "later"}},
		"N11 code": {"-ERR [SYS/PERM] go away\r\n", fault.Refused, []string{"go away"}},
		"C1 TLS alert": {"\x15\x03\x01\x00\x02\x02\x0a\n", fault.Config,
			[]string{"expects TLS", "tls: implicit"}},
		"M12 endless line": {strings.Repeat("+OK", 10000) + "\r\n", fault.Protocol,
			[]string{"more than 8192 bytes"}},
		"M16 escapes": {"-ERR \x1b[2J\u202eboo\r\n", fault.Temporary,
			[]string{`\x1b[2J\u202eboo`}},
		"M16 a long refusal": {"-ERR " + strings.Repeat("x", 8000) + "\r\n", fault.Temporary,
			[]string{"x…"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, say("GREETING", test.greeting))
			_, err := pop.Dial(t.Context(), over(server))
			wantFault(t, err, test.code, append(test.words, "127.0.0.1:110")...)
			if strings.Contains(err.Error(), "\x1b") || len(err.Error()) > 400 {
				t.Errorf("server text was not tamed: %q", err)
			}
		})
	}
}

// go-pop3 takes neither; other clients do.
func TestGreetingForms(t *testing.T) {
	for name, greeting := range map[string]string{
		"bare": "+OK\r\n", "lower case": "+ok hello\r\n", "M15 bare LF": "+OK hello\n",
		"longer than go-pop3's buffer": "+OK " + strings.Repeat("hello ", 1200) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, say("GREETING", greeting))
			m := dial(t, over(server))
			if err := m.Noop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestN4Silence(t *testing.T) {
	for name, test := range map[string]struct {
		port  int
		code  fault.Code
		words []string
	}{
		"N4":              {110, fault.Temporary, []string{"said nothing", "tls: implicit"}},
		"C1 the TLS port": {995, fault.Config, []string{"expects TLS", "tls: implicit"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := serve(t, say("GREETING", ""))
				options := over(server)
				options.Endpoint.Port = test.port
				_, err := pop.Dial(t.Context(), options)
				wantFault(t, err, test.code, test.words...)
			})
		})
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
	for name, test := range map[string]struct {
		listener net.Listener
		mode     wire.TLSMode
		code     fault.Code
		words    string
	}{
		"clear":  {clear.Listener, wire.None, fault.Protocol, "is a web server, not a POP3 server"},
		"TLS":    {secure.Listener, wire.Implicit, fault.Protocol, "is a web server, not a POP3 server"},
		"silent": {silent, wire.None, fault.Temporary, "POP3 server 127.0.0.1:110 accepted the connection but said nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			options := pop.Options{Username: "alice", Password: hidden("open sesame")}
			options.Endpoint = wire.Endpoint{
				Host: "127.0.0.1", Port: 110, TLS: test.mode, Pin: fmt.Sprintf("sha256:%x", certificate),
				Limits: wire.Limits{Greeting: time.Millisecond, Probe: time.Minute},
				Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, network, test.listener.Addr().String())
				},
			}
			if test.code == fault.Temporary {
				options.Endpoint.Limits.Probe = time.Millisecond
			}
			_, err := pop.Dial(t.Context(), options)
			wantFault(t, err, test.code, test.words)
		})
	}
}

func TestC2ClearTextOnImplicit(t *testing.T) {
	options := overTCP(t, serve(t, popd.Options{}))
	options.Endpoint.TLS = wire.Implicit
	_, err := pop.Dial(t.Context(), options)
	wantFault(t, err, fault.Config, "clear text", "starttls")
}

func TestC3UnknownCA(t *testing.T) {
	server, options := secured(t, popd.Implicit, popd.Options{})
	options.Endpoint.CAFile = ""
	_, err := pop.Dial(t.Context(), options)
	wantFault(t, err, fault.TLS, "tls_pin")
	if n := server.Counters().Commands["AUTH"]; n != 0 {
		t.Errorf("%d logins to an untrusted server", n)
	}
}

// No row may let a single credential out of TLS.
func TestSTLS(t *testing.T) {
	for name, test := range map[string]struct {
		mode  popd.Mode
		reply string
		code  fault.Code
		words []string
	}{
		"M1 not offered": {popd.Plain, "", fault.TLS, []string{"required but not offered"}},
		"M2 refused, replies behind": {popd.STLS, "-ERR no\r\n+OK\r\n+OK\r\n", fault.TLS,
			[]string{"required but not offered"}},
		"M3 clear text behind": {popd.STLS, "+OK go\r\n+OK CAPA\r\nPIPELINING\r\n.\r\n", fault.TLS,
			[]string{"in clear text after agreeing"}},
		"M1 nonsense": {popd.STLS, "hello\r\n", fault.Protocol, []string{"not a POP3 reply"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := popd.Options{}
			if test.reply != "" {
				o.Reply = replies(map[string]string{"STLS": test.reply})
			}
			server, options := secured(t, test.mode, o)
			options.Endpoint.TLS = wire.STARTTLS
			_, err := pop.Dial(t.Context(), options)
			wantFault(t, err, test.code, test.words...)
			if n := server.Counters().ClearLogins; n != 0 {
				t.Errorf("%d login commands in clear text", n)
			}
		})
	}
}

// M4: what was said before TLS is not even asked for.
func TestM4CapaOnlyInsideTLS(t *testing.T) {
	server, options := secured(t, popd.STLS, popd.Options{})
	m := dial(t, options)
	if got := server.Counters().Commands["CAPA"]; got != 1 {
		t.Errorf("CAPA was sent %d times, want once", got)
	}
	if caps := m.Capabilities(); caps.STLS || !caps.Pipelining {
		t.Errorf("capabilities %+v are not those inside TLS", caps)
	}
}

func TestC6LineBreaks(t *testing.T) {
	for _, bad := range []string{"a\r\nDELE 1", "a\nb", "a\x00b", "\r"} {
		server := serve(t, popd.Options{})
		options := over(server)
		options.Username = bad
		_, err := pop.Dial(t.Context(), options)
		wantFault(t, err, fault.Config, "user name contains a line break")
		options = over(server)
		options.Password = hidden(bad)
		_, err = pop.Dial(t.Context(), options)
		wantFault(t, err, fault.Config, "password contains a line break")
		if n := server.Counters().Sessions; n != 0 {
			t.Errorf("%d connections, want none", n)
		}
	}
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := serve(t, say("NOOP", ""))
		m := dial(t, over(server))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Noop(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Noop returned %v, want a cancellation", err)
		}
		if err := m.Noop(t.Context()); err == nil {
			t.Error("the session goes on after a cancellation")
		}
	})
}

func TestDialFailure(t *testing.T) {
	options := over(serve(t, popd.Options{}))
	options.Endpoint.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("connection refused")
	}
	_, err := pop.Dial(t.Context(), options)
	wantFault(t, err, fault.Temporary, "cannot connect to POP3 server 127.0.0.1:110")
}
