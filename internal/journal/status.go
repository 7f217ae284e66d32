package journal

import "context"

// Scopes implements Journal.
func (s *store) Scopes(ctx context.Context) ([]Status, error) {
	var all []Status
	err := s.read(ctx, func(q query) error {
		var ids []int64
		var id int64
		var c Scope
		err := q.each(`SELECT id, account, source_host, source_user, dest_host, dest_user, folder
			FROM scope ORDER BY id`, nil, []any{&id, &c.Account, &c.SourceHost, &c.SourceUser,
			&c.DestHost, &c.DestUser, &c.Folder}, func() error {
			ids, all = append(ids, id), append(all, Status{Scope: c})
			return nil
		})
		for i := 0; err == nil && i < len(ids); i++ {
			err = q.status(ids[i], &all[i])
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (q query) status(scope int64, st *Status) (err error) {
	if st.Counts, err = q.counts(scope); err != nil {
		return err
	}
	st.LastRun, err = q.fact(scope, LastRun)
	return err
}
