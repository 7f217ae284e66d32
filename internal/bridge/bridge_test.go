package bridge_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
)

// played is an account whose passes follow a script and are noted.
type played struct {
	mu    sync.Mutex
	at    []time.Duration // when each pass began
	held  int             // of them with held mail tried
	began time.Time
	// answer says how the n-th pass ends, from 1.
	answer func(n int) ferry.AccountReport
	takes  time.Duration
	stuck  bool
	// fastest, if it is more than a minute.
	fastest time.Duration
}

func (p *played) account(name string) bridge.Account {
	return bridge.Account{Name: name, Interval: 5 * time.Minute, Fastest: max(p.fastest, time.Minute), Hash: "1", Pass: p.pass}
}

func (p *played) pass(ctx context.Context, held bool) ferry.AccountReport {
	p.mu.Lock()
	p.at = append(p.at, time.Since(p.began))
	n := len(p.at)
	if held {
		p.held++
	}
	p.mu.Unlock()
	if p.stuck {
		<-ctx.Done()
	}
	time.Sleep(p.takes)
	if p.answer == nil {
		return ferry.AccountReport{}
	}
	return p.answer(n)
}

func (p *played) times() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.at)
}

// gaps are the times between passes.
func (p *played) gaps() (gaps []time.Duration) {
	at := p.times()
	for i := 1; i < len(at); i++ {
		gaps = append(gaps, at[i]-at[i-1])
	}
	return gaps
}

// runs keeps accounts for a while on a clock of their own.
func runs(t *testing.T, how time.Duration, random float64, passed func(bridge.Pass), plays ...*played) *bridge.Bridge {
	t.Helper()
	b := bridge.New(bridge.Options{Random: func() float64 { return random }, Finished: passed})
	ctx, cancel := context.WithCancel(context.Background())
	var set []bridge.Account
	for i, p := range plays {
		p.began = time.Now()
		set = append(set, p.account(string(rune('a'+i))))
	}
	b.Start(ctx, set)
	time.Sleep(how)
	cancel()
	b.Wait()
	return b
}

func failing(code fault.Code, times int) func(int) ferry.AccountReport {
	return func(n int) ferry.AccountReport {
		if n > times {
			return ferry.AccountReport{}
		}
		return ferry.AccountReport{ExitCode: code, Error: &ferry.ErrorReport{Code: code, Message: "x"}}
	}
}

// flowing has two passes bring mail.
func flowing(n int) ferry.AccountReport {
	r := ferry.AccountReport{}
	if n <= 2 {
		r.Delivered = 1
	}
	return r
}

const minute = time.Minute

func TestPace(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(int) ferry.AccountReport
		random float64
		want   []time.Duration
	}{
		"nothing new":     {nil, 0, []time.Duration{5 * minute, 5 * minute, 5 * minute}},
		"jitter is early": {nil, 0.999999, []time.Duration{4*minute + 30*time.Second}},
		"mail flows":      {flowing, 0, []time.Duration{minute, minute, 2 * minute, 4 * minute, 5 * minute, 5 * minute}},
		"mail flows, and no jitter is below the fastest": {flowing, 0.999999,
			[]time.Duration{66 * time.Second, 66 * time.Second, 108 * time.Second, 216 * time.Second}},
		"others wait": {func(n int) ferry.AccountReport {
			return ferry.AccountReport{GaveWay: n < 3}
		}, 0, []time.Duration{minute, minute, 2 * minute}},
		"held mail is no failure": {func(int) ferry.AccountReport {
			return ferry.AccountReport{ExitCode: fault.Held}
		}, 0, []time.Duration{5 * minute, 5 * minute}},
		"the network is away": {failing(fault.Temporary, 4), 0.5,
			[]time.Duration{5 * minute, 10 * minute, 15 * minute, 15 * minute, 5 * minute * 95 / 100}},
		"the network is away, and the latest": {failing(fault.Temporary, 5), 0.999999,
			[]time.Duration{5 * minute * 5 / 4, 10 * minute * 5 / 4, 15 * minute, 15 * minute}},
		"a server breaks its protocol, and the latest": {failing(fault.Protocol, 7), 0.999999,
			[]time.Duration{5 * minute * 5 / 4, 10 * minute * 5 / 4, 25 * minute, 50 * minute, 60 * minute, 60 * minute}},
		"a server breaks its protocol": {failing(fault.Protocol, 6), 0.5,
			[]time.Duration{5 * minute, 10 * minute, 20 * minute, 40 * minute, 60 * minute, 60 * minute}},
		"credentials refused once": {failing(fault.Credentials, 1), 0, []time.Duration{5 * minute, 5 * minute}},
		"credentials refused":      {failing(fault.Credentials, 9), 0, []time.Duration{5 * minute, 24 * time.Hour, 24 * time.Hour}},
		"limits of its own": {func(int) ferry.AccountReport {
			r := failing(fault.Temporary, 9)(1)
			r.Resting, r.NotBefore = true, time.Now().Add(8*time.Hour)
			return r
		}, 0, []time.Duration{8 * time.Hour, 8 * time.Hour}},
		"LOGIN-DELAY": {func(int) ferry.AccountReport {
			return ferry.AccountReport{NotBefore: time.Now().Add(7 * minute)}
		}, 0, []time.Duration{7 * minute, 7 * minute}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &played{answer: c.answer}
				runs(t, 50*time.Hour, c.random, nil, p)
				got := p.gaps()
				if len(got) < len(c.want) {
					t.Fatalf("only %v", got)
				}
				for i, want := range c.want {
					if d := got[i] - want; d < -time.Second || d > time.Second {
						t.Errorf("wait %d is %v, want %v; all: %v", i+1, got[i], want, got[:len(c.want)])
					}
				}
			})
		})
	}
}

