package wire_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/wire"
)

// pipe returns an endpoint whose connection ends at the returned server side.
func pipe(t *testing.T, mode wire.TLSMode) (wire.Endpoint, net.Conn) {
	client, server := net.Pipe()
	t.Cleanup(func() { server.Close() })
	return wire.Endpoint{
		Protocol: wire.POP3, Host: "localhost", Port: 110, TLS: mode,
		Dial: func(context.Context, string, string) (net.Conn, error) { return client, nil },
	}, server
}

// N1: a name that does not exist. The network is asked for nothing here.
func TestN1NoSuchHost(t *testing.T) {
	e := wire.Endpoint{Protocol: wire.POP3, Host: "pop.example.invalid", Port: 995, TLS: wire.Implicit,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{
				Err: "no such host", Name: "pop.example.invalid", IsNotFound: true}}
		}}
	_, err := e.Connect(t.Context())
	if fault.CodeOf(err) != fault.Temporary || !strings.Contains(err.Error(), "cannot resolve the name of POP3 server pop.example.invalid:995") {
		t.Errorf("got %v", err)
	}
}

// N2: nobody listens.
func TestN2Refused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().(*net.TCPAddr)
	l.Close()
	e := wire.Endpoint{Protocol: wire.POP3, Host: "127.0.0.1", Port: address.Port, TLS: wire.Implicit}
	_, err = e.Connect(t.Context())
	if fault.CodeOf(err) != fault.Temporary || !strings.Contains(err.Error(), address.String()) {
		t.Errorf("got %v", err)
	}
}

// N3: what is sent to the server vanishes.
func TestN3Unanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := wire.Endpoint{Protocol: wire.POP3, Host: "pop.example.org", Port: 995, TLS: wire.Implicit,
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}}
		start := time.Now()
		_, err := e.Connect(t.Context())
		if fault.CodeOf(err) != fault.Temporary || !strings.Contains(err.Error(), "cannot connect to POP3 server pop.example.org:995") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestSilentServerEndsAtTheGreetingLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := pipe(t, wire.None)
		c, err := e.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = c.Greeting(t.Context(), 512)
		if fault.CodeOf(err) != fault.Temporary || !strings.Contains(err.Error(), "said nothing") {
			t.Fatalf("got %v", err)
		}
		// The last of it is for what the server makes of a nudge.
		if took := time.Since(start); took != 35*time.Second {
			t.Errorf("took %v", took)
		}
		if !strings.Contains(fault.HintOf(err), "tls: implicit") {
			t.Errorf("hint %q", fault.HintOf(err))
		}
	})
}

// TestSlowDripEnds: a byte now and then never trips the idle limit, so that the
// rate has to.
func TestSlowDripEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, server := pipe(t, wire.None)
		c, err := e.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				if _, err := server.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(10 * time.Second)
			}
		}()
		defer c.Begin(t.Context())()
		start := time.Now()
		_, err = io.Copy(io.Discard, c)
		if !errors.Is(err, wire.ErrStalled) || fault.CodeOf(err) != fault.Temporary {
			t.Fatalf("got %v", err)
		}
		if took := time.Since(start); took > 6*time.Minute {
			t.Errorf("took %v", took)
		}
		c.Close()
		time.Sleep(time.Minute) // the dripping goroutine notices
	})
}

// TestStallIsAsLongAsWasWaited: what moved fast enough before a drip is not held against the peer,
// and a drip that was a little faster before is.
func TestStallIsAsLongAsWasWaited(t *testing.T) {
	for name, c := range map[string]struct {
		first    int // octets a second, in the beginning
		from, to time.Duration
	}{"after a download": {10_000, 5 * time.Minute, 6 * time.Minute}, "after a drip": {30, 9 * time.Minute, 10 * time.Minute}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, server := pipe(t, wire.None)
				conn, err := e.Connect(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				octets := make([]byte, c.first)
				go func() {
					var err error
					for start := time.Now(); err == nil; time.Sleep(time.Second) {
						if time.Since(start) > 6*time.Minute {
							octets = octets[:1]
						}
						_, err = server.Write(octets)
					}
				}()
				defer conn.Begin(t.Context())()
				_, err = io.Copy(io.Discard, conn)
				var stall *wire.Stall
				if !errors.As(err, &stall) || stall.For < c.from || stall.For > c.to {
					t.Errorf("%+v: %v", stall, err)
				}
				conn.Close()
				time.Sleep(time.Minute)
			})
		})
	}
}

