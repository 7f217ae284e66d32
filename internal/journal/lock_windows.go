package journal

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// errLocked means that another open file has the lock.
var errLocked = errors.New("locked")

// lockOffset is where the locked byte is: behind the text, because nobody else
// can read a byte that is locked.
const lockOffset = 1 << 20

// lockFile takes the lock of an open file without waiting.
func lockFile(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	at := &windows.Overlapped{Offset: lockOffset}
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLocked
	}
	return err
}

// openNoFollow opens a file; links need a privilege of their own on Windows.
func openNoFollow(name string, flag int) (*os.File, error) {
	return os.OpenFile(name, flag, 0o600)
}

// syncDir does nothing: NTFS keeps names by a log of its own.
func syncDir(string) error { return nil }
