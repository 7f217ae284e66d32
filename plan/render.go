package plan

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/popferry/popferry/internal/fault"
)

// Plans are the plans of several accounts.
type Plans []Plan

// String gives the table of one plan; see [Plans.String].
func (p Plan) String() string { return Plans{p}.String() }

// String gives a table with one line for each account, then what is worth
// knowing about each.
func (ps Plans) String() string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ACCOUNT\tLISTED\tKNOWN\tDUPLICATE\tCOPY\tPOSSIBLE\tHELD\tDELETE\tPARKED")
	var all Totals
	for _, p := range ps {
		t := p.Totals()
		all.sum(t)
		writeRow(table, fault.Escape(p.Account), t)
	}
	if len(ps) > 1 {
		writeRow(table, fmt.Sprintf("%d accounts", len(ps)), all)
	}
	table.Flush() // a strings.Builder never fails
	text := trimLines(b.String())
	for _, p := range ps {
		text += p.notes()
	}
	return text
}

func writeRow(w io.Writer, name string, t Totals) {
	cells := []string{name}
	for _, c := range t.columns() {
		cells = append(cells, c.String())
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// String gives "12 (3.4 MB)", or "-" for none.
func (c Count) String() string {
	if c.Messages == 0 {
		return "-"
	}
	return fmt.Sprintf("%d (%s)", c.Messages, formatSize(c.Bytes))
}

// trimLines takes off the blanks that pad the last column.
func trimLines(table string) string {
	lines := strings.SplitAfter(table, "\n")
	for i, line := range lines {
		if text, ok := strings.CutSuffix(line, "\n"); ok {
			lines[i] = strings.TrimRight(text, " ") + "\n"
		}
	}
	return strings.Join(lines, "")
}

// notes are the lines below the table.
func (p Plan) notes() string {
	var b strings.Builder
	name := fault.Escape(p.Account)
	if !p.Destination.Exists && p.needsFolder() {
		fmt.Fprintf(&b, "%s: folder %s will be created on %s\n", name,
			fault.Escape(p.Destination.Folder), fault.Escape(p.Destination.Host))
	}
	for _, line := range p.folders() {
		fmt.Fprintf(&b, "%s: %s\n", name, line)
	}
	for _, warning := range p.Warnings {
		fmt.Fprintf(&b, "%s: warning: %s\n", name, fault.Escape(warning))
	}
	return b.String()
}

// needsFolder reports whether the account's own folder gets mail, or is made anyway.
func (p Plan) needsFolder() bool {
	routed := false
	for _, a := range p.Actions {
		if a.Verb == Copy && (a.Target == nil || a.Target.Folder == p.Destination.Folder) {
			return true
		}
		routed = routed || a.Target != nil
	}
	return !routed
}

// folders says how many copies go to each folder, in the order of their names, if the
// account has routes and a header is known.
func (p Plan) folders() []string {
	counts := map[string]*Count{}
	var unknown Count
	for _, a := range p.Actions {
		switch {
		case a.Verb != Copy:
		case a.Target == nil:
			unknown.add(a.Size)
		default:
			if counts[a.Target.Folder] == nil {
				counts[a.Target.Folder] = &Count{}
			}
			counts[a.Target.Folder].add(a.Size)
		}
	}
	var lines []string
	for _, folder := range slices.Sorted(maps.Keys(counts)) {
		lines = append(lines, "folder "+fault.Escape(folder)+": "+counts[folder].String())
	}
	if len(lines) > 0 && unknown.Messages > 0 {
		lines = append(lines, "folder known when it is read: "+unknown.String())
	}
	return lines
}

// Explain writes one line for each message: account, number, size, UIDL, verb
// and why.
func (p Plan) Explain(w io.Writer) error {
	out := bufio.NewWriter(w)
	name := fault.Escape(p.Account)
	for _, a := range p.Actions {
		uidl := fault.Escape(a.UIDL)
		if uidl == "" {
			uidl = "-"
		}
		fmt.Fprintf(out, "%s  %5d  %9s  %-20s  %-6s  %s%s\n", name, a.Number,
			formatSize(a.Size), uidl, a.Verb, a.Why, a.remarks())
	}
	if err := out.Flush(); err != nil { // which also gives an earlier error
		return fmt.Errorf("explain the plan of %s: %w", name, err)
	}
	return nil
}

// remarks are what the verb and the reason don't say.
func (a Action) remarks() string {
	text := ""
	if a.Possible && a.Match == nil {
		text += " (possible duplicate)"
	}
	if a.Repeated {
		text += " (repeated UIDL)"
	}
	return text
}
