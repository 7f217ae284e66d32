package bridge_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
)

// shelf keeps texts over restarts.
type shelf struct {
	mu    sync.Mutex
	texts map[string]string
	saves int
}

func newShelf() *shelf { return &shelf{texts: map[string]string{}} }

func (s *shelf) load(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.texts[name]
}

func (s *shelf) save(name, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts[name] = text
	s.saves++
}

// lives runs a bridge for a while and ends it.
func (s *shelf) lives(how time.Duration, p *played, during func(*bridge.Bridge)) bridge.Snapshot {
	b := bridge.New(bridge.Options{Random: func() float64 { return 0 }, Load: s.load, Save: s.save})
	ctx, cancel := context.WithCancel(context.Background())
	b.Start(ctx, []bridge.Account{p.account("a")})
	during(b)
	time.Sleep(how)
	snapshot := b.Snapshot()
	cancel()
	b.Wait()
	return snapshot
}

func nothing(*bridge.Bridge) {}

func fourWithinAnHour(at []time.Duration) bool {
	for i := 3; i < len(at); i++ {
		if at[i]-at[i-3] < time.Hour {
			return true
		}
	}
	return false
}

// TestBadLoginsOverRestarts: neither a service that crashes again and again nor a person
// who sends SIGHUP makes a fourth bad login within an hour.
func TestBadLoginsOverRestarts(t *testing.T) {
	for name, c := range map[string]struct {
		life   time.Duration
		during func(*played) func(*bridge.Bridge)
	}{
		"crashes": {20 * time.Second, func(*played) func(*bridge.Bridge) { return nothing }},
		"SIGHUP": {time.Minute, func(p *played) func(*bridge.Bridge) {
			return func(b *bridge.Bridge) {
				for range 10 {
					time.Sleep(time.Second)
					b.Adopt([]bridge.Account{p.account("a")})
				}
			}
		}},
		"another account of that name": {time.Minute, func(p *played) func(*bridge.Bridge) {
			return func(b *bridge.Bridge) {
				for i := range 10 {
					time.Sleep(time.Second)
					other := p.account("a")
					other.Hash = string(rune('A' + i))
					b.Adopt([]bridge.Account{other})
				}
			}
		}},
		"gone and back": {time.Minute, func(p *played) func(*bridge.Bridge) {
			return func(b *bridge.Bridge) {
				for range 10 {
					b.Adopt(nil)
					time.Sleep(time.Second)
					b.Adopt([]bridge.Account{p.account("a")})
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &played{began: time.Now(), answer: failing(fault.Credentials, 1000)}
				s := newShelf()
				var last bridge.Snapshot
				// At the full hour a login may be due: a life does not end just then.
				for time.Since(p.began) <= 5*time.Hour {
					last = s.lives(c.life, p, c.during(p))
				}
				if at := p.times(); len(at) < 10 || fourWithinAnHour(at) {
					t.Errorf("logins at %v", at)
				}
				checkParked(t, last)
			})
		})
	}
}

func checkParked(t *testing.T, s bridge.Snapshot) {
	t.Helper()
	a := s.Accounts[0]
	if a.Phase != bridge.Parked || a.Error == nil || a.Since.IsZero() || s.Worst() != fault.Credentials {
		t.Errorf("%+v", a)
	}
}

// TestParkedIsNotWell: after a restart and a new configuration, too, for as long as nothing
// is tried; then a success makes it well.
func TestParkedIsNotWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		refused := &played{began: time.Now(), answer: failing(fault.Credentials, 1000)}
		for range 3 {
			s.lives(time.Minute, refused, nothing)
		}
		p := &played{began: time.Now()}
		last := s.lives(time.Hour, p, func(b *bridge.Bridge) {
			checkParked(t, b.Snapshot())
			other := p.account("a")
			other.Hash = "2"
			b.Adopt([]bridge.Account{other})
			synctest.Wait()
			checkParked(t, b.Snapshot())
		})
		if last.Worst() != fault.OK || last.Accounts[0].Phase != bridge.Waiting || len(p.times()) == 0 {
			t.Errorf("%+v", last.Accounts[0])
		}
	})
}

