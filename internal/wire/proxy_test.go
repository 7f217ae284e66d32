package wire_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/mailtest/gateway"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
)

// greeter is a server that says a line to whoever connects.
func greeter(t testing.TB, config *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "+OK hello\r\n")
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func startGateway(t testing.TB, o gateway.Options) *gateway.Proxy {
	t.Helper()
	p, err := gateway.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// through is an endpoint that only a proxy can reach: it alone knows the name.
func through(kind, address string) wire.Endpoint {
	return wire.Endpoint{Protocol: wire.POP3, Host: "pop.example.org", Port: 995, TLS: wire.None,
		AllowPlaintext: true, Proxy: &wire.Proxy{Kind: kind, Address: address}}
}

const hiddenName = "pop.example.org:995"

// TestProxy connects through both kinds, with TLS to the server and without, and has
// the proxy resolve the name.
func TestProxy(t *testing.T) {
	pair, err := certs.New(certs.Options{Hosts: []string{"pop.example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	files, err := pair.WriteFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	clear, secure := greeter(t, nil), greeter(t, pair.Server())
	for _, kind := range []string{wire.SOCKS5, wire.HTTPConnect} {
		for _, user := range []string{"", "alice"} {
			for mode, address := range map[wire.TLSMode]string{wire.None: clear, wire.Implicit: secure} {
				t.Run(kind+"/"+user+"/"+string(mode), func(t *testing.T) {
					p := startGateway(t, gateway.Options{Username: user, Password: "open sesame",
						Names: map[string]string{hiddenName: address}})
					e := through(kind, p.Addr())
					e.TLS, e.CAFile = mode, files.CA
					e.Proxy.Username, e.Proxy.Password = user, secret.New("open sesame")
					conn, err := e.Connect(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					line, err := conn.Greeting(t.Context(), 100)
					if string(line) != "+OK hello" {
						t.Errorf("got %q, %v", line, err)
					}
					if targets := p.Targets(); len(targets) != 1 || targets[0] != hiddenName {
						t.Errorf("asked for %q", targets)
					}
				})
			}
		}
	}
}

// TestHostileProxy: whatever a proxy does ends in an error that names it, in time.
func TestHostileProxy(t *testing.T) {
	say := func(text string) func(net.Conn) {
		return func(conn net.Conn) {
			conn.Read(make([]byte, 1024))
			io.WriteString(conn, text)
			io.Copy(io.Discard, conn)
		}
	}
	endless := func(start, text string) func(net.Conn) {
		return func(conn net.Conn) {
			conn.Read(make([]byte, 1024))
			io.WriteString(conn, start)
			for {
				if _, err := io.WriteString(conn, text); err != nil {
					return
				}
			}
		}
	}
	inTurn := func(texts ...string) func(net.Conn) {
		return func(conn net.Conn) {
			for _, text := range texts {
				conn.Read(make([]byte, 1024))
				io.WriteString(conn, text)
			}
			io.Copy(io.Discard, conn)
		}
	}
	hangUp := func(conn net.Conn) { conn.Read(make([]byte, 1024)) }
	for name, test := range map[string]struct {
		kind  string
		serve func(net.Conn)
		code  fault.Code
		text  string
	}{
		"SOCKS5 wrong version":     {wire.SOCKS5, say("\x04\x00"), fault.Config, "version"},
		"SOCKS5 web server":        {wire.SOCKS5, say("HTTP/1.1 400 Bad Request\r\n\r\n"), fault.Config, "version"},
		"SOCKS5 hangs up":          {wire.SOCKS5, hangUp, fault.Temporary, "it closed the connection"},
		"SOCKS5 wants a password":  {wire.SOCKS5, say("\x05\xff"), fault.Credentials, "authentication"},
		"SOCKS5 forbids":           {wire.SOCKS5, inTurn("\x05\x00", "\x05\x02\x00\x01"), fault.Refused, "ruleset"},
		"SOCKS5 unreachable":       {wire.SOCKS5, inTurn("\x05\x00", "\x05\x04\x00\x01"), fault.Temporary, "unreachable"},
		"SOCKS5 refused":           {wire.SOCKS5, inTurn("\x05\x00", "\x05\x05\x00\x01"), fault.Temporary, ": connection refused"},
		"SOCKS5 odd address":       {wire.SOCKS5, inTurn("\x05\x00", "\x05\x00\x00\x09"), fault.Config, "address type"},
		"SOCKS5 second version":    {wire.SOCKS5, inTurn("\x05\x00", "\x07\x00\x00\x01"), fault.Config, "version"},
		"SOCKS5 half an answer":    {wire.SOCKS5, inTurn("\x05\x00", "\x05\x00\x00\x01\x7f"), fault.Temporary, ""},
		"SOCKS5 says nothing":      {wire.SOCKS5, say(""), fault.Temporary, ""},
		"CONNECT hangs up":         {wire.HTTPConnect, hangUp, fault.Temporary, "it closed the connection"},
		"CONNECT no HTTP":          {wire.HTTPConnect, say("+OK POP3\r\n"), fault.Config, "malformed"},
		"CONNECT at SOCKS5":        {wire.HTTPConnect, say("\x05\xff"), fault.Config, "SOCKS5"},
		"CONNECT wants a password": {wire.HTTPConnect, say("HTTP/1.1 407 Login\x1b[31m\r\n\r\n"), fault.Credentials, `Login\x1b`},
		"CONNECT forbids":          {wire.HTTPConnect, say("HTTP/1.1 403 No\r\n\r\n"), fault.Refused, "403 No"},
		"CONNECT unreachable":      {wire.HTTPConnect, say("HTTP/1.1 504 Slow\r\n\r\n"), fault.Temporary, "504"},
		"CONNECT go on for ever":   {wire.HTTPConnect, say("HTTP/1.1 100 Continue\r\n\r\n"), fault.Refused, "100"},
		"CONNECT endless header": {wire.HTTPConnect, endless("HTTP/1.1 200 OK\r\n", "X: "+strings.Repeat("y", 1000)+"\r\n"),
			fault.Temporary, "its answer has more than"},
		"CONNECT endless line": {wire.HTTPConnect, endless("HTTP/1.1 200 ", strings.Repeat("y", 1000)),
			fault.Temporary, "its answer has more than"},
		"CONNECT says nothing": {wire.HTTPConnect, say(""), fault.Temporary, ""},
		"CONNECT echoes": {wire.HTTPConnect, say("HTTP/1.1 400 bad: YWxpY2U6b3BlbiBzZXNhbWU=\r\n\r\n"),
			fault.Refused, "bad: ***"},
	} {
		t.Run(name, func(t *testing.T) {
			p := startGateway(t, gateway.Options{Serve: test.serve})
			e := through(test.kind, p.Addr())
			if strings.Contains(name, "echoes") {
				e.Proxy.Username, e.Proxy.Password = "alice", secret.New("open sesame")
			}
			if test.text == "" { // a wait that only its limit ends
				e.Limits.Dial = 50 * time.Millisecond
			}
			_, err := e.Connect(t.Context())
			if fault.CodeOf(err) != test.code || fault.HintOf(err) == "" {
				t.Fatalf("got %v (%v), %q", err, fault.CodeOf(err), fault.HintOf(err))
			}
			for _, word := range []string{test.text, "proxy " + test.kind + "://" + p.Addr(), "POP3 server " + hiddenName} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q is not in: %v", word, err)
				}
			}
			if strings.Contains(err.Error(), "\x1b") || strings.Contains(err.Error(), "sesame") || len(err.Error()) > 500 {
				t.Errorf("shown: %q", err)
			}
		})
	}
}

// TestWrongKindOfProxy: that proxy: has the wrong kind is said where it shows, and thought of
// where a proxy only hangs up.
func TestWrongKindOfProxy(t *testing.T) {
	for _, test := range []struct{ kind, answer, want string }{
		{wire.SOCKS5, "HTTP/1.1 400 Bad Request\r\n\r\n", "write http:// in place of socks5://"},
		{wire.HTTPConnect, "\x05\xff", "write socks5:// in place of http://"},
		{wire.SOCKS5, "", "one for socks5://, and not for http://"},
		{wire.HTTPConnect, "", "one for http://, and not for socks5://"},
		{wire.SOCKS5, "\x05\x00\x05\x05\x00\x01", "check host and port of the server"},
	} {
		p := startGateway(t, gateway.Options{Serve: func(conn net.Conn) {
			conn.Read(make([]byte, 1024))
			if test.answer != "" {
				io.WriteString(conn, test.answer)
				io.Copy(io.Discard, conn)
			}
		}})
		_, err := through(test.kind, p.Addr()).Connect(t.Context())
		if !strings.Contains(fault.HintOf(err), test.want) {
			t.Errorf("%s, %q: %v (%s)", test.kind, test.answer, err, fault.HintOf(err))
		}
	}
}

func TestNoProxy(t *testing.T) {
	p := startGateway(t, gateway.Options{})
	address := p.Addr()
	p.Close()
	e := through(wire.SOCKS5, address)
	_, err := e.Connect(t.Context())
	if fault.CodeOf(err) != fault.Temporary || !strings.Contains(err.Error(), "cannot connect to the proxy socks5://"+address) {
		t.Errorf("got %v", err)
	}
}

// TestProxySourceAddress: what is wrong is source_address, and no other try helps.
func TestProxySourceAddress(t *testing.T) {
	p := startGateway(t, gateway.Options{})
	for _, from := range []string{"192.0.2.7", "::1"} {
		e := through(wire.SOCKS5, p.Addr())
		e.SourceAddress = netip.MustParseAddr(from)
		_, err := e.Connect(t.Context())
		if fault.CodeOf(err) != fault.Config || !strings.Contains(fault.HintOf(err), "source_address") {
			t.Errorf("%s: %v (%v)", from, err, fault.HintOf(err))
		}
	}
}

func TestProxyWrongPassword(t *testing.T) {
	for _, kind := range []string{wire.SOCKS5, wire.HTTPConnect} {
		p := startGateway(t, gateway.Options{Username: "alice", Password: "open sesame"})
		for _, user := range []string{"", "alice"} {
			e := through(kind, p.Addr())
			e.Proxy.Username, e.Proxy.Password = user, secret.New("wrong password")
			_, err := e.Connect(t.Context())
			if fault.CodeOf(err) != fault.Credentials || !strings.Contains(fault.HintOf(err), "proxy_password") {
				t.Errorf("%s, user %q: %v (%v)", kind, user, err, fault.HintOf(err))
			}
		}
	}
}

func TestProxyIsGivenUpInTime(t *testing.T) {
	for _, kind := range []string{wire.SOCKS5, wire.HTTPConnect} {
		synctest.Test(t, func(t *testing.T) {
			e, server := pipe(t, wire.None)
			e.AllowPlaintext, e.Proxy = true, &wire.Proxy{Kind: kind, Address: "proxy.example.org:1080"}
			go io.Copy(io.Discard, server)
			start := time.Now()
			_, err := e.Connect(t.Context())
			if fault.CodeOf(err) != fault.Temporary {
				t.Errorf("%s: %v", kind, err)
			}
			if took := time.Since(start); took != 30*time.Second {
				t.Errorf("%s: took %v", kind, took)
			}
			server.Close()
		})
	}
}

// C4: localhost is another machine's when a proxy says it.
func TestC4PlaintextThroughProxy(t *testing.T) {
	e := through(wire.SOCKS5, "127.0.0.1:1080")
	e.Host, e.AllowPlaintext = "localhost", false
	e.Dial = func(context.Context, string, string) (net.Conn, error) {
		t.Error("it was dialled")
		return nil, io.EOF
	}
	if _, err := e.Connect(t.Context()); fault.CodeOf(err) != fault.Config {
		t.Errorf("got %v", err)
	}
}

func TestParseProxy(t *testing.T) {
	for text, want := range map[string]string{
		"socks5://127.0.0.1:1080":             "socks5 127.0.0.1:1080 ",
		"socks5://alice@proxy.example.org:80": "socks5 proxy.example.org:80 alice",
		"http://[2001:db8::1]:3128/":          "http [2001:db8::1]:3128 ",
		"socks5://j%C3%BCrgen@a.example:80":   "socks5 a.example:80 jürgen",
	} {
		p, err := wire.ParseProxy(text)
		if err != nil || p.Kind+" "+p.Address+" "+p.Username != want {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
	for _, text := range []string{
		"", "proxy.example.org:1080", "https://proxy.example.org:1", "socks4://a:1", "socks5://a", "socks5://:1",
		"http://a:1/path", "http://a:1?b", "http://a:1#b", "http://alice:hidden-pw@a:1", "http://a:99999999999x", "http://%zz:1",
	} {
		if p, err := wire.ParseProxy(text); err == nil || strings.Contains(err.Error(), "hidden-pw") {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
}

// TestParseProxyEncoding: what a user name needs is said where it lacks that.
func TestParseProxyEncoding(t *testing.T) {
	for _, text := range []string{"socks5://jürgen@proxy.example.org:1080", "http://a b@proxy.example.org:1080", "http://a%@proxy.example.org:1"} {
		_, err := wire.ParseProxy(text)
		if err == nil || !strings.Contains(err.Error(), "percent-encoded, as in socks5://j%C3%BCrgen@") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := wire.ParseProxy("socks5://alice@a.example:x"); err == nil || strings.Contains(err.Error(), "user name") {
		t.Error(err)
	}
}

func TestSourceAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	from := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		from <- conn.RemoteAddr().String()
		conn.Close()
	}()
	e := wire.Endpoint{Protocol: wire.POP3, Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, TLS: wire.None,
		SourceAddress: netip.MustParseAddr("127.0.0.77")}
	conn, err := e.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if got := <-from; !strings.HasPrefix(got, "127.0.0.77:") {
		t.Errorf("connected from %s", got)
	}
	for address, want := range map[string]string{"192.0.2.7": "from 192.0.2.7", "::1": "no address of the kind of ::1"} {
		e.SourceAddress = netip.MustParseAddr(address)
		_, err = e.Connect(t.Context())
		if fault.CodeOf(err) != fault.Config || !strings.Contains(err.Error(), want) || fault.HintOf(err) == "" {
			t.Errorf("from %s: %v", address, err)
		}
	}
}
