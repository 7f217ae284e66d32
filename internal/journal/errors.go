package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/popferry/popferry/internal/fault"
)

// classify makes an error of the state of whatever the database says. What is
// already classified, and nil, pass through.
func (s *store) classify(doing string, err error) error {
	var classified *fault.Error
	if err == nil || errors.As(err, &classified) {
		return err
	}
	return stateError(s.dir, doing, err)
}

// stateError says that the journal in dir can't be used, and what to look at.
func stateError(dir, doing string, err error) *fault.Error {
	return fault.New(fault.State, "%s the journal in %s: %w", doing, dir, plain(err)).
		WithHint("%s", stateHint(dir, err))
}

func stateHint(dir string, err error) string {
	code := resultCode(err)
	switch {
	case code == sqlite3.SQLITE_FULL, errors.Is(err, syscall.ENOSPC),
		errors.Is(err, syscall.EDQUOT):
		return "free some space on the disk that holds " + dir +
			"; mail that was not recorded is still on POP3"
	case code == sqlite3.SQLITE_READONLY, code == sqlite3.SQLITE_PERM,
		code == sqlite3.SQLITE_CANTOPEN, errors.Is(err, fs.ErrPermission),
		errors.Is(err, syscall.EROFS):
		return "check that " + dir + " is on a disk that can be written, and that it and " +
			"its files belong to the user who runs popferry"
	case isDamage(err):
		return "the next run puts the damaged journal aside and rebuilds it from the destination"
	case errors.Is(err, syscall.ENOTDIR):
		return "name a directory with --state"
	}
	return "check the disk that holds " + dir + ", its free space and the system's log"
}

// resultCode returns SQLite's primary result code, or 0 if err is not from it.
func resultCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// isBusy reports that another process holds a lock in the database.
func isBusy(err error) bool { return resultCode(err) == sqlite3.SQLITE_BUSY }

// isDamage reports that the database's bytes can't be what SQLite wrote.
func isDamage(err error) bool {
	code := resultCode(err)
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB ||
		errors.Is(err, errDamaged)
}

// errDamaged is damage that was found by looking, not by SQLite.
var errDamaged = errors.New("the database is damaged")

// plain keeps the text of an error from SQLite and drops its type, which is
// nothing for our callers to depend on.
func plain(err error) error {
	if resultCode(err) == 0 {
		return err
	}
	return errors.New(fault.Escape(err.Error()))
}

// invalid is an error for a call that can't be right whatever the disk does.
func invalid(format string, args ...any) error {
	return fault.New(fault.Internal, "journal: %s", fmt.Sprintf(format, args...))
}

// placeholders gives n question marks between parentheses.
func placeholders(n int) string {
	return "(" + strings.TrimSuffix(strings.Repeat("?,", n), ",") + ")"
}
