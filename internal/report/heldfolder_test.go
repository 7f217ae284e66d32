package report_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/internal/report"
)

func received(t *testing.T, raw string) *message.Message {
	t.Helper()
	m, err := new(message.Spool).Receive(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// TestHeldFolder: the octets as received, readable by their owner only, and
// written once.
func TestHeldFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "held", "mail")
	folder, err := report.NewHeldFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	const raw = "Subject: x\n\nbare\x00line\n."
	m := received(t, raw)
	path, err := folder.Keep("alice@oldisp.example", m)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "alice@oldisp.example-"+m.Content.String()+".eml"); path != want {
		t.Errorf("kept in %s, want %s", path, want)
	}
	for name, mode := range map[string]os.FileMode{dir: 0o700, path: 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want mode %v", name, info.Mode(), err, mode)
		}
	}
	before, _ := os.Stat(path)
	if again, err := folder.Keep("alice@oldisp.example", m); again != path || err != nil {
		t.Errorf("kept again in %s, %v", again, err)
	}
	if after, _ := os.Stat(path); !os.SameFile(before, after) {
		t.Error("the same content was written anew")
	}
	if err := os.WriteFile(path, []byte(raw[:5]), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Keep("alice@oldisp.example", m); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, []byte(raw)) {
		t.Errorf("kept %q, %v", got, err)
	}
	if list := names(t, dir); len(list) != 1 {
		t.Errorf("the folder has %q", list)
	}
}

// TestHeldFolderNames: whatever an account is called, its files are in the folder,
// and no other account's.
func TestHeldFolderNames(t *testing.T) {
	dir := t.TempDir()
	folder, err := report.NewHeldFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := received(t, "Subject: x\r\n\r\nhello\r\n")
	accounts := []string{"a/b", "a_b", "..", ".", "../../etc/x", `a\b`, "a%2Fb", "jörg", "\x00", "\r\n", "-rf",
		strings.Repeat("long", 200), strings.Repeat("long", 201)}
	for _, account := range accounts {
		path, err := folder.Keep(account, m)
		if err != nil || filepath.Dir(path) != dir || strings.HasPrefix(filepath.Base(path), ".") {
			t.Errorf("%q is kept in %q, %v", account, path, err)
		}
	}
	if list := names(t, dir); len(list) != len(accounts) {
		t.Errorf("%d accounts have %d files", len(accounts), len(list))
	}
}

// TestHeldFolderWithoutPlace (T6): it is said before any work is done.
func TestHeldFolderWithoutPlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if _, err := report.NewHeldFolder(dir); fault.CodeOf(err) != fault.State {
			t.Errorf("%s: %v", dir, err)
		}
	}
	folder, err := report.NewHeldFolder(filepath.Join(t.TempDir(), "held"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Dir(mustKeep(t, folder))); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Keep("alice", received(t, "x\r\n")); fault.CodeOf(err) != fault.State {
		t.Errorf("the folder is gone: %v", err)
	}
}

func mustKeep(t *testing.T, folder report.HeldFolder) string {
	t.Helper()
	path, err := folder.Keep("alice", received(t, "x\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}
