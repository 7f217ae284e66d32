//go:build unix

package journal_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

// nobody is a user who is not root, to try what root may do anyway.
const nobody = 65534

// become makes the process somebody else.
func become(id string) error {
	uid, err := strconv.Atoi(id)
	if err != nil || uid == os.Getuid() {
		return err
	}
	return syscall.Setuid(uid)
}

// helpHold opens the journal for writing, says so, and waits to be told to end.
func helpHold(args []string) error {
	j, err := journal.Open(args[0])
	if err != nil {
		return err
	}
	fmt.Println("open")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return j.Close()
}

// start runs a helper that says when it is ready.
func start(
	t *testing.T, name string, args ...string,
) (cmd *exec.Cmd, lines *bufio.Scanner, stop func() error) {
	t.Helper()
	cmd = helper(t, name, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, bufio.NewScanner(out), func() error {
		in.Close()
		return cmd.Wait()
	}
}

func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	cmd, lines, stop := start(t, "hold", dir)
	if !lines.Scan() {
		t.Fatal("the other process did not open it")
	}
	_, err := journal.Open(dir)
	wants(t, err, fault.Temporary,
		fmt.Sprintf("already running as pid %d since 20", cmd.Process.Pid))
	same(t, len(mustAll(t, ledgerOf(t, openReader(t, dir), someScope))), 0)
	must(t, stop())
	if j := open(t, dir); j.Rebuilt() {
		t.Error("a clean end was taken for damage")
	}
}

