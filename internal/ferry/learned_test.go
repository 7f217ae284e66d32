package ferry_test

import (
	"context"
	"crypto/tls"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/signin"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// TestRefusedScramIsRemembered: where SCRAM and another way were refused, the other one alone
// is tried from then on, also after a change of the configuration and by the next process.
func TestRefusedScramIsRemembered(t *testing.T) {
	server := startDovecot(t, dovecot.Options{SignIn: &dovecot.SignIn{Introspection: "http://127.0.0.1:9/"}})
	texts := map[string]string{}
	o := ferry.Options{Journal: openJournal(t, t.TempDir()), Spool: t.TempDir(), Learned: learnedIn(texts),
		Config: dovecotConfig(t, server)}
	o.Config.Accounts[0].Source.Secret = secret.New("wrong")
	pass := func(f *ferry.Fleet) int {
		r := f.Pass(t.Context(), "alice", false)
		if r.ExitCode != fault.Credentials {
			t.Fatalf("%+v", r)
		}
		return r.Refusals
	}
	first := ferry.NewFleet(o)
	if n := pass(first); n != 2 {
		t.Errorf("%d logins were refused at first", n)
	}
	o.Learned = nil
	next := first.Next(o)
	if n := pass(next); n != 1 {
		t.Errorf("%d after a reload", n)
	}
	first.Close()
	next.Close()
	o.Learned = learnedIn(texts)
	later := ferry.NewFleet(o)
	if n := pass(later); n != 1 {
		t.Errorf("%d after a restart", n)
	}
	later.Close()
	for name, text := range texts { // as a clock writes that is ahead
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			texts[name] = at.Add(100 * day).Format(time.RFC3339)
		}
	}
	o.Learned = learnedIn(texts)
	o.Config.Accounts[0].Source.Secret = secret.New(server.Password)
	right := ferry.NewFleet(o)
	defer right.Close()
	if r := right.Pass(t.Context(), "alice", false); r.ExitCode != fault.OK {
		t.Errorf("after the clock was put right: %+v", r)
	}
	for name, text := range texts {
		if at, err := time.Parse(time.RFC3339, text); err == nil && at.After(time.Now()) {
			t.Errorf("%q is known until %v", name, at)
		}
	}
}

// TestRefusedCertificateIsRemembered: where a certificate was refused for the user, the password
// alone is tried from then on, until there is another certificate. Mail comes from the user's
// maildrop and not from that of whoever the certificate is for.
func TestRefusedCertificateIsRemembered(t *testing.T) {
	server := startDovecot(t, dovecot.Options{SignIn: &dovecot.SignIn{Introspection: "http://127.0.0.1:9/"}})
	if err := server.Deliver("bob", []byte("Subject: a\r\n\r\nb\r\n")); err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	o := ferry.Options{Journal: openJournal(t, t.TempDir()), Spool: t.TempDir(), Config: dovecotConfig(t, server)}
	side := &o.Config.Accounts[0].Source
	side.Certificate = certificateOf(t, server, "bob")
	pass := func(password string, code fault.Code, refusals, notes int) {
		t.Helper()
		side.Secret, o.Learned = secret.New(password), learnedIn(texts)
		fleet := ferry.NewFleet(o)
		defer fleet.Close()
		r := fleet.Pass(t.Context(), "alice", false)
		if said := strings.Count(strings.Join(r.Notes, " "), "refuses the certificate"); r.ExitCode != code || r.Refusals != refusals ||
			r.Delivered != 0 || said != notes {
			t.Errorf("%+v", r)
		}
	}
	pass("wrong", fault.Credentials, 2, 0)
	pass("wrong", fault.Credentials, 1, 0)
	clear(texts)
	pass(server.Password, fault.OK, 0, 1)
	pass(server.Password, fault.OK, 0, 0)
	pass("wrong", fault.Credentials, 2, 0) // SCRAM and PLAIN
	side.Certificate = certificateOf(t, server, "bob")
	pass("wrong", fault.Credentials, 2, 0)
	side.Certificate = certificateOf(t, server, "alice")
	pass("wrong", fault.OK, 0, 0)
}

// TestRefusedCertificateIsTriedAfterAReload: what was mended may be the server's.
func TestRefusedCertificateIsTriedAfterAReload(t *testing.T) {
	server := startDovecot(t, dovecot.Options{SignIn: &dovecot.SignIn{Introspection: "http://127.0.0.1:9/"}})
	o := ferry.Options{Journal: openJournal(t, t.TempDir()), Spool: t.TempDir(), Config: dovecotConfig(t, server)}
	side := &o.Config.Accounts[0].Source
	side.Certificate, side.Secret = certificateOf(t, server, "bob"), secret.New("wrong")
	first := ferry.NewFleet(o)
	defer first.Close()
	if r := first.Pass(t.Context(), "alice", false); r.Refusals != 2 {
		t.Errorf("%+v", r)
	}
	next := first.Next(o)
	defer next.Close()
	if r := next.Pass(t.Context(), "alice", false); r.Refusals != 2 {
		t.Errorf("after a reload: %+v", r)
	}
}

