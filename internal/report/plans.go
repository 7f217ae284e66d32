package report

import (
	"fmt"
	"io"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/plan"
)

// Plans is the result of `popferry plan`; explain adds a line for each message.
// The report has the errors of the accounts for which there is no plan.
func Plans(plans []plan.Plan, r ferry.Report, explain bool) Result {
	return planning{plans, r, explain}
}

type planning struct {
	plans   []plan.Plan
	report  ferry.Report
	explain bool
}

// planningJSON can be read as a stored plan too: see [plan.Decode].
type planningJSON struct {
	Version   int                       `json:"version"`
	Plans     []plan.Plan               `json:"plans"`
	Estimates map[string]ferry.Estimate `json:"estimates,omitempty"` // by account
	Errors    []planError               `json:"errors,omitempty"`
	ExitCode  fault.Code                `json:"exit_code"`
}

type planError struct {
	Account string `json:"account"`
	ferry.ErrorReport
}

// JSON is what [plan.Encode] stores, and the errors beside it.
func (p planning) JSON() any {
	out := planningJSON{Version: plan.Version, Plans: p.plans, ExitCode: p.report.ExitCode}
	if out.Plans == nil {
		out.Plans = []plan.Plan{}
	}
	for _, a := range p.report.Accounts {
		if a.Estimate != nil {
			if out.Estimates == nil {
				out.Estimates = map[string]ferry.Estimate{}
			}
			out.Estimates[a.Name] = *a.Estimate
		}
		if a.Error != nil {
			out.Errors = append(out.Errors, planError{a.Name, *a.Error})
		}
	}
	return out
}

// WriteText writes the messages first, if they are wanted, and then the table:
// it is what is left on the screen.
func (p planning) WriteText(w io.Writer) error {
	if p.explain {
		for _, one := range p.plans {
			if err := one.Explain(w); err != nil {
				return err
			}
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
	}
	if len(p.plans) == 0 {
		return nil
	}
	if _, err := io.WriteString(w, plan.Plans(p.plans).String()); err != nil {
		return err
	}
	return p.writeTimes(w)
}

// writeTimes says how long the accounts with something to copy will take.
func (p planning) writeTimes(w io.Writer) error {
	before := "\n"
	for _, a := range p.report.Accounts {
		if a.Estimate == nil || !p.copies(a.Name) {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s%s: %s\n", before, a.Name, howLong(*a.Estimate)); err != nil {
			return err
		}
		before = ""
	}
	return nil
}

func howLong(e ferry.Estimate) string {
	text := fmt.Sprintf("about %s (%s)", Duration(seconds(e.Seconds)), e.Basis)
	if !e.NotBefore.IsZero() {
		text += "; outside of hours until " + e.NotBefore.Local().Format("Mon 2 Jan 15:04")
	}
	return text
}

func (p planning) copies(account string) bool {
	for _, one := range p.plans {
		if one.Account == account {
			return one.Totals().Copy.Messages > 0
		}
	}
	return false
}

// Sheet has a row for each account that has a plan.
func (p planning) Sheet() Sheet {
	s := Sheet{
		Title: "popferry plan", Deed: true, Taken: p.report.Started, ExitCode: p.report.ExitCode,
		Columns: []Column{
			{Name: "account"}, {Name: "listed", Number: true}, {Name: "known", Number: true},
			{Name: "duplicate", Number: true}, {Name: "copy", Number: true},
			{Name: "copy size", Number: true}, {Name: "possible", Number: true},
			{Name: "held", Number: true}, {Name: "delete", Number: true}, {Name: "parked", Number: true},
		},
	}
	for _, one := range p.plans {
		t := one.Totals()
		s.Rows = append(s.Rows, []Cell{text(one.Account), number(t.Listed.Messages),
			number(t.Known.Messages), number(t.Duplicate.Messages), number(t.Copy.Messages),
			octets(t.Copy.Bytes), number(t.Possible.Messages), number(t.Held.Messages),
			number(t.Delete.Messages), number(t.Parked.Messages)})
		s.heldByPlan(one)
	}
	for _, a := range p.report.Accounts {
		s.issue(a.Name, a.Error)
	}
	s.Verdict = verdict(p.report.ExitCode, failures(p.report), len(s.Messages),
		"Nothing was written on either server.")
	return s
}

func (s *Sheet) heldByPlan(p plan.Plan) {
	for _, a := range p.Actions {
		if a.Verb == plan.Hold {
			s.Messages = append(s.Messages, Message{p.Account, ferry.MessageReport{Number: a.Number,
				UIDL: fault.Escape(a.UIDL), Size: a.Size, State: "held", Reason: a.Why}})
		}
	}
	for _, w := range p.Warnings {
		s.Notes = append(s.Notes, Note{p.Account, w})
	}
}
