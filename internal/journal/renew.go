package journal

import (
	"context"
	"path/filepath"

	"github.com/popferry/popferry/internal/fault"
)

// Renew implements Journal.
func (s *store) Renew(ctx context.Context) (notes []string, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if s.lock == nil {
		return nil, nil
	}
	if err := s.inPlace(); err != nil || s.era.broken == nil {
		return nil, err
	}
	// While the disk fails, what is there can still be read.
	if err := probe(s.dir); err != nil {
		return nil, stateError(s.dir, "write", err)
	}
	return s.reopen()
}

// reopen begins another era: nothing of the old connection is believed.
func (s *store) reopen() (notes []string, err error) {
	_ = s.closeDatabase() // it failed already
	s.lock.unclean = true // so that all of the database is looked at
	next, err := openLocked(s.dir, s.lock)
	if err != nil {
		return nil, err
	}
	s.db, s.conn, s.stmts, s.era = next.db, next.conn, next.stmts, next.era
	s.seed, s.file = next.seed, next.file
	s.rebuilt = s.rebuilt || next.rebuilt
	s.notes = append(s.notes, next.notes...)
	return next.notes, nil
}

// inPlace makes sure that what is written can be found by the next Open: a file that has
// lost its name, or whose directory has, still takes all that is written to it.
func (s *store) inPlace() error {
	ok, err := s.lock.inPlace(s.dir)
	if ok && err == nil {
		ok, err = isFile(filepath.Join(s.dir, dbName), s.file)
	}
	switch {
	case err != nil:
		return stateError(s.dir, "look after", err)
	case !ok:
		return fault.New(fault.State, "the journal in %s was removed or replaced while popferry was using it", s.dir).
			WithHint("nothing is delivered until popferry is started again; stop it before the directory is moved, " +
				"removed or restored from a backup")
	}
	return nil
}
