package message_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/message"
)

// spoolFiles finds the open files of this process that were made in a folder and
// have no name any more. It uses /proc, hence Linux.
func spoolFiles(t *testing.T, dir string) (paths []string) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		target, _ := os.Readlink(fd)
		if strings.HasPrefix(target, dir+"/") && strings.HasSuffix(target, "(deleted)") {
			paths = append(paths, fd)
		}
	}
	return paths
}

// TestTempFileIsPrivate holds that a large message is in a file that only its
// owner could read, and that no other process finds: whatever ends this one,
// nothing is left behind.
func TestTempFileIsPrivate(t *testing.T) {
	dir := t.TempDir()
	s := &message.Spool{Dir: dir, Memory: 1}
	m := receive(t, s, strings.NewReader("Subject: secret\r\n\r\n"))
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("in the folder: %v, %v", left, err)
	}
	files := spoolFiles(t, dir)
	if len(files) != 1 {
		t.Fatalf("%d open files, want 1", len(files))
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v: %v", info.Mode(), err)
	}
	if err := m.Close(); err != nil || len(spoolFiles(t, dir)) != 0 {
		t.Errorf("still open after Close: %v", err)
	}
}

// TestTempFileIsClosedOnFailure lets the reader, and the limit, end a message
// that is in a file already.
func TestTempFileIsClosedOnFailure(t *testing.T) {
	dir := t.TempDir()
	s := &message.Spool{Dir: dir, Memory: 1, Max: 50_000}
	cut := io.MultiReader(strings.NewReader(strings.Repeat("x", 40_000)), iotestErr{})
	for _, r := range []io.Reader{cut, strings.NewReader(strings.Repeat("x", 60_000))} {
		if _, err := s.Receive(r); err == nil {
			t.Error("no error")
		}
		if n := len(spoolFiles(t, dir)); n != 0 {
			t.Errorf("%d files are open", n)
		}
	}
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestTempFileChanged cuts the file behind the back of its message: what is left
// must never be delivered as if it were all.
func TestTempFileChanged(t *testing.T) {
	for _, left := range []int64{0, 10, 16 << 10, 39_999} {
		dir := t.TempDir()
		s := &message.Spool{Dir: dir, Memory: 1}
		m := receive(t, s, strings.NewReader(strings.Repeat("x", 40_000)))
		if err := os.Truncate(spoolFiles(t, dir)[0], left); err != nil {
			t.Fatal(err)
		}
		n, err := m.WriteTo(io.Discard)
		if fault.CodeOf(err) != fault.State || n != left {
			t.Errorf("wrote %d of %d octets: %v", n, left, err)
		}
	}
}

// TestTempFileCannotBeWritten runs itself in a process that may not write files
// over 20,000 octets, as if the disk were full.
func TestTempFileCannotBeWritten(t *testing.T) {
	const marker = "POPFERRY_TEST_FILE_LIMIT"
	if dir := os.Getenv(marker); dir != "" {
		writeUnderLimit(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestTempFileCannotBeWritten$", "-test.v")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s", marker, t.TempDir()))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "refused as it should be") {
		t.Errorf("%v\n%s", err, out)
	}
}

func writeUnderLimit(t *testing.T, dir string) {
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 20_000, Max: 20_000}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	s := &message.Spool{Dir: dir, Memory: 1}
	for _, size := range []int{20_001, 40_000} { // at the end, and amid
		_, err := s.Receive(strings.NewReader(strings.Repeat("x", size)))
		if fault.CodeOf(err) != fault.State || fault.HintOf(err) == "" {
			t.Fatalf("%d octets: error %v", size, err)
		}
		if n := len(spoolFiles(t, dir)); n != 0 {
			t.Fatalf("%d files are open", n)
		}
	}
	t.Log("refused as it should be")
}
