package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/popferry/popferry/internal/fault"
)

// store is an open database. All access goes through read and write, one at a
// time: SQLite has one writer anyway, and one connection means one page cache.
type store struct {
	dir string
	db  *sql.DB
	// gate holds the right to use what is below. It is a channel so that
	// waiting for it ends with the context.
	gate   chan struct{}
	conn   *sql.Conn
	stmts  map[string]*sql.Stmt
	era    *era
	closed bool
	// seed is the instance id, the key of the hashes.
	seed []byte

	lock    *lock       // nil for a reader
	file    os.FileInfo // of the database, for its writer
	rebuilt bool
	notes   []string
}

func newStore(ctx context.Context, dir string, db *sql.DB) (*store, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &store{
		dir: dir, db: db, conn: conn,
		gate:  make(chan struct{}, 1),
		stmts: make(map[string]*sql.Stmt),
		era:   &era{},
	}, nil
}

// era is the time from one opening of the database to the next, and the right to use it of
// all that was handed out then.
type era struct {
	// broken is the first failure of a write, for ever.
	broken error
}

// refusal is the answer to who comes after that failure.
func (e *era) refusal() error {
	return fault.New(fault.State, "no more writes after: %w", e.broken).
		WithHint("%s", fault.HintOf(e.broken))
}

// access is a store as it was in an era, to those who hold on to what they know of it.
type access struct {
	*store
	since *era
}

