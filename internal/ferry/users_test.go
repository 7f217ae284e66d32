package ferry_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/plan"
)

// crowded has accounts that carry to a few users of one provider, at two of its hosts, that
// bounds the connections to each; some servers make them wait, as in [TestNobodyWaitsForEver].
func crowded(t *testing.T, accounts, users, perUser, perHost int) *fleet {
	f := newFleet(t)
	f.imap.Configure(func(o *imapd.Options) { o.Literals = imapd.LiteralSync }) // connections help
	known := plan.HostLimits{PerUser: plan.UserLimit{Connections: perUser, Provider: "Example Mail"}}
	f.o.Config.Limits = plan.Limits{Accounts: accounts, PerHost: perHost,
		Hosts: map[string]plan.HostLimits{"imap.example.org": known, "imap.example.net": known}}
	pauses := []ailing{{}, {source: illness{from: "RETR", pause: 20 * time.Second}},
		{dest: illness{from: "AUTHENTICATE", pause: 8 * time.Second}}, {}}
	for i := range accounts {
		name := fmt.Sprintf("account%d", i)
		a := f.add(name, pauses[i%len(pauses)], ordinary(30, int64(i))...)
		a.Destination.Host = []string{"imap.example.org", "imap.example.net"}[i%2]
		a.Destination.Username, a.Folder = []string{"Alice", "alice", "bob", "carol"}[i%(users+1)], name
	}
	return f
}

// TestConnectionsToOneUser: all accounts that carry to one user of a provider, whatever of
// its hosts they use, have no more connections than it lets a user have, however many
// limits.per_host allows; and all of them get on, also where one host has few.
func TestConnectionsToOneUser(t *testing.T) {
	for _, c := range []struct{ users, perUser, perHost int }{{1, 1, 100}, {1, 5, 100}, {3, 2, 100}, {3, 3, 1}, {2, 1, 2}} {
		synctest.Test(t, func(t *testing.T) {
			f := crowded(t, 30, c.users, c.perUser, c.perHost)
			defer f.close()
			r := ferry.Run(t.Context(), f.o)
			if r.ExitCode != fault.OK || r.Totals.Delivered != 30*30 {
				t.Errorf("%+v: exit %d, %+v", c, r.ExitCode, r.Totals)
			}
			if f.most > min(c.users*c.perUser, 2*c.perHost) {
				t.Errorf("%+v: %d connections at once", c, f.most)
			}
			if v := ferry.Verify(t.Context(), f.o); v.ExitCode != fault.OK || f.most > c.users*c.perUser {
				t.Errorf("%+v: verify ends with %d after %d connections at once", c, v.ExitCode, f.most)
			}
		})
	}
}

// TestKeptConnectionsToOneUser are closed for accounts that need their place at the user.
func TestKeptConnectionsToOneUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := crowded(t, 6, 1, 2, 100)
		defer f.close()
		passes := ferry.NewFleet(f.o)
		defer passes.Close()
		var under sync.WaitGroup
		for i := range f.drops {
			under.Go(func() {
				if r := passes.Pass(t.Context(), fmt.Sprintf("account%d", i), false); r.Delivered != 30 {
					t.Errorf("%+v, %+v", r, r.Error)
				}
			})
		}
		under.Wait()
		if f.most > 2 {
			t.Errorf("%d connections at once", f.most)
		}
	})
}
