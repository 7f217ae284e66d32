package ferry_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
)

// kept runs passes over some accounts as a bridge does, each of which has had one mail more
// since the pass before.
type kept struct {
	*fleet
	passes *ferry.Fleet
	rounds int
}

// keeping tests what is done with connections between passes, in simulated time.
func keeping(t *testing.T, accounts, places int, test func(*kept)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &kept{fleet: newFleet(t)}
		defer k.close()
		k.o.Config.Limits.PerHost = places
		for i := range accounts {
			k.add(fmt.Sprintf("account%d", i), ailing{})
		}
		k.passes = ferry.NewFleet(k.o)
		test(k)
		k.passes.Close()
		synctest.Wait()
		if n := k.imap.Counters().Open; n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// pass brings one more mail of each account, within that time.
func (k *kept) pass(within time.Duration) {
	k.t.Helper()
	k.rounds++
	began := time.Now()
	for i, drop := range k.drops {
		drop.Deliver(simple(fmt.Sprint(i, k.rounds), "news", "one more"))
		if r := k.passes.Pass(k.t.Context(), fmt.Sprintf("account%d", i), false); r.ExitCode != fault.OK || r.Delivered != 1 {
			k.t.Errorf("%+v, %+v", r, r.Error)
		}
	}
	if took := time.Since(began); took > within {
		k.t.Errorf("it took %v", took)
	}
}

// connected checks how many connections there were so far, and how many are left.
func (k *kept) connected(all, left int) {
	k.t.Helper()
	synctest.Wait()
	if c := k.imap.Counters(); c.Connections != all || c.Open != left {
		k.t.Errorf("%d connections so far, %d open; want %d and %d", c.Connections, c.Open, all, left)
	}
}

// TestConnectionIsKept between passes that bring something, though not for ever.
func TestConnectionIsKept(t *testing.T) {
	keeping(t, 1, 4, func(k *kept) {
		for range 5 {
			k.pass(time.Second)
			k.connected(1, 1)
			time.Sleep(4 * time.Minute)
		}
		time.Sleep(2 * time.Minute)
		k.connected(1, 0)
		for range 14 {
			k.pass(time.Second)
			time.Sleep(4 * time.Minute)
		}
		k.connected(2, 1)
		for range 4 {
			k.pass(time.Second)
			time.Sleep(4 * time.Minute)
		}
		k.connected(3, 1)
	})
}

// TestKeptConnectionsMakeRoom: they never make more than limits.per_host together with
// others, nor does anybody wait for them.
func TestKeptConnectionsMakeRoom(t *testing.T) {
	keeping(t, 3, 2, func(k *kept) {
		for range 5 {
			k.pass(time.Second)
			k.connected(3*k.rounds, 2)
		}
		if k.most > 2 {
			k.t.Errorf("%d connections at once", k.most)
		}
	})
	keeping(t, 2, 2, func(k *kept) {
		for range 5 {
			k.pass(time.Second)
			k.connected(2, 2)
		}
	})
}

// TestPlaceIsNotKept from an account that waits for it.
func TestPlaceIsNotKept(t *testing.T) {
	keeping(t, 4, 1, func(k *kept) {
		var under sync.WaitGroup
		for i, drop := range k.drops {
			drop.Deliver(ordinary(30, int64(i))...)
			under.Go(func() {
				if r := k.passes.Pass(k.t.Context(), fmt.Sprintf("account%d", i), false); r.Delivered != 30 {
					k.t.Errorf("%+v, %+v", r, r.Error)
				}
			})
		}
		under.Wait()
		k.connected(4, 1)
		if k.most > 1 {
			k.t.Errorf("%d connections at once", k.most)
		}
	})
}

// TestKeptConnectionThatIsLost costs a new one, and nothing else.
func TestKeptConnectionThatIsLost(t *testing.T) {
	keeping(t, 1, 4, func(k *kept) {
		k.pass(time.Second)
		k.imap.Disconnect()
		k.connected(1, 0)
		k.pass(time.Second)
		k.connected(2, 1)
	})
}

// TestKeptConnectionThatSaysNothing is given up soon.
func TestKeptConnectionThatSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kept{fleet: newFleet(t)}
		defer k.close()
		var deaf atomic.Bool
		a := k.add("account0", ailing{})
		dial := a.Destination.Dial
		a.Destination.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			return &deafConn{Conn: conn, deaf: &deaf, born: deaf.Load()}, err
		}
		k.passes = ferry.NewFleet(k.o)
		defer k.passes.Close()
		k.pass(time.Second)
		deaf.Store(true)
		k.pass(15 * time.Second)
		k.pass(time.Second)
		if n := k.imap.Counters().Connections; n != 2 {
			t.Errorf("%d connections", n)
		}
	})
}

// deafConn loses what is written into it once deaf is set, unless it was at its birth.
type deafConn struct {
	net.Conn
	deaf *atomic.Bool
	born bool
}

func (c *deafConn) Write(b []byte) (int, error) {
	if c.deaf.Load() && !c.born {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// TestConnectionIsNotKept where the pass failed, where the configuration is another, and
// by a run.
func TestConnectionIsNotKept(t *testing.T) {
	keeping(t, 1, 4, func(k *kept) {
		k.imap.Configure(func(o *imapd.Options) { o.Refuse = func([]byte) string { return "NO [OVERQUOTA] full" } })
		k.drops[0].Deliver(ordinary(1, 1)...)
		if r := k.passes.Pass(k.t.Context(), "account0", false); r.ExitCode == fault.OK {
			k.t.Errorf("%+v", r)
		}
		k.connected(1, 0)
	})
	keeping(t, 1, 4, func(k *kept) {
		k.pass(time.Second)
		before := k.passes
		k.passes = before.Next(k.o)
		k.pass(time.Second)
		k.connected(2, 2)
		before.Close()
		k.connected(2, 1)
		k.drops[0].Deliver(ordinary(1, 1)...)
		ferry.Run(k.t.Context(), k.o)
		k.connected(3, 1)
	})
}
