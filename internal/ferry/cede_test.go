package ferry_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/mailtest/corpus"
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
