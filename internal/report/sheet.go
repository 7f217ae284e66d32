package report

import (
	"io"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
)

// Result is what a command found out.
type Result interface {
	// Sheet is the result as people see it.
	Sheet() Sheet
	// JSON is the result as programs get it: a contract.
	JSON() any
}

// texter is a [Result] with a text form of its own.
type texter interface{ WriteText(w io.Writer) error }

// Sheet is a result in a form that is neither text nor HTML yet.
type Sheet struct {
	// Title says what the result is about: "popferry run".
	Title string
	// Taken is when; zero if that does not matter.
	Taken time.Time
	// Deed marks what tells whether all is well: --quiet hides it if so. Answers
	// are always shown.
	Deed bool
	// Columns and Rows are the table, one row for each account; the first column
	// is the account. Total is a further row, or nil.
	Columns []Column
	Rows    [][]Cell
	Total   []Cell
	// Facts stand above the table.
	Facts []Facts
	// Aside says that what is left out of the table is told below it.
	Aside bool
	// Errors, Warnings, Messages and Notes are what is below the table.
	Errors   []Issue
	Warnings []Issue
	Messages []Message
	Notes    []Note
	// Charts are shown where pictures can be.
	Charts []Chart
	// Verdict is the result in one sentence.
	Verdict  string
	ExitCode fault.Code
}

// Column is a column of the table.
type Column struct {
	// Name is in lower case; CSV uses it as it is.
	Name string
	// Number aligns it right.
	Number bool
	// Short is a name for a narrow terminal; "" means that there is none.
	Short string
	// Minor columns give way on a narrow terminal if nothing is in them, Spare
	// ones even if something is.
	Minor, Spare bool
	// Data columns are for spreadsheets only.
	Data bool
}

// Cell is a value for people and the same for programs.
type Cell struct {
	Text  string
	Value any // string, int, int64 or float64
	// Code colours the cell; meaningful in a column that tells how it ended.
	Code fault.Code
	// None says that there is nothing to tell: zero, or no value.
	None bool
	// Lines are what people are told below the table where the column is left out of it, or
	// Text is not all; else it is the name of the column and Text.
	Lines []string
	// Part says that Text is not all.
	Part bool
}

// Issue is an error of an account, or a warning. Cause and Page may be empty.
type Issue struct {
	Account, Text, Hint string
	Cause, Page         string
	Code                fault.Code
}

// Facts are what is good to know about something.
type Facts struct {
	Title string
	Lines []string
}

// Message is a message worth telling of, mostly one that is held.
type Message struct {
	Account string
	ferry.MessageReport
}

// Note is a remark about an account.
type Note struct{ Account, Text string }

// Chart is a picture of counts: a bar for each.
type Chart struct {
	Title string
	Bars  []Bar
	// Code colours it.
	Code fault.Code
}

// Bar is one count of a chart.
type Bar struct {
	Label string
	Value int
}

// issue makes an Issue of an error, if there is one.
func (s *Sheet) issue(account string, e *ferry.ErrorReport) {
	if e != nil {
		s.Errors = append(s.Errors, Issue{Account: account, Text: e.Message, Hint: e.Hint, Code: e.Code})
	}
}

func (s *Sheet) messages(account string, list []ferry.MessageReport) {
	for _, m := range list {
		s.Messages = append(s.Messages, Message{account, m})
	}
}
