package voyage_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/journal/journaltest"
	"github.com/popferry/popferry/internal/mailtest/voyage"
)

// TestDiskIsAJournal holds the journal in memory against the promises of the
// interfaces, like every other implementation.
func TestDiskIsAJournal(t *testing.T) {
	disks := map[string]*voyage.Disk{}
	journaltest.Run(t, func(t *testing.T) journal.Journal {
		if disks[t.Name()] == nil {
			disks[t.Name()] = voyage.NewDisk()
		}
		return disks[t.Name()].Open()
	})
}

const one, two = "Subject: one\r\n\r\n1\r\n", "Subject: two\r\n\r\n2\r\n"

// TestVerdicts makes every kind of wrong and looks whether it is seen.
func TestVerdicts(t *testing.T) {
	store := func(texts ...string) func(*voyage.World) {
		return func(w *voyage.World) {
			for _, text := range texts {
				deliver(w, text)
			}
		}
	}
	for _, c := range []struct {
		name        string
		act         func(*voyage.World)
		lost, wrong string // "" for nothing
	}{
		{"nothing done", store(), "", "missing: 0 instead of 1"},
		{"all done", store(one, two), "", ""},
		{"doubled", store(one, one, two), "", "doubled: 2 instead of 1"},
		{"altered", store(one, two+"\r\n"), "", "unexpected: 1"},
		{"deleted early", func(w *voyage.World) { w.Drops[0].Expunge(1) }, "lost: 1 of 1", "lost: 1 of 1"},
		{"deleted after delivery", func(w *voyage.World) {
			store(one, two)(w)
			w.Drops[0].Expunge(2)
		}, "", ""},
		{"taken away by others", func(w *voyage.World) {
			w.TakeAway(0, 1)
			store(two)(w)
		}, "", ""},
		{"held and delivered all the same", func(w *voyage.World) {
			w.Undeliverable([]byte(one))
			store(one, two)(w)
		}, "", "doubled: 1 instead of 0"},
		{"one was there before", func(w *voyage.World) {
			w.Prefill("INBOX", []byte(one))
			store(two)(w)
		}, "", ""},
		{"in another folder", func(w *voyage.World) {
			store(one)(w)
			w.Imap.User("").Deliver("Sorted", []byte(two), nil, someday)
		}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := voyage.New(voyage.Options{})
			defer w.Close()
			w.Arrive(0, []byte(one), []byte(two))
			c.act(w)
			says(t, "lost", w.Lost(), c.lost)
			says(t, "wrong", w.Wrong(), c.wrong)
		})
	}
}

func says(t *testing.T, what string, got []string, want string) {
	t.Helper()
	all := strings.Join(got, "; ")
	if want == "" && all != "" || !strings.Contains(all, want) {
		t.Errorf("%s: %q, want %q", what, all, want)
	}
}

// TestDeath kills a program at every step: after that it makes no more steps, and
// what it wrote before has arrived.
func TestDeath(t *testing.T) {
	steps := 0
	live := func(t *testing.T, k int) (stored int) {
		synctest.Test(t, func(*testing.T) {
			w := voyage.New(voyage.Options{})
			defer w.Close()
			w.Arrive(0, []byte(one), []byte(two))
			life := &voyage.Life{KillAt: k}
			report, err := w.Run(context.Background(), life)
			synctest.Wait()
			steps, stored = life.Steps(), len(w.InImap())
			if err != nil || life.Died() != (k > 0) || life.Died() && (steps != k || len(report.Accounts) > 0) {
				t.Errorf("step %d of %d, died %v: %v", k, steps, life.Died(), err)
			}
		})
		return stored
	}
	if live(t, 0) != 2 || steps < 30 {
		t.Fatalf("an undisturbed life of %d steps", steps)
	}
	outcomes := map[int]bool{}
	for k := range steps * 3 / 4 {
		outcomes[live(t, k+1)] = true
	}
	if !outcomes[0] || !outcomes[2] || outcomes[1] {
		t.Errorf("messages stored: %v", outcomes)
	}
}

var someday = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)

func deliver(w *voyage.World, text string) {
	w.Imap.User("").Deliver("INBOX", []byte(text), nil, someday)
}

// TestHasty deletes mail from the maildrop before and after its time is over.
func TestHasty(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		w := voyage.New(voyage.Options{})
		defer w.Close()
		w.Arrive(0, []byte(one), []byte(two))
		deliver(w, one)
		deliver(w, two)
		says(t, "before", w.Hasty(time.Hour), "")
		w.Drops[0].Expunge(2)
		says(t, "at once", w.Hasty(time.Hour), "hasty: 1 deleted, 0 may be")
		time.Sleep(time.Hour)
		w.Drops[0].Expunge(1)
		says(t, "in time", w.Hasty(time.Hour), "")
	})
}
