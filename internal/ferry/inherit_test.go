package ferry_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// short is a maildrop that takes more than one batch and little time.
func short(n int) (mail [][]byte) {
	for i := range n {
		mail = append(mail, simple(fmt.Sprint(i), "s", fmt.Sprint("text ", i)))
	}
	return mail
}

// TestChangedBack: what was taken over is taken back with the old name, host, or
// server.
func TestChangedBack(t *testing.T) {
	for name, change := range map[string]func(p *pair, now string){
		"name": func(p *pair, now string) { p.account().Name = now },
		"host": func(p *pair, now string) { p.account().Source.Host = now },
		"server": func(p *pair, now string) {
			p.account().Source.Host = now
			p.pop.Configure(func(o *popd.Options) {
				o.UIDL = func(n int, _ []byte) string { return fmt.Sprint(now, n) }
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(30, 11)
			p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
			change(p, "localhost")
			p.run(0, 30)
			for _, now := range []string{"127.0.0.1", "localhost", "127.0.0.1", "localhost"} {
				change(p, now)
				p.run(0, 0)
			}
			p.arrived(mail...)
			p.pop.Deliver(mail[0])
			p.run(0, 1)
		})
	}
}

// dying is a journal whose disk fails after some writes.
type dying struct {
	journal.Journal
	left *atomic.Int64
}

func dyingAfter(writes int, j journal.Journal) dying {
	d := dying{j, new(atomic.Int64)}
	d.left.Store(int64(writes))
	return d
}

type dyingLedger struct {
	journal.Ledger
	left *atomic.Int64
}

func (d dying) Ledger(ctx context.Context, s journal.Scope) (journal.Ledger, error) {
	l, err := d.Journal.Ledger(ctx, s)
	return dyingLedger{l, d.left}, err
}

func (d dyingLedger) write() error {
	if d.left.Add(-1) < 0 {
		return fault.New(fault.State, "write: %w", errors.New("no space left on device"))
	}
	return nil
}

func (d dyingLedger) Put(ctx context.Context, rs []journal.Record) error {
	if err := d.write(); err != nil {
		return err
	}
	return d.Ledger.Put(ctx, rs)
}

func (d dyingLedger) SetFact(ctx context.Context, name, value string) error {
	if err := d.write(); err != nil {
		return err
	}
	return d.Ledger.SetFact(ctx, name, value)
}

// TestTakeOverInterrupted: a take-over, here by an account that gets its old name
// back, may end after any write. Whatever name the account has next, nothing is copied
// again.
func TestTakeOverInterrupted(t *testing.T) {
	t.Parallel()
	mail := short(110)
	for _, next := range []string{"alice", "renamed", "again"} {
		t.Run(next, func(t *testing.T) {
			for writes, died := 0, true; died; writes++ {
				p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
				p.run(0, len(mail))
				p.account().Name = "renamed"
				p.run(0, 0)
				whole := p.o.Journal
				p.o.Journal = dyingAfter(writes, whole)
				p.account().Name = "alice"
				died = runFerry(t, p.o).ExitCode != 0
				p.o.Journal = whole
				p.account().Name = next
				p.run(0, 0)
				p.run(0, 0)
				p.arrived(mail...)
			}
		})
	}
}

// TestRenamedAfterACrash: what the crashed run knew about names and places holds for
// its records under the new name, too.
func TestRenamedAfterACrash(t *testing.T) {
	t.Parallel()
	mail := short(110)
	for name, c := range map[string]struct {
		pop      popd.Options
		imap     imapd.Options
		complete bool // a run came before
	}{
		"renumbering": {popd.Options{NoTOP: true}, imapd.Options{}, true},
		"no UIDPLUS":  {popd.Options{}, imapd.Options{NoUIDPlus: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for writes, died := 0, true; died; writes++ {
				p := newPair(t, c.pop, c.imap, mail...)
				if c.complete {
					p.run(0, len(mail))
					p.pop.Configure(func(o *popd.Options) {
						o.UIDL = func(n int, _ []byte) string { return fmt.Sprint("new-", n) }
					})
				}
				whole := p.o.Journal
				p.o.Journal = dyingAfter(writes, whole)
				died = runFerry(t, p.o).ExitCode != 0
				p.o.Journal = whole
				p.account().Name = "renamed"
				runFerry(t, p.o)
				p.arrived(mail...)
				p.pop.Deliver(mail[0])
				p.run(0, 1)
			}
		})
	}
}

// TestNameGivenAway: an account gets another name, and its old one goes to another
// maildrop. What is known stays with the maildrop, whoever runs first.
func TestNameGivenAway(t *testing.T) {
	for first := range 2 {
		t.Run(fmt.Sprint(first), func(t *testing.T) {
			mail, others := ordinary(30, 6), ordinary(5, 7)
			p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
			p.run(0, len(mail))
			other := popd.New(popd.Options{}, others...)
			defer other.Close()
			fresh, old := *p.account(), *p.account()
			fresh.Source.Username, fresh.Source.Dial = "bob", other.Dial
			old.Name = "alice-old"
			p.o.Config.Accounts = []plan.Account{fresh, old}
			p.o.Accounts = []string{p.o.Config.Accounts[first].Name}
			runFerry(t, p.o)
			p.o.Accounts = nil
			runFerry(t, p.o)
			p.run(0, 0)
			p.arrived(append(mail, others...)...)
		})
	}
}

// TestFolderSpelledAnew: a mailbox under another name is the same mailbox, and
// another mailbox is not.
func TestFolderSpelledAnew(t *testing.T) {
	for _, c := range []struct {
		names []string
		again int
	}{
		{[]string{"INBOX", "inbox", "Inbox"}, 0},
		{[]string{`\Archive`, "Archive", `\Archive`}, 0},
		{[]string{"inbox/Old", "INBOX/Old"}, 0},
		{[]string{`\Archive`, "Old"}, 5},
	} {
		t.Run(fmt.Sprint(c.names), func(t *testing.T) {
			p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(5, 11)...)
			p.account().Folder = c.names[0]
			p.run(0, 5)
			for _, name := range c.names[1:] {
				p.account().Folder = name
				p.run(0, c.again)
			}
		})
	}
}

