package report

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/popferry/popferry/internal/fault"
)

// formatOf chooses the form of a file by the end of its name.
func formatOf(path string) (format, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".json":
		return jsonFormat{}, nil
	case ".csv":
		return csvFormat{}, nil
	case ".html", ".htm":
		return htmlFormat{}, nil
	}
	return nil, fault.New(fault.Usage, "--report %s: the name has to end in .json, .csv or .html",
		fault.Escape(path)).WithHint("name it report.html to read it, report.csv for a spreadsheet")
}

// writable checks that a file can be made where it is to be, so that hours of work
// are not done for a report that then has no place.
func writable(path string) error {
	probe, err := os.CreateTemp(filepath.Dir(path), ".popferry-*")
	if err != nil {
		return fileError(path, err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return fileError(path, err)
	}
	return nil
}

// WriteFile puts what write writes into a file that only its owner can read. A
// reader sees the old contents or the new ones, never a part, even after a power
// loss. Errors have the code [fault.State].
func WriteFile(path string, write func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".popferry-*") // with mode 0600
	if err != nil {
		return fileError(path, err)
	}
	err = write(file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return fileError(path, errors.Join(err, os.Remove(file.Name())))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the new name durable. Systems that can't open or sync a directory
// do it on their own.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	if err := d.Sync(); errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EIO) {
		return fileError(dir, err)
	}
	return nil
}

func fileError(path string, err error) error {
	var inner *os.PathError
	if errors.As(err, &inner) {
		err = inner.Err // without the name of the temporary file
	}
	return fault.New(fault.State, "write %s: %w", path, err).
		WithHint("check that the folder exists, that you may write there, and that the disk is not full")
}
