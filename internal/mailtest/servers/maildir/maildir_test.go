package maildir_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/mailtest/servers/maildir"
)

func TestDeliveredMailIsRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "Maildir")
	uid, gid := os.Getuid(), os.Getgid()
	if err := maildir.Make(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	want := [][]byte{[]byte("one\r\n"), []byte("two\n"), []byte("three")}
	for _, part := range [][][]byte{want[:2], want[2:]} {
		if err := maildir.Deliver(dir, uid, gid, part...); err != nil {
			t.Fatal(err)
		}
	}
	// What a server has seen lies in cur.
	entries, err := os.ReadDir(filepath.Join(dir, "new"))
	if err != nil {
		t.Fatal(err)
	}
	seen := entries[2].Name()
	err = os.Rename(filepath.Join(dir, "new", seen), filepath.Join(dir, "cur", seen+":2,S"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := maildir.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNoMaildirIsNoMail(t *testing.T) {
	messages, err := maildir.Read(filepath.Join(t.TempDir(), "none"))
	if err != nil || len(messages) != 0 {
		t.Errorf("%q, %v", messages, err)
	}
}