// TestPaceAtItsBounds: where fastest and interval are the same there is no other wait, and
// none that is shorter after a failure.
func TestPaceAtItsBounds(t *testing.T) {
	for _, random := range []float64{0, 0.999999} {
		synctest.Test(t, func(t *testing.T) {
			well, fails := &played{fastest: 5 * minute}, &played{fastest: 5 * minute, answer: failing(fault.Temporary, 1)}
			runs(t, time.Hour, random, nil, well, fails)
			if got := well.gaps(); slices.Min(got) != 5*minute || slices.Max(got) != 5*minute {
				t.Errorf("%v", got)
			}
			if got := fails.gaps(); slices.Min(got) < 5*minute {
				t.Errorf("after a failure: %v", got)
			}
		})
	}
}

// TestNoMoreThanThreeBadLoginsAnHour, whatever else happens.
func TestNoMoreThanThreeBadLoginsAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &played{answer: func(n int) ferry.AccountReport { // now this, now that
			if n%3 == 0 {
				return failing(fault.Temporary, n)(n)
			}
			return failing(fault.Credentials, n)(n)
		}}
		runs(t, 100*time.Hour, 0, nil, p)
		at := p.times()
		for i := 3; i < len(at); i++ {
			if at[i]-at[i-3] < time.Hour {
				t.Errorf("four logins within an hour: %v", at[i-3:i+1])
			}
		}
	})
}

// TestOneAccountDelaysNoOther: one stalls for ever, one is refused, and 198 others are
// on time.
func TestOneAccountDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plays := []*played{{stuck: true}, {answer: failing(fault.Credentials, 99)}}
		for range 198 {
			plays = append(plays, &played{takes: time.Second})
		}
		runs(t, time.Hour+15*time.Second, 0, nil, plays...)
		for i, p := range plays[2:] {
			if n := len(p.times()); n < 12 {
				t.Errorf("account %d passed %d times in an hour", i, n)
			}
			if first := p.times()[0]; first > 10*time.Second {
				t.Errorf("account %d began after %v", i, first)
			}
		}
		if n := len(plays[1].times()); n != 2 {
			t.Errorf("the refused account logged in %d times", n)
		}
	})
}

func TestHeldMailIsTriedOnceADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &played{}
		runs(t, 73*time.Hour, 0, nil, p)
		if p.held != 3 {
			t.Errorf("tried %d times in three days", p.held)
		}
	})
}

// TestStop: what is in hand is finished, and its end is no failure.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &played{stuck: true, answer: failing(fault.Temporary, 9), takes: 20 * time.Second}
		finished := 0
		began := time.Now()
		b := runs(t, time.Minute, 0, func(bridge.Pass) { finished++ }, p)
		if took := time.Since(began); took != time.Minute+20*time.Second {
			t.Errorf("ended after %v", took)
		}
		if s := b.Snapshot(); finished != 0 || s.Accounts[0].Failures != 0 {
			t.Errorf("%d, %+v", finished, s)
		}
	})
}

