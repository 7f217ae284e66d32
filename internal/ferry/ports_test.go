package ferry_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// behind puts the servers of a pair behind other ports of the same hosts.
func (p *pair) behind(pop, imap int) {
	p.account().Source.Port, p.account().Destination.Port = pop, imap
}

// holds puts mail into the destination by other means.
func (p *pair) holds(mail ...[]byte) {
	for _, raw := range mail {
		p.imap.User("").Deliver("INBOX", raw, nil, time.Time{})
	}
}

// carriesTo gives a pair another IMAP server, with the UIDVALIDITY of the one before.
func (p *pair) carriesTo(port int) {
	before := p.imap
	p.imap = imapd.New(imapd.Options{})
	p.t.Cleanup(func() { p.imap.Close() })
	p.imap.User("").SetUIDValidity("INBOX", before.User("").UIDValidity("INBOX"))
	p.account().Destination.Port, p.account().Destination.Dial = port, p.imap.Dial
}

// TestServersBehindOneHost: two accounts have the same user at two servers behind one host, as
// through tunnels, with the same UIDVALIDITY. What one of them has says nothing of the other:
// neither is mail lost that the first one has, nor doubled that the second one has.
func TestServersBehindOneHost(t *testing.T) {
	first, second, others := ordinary(12, 71), ordinary(12, 72), ordinary(40, 73)
	for name, c := range map[string]struct {
		has, otherHas, otherWants [][]byte
		delivered                 int
	}{
		"the first has mail of the second": {second, others, slices.Concat(others, second), 24},
		"the second has its mail":          {nil, second, second, 12},
		"both have nothing":                {nil, nil, second, 24},
	} {
		t.Run(name, func(t *testing.T) {
			one := newPair(t, popd.Options{}, imapd.Options{}, first...)
			other := newPair(t, popd.Options{}, imapd.Options{}, second...)
			one.behind(1110, 1143)
			other.behind(2110, 2143)
			other.account().Name = "bob"
			other.imap.User("").SetUIDValidity("INBOX", one.imap.User("").UIDValidity("INBOX"))
			one.holds(c.has...)
			other.holds(c.otherHas...)
			one.o.Config.Accounts = append(one.o.Config.Accounts, *other.account())
			one.o.ConfirmDelete = true
			for i := range one.o.Config.Accounts {
				one.o.Config.Accounts[i].Keep = plan.Keep{Delete: true}
			}
			one.run(0, c.delivered)
			one.run(0, 0)
			one.arrived(slices.Concat(c.has, first)...)
			one.left()
			other.left()
			other.arrived(c.otherWants...)
		})
	}
}

// TestAnotherServerBehindTheHost: the port of the destination is another one now, and so is the
// server behind it. That is another destination, whatever its UIDVALIDITY says.
func TestAnotherServerBehindTheHost(t *testing.T) {
	for _, from := range []int{143, 1143} {
		mail := ordinary(12, 72)
		p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
		p.behind(110, from)
		p.run(0, len(mail))
		p.carriesTo(2143)
		p.run(0, len(mail))
		p.run(0, 0)
		p.arrived(mail...)
	}
}

// TestUsualPorts: at all of them a host has the same mail, so that what a person deleted in the
// destination does not come back.
func TestUsualPorts(t *testing.T) {
	mail := ordinary(12, 73)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	p.run(0, len(mail))
	p.imap.User("").Expunge("INBOX", 1, 2, 3)
	p.behind(995, 993)
	p.run(0, 0)
	p.arrived(mail[3:]...)
}

// TestAnotherMaildropBehindTheHost: the port of the source is another one now, and the server
// behind it gives other mail of the same sizes the same names.
func TestAnotherMaildropBehindTheHost(t *testing.T) {
	first, second := []byte("Subject: a\r\n\r\nthe first\r\n"), []byte("Subject: b\r\n\r\nanother 1\r\n")
	named := popd.Options{UIDL: func(int, []byte) string { return "1" }}
	p := newPair(t, named, imapd.Options{}, first)
	p.behind(1110, 143)
	p.run(0, 1)
	moved := popd.New(named, second)
	t.Cleanup(func() { moved.Close() })
	p.account().Source.Port, p.account().Source.Dial = 2110, moved.Dial
	p.run(0, 1)
	p.run(0, 0)
	p.arrived(first, second)
}

// aged is a journal all of whose scopes are from before ports were part of their names.
type aged struct{ journal.Journal }

func (a aged) Portless(ctx context.Context) (all []journal.Scope, err error) {
	scopes, err := a.Scopes(ctx)
	for _, s := range scopes {
		all = append(all, s.Scope)
	}
	return all, err
}

// TestPortsAreNamed: a journal from before ports were part of the names is gone on with, also
// where two accounts have equal mail in one folder, and only one of them runs.
func TestPortsAreNamed(t *testing.T) {
	mail := ordinary(12, 74)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	other := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	other.account().Name, other.account().Source.Username = "bob", "bob"
	other.account().Destination = p.account().Destination
	p.o.Config.Accounts = append(p.o.Config.Accounts, *other.account())
	p.run(0, 2*len(mail))
	p.imap.User("").Expunge("INBOX", 1, 2, 3)
	left := [][]byte{mail[0]}
	for _, s := range p.imap.Mailbox("INBOX") {
		left = append(left, s.Raw)
	}

	for i := range p.o.Config.Accounts {
		a := &p.o.Config.Accounts[i]
		a.Source.Port, a.Destination.Port = 1110, 1143
	}
	p.o.Journal, p.o.Accounts = aged{p.o.Journal}, []string{"alice"}
	p.pop.Deliver(mail[0])
	p.run(0, 1)
	p.o.Accounts = nil
	p.run(0, 0)
	p.arrived(left...)
	for number, n := range p.pop.Counters().Retr {
		if n != 1 {
			t.Errorf("message %d was read %d times", number, n)
		}
	}
}
