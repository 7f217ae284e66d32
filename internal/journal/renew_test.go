package journal_test

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/popferry/popferry/internal/fault"
)

// TestStateIsTakenAway under a journal that is in use: what nobody would find again is not
// taken, and a journal that is another one is not written to.
func TestStateIsTakenAway(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files in use can't be removed there")
	}
	for name, take := range map[string]func(t *testing.T, dir string){
		"removed": func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) },
		"made anew": func(t *testing.T, dir string) {
			must(t, os.RemoveAll(dir))
			put(t, ledgerOf(t, open(t, dir), someScope), series(delivered, 0, 10)...)
		},
		"restored": func(t *testing.T, dir string) {
			for _, file := range []string{"journal.db", "journal.db-wal", "journal.db-shm"} {
				must(t, os.Rename(filepath.Join(dir, file), filepath.Join(dir, "old-"+file)))
			}
			must(t, os.WriteFile(filepath.Join(dir, "journal.db"), nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			j := open(t, dir)
			l := ledgerOf(t, j, someScope)
			put(t, l, series(delivered, 0, 10)...)
			if notes, err := j.Renew(t.Context()); err != nil || notes != nil {
				t.Fatal(notes, err)
			}
			take(t, dir)
			_, err := j.Renew(t.Context())
			wants(t, err, fault.State, "was removed or replaced", dir, "start")
			wants(t, l.Put(t.Context(), series(delivered, 10, 20)), fault.State, "was removed or replaced")
		})
	}
}

// TestStateComesBack: a directory that was away for a while is as good as before.
func TestStateComesBack(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files in use can't be moved there")
	}
	dir := filepath.Join(t.TempDir(), "state")
	j := open(t, dir)
	l := ledgerOf(t, j, someScope)
	must(t, os.Rename(dir, dir+"-away"))
	wants(t, l.Put(t.Context(), series(delivered, 0, 10)), fault.State)
	must(t, os.Rename(dir+"-away", dir))
	if _, err := j.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, l, series(delivered, 0, 10)...)
}

// TestReaderIsNotRenewed: it has nothing that could fail for ever.
func TestReaderIsNotRenewed(t *testing.T) {
	dir := t.TempDir()
	shut(t, open(t, dir))
	if notes, err := openReader(t, dir).Renew(t.Context()); err != nil || notes != nil {
		t.Fatal(notes, err)
	}
	j := open(t, dir)
	shut(t, j)
	_, err := j.Renew(t.Context())
	wants(t, err, fault.Internal, "closed")
}

// TestDamageIsRenewed: pages that went bad under a journal are put aside as by the next
// Open, and that is said once.
func TestDamageIsRenewed(t *testing.T) {
	dir := filled(t)
	scribble(t, dir, 20*4096, 30*4096)
	j := open(t, dir) // after a clean end nothing is read
	l := ledgerOf(t, j, someScope)
	_, err := all(l)
	wants(t, err, fault.State, "aside")
	notes, err := j.Renew(t.Context())
	if err != nil || len(notes) != 1 || !j.Rebuilt() || !slices.Equal(j.Notes(), notes) {
		t.Fatal(notes, err)
	}
	wants(t, l.Put(t.Context(), series(delivered, 0, 10)), fault.State, "no more writes after")
	l = ledgerOf(t, j, someScope)
	same(t, len(mustAll(t, l)), 0)
	put(t, l, series(delivered, 0, 10)...)
	if notes, err := j.Renew(t.Context()); err != nil || notes != nil {
		t.Fatal(notes, err)
	}
}
