package ferry_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// slowly gives a message of a line in a fifth of a second.
var slowly = ailing{source: illness{from: "RETR", every: 5 * time.Millisecond}}

// busy are eight accounts, as many as may be at work, each with servers of its own, or with one
// POP3 server, and so many messages.
func (c *crowd) busy(pop string, messages int) {
	c.mail = notes
	for i := range 8 {
		own := fmt.Sprint(i, ".example.org")
		c.join(fmt.Sprint("busy", i, "-"), 1, or(pop, own), own, slowly)
		c.drops[i].Deliver(notes(messages, -int64(i+1))...)
	}
}

// delivered sums up what the passes over an account brought.
func (c *crowd) delivered(name string) (n int) {
	for _, s := range c.passes[name] {
		n += s.report.Delivered
	}
	return n
}

// TestOthersGiveWay (X5): where the account that is asked first for its place does not go soon,
// another is asked; and what makes a pass come back for more does not keep it from giving way.
func TestOthersGiveWay(t *testing.T) {
	large := "Message-ID: <large@example.org>\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 1500)
	for name, make := range map[string]func(*crowd){
		"the first may not log in soon": func(c *crowd) {
			c.drops[0].Configure(func(o *popd.Options) { o.LoginDelay = 8 * time.Minute })
		},
		"the first has a large message": func(c *crowd) {
			for range c.drops[0].Messages() {
				c.drops[0].Expunge(1)
			}
			c.drops[0].Deliver([]byte(large))
		},
		"answers were lost": func(c *crowd) {
			var mu sync.Mutex
			lost := map[string]bool{}
			c.imap.Configure(func(o *imapd.Options) {
				o.Reply = func(e imapd.Event) imapd.Action {
					mu.Lock()
					defer mu.Unlock()
					if e.Stage != imapd.AtStore || !strings.HasPrefix(e.User, "busy") || lost[e.User] {
						return imapd.Action{}
					}
					lost[e.User] = true
					return imapd.Action{Cut: imapd.RST}
				}
			})
		},
		"mail that POP3 refuses": func(c *crowd) {
			for _, d := range c.drops[:8] {
				d.Configure(func(o *popd.Options) {
					o.Refuse = map[int]string{}
					for n := range 1200 {
						o.Refuse[n+4] = "message can't be read just now"
					}
				})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t)
				defer c.close()
				c.o.Config.Settle = 90 * time.Second
				c.busy("", 1200)
				c.join("healthy", 3, "pop.example.org", "imap.example.org", ailing{})
				make(c)
				c.bridge(3 * time.Minute)
				if took := c.slowest("healthy", 3, 0, 150*time.Second); took > 30*time.Second {
					t.Errorf("a healthy account waited for %v", took)
				}
			})
		})
	}
}

// TestGivesWayAndGetsOn (I7, X5): in passes that give way all mail arrives, once, whatever stands
// before it: mail whose folder can't be made, and mail without names, which each pass reads anew.
// And no pass takes what those before left for mail of other names.
func TestGivesWayAndGetsOn(t *testing.T) {
	t.Run("closed folder", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t)
			defer c.close()
			c.busy("pop.example.org", 0)
			c.join("healthy", 2, "pop.example.org", "imap.example.org", ailing{})
			c.imap.Configure(func(o *imapd.Options) {
				o.Reply = func(e imapd.Event) imapd.Action {
					if e.Stage == imapd.AtCommand && e.Command == "CREATE" {
						return imapd.Action{Reply: "NO [NOPERM] not you"}
					}
					return imapd.Action{}
				}
			})
			for i := range 8 {
				c.o.Config.Accounts[i].Routes = []plan.Route{route("list", "Lists")}
				var mail [][]byte
				for n := range 300 {
					mail = append(mail, fmt.Appendf(nil, "Message-ID: <l%d.%d@example.org>\r\nFrom: list@example.org\r\n\r\n%d\r\n", n, i, n))
				}
				c.drops[i].Deliver(append(mail, notes(60, -int64(i+1))...)...)
			}
			c.bridge(30 * time.Minute)
			for i := range 8 {
				if n := c.delivered(fmt.Sprint("busy", i, "-0")); n < 60 {
					t.Errorf("account %d: %d of 60 and more arrived", i, n)
				}
			}
		})
	})
	t.Run("no names", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t)
			defer c.close()
			c.busy("pop.example.org", 150)
			c.join("healthy", 2, "pop.example.org", "imap.example.org", ailing{})
			for _, d := range c.drops[:8] {
				d.Configure(func(o *popd.Options) { o.NoUIDL, o.NoTOP = true, true })
			}
			c.bridge(30 * time.Minute)
			for i := range 8 {
				if n := c.delivered(fmt.Sprint("busy", i, "-0")); n < 150 {
					t.Errorf("account %d: %d of 150 and more arrived", i, n)
				}
			}
		})
	})
	t.Run("names stay", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t)
			defer c.close()
			c.busy("", 400)
			c.join("healthy", 2, "pop.example.org", "imap.example.org", ailing{})
			c.bridge(10 * time.Minute)
			for i := range 8 {
				n, passes := c.drops[i].Counters().Commands, len(c.passes[fmt.Sprint("busy", i, "-0")])
				if n["TOP"] > 0 || n["AUTH"] != passes || passes < 5 {
					t.Errorf("account %d: %d TOP, %d logins in %d passes", i, n["TOP"], n["AUTH"], passes)
				}
			}
		})
	})
}

