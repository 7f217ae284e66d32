package ferry_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
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
