package ferry_test

import (
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// TestKilledPassIsToldOf: what a pass delivered that could not tell so itself is told once by the
// next one, before it does anything, also by one that has nothing to do; and nothing else is. Who is
// killed again before that is told tells of both as of one that began when the first did.
func TestKilledPassIsToldOf(t *testing.T) {
	for name, keeps := range map[string]bool{"run": false, "bridge": true} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(5, 1)...)
			before, working := "", false
			var killed *journal.Pass
			p.o.Observe = func(ev ferry.Event) {
				switch ev.Kind {
				case ferry.Planned, ferry.Delivered:
					working = true
				case ferry.Killed:
					if killed != nil || working {
						t.Errorf("told of %+v, after %+v, amid the work: %t", ev.Pass, killed, working)
					}
					killed = ev.Pass
				}
			}
			fleet := ferry.NewFleet(p.o)
			defer fleet.Close()
			pass := func() *journal.Pass {
				t.Helper()
				r := ferry.AccountReport{}
				killed, working = nil, false
				if keeps {
					r = fleet.Pass(t.Context(), "alice", false)
				} else {
					r = runFerry(t, p.o).Accounts[0]
				}
				if r.ExitCode != fault.OK {
					t.Fatal(r.Error)
				}
				return killed
			}
			kill := func() { // the pass before could not tell how it ended
				t.Helper()
				scopes, err := p.o.Journal.Scopes(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				ledger, err := p.o.Journal.Ledger(t.Context(), scopes[0].Scope)
				if err == nil {
					err = ledger.SetFact(t.Context(), "last-run", before)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			wants := func(n int) (began time.Time) {
				t.Helper()
				now := time.Now()
				killed := pass()
				if n == 0 && killed == nil {
					return time.Time{}
				}
				if killed == nil || killed.Delivered != n || killed.Account != "alice" || killed.Bytes == 0 ||
					!ferry.WasKilled(*killed) || killed.Code == 0 || killed.Started.IsZero() || killed.Ended().After(now) {
					t.Fatalf("told of %+v, not of %d", killed, n)
				}
				return killed.Started
			}
			wants(0)
			kill()
			wants(5)
			wants(0)
			before = lastRun(t, p)
			p.pop.Deliver(ordinary(3, 2)...)
			wants(0)
			kill()
			p.pop.Deliver(ordinary(2, 3)...)
			first := wants(3)
			kill()
			if again := wants(5); !again.Equal(first) {
				t.Errorf("at first it began at %v, and then at %v", first, again)
			}
			wants(0)
		})
	}
}
