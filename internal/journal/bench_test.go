package journal_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

var someTime = time.Date(2026, 3, 1, 12, 0, 0, int(250*time.Millisecond), time.UTC)

func digestOf(format string, args ...any) message.Digest {
	return sha256.Sum256(fmt.Appendf(nil, format, args...))
}

// realistic makes the n-th record of a mailbox as Dovecot would list it, about
// to be delivered. Its lengths are those of ordinary mail.
func realistic(n int) journal.Record {
	d := digestOf("message %d", n)
	hosts := [...]string{"mail.gmail.com", "example.org", "lists.example.net", "mx4.example.com"}
	local := d.String()[:16+n%24]
	at := someTime.Add(time.Duration(n) * 17 * time.Millisecond)
	uidl := fmt.Sprintf("%08x5f0c1a2b", n+1)
	return journal.Record{
		Key: "u:" + uidl, UIDL: uidl, Listed: int64(3000 + 37*(n%4000)),
		Sum: message.Summary{
			Size: int64(3000 + 37*(n%4000)), Content: d,
			Header: digestOf("header %d", n), Body: digestOf("body %d", n),
			Loose:     digestOf("loose %d", n),
			MessageID: "<" + local + "@" + hosts[n%len(hosts)] + ">",
		},
		State: journal.Intent, Folder: "INBOX", UIDValidity: 1700000000,
		NextUID: uint32(5000 + n/100*100), FirstSeen: at, Changed: at,
	}
}

func delivered(n int) journal.Record {
	r := realistic(n)
	r.State, r.Origin = journal.Delivered, "appended"
	r.UID = uint32(5000 + n)
	r.DeliveredAt = r.FirstSeen.Add(time.Duration(300+n%900) * time.Millisecond)
	r.Changed = r.DeliveredAt
	return r
}

func verified(n int) journal.Record {
	r := delivered(n)
	r.VerifiedAt = r.DeliveredAt.Add(42 * time.Minute)
	r.Changed = r.VerifiedAt
	return r
}

func series(make func(int) journal.Record, from, to int) []journal.Record {
	var rs []journal.Record
	for n := from; n < to; n++ {
		rs = append(rs, make(n))
	}
	return rs
}

var someScope = journal.Scope{
	Account: "alice", SourceHost: "pop.example.org", SourceUser: "alice",
	DestHost: "imap.example.net", DestUser: "alice@example.net", Folder: "INBOX",
}

func openBench(b *testing.B) (journal.Journal, journal.Ledger) {
	j, err := journal.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { j.Close() })
	l, err := j.Ledger(context.Background(), someScope)
	if err != nil {
		b.Fatal(err)
	}
	return j, l
}

// BenchmarkPut inserts in batches of 100, each synced. The aim is 60,000 a second.
func BenchmarkPut(b *testing.B) {
	_, l := openBench(b)
	rs := series(realistic, 0, 100*b.N)
	b.ResetTimer()
	for batch := range slices.Chunk(rs, 100) {
		if err := l.Put(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(rs))/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkDeliver is the second Put of each message.
func BenchmarkDeliver(b *testing.B) {
	_, l := openBench(b)
	const total = 30_000
	for n := 0; n < total; n += 1000 {
		if err := l.Put(context.Background(), series(realistic, n, n+1000)); err != nil {
			b.Fatal(err)
		}
	}
	n, rows := 0, 0
	for b.Loop() {
		if err := l.Put(context.Background(), series(delivered, n, n+100)); err != nil {
			b.Fatal(err)
		}
		n, rows = (n+100)%total, rows+100
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkGet looks up 30,000 keys. The aim is less than 300 ms.
func BenchmarkGet(b *testing.B) {
	_, l := openBench(b)
	const total = 30_000
	var keys []string
	for n := 0; n < total; n += 1000 {
		rs := series(verified, n, n+1000)
		if err := l.Put(context.Background(), rs); err != nil {
			b.Fatal(err)
		}
		for _, r := range rs {
			keys = append(keys, r.Key)
		}
	}
	for b.Loop() {
		got, err := l.Get(context.Background(), keys)
		if err != nil || len(got) != total {
			b.Fatal(len(got), err)
		}
	}
}

// BenchmarkExtend indexes a folder of 30,000. The aim is less than a second.
func BenchmarkExtend(b *testing.B) {
	j, _ := openBench(b)
	folder := journal.FolderKey{Host: "imap.example.net", Folder: "INBOX"}
	x, err := j.Index(context.Background(), folder)
	if err != nil {
		b.Fatal(err)
	}
	var entries []journal.IndexEntry
	for n := range 30_000 {
		r := realistic(n)
		entries = append(entries, journal.IndexEntry{
			UID: uint32(n + 1), Size: r.Sum.Size, MessageID: r.Sum.MessageID,
		})
	}
	for b.Loop() {
		if err := x.Reset(context.Background(), 7); err != nil {
			b.Fatal(err)
		}
		if err := x.Extend(context.Background(), 30_001, entries); err != nil {
			b.Fatal(err)
		}
	}
}
