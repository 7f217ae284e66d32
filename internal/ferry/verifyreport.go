package ferry

import (
	"context"
	"sync"

	"github.com/popferry/popferry/internal/fault"
)

// VerifyReport is what [Verify] saw: the JSON of `popferry verify`.
type VerifyReport struct {
	Version  int             `json:"version"`
	Accounts []VerifyAccount `json:"accounts"`
	Totals   VerifyTotals    `json:"totals"`
	ExitCode fault.Code      `json:"exit_code"`
}

// VerifyTotals counts delivered messages: each is found, altered (it is there, and
// the destination changed it), moved, dropped or missing. Open ones come on top: a run will
// find out whether they were delivered.
type VerifyTotals struct {
	Delivered int `json:"delivered"`
	Found     int `json:"found"`
	// ByHeader are those of Found that an earlier run recognised by their headers and
	// sizes, as it does without its journal: nobody compared their text with POP3's.
	ByHeader int `json:"by_header"`
	// ByMessageID are those of Found that adopt took for the same by their Message-ID:
	// neither their header nor their text was compared with POP3's.
	ByMessageID int `json:"by_message_id"`
	// Marked are those of Found that somebody marked as deleted: the next EXPUNGE of that
	// folder takes them.
	Marked  int `json:"marked"`
	Altered int `json:"altered"`
	Moved   int `json:"moved"`
	Missing int `json:"missing"`
	// Unshown are those of Missing that may be there all the same: the server leaves out
	// messages that it says it has.
	Unshown int `json:"unshown"`
	// Dropped are those that the source has more than once, at a provider that says OK to mail
	// that it has and keeps no second copy: their octets are there, as another message.
	Dropped int `json:"dropped"`
	Open    int `json:"open"`
}

// VerifyAccount is what was seen of one account; Messages are those that are not
// where they were put.
type VerifyAccount struct {
	Name string `json:"name"`
	VerifyTotals
	ExitCode fault.Code      `json:"exit_code"`
	Error    *ErrorReport    `json:"error,omitempty"`
	Messages []MessageReport `json:"messages,omitempty"`
}

// verification gathers the accounts' results.
type verification struct {
	mu     sync.Mutex
	byName map[string]*VerifyAccount
}

func (v *verification) account(t *trip, ctx context.Context) error {
	seen, err := t.verify(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.byName[seen.Name] = &seen
	return err
}

func (v *verification) report(r Report) VerifyReport {
	out := VerifyReport{Version: ReportVersion, Accounts: []VerifyAccount{}}
	for _, a := range r.Accounts {
		seen := v.byName[a.Name]
		if seen == nil {
			seen = &VerifyAccount{Name: a.Name}
		}
		seen.Error, seen.ExitCode = a.Error, a.ExitCode
		if seen.Missing+seen.Altered > 0 {
			seen.ExitCode = fault.Worst(seen.ExitCode, fault.Held)
		}
		if seen.Open > 0 {
			seen.ExitCode = fault.Worst(seen.ExitCode, fault.Temporary)
		}
		out.Accounts = append(out.Accounts, *seen)
		out.Totals.Delivered += seen.Delivered
		out.Totals.Found += seen.Found
		out.Totals.Altered += seen.Altered
		out.Totals.Moved += seen.Moved
		out.Totals.Missing += seen.Missing
		out.Totals.Unshown += seen.Unshown
		out.Totals.Dropped += seen.Dropped
		out.Totals.ByHeader += seen.ByHeader
		out.Totals.Marked += seen.Marked
		out.Totals.ByMessageID += seen.ByMessageID
		out.Totals.Open += seen.Open
		out.ExitCode = fault.Worst(out.ExitCode, seen.ExitCode)
	}
	return out
}
