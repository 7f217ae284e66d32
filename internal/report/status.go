package report

import (
	"cmp"
	"encoding/json"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
)

// StatusVersion is the version of the JSON of `popferry status`.
const StatusVersion = 1

// StatusReport is what the journal knows: the JSON of `popferry status`.
type StatusReport struct {
	Version  int             `json:"version"`
	State    string          `json:"state"`
	Accounts []StatusAccount `json:"accounts"`
	Notes    []string        `json:"notes,omitempty"`
}

// StatusAccount is what the journal knows of an account towards one destination.
type StatusAccount struct {
	Name        string                `json:"name"`
	Source      string                `json:"source"`
	Destination string                `json:"destination"`
	Folder      string                `json:"folder"`
	States      map[journal.State]int `json:"states"`
	LastRun     *ferry.LastRun        `json:"last_run,omitempty"`
	// LastSuccess is when a run, or a pass of a bridge, last ended well.
	LastSuccess time.Time `json:"last_success,omitzero"`
	// NoPass is set for an account of accounts.yaml of which none ended yet.
	NoPass   bool                  `json:"no_pass,omitempty"`
	Messages []ferry.MessageReport `json:"messages,omitempty"`
}

// NewStatusAccount sums up a scope of the journal; held are its held messages.
func NewStatusAccount(s journal.Status, held []journal.Record) StatusAccount {
	a := StatusAccount{
		Name: s.Scope.Account, Folder: s.Scope.Folder, States: s.Counts,
		Source:      s.Scope.SourceUser + " on " + s.Scope.SourceHost,
		Destination: s.Scope.DestUser + " on " + s.Scope.DestHost,
	}
	if a.States == nil {
		a.States = map[journal.State]int{}
	}
	var last ferry.LastRun
	if json.Unmarshal([]byte(s.LastRun), &last) == nil { // never fails on what a run wrote
		a.LastRun = &last
		if !failed(last.ExitCode) {
			a.LastSuccess = last.At
		}
	}
	a.Messages = messagesOf(held)
	return a
}

func messagesOf(records []journal.Record) (messages []ferry.MessageReport) {
	for _, r := range records {
		messages = append(messages, ferry.MessageReport{
			UIDL: fault.Escape(r.UIDL), Size: r.Listed, State: string(r.State), Reason: r.Reason,
		})
	}
	return messages
}

// Succeeded takes in when the history has a pass that succeeded: an account itself hears of
// those that find nothing once an hour. It is of the destination that had the last run.
func (r *StatusReport) Succeeded(name string, at time.Time) {
	var newest *StatusAccount
	for i := range r.Accounts {
		a := &r.Accounts[i]
		if a.Name == name && a.LastRun != nil && (newest == nil || a.LastRun.At.After(newest.LastRun.At)) {
			newest = a
		}
	}
	if newest != nil && at.After(newest.LastSuccess) {
		newest.LastSuccess = at.UTC()
	}
}

// Expect adds an account of accounts.yaml, unless there is more to tell of it already.
func (r *StatusReport) Expect(s journal.Scope) {
	fresh := NewStatusAccount(journal.Status{Scope: s}, nil)
	fresh.NoPass = true
	for i, a := range r.Accounts {
		if a.Name == fresh.Name && !a.retired() {
			return
		}
		if a.Name == fresh.Name && a.Source == fresh.Source && a.Destination == fresh.Destination && a.Folder == fresh.Folder {
			r.Accounts[i].NoPass = true // it was killed, or is at work
			return
		}
	}
	r.Accounts = append(r.Accounts, fresh)
}

// ended is when the last run, or pass of a bridge, was over.
func (a StatusAccount) ended() time.Time {
	if failed(a.LastRun.ExitCode) {
		return a.LastRun.At
	}
	return a.LastSuccess
}

// Status is the result of `popferry status`.
func Status(r StatusReport) Result { return status{r} }

type status struct{ report StatusReport }

// JSON is the report itself.
func (s status) JSON() any { return s.report }

// Sheet has a row for each account and destination.
func (s status) Sheet() Sheet {
	sheet := Sheet{
		Title: "popferry status", Deed: true,
		Columns: []Column{
			{Name: "account"}, {Name: "delivered", Number: true}, {Name: "held", Number: true},
			{Name: "open", Number: true, Minor: true}, {Name: "deleted", Number: true, Minor: true},
			{Name: "last run"}, {Name: "result"},
		},
	}
	for _, a := range s.report.Accounts {
		if a.retired() || a.empty() && !a.NoPass && s.hasMail(a.Name) {
			continue
		}
		sheet.Rows = append(sheet.Rows, a.row())
		if a.LastRun != nil {
			sheet.issue(a.Name, cmp.Or(a.LastRun.Error, a.LastRun.Awaits))
			sheet.ExitCode = fault.Worst(sheet.ExitCode, a.result().Code)
		} else {
			sheet.ExitCode = fault.Worst(sheet.ExitCode, fault.Temporary)
		}
		sheet.messages(a.Name, a.Messages)
	}
	for _, n := range s.report.Notes {
		sheet.Notes = append(sheet.Notes, Note{Text: n})
	}
	if len(s.report.Accounts) == 0 {
		sheet.Verdict = "Nothing has been run yet with the state in " + s.report.State + "."
	}
	return sheet
}

// retired reports an account that another one has taken over: renamed, or with
// another maildrop.
func (a StatusAccount) retired() bool {
	for state, n := range a.States {
		if n > 0 && state != journal.Listed {
			return false
		}
	}
	return a.LastRun == nil && !a.NoPass
}

// empty reports an account of which no message is known, such as one run with a
// mistyped host leaves behind.
func (a StatusAccount) empty() bool {
	for _, n := range a.States {
		if n > 0 {
			return false
		}
	}
	return true
}

func (s status) hasMail(name string) bool {
	for _, a := range s.report.Accounts {
		if a.Name == name && !a.empty() {
			return true
		}
	}
	return false
}

// result is how the last run ended; one that was well may be waiting for a person.
func (a StatusAccount) result() Cell {
	if a.LastRun.Awaits == nil || a.LastRun.ExitCode != fault.OK {
		return ending(a.LastRun.ExitCode)
	}
	result := ending(fault.Held)
	result.Text = "needs your word"
	return result
}

func (a StatusAccount) row() []Cell {
	deleted := a.States[journal.DeleteSent] + a.States[journal.Gone]
	when, result := text("not finished"), text("-")
	result.Code = fault.Temporary // killed, or at work
	switch {
	case a.NoPass:
		when = text("no pass yet")
	case a.LastRun != nil:
		when = Cell{Text: moment(a.ended()), Value: stamp(a.ended())}
		result = a.result()
	}
	return []Cell{text(a.Name), number(a.States[journal.Delivered] + deleted),
		number(a.States[journal.Held]), number(a.States[journal.Intent]), number(deleted), when, result}
}
