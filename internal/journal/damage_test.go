package journal_test

import (
	"bytes"
	"context"
	"database/sql"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

// filled makes a journal with some records and returns its directory.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	j := open(t, dir)
	put(t, ledgerOf(t, j, someScope), series(delivered, 0, 500)...)
	shut(t, j)
	return dir
}

// scribble overwrites a part of the database with noise.
func scribble(t *testing.T, dir string, at, n int64) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "journal.db"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	noise := make([]byte, n)
	rnd := rand.New(rand.NewPCG(9, 10))
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	if _, err := f.WriteAt(noise, at); err != nil {
		t.Fatal(err)
	}
}

// unclean makes the lock look as if its owner had been killed.
func unclean(t *testing.T, dir string) {
	t.Helper()
	text := []byte("pid 1 since 2026-03-01T12:00:00Z\n")
	if err := os.WriteFile(filepath.Join(dir, "journal.lock"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedJournalIsPutAside(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"noise for a header": func(t *testing.T, dir string) { scribble(t, dir, 0, 100) },
		"noise after the magic": func(t *testing.T, dir string) {
			scribble(t, dir, 16, 84)
			unclean(t, dir)
		},
		"a page of noise": func(t *testing.T, dir string) {
			scribble(t, dir, 40*4096, 4096)
			unclean(t, dir)
		},
		"cut short": func(t *testing.T, dir string) {
			must(t, os.Truncate(filepath.Join(dir, "journal.db"), 50*4096))
			unclean(t, dir)
		},
		"a few octets left": func(t *testing.T, dir string) {
			must(t, os.Truncate(filepath.Join(dir, "journal.db"), 7))
		},
		"the lock file is missing too": func(t *testing.T, dir string) {
			scribble(t, dir, 40*4096, 4096)
			must(t, os.Remove(filepath.Join(dir, "journal.lock")))
		},
		"a log without its database": func(t *testing.T, dir string) {
			name := filepath.Join(dir, "journal.db")
			must(t, os.Rename(name, name+"-wal"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filled(t)
			damage(t, dir)
			before := contents(t, dir)
			isPutAside(t, dir, before)
			if j := open(t, dir); j.Rebuilt() || len(j.Notes()) > 0 {
				t.Errorf("rebuilt again: %q", j.Notes())
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// isPutAside opens a damaged journal and finds its files under another name.
func isPutAside(t *testing.T, dir string, before map[string][]byte) {
	t.Helper()
	j := open(t, dir)
	if !j.Rebuilt() || len(j.Notes()) != 1 {
		t.Fatalf("rebuilt %v, notes %q", j.Rebuilt(), j.Notes())
	}
	aside := regexp.MustCompile(`journal\.db\.corrupt-\d{8}T\d{6}Z`).FindString(j.Notes()[0])
	for suffix, want := range map[string][]byte{
		"": before["journal.db"], "-wal": before["journal.db-wal"],
	} {
		got, err := os.ReadFile(filepath.Join(dir, aside+suffix))
		if want != nil && (err != nil || !bytes.Equal(got, want)) {
			t.Errorf("%s is not what was found: %v", aside+suffix, err)
		}
	}
	l := ledgerOf(t, j, someScope)
	same(t, len(mustAll(t, l)), 0)
	put(t, l, delivered(1))
	shut(t, j)
	same(t, len(mustAll(t, ledgerOf(t, openReader(t, dir), someScope))), 1)
}

// TestDamagedTwice damages the new journal too, within the same second: neither
// of the old ones may be lost.
func TestDamagedTwice(t *testing.T) {
	dir := filled(t)
	for range 3 {
		scribble(t, dir, 0, 100)
		shut(t, open(t, dir))
	}
	names, err := filepath.Glob(filepath.Join(dir, "journal.db.corrupt-*"))
	if err != nil || len(names) != 3 {
		t.Fatalf("%q, %v", names, err)
	}
}

// TestDamageOnTheWay has pages go bad that only a later read meets: an error,
// no more writes, and the next Open puts it aside.
func TestDamageOnTheWay(t *testing.T) {
	dir := filled(t)
	scribble(t, dir, 20*4096, 30*4096)
	j := open(t, dir) // after a clean end nothing is read
	l := ledgerOf(t, j, someScope)
	_, err := all(l)
	wants(t, err, fault.State, "aside")
	err = l.Put(context.Background(), series(verified, 0, 500))
	wants(t, err, fault.State)
	err = l.SetFact(context.Background(), "baseline", "x")
	wants(t, err, fault.State, "no more writes after")
	j.Close()
	if j := open(t, dir); !j.Rebuilt() {
		t.Error("the next open took it for sound")
	}
}

// TestDamageForReaders: a reader changes nothing, and says what will help.
func TestDamageForReaders(t *testing.T) {
	dir := filled(t)
	scribble(t, dir, 0, 100)
	before := contents(t, dir)
	_, err := journal.OpenReader(dir)
	wants(t, err, fault.State, "next run", "aside")
	if !bytes.Equal(contents(t, dir)["journal.db"], before["journal.db"]) {
		t.Error("it was changed")
	}
}

// TestUncleanButSound: a killed run leaves a journal that is used as it is.
func TestUncleanButSound(t *testing.T) {
	dir := filled(t)
	unclean(t, dir)
	j := open(t, dir)
	if j.Rebuilt() || len(j.Notes()) > 0 {
		t.Errorf("rebuilt %v, notes %q", j.Rebuilt(), j.Notes())
	}
	same(t, len(mustAll(t, ledgerOf(t, j, someScope))), 500)
	shut(t, j)
	text, err := os.ReadFile(filepath.Join(dir, "journal.lock"))
	if err != nil || strings.TrimSpace(string(text)) != "" {
		t.Errorf("the lock says %q after a clean end", text)
	}
}

// TestKilledWhileItIsMade finds a database whose first transaction, not yet in the
// write-ahead log, was cut off after pages of it were written: empty or filled before.
func TestKilledWhileItIsMade(t *testing.T) {
	for name, c := range map[string]struct {
		dir     string
		records int
	}{"the first": {t.TempDir(), 0}, "a later": {filled(t), 500}} {
		t.Run(name, func(t *testing.T) {
			dir := cutOff(t, c.dir)
			unclean(t, dir)
			for range 2 {
				j := open(t, dir)
				if j.Rebuilt() || len(j.Notes()) > 0 {
					t.Errorf("rebuilt %v, notes %q", j.Rebuilt(), j.Notes())
				}
				same(t, len(mustAll(t, ledgerOf(t, j, someScope))), c.records)
				shut(t, j)
			}
		})
	}
}

// cutOff returns a copy of a state directory as it is amid a transaction that has a
// rollback journal.
func cutOff(t *testing.T, from string) (dir string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(from, "journal.db"))
	must(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, text := range []string{
		"PRAGMA journal_mode = DELETE", "PRAGMA cache_size = 1", "PRAGMA synchronous = FULL", "BEGIN IMMEDIATE",
		"CREATE TABLE half (x)", "INSERT INTO half VALUES (zeroblob(100000))",
	} {
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	dir = t.TempDir()
	for _, name := range []string{"journal.db", "journal.db-journal"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil || len(data) == 0 {
			t.Fatalf("%s has %d octets: %v", name, len(data), err)
		}
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	return dir
}
