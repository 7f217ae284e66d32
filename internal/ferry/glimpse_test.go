package ferry_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// uncertainNames are the ways in which UIDLs say nothing of some mail.
func uncertainNames() map[string]popd.Options {
	return map[string]popd.Options{
		"no UIDL":       {NoUIDL: true},
		"repeated UIDL": {DuplicateUIDLs: true},
		"one without": {UIDL: func(n int, raw []byte) string {
			if n == 3 {
				return ""
			}
			return fmt.Sprintf("%x", sha256.Sum256(raw))
		}},
		"three of one name": {UIDL: func(n int, raw []byte) string {
			return fmt.Sprintf("u%d", n/3)
		}},
	}
}

// watched returns a pair whose journal is in a directory, and what tells all that was
// written there.
func watched(t *testing.T, po popd.Options, io imapd.Options, mail ...[]byte) (*pair, func() string) {
	t.Helper()
	p, dir := newPair(t, po, io, mail...), t.TempDir()
	p.o.Journal = openJournal(t, dir)
	return p, func() string {
		digest := sha256.New()
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if raw, err := os.ReadFile(f); err == nil && !strings.HasSuffix(f, "-shm") { // SQLite's locks
				_, _ = digest.Write(raw)
			}
		}
		return fmt.Sprintf("%x", digest.Sum(nil))
	}
}

// TestGlanceWithoutNames: where UIDLs say nothing, headers do, and a pass that finds nothing
// new asks the destination nothing and writes nothing there either, in 8 round trips with
// those of TCP and TLS 1.3.
func TestGlanceWithoutNames(t *testing.T) {
	for name, po := range uncertainNames() {
		t.Run(name, func(t *testing.T) {
			mail := append(ordinary(10, 3), ordinary(2, 3)...) // two are there twice
			p, written := watched(t, po, imapd.Options{}, mail...)
			var last *pop.Maildrop
			p.o.DialSource = func(ctx context.Context, a plan.Account) (*pop.Maildrop, error) {
				m, err := pop.Dial(ctx, pop.Options{Endpoint: a.Source.Endpoint, Username: a.Source.Username,
					Password: a.Source.Secret, Auth: a.Source.Auth})
				last = m
				return m, err
			}
			pass := p.passes()
			pass(0, 12)
			asked, before := p.imap.Counters().BytesIn, written()
			for range 3 {
				if r := pass(0, 0); r.Listed != 12 || r.Known != 12 {
					t.Errorf("%+v", r)
				}
			}
			if n := p.imap.Counters().BytesIn - asked; n != 0 || written() != before {
				t.Errorf("%d octets to the destination; written: %v", n, written() != before)
			}
			if n := last.RoundTrips(); n > 6 {
				t.Errorf("%d round trips", n)
			}
		})
	}
}

// TestGlanceWithoutNamesOverlooksNothing: what has no name of its own is brought, deleted and
// told of as ever.
func TestGlanceWithoutNamesOverlooksNothing(t *testing.T) {
	t.Parallel()
	for name, po := range uncertainNames() {
		for what, c := range map[string]struct {
			change             func(*pair)
			delivered, deleted int
		}{
			"new mail":      {func(p *pair) { p.pop.Deliver(ordinary(12, 5)[11]) }, 1, 0},
			"one more copy": {func(p *pair) { p.pop.Deliver(p.pop.Messages()[0]) }, 1, 0},
			"one for one": {func(p *pair) {
				p.pop.Expunge(12)
				p.pop.Deliver(ordinary(12, 5)[11])
			}, 1, 0},
			"deletions": {func(p *pair) {
				p.account().Keep = plan.Keep{Delete: true}
				p.o.ConfirmDelete = true
			}, 0, 12},
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				mail := append(ordinary(10, 3), ordinary(2, 3)...)
				p := newPair(t, po, imapd.Options{}, mail...)
				p.passes()(0, 12)
				c.change(p)
				pass := p.passes()
				if r := pass(0, c.delivered); r.Deleted != c.deleted {
					t.Errorf("%+v", r)
				}
				pass(0, 0)
				if n := len(p.imap.Mailbox("INBOX")); n != 12+c.delivered {
					t.Errorf("%d messages arrived", n)
				}
			})
		}
	}
}

// TestGlanceHoldsTheNameless: held mail without a name is told of, and the destination is not
// asked for it with every pass.
func TestGlanceHoldsTheNameless(t *testing.T) {
	p, written := watched(t, popd.Options{NoUIDL: true}, poisonous(imapd.Options{}),
		append(ordinary(3, 6), []byte("Message-ID: <b@example.org>\r\n\r\npoison\r\n"))...)
	pass := p.passes()
	pass(fault.Held, 3)
	asked, before := p.imap.Counters().BytesIn, written()
	r := pass(fault.Held, 0)
	if n := p.imap.Counters().BytesIn - asked; n != 0 || written() != before || r.Held != 1 || r.Messages[0].Reason == "" {
		t.Errorf("%d octets to the destination; written: %v; %+v", n, written() != before, r)
	}
}

// TestGlanceSparesTheSession: where there is more mail than was ever delivered no header is
// asked for, and all is read in the session of the glance.
func TestGlanceSparesTheSession(t *testing.T) {
	mail := ordinary(3, 6)
	p := newPair(t, popd.Options{NoUIDL: true}, imapd.Options{})
	pass := p.passes()
	pass(0, 0)
	p.pop.Deliver(mail...)
	pass(0, 3)
	if c := p.pop.Counters(); c.Sessions != 2 || c.Commands["TOP"] != 0 {
		t.Errorf("%d sessions, %d TOP", c.Sessions, c.Commands["TOP"])
	}
	p.arrived(mail...)
}

// TestGlanceWhereHeadersSayNothing: what has no name, and neither a Message-ID nor a date, is
// read again, as all is where there is no TOP, or TOP spoils the session; the journal hears
// nothing of it.
func TestGlanceWhereHeadersSayNothing(t *testing.T) {
	t.Parallel()
	plain := append(ordinary(5, 3), []byte("Subject: plain\r\n\r\none\r\n"), []byte("Subject: plain\r\n\r\ntwo\r\n"))
	twice := func(cmd string, n int) int {
		if cmd == "TOP" && n == 3 {
			return 2
		}
		return 1
	}
	for name, po := range map[string]popd.Options{
		"TOP": {NoUIDL: true}, "no TOP": {NoUIDL: true, NoTOP: true}, "TOP twice": {NoUIDL: true, Times: twice},
	} {
		t.Run(name, func(t *testing.T) {
			p, written := watched(t, po, imapd.Options{}, plain...)
			pass := p.passes()
			pass(0, 7)
			pass(0, 0)
			before := written()
			pass(0, 0)
			if written() != before {
				t.Error("written")
			}
			p.arrived(plain...)
		})
	}
}
