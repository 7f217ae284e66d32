package wire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
)

// network is one in which every address answers in a way of its own; those that it
// does not know never answer. It notes when which was tried.
type network struct {
	addresses []string
	answers   map[string]error // nil: it connects
	delay     map[string]time.Duration
	began     time.Time
	mu        sync.Mutex // guards what follows
	tried     []string
	open      []net.Conn
}

func (n *network) endpoint() wire.Endpoint {
	n.began = time.Now()
	return wire.Endpoint{
		Protocol: wire.POP3, Host: "pop.example.org", Port: 110, AllowPlaintext: true, TLS: wire.None,
		Resolve: func(context.Context, string, string) (found []netip.Addr, err error) {
			for _, a := range n.addresses {
				found = append(found, netip.MustParseAddr(a))
			}
			return found, nil
		},
		Dial: n.dial,
	}
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tried = append(n.tried, fmt.Sprintf("%s at %v", host, time.Since(n.began)))
	answer, known := n.answers[host]
	n.mu.Unlock()
	if known {
		time.Sleep(n.delay[host])
	} else {
		<-ctx.Done()
		answer = ctx.Err()
	}
	n.mu.Lock()
	if answer != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: answer}
	}
	client, server := net.Pipe()
	n.open = append(n.open, server)
	return client, nil
}

func refusedBy(number syscall.Errno) error { return os.NewSyscallError("connect", number) }

// N2: every address that was tried is named with what came of it.
func TestN2EveryAddress(t *testing.T) {
	var many []string
	refusals := map[string]error{}
	for i := range 20 {
		a := fmt.Sprintf("192.0.2.%d", i+1)
		many, refusals[a] = append(many, a), refusedBy(syscall.ECONNREFUSED)
	}
	for name, test := range map[string]struct {
		addresses []string
		answers   map[string]error
		want      string
	}{
		"one": {[]string{"192.0.2.1"}, refusals, "192.0.2.1: connection refused"},
		"two families": {[]string{"192.0.2.1", "192.0.2.2", "2001:db8::1"}, map[string]error{
			"192.0.2.1": refusedBy(syscall.ECONNREFUSED), "2001:db8::1": refusedBy(syscall.ENETUNREACH),
			"192.0.2.2": errors.New("a firewall\x1b[2J"),
		}, `192.0.2.1: connection refused; 2001:db8::1: network is unreachable; 192.0.2.2: a firewall\x1b[2J`},
		"one is silent": {[]string{"192.0.2.1", "192.0.2.200"}, refusals,
			"192.0.2.1: connection refused; 192.0.2.200: no answer"},
		"mapped": {[]string{"::ffff:192.0.2.1"}, refusals, "192.0.2.1: connection refused"},
		"many": {many, refusals, "192.0.2.7: connection refused; 192.0.2.8: connection refused; " +
			"12 more not tried"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{addresses: test.addresses, answers: test.answers}
				_, err := n.endpoint().Connect(t.Context())
				text := fmt.Sprint(err)
				if !strings.HasPrefix(text, "cannot connect to POP3 server pop.example.org:110: 192.0.2.1: ") ||
					!strings.HasSuffix(text, test.want) {
					t.Errorf("got %v\nwant … %s", err, test.want)
				}
				if fault.CodeOf(err) != fault.Temporary || fault.HintOf(err) == "" || len(text) > 500 {
					t.Errorf("code %d, hint %q, %d octets", fault.CodeOf(err), fault.HintOf(err), len(text))
				}
			})
		})
	}
}

