package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/popferry/popferry/internal/fault"
)

// textFormat writes for people.
type textFormat struct {
	width int  // of the terminal; 0: no limit
	color bool // of the result column
}

// maxShown bounds how many messages are listed for people; the other forms have
// them all.
const maxShown = 50

// maxNames bounds how many accounts are named before an error that they share;
// the table shows whose it is.
const maxNames = 5

func (f textFormat) write(w io.Writer, r Result) error {
	var b bytes.Buffer
	s := r.Sheet()
	if own, ok := r.(texter); ok {
		if err := own.WriteText(&b); err != nil {
			return err
		}
		s.Notes = nil // they are part of that
	} else if len(s.Rows) > 0 {
		f.facts(&b, s.Facts)
		f.table(&b, s)
	}
	f.issues(&b, "", s.Errors)
	f.issues(&b, "warning: ", s.Warnings)
	f.messages(&b, s.Messages)
	f.notes(&b, s.Notes)
	if s.Verdict != "" {
		paragraph(&b)
		var verdict bytes.Buffer
		f.say(&verdict, Harmless(s.Verdict))
		fmt.Fprintln(&b, f.paint(s.ExitCode, strings.TrimSuffix(verdict.String(), "\n")))
	}
	_, err := b.WriteTo(w)
	return err
}

// paragraph sets off what follows from what is there.
func paragraph(b *bytes.Buffer) {
	if b.Len() > 0 && !bytes.HasSuffix(b.Bytes(), []byte("\n\n")) {
		b.WriteByte('\n')
	}
}

// facts write what is good to know, each set off from the next.
func (f textFormat) facts(b *bytes.Buffer, facts []Facts) {
	for _, fact := range facts {
		f.say(b, Harmless(fact.Title))
		for _, line := range fact.Lines {
			f.say(b, "  "+Harmless(line))
		}
		b.WriteByte('\n')
	}
}

// table writes the table. One that is too wide for the terminal loses in turn the
// columns in which nothing happened, the long names, and what can be spared, of which
// the last goes first; then names of accounts are cut. Where all of it is wanted, names
// are cut before something is spared, as long as they differ.
func (f textFormat) table(b *bytes.Buffer, s Sheet) {
	columns := s.narrow(0)
	grid := s.grid(columns)
	for narrower := 1; !f.fits(grid, s.Aside && narrower > 2) && narrower <= 2+s.spares(0); narrower++ {
		columns = s.narrow(narrower)
		grid = s.grid(columns)
	}
	if f.width > 0 {
		cutNames(grid, gridWidth(grid)-f.width)
	}
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for i, line := range grid {
		last := len(line) - 1
		if i > 0 {
			line[last] = f.paint(s.codeOf(i-1), line[last])
		}
		fmt.Fprintln(table, strings.Join(line, "\t"))
	}
	table.Flush() // into memory, which never fails
	if s.Aside {
		f.aside(b, s.leftOut(columns))
	}
}

// fits reports a table that is narrow enough, maybe once names are cut.
func (f textFormat) fits(grid [][]string, cut bool) bool {
	excess := gridWidth(grid) - f.width
	return f.width == 0 || excess <= 0 || cut && excess <= sparedByNames(grid)
}

// leastName is how much is left of an account's name, in characters.
const leastName = 24

// cutNames makes the first column narrower.
func cutNames(grid [][]string, excess int) {
	most := max(nameWidth(grid)-excess, leastName)
	for _, line := range grid {
		line[0] = cutName(line[0], most)
	}
}

func cutName(name string, most int) string {
	if utf8.RuneCountInString(name) <= most {
		return name
	}
	return name[:headLength(name, most-1)] + "…"
}

func nameWidth(grid [][]string) (width int) {
	for _, line := range grid {
		width = max(width, utf8.RuneCountInString(line[0]))
	}
	return width
}

// sparedByNames is how much narrower names get that still differ when they are cut.
func sparedByNames(grid [][]string) int {
	width := nameWidth(grid)
	for most := leastName; most < width; most++ {
		if differ(grid, most) {
			return width - most
		}
	}
	return 0
}

// differ reports names that cutting makes no two of alike.
func differ(grid [][]string, most int) bool {
	whose := map[string]string{}
	for _, line := range grid {
		short := cutName(line[0], most)
		if other, taken := whose[short]; taken && other != line[0] {
			return false
		}
		whose[short] = line[0]
	}
	return true
}

// narrow gives the columns for a narrow terminal; those without a name are left
// out.
func (s Sheet) narrow(level int) []Column {
	columns := slices.Clone(s.Columns)
	for i, c := range columns {
		switch {
		case c.Data, c.Minor && level >= 1 && !s.used(i), c.Spare && level > 2+s.spares(i+1):
			columns[i].Name = ""
		case c.Short != "" && level >= 2:
			columns[i].Name = c.Short
		}
	}
	return columns
}

// spares counts the columns that can be spared, from one on.
func (s Sheet) spares(from int) (n int) {
	for _, c := range s.Columns[from:] {
		if c.Spare {
			n++
		}
	}
	return n
}

// used reports whether a column has something to tell.
func (s Sheet) used(column int) bool {
	for _, row := range s.Rows {
		if !row[column].None {
			return true
		}
	}
	return false
}

// codeOf is how the row ended, for its colour.
func (s Sheet) codeOf(row int) fault.Code {
	line := s.Total
	if row < len(s.Rows) {
		line = s.Rows[row]
	}
	return line[len(line)-1].Code
}

