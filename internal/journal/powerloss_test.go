package journal_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/journal"
)

// TestPowerLoss cuts the log at many lengths, and also leaves noise or zeros
// after the cut, as a disk may that was writing. What Open finds must be exactly
// what one of the calls left behind: one that was acknowledged before the cut,
// or a later one, but never half of one.
func TestPowerLoss(t *testing.T) {
	dir := t.TempDir()
	shut(t, open(t, dir)) // the log begins empty
	j := open(t, dir)
	l := ledgerOf(t, j, someScope)
	// states[i] is what the journal holds after i calls, sizes[i] how long the
	// log is then.
	states := []map[string]journal.Record{mustAll(t, l)}
	sizes := []int64{logSize(t, dir)}
	for i := range 8 {
		step := [...]func(int) journal.Record{realistic, delivered, verified}[i%3]
		put(t, l, series(step, i/3*10, i/3*10+17)...)
		states = append(states, mustAll(t, l))
		sizes = append(sizes, logSize(t, dir))
	}
	total := sizes[len(sizes)-1]
	t.Logf("a log of %d octets for %d calls", total, len(sizes)-1)
	for i, cut := range cuts(total, sizes) {
		if !t.Run(fmt.Sprint(cut), func(t *testing.T) {
			lost := t.TempDir()
			copyState(t, dir, lost)
			tear(t, filepath.Join(lost, "journal.db-wal"), cut, i%3)
			acknowledged := 0
			for acknowledged+1 < len(sizes) && sizes[acknowledged+1] <= cut {
				acknowledged++
			}
			found := open(t, lost)
			if found.Rebuilt() {
				t.Fatal("a torn log was taken for damage")
			}
			isOneOf(t, mustAll(t, ledgerOf(t, found, someScope)), states[acknowledged:])
		}) {
			return
		}
	}
}

func logSize(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, "journal.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// cuts gives lengths all over the log, and those around each call's end.
func cuts(total int64, sizes []int64) (list []int64) {
	for _, size := range sizes {
		list = append(list, max(0, size-1), size, min(total, size+1))
	}
	rnd := rand.New(rand.NewPCG(11, 12))
	for at := int64(0); at < total; at += total/60 + 1 {
		list = append(list, at, at+rnd.Int64N(min(4096, total-at)))
	}
	return list
}

// tear cuts a file and, unless kind is 0, fills it up again with zeros or noise.
func tear(t *testing.T, name string, at int64, kind int) {
	t.Helper()
	data, err := os.ReadFile(name)
	must(t, err)
	rest := data[at:]
	switch kind {
	case 0:
		data = data[:at]
	case 1:
		clear(rest)
	case 2:
		rnd := rand.New(rand.NewPCG(uint64(at), 13))
		for i := range rest {
			rest[i] = byte(rnd.Uint32())
		}
	}
	must(t, os.WriteFile(name, data, 0o600))
}

func isOneOf(t *testing.T, got map[string]journal.Record, states []map[string]journal.Record) {
	t.Helper()
	for _, state := range states {
		if cmp.Equal(got, state) {
			return
		}
	}
	t.Fatalf("%d records, of no call's end; against the oldest (-want +got)\n%s",
		len(got), cmp.Diff(states[0], got))
}

// TestPowerLossInCheckpoint mixes the database before and after the log was
// moved into it, page by page, with noise for pages that were being written. The
// log is still whole then, and must win.
func TestPowerLossInCheckpoint(t *testing.T) {
	dir, saved := filled(t), t.TempDir()
	j := open(t, dir)
	l := ledgerOf(t, j, someScope)
	put(t, l, series(verified, 0, 700)...)
	want := mustAll(t, l)
	copyState(t, dir, saved)
	shut(t, j)
	before, after := contents(t, saved), contents(t, dir)
	for seed := range uint64(12) {
		lost := t.TempDir()
		mixed := mix(seed, before["journal.db"], after["journal.db"])
		name := filepath.Join(lost, "journal.db")
		must(t, os.WriteFile(name, mixed, 0o600))
		must(t, os.WriteFile(name+"-wal", before["journal.db-wal"], 0o600))
		found := open(t, lost)
		if found.Rebuilt() {
			t.Fatalf("seed %d: a torn database was taken for damage", seed)
		}
		same(t, mustAll(t, ledgerOf(t, found, someScope)), want)
	}
}

func mix(seed uint64, before, after []byte) []byte {
	const pageSize = 4096
	rnd := rand.New(rand.NewPCG(seed, 14))
	mixed := bytes.Clone(before)
	for at := pageSize; at+pageSize <= len(after); at += pageSize {
		fresh := at >= len(before)
		if !fresh && bytes.Equal(before[at:at+pageSize], after[at:at+pageSize]) {
			continue // not in the log
		}
		if fresh {
			mixed = append(mixed, make([]byte, pageSize)...)
		}
		switch rnd.IntN(3) {
		case 0:
			copy(mixed[at:], after[at:at+pageSize])
		case 1:
			copy(mixed[at:at+512*(1+rnd.IntN(8))], after[at:]) // some sectors of it
		}
	}
	return mixed
}
