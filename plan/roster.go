package plan

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sheet"
)

// A roster is a CSV file with one account a row, which accounts_from names. Each row
// becomes the mapping that it would be in accounts.yaml, with the places of its values
// in the CSV file, so that the same code reads it and says what is wrong.
//
// What goes where is said by template, or else by the header itself, whose columns are
// named like the keys: source.username, destination.password.env.
type roster struct {
	d        *decoder
	path     string
	sheet    *sheet.Sheet
	template *yaml.Node
	keys     [][]string // without a template: what each column is for
	clones   int        // nodes made for the present row
	visits   int        // nodes of the template that were checked
	// varies has the nodes of the template with braces in or below them.
	varies map[*yaml.Node]bool
}

const (
	// maxRowNodes bounds what a template makes of one row: aliases may multiply.
	maxRowNodes = 1000
	// maxTemplateNodes bounds the template itself, with its aliases as often as they occur.
	maxTemplateNodes = 100_000
	// maxTemplateDepth bounds its nesting: aliases may lead back.
	maxTemplateDepth = 20
)

// MicrosoftKeys are what the columns of Microsoft's migration lists mean, in lower case: whose
// mailbox, and how to sign in to the old one, with a password or as defaults say. UserRoot is a
// folder, which POP3 does not have.
var MicrosoftKeys = map[string][]string{
	"emailaddress": {"name", "destination.username"},
	"username":     {"source.username"},
	"password":     {"source.password"},
	"userroot":     {},
}

// roster reads what accounts_from names, as items of the list of accounts.
func (d *decoder) roster(top fields) []*yaml.Node {
	template := top.find("template")
	name, at := top.text("accounts_from")
	if at == nil {
		if template != nil && top.find("accounts_from") == nil {
			d.problem(template, "template has no effect without accounts_from, the CSV file that it is for")
		}
		return nil
	}
	r := &roster{d: d, path: filepath.Join(filepath.Dir(d.path), name), template: template,
		varies: map[*yaml.Node]bool{}}
	if filepath.IsAbs(name) {
		r.path = name
	}
	d.rosterPath = r.path
	if !r.read(at) || !r.prepare() {
		return nil
	}
	return r.items()
}

