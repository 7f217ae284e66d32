package wire_test

import (
	"context"
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
		Host: "localhost", Port: 110, TLS: mode,
		Dial: func(context.Context, string, string) (net.Conn, error) { return client, nil },
	}, server
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
		if took := time.Since(start); took != 30*time.Second {
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

func TestReadLineLimits(t *testing.T) {
	for _, size := range []int{99, 100, 101, 70_000, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			e, server := pipe(t, wire.None)
			c, err := e.Connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			go io.WriteString(server, strings.Repeat("a", size-2)+"\r\nnext\n")
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
		e := wire.Endpoint{Host: host, Port: 110, TLS: wire.None,
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
			e := wire.Endpoint{Host: "localhost", Port: 995, TLS: wire.Implicit,
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

// N9: a web server where a mail server should be. In clear text it waits for a
// request and is no different from any silent server.
func TestN9WebServer(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, web.Listener.Addr().String())
	}
	e := wire.Endpoint{Host: "localhost", Port: 995, TLS: wire.Implicit, Dial: dial}
	_, err := e.Connect(t.Context())
	if fault.CodeOf(err) != fault.Protocol || !strings.Contains(err.Error(), "web server") {
		t.Errorf("got %v", err)
	}
}

// C1: clear text spoken to a port that expects TLS.
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
			go io.Copy(io.Discard, c)
		}
	}()
	for _, mode := range []wire.TLSMode{wire.None, wire.STARTTLS} {
		e := wire.Endpoint{Host: "localhost", Port: 143, TLS: mode,
			Limits: wire.Limits{Greeting: time.Second},
			Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, l.Addr().String())
			}}
		c, err := e.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Greeting(t.Context(), 512)
		if fault.CodeOf(err) != fault.Config || !strings.Contains(fault.HintOf(err), "tls: implicit") {
			t.Errorf("%s: %v", mode, err)
		}
	}
}