func TestCancelEndsAWaitAndBreaksTheConnection(t *testing.T) {
	e, _ := pipe(t, wire.None)
	c, err := e.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	end := c.Begin(ctx)
	defer end()
	time.AfterFunc(time.Millisecond, cancel)
	if _, err := c.ReadLine(100); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, context.Canceled) {
		t.Fatalf("a broken connection still writes: %v", err)
	}
}

// lineThenNext is a connection from which a line of so many octets comes, and then "next".
func lineThenNext(t *testing.T, size int) *wire.Conn {
	t.Helper()
	e, server := pipe(t, wire.None)
	c, err := e.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go io.WriteString(server, strings.Repeat("a", size-2)+"\r\nnext\n")
	return c
}

func TestReadLineLimits(t *testing.T) {
	for _, size := range []int{99, 100, 101, 70_000, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			c := lineThenNext(t, size)
			line, err := c.ReadLine(100)
			if size > 100 {
				if !errors.Is(err, wire.ErrLineTooLong) || fault.CodeOf(err) != fault.Protocol {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil || len(line) != size-2 {
				t.Fatalf("got %d bytes, %v", len(line), err)
			}
			if next, err := c.ReadLine(100); string(next) != "next" || err != nil {
				t.Fatalf("then %q, %v", next, err)
			}
		})
	}
}

func TestReadStart(t *testing.T) {
	const kept, most = 64 << 10, 300_000
	for size, want := range map[int]int{2: 0, 100: 98, kept: kept - 2, kept + 1: kept, most: kept, 1 << 20: -1} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			c := lineThenNext(t, size)
			line, err := c.ReadStart(func([]byte) int { return most })
			if want < 0 {
				if !errors.Is(err, wire.ErrLineTooLong) || fault.CodeOf(err) != fault.Protocol {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil || len(line) != want {
				t.Fatalf("got %d bytes, %v", len(line), err)
			}
			if next, err := c.ReadStart(nil); string(next) != "next" || err != nil {
				t.Fatalf("then %q, %v", next, err)
			}
		})
	}
}

// M3: what was sent in clear text behind the agreement to STARTTLS is an attack.
func TestM3BufferedPlaintextAtStartTLS(t *testing.T) {
	e, server := pipe(t, wire.STARTTLS)
	c, err := e.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go io.WriteString(server, "+OK begin TLS\r\n+OK injected\r\n")
	if _, err := c.ReadLine(100); err != nil {
		t.Fatal(err)
	}
	err = c.StartTLS(t.Context())
	if fault.CodeOf(err) != fault.TLS || !strings.Contains(err.Error(), "clear text") {
		t.Fatalf("got %v", err)
	}
}

// M3: what comes in clear text later than the agreement is no mistake in the settings either.
func TestM3PlaintextInPlaceOfTheHandshake(t *testing.T) {
	for _, text := range []string{"+OK logged in, and welcome\r\n", "* OK [CAPABILITY IMAP4rev1] ready\r\n", "<html>\r\n"} {
		e, server := pipe(t, wire.STARTTLS)
		c, err := e.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, server)
		go io.WriteString(server, text) // nobody reads it before the handshake
		err = c.StartTLS(t.Context())
		if fault.CodeOf(err) != fault.TLS || !strings.Contains(fault.HintOf(err), "tampering") {
			t.Errorf("%q: %v, hint %q", text, err, fault.HintOf(err))
		}
	}
}

// C2: a server that greets in clear text where TLS was expected.
func TestC2ClearTextOnTLSPort(t *testing.T) {
	e, server := pipe(t, wire.Implicit)
	go io.Copy(io.Discard, server)
	go io.WriteString(server, "+OK POP3 ready, quite a long greeting\r\n")
	_, err := e.Connect(t.Context())
	if fault.CodeOf(err) != fault.Config || !strings.Contains(fault.HintOf(err), "starttls") {
		t.Fatalf("got %v, hint %q", err, fault.HintOf(err))
	}
}

// C4: a password never goes over a network in clear text unless allowed.
func TestC4PlaintextOnlyToLoopback(t *testing.T) {
	for host, want := range map[string]fault.Code{
		"pop.example.org": fault.Config, "192.0.2.1": fault.Config,
		"localhost": fault.OK, "LOCALHOST.": fault.OK, "127.0.0.9": fault.OK, "::1": fault.OK, "[::1]": fault.OK,
	} {
		client, server := net.Pipe()
		defer server.Close()
		e := wire.Endpoint{Protocol: wire.POP3, Host: host, Port: 110, TLS: wire.None,
			Dial: func(context.Context, string, string) (net.Conn, error) { return client, nil }}
		if _, err := e.Connect(t.Context()); fault.CodeOf(err) != want {
			t.Errorf("%s: %v", host, err)
		}
		e.AllowPlaintext = true
		if _, err := e.Connect(t.Context()); err != nil {
			t.Errorf("%s, allowed: %v", host, err)
		}
	}
}

