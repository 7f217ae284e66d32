package ferry_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// TestRenamedAmidItsPass: the configuration changes while an account is under way, which
// has another name from then on. Its pass under the new name waits for the one under the
// old name, and finds that nothing is left to do.
func TestRenamedAmidItsPass(t *testing.T) {
	under, free := make(chan struct{}), make(chan struct{})
	var once sync.Once
	mail := ordinary(20, 5)
	p := newPair(t, popd.Options{Reply: func(verb string, n int) ([]byte, bool) {
		if verb == "RETR" && n == 10 {
			first := false
			once.Do(func() { first = true })
			if first {
				close(under)
				<-free
			}
		}
		return nil, false
	}}, imapd.Options{}, mail...)
	old := ferry.NewFleet(p.o)
	var passes sync.WaitGroup
	defer passes.Wait()
	passes.Go(func() {
		if r := old.Pass(t.Context(), "alice", false); r.Delivered != 20 {
			t.Errorf("%+v", r)
		}
		old.Close()
	})
	<-under
	o := p.o
	config := *p.o.Config
	config.Accounts = []plan.Account{*p.account()}
	config.Accounts[0].Name = "alice@home"
	o.Config = &config
	next := old.Next(o)
	defer next.Close()
	renamed := make(chan ferry.AccountReport, 1)
	passes.Go(func() { renamed <- next.Pass(t.Context(), "alice@home", false) })
	select {
	case r := <-renamed:
		t.Errorf("did not wait: %+v", r)
		close(free)
		return
	case <-time.After(300 * time.Millisecond):
	}
	close(free)
	if r := <-renamed; r.Delivered != 0 || r.Error != nil {
		t.Errorf("%+v", r)
	}
	p.arrived(mail...)
}

// TestTwoPortsAreOneHost: of two accounts with one folder, which they reach at different
// ports, the second waits until the first has carried, as the journal has it.
func TestTwoPortsAreOneHost(t *testing.T) {
	mail := ordinary(20, 5)
	var h halting
	p := newPair(t, popd.Options{Reply: h.reply}, imapd.Options{}, mail...)
	p.neighbour(mail...)
	p.o.Config.Accounts[1].Destination.Port = 993
	fleet := ferry.NewFleet(p.o)
	defer fleet.Close()
	h.waits(t, func() ferry.AccountReport { return fleet.Pass(t.Context(), "alice", false) },
		func() ferry.AccountReport { return fleet.Pass(t.Context(), "bob", false) })
	p.arrived(append(mail, mail...)...)
}

// TestNextTakesTheWholeUser: a configuration in which a folder may be any has accounts
// wait for a pass of the one before, and of one before that, though these took folders.
func TestNextTakesTheWholeUser(t *testing.T) {
	for _, folder := range []string{`\Archive`, "Mail/{year}"} {
		t.Run(folder, func(t *testing.T) {
			mail := ordinary(20, 5)
			var h halting
			p := newPair(t, popd.Options{Reply: h.reply}, imapd.Options{}, mail...)
			p.neighbour(mail...)
			first := ferry.NewFleet(p.o)
			defer first.Close()
			fleet := first
			for _, accounts := range [][]plan.Account{{}, {p.o.Config.Accounts[1]}} {
				for i := range accounts {
					accounts[i].Folder, accounts[i].Routes = "Other", []plan.Route{route("x", folder)}
				}
				o, config := p.o, *p.o.Config
				config.Accounts, o.Config = accounts, &config
				fleet = fleet.Next(o)
				defer fleet.Close()
			}
			h.waits(t, func() ferry.AccountReport { return first.Pass(t.Context(), "alice", false) },
				func() ferry.AccountReport { return fleet.Pass(t.Context(), "bob", false) })
		})
	}
}

// halting is a maildrop that stops once at RETR 10, until it is let go on.
type halting struct {
	once        sync.Once
	under, free chan struct{}
}

