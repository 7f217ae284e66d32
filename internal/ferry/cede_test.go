package ferry_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// TestMuchMailDelaysNobody (X5): accounts that have mail for many minutes, as many as there is
// room for, be it slots, connections to the POP3 server, or to the IMAP server, or a folder,
// give way to others, and all of their mail arrives, once. Where they are more, these go first as
// soon as it is known who has much.
func TestMuchMailDelaysNobody(t *testing.T) {
	const pop, imap, other = "pop.example.org", "imap.example.org", "other.example.org"
	slow := ailing{source: illness{from: "RETR", every: 5 * time.Millisecond}}
	for name, test := range map[string]struct {
		busy   int
		pop    string // of those that are busy; "": each has its own
		imap   string
		folder bool // it is one for all
		known  time.Duration
	}{
		"slots":        {busy: 8},
		"POP3":         {busy: 6, pop: pop, imap: other},
		"IMAP":         {busy: 5, imap: imap},
		"folder":       {busy: 1, imap: imap, folder: true},
		"many at POP3": {busy: 16, pop: pop, imap: other, known: 90 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t)
				defer c.close()
				c.mail = notes
				for i := range test.busy {
					own := fmt.Sprintf("%d.example.org", i)
					c.join(fmt.Sprint("busy", i, "-"), 1, or(test.pop, own), or(test.imap, own), slow)
				}
				c.join("healthy", 3, pop, imap, ailing{})
				for i := range test.busy {
					name, mail := fmt.Sprint("busy", i, "-0"), notes(150, -int64(i+1))
					c.drops[i].Deliver(mail...)
					c.brought[name] = append(c.brought[name], mail...)
				}
				if test.folder {
					for i := range c.o.Config.Accounts {
						c.o.Config.Accounts[i].Destination.Username = "both"
					}
				}
				if !test.folder {
					c.deletes()
				}
				c.bridge(10 * time.Minute)
				if took := c.slowest("healthy", 3, test.known, 9*time.Minute); took > 20*time.Second {
					t.Errorf("a healthy account waited for %v", took)
				}
				for i, a := range c.o.Config.Accounts {
					if most := len(c.passes[a.Name]); i < test.busy && most < 5 {
						t.Errorf("%s was done in %d passes", a.Name, most)
					}
					if !test.folder {
						c.once(i, a.Name)
					}
				}
				if got, want := len(c.imap.User("both").Mailbox("INBOX")), len(slices.Concat(slices.Collect(maps.Values(c.brought))...)); test.folder && want-got > 4 {
					t.Errorf("%d of %d arrived", got, want)
				}
				c.within(4)
			})
		})
	}
}

// once checks that each mail of an account is at its destination once, but for one that the end
// may have stopped, and that is on POP3.
func (c *crowd) once(i int, name string) {
	c.t.Helper()
	there, kept, missing := map[string]int{}, map[string]int{}, 0
	for _, s := range c.imap.User(name).Mailbox("INBOX") {
		there[string(corpus.Canonical(s.Raw))]++
	}
	for _, raw := range c.drops[i].Messages() {
		kept[string(corpus.Canonical(raw))]++
	}
	for _, raw := range c.brought[name] {
		content := string(corpus.Canonical(raw))
		if n := there[content]; n > 1 || n+kept[content] == 0 {
			c.t.Errorf("%s: %d of %q", name, n, content)
		}
		if there[content] == 0 {
			missing++
		}
	}
	if missing > 1 {
		c.t.Errorf("%s: %d did not arrive", name, missing)
	}
}

// notes are mail of a line each.
func notes(n int, seed int64) (mail [][]byte) {
	for i := range n {
		mail = append(mail, fmt.Appendf(nil, "Message-ID: <%d.%d@example.org>\r\n\r\n%d\r\n", i, seed, i))
	}
	return mail
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// TestReadTwiceAndInTheWay (I7, X5): mail that is brought only after a second reading, and that
// takes longer to read than a pass has before it gives way, arrives although others wait always.
func TestReadTwiceAndInTheWay(t *testing.T) {
	for name, make := range map[string]func(*crowd, [][]byte) int{
		"shorter than listed": func(c *crowd, mail [][]byte) int {
			c.drops[0].Configure(func(o *popd.Options) { o.SizeOffset = 200 })
			return len(mail)
		},
		"altered copies": func(c *crowd, mail [][]byte) int {
			c.drops[0].Configure(func(o *popd.Options) { o.NoTOP = true })
			for _, raw := range mail {
				c.imap.User("busy0").Deliver("INBOX", grown(raw), nil, time.Time{})
			}
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t)
				defer c.close()
				mail := withIDs(60)
				c.o.Config.Limits.Accounts, c.mail = 1, func(n int, _ int64) [][]byte { return mail[:n] }
				c.join("busy", 1, "one.example.org", "one.example.org",
					ailing{source: illness{from: "RETR", every: 5 * time.Millisecond}})
				c.mail = notes
				c.join("healthy", 1, "two.example.org", "two.example.org", ailing{})
				c.drops[0].Deliver(mail[3:]...)
				want := make(c, mail)
				c.bridge(10 * time.Minute)
				passes := c.passes["busy0"]
				passes = passes[:len(passes)-1] // the last one was stopped
				for _, s := range passes {
					want -= s.report.Delivered
				}
				want += len(passes) - 1 // one came before each but the first
				if last := passes[len(passes)-1].report; want != 0 || last.Delivered != 1 || len(passes) < 20 {
					t.Errorf("%d missing after %d passes; the last: %+v", want, len(passes), last)
				}
				if took := c.slowest("healthy", 1, 3*time.Minute, 9*time.Minute); took > 5*time.Second {
					t.Errorf("a healthy account waited for %v", took)
				}
			})
		})
	}
}
