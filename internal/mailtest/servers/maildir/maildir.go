// Package maildir writes and reads the Maildirs of servers that are at rest.
package maildir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Make makes an empty Maildir that belongs to a user.
func Make(dir string, uid, gid int) error {
	for _, name := range []string{"", "tmp", "new", "cur"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		if err := os.Chown(path, uid, gid); err != nil {
			return err
		}
	}
	return nil
}

// Deliver puts messages into a Maildir, byte by byte and in their order.
func Deliver(dir string, uid, gid int, messages ...[]byte) error {
	entries, err := os.ReadDir(filepath.Join(dir, "new"))
	if err != nil {
		return err
	}
	for i, raw := range messages {
		name := fmt.Sprintf("%d.%d.example", 1_400_000_000+len(entries)+i, len(entries)+i)
		path := filepath.Join(dir, "tmp", name)
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			return err
		}
		if err := os.Chown(path, uid, gid); err != nil {
			return err
		}
		if err := os.Rename(path, filepath.Join(dir, "new", name)); err != nil {
			return err
		}
	}
	return nil
}

// Read returns the messages of a Maildir, none if there is no such directory.
func Read(dir string) ([][]byte, error) {
	var messages [][]byte
	for _, name := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, entry := range entries {
			raw, err := os.ReadFile(filepath.Join(dir, name, entry.Name()))
			if err != nil {
				return nil, err
			}
			messages = append(messages, raw)
		}
	}
	return messages, nil
}
