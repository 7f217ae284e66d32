//go:build !windows

package private

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// ErrLocked means that another open file has the lock.
var ErrLocked = errors.New("locked")

// Lock takes the lock of an open file without waiting.
func Lock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return ErrLocked
		default:
			return err
		}
	}
}

// Open opens a file that only we may read, but not through a link.
func Open(name string, flag int) (*os.File, error) {
	return os.OpenFile(name, flag|syscall.O_NOFOLLOW, 0o600)
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Exposed reports a file or a directory that others have access to.
func Exposed(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }
