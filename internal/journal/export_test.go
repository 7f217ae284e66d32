package journal

import (
	"context"
	"strings"
)

// Plans returns how SQLite would carry out every statement that a journal has
// used so far.
func Plans(j Journal) (map[string][]string, error) {
	s := j.(*store)
	plans := make(map[string][]string)
	for text := range s.stmts {
		var id, parent, unused int
		var detail string
		args := make([]any, strings.Count(text, "?"))
		rows, err := s.conn.QueryContext(context.Background(), "EXPLAIN QUERY PLAN "+text, args...)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				return nil, err
			}
			plans[text] = append(plans[text], detail)
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
		rows.Close()
	}
	return plans, nil
}

// Setting returns the value of a PRAGMA.
func Setting(j Journal, name string) (value string, err error) {
	row := j.(*store).conn.QueryRowContext(context.Background(), "PRAGMA "+name)
	err = row.Scan(&value)
	return value, err
}

// Impatient makes a journal give up at once where another program has a lock.
func Impatient(j Journal) error {
	_, err := j.(*store).conn.ExecContext(context.Background(), "PRAGMA busy_timeout = 1")
	return err
}

// KeyHash is what the index for keys holds for a key of a journal's first scope.
func KeyHash(j Journal, key string) int64 {
	return query{store: j.(*store)}.keyHash(1, key)
}
