package report

import (
	"bytes"
	"slices"
	"strings"
)

// group are accounts of which the same is to be told.
type group struct{ accounts, lines []string }

// aside writes below the table what it has no room for.
func (f textFormat) aside(b *bytes.Buffer, groups []group) {
	if len(groups) == 0 {
		return
	}
	paragraph(b)
	f.say(b, "What the table has no room for:")
	largest := slices.MaxFunc(groups, func(a, b group) int { return len(a.accounts) - len(b.accounts) })
	for _, g := range groups {
		title := strings.Join(g.accounts, ", ")
		if len(g.accounts) > maxNames && g.accounts[0] == largest.accounts[0] {
			title = allOthers(len(g.accounts), len(groups))
		}
		f.paragraphOf(b, title, g.lines)
	}
}

// allOthers names the largest group, which needs no names: it has all that no other has.
func allOthers(n, groups int) string {
	if groups == 1 {
		return All(n, "account")
	}
	return "the other " + Count(n, "account")
}

// paragraphOf puts a single line beside its title, and several below.
func (f textFormat) paragraphOf(b *bytes.Buffer, title string, lines []string) {
	if len(lines) == 1 {
		f.say(b, Harmless(title+": "+lines[0]))
		return
	}
	f.say(b, Harmless(title+":"))
	for _, line := range lines {
		f.say(b, "  "+Harmless(line))
	}
}

// leftOut is what the columns that are shown do not tell.
func (s Sheet) leftOut(shown []Column) (groups []group) {
	hidden, at := s.hidden(shown), map[string]int{}
	for _, row := range s.Rows {
		lines := s.linesOf(row, hidden)
		key := strings.Join(lines, "\n")
		if key == "" {
			continue
		}
		if _, known := at[key]; !known {
			at[key] = len(groups)
			groups = append(groups, group{lines: lines})
		}
		g := &groups[at[key]]
		g.accounts = append(g.accounts, row[0].Text)
	}
	return groups
}

// hidden marks the columns that say less than there is to say.
func (s Sheet) hidden(shown []Column) []bool {
	marks := make([]bool, len(shown))
	for i, c := range s.Columns {
		isPart := func(row []Cell) bool { return row[i].Part }
		marks[i] = !c.Data && c.Spare && (shown[i].Name == "" || slices.ContainsFunc(s.Rows, isPart))
	}
	return marks
}

// linesOf are what hidden columns have of an account: what is short in one line.
func (s Sheet) linesOf(row []Cell, hidden []bool) (lines []string) {
	var short []string
	for i, c := range row {
		switch {
		case !hidden[i]:
		case c.Lines != nil:
			lines = append(lines, c.Lines...)
		case c.Text != "" && c.Text != "-":
			short = append(short, s.Columns[i].Name+" "+c.Text)
		}
	}
	if len(short) == 0 {
		return lines
	}
	return append([]string{strings.Join(short, ", ")}, lines...)
}