// read opens the file and notes who else can.
func (r *roster) read(at *yaml.Node) bool {
	if r.d.open == nil {
		r.d.problem(at, "accounts_from needs accounts.yaml to be a file; write the accounts under accounts:")
		return false
	}
	file, err := r.d.open(r.path)
	if err != nil {
		r.d.problem(at, "accounts_from: the file cannot be read: %s; a relative path counts from the folder of this file",
			reason(err))
		return false
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil {
		r.d.rosterLoose = loose(r.path, info)
	}
	r.sheet, err = sheet.Read(file, sheet.Multiline)
	if err != nil {
		r.mistake(err)
		return false
	}
	return true
}

func (r *roster) mistake(err error) {
	p := &Problem{File: r.path, Text: reason(err), Code: fault.Config}
	if m, ok := err.(*sheet.Mistake); ok {
		p.Line, p.Column, p.Text = m.Line, m.Column, m.Text
	}
	r.d.add(p)
}

// prepare finds out what the columns mean.
func (r *roster) prepare() bool {
	if r.template != nil {
		return r.checkTemplate(r.template, 0)
	}
	right, known := true, map[string][]string{}
	if IsMicrosofts(r.sheet) {
		known = MicrosoftKeys
	}
	for _, column := range r.sheet.Header {
		keys, theirs := known[strings.ToLower(column.Text)]
		why := WrongColumn(column.Text)
		switch {
		case theirs:
		case why == "":
			keys = []string{column.Text}
		case len(known) == 0 || LooksLikeKey(column.Text): // what else such a list has means nothing
			r.d.add(&Problem{File: r.path, Line: column.Line, Column: column.Column, Code: fault.Config, Text: why})
			right = false
		}
		r.keys = append(r.keys, keys)
	}
	return right
}

// IsMicrosofts reports a migration list of Microsoft's. Where it has no Password, one more
// column than it may have could be that, mistyped.
func IsMicrosofts(table *sheet.Sheet) bool {
	has := func(column string) bool { return table.Index(column) >= 0 }
	columns := 0
	for _, column := range table.Header {
		if WrongColumn(column.Text) != "" {
			columns++
		}
	}
	return has("EmailAddress") && has("UserName") &&
		(has("Password") || columns == 2 || columns == 3 && has("UserRoot"))
}

// LooksLikeKey reports a column that was meant to be a key: left out, its values would be missed.
// Name is one that lists of people have.
func LooksLikeKey(column string) bool {
	first, _, _ := strings.Cut(column, ".")
	isKey := func(key string) bool { return strings.EqualFold(key, first) }
	return slices.ContainsFunc(accountSpec.keys, isKey) && !strings.EqualFold(column, "name")
}

// WrongColumn says why no key of an account is called so, or "". It may be no name but a
// password, so it is not shown. What is below the second level is left to the rows.
func WrongColumn(name string) string {
	first, rest, nested := strings.Cut(name, ".")
	second, _, _ := strings.Cut(rest, ".")
	sides := map[string]*spec{"source": sourceSpec, "destination": destinationSpec}
	side := sides[first]
	switch {
	case !slices.Contains(accountSpec.keys, first):
		return "unknown column; the first line must name the columns, like keys (name, source.username, " +
			"source.password, destination.username), or as template: in accounts.yaml calls them" +
			didYouMean(first, accountSpec.keys)
	case side != nil && !nested:
		return fmt.Sprintf("%s is not one value: write %s.username, %s.password and so on", first, first, first)
	case side != nil && !slices.Contains(side.keys, second):
		return fmt.Sprintf("%s has no such key; it takes %s%s", first, strings.Join(side.keys, ", "),
			didYouMean(second, side.keys))
	}
	return ""
}

// items makes the accounts.
func (r *roster) items() []*yaml.Node {
	items := make([]*yaml.Node, 0, len(r.sheet.Rows))
	for _, row := range r.sheet.Rows {
		if row.Err != nil {
			r.mistake(row.Err)
			continue
		}
		if item := r.item(row); item != nil {
			items = append(items, item)
		}
	}
	return items
}

func (r *roster) item(row sheet.Row) *yaml.Node {
	r.clones = 0
	var item *yaml.Node
	if r.template != nil {
		item = r.fill(r.template, row)
	} else {
		item = r.tree(row)
	}
	if item == nil || item.Kind != yaml.MappingNode {
		return item
	}
	own := *item // its place is the row's
	own.Line, own.Column = row.Line, 1
	r.d.cells[&own] = true
	return &own
}

// tree makes a mapping of a row by what its columns are for.
func (r *roster) tree(row sheet.Row) *yaml.Node {
	root := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: row.Line, Column: 1}
	for i, cell := range row.Cells {
		if cell.Text == "" {
			continue // as if the key was not there
		}
		for _, key := range r.keys[i] {
			if !r.overruled(i, key, row) {
				r.put(root, key, cell)
			}
		}
	}
	return root
}

// overruled reports whether a row has a key in a column of that very name, too.
func (r *roster) overruled(column int, key string, row sheet.Row) bool {
	own := r.sheet.Index(key)
	return own >= 0 && own != column && r.sheet.Header[own].Text == key && row.Cells[own].Text != ""
}

func (r *roster) put(at *yaml.Node, key string, cell sheet.Cell) {
	keys := strings.Split(key, ".")
	for _, level := range keys[:len(keys)-1] {
		at = r.child(at, level, &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}, cell)
	}
	r.child(at, keys[len(keys)-1], r.scalar(cell.Text), cell)
}

// child returns the value of a key, which is made if it is not there.
func (r *roster) child(at *yaml.Node, key string, value *yaml.Node, cell sheet.Cell) *yaml.Node {
	if old := rawValue(at, key); old != nil {
		if old.Kind != yaml.MappingNode || value.Kind != yaml.MappingNode {
			r.d.add(&Problem{File: r.path, Line: cell.Line, Column: cell.Column, Code: fault.Config,
				Text: "another column gives this row the same key in another form; empty one of the two"})
		}
		return old
	}
	name := r.scalar(key)
	for _, n := range []*yaml.Node{name, value} {
		n.Line, n.Column = cell.Line, cell.Column
		r.d.cells[n] = true
	}
	at.Content = append(at.Content, name, value)
	return value
}

// scalar is a value that is text, as if it was in quotes.
func (r *roster) scalar(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: text}
}

// checkTemplate refuses placeholders for which there is no column, and notes where there
// are any.
func (r *roster) checkTemplate(node *yaml.Node, depth int) bool {
	node = resolveAlias(node)
	r.visits++
	switch {
	case r.visits > maxTemplateNodes:
		r.d.problem(r.template, "the template has more than %d parts, with what its aliases repeat; write it without aliases",
			maxTemplateNodes)
		return false
	case depth > maxTemplateDepth:
		r.d.problem(node, "the template is nested too deeply, or leads back to itself; write it without aliases")
		return false
	case node.Kind == yaml.ScalarNode:
		return r.checkScalar(node)
	}
	right := true
	for _, child := range node.Content {
		right = r.checkTemplate(child, depth+1) && right
		if r.visits > maxTemplateNodes {
			return false
		}
		r.varies[node] = r.varies[node] || r.varies[resolveAlias(child)]
	}
	return right
}