// enter takes the gate, unless the context is done or the journal closed.
func (s *store) enter(ctx context.Context) error {
	select {
	case s.gate <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	err := ctx.Err()
	if err == nil && s.closed {
		err = fault.New(fault.Internal, "the journal in %s is closed", s.dir)
	}
	if err != nil {
		s.leave()
	}
	return err
}

func (s *store) leave() { <-s.gate }

// read runs fn with the database to itself. It must be short: a context stops
// nothing inside, because SQLite answers an interruption by giving up the
// connection with all that is prepared on it.
func (s *store) read(ctx context.Context, fn func(query) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.readNow(ctx, fn)
}

// read is that of the store, in the era of the access only.
func (a access) read(ctx context.Context, fn func(query) error) error {
	if err := a.enter(ctx); err != nil {
		return err
	}
	defer a.leave()
	if a.since != a.era {
		return a.since.refusal()
	}
	return a.readNow(ctx, fn)
}

func (s *store) readNow(ctx context.Context, fn func(query) error) error {
	err := fn(query{s, context.WithoutCancel(ctx)})
	if s.lock != nil && isDamage(err) {
		// The mark of an unclean end stays, so that the next Open looks at all of
		// the database and puts it aside.
		return s.breakWith(err)
	}
	return s.classify("read", err)
}

// write runs fn in a transaction and makes it durable. This is the one place
// from which the database is changed after it was opened.
func (s *store) write(ctx context.Context, fn func(query) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.writeNow(ctx, fn)
}

// write is that of the store, in the era of the access only.
func (a access) write(ctx context.Context, fn func(query) error) error {
	if err := a.enter(ctx); err != nil {
		return err
	}
	defer a.leave()
	if a.since != a.era {
		return a.since.refusal()
	}
	return a.writeNow(ctx, fn)
}

func (s *store) writeNow(ctx context.Context, fn func(query) error) error {
	if s.lock == nil {
		return fault.New(fault.Internal, "the journal in %s is open for reading only", s.dir)
	}
	if s.era.broken != nil {
		return s.era.refusal()
	}
	if err := s.inPlace(); err != nil {
		return err
	}
	q := query{s, context.WithoutCancel(ctx)}
	if err := q.exec("BEGIN IMMEDIATE"); isBusy(err) {
		return fault.New(fault.Temporary, "the journal in %s is locked by another program", s.dir).
			WithHint("close whatever has journal.db open for writing")
	} else if err != nil {
		return s.breakWith(err)
	}
	return s.finish(q, fn(q))
}

// finish ends a transaction whose statements ended with err.
func (s *store) finish(q query, err error) error {
	if err == nil {
		err = q.exec("COMMIT")
	}
	if err == nil {
		return nil
	}
	// After a full disk and the like SQLite has rolled back by itself, and then
	// this fails, so only what the connection says afterwards counts.
	rollback := q.exec("ROLLBACK")
	var refused *fault.Error
	if errors.As(err, &refused) && rollback == nil {
		return err // what we were asked was wrong, not the disk
	}
	return s.breakWith(err)
}

func (s *store) breakWith(err error) error {
	s.era.broken = s.classify("write", err)
	return s.era.broken
}

// Close implements Journal.
func (s *store) Close() error {
	s.gate <- struct{}{}
	defer s.leave()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.closeDatabase()
	if s.lock != nil {
		// The mark of an unclean end stays when anything went wrong, so that
		// the next Open looks at the whole database.
		err = errors.Join(err, s.lock.release(err == nil && s.era.broken == nil))
	}
	if err != nil {
		return stateError(s.dir, "close", err)
	}
	return nil
}

func (s *store) closeDatabase() error {
	var errs []error
	for _, stmt := range s.stmts {
		errs = append(errs, stmt.Close())
	}
	if s.lock != nil && s.era.broken == nil {
		// Emptying the log lets a reader open a journal that it can't write
		// beside. Another reader may be in the way, which does no harm.
		_, err := s.conn.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
		errs = append(errs, err)
	}
	return errors.Join(append(errs, s.conn.Close(), s.db.Close())...)
}

// abandon closes what could not be opened. The error that is known already is
// the one that matters.
func (s *store) abandon() {
	_ = s.conn.Close()
	_ = s.db.Close()
}

// Rebuilt implements Journal.
func (s *store) Rebuilt() bool {
	s.gate <- struct{}{}
	defer s.leave()
	return s.rebuilt
}

// Notes implements Journal.
func (s *store) Notes() []string {
	s.gate <- struct{}{}
	defer s.leave()
	return append([]string(nil), s.notes...)
}

// query is the right to use the database until read or write return.
type query struct {
	*store
	ctx context.Context // never done
}

// prepare keeps statements for the life of the journal. Their texts are
// constants or lists of a few fixed lengths, so there are few.
func (q query) prepare(text string) (*sql.Stmt, error) {
	if stmt := q.stmts[text]; stmt != nil {
		return stmt, nil
	}
	stmt, err := q.conn.PrepareContext(q.ctx, text)
	if err != nil {
		return nil, err
	}
	q.stmts[text] = stmt
	return stmt, nil
}

func (q query) exec(text string, args ...any) error {
	stmt, err := q.prepare(text)
	if err != nil {
		return err
	}
	_, err = stmt.ExecContext(q.ctx, args...)
	return err
}

// insert runs an INSERT into a table with an id and returns the new one.
func (q query) insert(text string, args ...any) (int64, error) {
	stmt, err := q.prepare(text)
	if err != nil {
		return 0, err
	}
	res, err := stmt.ExecContext(q.ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// one reads one row of columns. Without a row it leaves dest alone.
func (q query) one(text string, args []any, dest ...any) (found bool, err error) {
	stmt, err := q.prepare(text)
	if err != nil {
		return false, err
	}
	err = stmt.QueryRowContext(q.ctx, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// each calls fn for every row, which scan has put where dest points to.
func (q query) each(text string, args, dest []any, fn func() error) error {
	stmt, err := q.prepare(text)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(q.ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return fmt.Errorf("scan: %w", err)
		}
		if err := fn(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// page is how many rows a read takes in at a time.
const page = 512

// lookups is the longest list of values that one statement looks up.
const lookups = 100

// inList gives placeholders for at most lookups values, and the values for them.
// The list is filled up with its last value to one of three lengths, to keep the
// number of statements small.
func inList(values []any) (list string, args []any) {
	args = append(make([]any, 0, lookups+1), values...)
	for n := len(args); n != 1 && n != lookups/10 && n != lookups; n++ {
		args = append(args, values[len(values)-1])
	}
	return placeholders(len(args)), args
}

// inLists calls fn with such lists until all values were in one.
func inLists(values []any, fn func(list string, args []any) error) error {
	for piece := range slices.Chunk(values, lookups) {
		if err := fn(inList(piece)); err != nil {
			return err
		}
	}
	return nil
}
