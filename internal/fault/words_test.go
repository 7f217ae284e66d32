package fault_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

// TestSpan writes what accounts.yaml has.
func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 250*time.Millisecond + 1: "250ms", 12345678901: "12s", 90 * time.Second: "1m30s",
		5 * time.Minute: "5m", time.Hour: "1h", 90 * time.Minute: "1h30m", 3605 * time.Second: "1h0m5s",
		10*time.Second + 400*time.Millisecond: "10s", 48 * time.Hour: "2d", 25 * time.Hour: "25h",
	} {
		if got := fault.Span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

// TestWords has nothing of Go in it, whoever wrapped what, and the cause stays what it was. What
// others say stays as they said it.
func TestWords(t *testing.T) {
	read := func(err error) error { return &net.OpError{Op: "read", Net: "tcp", Err: err} }
	for want, err := range map[string]error{
		"stopped":                     context.Canceled,
		"no answer in time":           context.DeadlineExceeded,
		"read tcp: no answer in time": read(os.ErrDeadlineExceeded),
		"x: stopped":                  fmt.Errorf("x: %w", context.Canceled),
		"the server says i/o timeout": errors.New("the server says i/o timeout"),
		"read tcp: 4 spoons":          read(errors.New("4 spoons")),
		"no such host":                &net.DNSError{Err: "no such host", Name: "a.example", IsNotFound: true},
		"dial: no such host (name server 192.0.2.1)": fmt.Errorf("dial: %w",
			&net.DNSError{Err: "no such host", Name: "a.example", Server: "192.0.2.1:53", IsNotFound: true}),
		"the name server failed (name server 2001:db8::1)": &net.DNSError{
			Err: "server misbehaving", Name: "a.example", Server: "[2001:db8::1]:53", IsTemporary: true},
		"no answer in time (name server 192.0.2.1)": &net.DNSError{
			Err: "read udp 192.0.2.9:1->192.0.2.1:53: i/o timeout", Name: "a.example", Server: "192.0.2.1:53", IsTimeout: true},
	} {
		if got := fault.Words(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		e := fault.New(fault.Temporary, "where: %w", err)
		if e.Message != "where: "+want || !errors.Is(e, err) {
			t.Errorf("%q, want it behind where: %q", e.Message, want)
		}
		if e := fault.New(fault.Temporary, "where: %v", err); e.Message != "where: "+want {
			t.Errorf("%q, want it behind where: %q", e.Message, want)
		}
	}
}