// helpWrite puts batch after batch and says which one is durable.
func helpWrite(args []string) error {
	from, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	j, err := journal.Open(args[0])
	if err != nil {
		return err
	}
	l, err := j.Ledger(context.Background(), someScope)
	if err != nil {
		return err
	}
	for n := from; ; n++ {
		if err := l.Put(context.Background(), series(delivered, n*10, n*10+10)); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// TestKill kills a writer again and again.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	next := 0
	for round := range 6 {
		cmd, lines, _ := start(t, "write", dir, strconv.Itoa(next))
		for range 3 + 5*round {
			if !lines.Scan() {
				t.Fatal("the writer ended by itself")
			}
		}
		must(t, cmd.Process.Kill())
		last := lines.Text()
		for lines.Scan() { // what it had said before it died
			last = lines.Text()
		}
		_ = cmd.Wait()
		acknowledged, err := strconv.Atoi(last)
		must(t, err)

		j := open(t, dir)
		if j.Rebuilt() {
			t.Fatal("a killed writer was taken for damage")
		}
		next = len(mustAll(t, ledgerOf(t, j, someScope))) / 10
		isSeries(t, mustAll(t, ledgerOf(t, j, someScope)), acknowledged+1, acknowledged+2)
		shut(t, j)
	}
}

// isSeries makes sure that records are the first batches of ten, whole, at least
// low and at most high of them.
func isSeries(t *testing.T, got map[string]journal.Record, low, high int) {
	t.Helper()
	n := len(got) / 10
	if n < low || n > high {
		t.Fatalf("%d batches, want %d to %d", n, low, high)
	}
	want := make(map[string]journal.Record)
	for _, r := range series(delivered, 0, n*10) {
		want[r.Key] = r
	}
	same(t, got, want)
}

// helpMask makes a journal with a umask and shows what it made.
func helpMask(args []string) error {
	mask, err := strconv.ParseInt(args[1], 8, 32)
	if err != nil {
		return err
	}
	syscall.Umask(int(mask))
	j, err := journal.Open(args[0])
	if err != nil {
		return err
	}
	return filepath.Walk(args[0], func(name string, info os.FileInfo, err error) error {
		if err == nil {
			fmt.Printf("%s %o\n", filepath.Base(name), info.Mode().Perm())
		}
		if err == nil && name == filepath.Join(args[0], "journal.lock") {
			defer j.Close()
		}
		return err
	})
}

func TestModesWhateverTheUmask(t *testing.T) {
	for _, mask := range []string{"000", "022", "077", "277"} {
		got := strings.Fields(help(t, "mask", filepath.Join(t.TempDir(), "state"), mask))
		same(t, got, []string{
			"state", "700", "journal.db", "600", "journal.db-shm", "600", "journal.db-wal", "600",
			"journal.lock", "600",
		})
	}
}

// TestOpenDatabaseIsMadePrivate finds a database that a backup left readable.
func TestOpenDatabaseIsMadePrivate(t *testing.T) {
	dir := filled(t)
	name := filepath.Join(dir, "journal.db")
	must(t, os.Chmod(name, 0o644))
	if j := open(t, dir); len(j.Notes()) > 0 {
		t.Errorf("notes %q", j.Notes())
	}
	info, err := os.Stat(name)
	must(t, err)
	same(t, info.Mode().Perm(), os.FileMode(0o600))
}

// helpOpen opens a journal for writing as another user and tells how it went.
func helpOpen(args []string) error {
	if err := become(args[1]); err != nil {
		return err
	}
	j, err := journal.Open(args[0])
	fmt.Println(describe(err))
	if err == nil {
		return j.Close()
	}
	return nil
}

// helpRead reads a journal as another user and tells how it went.
func helpRead(args []string) error {
	if err := become(args[1]); err != nil {
		return err
	}
	j, err := journal.OpenReader(args[0])
	if err != nil {
		fmt.Println(describe(err))
		return nil
	}
	l, err := j.Ledger(context.Background(), someScope)
	if err != nil {
		return err
	}
	rs, err := all(l)
	fmt.Println(len(rs), describe(err))
	return j.Close()
}

// readOnly makes a directory that the user it returns can read but not write.
func readOnly(t *testing.T, dir string) (user string) {
	t.Helper()
	must(t, os.Chmod(filepath.Dir(dir), 0o711)) // so that nobody gets this far
	if os.Getuid() != 0 {
		must(t, os.Chmod(dir, 0o500))
		t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
		return strconv.Itoa(os.Getuid())
	}
	must(t, os.Chmod(dir, 0o755))
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	for _, name := range names {
		must(t, os.Chown(name, nobody, nobody))
	}
	return strconv.Itoa(nobody)
}

func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Fatalf("%q does not say %q", text, word)
		}
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	t.Run("writer of none", func(t *testing.T) {
		dir := t.TempDir()
		says(t, help(t, "open", dir, readOnly(t, dir)), "state:", dir, "can be written")
		below := filepath.Join(dir, "below")
		says(t, help(t, "open", below, readOnly(t, dir)), "state:", "can be written")
	})
	t.Run("writer of one", func(t *testing.T) {
		dir := filled(t)
		says(t, help(t, "open", dir, readOnly(t, dir)), "state:", "can be written")
	})
	t.Run("reader after a clean end", func(t *testing.T) {
		dir := filled(t)
		same(t, help(t, "read", dir, readOnly(t, dir)), "500 ok\n")
	})
	t.Run("reader while it is written", func(t *testing.T) {
		dir := filled(t)
		j := open(t, dir)
		put(t, ledgerOf(t, j, someScope), delivered(1000))
		same(t, help(t, "read", dir, readOnly(t, dir)), "501 ok\n")
	})
	t.Run("reader after a crash", func(t *testing.T) {
		from, dir := filled(t), t.TempDir()
		put(t, ledgerOf(t, open(t, from), someScope), delivered(1000))
		copyState(t, from, dir)
		says(t, help(t, "read", dir, readOnly(t, dir)),
			"state:", "not closed cleanly", "run popferry once")
	})
}

// helpLock tries to lock the database the way SQLite does before it removes the
// log of a database that nobody has open, and tells how it went.
func helpLock(args []string) error {
	f, err := os.OpenFile(filepath.Join(args[0], "journal.db"), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	const sharedFirst, sharedSize = 0x40000002, 510 // SQLite's file format
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: sharedFirst, Len: sharedSize}
	fmt.Println(syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &lock) == nil)
	return nil
}

// TestReaderKeepsTheWritersLocks: a process loses its POSIX locks on a file when
// it closes any descriptor of it. A reader in the writer's process must not do
// that, or else another program takes the log away from under the writer.
func TestReaderKeepsTheWritersLocks(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	put(t, ledgerOf(t, j, someScope), delivered(1))
	same(t, help(t, "lock", dir), "false\n")
	shut(t, openReader(t, dir))
	same(t, help(t, "lock", dir), "false\n")
	shut(t, j)
	same(t, help(t, "lock", dir), "true\n")
}
