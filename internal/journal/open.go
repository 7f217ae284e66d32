package journal

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/private"
)

// dbName is the database in the state directory.
const dbName = "journal.db"

// rollbackSuffix names the file from which SQLite takes back a transaction in a
// database that is not in WAL mode.
const rollbackSuffix = "-journal"

// settings hold for every connection: wait for a checkpoint of another process,
// keep 8 MB of pages, map no files (an error of the disk would be a signal then),
// and look at pages before they are believed.
var settings = [...]string{
	"PRAGMA busy_timeout = 10000",
	"PRAGMA cache_size = -8000",
	"PRAGMA mmap_size = 0",
	"PRAGMA temp_store = MEMORY",
	"PRAGMA cell_size_check = ON",
	"PRAGMA trusted_schema = OFF",
}

// writerSettings make a commit durable when it returns, on macOS too, and move
// the log into the database every 8 MB.
var writerSettings = [...]string{
	"PRAGMA page_size = 4096",
	"PRAGMA synchronous = FULL",
	"PRAGMA fullfsync = ON",
	"PRAGMA checkpoint_fullfsync = ON",
	"PRAGMA wal_autocheckpoint = 2000",
	"PRAGMA journal_size_limit = 16777216",
}

// Open opens the journal in a state directory for reading and writing and makes
// both if need be. It fails with
//
//   - [fault.Temporary] if another process has it open for writing, and says who;
//   - [fault.State] if the directory can't be written, which is tried out;
//   - [fault.Config] if the journal is from a newer version of popferry. It is
//     left as it is then.
//
// A damaged journal is renamed to journal.db.corrupt-<UTC time> and a new one is
// made: see [Journal.Rebuilt]. To find damage the whole database is read, but
// only if the last writer did not end cleanly.
func Open(dir string) (Journal, error) { return OpenAs(dir, "run") }

// OpenAs is Open for another verb than run: who finds the journal taken is told of it.
func OpenAs(dir, verb string) (Journal, error) {
	dir, err := makeDir(dir)
	if err != nil {
		return nil, err
	}
	lock, err := acquireLock(dir, verb)
	if err != nil {
		return nil, err
	}
	s, err := openLocked(dir, lock)
	if err != nil {
		_ = lock.release(false)
		return nil, err
	}
	return s, nil
}

func openLocked(dir string, l *lock) (*store, error) {
	if err := probe(dir); err != nil {
		return nil, stateError(dir, "write", err)
	}
	aside, err := prepare(dir, l.unclean)
	if err != nil {
		return nil, err
	}
	s, err := openDatabase(dir, "rw")
	if err != nil {
		return nil, stateError(dir, "open", err)
	}
	s.lock = l
	if err = s.start(aside); err == nil {
		s.file, err = os.Stat(filepath.Join(dir, dbName))
	}
	if err != nil {
		s.abandon()
		return nil, stateError(dir, "open", err)
	}
	return s, nil
}

// prepare leaves a database that can be opened, and says where a damaged one
// was put; "" if there was none.
func prepare(dir string, thorough bool) (aside string, err error) {
	err = inspect(dir, thorough)
	if isDamage(err) {
		if aside, err = setAside(dir, time.Now()); err != nil {
			return "", stateError(dir, "put aside", err)
		}
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		var classified *fault.Error
		if errors.As(err, &classified) {
			return "", err
		}
		return "", stateError(dir, "open", err)
	}
	if err := makeFile(filepath.Join(dir, dbName)); err != nil {
		return "", stateError(dir, "create", err)
	}
	return aside, nil
}

// start makes a writer of a connection: settings, migrations, notes.
func (s *store) start(aside string) error {
	ctx := context.Background()
	for _, text := range writerSettings {
		if _, err := s.conn.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	var mode string
	if err := s.conn.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the file system has no shared memory for a write-ahead log (%s)", mode)
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	if err := private.SyncDir(s.dir); err != nil {
		return err
	}
	if aside != "" {
		s.rebuilt = true
		s.note("the journal was damaged; it is kept as %s and a new one was begun, so what is "+
			"delivered already is found out again", aside)
	}
	s.keepPrivate()
	return s.identify(ctx)
}

// migrate brings the schema to the latest version, version by version.
func (s *store) migrate(ctx context.Context) error {
	version, err := userVersion(ctx, s.conn)
	if err != nil {
		return err
	}
	for i, text := range migrations() {
		if i < version {
			continue
		}
		text = fmt.Sprintf("BEGIN IMMEDIATE; %s PRAGMA application_id = %d; "+
			"PRAGMA user_version = %d; COMMIT", text, applicationID, i+1)
		if _, err := s.conn.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("schema version %d: %w", i+1, err)
		}
	}
	return nil
}

// keepPrivate takes away what others may do with a database that came from a
// backup, say. Not every file system can.
func (s *store) keepPrivate() {
	name := filepath.Join(s.dir, dbName)
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm()&0o077 == 0 || runtime.GOOS == "windows" {
		return
	}
	if err := os.Chmod(name, 0o600); err != nil {
		s.note("others may read the journal in %s; run chmod 600 on its files", s.dir)
	}
}

func (s *store) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// identify reads the instance, or makes one, and compares the machine.
func (s *store) identify(ctx context.Context) error {
	here, err := os.Hostname()
	if err != nil {
		here = "" // not known, so nothing to compare
	}
	var host string
	row := s.conn.QueryRowContext(ctx, "SELECT id, host FROM instance")
	err = row.Scan(&s.seed, &host)
	if errors.Is(err, sql.ErrNoRows) && s.lock != nil {
		s.seed, host = make([]byte, 16), here
		rand.Read(s.seed) // never fails
		_, err = s.conn.ExecContext(ctx,
			"INSERT INTO instance (id, host, created) VALUES (?, ?, ?)",
			s.seed, host, time.Now().UnixMilli())
	}
	if err == nil && host != here && here != "" {
		s.note("the journal in %s was made on the machine %s and this is %s: two machines that "+
			"work with copies of a journal deliver mail twice",
			s.dir, fault.Escape(host), fault.Escape(here))
	}
	return err
}

// openDatabase connects to the database file, which exists, in a mode that
// SQLite knows: "rw", "ro" or "ro&immutable=1".
func openDatabase(dir, mode string) (*store, error) {
	ctx := context.Background()
	path := filepath.ToSlash(filepath.Join(dir, dbName))
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a drive letter
	}
	file := url.URL{Scheme: "file", Path: path, RawQuery: "mode=" + mode}
	db, err := sql.Open("sqlite", file.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	s, err := newStore(ctx, dir, db)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	for _, text := range settings {
		if _, err := s.conn.ExecContext(ctx, text); err != nil {
			s.abandon()
			return nil, err
		}
	}
	return s, nil
}
