package main

import (
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

// TestImportIsFree: a long list needs more memory than mail on its way ever does, and a bound
// below that costs as much time as all the rest.
func TestImportIsFree(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	list := filepath.Join(t.TempDir(), "users.csv")
	if err := os.WriteFile(list, []byte("source.username\nalice\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want int64
	}{
		{[]string{"version"}, memoryTarget},
		{[]string{"import", list, "--out", "-", "--set", "source.host=pop.example.org",
			"--set", "destination.host=imap.example.org"}, math.MaxInt64},
	} {
		if code := run(c.args, io.Discard, io.Discard); code != 0 || debug.SetMemoryLimit(-1) != c.want {
			t.Errorf("%q: %d, bound %d", c.args, code, debug.SetMemoryLimit(-1))
		}
	}
}