// TestBadLoginsTwoAtATime: a pass in which the server refuses two ways to log in counts for
// two, whether or not it ended for that reason.
func TestBadLoginsTwoAtATime(t *testing.T) {
	for _, code := range []fault.Code{fault.Credentials, fault.Temporary} {
		synctest.Test(t, func(t *testing.T) {
			refused := 0
			p := &played{began: time.Now(), answer: func(n int) ferry.AccountReport {
				r := failing(code, 1000)(n)
				if r.Refusals = 1; n == 1 {
					r.Refusals = 2
				}
				refused += r.Refusals
				return r
			}}
			s := newShelf()
			for range 10 {
				s.lives(20*time.Second, p, nothing)
			}
			if refused != 3 {
				t.Errorf("%v: %d bad logins within some minutes", code, refused)
			}
		})
	}
}

// TestStoppedBetweenTwoWays: one was refused, and the other may have been.
func TestStoppedBetweenTwoWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		stopped := &played{began: time.Now(), stuck: true, answer: func(n int) ferry.AccountReport {
			r := failing(fault.Temporary, 1000)(n)
			r.Refusals = 1
			return r
		}}
		for range 10 {
			s.lives(10*time.Second, stopped, nothing)
		}
		if n := len(stopped.times()); n != 2 {
			t.Errorf("%d passes within some minutes", n)
		}
	})
}

// TestKilledInABadLogin: it counts although nobody saw its end.
func TestKilledInABadLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		p := &played{began: time.Now(), answer: failing(fault.Credentials, 1)}
		s.lives(time.Minute, p, nothing)
		for range 10 { // each is killed before the server has answered
			dies := &played{began: p.began, stuck: true, answer: failing(fault.Credentials, 1000)}
			texts := newShelf()
			texts.texts["a"] = s.load("a")
			texts.lives(10*time.Second, dies, func(*bridge.Bridge) {
				time.Sleep(time.Second)
				s.save("a", texts.load("a"))
			})
			p.at = append(p.at, dies.times()...)
		}
		if n := len(p.at); n != 3 {
			t.Errorf("%d logins within some minutes: %v", n, p.at)
		}
	})
}

// TestStoppedInABadLogin: it counts, too; a pass that succeeds all the same does not.
func TestStoppedInABadLogin(t *testing.T) {
	for code, want := range map[fault.Code]int{fault.Temporary: 3, fault.OK: 11} {
		synctest.Test(t, func(t *testing.T) {
			s := newShelf()
			p := &played{began: time.Now(), answer: failing(fault.Credentials, 1)}
			s.lives(time.Minute, p, nothing)
			stopped := &played{began: p.began, stuck: true, answer: failing(code, 1000)}
			for range 10 {
				s.lives(10*time.Second, stopped, nothing)
			}
			if n := 1 + len(stopped.times()); n != want {
				t.Errorf("%v: %d logins within some minutes: %v", code, n, stopped.times())
			}
		})
	}
}

// TestSuccessIsForgiven: after it a refusal is the first one, and a healthy account writes
// nothing but once a day.
func TestSuccessIsForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		p := &played{began: time.Now(), answer: failing(fault.Credentials, 2)}
		s.lives(25*time.Hour, p, nothing) // two refusals, and a day later all is well
		saves := s.saves
		well := &played{began: time.Now()}
		s.lives(23*time.Hour, well, nothing)
		if s.saves != saves || len(well.times()) < 200 {
			t.Errorf("%d writes in %d passes", s.saves-saves, len(well.times()))
		}
		again := &played{began: time.Now(), answer: failing(fault.Credentials, 1000)}
		s.lives(30*time.Minute, again, nothing)
		if at := again.times(); len(at) != 2 {
			t.Errorf("logins at %v", at)
		}
	})
}