// N2: an address that is dead or silent is in nobody's way, and one that answers too
// late is closed.
func TestN2Race(t *testing.T) {
	second := time.Second
	for name, test := range map[string]struct {
		n     *network
		tried []string
	}{
		"the first": {&network{addresses: []string{"192.0.2.1", "192.0.2.2"},
			answers: map[string]error{"192.0.2.1": nil}}, []string{"192.0.2.1 at 0s"}},
		"behind a refusal": {&network{addresses: []string{"192.0.2.1", "192.0.2.2"},
			answers: map[string]error{"192.0.2.1": refusedBy(syscall.ECONNREFUSED), "192.0.2.2": nil}},
			[]string{"192.0.2.1 at 0s", "192.0.2.2 at 0s"}},
		"behind silence": {&network{addresses: []string{"2001:db8::1", "2001:db8::2", "192.0.2.2"},
			answers: map[string]error{"192.0.2.2": nil}},
			[]string{"2001:db8::1 at 0s", "192.0.2.2 at 250ms"}},
		"both": {&network{addresses: []string{"2001:db8::1", "192.0.2.2"},
			answers: map[string]error{"2001:db8::1": nil, "192.0.2.2": nil},
			delay:   map[string]time.Duration{"2001:db8::1": second, "192.0.2.2": second}},
			[]string{"2001:db8::1 at 0s", "192.0.2.2 at 250ms"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := test.n
				c, err := n.endpoint().Connect(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * second)
				c.Close()
				n.mu.Lock()
				defer n.mu.Unlock()
				if got := fmt.Sprint(n.tried); got != fmt.Sprint(test.tried) {
					t.Errorf("tried %s, want %v", got, test.tried)
				}
				for _, server := range n.open { // of the pipes only that one was open
					if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
						t.Errorf("a connection is still open: %v", err)
					}
				}
			})
		})
	}
}

// N7: slow is not dead: a command goes on for as long as it moves a fair amount, and
// what the reader does meanwhile does not count.
func TestN7SlowCommands(t *testing.T) {
	for name, test := range map[string]struct {
		octets int           // at a time
		every  time.Duration // on the server
		pause  time.Duration // of the reader, each time
		total  int
		ends   time.Duration // about when it is cut; 0: never
	}{
		"a GiB at 8 KiB/s":            {octets: 1 << 20, every: 128 * time.Second / 2, total: 1 << 30},
		"10 MiB at 2 KiB/s":           {octets: 32 << 10, every: 16 * time.Second, total: 10 << 20},
		"a large one at 100 B/s":      {octets: 1000, every: 10 * time.Second, total: 10 << 20, ends: 33 * time.Minute},
		"at half of what is fair":     {octets: 5120, every: 10 * time.Second, total: 10 << 20, ends: time.Hour},
		"at 10 B/s":                   {octets: 100, every: 10 * time.Second, total: 10 << 20, ends: 5 * time.Minute},
		"a small one at 100 B/s":      {octets: 1000, every: 10 * time.Second, total: 100_000},
		"a reader with other worries": {octets: 1000, every: time.Millisecond, pause: time.Hour, total: 20_000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, server := pipe(t, wire.None)
				c, err := e.Connect(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var drip sync.WaitGroup
				defer drip.Wait()
				drip.Go(func() {
					defer server.Close()
					for range test.total / test.octets {
						time.Sleep(test.every)
						if _, err := server.Write(make([]byte, test.octets)); err != nil {
							return
						}
					}
				})
				defer c.Close()
				defer c.Begin(t.Context())()
				began, got := time.Now(), 0
				buffer := make([]byte, 32<<10)
				for err == nil {
					var n int
					n, err = c.Read(buffer)
					got += n
					time.Sleep(test.pause)
				}
				took := time.Since(began)
				if test.ends == 0 {
					if want := test.total / test.octets * test.octets; got != want || errors.Is(err, wire.ErrStalled) {
						t.Errorf("%d of %d octets, then %v", got, want, err)
					}
					return
				}
				if !errors.Is(err, wire.ErrStalled) || fault.CodeOf(err) != fault.Temporary {
					t.Errorf("got %v", err)
				}
				if took < test.ends || took > test.ends+3*time.Minute {
					t.Errorf("it took %v, want %v", took, test.ends)
				}
			})
		})
	}
}
