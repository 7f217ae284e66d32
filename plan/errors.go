package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/fault"
)

// maxProblems bounds how many problems of one file are collected.
const maxProblems = 1000

// Problem is one mistake in accounts.yaml, or in what it refers to. Its text
// never repeats a value of the file.
type Problem struct {
	// File is the path as named to Load; Line and Column count from 1, and 0
	// means that there is no such place.
	File         string
	Line, Column int
	// Account says whose: `account "alice"`, "defaults", or nothing.
	Account string
	// Text says what is wrong and what would be right.
	Text string
	// Other is the line of another account that Text names as "line 7"; 0 for none.
	Other int
	// Code is Config, Credentials for a secret that others can read, or Temporary for a
	// program that did not give its secret this time.
	Code fault.Code
}

// Error gives "accounts.yaml:12:7: account "alice": text".
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	for _, n := range []int{p.Line, p.Column} {
		if n == 0 {
			break
		}
		fmt.Fprintf(&b, ":%d", n)
	}
	b.WriteString(": ")
	if p.Account != "" {
		b.WriteString(p.Account + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// FaultCode returns the class, for [fault.CodeOf].
func (p *Problem) FaultCode() fault.Code { return p.Code }

// Errors is every problem that was found, in the order of the file. To
// [fault.CodeOf] and errors.As it is one *fault.Error.
type Errors struct {
	// Problems are sorted by file, line and column; there is at least one.
	Problems []*Problem
	// More is how many further problems were found and not kept.
	More int
}

// Error lists all problems, one a line.
func (e *Errors) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		lines = append(lines, p.Error())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.More))
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the problems.
func (e *Errors) Unwrap() []error {
	list := make([]error, len(e.Problems))
	for i, p := range e.Problems {
		list[i] = p
	}
	return list
}

// FaultCode returns the most severe class of the problems: what has to be mended first.
func (e *Errors) FaultCode() fault.Code {
	worst := fault.OK
	for _, p := range e.Problems {
		worst = fault.Worst(worst, p.Code)
	}
	return worst
}

// As lets errors.As see the whole list as one *fault.Error, so that nobody
// takes the class of its first problem for that of all.
func (e *Errors) As(target any) bool {
	into, ok := target.(**fault.Error)
	if ok {
		*into = fault.New(e.FaultCode(), "%s", e.Error()).WithHint("each line says what would be right")
	}
	return ok
}

// collector gathers problems and forgets repetitions: a mistake in defaults
// would else be told once for every account.
type collector struct {
	list []*Problem
	all  bool // without a bound
	seen map[place]bool
	more int
}

type place struct {
	file         string
	line, column int
	text         string
}

func (c *collector) add(p *Problem) {
	at := place{p.File, p.Line, p.Column, p.Text}
	if c.seen[at] {
		return
	}
	if len(c.list) == maxProblems && !c.all {
		c.more++
		return
	}
	if c.seen == nil {
		c.seen = make(map[place]bool)
	}
	c.seen[at] = true
	c.list = append(c.list, p)
}

// err returns what was collected as one error, or nil.
func (c *collector) err() error {
	if len(c.list) == 0 {
		return nil
	}
	slices.SortStableFunc(c.list, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Errors{Problems: c.list, More: c.more}
}

// reason is the part of an operating system's error that holds no path, since
// the message names the path already.
func reason(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
