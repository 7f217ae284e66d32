package private

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// ErrLocked means that another open file has the lock.
var ErrLocked = errors.New("locked")

// lockOffset is where the locked byte is: behind the text, because nobody else
// can read a byte that is locked.
const lockOffset = 1 << 20

// Lock takes the lock of an open file without waiting.
func Lock(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	at := &windows.Overlapped{Offset: lockOffset}
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}

// Open opens a file; links need a privilege of their own on Windows.
func Open(name string, flag int) (*os.File, error) {
	return os.OpenFile(name, flag, 0o600)
}

// SyncDir does nothing: NTFS keeps names by a log of its own.
func SyncDir(string) error { return nil }

// Exposed finds nothing: this system's permissions are not in the mode.
func Exposed(fs.FileInfo) bool { return false }