// checkScalar tells once what is wrong with a value, however many aliases it has.
func (r *roster) checkScalar(node *yaml.Node) bool {
	if _, known := r.varies[node]; known {
		return true
	}
	r.varies[node] = strings.ContainsAny(node.Value, "{}")
	_, err := r.substitute(node, sheet.Row{})
	if err != nil {
		r.d.problem(node, "template: %v", err)
	}
	return err == nil
}

// fill copies a part of the template with the row's values in it; nil means that
// nothing is left of it, since the cells are empty.
func (r *roster) fill(node *yaml.Node, row sheet.Row) *yaml.Node {
	node = resolveAlias(node)
	if r.clones++; r.clones > maxRowNodes {
		r.d.problem(node, "the template makes too much of one row; write it without aliases")
		return nil
	}
	switch {
	case node.Kind == yaml.ScalarNode:
		filled, _ := r.substitute(node, row) // was checked
		return filled
	case !r.varies[node]:
		return node
	}
	filled := *node
	filled.Content = nil
	step := 1
	if node.Kind == yaml.MappingNode {
		step = 2
	}
	for i := 0; i+step <= len(node.Content); i += step {
		value := r.fill(node.Content[i+step-1], row)
		if value == nil { // what is missing then is missing in the row
			filled.Line, filled.Column = row.Line, 1
			r.d.cells[&filled] = true
			continue
		}
		filled.Content = append(append(filled.Content, node.Content[i:i+step-1]...), value)
	}
	if len(filled.Content) == 0 {
		return nil
	}
	return &filled
}

// laterBraces are words in braces that are none of ours: folders may have them.
var laterBraces = []string{"year", "month"}

// substitute puts a row's values in the place of {column}; {{ and }} are braces. A value
// that is nothing but an empty cell is nil. A row without cells checks the names only.
func (r *roster) substitute(node *yaml.Node, row sheet.Row) (*yaml.Node, error) {
	var b strings.Builder
	var first *sheet.Cell
	bare := true // there is nothing but placeholders
	for text := node.Value; text != ""; {
		part, rest, column, err := r.nextPlaceholder(text)
		if err != nil {
			return nil, err
		}
		b.WriteString(part)
		bare = bare && part == ""
		if text = rest; column < 0 || row.Cells == nil {
			continue
		}
		cell := row.Cells[column]
		b.WriteString(cell.Text)
		if first == nil || first.Text == "" {
			first = &cell
		}
	}
	switch {
	case first == nil && b.String() == node.Value:
		return node, nil
	case first != nil && bare && b.Len() == 0:
		return nil, nil
	}
	filled := r.scalar(b.String())
	filled.Line, filled.Column = node.Line, node.Column
	if first != nil {
		filled.Line, filled.Column = first.Line, first.Column
		r.d.cells[filled] = true
	}
	return filled, nil
}

// nextPlaceholder splits text into what comes before the first placeholder, what comes
// behind it, and its column; -1 if there is none.
func (r *roster) nextPlaceholder(text string) (before, rest string, column int, err error) {
	at := strings.IndexAny(text, "{}")
	switch {
	case at < 0:
		return text, "", -1, nil
	case at+1 < len(text) && text[at+1] == text[at]:
		return text[:at+1], text[at+2:], -1, nil
	}
	name, rest, closed := strings.Cut(text[at+1:], "}")
	if text[at] == '}' || !closed {
		return "", "", -1, fmt.Errorf("a brace stands alone; {{ and }} mean braces, and {column} a column of the CSV file")
	}
	if slices.Contains(laterBraces, name) {
		return text[:at] + "{" + name + "}", rest, -1, nil
	}
	if column = r.sheet.Index(strings.TrimSpace(name)); column < 0 {
		return "", "", -1, r.noColumn(strings.TrimSpace(name))
	}
	return text[:at], rest, column, nil
}

// noColumn says that a name in braces is no column. A file without a header has values
// where the names should be, and the braces may be part of a password: neither is shown,
// unless one is nearly the other.
func (r *roster) noColumn(name string) error {
	names := r.sheet.Names()
	return fmt.Errorf("a name in braces is no column of the CSV file; its first line has %d and must name them all%s",
		len(names), fault.Escape(didYouMean(name, names)))
}