func certificateOf(t *testing.T, server *dovecot.Server, user string) *tls.Certificate {
	t.Helper()
	certificate, err := server.Certs.User(user)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// TestGlanceRoundTripsWithScram: over TLS from the first octet, too, a pass that finds nothing
// new takes 8 round trips, of which TCP and TLS 1.3 have one each, once the server is known; also
// the first one of another process.
func TestGlanceRoundTripsWithScram(t *testing.T) {
	server := startDovecot(t, dovecot.Options{SignIn: &dovecot.SignIn{Introspection: "http://127.0.0.1:9/"}})
	if err := server.Deliver("alice", []byte("Subject: a\r\n\r\nb\r\n")); err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	var last *pop.Maildrop
	o := ferry.Options{Journal: openJournal(t, t.TempDir()), Spool: t.TempDir(), Config: dovecotConfig(t, server)}
	for process, passes := range []int{3, 1} {
		dial := signin.Dial{Learned: &signin.Learned{Load: func(name string) string { return texts[name] },
			Save: func(name, text string) { texts[name] = text }}}
		o.DialSource = func(ctx context.Context, a plan.Account) (m *pop.Maildrop, err error) {
			last, err = dial.Source(ctx, a)
			return last, err
		}
		fleet := ferry.NewFleet(o)
		for range passes {
			if r := fleet.Pass(t.Context(), "alice", false); r.ExitCode != fault.OK {
				t.Fatalf("%+v", r)
			}
		}
		fleet.Close()
		if n := last.RoundTrips(); n > 6 || last.Mechanism() != "SCRAM-SHA-256" {
			t.Errorf("process %d: %d round trips with %s", process, n, last.Mechanism())
		}
	}
}

// TestAsked is when the server permits another login, whatever limits of the account's own say.
func TestAsked(t *testing.T) {
	const delay = 40 * time.Second
	p := newPair(t, popd.Options{LoginDelay: delay}, imapd.Options{}, ordinary(2, 1)...)
	began := time.Now()
	r := p.passes()(fault.OK, 2)
	if r.Asked.Sub(began) < delay || r.Asked != r.NotBefore {
		t.Errorf("asked for %v, not before %v", r.Asked.Sub(began), r.NotBefore.Sub(began))
	}
	minute := plan.Clockface((began.Hour()*60 + began.Minute() + 12*60) % (23 * 60)) // hours from now
	all := [7]bool{true, true, true, true, true, true, true}
	p = newPair(t, popd.Options{}, imapd.Options{}, ordinary(2, 1)...)
	p.o.Config.Limits.Hours = plan.Hours{{Days: all, From: minute, To: minute + 60}}
	r = p.passes()(fault.Temporary, 0)
	if now := time.Now(); !r.Resting || r.Asked.After(now) || !r.NotBefore.After(now) {
		t.Errorf("%+v", r)
	}
}

// TestKnownDelay: a pause that only the provider's pages tell of is kept like one that the server
// announces, and what that announces counts more.
func TestKnownDelay(t *testing.T) {
	for _, c := range []struct {
		announced, known, want time.Duration
		deleted                int
	}{
		{0, time.Hour, time.Hour, 0},
		{10 * time.Minute, time.Hour, 10 * time.Minute, 0},
		{0, time.Minute, time.Minute, 2},
		{10 * time.Minute, time.Minute, 10 * time.Minute, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, popd.Options{LoginDelay: c.announced}, imapd.Options{}, ordinary(2, 1)...)
			p.account().Source.Ways.LoginDelay = c.known
			p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
			began := time.Now()
			r := p.passes()(fault.OK, 2)
			said := strings.Contains(strings.Join(r.Notes, "\n"), "the deletions are left to the next run")
			if r.Deleted != c.deleted || said == (c.deleted > 0) || r.NotBefore.Sub(began) < c.want ||
				time.Until(r.NotBefore) > c.want {
				t.Errorf("announced %v, known %v: deleted %d, not before %v, %q", c.announced, c.known,
					r.Deleted, r.NotBefore.Sub(began), r.Notes)
			}
		})
	}
}

// TestDelayThatIsNotAnnounced (S2): it is learned from refusals how long a POP3 server wants to
// be left alone, a later process knows it, and after a day it is tried whether it still holds.
func TestDelayThatIsNotAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 200 * time.Second
		p := newPair(t, popd.Options{LoginDelay: delay, NoCAPA: true}, imapd.Options{}, ordinary(2, 1)...)
		texts := map[string]string{}
		p.o.Learned = learnedIn(texts)
		one := func() (r ferry.AccountReport, refused bool) {
			fleet := ferry.NewFleet(p.o)
			defer fleet.Close()
			r = fleet.Pass(t.Context(), "alice", false)
			return r, r.ExitCode != fault.OK
		}
		one()
		refusals := 0
		for refused := true; refused; refusals++ {
			time.Sleep(time.Minute)
			_, refused = one()
		}
		if refusals < 3 {
			t.Errorf("%d logins that came too early", refusals-1)
		}
		p.o.Learned = learnedIn(texts)
		time.Sleep(delay)
		for range 5 {
			r, refused := one()
			if wait := time.Until(r.NotBefore); refused || wait < delay || wait > delay+time.Minute {
				t.Errorf("%+v; the next is to be in %v", r.Error, wait)
			}
			time.Sleep(time.Until(r.NotBefore))
		}
		time.Sleep(day)
		if r, _ := one(); time.Until(r.NotBefore) > 0 {
			t.Errorf("after a day still not for %v", time.Until(r.NotBefore))
		}
	})
}

func learnedIn(texts map[string]string) *signin.Learned {
	var mu sync.Mutex
	return &signin.Learned{
		Load: func(name string) string {
			mu.Lock()
			defer mu.Unlock()
			return texts[name]
		},
		Save: func(name, text string) {
			mu.Lock()
			defer mu.Unlock()
			texts[name] = text
		},
	}
}