// grid gives the lines of the table, numbers padded to stand right.
func (s Sheet) grid(columns []Column) [][]string {
	rows := s.Rows
	if s.Total != nil {
		rows = append(rows[:len(rows):len(rows)], s.Total)
	}
	grid := make([][]string, len(rows)+1)
	for i, c := range columns {
		if c.Name == "" {
			continue
		}
		column := []string{strings.ToUpper(c.Name)}
		for _, row := range rows {
			column = append(column, Harmless(row[i].Text))
		}
		if c.Number {
			alignRight(column)
		}
		for j, cell := range column {
			grid[j] = append(grid[j], cell)
		}
	}
	return grid
}

func alignRight(column []string) {
	width := 0
	for _, cell := range column {
		width = max(width, utf8.RuneCountInString(cell))
	}
	for i, cell := range column {
		column[i] = fmt.Sprintf("%*s", width, cell)
	}
}

func gridWidth(grid [][]string) int {
	total := 0
	for i := range grid[0] {
		width := 0
		for _, line := range grid {
			width = max(width, utf8.RuneCountInString(line[i]))
		}
		total += width + 2
	}
	return total - 2
}

// say writes a text, wrapped where the terminal ends and indented there.
func (f textFormat) say(b *bytes.Buffer, text string) {
	column := 0
	for i, word := range strings.Split(text, " ") {
		width := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case f.width > 0 && column+1+width > f.width && column > len(wrapIndent):
			b.WriteString("\n" + wrapIndent)
			column = len(wrapIndent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += width
	}
	b.WriteByte('\n')
}

// wrapIndent stands before the lines that belong to the one above.
const wrapIndent = "    "

func (f textFormat) issues(b *bytes.Buffer, kind string, issues []Issue) {
	if len(issues) == 0 {
		return
	}
	paragraph(b)
	for _, e := range gather(issues) {
		f.say(b, kind+Harmless(e.Account)+": "+Harmless(e.Text))
		if e.Cause != "" {
			f.say(b, "  cause: "+Harmless(e.Cause))
		}
		// A hint may have several lines, such as a stack.
		for i, line := range strings.Split(Hint(e.Hint), "\n") {
			line = Harmless(strings.ReplaceAll(line, "\t", wrapIndent))
			switch {
			case i > 0:
				f.say(b, wrapIndent+line)
			case line != "":
				f.say(b, "  check: "+line)
			}
		}
		if e.Page != "" {
			f.say(b, "  see: "+Harmless(e.Page))
		}
	}
}

// gather makes one of issues that many accounts have: a server that is down is
// one problem, not three hundred.
func gather(issues []Issue) []Issue {
	type kind struct{ text, hint string }
	accounts := map[kind][]string{}
	var firsts []Issue
	for _, e := range issues {
		k := kind{e.Text, e.Hint}
		names := accounts[k]
		if names == nil {
			firsts = append(firsts, e)
		}
		if len(names) == 0 || names[len(names)-1] != e.Account { // both sides may have it
			accounts[k] = append(names, e.Account)
		}
	}
	for i, e := range firsts {
		names := accounts[kind{e.Text, e.Hint}]
		shown := names[:min(len(names), maxNames)]
		firsts[i].Account = strings.Join(shown, ", ")
		if more := len(names) - len(shown); more > 0 {
			firsts[i].Account += " and " + Count(more, "more account")
		}
	}
	return firsts
}

// Hint is a hint to stand behind "check: ".
func Hint(s string) string { return strings.TrimPrefix(s, "check ") }

func (f textFormat) messages(b *bytes.Buffer, list []Message) {
	if len(list) == 0 {
		return
	}
	paragraph(b)
	shown := list[:min(len(list), maxShown)]
	for _, m := range shown {
		f.say(b, fmt.Sprintf("%s: %s: %s, %s%s%s", Harmless(m.Account), Harmless(m.State), m.name(),
			Size(m.Size), because(m.Reason), kept(m.File)))
	}
	if more := len(list) - len(shown); more > 0 {
		f.say(b, "and "+Count(more, "message")+" more; --json or --report FILE has them all")
	}
}

// name names a message by what is known of it.
func (m Message) name() string {
	name := "message"
	if m.Number > 0 {
		name = fmt.Sprintf("message %d", m.Number)
	}
	if m.UIDL != "" {
		name += " (UIDL " + Harmless(m.UIDL) + ")"
	}
	if m.UID > 0 {
		name += fmt.Sprintf(", %s uid %d", Harmless(m.Folder), m.UID)
	}
	return name
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + Harmless(reason)
}

func kept(file string) string {
	if file == "" {
		return ""
	}
	return "; kept in " + Harmless(file)
}

func (f textFormat) notes(b *bytes.Buffer, notes []Note) {
	if len(notes) == 0 {
		return
	}
	paragraph(b)
	for _, n := range notes {
		text := "note: "
		if n.Account != "" {
			text += Harmless(n.Account) + ": "
		}
		f.say(b, text+Harmless(n.Text))
	}
}

// paint colours a text by what it says: green for well, yellow for what needs
// no haste, red for what failed (ECMA-48 §8.3.117).
func (f textFormat) paint(code fault.Code, s string) string {
	if !f.color || s == "" {
		return s
	}
	color := 31
	switch code {
	case fault.OK:
		color = 32
	case fault.Held, fault.Temporary:
		color = 33
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", color, s)
}
