package ferry_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/wire"
)

// TestQueued: whoever waits for a turn is told so.
func TestQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		var mu sync.Mutex
		told := map[string]string{}
		f.o.Observe = func(e ferry.Event) {
			mu.Lock()
			defer mu.Unlock()
			switch e.Kind {
			case ferry.Queued:
				told[e.Account] += "q"
			case ferry.Started:
				told[e.Account] += "s"
			}
		}
		f.o.Config.Limits.PerHost = 1
		for _, name := range []string{"stalled", "healthy"} {
			ill := ailing{}
			if name == "stalled" {
				ill.source = illness{from: "AUTH"}
			}
			f.add(name, ill, ordinary(3, 1)...).Source.Host = "pop.example.org"
		}
		fleet := ferry.NewFleet(f.o)
		defer fleet.Close()
		stalled := make(chan struct{})
		go func() {
			defer close(stalled)
			fleet.Pass(t.Context(), "stalled", false)
		}()
		synctest.Wait()
		healthy := make(chan struct{})
		go func() {
			defer close(healthy)
			fleet.Pass(t.Context(), "healthy", false)
		}()
		synctest.Wait()
		mu.Lock()
		if told["stalled"] != "qs" || told["healthy"] != "q" {
			t.Errorf("%q", told)
		}
		mu.Unlock()
		<-stalled
		if <-healthy; told["healthy"] != "qs" {
			t.Errorf("%q", told)
		}
	})
}

// TestKeptConnectionTakesItsTimeToEnd (X5): one that was kept long enough has its place until
// the server, which says no goodbye, is rid of it.
func TestKeptConnectionTakesItsTimeToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		f.o.Config.Limits.PerHost = 1
		var mu sync.Mutex
		open, most := 0, 0
		counts := func(dial wire.DialFunc) wire.DialFunc {
			return func(ctx context.Context, network, to string) (net.Conn, error) {
				conn, err := dial(ctx, network, to)
				if err != nil {
					return nil, err
				}
				mu.Lock()
				defer mu.Unlock()
				open++
				most = max(most, open)
				return &leaving{Conn: conn, leave: sync.OnceFunc(func() {
					mu.Lock()
					defer mu.Unlock()
					open--
				})}, nil
			}
		}
		for name, ill := range map[string]ailing{"silent": {dest: illness{from: "LOGOUT"}}, "next": {}} {
			a := f.add(name, ill, ordinary(3, 1)...)
			a.Destination.Host, a.Destination.Dial = "imap.example.org", counts(a.Destination.Dial)
		}
		fleet := ferry.NewFleet(f.o)
		defer fleet.Close()
		fleet.Pass(t.Context(), "silent", false)
		time.Sleep(5*time.Minute + time.Second)
		if r := fleet.Pass(t.Context(), "next", false); r.Delivered != 3 {
			t.Errorf("%+v", r)
		}
		if most > 1 {
			t.Errorf("%d connections at once", most)
		}
	})
}

// leaving tells that it is closed.
type leaving struct {
	net.Conn
	leave func()
}

func (l *leaving) Close() error {
	l.leave()
	return l.Conn.Close()
}
