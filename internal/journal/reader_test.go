package journal_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

// TestReaderBesideWriter lets one look while the other writes, in turn.
func TestReaderBesideWriter(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	r := openReader(t, dir)
	wl, rl := ledgerOf(t, w, someScope), ledgerOf(t, r, someScope)
	for n := range 30 {
		same(t, len(mustAll(t, rl)), n*10)
		put(t, wl, series(delivered, n*10, n*10+10)...)
		counts, err := rl.Counts(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		same(t, counts, map[journal.State]int{journal.Delivered: n*10 + 10})
	}
	statuses, err := r.Scopes(context.Background())
	if err != nil || len(statuses) != 1 || statuses[0].Scope != someScope {
		t.Fatalf("%v, %v", statuses, err)
	}
	shut(t, w) // under the reader
	same(t, len(mustAll(t, rl)), 300)
	again := open(t, dir)
	put(t, ledgerOf(t, again, someScope), delivered(1000))
	same(t, len(mustAll(t, rl)), 301)
}

func TestReaderCannotWrite(t *testing.T) {
	dir := t.TempDir()
	shut(t, open(t, dir))
	r := openReader(t, dir)
	l := ledgerOf(t, r, someScope)
	ctx := context.Background()
	x, err := r.Index(ctx, journal.FolderKey{Folder: "INBOX"})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		l.Put(ctx, []journal.Record{delivered(1)}), l.SetFact(ctx, "baseline", "x"),
		l.Rekey(ctx, map[string]journal.Record{"u:1": delivered(1)}), x.Reset(ctx, 1),
		x.Extend(ctx, 2, nil), x.PutDigests(ctx, nil),
	} {
		wants(t, err, fault.Internal, "reading only")
	}
	same(t, len(mustAll(t, l)), 0)
}

func TestReaderWithoutJournal(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		_, err := journal.OpenReader(dir)
		wants(t, err, fault.State, "no journal in "+dir, "--state")
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v is not os.ErrNotExist", err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) > 0 {
			t.Errorf("the reader made %v", entries)
		}
	}
}

// TestReaderLeavesNothing beside a journal that nobody writes, nor changes it: also where one
// before it left an empty log.
func TestReaderLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	put(t, ledgerOf(t, w, someScope), series(delivered, 0, 10)...)
	shut(t, w)
	before := contents(t, dir)
	for range 2 {
		r, err := journal.OpenReader(dir)
		must(t, err)
		same(t, len(mustAll(t, ledgerOf(t, r, someScope))), 10)
		shut(t, r)
		same(t, contents(t, dir), before)
		if _, err := os.Stat(filepath.Join(dir, "journal.db-shm")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it left an index of the log: %v", err)
		}
		must(t, os.WriteFile(filepath.Join(dir, "journal.db-wal"), nil, 0o600))
	}
}
