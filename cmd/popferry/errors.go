package main

import (
	"errors"
	"fmt"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/report"
	"github.com/popferry/popferry/plan"
)

// codeOf is the exit status of an error. Until the command line is understood an
// error that nobody classified is cobra's, and about the command line.
func (a *app) codeOf(err error) fault.Code {
	var known *fault.Error
	if !a.understood && !errors.As(err, &known) {
		return fault.Usage
	}
	return fault.CodeOf(err)
}

// explain tells the user what went wrong and what to check.
func (a *app) explain(err error) {
	var list *plan.Errors
	if errors.As(err, &list) {
		a.explainConfig(list)
		return
	}
	fmt.Fprintf(a.stderr, "popferry: %v\n", err)
	if hint := a.hintOf(err); hint != "" {
		fmt.Fprintf(a.stderr, "  check: %s\n", report.Hint(hint))
	}
}

func (a *app) hintOf(err error) string {
	if hint := fault.HintOf(err); hint != "" {
		return hint
	}
	if a.codeOf(err) == fault.Usage {
		return "popferry --help"
	}
	return ""
}

// explainConfig lists every problem on a line of its own, in the form that
// editors know how to jump to.
func (a *app) explainConfig(list *plan.Errors) {
	n := len(list.Problems) + list.More
	what := "1 problem"
	if n > 1 {
		what = fmt.Sprintf("%d problems", n)
	}
	fmt.Fprintf(a.stderr, "popferry: %s in %s; no connection was made\n", what, fault.Escape(a.config))
	fmt.Fprintln(a.stderr, list)
}
