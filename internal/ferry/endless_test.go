package ferry_test

import (
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// TestEndlessTop (I6, I7): a message whose TOP does not end is read instead; a server
// that ends none breaks the protocol, and is not asked for ever.
func TestEndlessTop(t *testing.T) {
	endless := []byte("+OK\r\n" + strings.Repeat("X: "+strings.Repeat("x", 4000)+"\r\n", 10_000))
	for name, c := range map[string]struct {
		first, last int
		want        fault.Code
	}{"one message": {3, 3, 0}, "every message": {1, 100, fault.Protocol}} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(10, 1)
			p := newPair(t, popd.Options{Reply: func(cmd string, n int) ([]byte, bool) {
				return endless, cmd == "TOP" && c.first <= n && n <= c.last
			}}, imapd.Options{}, mail...)
			p.run(0, len(mail))
			p.forget()
			p.run(c.want, 0)
			p.arrived(mail...)
			if n := p.pop.Counters().Commands["TOP"]; n > 3*len(mail) {
				t.Errorf("asked %d times", n)
			}
		})
	}
}
