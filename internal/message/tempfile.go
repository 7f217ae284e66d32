package message

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/popferry/popferry/internal/fault"
)

// tempFile is a file of the spool. Where the system allows, it has no name, so
// that it is gone whenever the process is.
type tempFile struct {
	*os.File
	name string // to remove at the end; "" when it is removed already
}

// tempName is the pattern of the names that temporary files have at first.
const tempName = "popferry-*.eml"

// CleanSpool removes from a folder what a process that was killed may have left of
// its large messages. The caller sees to it that no other process uses the folder
// now. The class of an error is fault.State.
func CleanSpool(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if ours, _ := filepath.Match(tempName, e.Name()); ours && e.Type().IsRegular() {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	if err != nil {
		return spoolFault("remove", err)
	}
	return nil
}

// newTempFile makes a file that is new and readable by its owner only.
func newTempFile(dir string) (*tempFile, error) {
	f, err := os.CreateTemp(dir, tempName)
	if err != nil {
		return nil, spoolFault("make", err)
	}
	t := &tempFile{File: f, name: f.Name()}
	if os.Remove(t.name) == nil {
		t.name = ""
	}
	return t, nil
}

func (t *tempFile) write(p []byte) error {
	if _, err := t.Write(p); err != nil {
		return spoolFault("write", err)
	}
	return nil
}

// close removes the file; a nil one is none.
func (t *tempFile) close() error {
	if t == nil {
		return nil
	}
	err := t.Close()
	if t.name != "" {
		err = errors.Join(err, os.Remove(t.name))
	}
	if err != nil {
		return spoolFault("close", err)
	}
	return nil
}

func spoolFault(verb string, err error) error {
	return fault.New(fault.State, "cannot %s a temporary file for a large message: %w", verb, err).
		WithHint("check that the folder exists, may be written to, and has room")
}

// errClosed is the error for a message that is used after Close.
func errClosed() error {
	return fault.New(fault.Internal, "message used after it was closed: %w", os.ErrClosed)
}
