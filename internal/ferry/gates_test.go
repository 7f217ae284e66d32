package ferry_test

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/wire"
)

// outage is a network that is down for some time.
type outage struct {
	f        *fleet
	from, to time.Duration // since the fleet's start
	attempts map[string][]time.Duration
}

func (o *outage) through(name string, dial wire.DialFunc) wire.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		now := time.Since(o.f.start)
		o.f.mu.Lock()
		o.attempts[name] = append(o.attempts[name], now)
		o.f.mu.Unlock()
		if now >= o.from && now < o.to {
			return nil, syscall.ECONNREFUSED
		}
		return dial(ctx, network, address)
	}
}

// accounts adds accounts that share both servers and the network.
func (o *outage) accounts(n int, ill ailing) {
	for i := range n {
		a := o.f.add(fmt.Sprintf("account%d", i), ill, ordinary(3, int64(i))...)
		a.Source.Host = "pop.example.org"
		a.Source.Dial = o.through("pop", a.Source.Dial)
		a.Destination.Dial = o.through("imap", a.Destination.Dial)
	}
}

// TestNoStormAfterOutage (X10): three hundred accounts lose both servers at once. They
// come back one after the other, and all of them arrive.
func TestNoStormAfterOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		f.o.Config.Limits.Accounts, f.o.Config.Limits.PerHost = 300, 300
		o := &outage{f: f, from: 10 * time.Second, to: 40 * time.Second, attempts: map[string][]time.Duration{}}
		o.accounts(300, ailing{source: illness{from: "RETR", pause: 20 * time.Second}})
		time.AfterFunc(o.from, func() {
			for _, d := range f.drops {
				d.Cut()
			}
			f.imap.Disconnect()
		})
		r := ferry.Run(t.Context(), f.o)
		if r.ExitCode != fault.OK || r.Totals.Delivered != 900 {
			t.Errorf("exit %d, %+v", r.ExitCode, r.Totals)
		}
		for server, at := range o.attempts {
			if n := len(at); n < 600 {
				t.Errorf("%d attempts at %s: nobody had to come back", n, server)
			}
			o.check(t, server, at)
		}
		t.Logf("done after %v", time.Since(f.start))
	})
}

// check counts the attempts after the outage began in every window of ten seconds. Where
// that is the beginning, some are under way before the first is refused.
func (o *outage) check(t *testing.T, server string, at []time.Duration) {
	t.Helper()
	window, allowed := 10*time.Second, 10+2*10+1
	if o.from == 0 {
		allowed += o.f.o.Config.Limits.PerHost
	}
	for i, first := range at {
		n := 0
		for _, other := range at[i:] {
			if other < first+window {
				n++
			}
		}
		if first >= o.from && n > allowed {
			t.Fatalf("%d attempts at %s in the %v after %v", n, server, window, first)
		}
	}
}

// TestNoGateWithoutOutage (X10): where all is well nobody waits, however many come.
func TestNoGateWithoutOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		o := &outage{f: f, attempts: map[string][]time.Duration{}}
		o.accounts(300, ailing{})
		r := ferry.Run(t.Context(), f.o)
		if took := time.Since(f.start); r.ExitCode != fault.OK || took != 0 {
			t.Errorf("exit %d after %v", r.ExitCode, took)
		}
	})
}

// TestGateOfAServerThatIsDown (X10): accounts that have not begun wait as well where
// the last one was refused.
func TestGateOfAServerThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		o := &outage{f: f, to: time.Hour, attempts: map[string][]time.Duration{}}
		o.accounts(100, ailing{})
		if r := ferry.Run(t.Context(), f.o); r.ExitCode != fault.Temporary {
			t.Errorf("exit %d", r.ExitCode)
		}
		for server, at := range o.attempts {
			o.check(t, server, at)
		}
	})
}

// TestRoundsDoNotKeepStep (X10): how long an account waits before its next round is
// left to chance, within half and one and a half of a second.
func TestRoundsDoNotKeepStep(t *testing.T) {
	for random, want := range map[float64]time.Duration{0: 500 * time.Millisecond, 0.5: time.Second,
		0.75: 1250 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t)
			defer f.close()
			f.o.Random = func() float64 { return random }
			f.add("alice", ailing{source: illness{from: "RETR", pause: 20 * time.Second}}, ordinary(3, 1)...)
			time.AfterFunc(10*time.Second, f.drops[0].Cut)
			r := ferry.Run(t.Context(), f.o)
			if took := time.Since(f.start) - time.Minute; r.ExitCode != fault.OK || took != want {
				t.Errorf("with %v: exit %d after %v, want %v", random, r.ExitCode, took, want)
			}
		})
	}
}
