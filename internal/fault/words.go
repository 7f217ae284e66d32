package fault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// Span writes a length of time for people, as accounts.yaml has it: "30s", "5m", "1h30m", "2d".
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= day && d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d >= time.Second:
		d = d.Round(time.Second)
	default:
		d = d.Round(time.Millisecond)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Words is what an error says, without the words that only Go has for the end of a wait, and for
// the lookup of a name.
func Words(err error) string {
	text := err.Error()
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		text = strings.Replace(text, dns.Error(), lookedUp(dns), 1)
	}
	if errors.Is(err, context.Canceled) {
		text = strings.NewReplacer("context canceled", "stopped", "operation was canceled", "stopped").Replace(text)
	}
	if timedOut(err) {
		text = strings.NewReplacer("context deadline exceeded", unanswered, "i/o timeout", unanswered).Replace(text)
	}
	return text
}

// lookedUp is why a name was not found, and which name server said so.
func lookedUp(dns *net.DNSError) string {
	why := dns.Err
	switch {
	case dns.IsTimeout:
		why = unanswered
	case why == "server misbehaving": // SERVFAIL and whatever else is no answer (RFC 1035 §4.1.1)
		why = "the name server failed"
	}
	if host, _, err := net.SplitHostPort(dns.Server); err == nil {
		return why + " (name server " + host + ")"
	}
	return why
}

const unanswered = "no answer in time"

func timedOut(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &network) && network.Timeout()
}

// worded is an error in words for people.
type worded struct{ error }

func (w worded) Error() string { return Words(w.error) }
func (w worded) Unwrap() error { return w.error }

// reword has those of some arguments that are errors speak to people.
func reword(args []any) []any {
	args = slices.Clone(args)
	for i, arg := range args {
		if err, ok := arg.(error); ok && Words(err) != err.Error() {
			args[i] = worded{err}
		}
	}
	return args
}