// TestHeldMailOverRestarts: once a day, however often the bridge is started anew, also
// when it dies of it.
func TestHeldMailOverRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &played{began: time.Now()}
		s := newShelf()
		for time.Since(p.began) < 73*time.Hour {
			s.lives(5*time.Hour, p, nothing)
		}
		if p.held != 3 {
			t.Errorf("tried %d times in three days", p.held)
		}
	})
}

// TestClockSetBack: what was kept by a clock that was ahead costs an hour at most.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		s.texts["a"] = `{"held":"2050-01-01T00:00:00Z","refused":["2050-01-01T00:00:00Z","2050-01-01T00:01:00Z","2050-01-01T00:02:00Z"]}`
		p := &played{began: time.Now()}
		s.lives(25*time.Hour, p, nothing)
		if at := p.times(); len(at) == 0 || at[0] > time.Hour || p.held != 1 {
			t.Errorf("passes at %v, held mail tried %d times", at, p.held)
		}
	})
}

// TestDamagedRecall: what can't be read is not known.
func TestDamagedRecall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		s.texts["a"] = `{"held":7,"refused":"x`
		p := &played{began: time.Now()}
		s.lives(time.Minute, p, nothing)
		if len(p.times()) != 1 {
			t.Errorf("passes at %v", p.times())
		}
	})
}

// TestWhatAPersonMended is tried at once after SIGHUP, what only time mends is not.
func TestWhatAPersonMended(t *testing.T) {
	for code, want := range map[fault.Code]int{fault.TLS: 2, fault.Refused: 2, fault.Credentials: 2, fault.Temporary: 1} {
		synctest.Test(t, func(t *testing.T) {
			p := &played{began: time.Now(), answer: failing(code, 1)}
			newShelf().lives(0, p, func(b *bridge.Bridge) {
				time.Sleep(time.Minute)
				b.Adopt([]bridge.Account{p.account("a")})
				time.Sleep(time.Minute)
			})
			if n := len(p.times()); n != want {
				t.Errorf("%v: %d passes", code, n)
			}
		})
	}
}

// TestWhatAPersonMendsDuringAPass is tried right after it, if that ends in vain.
func TestWhatAPersonMendsDuringAPass(t *testing.T) {
	const takes = 8 * time.Second
	for name, c := range map[string]struct {
		old  ferry.AccountReport // how the pass ends that is under way meanwhile
		want []time.Duration
	}{
		"refused": {failing(fault.Credentials, 2)(2), []time.Duration{0, takes + 5*minute, 2*takes + 5*minute}},
		"rests": {ferry.AccountReport{Resting: true, NotBefore: time.Now().AddDate(100, 0, 0)},
			[]time.Duration{0, takes + 5*minute, 2*takes + 5*minute}},
		"works":          {ferry.AccountReport{}, []time.Duration{0, takes + 5*minute}},
		"is not reached": {failing(fault.Temporary, 2)(2), []time.Duration{0, takes + 5*minute}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &played{began: time.Now(), takes: takes, answer: func(n int) ferry.AccountReport {
					switch n {
					case 1:
						return failing(fault.Credentials, 1)(1)
					case 2:
						return c.old
					}
					return ferry.AccountReport{}
				}}
				last := newShelf().lives(minute, p, func(b *bridge.Bridge) {
					time.Sleep(5*minute + takes + time.Second)
					b.Adopt([]bridge.Account{p.account("a")})
				})
				if at := p.times(); !slices.Equal(at, c.want) || len(at) == 3 && last.Worst() != fault.OK {
					t.Errorf("passes at %v, %+v", at, last)
				}
			})
		})
	}
}

