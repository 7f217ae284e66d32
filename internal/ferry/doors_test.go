package ferry_test

import (
	"context"
	"fmt"
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
	"github.com/popferry/popferry/plan"
)

// TestSharedLoginIsRefused: many accounts go into one mailbox, whose password is wrong. It is
// tried once, and not by each; after a reload with the right one all go on.
func TestSharedLoginIsRefused(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{Username: "alice", Password: "right"}, ordinary(2, 7)...)
	for i := range 12 {
		a := *p.account()
		a.Name, a.Folder = fmt.Sprint("a", i), fmt.Sprint("Folder ", i)
		p.o.Config.Accounts = append(p.o.Config.Accounts, a)
	}
	p.o.Config.Limits.Accounts = 20
	fleet := ferry.NewFleet(p.o)
	defer fleet.Close()
	untried := 0
	for _, r := range passAll(fleet, p.o.Config.Accounts) {
		if r.ExitCode != fault.Credentials || r.Untried == (r.Refusals > 0) {
			t.Errorf("%+v", r)
		}
		if r.Untried {
			untried++
		}
	}
	if n := p.imap.Counters().Refused; n != 1 || untried != 12 {
		t.Errorf("%d logins were refused, and %d not tried", n, untried)
	}
	next := p.o
	config := *p.o.Config
	next.Config, config.Accounts = &config, nil
	for _, a := range p.o.Config.Accounts {
		a.Destination.Secret = secret.New("right")
		config.Accounts = append(config.Accounts, a)
	}
	mended := fleet.Next(next)
	defer mended.Close()
	for _, r := range passAll(mended, config.Accounts) {
		if r.ExitCode != fault.OK || r.Delivered != 2 {
			t.Errorf("%+v", r)
		}
	}
}

func passAll(f *ferry.Fleet, accounts []plan.Account) []ferry.AccountReport {
	reports := make([]ferry.AccountReport, len(accounts))
	var all sync.WaitGroup
	for i, a := range accounts {
		all.Go(func() { reports[i] = f.Pass(context.Background(), a.Name, false) })
	}
	all.Wait()
	return reports
}

// TestRefusedLoginIsLeftAlone: five minutes, then a day; who reloads has it tried at once, up
// to three times an hour. What says nothing of the password keeps nobody out.
func TestRefusedLoginIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := imapd.New(imapd.Options{Username: "alice", Password: "right"})
		defer server.Close()
		p := newPair(t, popd.Options{}, imapd.Options{})
		p.account().Destination.Dial = server.Dial
		fleet := ferry.NewFleet(p.o)
		defer func() { fleet.Close() }()
		tried := func(want int) {
			t.Helper()
			fleet.Pass(t.Context(), "alice", false)
			if n := server.Counters().Refused; n != want {
				t.Errorf("refused %d times, want %d", n, want)
			}
		}
		reload := func() {
			next := fleet.Next(p.o)
			fleet.Close()
			fleet = next
		}
		p.pop.Deliver(ordinary(1, 1)...)
		tried(1)
		time.Sleep(4 * time.Minute)
		tried(1)
		time.Sleep(2 * time.Minute)
		tried(2)
		time.Sleep(time.Hour)
		tried(2)
		time.Sleep(23*time.Hour + time.Minute)
		tried(3)
		for want := 4; want <= 5; want++ {
			reload()
			tried(want)
			tried(want)
		}
		reload()
		tried(5) // three within the hour
		time.Sleep(time.Hour)
		server.Configure(func(o *imapd.Options) { o.Password = "secret" })
		tried(5)
		if n := server.Counters().Logins; n == 0 {
			t.Error("the right password is not tried")
		}
	})
}

// TestAdminLoginIsRefused: an administrator's login that opens the mailboxes of many accounts is
// one login, as long as it was never good: three tries, of which one may be for a mailbox that
// is not there.
func TestAdminLoginIsRefused(t *testing.T) {
	for how, name := range map[string]func(*plan.Endpoint, int){
		"authorize_as": func(e *plan.Endpoint, i int) { e.Username, e.AuthorizeAs = "admin", fmt.Sprint("u", i) },
		"in one":       func(e *plan.Endpoint, i int) { e.Username = fmt.Sprintf("u%d*admin", i) },
	} {
		t.Run(how, func(t *testing.T) {
			p := newPair(t, popd.Options{}, imapd.Options{Username: "admin", Password: "right"}, ordinary(2, 7)...)
			first := *p.account()
			p.o.Config.Accounts = nil
			for i := range 12 {
				a := first
				a.Name, a.Folder = fmt.Sprint("a", i), fmt.Sprint("Folder ", i)
				name(&a.Destination, i)
				p.o.Config.Accounts = append(p.o.Config.Accounts, a)
			}
			p.o.Config.Limits.Accounts = 20
			fleet := ferry.NewFleet(p.o)
			defer fleet.Close()
			for _, r := range passAll(fleet, p.o.Config.Accounts) {
				if r.ExitCode != fault.Credentials {
					t.Errorf("%+v", r)
				}
			}
			if n := p.imap.Counters().Refused; n != 3 {
				t.Errorf("%d logins were refused", n)
			}
		})
	}
}

// TestSharedCertificateIsRefused: one certificate for the mailboxes of many accounts is one login,
// also where each of them has a password beside it, with which it goes on.
func TestSharedCertificateIsRefused(t *testing.T) {
	server := startDovecot(t, dovecot.Options{SignIn: &dovecot.SignIn{Introspection: "http://127.0.0.1:9/"}})
	for _, test := range []struct {
		password string
		code     fault.Code
	}{{"", fault.Credentials}, {server.Password, fault.OK}} {
		p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(2, 7)...)
		first := *p.account()
		first.Destination = dovecotConfig(t, server).Accounts[0].Destination
		first.Destination.Auth, first.Destination.Secret = "auto", secret.New(test.password)
		first.Destination.Certificate = certificateOf(t, server, "mallory")
		p.o.Config.Accounts = nil
		for i := range 12 {
			a := first
			a.Name, a.Destination.Username = fmt.Sprint("a", i), fmt.Sprint("u", i)
			p.o.Config.Accounts = append(p.o.Config.Accounts, a)
		}
		p.o.Config.Limits.Accounts = 20
		fleet := ferry.NewFleet(p.o)
		refused := 0
		for _, r := range passAll(fleet, p.o.Config.Accounts) {
			if r.ExitCode != test.code {
				t.Errorf("%+v", r)
			}
			if r.Untried && !strings.Contains(r.Error.Message, "the certificate of tls_cert before") {
				t.Errorf("said %q", r.Error.Message)
			}
			if r.Refusals > 0 || strings.Contains(strings.Join(r.Notes, " "), "refuses the certificate") {
				refused++
			}
		}
		fleet.Close()
		if refused != 3 {
			t.Errorf("password %q: the certificate was refused %d times", test.password, refused)
		}
	}
}
