package journal

import "context"

// Renew implements Journal.
func (s *store) Renew(ctx context.Context) (notes []string, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if s.lock == nil || s.era.broken == nil {
		return nil, nil
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
	s.seed = next.seed
	s.rebuilt = s.rebuilt || next.rebuilt
	s.notes = append(s.notes, next.notes...)
	return next.notes, nil
}
