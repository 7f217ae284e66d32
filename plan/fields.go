package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// maxText bounds every text but a password, in octets.
const maxText = 1024

// fields reads the values of one mapping with its defaults under it: the first
// layer that has a key wins.
type fields struct {
	d      *decoder
	path   string     // "source.", or "" for the account itself
	at     *yaml.Node // where a missing key is missed
	layers []*mapping
	// parentGuessed says that the mapping itself may hide behind a mistake.
	parentGuessed bool
}

// find returns the value of a key, or nil.
func (f fields) find(key string) *yaml.Node {
	for _, layer := range f.layers {
		if value, ok := layer.values[key]; ok {
			return value
		}
	}
	return nil
}

// sub returns the fields of a mapping inside every layer that has it.
func (f fields) sub(key string, s *spec) fields {
	inner := fields{d: f.d, path: f.path + key + ".", at: f.at,
		parentGuessed: f.guessed(key)}
	for i, layer := range f.layers {
		value, ok := layer.values[key]
		if !ok {
			continue
		}
		if i == 0 {
			inner.at = value
		}
		inner.layers = append(inner.layers, f.d.mapping(value, s))
	}
	return inner
}

// problem notes a mistake in the value of a key.
func (f fields) problem(at *yaml.Node, key, format string, args ...any) {
	f.d.problem(at, "%s%s %s", f.path, key, fmt.Sprintf(format, args...))
}

// missing notes that a key is needed, unless only defaults are being read or
// another problem explains why it is not there.
func (f fields) missing(key, wanted string) {
	if !f.d.draft && !f.guessed(key) {
		f.problem(f.at, key, "is missing; it must be %s", wanted)
	}
}

// guessed reports whether the key may hide behind a mistake that was noted.
func (f fields) guessed(key string) bool {
	return slices.ContainsFunc(f.layers, func(m *mapping) bool {
		return m.wrong() || m.meant[key]
	})
}

// text returns a string and its place; nil when there is none or it is wrong.
func (f fields) text(key string) (string, *yaml.Node) {
	node := f.find(key)
	switch {
	case node == nil:
		return "", nil
	case node.Kind != yaml.ScalarNode || node.ShortTag() != "!!str":
		f.problem(node, key, "must be text, not %s%s", kindOf(node), quoteHint(node))
	case node.Value == "":
		f.problem(node, key, "is empty; write a value, or leave the key out")
	case strings.ContainsAny(node.Value, "\r\n\x00"):
		f.problem(node, key, "contains a line break or a NUL; it must be one line of text")
	case len(node.Value) > maxText:
		f.problem(node, key, "is longer than %d bytes; it must be shorter", maxText)
	default:
		return node.Value, node
	}
	return "", nil
}

func quoteHint(node *yaml.Node) string {
	if node.Kind == yaml.ScalarNode {
		return `; put it in quotes`
	}
	return ""
}

// required is text that must be there.
func (f fields) required(key, wanted string) (string, *yaml.Node) {
	if f.find(key) == nil {
		f.missing(key, wanted)
	}
	return f.text(key)
}

// choice returns one of the allowed words, the first of which is the default.
func (f fields) choice(key string, allowed []string) (string, *yaml.Node) {
	node := f.find(key)
	if node == nil {
		return allowed[0], nil
	}
	word := node.Value // empty unless it is a scalar
	if !slices.Contains(allowed, word) {
		f.problem(node, key, "must be %s%s", orList(allowed), didYouMean(word, allowed))
		return allowed[0], node
	}
	return word, node
}

func didYouMean(word string, allowed []string) string {
	if near := nearest(word, allowed); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

func orList(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// number returns a whole number from 1 to top, or the fallback.
func (f fields) number(key string, fallback, top int) int {
	node := f.find(key)
	if node == nil {
		return fallback
	}
	n, err := strconv.Atoi(node.Value)
	if !f.d.reads(node, "!!int") || err != nil ||
		n < 1 || n > top {
		f.problem(node, key, "must be a whole number from 1 to %d", top)
		return fallback
	}
	return n
}

// flag returns true or false; false is the default.
func (f fields) flag(key string) bool {
	node := f.find(key)
	if node == nil {
		return false
	}
	if !f.d.reads(node, "!!bool") {
		f.problem(node, key, "must be true or false")
	}
	return strings.EqualFold(node.Value, "true")
}

// reads reports whether a scalar is of a type. A cell of a CSV file has none until it
// is known what it is for.
func (d *decoder) reads(node *yaml.Node, tag string) bool {
	if d.cells[node] {
		node = &yaml.Node{Kind: node.Kind, Value: node.Value}
	}
	return node.Kind == yaml.ScalarNode && node.ShortTag() == tag
}

// tooLong tells a number with a unit, if it is no time span, from what is none at all.
func tooLong(node *yaml.Node) bool {
	unit := strings.TrimLeft(node.Value, "0123456789")
	return node.Kind == yaml.ScalarNode && len(unit) < len(node.Value) && slices.Contains([]string{"s", "m", "h", "d"}, unit)
}

// age returns a time span above zero, or the fallback.
func (f fields) age(key string, fallback time.Duration) time.Duration {
	node := f.find(key)
	if node == nil {
		return fallback
	}
	value, ok := ParseAge(node.Value)
	if !ok && tooLong(node) {
		f.problem(node, key, "is too long: a time span may be %s at most", formatDays(maxAge))
		return fallback
	}
	if node.Kind != yaml.ScalarNode || !ok || value == 0 {
		f.problem(node, key, "must be a time span above zero with a unit, such as 90s, 5m or 30d")
		return fallback
	}
	return value
}