// TestStoppedAmidWork: what a pass did before it was told to stop counts, and how it ended
// says nothing about the account.
func TestStoppedAmidWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &played{stuck: true, answer: func(int) ferry.AccountReport {
			return ferry.AccountReport{Totals: ferry.Totals{Delivered: 3, Bytes: 100}, ExitCode: fault.Temporary,
				Error: &ferry.ErrorReport{Code: fault.Temporary, Message: "was told to stop"}}
		}}
		var passes []bridge.Pass
		b := runs(t, time.Minute, 0, func(pass bridge.Pass) { passes = append(passes, pass) }, p)
		if a := b.Snapshot().Accounts[0]; a.Delivered != 3 || a.Bytes != 100 || a.Passes != 1 || a.Failures != 0 || a.Error != nil {
			t.Errorf("%+v", a)
		}
		if len(passes) != 1 || !passes[0].Stopped {
			t.Fatalf("%+v", passes)
		}
		if pass := bridge.PassOf(passes[0]); pass.Delivered != 3 || pass.Code != 0 || pass.Error != "" {
			t.Errorf("%+v", pass)
		}
	})
}

// TestUntried: a login that was refused to another account is no bad login of this one, which
// is there soon after somebody mends it.
func TestUntried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &played{answer: func(int) ferry.AccountReport {
			return ferry.AccountReport{ExitCode: fault.Credentials, Untried: true,
				Error: &ferry.ErrorReport{Code: fault.Credentials, Message: "not tried"}}
		}}
		b := runs(t, 24*time.Hour, 0.5, nil, p)
		if a := b.Snapshot().Accounts[0]; a.Phase != bridge.Failing || a.Error == nil || a.LeftKnown || len(p.times()) < 24 {
			t.Errorf("%+v after %v", a, p.times())
		}
	})
}

// TestAnotherSet: accounts that stay as they were go on, others begin or end, and one
// that was parked tries again at once.
func TestAnotherSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bridge.New(bridge.Options{Random: func() float64 { return 0 }})
		ctx, cancel := context.WithCancel(context.Background())
		stays, goes, comes, other := &played{}, &played{}, &played{}, &played{takes: 10 * time.Second}
		parked := &played{answer: failing(fault.Credentials, 2)}
		for _, p := range []*played{stays, goes, comes, other, parked} {
			p.began = time.Now()
		}
		b.Start(ctx, []bridge.Account{stays.account("stays"), goes.account("goes"), other.account("other"), parked.account("parked")})
		time.Sleep(7*minute + 30*time.Second)
		if s := b.Snapshot().Accounts; s[3].Phase != bridge.Parked || s[3].Failures != 2 || len(goes.times()) != 2 {
			t.Fatalf("%+v", s)
		}
		changed := other.account("other")
		changed.Hash = "2"
		told := b.Changed()
		b.Adopt([]bridge.Account{comes.account("comes"), changed, stays.account("stays"), parked.account("parked")})
		<-told
		time.Sleep(4 * minute)
		if got := stays.times(); len(got) != 3 {
			t.Errorf("the one that stays passed at %v", got)
		}
		if len(goes.times()) != 2 || len(comes.times()) != 1 || len(other.times()) != 3 || len(parked.times()) != 3 {
			t.Errorf("goes %v, comes %v, other %v, parked %v", goes.times(), comes.times(), other.times(), parked.times())
		}
		s := b.Snapshot().Accounts
		if s[0].Name != "comes" || s[3].Phase != bridge.Waiting || s[3].Error != nil || s[1].Passes != 3 {
			t.Errorf("%+v", s)
		}
		cancel()
		b.Wait()
	})
}

// TestStateOverChanges: an account with other settings goes on from what is known of it, and
// one of a bridge that begins from what was before.
func TestStateOverChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		p := &played{answer: func(int) ferry.AccountReport {
			return ferry.AccountReport{Totals: ferry.Totals{Delivered: 5, Held: 1}, ExitCode: fault.Held}
		}}
		b := bridge.New(bridge.Options{Past: func(name string) bridge.Past {
			return bridge.Past{Success: began.Add(-time.Hour), Held: len(name), Failing: began.Add(-time.Minute)}
		}})
		ctx, cancel := context.WithCancel(context.Background())
		fails := &played{answer: failing(fault.Temporary, 9)}
		b.Start(ctx, []bridge.Account{p.account("a"), fails.account("fails")})
		if a := b.Snapshot().Accounts[1]; a.Success != began.Add(-time.Hour) || a.Held != len("fails") {
			t.Errorf("at the start %+v", a)
		}
		time.Sleep(time.Second)
		stuck := &played{stuck: true}
		changed, also := stuck.account("a"), stuck.account("fails")
		changed.Hash, also.Hash = "2", "2"
		b.Adopt([]bridge.Account{changed, also})
		for range 2 { // at once, and with the first pass under way
			s := b.Snapshot().Accounts
			if a := s[0]; a.Success != began || a.Delivered != 5 || a.Held != 1 || a.Passes != 1 {
				t.Errorf("%+v", a)
			}
			if a := s[1]; a.Error == nil || !a.Since.Equal(began.Add(-time.Minute)) || b.Snapshot().Worst() != fault.Temporary {
				t.Errorf("%+v", a)
			}
			time.Sleep(time.Second)
		}
		cancel()
		b.Wait()
	})
}

func TestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &played{answer: func(n int) ferry.AccountReport {
			switch n {
			case 1:
				return ferry.AccountReport{Totals: ferry.Totals{Delivered: 3, Bytes: 100, Held: 1}, ExitCode: fault.Held,
					Messages: []ferry.MessageReport{{UIDL: "x", Reason: "large"}}, Seconds: 2}
			case 2:
				return ferry.AccountReport{ExitCode: fault.Temporary, Left: new(4),
					Error: &ferry.ErrorReport{Code: fault.Temporary, Message: "away"}}
			}
			return ferry.AccountReport{Totals: ferry.Totals{Delivered: 1, Bytes: 10}, Seconds: 1}
		}}
		began := time.Now()
		var passes []bridge.Pass
		b := runs(t, 90*time.Second, 0, func(pass bridge.Pass) { passes = append(passes, pass) }, p)
		a := b.Snapshot().Accounts[0]
		if a.Phase != bridge.Failing || a.Error.Message != "away" || a.Since != began.Add(minute) || a.Success != began ||
			a.Held != 1 || a.Left != 4 || !a.LeftKnown || a.Delivered != 3 || a.Errors["temporary"] != 1 || a.Next != began.Add(minute+minute*15/4) {
			t.Errorf("%+v", a)
		}
		if len(passes) != 2 || passes[0].Report.Delivered != 3 || passes[1].Next != a.Next || b.Snapshot().Worst() != fault.Temporary {
			t.Errorf("%+v", passes)
		}
	})
}

// TestHintsOfABridge say to nobody that he has to run what it runs by itself.
func TestHintsOfABridge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := fault.New(fault.Temporary, "busy").WithAfter(16 * time.Second)
		var passes []bridge.Pass
		b := runs(t, minute, 0, func(pass bridge.Pass) { passes = append(passes, pass) }, &played{
			answer: func(int) ferry.AccountReport {
				return ferry.AccountReport{ExitCode: fault.Temporary, Error: ferry.NewErrorReport(busy)}
			}})
		const want = "the bridge runs again by itself after 16s: the server wants such a pause"
		if seen, told := b.Snapshot().Accounts[0].Error.Hint, passes[0].Report.Error.Hint; seen != want || told != want {
			t.Errorf("%q, %q", seen, told)
		}
	})
}

// TestTurn: a pass that waits for its turn is not under way, and is forgotten with its pass.
// It begins when it has its turn.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var began time.Time
		b := bridge.New(bridge.Options{Finished: func(p bridge.Pass) {
			if !p.Started.Equal(began) {
				t.Errorf("it began at %v, and not at %v", p.Started, began)
			}
		}})
		ctx, cancel := context.WithCancel(t.Context())
		is := func(when string, queued, underWay bool) {
			t.Helper()
			if s := b.Snapshot().Accounts[0]; s.Queued != queued || s.UnderWay() != underWay {
				t.Errorf("%s: %+v", when, s)
			}
		}
		b.Start(ctx, []bridge.Account{{Name: "a", Interval: minute, Fastest: minute,
			Pass: func(context.Context, bool) ferry.AccountReport {
				b.Turn("a", true)
				is("in the queue", true, false)
				time.Sleep(time.Second)
				began = time.Now()
				b.Turn("a", false)
				time.Sleep(time.Second)
				is("at work", false, true)
				b.Turn("a", true)
				return ferry.AccountReport{}
			}}})
		time.Sleep(3 * time.Second)
		is("afterwards", false, false)
		b.Turn("a", true) // of a pass before
		b.Turn("b", true)
		is("between passes", false, false)
		cancel()
		b.Wait()
	})
}

