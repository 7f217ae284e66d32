package private

import (
	"errors"
	"os"
	"path/filepath"
)

// Write makes a file with this text, or replaces the one that has its name. Whoever
// reads it gets the old text or the new one, never a part, even after a power loss.
func Write(name string, text []byte) error {
	// The name of one that a crash left behind would be in the way for ever.
	fresh := name + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	file, err := Open(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(fresh, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	return SyncDir(filepath.Dir(name))
}
