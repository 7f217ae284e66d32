package private_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/popferry/popferry/internal/private"
)

func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	first, err := private.Open(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	second, err := private.Open(name, os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := private.Lock(first); err != nil {
		t.Fatal(err)
	}
	if err := private.Lock(second); !errors.Is(err, private.ErrLocked) {
		t.Errorf("a second lock: %v", err)
	}
	first.Close()
	if err := private.Lock(second); err != nil {
		t.Errorf("after the first was closed: %v", err)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name+".new", []byte("left by a crash"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two, longer", ""} {
		if err := private.Write(name, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); string(got) != text {
			t.Errorf("%q, %v; want %q", got, err, text)
		}
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files are left, %v", len(entries), err)
	}
	if err := private.Write(filepath.Join(dir, "absent", "file"), nil); err == nil {
		t.Error("written into a folder that does not exist")
	}
}
