package ferry_test

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/message"
)

// settledMaildrop has so many messages, all of which the journal knows as delivered.
func settledMaildrop(t *testing.T, count int) *pair {
	t.Helper()
	var sizes, names strings.Builder
	var records []journal.Record
	digest := func(kind string, n int) message.Digest { return sha256.Sum256(fmt.Append(nil, kind, n)) }
	for n := 1; n <= count; n++ {
		uidl := fmt.Sprintf("%060d", (n*7919)%count) // in no order
		fmt.Fprintf(&sizes, "%d 1000\r\n", n)
		fmt.Fprintf(&names, "%d %s\r\n", n, uidl)
		records = append(records, journal.Record{
			Key: "u:" + uidl, UIDL: uidl, Listed: 1000, State: journal.Delivered, Folder: "INBOX",
			UIDValidity: 1, UID: uint32(n), Origin: "appended",
			Sum: message.Summary{Size: 1000, Content: digest("c", n), Header: digest("h", n),
				Body: digest("b", n), MessageID: fmt.Sprintf("<%060d@example.org>", n)},
			FirstSeen: time.Now(), DeliveredAt: time.Now(), Changed: time.Now(),
		})
	}
	replies := map[string]string{
		"STAT": fmt.Sprintf("+OK %d %d\r\n", count, 1000*count),
		"LIST": "+OK\r\n" + sizes.String() + ".\r\n", "UIDL": "+OK\r\n" + names.String() + ".\r\n",
	}
	p := newPair(t, popd.Options{Reply: func(cmd string, n int) ([]byte, bool) {
		raw, ok := replies[cmd]
		return []byte(raw), ok && n == 0
	}}, imapd.Options{})
	a := p.account()
	ledger, err := p.o.Journal.Ledger(t.Context(), journal.Scope{
		Account: a.Name, SourceHost: a.Source.Host, SourceUser: a.Source.Username,
		DestHost: a.Destination.Host, DestUser: a.Destination.Username, Folder: a.Folder,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := ledger.Put(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestT14KnownMaildrop: a message that is known, and is listed as it was, costs its
// place in the listing and in the plan, and nothing of its record is kept.
func TestT14KnownMaildrop(t *testing.T) {
	const count, most = 20_000, 400
	p := settledMaildrop(t, count)
	var each int64
	before := heapInUse()
	p.o.Observe = func(e ferry.Event) {
		if e.Kind == ferry.Planned {
			each = (heapInUse() - before) / count
		}
	}
	r := p.run(0, 0)
	if r.Totals.Known != count {
		t.Errorf("%+v", r.Totals)
	}
	t.Logf("%d octets each", each)
	if each > most {
		t.Errorf("%d octets for each message, want %d at most", each, most)
	}
}

func heapInUse() int64 {
	runtime.GC()
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	return int64(now.HeapAlloc)
}
