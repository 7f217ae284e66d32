package post

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

func alertMail(l net.Listener) plan.AlertMail {
	return plan.AlertMail{Endpoint: wire.Endpoint{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, TLS: wire.None},
		From: "a@example.org", To: []string{"b@example.org"}}
}

// TestMailServerThatNeverEndsItsLine is left, long before it fills the memory.
func TestMailServerThatNeverEndsItsLine(t *testing.T) {
	const (
		most   = 64 << 20
		inPipe = 16 << 20 // what the system may take without anybody reading it
	)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	wrote := make(chan int, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		sum := 0
		for block := bytes.Repeat([]byte("2"), 64<<10); err == nil && sum < most; {
			var n int
			n, err = conn.Write(block)
			sum += n
		}
		wrote <- sum
	}()
	send, err := mail(alertMail(listener), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := send(ctx, item{}); err == nil || !strings.Contains(err.Error(), errLong.Error()) {
		t.Errorf("%v", err)
	}
	if sum := <-wrote; sum > inPipe {
		t.Errorf("it took %d octets", sum)
	}
}

// TestMailInTime: what is too slow may work later.
func TestMailInTime(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	send, err := mail(alertMail(listener), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := send(ctx, item{}); fault.CodeOf(err) != fault.Temporary || !strings.Contains(err.Error(), errSlow.Error()) {
		t.Errorf("%v", err)
	}
}

// TestBounded: all that is allowed, and not more.
func TestBounded(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	go func() { _, _ = there.Write([]byte("12345")) }()
	b := &bounded{here, 4}
	got := make([]byte, 10)
	n, err := b.Read(got)
	if n != 4 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err = b.Read(got); n != 0 || !errors.Is(err, errLong) {
		t.Errorf("%d, %v", n, err)
	}
}

// TestHelloName: a name with a domain, else the address in the form of a literal.
func TestHelloName(t *testing.T) {
	at := func(address string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address)) }
	for _, c := range []struct {
		host  string
		local net.Addr
		want  string
	}{
		{"mx.example.org", at("192.0.2.1:9"), "mx.example.org"},
		{"mx.example.org.", at("192.0.2.1:9"), "mx.example.org"},
		{"mx", at("192.0.2.1:9"), "[192.0.2.1]"},
		{"localhost.", at("[2001:db8::1]:9"), "[IPv6:2001:db8::1]"},
		{"", at("[::ffff:192.0.2.1]:9"), "[192.0.2.1]"},
		{"", at("[fe80::1%lo]:9"), "[IPv6:fe80::1]"},
	} {
		if got := helloName(c.host, c.local); got != c.want {
			t.Errorf("%q from %v: %s, want %s", c.host, c.local, got, c.want)
		}
	}
}
