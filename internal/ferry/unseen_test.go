package ferry_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// quiet is a bridge that finds nothing new, and that is started anew again and again.
type quiet struct {
	t       *testing.T
	o       ferry.Options
	learned map[string]string
	looks   int // connections to the destination
	fails   error
}

// quietBridge has two accounts with nothing left to bring at one server.
func quietBridge(t *testing.T, server *dovecot.Server, dest plan.Endpoint) *quiet {
	q := &quiet{t: t, learned: map[string]string{}}
	q.o = ferry.Options{Journal: openJournal(t, t.TempDir()), Spool: t.TempDir(), Config: dovecotConfig(t, server)}
	q.o.Config.Accounts[0].Destination = dest
	other := q.o.Config.Accounts[0]
	other.Name, other.Folder = "other", "Other"
	q.o.Config.Accounts = append(q.o.Config.Accounts, other)
	runFerry(t, q.o)
	for i := range q.o.Config.Accounts {
		q.o.Config.Accounts[i].Destination.Dial = q.dial
	}
	return q
}

func (q *quiet) dial(ctx context.Context, network, address string) (net.Conn, error) {
	q.looks++
	if q.fails != nil {
		return nil, q.fails
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// passes takes two over each account, some time after those before.
func (q *quiet) passes(later time.Duration) (expiries, notes []string) {
	q.t.Helper()
	for name, text := range q.learned {
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			q.learned[name] = at.Add(-later).Format(time.RFC3339)
		}
	}
	q.looks, q.o.Learned = 0, learnedIn(q.learned)
	fleet := ferry.NewFleet(q.o)
	defer fleet.Close()
	for _, account := range []string{"alice", "other", "alice", "other"} {
		r := fleet.Pass(q.t.Context(), account, false)
		if r.ExitCode != fault.OK {
			q.t.Fatalf("%+v", r)
		}
		for _, e := range r.Expiries {
			expiries = append(expiries, e.What)
		}
		notes = append(notes, r.Notes...)
	}
	return expiries, notes
}

// TestCertificateOfAQuietDestination: where no mail flows it is looked at once a day, by one of
// the accounts there, whether TLS is there from the start or not; other passes ask the
// destination nothing. That the look fails is no failure of the account, and is not repeated.
func TestCertificateOfAQuietDestination(t *testing.T) {
	server := startDovecot(t, dovecot.Options{})
	for name, dest := range map[string]plan.Endpoint{
		"implicit": endpoint(t, server.IMAPS, "alice", wire.Implicit, server.Files.CA),
		"starttls": endpoint(t, server.IMAP, "alice", wire.STARTTLS, server.Files.CA),
	} {
		t.Run(name, func(t *testing.T) {
			q := quietBridge(t, server, dest)
			seen := "the certificate of IMAP server " + dest.Address()
			for _, c := range []struct {
				later time.Duration
				looks int
			}{{0, 0}, {23 * time.Hour, 0}, {time.Hour, 1}, {23 * time.Hour, 0}, {time.Hour, 1}} {
				if expiries, _ := q.passes(c.later); q.looks != c.looks || slices.Contains(expiries, seen) != (c.looks > 0) {
					t.Errorf("%v later: %d connections, want %d; saw %q", c.later, q.looks, c.looks, expiries)
				}
			}
			q.fails = net.ErrClosed
			if _, notes := q.passes(24 * time.Hour); q.looks != 1 || !strings.Contains(strings.Join(notes, "; "), "daily look") {
				t.Errorf("%d connections that fail; noted %q", q.looks, notes)
			}
		})
	}
}