// TestLoginDelayOverRestarts: no two passes are closer than the server permits, whatever
// becomes of the bridge.
func TestLoginDelayOverRestarts(t *testing.T) {
	const delay = 10 * time.Minute
	for name, during := range map[string]func(*played) func(*bridge.Bridge){
		"restarts": func(*played) func(*bridge.Bridge) { return nothing },
		"another interval": func(p *played) func(*bridge.Bridge) {
			return func(b *bridge.Bridge) {
				time.Sleep(5 * time.Second)
				other := p.account("a")
				other.Hash = "2"
				b.Adopt([]bridge.Account{other})
			}
		},
		"SIGHUP": func(p *played) func(*bridge.Bridge) {
			return func(b *bridge.Bridge) {
				time.Sleep(5 * time.Second)
				b.Adopt([]bridge.Account{p.account("a")})
			}
		},
	} {
		for _, code := range []fault.Code{fault.OK, fault.Refused} {
			t.Run(name+", "+code.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := &played{began: time.Now(), takes: time.Second, answer: func(n int) ferry.AccountReport {
						r := ferry.AccountReport{NotBefore: time.Now().Add(delay), Asked: time.Now().Add(delay)}
						if code != fault.OK {
							r.ExitCode, r.Error = code, &ferry.ErrorReport{Code: code}
						}
						return r
					}}
					s := newShelf()
					for time.Since(p.began) < 3*time.Hour {
						s.lives(time.Minute, p, during(p))
					}
					for _, gap := range p.gaps() {
						if gap < delay {
							t.Fatalf("passes at %v", p.times())
						}
					}
					if n := len(p.times()); n < 10 {
						t.Errorf("%d passes", n)
					}
				})
			})
		}
	}
}

// TestKilledWithLoginDelay: a login of which nobody saw the end is kept apart from the next.
func TestKilledWithLoginDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := newShelf(), newShelf()
		p := &played{began: time.Now(), takes: 10 * time.Second, answer: func(int) ferry.AccountReport {
			return ferry.AccountReport{Asked: time.Now().Add(4 * minute)}
		}}
		before.lives(minute, p, func(*bridge.Bridge) {
			time.Sleep(5*minute + 15*time.Second) // the second pass is under way
			after.texts["a"] = before.load("a")
		})
		later := &played{began: time.Now()}
		after.lives(5*minute, later, nothing)
		if at := later.times(); len(p.times()) != 2 || len(at) != 1 || at[0] < 2*minute+45*time.Second {
			t.Errorf("passes at %v, and after it was killed at %v", p.times(), at)
		}
	})
}

// TestLoginDelayAndClockSetBack: it is waited for once more, and not for decades.
func TestLoginDelayAndClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		s.texts["a"] = `{"held":"2000-01-01T00:00:00Z","asked":"2050-01-01T00:00:00Z","not_before":"2050-01-01T00:04:00Z"}`
		p := &played{began: time.Now()}
		s.lives(5*minute, p, nothing)
		if at := p.times(); len(at) != 1 || at[0] != 4*minute {
			t.Errorf("passes at %v", at)
		}
	})
}

// TestOtherServersOrLimits: what servers asked for is kept towards them, and no limit that
// was changed since, of which the hash of an account knows nothing.
func TestOtherServersOrLimits(t *testing.T) {
	for name, c := range map[string]struct {
		hash, servers string // after the change
		resting       bool
		passes        int
	}{"its own limits": {"1", "", true, 2}, "its own limits, and more": {"2", "", true, 2},
		"other servers": {"2", "others", false, 2}, "none of them": {"2", "", false, 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &played{began: time.Now(), answer: func(int) ferry.AccountReport {
					r := ferry.AccountReport{NotBefore: time.Now().Add(time.Hour), Asked: time.Now().Add(time.Hour)}
					if c.resting {
						r.Resting, r.Asked = true, time.Time{}
					}
					return r
				}}
				newShelf().lives(0, p, func(b *bridge.Bridge) {
					time.Sleep(time.Minute)
					next := p.account("a")
					next.Hash, next.Servers = c.hash, c.servers
					b.Adopt([]bridge.Account{next})
					time.Sleep(time.Minute)
				})
				if n := len(p.times()); n != c.passes {
					t.Errorf("passes at %v", p.times())
				}
			})
		})
	}
}