// TestGivesWayAsTheMaildropChanges: before it goes, a pass reads a second time what came too short,
// and finds another maildrop. None of the old numbers is asked for there, and nothing is held.
func TestGivesWayAsTheMaildropChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		defer c.close()
		c.busy("", 400)
		c.join("healthy", 2, "pop.example.org", "imap.example.org", ailing{})
		for _, d := range c.drops[:8] {
			d.Configure(func(o *popd.Options) {
				o.SizeOffset = 100
				o.Reply = func(cmd string, session int) ([]byte, bool) {
					for cmd == "GREETING" && session == 2 && len(d.Messages()) > 8 {
						d.Expunge(1)
					}
					return nil, false
				}
			})
		}
		c.bridge(time.Minute)
		for name, passes := range c.passes {
			if first := passes[0].report; first.Held > 0 {
				t.Errorf("%s: %+v", name, first)
			}
		}
	})
}

// TestLoginDelayKeepsNoFolder (S12, X5): an account that waits until it may log in again to delete
// leaves a folder to another that carries into it, and deletes in the end.
func TestLoginDelayKeepsNoFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		defer c.close()
		c.join("slow", 1, "delay.example.org", "imap.example.org", ailing{})
		c.drops[0].Configure(func(o *popd.Options) { o.LoginDelay = 4 * time.Minute })
		c.join("healthy", 1, "pop.example.org", "imap.example.org", ailing{})
		for i := range c.o.Config.Accounts {
			c.o.Config.Accounts[i].Destination.Username = "both"
		}
		c.deletes()
		c.passOver(20*time.Minute, crowdInterval, func(i int, n int64) {
			if i > 0 {
				c.news(i, n)
			}
		})
		if took := c.slowest("healthy", 1, 0, 19*time.Minute); took > 2*time.Second {
			t.Errorf("a healthy account waited for %v", took)
		}
		if n := len(c.drops[0].Messages()); n > 0 {
			t.Errorf("%d messages were not deleted", n)
		}
	})
}

// TestManyThatWait (X5): however many accounts wait for a server that refuses connections, for
// the end of a pause between logins, or for a place at one that is slow, those of other servers
// begin at once.
func TestManyThatWait(t *testing.T) {
	dead := func(context.Context, string, string) (net.Conn, error) {
		time.Sleep(20 * time.Millisecond)
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	for name, test := range map[string]struct {
		n    int
		ill  ailing
		make func(*crowd)
	}{
		"refused": {600, ailing{}, func(c *crowd) {
			for i := range c.o.Config.Accounts {
				c.o.Config.Accounts[i].Source.Dial = dead
			}
		}},
		"login delay": {300, ailing{}, func(c *crowd) {
			for _, d := range c.drops {
				d.Configure(func(o *popd.Options) { o.LoginDelay = 4 * time.Minute })
			}
		}},
		"slow": {1100, ailing{source: illness{from: "LIST", pause: 2 * time.Second}}, func(c *crowd) { c.o.Config.Limits.Accounts = 50 }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t)
				defer c.close()
				c.mail = notes
				c.join("many", test.n, "many.example.org", "imap.example.org", test.ill)
				test.make(c)
				c.join("healthy", 3, "pop.example.org", "other.example.org", ailing{})
				c.deletes()
				c.passOver(6*time.Minute, time.Minute, func(int, int64) {})
				if took := c.slowest("healthy", 3, 0, 6*time.Minute); took > 2*time.Second {
					t.Errorf("a healthy account waited for %v", took)
				}
			})
		})
	}
}