// TestOneMailboxTwoSpellings: accounts take turns at a mailbox that they spell
// differently, or what one appends would be foreign mail to the other.
func TestOneMailboxTwoSpellings(t *testing.T) {
	for _, names := range [][2]string{{"INBOX", "inbox"}, {`\Archive`, "Archive"}, {"Sent", `\Sent`}} {
		t.Run(fmt.Sprint(names), func(t *testing.T) {
			mail := ordinary(30, 6)
			var there sync.Map // accounts that are at the destination
			p := newPair(t, popd.Options{}, imapd.Options{Reply: firstAppend(imapd.AtCommand, func() imapd.Action {
				time.Sleep(50 * time.Millisecond) // for the other one, if it does not wait
				_, first := there.Load("alice")
				_, second := there.Load("bob")
				if first && second {
					t.Error("both are there at once")
				}
				return imapd.Action{}
			})}, mail...)
			other := popd.New(popd.Options{}, mail...)
			defer other.Close()
			bob := *p.account()
			bob.Name, bob.Source.Username, bob.Source.Dial = "bob", "bob", other.Dial
			p.account().Folder, bob.Folder = names[0], names[1]
			p.o.Config.Accounts = append(p.o.Config.Accounts, bob)
			for i := range p.o.Config.Accounts {
				a := &p.o.Config.Accounts[i]
				a.Destination.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					there.Store(a.Name, true)
					return p.imap.Dial(ctx, network, address)
				}
			}
			p.run(0, 60)
			p.run(0, 0)
		})
	}
}