// TestClockPutForward: whoever rests until a time of day is there soon after a clock that was
// behind says so; what servers asked for is kept all the same.
func TestClockPutForward(t *testing.T) {
	for name, c := range map[string]struct {
		resting bool
		asked   time.Duration
		latest  time.Duration // of the second pass
	}{"rests": {true, 0, 11 * minute}, "rests, and was asked to": {true, time.Hour, time.Hour},
		"waits": {false, 0, 14 * time.Hour}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				wall := func() time.Time {
					now := time.Now()
					if now.Sub(began) >= 10*minute {
						now = now.Add(15 * time.Hour)
					}
					return now.Round(0)
				}
				p := &played{began: began, answer: func(n int) ferry.AccountReport {
					return ferry.AccountReport{Resting: c.resting, NotBefore: began.Add(14 * time.Hour), Asked: began.Add(c.asked)}
				}}
				b := bridge.New(bridge.Options{Random: func() float64 { return 0 }, Wall: wall})
				ctx, cancel := context.WithCancel(t.Context())
				b.Start(ctx, []bridge.Account{p.account("a")})
				time.Sleep(14*time.Hour + minute)
				cancel()
				b.Wait()
				if at := p.times(); len(at) < 2 || at[1] > c.latest || at[1] < c.latest-minute {
					t.Errorf("passes at %v", at)
				}
			})
		})
	}
}

// TestServerThatAsksForTooMuch gets a day.
func TestServerThatAsksForTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &played{began: time.Now(), answer: func(int) ferry.AccountReport {
			return ferry.AccountReport{ExitCode: fault.Temporary, NotBefore: time.Now().Add(1000 * time.Hour)}
		}}
		newShelf().lives(25*time.Hour, p, nothing)
		if n := len(p.times()); n != 2 {
			t.Errorf("%d passes", n)
		}
	})
}

// TestWhyItIsParked: after a restart, too, an account says which server refused what, for as
// long as no login was good.
func TestWhyItIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		refused := &played{began: time.Now(), answer: failing(fault.Credentials, 1000)}
		for range 3 {
			s.lives(time.Minute, refused, nothing)
		}
		s.lives(time.Hour, &played{began: time.Now()}, func(b *bridge.Bridge) {
			if e := b.Snapshot().Accounts[0].Error; e == nil || e.Message != "x" {
				t.Errorf("%+v", e)
			}
		})
		if strings.Contains(s.load("a"), `"message"`) {
			t.Errorf("still known: %s", s.load("a"))
		}
	})
}

// TestWhoSignedInWaitsNoLonger than a minute, also where there were too many bad logins with
// what was refused; who signed in for nothing is left alone again.
func TestWhoSignedInWaitsNoLonger(t *testing.T) {
	for name, c := range map[string]struct {
		refusals, failures int
		want               []time.Duration
	}{
		"parked":           {1, 2, []time.Duration{0, 5 * minute, 31 * minute, 36 * minute}},
		"too many refused": {2, 2, []time.Duration{0, 5 * minute, 31 * minute, 36 * minute}},
		"in vain":          {1, 9, []time.Duration{0, 5 * minute, 31 * minute}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var signedIn atomic.Bool
				p := &played{began: time.Now(), answer: func(n int) ferry.AccountReport {
					signedIn.Store(false)
					r := failing(fault.Credentials, c.failures)(n)
					if r.Error != nil {
						r.Refusals = c.refusals
					}
					return r
				}}
				a := p.account("a")
				a.Mended = signedIn.Load
				b := bridge.New(bridge.Options{Random: func() float64 { return 0 }})
				ctx, cancel := context.WithCancel(t.Context())
				b.Start(ctx, []bridge.Account{a})
				time.Sleep(30*minute + time.Second)
				signedIn.Store(true)
				time.Sleep(7 * minute)
				cancel()
				b.Wait()
				if at := p.times(); !slices.Equal(at, c.want) {
					t.Errorf("passes at %v, want %v", at, c.want)
				}
			})
		})
	}
}
