package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/report"
	"github.com/popferry/popferry/plan"
)

// classify makes an error of cobra's, which nobody else classified, one about the
// command line. There are none once that is understood.
func (a *app) classify(err error) error {
	var known *fault.Error
	if a.understood || err == nil || errors.As(err, &known) {
		return err
	}
	return fault.New(fault.Usage, "%w", err).WithHint("popferry --help")
}

// explain tells the user what went wrong and what to check. A bridge that programs listen to
// does so in its log.
func (a *app) explain(err error) {
	if log := a.log.Load(); log != nil && a.logsJSON {
		log.Error("ends", "error", inOneLine(err), "check", a.hint(err), "result", fault.CodeOf(err).String())
		return
	}
	a.closeLog() // what it says came before
	var list *plan.Errors
	if errors.As(err, &list) {
		a.explainConfig(list)
		return
	}
	fmt.Fprintf(a.stderr, "popferry: %s\n", fault.Words(err))
	fmt.Fprintf(a.stderr, "  check: %s\n", a.hint(err))
}

// hint is what to check first, by the name that accounts.yaml has here.
func (a *app) hint(err error) string {
	return strings.ReplaceAll(report.Hint(fault.HintOf(err)), "accounts.yaml", fault.Escape(a.config))
}

// inOneLine is an error for a log, where several problems have no lines of their own.
func inOneLine(err error) string { return strings.ReplaceAll(fault.Words(err), "\n", "; ") }

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
