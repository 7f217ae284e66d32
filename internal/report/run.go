package report

import (
	"time"

	"github.com/dustin/go-humanize"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
)

// Run is the result of `popferry run`, and how long all of it took: accounts are
// at work side by side.
func Run(r ferry.Report, took time.Duration) Result {
	return deed{"popferry run", r, took, carried(), runVerdict}
}

// Adopt is the result of `popferry adopt`.
func Adopt(r ferry.Report, took time.Duration) Result {
	return deed{"popferry adopt", r, took, carried(), adoptVerdict}
}

// Undo is the result of `popferry undo`.
func Undo(r ferry.Report, took time.Duration) Result {
	return deed{"popferry undo", r, took, undone(), undoVerdict}
}

// deed is the result of what works on accounts.
type deed struct {
	title   string
	report  ferry.Report
	took    time.Duration
	table   table
	success func(ferry.Report) string
}

// table is what a deed shows of each account.
type table struct {
	columns []Column
	row     func(name string, t ferry.Totals, took float64, code fault.Code) []Cell
}

// JSON is the report itself.
func (d deed) JSON() any { return d.report }

// Sheet has a row for each account.
func (d deed) Sheet() Sheet {
	r := d.report
	s := Sheet{
		Title: d.title, Taken: r.Started, Deed: true, ExitCode: r.ExitCode,
		Columns: d.table.columns,
		Verdict: verdict(r.ExitCode, failures(r), r.Totals.Held, d.success(r)),
	}
	for _, a := range r.Accounts {
		s.Rows = append(s.Rows, d.table.row(a.Name, a.Totals, a.Seconds, a.ExitCode))
		s.issue(a.Name, a.Error)
		s.messages(a.Name, a.Messages)
		for _, n := range a.Notes {
			s.Notes = append(s.Notes, Note{a.Name, n})
		}
	}
	if len(r.Accounts) > 1 {
		s.Total = d.table.row(Count(len(r.Accounts), "account"), r.Totals, d.took.Seconds(), r.ExitCode)
	}
	return s
}

// carried is the table of what carries mail, or looks for it.
func carried() table {
	return table{[]Column{
		{Name: "account"}, {Name: "listed", Number: true}, {Name: "known", Number: true},
		{Name: "duplicate", Short: "dupl", Number: true, Minor: true},
		{Name: "delivered", Short: "deliv", Number: true},
		{Name: "held", Number: true, Minor: true}, {Name: "waiting", Number: true, Minor: true},
		{Name: "deleted", Number: true, Minor: true}, {Name: "size", Number: true},
		{Name: "time", Number: true, Spare: true}, {Name: "result"},
	}, func(name string, t ferry.Totals, took float64, code fault.Code) []Cell {
		return []Cell{text(name), number(t.Listed), number(t.Known), number(t.Duplicate),
			number(t.Delivered), number(t.Held), number(t.Waiting), number(t.Deleted),
			octets(t.Bytes), span(took), ending(code)}
	}}
}

// undone is the table of what asks no POP3 server.
func undone() table {
	return table{[]Column{
		{Name: "account"}, {Name: "taken back", Number: true},
		{Name: "time", Number: true, Spare: true}, {Name: "result"},
	}, func(name string, t ferry.Totals, took float64, code fault.Code) []Cell {
		return []Cell{text(name), number(t.Deleted), span(took), ending(code)}
	}}
}

// failures counts the accounts that did not finish. One that awaits a word did.
func failures(r ferry.Report) int {
	failed := 0
	for _, a := range r.Accounts {
		if a.Error != nil && a.Error.Code != fault.Held {
			failed++
		}
	}
	return failed
}

// verdict says how it went, in one sentence.
func verdict(code fault.Code, failed, held int, success string) string {
	switch {
	case code == fault.OK:
		return success
	case code == fault.Held && held == 0:
		return "Done, but something awaits your word; see what to check."
	case failed > 0 && code != fault.Held:
		return Count(failed, "account") + " did not finish; see what to check."
	case held > 0:
		return "Done, but for " + Count(held, "message") + " held back on POP3."
	}
	return "Not all is well: " + code.String() + "."
}

func runVerdict(r ferry.Report) string {
	switch t := r.Totals; {
	case len(r.Accounts) == 0: // of --only-failed
		return "Nothing to do: no account failed in its last run."
	case t.Listed == 0:
		return "Nothing to do: no mail on POP3."
	case t.Delivered == 0 && t.LeftAlone == t.Listed:
		return "Nothing new: another program fetched " + All(t.Listed, "message") + " before (skip_uidls)."
	case t.Delivered == 0 && t.LeftAlone > 0:
		return "Nothing new: of " + Count(t.Listed, "message") + " all were delivered before, but for " +
			humanize.Comma(int64(t.LeftAlone)) + " left alone, which another program fetched (skip_uidls)."
	case t.Delivered == 0:
		return "Nothing new: " + All(t.Listed, "message") + " " + were(t.Listed) + " delivered before."
	default:
		return "Done: " + Count(t.Delivered, "message") + " delivered, " + Size(t.Bytes) + "."
	}
}

func adoptVerdict(r ferry.Report) string {
	return "Done: " + Count(r.Totals.Duplicate, "message") + " at the destination adopted, nothing copied."
}

func undoVerdict(r ferry.Report) string {
	return "Done: " + Count(r.Totals.Deleted, "message") + " taken back from the destination."
}

// moment writes a time for people, in their zone; "" for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
