package main

import (
	"fmt"
	"io"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/foreign"
	"github.com/popferry/popferry/internal/report"
)

// importVersion is the version of the JSON of `popferry import`.
const importVersion = 1

// imported is the result of import, and its JSON.
type imported struct {
	Version int `json:"version"`
	// Out is the new file; empty if nothing was made.
	Out      string            `json:"out"`
	Accounts []importedAccount `json:"accounts"`
	LeftOut  []leftOfList      `json:"left_out"`
	// More is how many mistakes are not told.
	More int `json:"more_mistakes,omitempty"`
	// Passwords is how many are in files that are still to be made.
	Passwords int        `json:"missing_passwords"`
	ExitCode  fault.Code `json:"exit_code"`
}

type importedAccount struct {
	Name        string       `json:"name"`
	List        string       `json:"list"`
	Line        int          `json:"line"`
	Source      importedSide `json:"source"`
	Destination importedSide `json:"destination"`
	// UIDLs is how many messages were fetched before.
	UIDLs int      `json:"uidls"`
	Notes []string `json:"notes"`
}

type importedSide struct {
	Host     string `json:"host"`
	Username string `json:"username"`
}

// leftOfList is what a list has and the new file has not.
type leftOfList struct {
	// List is empty for what all accounts share, Line 0 for what is in none.
	List   string `json:"list"`
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

func asImported(out string, list *foreign.List, settings []foreign.Setting) imported {
	r := imported{Version: importVersion, Out: out, Accounts: []importedAccount{}, LeftOut: leftOf(list.Bad, list.Skipped),
		Passwords: list.Secrets()}
	for _, account := range list.Accounts {
		side := func(name string) importedSide {
			return importedSide{account.Said(name+".host", settings), account.Said(name+".username", settings)}
		}
		r.Accounts = append(r.Accounts, importedAccount{account.Get("name"), account.File, account.Line,
			side("source"), side("destination"), len(account.Seen), append([]string{}, account.Notes...)})
	}
	return r
}

// nothingImported is the result where mistakes left nothing to make; bad are those of
// accounts that are still on the list.
func nothingImported(list *foreign.List, bad []foreign.Bad) imported {
	return imported{Version: importVersion, Accounts: []importedAccount{}, LeftOut: leftOf(list.Bad, bad, list.Skipped),
		More: list.More, ExitCode: fault.Config}
}

func leftOf(lists ...[]foreign.Bad) []leftOfList {
	left := []leftOfList{}
	for _, list := range lists {
		for _, b := range list {
			left = append(left, leftOfList{b.File, b.Line, b.Text})
		}
	}
	return left
}

// JSON is the result itself.
func (r imported) JSON() any { return r }

// WriteText writes nothing: people were told on standard error.
func (r imported) WriteText(io.Writer) error { return nil }

// Sheet has a row for each account, and for what was left out.
func (r imported) Sheet() report.Sheet {
	s := report.Sheet{Title: "popferry import", Deed: true, ExitCode: r.ExitCode,
		Columns: []report.Column{{Name: "account"}, {Name: "list"}, {Name: "line", Number: true},
			{Name: "POP3 server"}, {Name: "IMAP server"}, {Name: "result"}}}
	for _, a := range r.Accounts {
		s.Rows = append(s.Rows, []report.Cell{cell(a.Name), cell(a.List), lineCell(a.Line),
			cell(a.Source.Host), cell(a.Destination.Host), outcome("ok", fault.OK)})
		for _, text := range a.Notes {
			s.Notes = append(s.Notes, report.Note{Account: a.Name, Text: text})
		}
	}
	for _, l := range r.LeftOut {
		s.Rows = append(s.Rows, []report.Cell{cell(""), cell(l.List), lineCell(l.Line), cell(""), cell(""),
			outcome("left out: "+l.Reason, fault.Held)})
	}
	made := "nothing was made"
	if r.Out != "" {
		made = fmt.Sprintf("%s has %s", r.Out, report.Count(len(r.Accounts), "account"))
	}
	s.Facts = []report.Facts{{Title: made}}
	return s
}

func lineCell(line int) report.Cell {
	return report.Cell{Text: fmt.Sprint(line), Value: line, None: line == 0}
}