// serveTLS greets one client on loopback; a pipe has no buffer, and an alert
// that crosses a flight of the handshake would block both ends.
func serveTLS(t *testing.T, config *tls.Config) wire.DialFunc {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		if c, err := l.Accept(); err == nil {
			io.WriteString(c, "hello\r\n")
			io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, l.Addr().String())
	}
}

func TestCertificates(t *testing.T) {
	pair, err := certs.New(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := pair.WriteFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	right, ca := "sha256:"+pair.Pin(), files.CA
	wrong := "sha256:" + strings.Repeat("00", 32)
	for name, c := range map[string]struct {
		change func(*wire.Endpoint)
		want   fault.Code
		hint   string
	}{
		"unknown CA":    {func(*wire.Endpoint) {}, fault.TLS, right},
		"right CA":      {func(e *wire.Endpoint) { e.CAFile = ca }, fault.OK, ""},
		"right pin":     {func(e *wire.Endpoint) { e.Pin = right }, fault.OK, ""},
		"wrong pin":     {func(e *wire.Endpoint) { e.Pin = wrong }, fault.TLS, "changed"},
		"pin beats CA":  {func(e *wire.Endpoint) { e.CAFile, e.Pin = ca, wrong }, fault.TLS, ""},
		"other name":    {func(e *wire.Endpoint) { e.CAFile, e.Host = ca, "pop.example.org" }, fault.TLS, ""},
		"no CA file":    {func(e *wire.Endpoint) { e.CAFile = ca + "x" }, fault.Config, ""},
		"malformed pin": {func(e *wire.Endpoint) { e.Pin = "md5:00" }, fault.Config, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := wire.Endpoint{Protocol: wire.POP3, Host: "localhost", Port: 995, TLS: wire.Implicit,
				Dial: serveTLS(t, pair.Server())}
			c.change(&e)
			conn, err := e.Connect(t.Context())
			if fault.CodeOf(err) != c.want || !strings.Contains(fault.HintOf(err), c.hint) {
				t.Fatalf("got %v, hint %q", err, fault.HintOf(err))
			}
			if err != nil {
				return
			}
			if line, err := conn.Greeting(t.Context(), 100); string(line) != "hello" || err != nil {
				t.Fatalf("greeting %q, %v", line, err)
			}
			defer conn.Close()
			if !conn.Secure() {
				t.Error("not secure")
			}
		})
	}
}

// C3: a certificate out of its time is refused whoever signed it, and a pin says
// that it is the right one.
func TestC3OutOfTime(t *testing.T) {
	day := 24 * time.Hour
	for name, o := range map[string]certs.Options{
		"expired":       {NotBefore: time.Now().Add(-9 * day), NotAfter: time.Now().Add(-day)},
		"not yet valid": {NotBefore: time.Now().Add(day), NotAfter: time.Now().Add(9 * day)},
	} {
		t.Run(name, func(t *testing.T) {
			pair, err := certs.New(o)
			if err != nil {
				t.Fatal(err)
			}
			files, err := pair.WriteFiles(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			e := wire.Endpoint{Host: "localhost", Port: 995, TLS: wire.Implicit, CAFile: files.CA,
				Dial: serveTLS(t, pair.Server())}
			_, err = e.Connect(t.Context())
			if hint := fault.HintOf(err); fault.CodeOf(err) != fault.TLS || strings.Contains(hint, "tls_ca") ||
				!strings.Contains(hint, "check this machine's clock") {
				t.Errorf("got %v; %s", err, hint)
			}
			e.Dial, e.Pin = serveTLS(t, pair.Server()), "sha256:"+pair.Pin()
			c, err := e.Connect(t.Context())
			if err != nil {
				t.Fatalf("pinned: %v", err)
			}
			c.Close()
		})
	}
}

// loopback reaches a listener whatever the endpoint's port.
func loopback(l net.Listener) wire.DialFunc {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, l.Addr().String())
	}
}

// greeting connects and returns what comes instead of a greeting.
func greeting(t *testing.T, e wire.Endpoint) error {
	t.Helper()
	c, err := e.Connect(t.Context())
	if err != nil {
		return err
	}
	defer c.Close()
	line, err := c.Greeting(t.Context(), 512)
	if err == nil {
		t.Fatalf("got the greeting %q", line)
	}
	return err
}

