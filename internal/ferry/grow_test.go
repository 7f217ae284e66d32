package ferry_test

import (
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
