package ferry_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// TestMemoryWithoutSizes: no more than 24 MiB of mail is in memory, whatever LIST says of
// the messages.
func TestMemoryWithoutSizes(t *testing.T) {
	const most = 24 << 20
	var mail [][]byte
	for range 40 {
		mail = append(mail, vast(1))
	}
	var p *pair
	read := 0
	p = newPair(t, popd.Options{SizeOffset: 10 - len(mail[0]), NoPipelining: true}, imapd.Options{
		Reply: firstAppend(imapd.AtCommand, func() imapd.Action {
			time.Sleep(time.Second) // nothing is given back meanwhile
			for _, n := range p.pop.Counters().Retr {
				read += n
			}
			return imapd.Action{}
		}),
	}, mail...)
	p.run(0, len(mail))
	p.arrived(mail...)
	// The last one is asked for before it is known to have no room.
	if octets := (read - 1) * len(mail[0]); read == 0 || octets > most {
		t.Errorf("%d octets in memory, where there is room for %d", octets, most)
	}
}

// TestSizeBeyondAll (S8): a size in LIST that no message has, such as -1 of 32 bits, keeps none
// from arriving.
func TestSizeBeyondAll(t *testing.T) {
	mail := short(3)
	for _, size := range []string{"4294967295", "1000000000000000"} {
		p := newPair(t, popd.Options{Reply: func(cmd string, n int) ([]byte, bool) {
			return fmt.Appendf(nil, "+OK\r\n1 %[1]s\r\n2 60\r\n3 %[1]s\r\n.\r\n", size), cmd == "LIST" && n == 0
		}}, imapd.Options{}, mail...)
		p.run(0, len(mail))
		p.arrived(mail...)
	}
}
