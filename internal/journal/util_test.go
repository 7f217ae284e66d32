package journal_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

func open(t testing.TB, dir string) journal.Journal {
	t.Helper()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func openReader(t testing.TB, dir string) journal.Journal {
	t.Helper()
	j, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func shut(t testing.TB, j journal.Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func ledgerOf(t testing.TB, j journal.Journal, s journal.Scope) journal.Ledger {
	t.Helper()
	l, err := j.Ledger(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func put(t testing.TB, l journal.Ledger, rs ...journal.Record) {
	t.Helper()
	if err := l.Put(context.Background(), rs); err != nil {
		t.Fatal(err)
	}
}

// all returns everything in the ledger of someScope.
func all(l journal.Ledger) (map[string]journal.Record, error) {
	rs := make(map[string]journal.Record)
	err := l.Each(context.Background(), journal.Query{}, func(r journal.Record) error {
		rs[r.Key] = r
		return nil
	})
	return rs, err
}

func same(t testing.TB, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

// wants makes sure of an error's class, and of words in its text and its hint.
func wants(t testing.TB, err error, code fault.Code, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if got := fault.CodeOf(err); got != code {
		t.Fatalf("%v: code %v, want %v", err, got, code)
	}
	text := err.Error() + " / " + fault.HintOf(err)
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Fatalf("%q does not say %q", text, word)
		}
	}
}

// describe gives an error's class and text for a helper to print.
func describe(err error) string {
	if err == nil {
		return "ok"
	}
	return fmt.Sprintf("%v: %v / %s", fault.CodeOf(err), err, fault.HintOf(err))
}

// copyState copies the database and its log as a power loss would find them.
func copyState(t testing.TB, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"journal.db", "journal.db-wal"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func digestsOf(rs []journal.Record) (list []message.Digest) {
	for i := range rs {
		list = append(list, rs[i].Sum.Content)
	}
	return list
}
