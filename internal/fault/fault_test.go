package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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
