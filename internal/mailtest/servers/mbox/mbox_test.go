package mbox_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/servers/mbox"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spool")
	var want []string
	for _, m := range append(corpus.Ordinary(10, 1), corpus.Row("D14")...) {
		if err := mbox.Append(path, mbox.Reversible, m.Raw); err != nil {
			t.Fatal(err)
		}
		lines := bytes.ReplaceAll(corpus.Canonical(m.Raw), []byte("\r\n"), []byte("\n"))
		want = append(want, string(lines))
	}
	messages, err := mbox.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, stored := range messages {
		got = append(got, string(mbox.Unquoted(stored)))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("not as written (-want +got):\n%s", diff)
	}
}

func TestQuoting(t *testing.T) {
	raw := []byte("From a\r\n>From b\r\n>>From c\r\nFromage\r\n From d\r\nno end")
	for _, f := range []struct {
		quoting mbox.Quoting
		want    string
	}{
		{mbox.Lossy, ">From a\n>From b\n>>From c\nFromage\n From d\nno end\n"},
		{mbox.Reversible, ">From a\n>>From b\n>>>From c\nFromage\n From d\nno end\n"},
	} {
		path := filepath.Join(t.TempDir(), "spool")
		if err := mbox.Append(path, f.quoting, raw, nil); err != nil {
			t.Fatal(err)
		}
		messages, err := mbox.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		want := [][]byte{[]byte(f.want), {}}
		if diff := cmp.Diff(want, messages, cmp.Comparer(bytes.Equal)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", f.quoting, diff)
		}
	}
}

func TestNoSpoolFileIsNoMail(t *testing.T) {
	messages, err := mbox.Read(filepath.Join(t.TempDir(), "none"))
	if err != nil || len(messages) != 0 {
		t.Errorf("%q, %v", messages, err)
	}
}

func TestUnreadableSpoolFileIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "directory")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := mbox.Read(path); err == nil {
		t.Error("no error")
	}
}
