package report

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
)

// HistoryVersion is the version of the JSON of `popferry report`.
const HistoryVersion = 1

// HistoryReport is what was done in a span of time: the JSON of `popferry report`.
type HistoryReport struct {
	Version  int              `json:"version"`
	Since    time.Time        `json:"since"`
	Until    time.Time        `json:"until"`
	Accounts []HistoryAccount `json:"accounts"`
	Days     []HistoryDay     `json:"days"`
	Totals   HistoryCounts    `json:"totals"`
}

// HistoryCounts add up passes; Bytes are octets delivered.
type HistoryCounts struct {
	Passes    int     `json:"passes"`
	Failed    int     `json:"failed"`
	Delivered int     `json:"delivered"`
	Deleted   int     `json:"deleted"`
	Bytes     int64   `json:"bytes"`
	Seconds   float64 `json:"seconds"`
}

// HistoryAccount sums up an account.
type HistoryAccount struct {
	Name string `json:"name"`
	HistoryCounts
	// Held is how many messages were held at the end, LastSuccess when a pass last
	// succeeded, Error why the last one failed, or nil.
	Held        int                `json:"held"`
	LastSuccess time.Time          `json:"last_success,omitzero"`
	ExitCode    fault.Code         `json:"exit_code"`
	Error       *ferry.ErrorReport `json:"error,omitempty"`
	// Messages are those held now, and why.
	Messages []ferry.MessageReport `json:"messages,omitempty"`
}

// HistoryDay sums up a day of this machine's calendar.
type HistoryDay struct {
	Day string `json:"day"` // 2026-11-26
	HistoryCounts
}

// maxDays bounds the days that a report tells apart: the last ten years.
const maxDays = 3660

// NewHistory starts a report on a span of time, or on the end of one that is too long.
func NewHistory(since, until time.Time) *HistoryReport {
	if first := DayStart(until.Local().AddDate(0, 0, 1-maxDays)); since.Before(first) {
		since = first
	}
	r := &HistoryReport{Version: HistoryVersion, Since: since.UTC(), Until: until.UTC(), Accounts: []HistoryAccount{},
		Days: []HistoryDay{}}
	last := dateOf(until)
	for day := dateOf(since); ; day = day.AddDate(0, 0, 1) {
		r.Days = append(r.Days, HistoryDay{Day: day.Format(time.DateOnly)})
		if !day.Before(last) {
			return r
		}
	}
}

// dateOf is the date of a moment here, at a place where every day has 24 hours.
func dateOf(at time.Time) time.Time {
	year, month, date := at.Local().Date()
	return time.Date(year, month, date, 0, 0, 0, 0, time.UTC)
}

// DayStart is when the day of a moment began where its clock is. That is not always 0:00:
// clocks are put forward at midnight in some places, and back to it in others.
func DayStart(at time.Time) time.Time {
	year, month, date := at.Date()
	const wide = 15 * 60 * 60 // seconds from some time of the day before until noon
	before := time.Date(year, month, date, 12, 0, 0, 0, at.Location()).Add(-wide * time.Second)
	n := sort.Search(wide, func(n int) bool { return before.Add(time.Duration(n)*time.Second).Day() == date })
	return before.Add(time.Duration(n) * time.Second)
}

// Add adds a pass; they come in the order in which they were recorded. One that began when
// the clock was wrong, and is yet to come by the present one, is left out.
func (r *HistoryReport) Add(p journal.Pass) {
	if p.Started.Before(r.Since) || p.Started.After(r.Until) {
		return
	}
	counts := HistoryCounts{Passes: p.Passes, Delivered: p.Delivered, Deleted: p.Deleted, Bytes: p.Bytes, Seconds: p.Seconds}
	code := fault.Code(p.Code)
	failed := failed(code)
	if failed {
		counts.Failed = p.Passes
	}
	a := r.account(p.Account)
	a.add(counts)
	a.ExitCode, a.Error = code, nil
	if !failed || p.Held > a.Held { // one that failed did not see all
		a.Held = p.Held
	}
	if failed {
		a.Error = &ferry.ErrorReport{Code: code, Message: p.Error, Hint: p.Hint}
	} else {
		a.succeeded(p.Ended())
	}
	r.Totals.add(counts)
	day := p.Started.Local().Format(time.DateOnly)
	for i := range r.Days {
		if r.Days[i].Day == day {
			r.Days[i].add(counts)
			return
		}
	}
}

