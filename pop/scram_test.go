package pop_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/pop"
)

// TestScramOfferedAndRefused: the server keeps the password in another form than SCRAM
// needs, and takes PLAIN. NoScram saves the refusal.
func TestScramOfferedAndRefused(t *testing.T) {
	for _, noScram := range []bool{false, true} {
		d := &desk{sasl: "SCRAM-SHA-256 PLAIN", replies: map[string][]string{"AUTH": {"-ERR authentication failed", "+OK welcome"}}}
		if noScram {
			d.replies["AUTH"] = []string{"+OK welcome"}
		}
		o := d.options(t)
		o.Auth, o.NoScram = "auto", noScram
		m, err := pop.Dial(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		refused := ""
		if !noScram {
			refused = "SCRAM-SHA-256"
		}
		if m.Mechanism() != "PLAIN" || m.RefusedWay() != refused {
			t.Errorf("logged in by %s, refused %q", m.Mechanism(), m.RefusedWay())
		}
		if sent := strings.Join(d.received(), "\n"); strings.Contains(sent, "SCRAM") == noScram {
			t.Errorf("sent %s", sent)
		}
		m.Close()
	}
}

// TestScramInClearText: who listens never hears the password, also where SCRAM was
// refused before.
func TestScramInClearText(t *testing.T) {
	for _, noScram := range []bool{false, true} {
		d := &desk{sasl: "SCRAM-SHA-256 PLAIN", replies: map[string][]string{"": {"-ERR authentication failed"}}}
		o := d.options(t)
		o.Auth, o.NoScram = "auto", noScram
		o.Endpoint.Host, o.Endpoint.AllowPlaintext = "pop.example.org", true
		if _, err := pop.Dial(t.Context(), o); fault.CodeOf(err) != fault.Credentials {
			t.Errorf("%v", err)
		}
		if sent := d.received(); len(sent) != 1 || !strings.HasPrefix(sent[0], "AUTH SCRAM-SHA-256") {
			t.Errorf("no SCRAM: %v, sent %q", noScram, sent)
		}
	}
}

// TestAfterRefusedScram: if the server hangs up on the second way, the password was refused;
// if we stop there, nobody knows.
func TestAfterRefusedScram(t *testing.T) {
	for _, stop := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		client, server := net.Pipe()
		go func() {
			io.WriteString(server, "+OK\r\n")
			in := bufio.NewReader(server)
			for _, reply := range []string{"+OK\r\nSASL SCRAM-SHA-256 PLAIN\r\n.\r\n", "-ERR authentication failed\r\n"} {
				in.ReadString('\n')
				io.WriteString(server, reply)
			}
			in.ReadString('\n')
			if cancel(); !stop {
				server.Close()
			}
		}()
		o := (&desk{}).options(t)
		o.Auth = "auto"
		o.Endpoint.Dial = func(context.Context, string, string) (net.Conn, error) { return client, nil }
		if !stop {
			ctx = t.Context()
		}
		_, err := pop.Dial(ctx, o)
		if got := fault.CodeOf(err) == fault.Credentials; got == stop {
			t.Errorf("stopped: %v, error %v", stop, err)
		}
		if n, want := fault.RefusalsOf(err), map[bool]int{false: 2, true: 1}[stop]; n != want {
			t.Errorf("stopped: %v, %d refusals, want %d", stop, n, want)
		}
		server.Close()
	}
}
