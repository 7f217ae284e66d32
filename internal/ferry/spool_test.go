package ferry_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// vast is a message of about n MB.
func vast(n int) []byte {
	return append(fmt.Appendf(nil, "Subject: %d MB\r\n\r\n", n), bytes.Repeat([]byte("a line of a large message\r\n"), n*37_000)...)
}

// TestSpoolHasNoRoom (X8): what the disk has no room for is not retrieved, and the
// others arrive before that is said.
func TestSpoolHasNoRoom(t *testing.T) {
	mail := append(ordinary(5, 90), vast(2))
	p := newPair(t, popd.Options{NoTOP: true}, imapd.Options{}, append([][]byte{vast(5)}, mail...)...)
	p.o.SpoolRoom = 3 << 20
	r := p.run(fault.State, len(mail))
	if e := r.Accounts[0].Error; !strings.Contains(e.Message, "1 message not retrieved: the disk of ") || e.Hint == "" {
		t.Errorf("%+v", e)
	}
	p.arrived(mail...)
	if p.pop.Counters().Retr[1] != 0 {
		t.Error("it was retrieved all the same")
	}
	p.o.SpoolRoom = 0
	p.run(0, 1)
	p.arrived(append(mail, vast(5))...)
}

// TestSpoolIsShared: large messages of several accounts wait for one another where
// the disk has room for one of them only.
func TestSpoolIsShared(t *testing.T) {
	mail := [][]byte{vast(2), vast(2), vast(2), vast(2)}
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	other := popd.New(popd.Options{}, mail...)
	defer other.Close()
	bob := *p.account()
	bob.Name, bob.Source.Username, bob.Source.Dial, bob.Folder = "bob", "bob", other.Dial, "Bob"
	p.o.Config.Accounts = append(p.o.Config.Accounts, bob)
	p.o.SpoolRoom = 3 << 20
	p.run(0, 8)
	p.arrived(mail...)
}

// TestSpoolIsGivenBack: what fails in one account gives back its part of the
// spool's room, which another one waits for.
func TestSpoolIsGivenBack(t *testing.T) {
	t.Run("wrapping fails", func(t *testing.T) {
		spool := filepath.Join(t.TempDir(), "spool")
		p := newPair(t, popd.Options{}, imapd.Options{Refuse: func(msg []byte) string {
			if !bytes.Contains(msg, []byte("3 MB")) {
				return ""
			}
			os.RemoveAll(spool)
			return "NO [CANNOT] no"
		}}, vast(3))
		p.account().Repair, p.o.Spool = "wrap", spool
		there := func() { os.MkdirAll(spool, 0o700) }
		there()
		p.besides(there, vast(2))
		p.runsOn()
	})
	t.Run("holding fails", func(t *testing.T) {
		p := newPair(t, popd.Options{}, imapd.Options{}, nil, vast(3))
		p.o.Journal = forgetful{p.o.Journal, journal.Held}
		p.besides(func() {}, vast(2))
		p.runsOn()
	})
}

// besides adds an account whose maildrop has mail, and which calls dialled first.
func (p *pair) besides(dialled func(), mail ...[]byte) *popd.Server {
	other := popd.New(popd.Options{}, mail...)
	p.t.Cleanup(func() { other.Close() })
	bob := *p.account()
	bob.Name, bob.Source.Username, bob.Folder = "bob", "bob", "Bob"
	bob.Source.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled()
		return other.Dial(ctx, network, address)
	}
	p.o.Config.Accounts = append(p.o.Config.Accounts, bob)
	p.o.Config.Limits.Accounts = 1
	return other
}

// runsOn takes a pass in which the first account fails and leaves no append open,
// and the second one, for which the spool has room just so, delivers its mail.
func (p *pair) runsOn() {
	p.t.Helper()
	p.o.SpoolRoom = 4 << 20
	r := p.run(fault.State, 1)
	if r.Accounts[0].ExitCode != fault.State || r.Accounts[1].ExitCode != 0 {
		p.t.Errorf("%+v", r.Accounts)
	}
	scopes, err := p.o.Journal.Scopes(p.t.Context())
	if err != nil || scopes[0].Counts[journal.Intent] != 0 {
		p.t.Errorf("%+v, %v", scopes, err)
	}
}

// forgetful is a journal that fails to keep records of a state.
type forgetful struct {
	journal.Journal
	state journal.State
}

func (f forgetful) Ledger(ctx context.Context, s journal.Scope) (journal.Ledger, error) {
	l, err := f.Journal.Ledger(ctx, s)
	return forgetfulLedger{l, f.state}, err
}

type forgetfulLedger struct {
	journal.Ledger
	state journal.State
}

func (f forgetfulLedger) Put(ctx context.Context, records []journal.Record) error {
	if slices.ContainsFunc(records, func(r journal.Record) bool { return r.State == f.state }) {
		return fault.New(fault.State, "the journal's disk is full")
	}
	return f.Ledger.Put(ctx, records)
}

// TestExportHasNoRoom: a held message that there is no room for is not exported,
// the others are, and the trip ends with 74.
func TestExportHasNoRoom(t *testing.T) {
	poison, mail := []byte("Subject: b\r\n\r\npoison\r\n"), ordinary(3, 91)
	p := newPair(t, popd.Options{}, poisonous(imapd.Options{AppendLimit: 1 << 20}), append(mail, vast(5), poison)...)
	var s shelf
	p.o.KeepHeld, p.o.SpoolRoom = s.keep, 3<<20
	p.run(fault.State, 3)
	s.has(t, poison)
	p.o.SpoolRoom = 0
	p.run(fault.Held, 0)
	s.has(t, poison, vast(5))
}
