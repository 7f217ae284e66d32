package journaltest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// texts are what servers may send, and what an encoding may trip over.
func texts() []string {
	return []string{
		"", "x", "a@b", "<", ">", "<>", "<<a@b>>", "<a@b>", "\x00", "<\x00a>", "u:", "u:\x00",
		"nul\x00inside", "\xff\xfe not UTF-8", "quote ' \" ; -- %", "ünïcödé 🚢", "  blanks\t",
		strings.Repeat("long", 256), "NULL", "0", "1e3", "\r\n",
	}
}

func times() []time.Time {
	base := time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.FixedZone("CET", 3600))
	return []time.Time{
		{}, base, base.Add(time.Millisecond), base.Add(3 * time.Hour), base.Add(-time.Hour),
		base.AddDate(40, 0, 0), time.UnixMilli(0), time.UnixMilli(1), time.UnixMilli(-1),
		time.Date(1901, 12, 13, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

func pick[T any](rnd *rand.Rand, list []T) T { return list[rnd.IntN(len(list))] }

// randomRecord makes a record of everything that can be in one.
func randomRecord(rnd *rand.Rand, key string) journal.Record {
	numbers := []uint32{0, 1, 2, 4999, 5000, math.MaxInt32, math.MaxUint32}
	sizes := []int64{0, 1, 102, 1 << 40, -1, math.MaxInt64}
	randomDigest := func() message.Digest {
		return pick(rnd, []message.Digest{{}, digestOf("%d", rnd.Uint64()), {31: 1}, {0: 1}})
	}
	return journal.Record{
		Key: key, UIDL: pick(rnd, append(texts(), strings.TrimPrefix(key, "u:"))),
		Listed: pick(rnd, sizes),
		Sum: message.Summary{
			Size: pick(rnd, sizes), Content: randomDigest(), Header: randomDigest(),
			Body: randomDigest(), Loose: randomDigest(), MessageID: pick(rnd, texts()),
			// What follows is not kept.
			Raw: 7, Date: times()[1], DateFrom: "date", HasNUL: true, Has8BitHeader: true,
		},
		State:  pick(rnd, journal.States()),
		Folder: pick(rnd, texts()), UIDValidity: pick(rnd, numbers),
		UID: pick(rnd, numbers), NextUID: pick(rnd, numbers),
		Ended: pick(rnd, times()), Origin: pick(rnd, texts()),
		FirstSeen: pick(rnd, times()), DeliveredAt: pick(rnd, times()),
		VerifiedAt: pick(rnd, times()), Changed: pick(rnd, times()),
		Reason: pick(rnd, texts()), Attempts: rnd.IntN(3),
	}
}

// randomKeys gives n different keys of every kind.
func randomKeys(n int) []string {
	keys := make([]string, 0, n)
	for i := range n {
		text := texts()[i%len(texts())]
		keys = append(keys, [...]string{
			fmt.Sprintf("u:%08x%s", i, text), fmt.Sprintf("u:%s#%d", text, i),
			fmt.Sprintf("c:%v#%d", digestOf("%d", i), i), fmt.Sprintf("%s %d", text, i),
			fmt.Sprintf("\x00%d", i), fmt.Sprintf("u:\x00%d", i),
		}[i%6])
	}
	return keys
}

// kept is a record as it comes back.
func kept(r journal.Record) journal.Record {
	s := r.Sum
	r.Sum = message.Summary{
		Size: s.Size, Content: s.Content, Header: s.Header, Body: s.Body, Loose: s.Loose,
		MessageID: s.MessageID,
	}
	for _, at := range []*time.Time{
		&r.Ended, &r.FirstSeen, &r.DeliveredAt, &r.VerifiedAt, &r.Changed,
	} {
		if !at.IsZero() {
			*at = time.UnixMilli(at.UnixMilli()).UTC()
		}
	}
	return r
}
