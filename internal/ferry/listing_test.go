package ferry_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// TestLongListing (X3): a message of a long listing costs its name, its place in
// the listing and its place in the plan, and no tables beside them.
func TestLongListing(t *testing.T) {
	const count, most = 50_000, 1200
	var sizes, names strings.Builder
	for n := 1; n <= count; n++ {
		fmt.Fprintf(&sizes, "%d 1000\r\n", n)
		fmt.Fprintf(&names, "%d %060d\r\n", n, (n*7919)%count) // in no order
	}
	replies := map[string]string{
		"STAT": fmt.Sprintf("+OK %d %d\r\n", count, 1000*count),
		"LIST": "+OK\r\n" + sizes.String() + ".\r\n", "UIDL": "+OK\r\n" + names.String() + ".\r\n",
	}
	p := newPair(t, popd.Options{Reply: func(cmd string, _ int) ([]byte, bool) {
		raw, ok := replies[cmd]
		return []byte(raw), ok
	}}, imapd.Options{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	plans, report := ferry.Plans(context.Background(), p.o)
	runtime.ReadMemStats(&after)
	if report.ExitCode != 0 || len(plans) != 1 || plans[0].Totals().Copy != (plan.Count{Messages: count, Bytes: 1000 * count}) {
		t.Fatalf("%+v", report)
	}
	if each := (after.TotalAlloc - before.TotalAlloc) / count; each > most {
		t.Errorf("%d octets for each message, want %d at most", each, most)
	}
}