// N9: a web server where a mail server should be. It waits for a request as we
// wait for a greeting, unless TLS tells them apart before.
func TestN9WebServer(t *testing.T) {
	clear := httptest.NewServer(http.NotFoundHandler())
	defer clear.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	certificate := sha256.Sum256(secure.Certificate().RawSubjectPublicKeyInfo)
	for _, protocol := range []wire.Protocol{wire.POP3, wire.IMAP} {
		for name, c := range map[string]struct {
			server *httptest.Server
			mode   wire.TLSMode
			port   int
		}{
			"clear, none":         {clear, wire.None, 110},
			"clear, starttls":     {clear, wire.STARTTLS, 143},
			"clear, implicit":     {clear, wire.Implicit, 995},
			"clear, the TLS port": {clear, wire.None, 993},
			"TLS, implicit":       {secure, wire.Implicit, 993},
			"TLS, none":           {secure, wire.None, 80},
		} {
			t.Run(string(protocol)+", "+name, func(t *testing.T) {
				err := greeting(t, wire.Endpoint{
					Protocol: protocol, Host: "localhost", Port: c.port, TLS: c.mode,
					Pin: fmt.Sprintf("sha256:%x", certificate), Dial: loopback(c.server.Listener),
					Limits: wire.Limits{Greeting: time.Millisecond, Probe: time.Minute},
				})
				want := fmt.Sprintf("localhost:%d is a web server, not a", c.port)
				if fault.CodeOf(err) != fault.Protocol || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("got %v", err)
				}
				if !strings.Contains(fault.HintOf(err), string(protocol)) {
					t.Errorf("hint %q", fault.HintOf(err))
				}
			})
		}
	}
}

// N4: a mail server that is merely slow greets after the nudge, or hangs up on it.
// Neither is a web server, and neither gets a login.
func TestN4SlowServer(t *testing.T) {
	for name, answer := range map[string]string{
		"a late greeting": "+OK sorry\r\n-ERR unknown command\r\n", "it hangs up": "", "a byte": "+",
	} {
		t.Run(name, func(t *testing.T) {
			e, server := pipe(t, wire.None)
			e.Limits = wire.Limits{Greeting: time.Millisecond, Probe: time.Minute}
			go func() {
				bufio.NewReader(server).ReadString('\n')
				io.WriteString(server, answer)
				server.Close()
			}()
			err := greeting(t, e)
			if fault.CodeOf(err) != fault.Temporary || !strings.Contains(err.Error(), "said nothing") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// N5: a server that hangs up during the handshake may be busy, however it does it.
func TestN5HandshakeReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, linger := range map[string]int{"close": -1, "reset": 0} {
		go func() {
			if c, err := l.Accept(); err == nil {
				bufio.NewReader(c).Peek(5)
				c.(*net.TCPConn).SetLinger(linger)
				c.Close()
			}
		}()
		err := greeting(t, wire.Endpoint{Protocol: wire.POP3, Host: "localhost", Port: 995,
			TLS: wire.Implicit, Dial: loopback(l)})
		if fault.CodeOf(err) != fault.Temporary || !strings.Contains(err.Error(), "during the TLS handshake") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A cancellation is no silence, whenever it comes.
func TestCancelledGreeting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, after := range []time.Duration{time.Second, 32 * time.Second} {
			e, _ := pipe(t, wire.None)
			c, err := e.Connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), after)
			defer cancel()
			if _, err = c.Greeting(ctx, 512); strings.Contains(err.Error(), "said nothing") {
				t.Errorf("after %v: %v", after, err)
			}
		}
	})
}

// C1: clear text spoken to a port that expects TLS. The server may tell by an
// alert, or by hanging up, or not at all.
func TestC1TLSPortSpokenToInClearText(t *testing.T) {
	pair, err := certs.New(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", pair.Server())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(io.Discard, c)
				c.Close()
			}()
		}
	}()
	alert := func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go server.Write([]byte("\x15\x03\x01\x00\x02\x02\x46"))
		return client, nil
	}
	for _, mode := range []wire.TLSMode{wire.None, wire.STARTTLS} {
		for name, dial := range map[string]wire.DialFunc{"hangs up": loopback(l), "alert": alert} {
			err := greeting(t, wire.Endpoint{Protocol: wire.IMAP, Host: "localhost", Port: 143, TLS: mode,
				Limits: wire.Limits{Greeting: time.Second, Probe: time.Minute}, Dial: dial})
			if fault.CodeOf(err) != fault.Config || !strings.Contains(fault.HintOf(err), "tls: implicit") {
				t.Errorf("%s, %s: %v", mode, name, err)
			}
		}
	}
}