// TestSpoolLeavesRoom (X5): accounts with large messages whose destination stalls leave room in the
// spool to others.
func TestSpoolLeavesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		defer c.close()
		c.mail = func(n int, seed int64) (mail [][]byte) {
			for i := range n {
				mail = append(mail, fmt.Appendf(nil, "Message-ID: <%d.%d@example.org>\r\n\r\n%s", i, seed,
					strings.Repeat(strings.Repeat("x", 70)+"\r\n", 20_000)))
			}
			return mail
		}
		c.o.SpoolRoom = 16 << 20
		c.join("stalled", 2, "one.example.org", "one.example.org", ailing{dest: illness{from: "APPEND"}})
		for i := range 2 {
			c.drops[i].Deliver(c.mail(12, -int64(i+1))...)
		}
		c.join("healthy", 2, "pop.example.org", "imap.example.org", ailing{})
		c.passOver(3*time.Minute, time.Minute, func(int, int64) {})
		if took := c.slowest("healthy", 2, 0, 3*time.Minute); took > 5*time.Second {
			t.Errorf("a healthy account waited for %v", took)
		}
	})
}

// TestPassThatWaitsIsStopped: one that has no place yet ends when it is told to.
func TestPassThatWaitsIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		defer c.close()
		c.o.Config.Limits.PerHost = 1
		c.busy("pop.example.org", 400)
		fleet := ferry.NewFleet(c.o)
		var all sync.WaitGroup
		all.Go(func() { fleet.Pass(t.Context(), "busy0-0", false) })
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		r := fleet.Pass(ctx, "busy1-0", false)
		if took := time.Since(began); took > 6*time.Second || r.Error == nil || !strings.Contains(r.Error.Message, "stopped before") {
			t.Errorf("after %v: %+v", took, r)
		}
		all.Wait()
		fleet.Close()
	})
}

// TestLimitsHoldAcrossConfigurations: what is allowed in a time is so for the passes of a
// configuration before as well, which are under way.
func TestLimitsHoldAcrossConfigurations(t *testing.T) {
	const rate, budget = 30, 4000
	for name, limits := range map[string]plan.Limits{
		"rate":   {Rates: plan.Rates{MessagesPerMinute: rate}},
		"budget": {Hosts: map[string]plan.HostLimits{"imap.example.org": {Connections: 4, BytesPerDay: budget}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t)
				defer c.close()
				c.mail = notes
				limits.Accounts, limits.PerHost = 8, 4
				c.o.Config.Limits = limits
				c.join("a", 3, "pop.example.org", "imap.example.org", slowly)
				for i := range 3 {
					c.drops[i].Deliver(notes(500, -int64(i+1))...)
					c.o.Config.Accounts[i].Destination.Username, c.o.Config.Accounts[i].Folder = "all", fmt.Sprint(i)
				}
				fleet := ferry.NewFleet(c.o)
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				var all sync.WaitGroup
				for i := range 3 {
					if i > 0 {
						old := fleet
						fleet = fleet.Next(c.o)
						all.Go(old.Close)
					}
					now := fleet
					all.Go(func() { now.Pass(ctx, fmt.Sprint("a", i), false) })
					time.Sleep(2 * time.Second)
				}
				came := func() (n, octets int) {
					for _, f := range []string{"0", "1", "2"} {
						for _, m := range c.imap.User("all").Mailbox(f) {
							n, octets = n+1, octets+len(m.Raw)
						}
					}
					return n, octets
				}
				before, _ := came()
				time.Sleep(2 * time.Minute)
				n, octets := came()
				if name == "rate" && n-before > 2*rate+2 || name == "budget" && octets > budget || octets < 1000 {
					t.Errorf("%d messages in two minutes, %d octets", n-before, octets)
				}
				stop()
				fleet.Close()
				all.Wait()
			})
		})
	}
}

// TestDeletionsAreNotLong (X5): who brings little, and deletes it, waits for none of those at its server
// that have much, though these wait for its place meanwhile.
func TestDeletionsAreNotLong(t *testing.T) {
	const pop, imap = "pop.example.org", "imap.example.org"
	for name, delay := range map[string]time.Duration{"at once": 0, "login delay": 8 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t)
				defer c.close()
				c.busy(pop, 400)
				c.join("healthy", 1, pop, imap, ailing{source: illness{from: "DELE", pause: 300 * time.Millisecond}})
				c.drops[8].Configure(func(o *popd.Options) { o.LoginDelay = delay })
				c.deletes()
				c.bridge(10 * time.Minute)
				if took := c.slowest("healthy", 1, 90*time.Second, 9*time.Minute); took > 20*time.Second+delay {
					t.Errorf("it waited for %v", took)
				}
				for _, s := range c.passes["healthy0"] {
					if r := s.report; r.GaveWay && r.Deleted > 0 {
						t.Errorf("at %v it gave way when all was done", s.at)
					}
				}
			})
		})
	}
}
