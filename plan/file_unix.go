//go:build unix

package plan

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// openPrompt opens a file for reading, without waiting for the writer of a pipe.
func openPrompt(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// loose says why an open file with a secret in it is not safe, or "". A pipe has
// no readers but us.
func loose(path string, info fs.FileInfo) string {
	const others = 0o066
	if !info.Mode().IsRegular() || info.Mode()&others == 0 {
		return ""
	}
	return looseText(path, info.Mode())
}

// granted reports a file of somebody else's that only its group bits make look
// open: systemd lets a unit's user read a credential of root's by an access control
// list, whose mask is shown in their place (acl(5)).
func granted(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) != os.Geteuid() && info.Mode()&0o026 == 0
}

// looseText says that a file with this mode is open to others, and the remedy.
func looseText(path string, mode fs.FileMode) string {
	if full, err := filepath.Abs(path); err == nil {
		path = full
	}
	return fmt.Sprintf("is open to other users (mode %04o); run: chmod 600 %s",
		mode.Perm(), shellQuote(path))
}

// shellQuote makes a path safe to paste into a shell.
func shellQuote(path string) string {
	plain := "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,@%"
	if strings.Trim(path, plain) == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
