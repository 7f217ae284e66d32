package journal_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

// edit changes a journal that nobody has open, with other means than ours.
func edit(t *testing.T, dir string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, text := range statements {
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSettings(t *testing.T) {
	j := open(t, t.TempDir())
	for name, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "mmap_size": "0", "cache_size": "-8000",
		"user_version": "2", "fullfsync": "1", "busy_timeout": "10000",
	} {
		got, err := journal.Setting(j, name)
		if err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
}

func TestOddDirectories(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	for _, dir := range []string{
		"a?mode=memory#x", "percent %41%00 &", "ünïcödé", "deep/er/still", "relative", "a;b'c\"d",
	} {
		j := open(t, dir)
		put(t, ledgerOf(t, j, someScope), delivered(1))
		shut(t, j)
		if _, err := os.Stat(filepath.Join(root, dir, "journal.db")); err != nil {
			t.Error(err)
		}
		same(t, len(mustAll(t, ledgerOf(t, openReader(t, dir), someScope))), 1)
	}
}

func mustAll(t testing.TB, l journal.Ledger) map[string]journal.Record {
	t.Helper()
	rs, err := all(l)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func TestSecondWriterIsRefused(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	_, err := journal.Open(dir)
	wants(t, err, fault.Temporary, fmt.Sprintf("already running as pid %d since 20", os.Getpid()))
	put(t, ledgerOf(t, j, someScope), delivered(1))
	shut(t, j)
	shut(t, open(t, dir))
}

// TestBridgeHasTheJournal: who meets one is not told to wait until it is done.
func TestBridgeHasTheJournal(t *testing.T) {
	dir := t.TempDir()
	j, err := journal.OpenAs(dir, "bridge")
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, j)
	_, err = journal.Open(dir)
	wants(t, err, fault.Temporary, fmt.Sprintf("popferry bridge is already running as pid %d since 20", os.Getpid()))
	if hint := fault.HintOf(err); !strings.Contains(hint, "brings the mail by itself; stop it first") {
		t.Errorf("hint %q", hint)
	}
}

func TestNotADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := journal.Open(file)
	wants(t, err, fault.State, file, "--state")
	_, err = journal.Open(filepath.Join(file, "below"))
	wants(t, err, fault.State, file, "--state")
	_, err = journal.OpenReader(file)
	wants(t, err, fault.State)
}

func TestLinksAreNotFollowed(t *testing.T) {
	target := filepath.Join(t.TempDir(), "target")
	must(t, os.WriteFile(target, nil, 0o600))
	for _, name := range []string{"journal.db", "journal.lock", "journal.probe"} {
		dir := t.TempDir()
		must(t, os.Symlink(target, filepath.Join(dir, name)))
		j, err := journal.Open(dir)
		if name == "journal.probe" { // ours to remove
			must(t, err)
			shut(t, j)
		} else {
			wants(t, err, fault.State)
		}
		if data, err := os.ReadFile(target); err != nil || len(data) > 0 {
			t.Fatalf("%s was followed: %q, %v", name, data, err)
		}
	}
}

// TestNewerJournal finds a journal of a later version, closed and not closed
// cleanly, and must leave every octet as it is.
func TestNewerJournal(t *testing.T) {
	closed := t.TempDir()
	shut(t, open(t, closed))
	edit(t, closed, "PRAGMA user_version = 7")

	unclean := t.TempDir()
	crashed := t.TempDir()
	shut(t, open(t, crashed))
	db, err := sql.Open("sqlite", filepath.Join(crashed, "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("PRAGMA user_version = 7; CREATE TABLE more (x)"); err != nil {
		t.Fatal(err)
	}
	copyState(t, crashed, unclean)

	for _, dir := range []string{closed, unclean} {
		before := contents(t, dir)
		for range 2 {
			_, err := journal.Open(dir)
			wants(t, err, fault.Config, "version 7", "up to 2", "nothing was changed")
			_, err = journal.OpenReader(dir)
			wants(t, err, fault.Config, "version 7")
		}
		after := contents(t, dir)
		for name, data := range before {
			if !bytes.Equal(after[name], data) {
				t.Errorf("%s was changed", name)
			}
		}
	}
}

// contents reads a database and its log.
func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	for _, name := range []string{"journal.db", "journal.db-wal"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		files[name] = data
	}
	return files
}

func TestForeignDatabase(t *testing.T) {
	dir := t.TempDir()
	edit(t, dir, "CREATE TABLE theirs (x)", "INSERT INTO theirs VALUES (1)")
	before := contents(t, dir)
	_, err := journal.Open(dir)
	wants(t, err, fault.State, "another program")
	_, err = journal.OpenReader(dir)
	wants(t, err, fault.State, "another program")
	if after := contents(t, dir); !bytes.Equal(after["journal.db"], before["journal.db"]) {
		t.Error("it was changed")
	}
}

// TestBrokenOffCreation finds what is left when the very first Open is
// interrupted: an empty file, or a database without tables.
func TestBrokenOffCreation(t *testing.T) {
	empty, bare := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(empty, "journal.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	edit(t, bare, "PRAGMA journal_mode = WAL")
	for _, dir := range []string{empty, bare} {
		_, err := journal.OpenReader(dir)
		wants(t, err, fault.State, "no journal")
		j := open(t, dir)
		if j.Rebuilt() || len(j.Notes()) > 0 {
			t.Errorf("rebuilt %v, notes %q", j.Rebuilt(), j.Notes())
		}
		put(t, ledgerOf(t, j, someScope), delivered(1))
	}
}

func TestOtherMachine(t *testing.T) {
	dir := t.TempDir()
	shut(t, open(t, dir))
	edit(t, dir, "UPDATE instance SET host = 'elsewhere'||char(27)||'[31m.example.org'")
	for range 2 {
		j := open(t, dir)
		r := openReader(t, dir)
		for _, notes := range [][]string{j.Notes(), r.Notes()} {
			const want = `machine elsewhere\x1b[31m.example.org`
			if len(notes) != 1 || !strings.Contains(notes[0], want) {
				t.Fatalf("notes %q", notes)
			}
		}
		shut(t, r)
		shut(t, j)
	}
}

// TestLockedByAnother has another program begin to write: that is no failure of
// the disk, and later everything works again.
func TestLockedByAnother(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	l := ledgerOf(t, j, someScope)
	if err := journal.Impatient(j); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	err = l.Put(context.Background(), []journal.Record{delivered(1)})
	wants(t, err, fault.Temporary, "locked by another program")
	if _, err := db.Exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	put(t, l, delivered(1))
}

// TestKeysThatHashAlike finds two keys that the index can't tell apart.
func TestKeysThatHashAlike(t *testing.T) {
	j := open(t, t.TempDir())
	l := ledgerOf(t, j, someScope)
	one, two := delivered(1), delivered(2)
	seen := make(map[int64]string)
	for n := 0; two.Key == delivered(2).Key; n++ {
		key := fmt.Sprintf("u:%d", n)
		hash := journal.KeyHash(j, key)
		if other, ok := seen[hash]; ok {
			one.Key, two.Key = other, key
		}
		seen[hash] = key
	}
	one.UIDL, two.UIDL = one.Key[2:], two.Key[2:]
	put(t, l, one)
	got, err := l.Get(context.Background(), []string{two.Key})
	must(t, err)
	same(t, len(got), 0)
	put(t, l, two, one)
	same(t, mustAll(t, l), map[string]journal.Record{one.Key: one, two.Key: two})
	got, err = l.Get(context.Background(), []string{two.Key})
	must(t, err)
	same(t, got, map[string]journal.Record{two.Key: two})
	away := delivered(3)
	must(t, l.Rekey(context.Background(), map[string]journal.Record{two.Key: away}))
	must(t, l.Rekey(context.Background(), map[string]journal.Record{away.Key: two}))
}

// TestStatementsUseIndexes makes the journal use every statement it has and asks
// SQLite how: none may read a whole table, or sort.
func TestStatementsUseIndexes(t *testing.T) {
	ctx := context.Background()
	j := open(t, t.TempDir())
	l := ledgerOf(t, j, someScope)
	rs := series(verified, 0, 300)
	put(t, l, rs...)
	rs[0].Reason = "held"
	put(t, l, rs[0])
	rs[0].Reason, rs[0].Sum.Loose = "", digestOf("other")
	put(t, l, rs[0])
	x, err := j.Index(ctx, journal.FolderKey{
		Host: someScope.DestHost, User: someScope.DestUser, Folder: "INBOX",
	})
	if err != nil {
		t.Fatal(err)
	}
	entry := journal.IndexEntry{UID: 1, MessageID: "<a@b>", Sum: &rs[0].Sum}
	noRecord := func(journal.Record) error { return nil }
	noEntry := func(journal.IndexEntry) error { return nil }
	_, countsErr := l.Counts(ctx)
	_, getErr := l.Get(ctx, []string{"u:1"})
	_, scopesErr := j.Scopes(ctx)
	for _, err := range []error{
		countsErr, getErr, scopesErr,
		l.Each(ctx, journal.Query{}, noRecord),
		l.Each(ctx, journal.Query{States: []journal.State{journal.Intent}}, noRecord),
		l.Each(ctx, journal.Query{Contents: digestsOf(rs)}, noRecord),
		l.Each(ctx, journal.Query{Headers: digestsOf(rs)}, noRecord),
		l.Rekey(ctx, map[string]journal.Record{rs[1].Key: delivered(1000)}),
		l.SetFact(ctx, "baseline", "x"),
		x.Reset(ctx, 7), x.Extend(ctx, 2, []journal.IndexEntry{entry}),
		x.PutDigests(ctx, []journal.IndexEntry{entry}),
		x.Unclaimed(ctx, journal.Match{}, noEntry),
		x.Unclaimed(ctx, journal.Match{MessageIDs: []string{"<a@b>"}}, noEntry),
		x.Unclaimed(ctx, journal.Match{Contents: digestsOf(rs)}, noEntry),
		x.Unclaimed(ctx, journal.Match{MaxSize: 99}, noEntry),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	plans, err := journal.Plans(j)
	if err != nil {
		t.Fatal(err)
	}
	if len(plans) < 20 {
		t.Fatalf("only %d statements were seen", len(plans))
	}
	small := regexp.MustCompile(`^SCAN scope$|^SCAN CONSTANT ROW|^SCAN (\d+-ROW VALUES|SUBQUERY)`)
	for text, plan := range plans {
		bad := slices.ContainsFunc(plan, func(step string) bool {
			return strings.HasPrefix(step, "SCAN") && !small.MatchString(step) ||
				strings.Contains(step, "ORDER BY") && strings.Contains(step, "TEMP B-TREE")
		})
		if bad {
			t.Errorf("%s\n\t%s", text, strings.Join(plan, "\n\t"))
		}
	}
}

// TestJournalOfTheFirstVersion: the file was made by the popferry that had it. All that
// is in it stays, and a reader waits for a run to bring it up to date.
func TestJournalOfTheFirstVersion(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile("testdata/v1.db")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "journal.db"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = journal.OpenReader(dir)
	wants(t, err, fault.State, "older popferry")
	j := open(t, dir)
	defer shut(t, j)
	if j.Rebuilt() {
		t.Fatal("put aside as damaged")
	}
	scopes, err := j.Scopes(t.Context())
	if err != nil || len(scopes) != 1 || scopes[0].LastRun != "{}" || scopes[0].Counts[journal.Delivered] != 4 {
		t.Fatalf("%+v, %v", scopes, err)
	}
	l, err := j.Ledger(t.Context(), scopes[0].Scope)
	if err != nil {
		t.Fatal(err)
	}
	records, err := l.Get(t.Context(), []string{"u:uid-0", "u:uid-4"})
	if err != nil || records["u:uid-0"].Sum.MessageID != "<0@example.org>" || records["u:uid-4"].Reason != "too large" {
		t.Errorf("%+v, %v", records, err)
	}
	pass := journal.Pass{Account: "alice", Started: time.UnixMilli(1760000000000).UTC(), Passes: 1}
	if err := j.RecordPasses(t.Context(), []journal.Pass{pass}, time.Hour); err != nil {
		t.Error(err)
	}
}
