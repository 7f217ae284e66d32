package foreign

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// order is how keys are written, by the level above them; others follow.
var order = map[string][]string{
	"":            {"name", "source", "destination", "folder", "routes", "keep", "seen", "repair"},
	"source":      {"host", "port", "tls", "tls_ca", "tls_pin", "username", "password", "auth", "skip_uidls"},
	"destination": {"host", "port", "tls", "tls_ca", "tls_pin", "username", "password", "auth"},
}

// Text is the new file.
type Text struct {
	// YAML is what is in it.
	YAML string
	// first has the line at which each account of the list starts.
	first []int
}

// Write makes an accounts.yaml of a list that is settled. What holds for all goes under
// defaults. from says in a comment what the list was.
func (l *List) Write(from string, settings []Setting) Text {
	var b strings.Builder
	fmt.Fprintf(&b, "# Made by popferry import from %s.\n#\n", comment(from))
	b.WriteString("#   popferry plan    what a run would do; it writes nothing on a server\n")
	b.WriteString("#\n# Nothing is deleted from POP3 unless keep: says so.\n")
	if l.Secrets() > 0 {
		b.WriteString("# Put each password that is missing into its file below secrets/, readable by you alone.\n")
	}
	b.WriteString("\n")
	defaults := defaultsOf(settings)
	if len(defaults.Values) > 0 {
		b.WriteString("defaults:\n")
		defaults.write(&b, "  ", "  ")
		b.WriteString("\n")
	}
	b.WriteString("accounts:\n")
	text := Text{}
	line, counted := 1, 0 // the line that is written next, and how much of the text it is behind
	for _, a := range l.Accounts {
		for _, note := range a.Notes {
			fmt.Fprintf(&b, "  # %s\n", comment(note))
		}
		line, counted = line+strings.Count(b.String()[counted:], "\n"), b.Len()
		text.first = append(text.first, line)
		a.write(&b, "  - ", "    ")
	}
	text.YAML = b.String()
	return text
}

// defaultsOf has the settings that are the same for all accounts.
func defaultsOf(settings []Setting) *Account {
	defaults := &Account{}
	for _, s := range settings {
		if s.shared() {
			defaults.set(s.Key, s.Value)
		}
	}
	return defaults
}

// Account says which account of the list a line of the text is about; nil for none.
func (t Text) Account(l *List, line int) *Account {
	i, found := slices.BinarySearch(t.first, line)
	if !found {
		i--
	}
	if i < 0 {
		return nil
	}
	return l.Accounts[i]
}

// comment makes a text fit for a comment.
func comment(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, text)
}

// tree is values by level.
type tree struct {
	keys   []string
	below  map[string]*tree
	values map[string]Value
}

func (a *Account) write(b *strings.Builder, first, indent string) {
	root := grow(a.Values)
	lead := first
	for _, key := range root.sorted("") {
		fmt.Fprintf(b, "%s%s: %s\n", lead, plain(key), root.text(key))
		lead = indent
	}
}

// grow sorts values into levels. A key that is there twice, in whatever form, keeps its
// first value.
func grow(values []Value) *tree {
	root := &tree{}
	for _, v := range values {
		at := root
		keys := strings.Split(v.Key, ".")
		for _, key := range keys[:len(keys)-1] {
			at = at.level(key)
			if at == nil {
				break
			}
		}
		if last := keys[len(keys)-1]; at != nil && !slices.Contains(at.keys, last) {
			at.keys = append(at.keys, last)
			if at.values == nil {
				at.values = map[string]Value{}
			}
			at.values[last] = v
		}
	}
	return root
}

// level returns what is below a key; nil where that has a value of its own.
func (t *tree) level(key string) *tree {
	if !slices.Contains(t.keys, key) {
		t.keys = append(t.keys, key)
		if t.below == nil {
			t.below = map[string]*tree{}
		}
		t.below[key] = &tree{}
	}
	return t.below[key]
}

func (t *tree) sorted(parent string) []string {
	rank := func(key string) int {
		if i := slices.Index(order[parent], key); i >= 0 {
			return i
		}
		return len(order[parent])
	}
	keys := slices.Clone(t.keys)
	slices.SortStableFunc(keys, func(a, b string) int { return rank(a) - rank(b) })
	return keys
}

// text writes what a key has, on one line.
func (t *tree) text(key string) string {
	below := t.below[key]
	if below == nil {
		return t.values[key].yaml(key)
	}
	parts := make([]string, 0, len(below.keys))
	for _, inner := range below.sorted(key) {
		parts = append(parts, plain(inner)+": "+below.text(inner))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

var (
	plainText = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._/@+-]*$`)
	number    = regexp.MustCompile(`^[0-9]{1,9}$`)
	// typed are keys whose values are no text.
	typed = []string{"port", "connections", "allow_plaintext", "different_user"}
	// words that YAML takes for something else than text.
	reserved = []string{"true", "false", "yes", "no", "on", "off", "y", "n", "null"}
)

func (v Value) yaml(key string) string {
	if v.Words != nil {
		quoted := make([]string, len(v.Words))
		for i, word := range v.Words {
			quoted[i] = quote(word)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	if lower := strings.ToLower(v.Text); slices.Contains(typed, key) && (number.MatchString(lower) || lower == "true" || lower == "false") {
		return lower // spreadsheets write TRUE
	}
	return plain(v.Text)
}

// plain writes a text as it is where YAML takes it for one, else in quotes.
func plain(text string) string {
	if plainText.MatchString(text) && !slices.Contains(reserved, strings.ToLower(text)) {
		return text
	}
	return quote(text)
}

// quote writes a text in double quotes: a string of JSON is one of YAML. Letters that mean
// something in HTML stay as they are, for people to read.
func quote(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		panic(err) // a string always has a form
	}
	return strings.TrimSuffix(b.String(), "\n")
}
