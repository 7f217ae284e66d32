package ferry_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// vasts are n messages of 2 MB, of which a server that subtracts lie says that they
// are small.
func vasts(n int) (mail [][]byte) {
	for range n {
		mail = append(mail, vast(2))
	}
	return mail
}

const lie = -1_900_000

// TestSpoolRoomWithoutSizes: no more than SpoolRoom is on disk, whatever LIST says of
// the messages.
func TestSpoolRoomWithoutSizes(t *testing.T) {
	var p *pair
	var most int64
	mail := vasts(12)
	p = newPair(t, popd.Options{SizeOffset: lie}, imapd.Options{
		Reply: firstAppend(imapd.AtCommand, func() imapd.Action {
			for range 20 {
				time.Sleep(20 * time.Millisecond)
				most = max(most, spooled(p.o.Spool))
			}
			return imapd.Action{}
		}),
	}, mail...)
	p.o.Spool, p.o.SpoolRoom = t.TempDir(), 8<<20
	p.run(0, len(mail))
	p.arrived(mail...)
	if most == 0 || most > p.o.SpoolRoom {
		t.Errorf("%d octets on disk, where there is room for %d", most, p.o.SpoolRoom)
	}
}

// spooled is how much is in the files of a folder that this process has open.
func spooled(dir string) (octets int64) {
	files, _ := filepath.Glob("/proc/self/fd/*")
	for _, f := range files {
		if to, _ := os.Readlink(f); !strings.HasPrefix(to, dir) {
			continue
		}
		if s, err := os.Stat(f); err == nil {
			octets += s.Size()
		}
	}
	return octets
}

// TestSpoolIsSharedWithoutSizes: messages of several accounts that prove to be large
// together get by, though there is room for one of them only.
func TestSpoolIsSharedWithoutSizes(t *testing.T) {
	mail := vasts(4)
	p := newPair(t, popd.Options{SizeOffset: lie}, imapd.Options{}, mail...)
	p.besides(func() {}, mail...).Configure(func(o *popd.Options) { o.SizeOffset = lie })
	p.o.Config.Limits.Accounts = 2
	p.o.SpoolRoom = 3 << 20
	p.run(0, 8)
	p.arrived(mail...)
}

// TestVastWithoutSize: what proves to be larger than the disk has room for is left
// where it is, and the others arrive before that is said.
func TestVastWithoutSize(t *testing.T) {
	mail := vasts(3)
	p := newPair(t, popd.Options{SizeOffset: lie}, imapd.Options{}, append([][]byte{vast(5)}, mail...)...)
	p.o.SpoolRoom = 3 << 20
	p.run(fault.State, len(mail))
	p.arrived(mail...)
	if n := p.pop.Counters().Retr[1]; n != 1 {
		t.Errorf("it was retrieved %d times", n)
	}
	p.o.SpoolRoom = 0
	p.run(0, 1)
	p.arrived(append(mail, vast(5))...)
}

// TestVastWasAnother: without UIDLs, what is learned of a size holds for as long as the
// maildrop is the same.
func TestVastWasAnother(t *testing.T) {
	mail := vasts(2)
	var p *pair
	p = newPair(t, popd.Options{NoUIDL: true, SizeOffset: lie, Reply: func(cmd string, n int) ([]byte, bool) {
		if cmd == "GREETING" && n == 2 {
			p.pop.Expunge(1)
		}
		return nil, false
	}}, imapd.Options{}, append([][]byte{vast(5)}, mail...)...)
	p.o.SpoolRoom = 3 << 20
	p.run(0, len(mail))
	p.arrived(mail...)
}
