package journal

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"

	"github.com/popferry/popferry/internal/fault"
)

// inspect looks at a database without changing it: that is why it does not use
// a writing connection, which on closing would move the log into the database.
// Only what was begun before there was such a log is taken back first.
// It returns nil for a sound journal of this version or an older one,
// os.ErrNotExist if there is none, damage (see isDamage), or why it can't be
// used. Only a thorough inspection reads it all.
func inspect(dir string, thorough bool) error {
	if err := fileState(filepath.Join(dir, dbName)); err != nil {
		return err
	}
	if err := rollBack(dir); err != nil {
		return err
	}
	s, err := openDatabase(dir, "ro")
	if err != nil {
		return err
	}
	defer s.abandon()
	return s.check(context.Background(), thorough)
}

// rollBack takes back a transaction that was cut off while the database was not in
// WAL mode yet, such as the one that makes it so. Its file may be torn, and says what
// it is, damage included, only after that; and no reading connection can do it.
func rollBack(dir string) error {
	if !exists(filepath.Join(dir, dbName+rollbackSuffix)) {
		return nil
	}
	s, err := openDatabase(dir, "rw")
	if err != nil {
		return err
	}
	defer s.abandon()
	_, err = userVersion(context.Background(), s.conn)
	return err
}

func (s *store) check(ctx context.Context, thorough bool) error {
	version, err := userVersion(ctx, s.conn)
	if err != nil {
		return err
	}
	if err := s.checkVersion(ctx, version); err != nil || !thorough {
		return err
	}
	return quickCheck(ctx, s.conn)
}

// checkVersion refuses what is not ours to touch.
func (s *store) checkVersion(ctx context.Context, version int) error {
	var id, tables int
	if err := s.conn.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return err
	}
	row := s.conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema")
	if err := row.Scan(&tables); err != nil {
		return err
	}
	switch known := len(migrations()); {
	case id != applicationID && tables > 0:
		return fault.New(fault.State, "%s in %s is a database of another program", dbName, s.dir).
			WithHint("name another state directory with --state")
	case version > known:
		return fault.New(fault.Config, "the journal in %s has the version %d, and this popferry "+
			"knows versions up to %d", s.dir, version, known).
			WithHint("use the popferry that wrote it, or a newer one; nothing was changed")
	}
	return nil
}

func userVersion(ctx context.Context, conn *sql.Conn) (version int, err error) {
	err = conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return version, err
}

// quickCheck reads every page. It does not compare the indexes with the rows.
func quickCheck(ctx context.Context, conn *sql.Conn) error {
	var verdict string
	if err := conn.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, verdict)
	}
	return nil
}
