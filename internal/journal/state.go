package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/popferry/popferry/internal/private"
)

// makeDir makes a state directory that only we may enter, whatever the umask,
// and returns its absolute name. One that exists is left as it is: its owner
// chose its mode, and our files in it are private anyway.
func makeDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", stateError(dir, "create", err)
	}
	if _, err := os.Stat(abs); err == nil {
		return abs, nil
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return "", stateError(abs, "create", err)
	}
	if err := errors.Join(os.Chmod(abs, 0o700), private.SyncDir(filepath.Dir(abs))); err != nil {
		return "", stateError(abs, "create", err)
	}
	return abs, nil
}

// probe finds out whether a disk that is full or read-only would stop the run,
// before any server is asked anything. It writes as much as a small batch.
func probe(dir string) error {
	name := filepath.Join(dir, "journal.probe")
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := private.Open(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 1<<16))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(name))
}

// makeFile makes an empty file that only we may read, if it does not exist.
// SQLite gives its other files the same mode.
func makeFile(name string) error {
	f, err := private.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Sync(), f.Close(), private.SyncDir(filepath.Dir(name)))
}

// fileState says what is known of a database file without opening it. Only SQLite
// may do that: a process that closes any descriptor of a file loses its POSIX
// locks on it, also those of another connection that it has.
func fileState(name string) error {
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return orphaned(name, err)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", name)
	case info.Size() == 0:
		return orphaned(name, os.ErrNotExist)
	}
	return nil
}

// orphaned returns absent, unless there is a log without its database: what it
// holds is lost, and a new database must never meet it.
func orphaned(name string, absent error) error {
	info, err := os.Lstat(name + "-wal")
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && info.Size() == 0:
		return absent
	case err != nil:
		return err
	}
	return errDamaged
}

// setAside renames a damaged database and its log, so that they can still be
// opened together, and returns the new name. The database goes first: without
// its log it would be an older state that looks sound.
func setAside(dir string, now time.Time) (string, error) {
	stem := dbName + ".corrupt-" + now.UTC().Format("20060102T150405Z")
	aside := stem
	for n := 2; exists(filepath.Join(dir, aside)) || exists(filepath.Join(dir, aside+"-wal")); n++ {
		aside = fmt.Sprintf("%s-%d", stem, n)
	}
	for _, suffix := range [...]string{"", "-wal", "-shm", rollbackSuffix} {
		from := filepath.Join(dir, dbName+suffix)
		err := os.Rename(from, filepath.Join(dir, aside+suffix))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return aside, private.SyncDir(dir)
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
