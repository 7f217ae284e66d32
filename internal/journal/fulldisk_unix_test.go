//go:build unix

package journal_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

// fillLimits are how large a file may get, from nothing to all that is needed.
func fillLimits() (limits []uint64) {
	for n := uint64(0); n < 400_000; n += 9_973 { // never a page's end
		limits = append(limits, n)
	}
	return append(limits, 32, 4096, 4152, 98_304, 1_000_003, 8_000_000)
}

// helpFill takes a journal to its full disk for each of the limits, and prints
// for each what was durable before the first error.
func helpFill(args []string) error {
	for _, limit := range fillLimits() {
		dir := filepath.Join(args[0], fmt.Sprint(limit))
		if err := fill(dir, limit, args[1]); err != nil {
			return fmt.Errorf("%d octets: %w", limit, err)
		}
	}
	return nil
}

// fill has the system refuse to let any file grow over a limit, which is a full
// disk to SQLite, either from the beginning or once the journal is open.
func fill(dir string, limit uint64, when string) error {
	defer limitFiles(noLimit)
	if when == "create" {
		if err := limitFiles(limit); err != nil {
			return err
		}
	}
	j, err := journal.Open(dir)
	if err != nil {
		fmt.Println(dir, 0, describe(err))
		return nil
	}
	defer j.Close()
	if err := limitFiles(limit); err != nil {
		return err
	}
	l, err := j.Ledger(context.Background(), someScope)
	if err != nil {
		return err
	}
	n := 0
	for ; err == nil && n < 30; n++ {
		err = l.Put(context.Background(), series(delivered, n*10, n*10+10))
	}
	if err == nil {
		fmt.Println(dir, n, "ok")
		return nil
	}
	fmt.Println(dir, n-1, describe(err))
	if err := isStopped(l, (n-1)*10); err != nil || when != "renew" {
		return err
	}
	return isRenewed(j, l, (n-1)*10)
}

// isRenewed makes sure that a journal after an error of the disk takes more once there is
// space and it is told to, but not from who used it before. What was durable is there, and
// of the last write all or nothing.
func isRenewed(j journal.Journal, before journal.Ledger, durable int) error {
	if err := limitFiles(32); err != nil {
		return err
	}
	if _, err := j.Renew(context.Background()); fault.CodeOf(err) != fault.State {
		return fmt.Errorf("%w: renewed on a full disk: %v", errWrong, err)
	}
	if err := limitFiles(noLimit); err != nil {
		return err
	}
	if _, err := j.Renew(context.Background()); err != nil {
		return err
	}
	if err := before.SetFact(context.Background(), "baseline", "x"); fault.CodeOf(err) != fault.State {
		return fmt.Errorf("%w: an old ledger wrote: %v", errWrong, err)
	}
	if _, err := all(before); fault.CodeOf(err) != fault.State {
		return fmt.Errorf("%w: an old ledger read: %v", errWrong, err)
	}
	l, err := j.Ledger(context.Background(), someScope)
	if err != nil {
		return err
	}
	rs, err := all(l)
	if err != nil || len(rs) != durable && len(rs) != durable+10 {
		return fmt.Errorf("%w: %d records, %d were durable (%v)", errWrong, len(rs), durable, err)
	}
	return l.Put(context.Background(), series(delivered, durable, durable+10))
}

// isStopped makes sure that a ledger after an error of the disk shows what was
// durable before, and takes nothing more although there would be space.
func isStopped(l journal.Ledger, visible int) error {
	rs, err := all(l)
	if err != nil || len(rs) != visible {
		return fmt.Errorf("%w: %d records after the error (%v)", errWrong, len(rs), err)
	}
	if err := limitFiles(noLimit); err != nil {
		return err
	}
	err = l.SetFact(context.Background(), "baseline", "x")
	if fault.CodeOf(err) != fault.State || fault.HintOf(err) == "" {
		return fmt.Errorf("%w: a write after the error gave %v", errWrong, err)
	}
	return nil
}

const noLimit = 1 << 40

func limitFiles(octets uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	limit.Cur = octets
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
}

// TestFullDisk fills the disk at many points of a journal's life. What was
// acknowledged is there afterwards, the rest is there whole or not at all, and
// the journal works again once there is space: opened by another process, or renewed by
// the one that filled the disk.
func TestFullDisk(t *testing.T) {
	for _, when := range []string{"create", "write", "renew"} {
		t.Run(when, func(t *testing.T) {
			failed := 0
			out := help(t, "fill", t.TempDir(), when)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			for _, line := range lines {
				part := strings.SplitN(line, " ", 3)
				durable, err := strconv.Atoi(part[1])
				must(t, err)
				if part[2] != "ok" {
					says(t, part[2], "state:", "disk")
					failed++
				}
				recovers(t, part[0], durable)
			}
			if len(lines) != len(fillLimits()) || failed < len(lines)/3 || failed == len(lines) {
				t.Fatalf("%d of %d limits were felt", failed, len(lines))
			}
		})
	}
}

func recovers(t *testing.T, dir string, durable int) {
	t.Helper()
	t.Log(dir)
	j := open(t, dir)
	if j.Rebuilt() {
		t.Fatal("a full disk was taken for damage")
	}
	l := ledgerOf(t, j, someScope)
	isSeries(t, mustAll(t, l), durable, durable+1)
	put(t, l, series(delivered, 0, 400)...)
	same(t, len(mustAll(t, l)), 400)
	shut(t, j)
	leftovers(t, dir)
}

// helpCramped opens a journal where nothing of a batch's size fits any more.
func helpCramped(args []string) error {
	if err := limitFiles(50_000); err != nil {
		return err
	}
	_, err := journal.Open(args[0])
	fmt.Println(describe(err))
	return nil
}

// TestFullDiskIsFoundAtOnce has a journal that could be opened without writing
// much: Open must try, before anybody asks a server for anything.
func TestFullDiskIsFoundAtOnce(t *testing.T) {
	dir := filled(t)
	says(t, help(t, "cramped", dir), "state: write the journal", "space")
	same(t, len(mustAll(t, ledgerOf(t, open(t, dir), someScope))), 500)
}

// leftovers makes sure that only what belongs there is in a state directory.
func leftovers(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		if !slices.Contains([]string{"journal.db", "journal.lock"}, e.Name()) {
			t.Errorf("%s was left", e.Name())
		}
	}
}
