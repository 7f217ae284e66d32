package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
)

func TestNewKeepsTheCause(t *testing.T) {
	err := fmt.Errorf("account: %w", fault.New(fault.Temporary, "read: %w", io.EOF))
	if !errors.Is(err, io.EOF) {
		t.Fatal("the cause is lost")
	}
	if got := fault.CodeOf(err); got != fault.Temporary {
		t.Fatalf("code %v", got)
	}
}

func TestCodeOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want fault.Code
	}{
		{nil, fault.OK},
		{context.Canceled, fault.Temporary},
		{errors.New("nobody classified this"), fault.Internal},
		{fault.New(fault.TLS, "x"), fault.TLS},
	} {
		if got := fault.CodeOf(c.err); got != c.want {
			t.Errorf("CodeOf(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}

// Of several hints the outermost is the one that knows most of what was done.
func TestHintOf(t *testing.T) {
	inner := fault.New(fault.State, "inner").WithHint("the inner")
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("account: %w", inner), "the inner"},
		{fault.New(fault.Temporary, "outer: %w", inner), "the inner"},
		{fault.New(fault.Temporary, "outer: %w", inner).WithHint("the outer"), "the outer"},
		{fault.New(fault.Internal, "a bug"), "please report"},
		{errors.New("nobody classified this"), "please report"},
		{context.Canceled, "stopped"},
		{fault.Stopped("read: %w", context.Canceled), "stopped"},
		{&net.OpError{Op: "dial", Err: io.EOF}, "network"},
	} {
		if got := fault.HintOf(c.err); !strings.Contains(got, c.want) {
			t.Errorf("HintOf(%v) = %q", c.err, got)
		}
	}
	if got := fault.HintOf(nil); got != "" {
		t.Errorf("HintOf(nil) = %q", got)
	}
}

// TestWorstFollowsTheDocumentedOrder holds the order that the exit status of a
// run over several accounts is documented with.
func TestWorstFollowsTheDocumentedOrder(t *testing.T) {
	order := []fault.Code{70, 74, 78, 80, 77, 76, 69, 75, 65, 0}
	for i, worse := range order {
		for _, better := range order[i:] {
			if got := fault.Worst(better, worse); got != worse {
				t.Errorf("Worst(%d, %d) = %d", better, worse, got)
			}
		}
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain é":           "plain é",
		"a\x1b[31mb":        `a\x1b[31mb`,
		"a\r\nb\x00":        `a\x0d\x0ab\x00`,
		"bad\xff":           `bad\xff`,
		"rtl\u202eoverride": `rtl\u202eoverride`,
	} {
		if got := fault.Escape(in); got != want {
			t.Errorf("Escape(%q) = %q, want %q", in, got, want)
		}
	}
	long := fault.Escape(strings.Repeat("x", 1<<20))
	if len([]rune(long)) != 201 {
		t.Errorf("%d characters shown of a megabyte", len([]rune(long)))
	}
}
