package journal

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/popferry/popferry/internal/fault"
)

// OpenReader opens the journal in a state directory for reading, while a run may
// be writing it. Every write fails with the code [fault.Internal].
//
// Where the reader can't write the directory, a journal of a run that ended
// cleanly can be read, and one that a run is writing too; one whose run ended
// otherwise can't, because only a writer can recover it. Then, and if there is
// no journal (also os.ErrNotExist) or it is damaged, the code is [fault.State];
// [fault.Config] if it is from a newer version of popferry.
func OpenReader(dir string) (Journal, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, stateError(dir, "open", err)
	}
	if err := fileState(filepath.Join(dir, dbName)); err != nil {
		return nil, readerError(dir, err)
	}
	mode := "ro"
	if isAtRest(dir) {
		mode = "rw" // nothing is written, and SQLite takes away the empty log that it makes to read
	}
	s, err := openReading(dir, mode)
	if isUnopenable(err) && logIsEmpty(dir) {
		// Nobody is writing it now, and without write access there can be no
		// lock to keep others out. A page that changes under this reader gives
		// a wrong answer or an error, and the next look is right.
		s, err = openReading(dir, "ro&immutable=1")
	}
	if err != nil {
		return nil, readerError(dir, err)
	}
	return s, nil
}

// openReading opens, checks and identifies a database without changing it.
func openReading(dir, mode string) (*store, error) {
	ctx := context.Background()
	s, err := openDatabase(dir, mode)
	if err != nil {
		return nil, err
	}
	if _, err = s.conn.ExecContext(ctx, "PRAGMA query_only = ON"); err == nil {
		err = s.check(ctx, false)
	}
	if err == nil {
		err = s.current(ctx)
	}
	if err == nil {
		err = s.identify(ctx)
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = os.ErrNotExist // its first writer is about to fill it
	}
	if err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

// current makes sure that the schema is the one that our statements are for.
func (s *store) current(ctx context.Context) error {
	switch version, err := userVersion(ctx, s.conn); {
	case err != nil:
		return err
	case version == 0:
		return os.ErrNotExist
	case version < len(migrations()):
		return fault.New(fault.State, "the journal in %s was written by an older popferry", s.dir).
			WithHint("a run brings it up to date")
	}
	return nil
}

// isUnopenable reports that SQLite wanted to write a file and was not let.
func isUnopenable(err error) bool {
	code := resultCode(err)
	return code == sqlite3.SQLITE_CANTOPEN || code == sqlite3.SQLITE_READONLY
}

// logIsEmpty reports that all there is to read is in the database itself.
func logIsEmpty(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, dbName+"-wal"))
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	return info.Size() == 0
}

// isAtRest reports that there is nothing that a writer would have to recover.
func isAtRest(dir string) bool {
	return !exists(filepath.Join(dir, dbName+rollbackSuffix)) && logIsEmpty(dir)
}

// readerError says why a journal can't be read, and what would help.
func readerError(dir string, err error) error {
	var classified *fault.Error
	switch {
	case errors.As(err, &classified):
		return err
	case errors.Is(err, os.ErrNotExist):
		return fault.New(fault.State, "there is no journal in %s: %w", dir, os.ErrNotExist).
			WithHint("nothing has been run with this state directory yet; check --state")
	case isUnopenable(err) && !logIsEmpty(dir):
		return fault.New(fault.State, "the journal in %s was not closed cleanly, and without "+
			"permission to write there it can't be read: %w", dir, plain(err)).
			WithHint("run popferry once as the user to whom it belongs")
	}
	return stateError(dir, "read", err)
}