func failed(code fault.Code) bool { return code != fault.OK && code != fault.Held }

// Hold takes in what an account holds now.
func (r *HistoryReport) Hold(name string, held []journal.Record) {
	if i := r.indexOf(name); i >= 0 {
		r.Accounts[i].Messages = append(r.Accounts[i].Messages, messagesOf(held)...)
	}
}

// Succeeded takes in when an account knows itself that a run succeeded: that may be later than
// what the history has so far of passes that find nothing.
func (r *HistoryReport) Succeeded(name string, at time.Time) {
	if i := r.indexOf(name); i >= 0 && !at.Before(r.Since) && !at.After(r.Until) {
		r.Accounts[i].succeeded(at)
	}
}

func (a *HistoryAccount) succeeded(at time.Time) {
	if at.After(a.LastSuccess) {
		a.LastSuccess = at.UTC()
	}
}

func (r *HistoryReport) account(name string) *HistoryAccount {
	if i := r.indexOf(name); i >= 0 {
		return &r.Accounts[i]
	}
	r.Accounts = append(r.Accounts, HistoryAccount{Name: name})
	return &r.Accounts[len(r.Accounts)-1]
}

func (r *HistoryReport) indexOf(name string) int {
	return slices.IndexFunc(r.Accounts, func(a HistoryAccount) bool { return a.Name == name })
}

func (c *HistoryCounts) add(o HistoryCounts) {
	c.Passes += o.Passes
	c.Failed += o.Failed
	c.Delivered += o.Delivered
	c.Deleted += o.Deleted
	c.Bytes += o.Bytes
	c.Seconds += o.Seconds
}

// History is the result of `popferry report`.
func History(r *HistoryReport) Result { return history{r} }

type history struct{ report *HistoryReport }

// JSON is the report itself.
func (h history) JSON() any { return h.report }

// Sheet has a row for each account, and what was delivered day by day as a picture.
func (h history) Sheet() Sheet {
	r := h.report
	sheet := Sheet{
		Title: "popferry report", Taken: r.Until,
		Columns: []Column{
			{Name: "account"}, {Name: "passes", Number: true}, {Name: "failed", Number: true},
			{Name: "delivered", Number: true}, {Name: "deleted", Number: true, Minor: true}, {Name: "held", Number: true, Minor: true},
			{Name: "size", Number: true}, {Name: "last success", Spare: true}, {Name: "result"},
		},
		Verdict: h.verdict(),
		Charts: []Chart{
			{Title: "Messages delivered each day", Bars: h.bars(func(c HistoryCounts) int { return c.Delivered })},
			{Title: "Passes that failed each day", Bars: h.bars(func(c HistoryCounts) int { return c.Failed }), Code: fault.Temporary},
		},
	}
	for _, a := range r.Accounts {
		sheet.Rows = append(sheet.Rows, append(a.cells(a.Name), number(a.Held), octets(a.Bytes),
			Cell{Text: moment(a.LastSuccess), Value: stamp(a.LastSuccess), None: a.LastSuccess.IsZero()}, ending(a.ExitCode)))
		sheet.issue(a.Name, a.Error)
		sheet.messages(a.Name, a.Messages)
		sheet.ExitCode = fault.Worst(sheet.ExitCode, a.ExitCode)
	}
	if len(r.Accounts) > 1 {
		sheet.Total = append(r.Totals.cells("total"), text(""), octets(r.Totals.Bytes), text(""), text(""))
	}
	return sheet
}

func (c HistoryCounts) cells(name string) []Cell {
	return []Cell{text(name), number(c.Passes), number(c.Failed), number(c.Delivered), number(c.Deleted)}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (h history) verdict() string {
	r := h.report
	span := "since " + r.Since.Local().Format("2006-01-02 15:04")
	if len(r.Accounts) == 0 {
		return "Nothing was done " + span + "."
	}
	passes := "1 pass"
	if r.Totals.Passes != 1 {
		passes = humanize.Comma(int64(r.Totals.Passes)) + " passes"
	}
	return fmt.Sprintf("%s delivered in %s %s, %s.", Count(r.Totals.Delivered, "message"), passes, span,
		Count(r.Totals.Failed, "failure"))
}

func (h history) bars(of func(HistoryCounts) int) []Bar {
	bars := make([]Bar, len(h.report.Days))
	for i, day := range h.report.Days {
		bars[i] = Bar{Label: day.Day, Value: of(day.HistoryCounts)}
	}
	return bars
}
