package journal_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/popferry/popferry/internal/journal"
)

func journalSize(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestSize takes 10,000 messages through their life, in batches as a run does.
// What an empty journal takes is not counted.
func TestSize(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	j := open(t, dir)
	shut(t, j)
	empty := journalSize(t, dir)

	j = open(t, dir)
	l := ledgerOf(t, j, someScope)
	const total = 10_000
	for n := 0; n < total; n += 100 {
		for _, step := range []func(int) journal.Record{realistic, delivered} {
			if err := l.Put(ctx, series(step, n, n+100)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for rs := range slices.Chunk(series(verified, 0, total), 100) {
		if err := l.Put(ctx, rs); err != nil {
			t.Fatal(err)
		}
	}
	shut(t, j)
	each := float64(journalSize(t, dir)-empty) / total
	t.Logf("%.1f octets for each message, %d for an empty journal", each, empty)
	if each > 300 {
		t.Errorf("%.1f octets for each message, want at most 300", each)
	}
}