func (h *halting) reply(verb string, n int) ([]byte, bool) {
	if verb == "RETR" && n == 10 {
		h.once.Do(func() {
			close(h.under)
			<-h.free
		})
	}
	return nil, false
}

// waits checks that the second pass waits for the first one, which is amid its mail.
func (h *halting) waits(t *testing.T, first, second func() ferry.AccountReport) {
	t.Helper()
	h.under, h.free = make(chan struct{}), make(chan struct{})
	passed := func(pass func() ferry.AccountReport) chan ferry.AccountReport {
		report := make(chan ferry.AccountReport, 1)
		go func() { report <- pass() }()
		return report
	}
	one := passed(first)
	<-h.under
	two := passed(second)
	select {
	case r := <-two:
		t.Errorf("did not wait: %+v", r)
		two <- r
	case <-time.After(300 * time.Millisecond):
	}
	close(h.free)
	for _, report := range []chan ferry.AccountReport{one, two} {
		if r := <-report; r.Error != nil || r.Delivered != 20 {
			t.Errorf("%+v", r)
		}
	}
}

// TestNextHasItsOwnLimits: they hold at once, for more and for less.
func TestNextHasItsOwnLimits(t *testing.T) {
	mail := ordinary(5, 6)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	fleet := ferry.NewFleet(p.o)
	for _, limits := range []plan.Limits{{Accounts: 9, PerHost: 9}, {Accounts: 1, PerHost: 1}} {
		o := p.o
		config := *p.o.Config
		config.Limits = limits
		o.Config = &config
		next := fleet.Next(o)
		fleet.Close()
		if r := next.Pass(t.Context(), "alice", false); r.Error != nil {
			t.Errorf("%+v: %+v", limits, r)
		}
		fleet = next
	}
	fleet.Close()
	p.arrived(mail...)
}

// TestPassThatIsNotTaken: it says why it was not.
func TestPassThatIsNotTaken(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(1, 6)...)
	fleet := ferry.NewFleet(p.o)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 { // it may be taken first
		if r := fleet.Pass(ctx, "alice", false); r.ExitCode != fault.Temporary || r.Error == nil ||
			r.Error.Message != "stopped before all was done" {
			t.Errorf("%+v", r)
		}
	}
	if r := fleet.Pass(t.Context(), "bob", false); r.ExitCode != fault.Usage || r.Error == nil {
		t.Errorf("%+v", r)
	}
	fleet.Close()
	if r := fleet.Pass(t.Context(), "alice", false); r.ExitCode != fault.Temporary || r.Error == nil {
		t.Errorf("%+v", r)
	}
}

// TestToldToStop: while servers stall, whatever comes of the end of a wait: it says nothing of
// the servers, nor does the journal hear of it.
func TestToldToStop(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{}) // of whom nothing is known, so that both are asked at once
	var waiting sync.WaitGroup
	stalls := func(ctx context.Context) error {
		waiting.Done()
		<-ctx.Done()
		return fault.New(fault.Temporary, "cannot resolve the name of the server")
	}
	p.o.DialSource = func(ctx context.Context, _ plan.Account) (*pop.Maildrop, error) { return nil, stalls(ctx) }
	p.o.DialDestination = func(ctx context.Context, _ plan.Account) (*imapdst.Conn, error) { return nil, stalls(ctx) }
	ctx, cancel := context.WithCancel(t.Context())
	waiting.Add(2)
	go func() { waiting.Wait(); cancel() }()
	fleet := ferry.NewFleet(p.o)
	defer fleet.Close()
	r := fleet.Pass(ctx, "alice", false)
	if r.Error == nil || r.Error.Message != "stopped before all was done" || !r.Stopped || len(r.Notes) > 0 {
		t.Errorf("%+v, error %+v", r, r.Error)
	}
	scopes, err := p.o.Journal.Scopes(t.Context())
	for _, s := range scopes {
		if s.LastRun != "" {
			t.Errorf("the journal says %s", s.LastRun)
		}
	}
	if err != nil {
		t.Error(err)
	}
}
