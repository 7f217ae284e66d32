//go:build !unix

package plan

import (
	"io/fs"
	"os"
)

// openPrompt opens a file for reading.
func openPrompt(path string) (*os.File, error) { return os.Open(path) }

// loose finds nothing: this system's permissions are not in the mode.
func loose(string, fs.FileInfo) string { return "" }

// granted is not needed where nothing is loose.
func granted(fs.FileInfo) bool { return false }
