// Package journaltest holds the promises of the interfaces in package journal
// against an implementation. Every one of them runs it in its tests.
package journaltest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// Open opens the journal that belongs to a test: a new one in the first call
// with a t, and the same one again, with all that is durable in it, once the
// journal of the call before was closed. The suite closes what it opens.
type Open func(t *testing.T) journal.Journal

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Run("ledger", func(t *testing.T) { runAll(t, open, ledgerCases()) })
	t.Run("each", func(t *testing.T) { runAll(t, open, eachCases()) })
	t.Run("rekey", func(t *testing.T) { runAll(t, open, rekeyCases()) })
	t.Run("index", func(t *testing.T) { runAll(t, open, indexCases()) })
	t.Run("unclaimed", func(t *testing.T) { runAll(t, open, unclaimedCases()) })
	t.Run("history", func(t *testing.T) { runAll(t, open, historyCases()) })
	t.Run("journal", func(t *testing.T) { runAll(t, open, journalCases()) })
}

type testCase struct {
	name string
	run  func(*fixture)
}

func runAll(t *testing.T, open Open, cases []testCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := &fixture{T: t, open: open, ctx: t.Context()}
			f.Journal = open(t)
			t.Cleanup(func() { f.Journal.Close() })
			c.run(f)
		})
	}
}

// fixture is one test with its journal.
type fixture struct {
	*testing.T
	journal.Journal
	open Open
	ctx  context.Context
}

// reopen closes the journal and opens it again.
func (f *fixture) reopen() {
	f.Helper()
	f.must(f.Journal.Close())
	f.Journal = f.open(f.T)
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// fails makes sure of an error's class.
func (f *fixture) fails(err error, want fault.Code) {
	f.Helper()
	if err == nil {
		f.Fatal("no error")
	}
	if got := fault.CodeOf(err); got != want {
		f.Fatalf("%v: code %v, want %v", err, got, want)
	}
}

func (f *fixture) same(got, want any) {
	f.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		f.Fatalf("(-want +got)\n%s", diff)
	}
}

// alice is the scope that most tests use.
func alice() journal.Scope {
	return journal.Scope{
		Account: "alice", SourceHost: "pop.example.org", SourceUser: "alice",
		DestHost: "imap.example.net", DestUser: "alice@example.net", Folder: "INBOX",
	}
}

func inbox() journal.FolderKey {
	return journal.FolderKey{Host: "imap.example.net", User: "alice@example.net", Folder: "INBOX"}
}

func (f *fixture) ledger(s journal.Scope) journal.Ledger {
	f.Helper()
	l, err := f.Journal.Ledger(f.ctx, s)
	f.must(err)
	return l
}

func (f *fixture) index(k journal.FolderKey) journal.Index {
	f.Helper()
	x, err := f.Journal.Index(f.ctx, k)
	f.must(err)
	return x
}

func (f *fixture) put(l journal.Ledger, rs ...journal.Record) {
	f.Helper()
	f.must(l.Put(f.ctx, rs))
}

func (f *fixture) get(l journal.Ledger, keys ...string) map[string]journal.Record {
	f.Helper()
	got, err := l.Get(f.ctx, keys)
	f.must(err)
	return got
}

// keys returns the keys of the records that a query shows, in their order.
func (f *fixture) keys(l journal.Ledger, q journal.Query) []string {
	f.Helper()
	var keys []string
	f.must(l.Each(f.ctx, q, func(r journal.Record) error {
		keys = append(keys, r.Key)
		return nil
	}))
	return keys
}

func (f *fixture) counts(l journal.Ledger) map[journal.State]int {
	f.Helper()
	counts, err := l.Counts(f.ctx)
	f.must(err)
	return counts
}

func digestOf(format string, args ...any) message.Digest {
	return sha256.Sum256(fmt.Appendf(nil, format, args...))
}

// simple makes an ordinary record.
func simple(key string, state journal.State) journal.Record {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return journal.Record{
		Key: key, State: state, Listed: 100,
		Sum: message.Summary{
			Size: 102, Content: digestOf("content %s", key), Header: digestOf("header %s", key),
			Body: digestOf("body %s", key), MessageID: "<" + key + "@example.org>",
		},
		FirstSeen: at, Changed: at,
	}
}

// claim makes a record that claims a UID of the inbox.
func claim(key string, state journal.State, uidValidity, uid uint32) journal.Record {
	r := simple(key, state)
	r.Folder, r.UIDValidity, r.UID = "INBOX", uidValidity, uid
	return r
}
