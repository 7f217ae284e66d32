package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// TestImportOfTooMuch: a list that makes a larger file than can be read says so, and what to do.
func TestImportOfTooMuch(t *testing.T) {
	t.Chdir(t.TempDir())
	const rows = 1000
	list := []byte("source.username,source.password\n")
	for n := range rows {
		list = fmt.Appendf(list, "user%d,%s\n", n, strings.Repeat("x", plan.MaxFile/rows))
	}
	if err := os.WriteFile("users.csv", list, 0o600); err != nil {
		t.Fatal(err)
	}
	var talk bytes.Buffer
	code := run([]string{"import", "users.csv", "--set", "source.host=pop.example.org",
		"--set", "destination.host=imap.example.net"}, io.Discard, &talk)
	made, _ := filepath.Glob("*.yaml")
	if code != int(fault.Config) || len(made) > 0 || !strings.Contains(talk.String(), "1,000 accounts make a file of 11 MB") ||
		!strings.Contains(talk.String(), "accounts_from") {
		t.Errorf("%d, made %q: %s", code, made, &talk)
	}
}