// TestAwait: what a pass waits for is told until then, and no longer than the pass is under way.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bridge.New(bridge.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		is := func(when, want string, until time.Time) {
			t.Helper()
			if s := b.Snapshot().Accounts[0]; s.WaitsFor != want || !s.WaitsUntil.Equal(until) {
				t.Errorf("%s: %+v", when, s)
			}
		}
		b.Start(ctx, []bridge.Account{{Name: "a", Interval: minute, Fastest: minute,
			Pass: func(context.Context, bool) ferry.AccountReport {
				is("at first", "", time.Time{})
				until := time.Now().Add(time.Second)
				b.Await("a", "an append", until)
				b.Await("b", "nobody", until)
				is("waiting", "an append", until)
				time.Sleep(time.Second)
				is("and then", "", time.Time{})
				b.Await("a", "another", time.Now().Add(2*minute))
				return ferry.AccountReport{}
			}}})
		time.Sleep(2 * time.Second)
		is("afterwards", "", time.Time{})
		time.Sleep(minute)
		cancel()
		b.Wait()
	})
}

// TestProgress: what a pass brings counts while it is under way, and once.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bridge.New(bridge.Options{Random: func() float64 { return 0 }})
		ctx, cancel := context.WithCancel(t.Context())
		is := func(when string, delivered int, octets int64, left, soFar int) {
			t.Helper()
			s := b.Snapshot().Accounts[0]
			if s.Delivered != delivered || s.Bytes != octets || s.Left != left || !s.LeftKnown || s.SoFar.Delivered != soFar {
				t.Errorf("%s: %+v", when, s)
			}
		}
		n := 0
		b.Start(ctx, []bridge.Account{{Name: "a", Interval: minute, Fastest: minute,
			Pass: func(context.Context, bool) ferry.AccountReport {
				b.Progress(ferry.Event{Kind: ferry.Planned, Account: "a", Messages: 10, Bytes: 1000})
				is("at first", 8*n, 800*int64(n), 10, 0)
				b.Progress(ferry.Event{Kind: ferry.Delivered, Account: "a", Messages: 7, Bytes: 700})
				b.Progress(ferry.Event{Kind: ferry.Delivered, Account: "b", Messages: 1, Bytes: 100})
				b.Progress(ferry.Event{Kind: ferry.Skipped, Account: "a", Messages: 1, Bytes: 100})
				is("under way", 8*n+7, 800*int64(n)+700, 2, 7)
				n++
				left := 1
				r := ferry.AccountReport{Left: &left}
				r.Delivered, r.Bytes = 8, 800 // one of it turned out to have arrived
				return r
			}}})
		for i := range 2 {
			synctest.Wait()
			is("afterwards", 8*(i+1), 800*int64(i+1), 1, 8)
			b.Progress(ferry.Event{Kind: ferry.Delivered, Account: "a", Messages: 1, Bytes: 100}) // of a pass before
			is("between passes", 8*(i+1), 800*int64(i+1), 1, 8)
			time.Sleep(minute)
		}
		cancel()
		b.Wait()
	})
}

// TestStateWhenTheClockIsSetBack: nothing that was is said to be still to come, and what is due
// is so by the clock that whoever reads it has.
func TestStateWhenTheClockIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back time.Duration
		b := bridge.New(bridge.Options{Random: func() float64 { return 0 }, Wall: func() time.Time { return time.Now().Add(-back) }})
		ctx, cancel := context.WithCancel(t.Context())
		p := &played{answer: failing(fault.Temporary, 1)}
		p.began = time.Now()
		b.Start(ctx, []bridge.Account{p.account("a")})
		synctest.Wait()
		time.Sleep(time.Second)
		right := b.Snapshot().Accounts[0]
		back = 100 * 24 * time.Hour
		a := b.Snapshot().Accounts[0]
		for name, moved := range map[string]time.Duration{"next": right.Next.Sub(a.Next), "started": right.Started.Sub(a.Started),
			"ended": right.Ended.Sub(a.Ended), "failing since": right.Since.Sub(a.Since)} {
			if moved != back {
				t.Errorf("%s is %v earlier, want %v", name, moved, back)
			}
		}
		if !a.Success.IsZero() || right.Since.IsZero() {
			t.Errorf("%+v", a)
		}
		back = -back
		if a = b.Snapshot().Accounts[0]; a.Since != right.Since || a.Next != right.Next.Add(-back) {
			t.Errorf("put forward: %+v", a)
		}
		cancel()
		b.Wait()
	})
}
