package plan

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// spec lists the keys that one kind of mapping may have.
type spec struct {
	// what names the mapping in messages.
	what string
	keys []string
	// bare leaves out what in front of messages about keys: it says nothing new.
	bare bool
	// secret forbids to repeat even the keys: they may be parts of a password.
	secret bool
}

// prefix stands in front of messages about keys.
func (s *spec) prefix() string {
	if s.bare {
		return ""
	}
	return s.what + ": "
}

// mapping is one YAML mapping, checked against its spec and with its merges
// (<<) applied.
type mapping struct {
	node   *yaml.Node
	values map[string]*yaml.Node
	lines  map[string]int // where each key stands
	// meant are keys that a mistyped one probably stands for: they are not missing
	// as well.
	meant map[string]bool
}

// wrong reports whether the node is no mapping at all, which was noted.
func (m *mapping) wrong() bool { return m.node.Kind != yaml.MappingNode && !isNull(m.node) }

// checked names a mapping that was checked already: an anchor or a default is
// met once for every account that uses it.
type checked struct {
	node *yaml.Node
	spec string
}

// mapping checks a node. Nothing at all counts as an empty mapping, since that
// is what is left when all keys are commented out.
func (d *decoder) mapping(node *yaml.Node, s *spec) *mapping {
	node = resolveAlias(node)
	id := checked{node, s.what}
	if m, ok := d.mappings[id]; ok {
		return m
	}
	m := &mapping{node: node, values: map[string]*yaml.Node{}, lines: map[string]int{},
		meant: map[string]bool{}}
	d.mappings[id] = m // before the merges are followed, which may lead back here
	switch {
	case m.wrong():
		d.problem(node, "%s must be a mapping (key: value), not %s", s.what, kindOf(node))
	case node.Kind == yaml.MappingNode:
		d.mappingKeys(m, s)
	}
	return m
}

func (d *decoder) mappingKeys(m *mapping, s *spec) {
	var merges []*yaml.Node
	for i := 0; i+1 < len(m.node.Content); i += 2 {
		key, value := m.node.Content[i], resolveAlias(m.node.Content[i+1])
		switch {
		case key.ShortTag() == "!!merge":
			merges = append(merges, value)
		case !slices.Contains(s.keys, key.Value):
			m.meant[d.unknownKey(key, value, s)] = true
		case m.lines[key.Value] > 0:
			d.problem(key, "%s%s is here twice: it is already in line %d; keep one of them", s.prefix(),
				key.Value, m.lines[key.Value])
		default:
			m.values[key.Value], m.lines[key.Value] = value, key.Line
		}
	}
	for _, node := range merges {
		d.merge(m, node, s)
	}
}

// merge lays another mapping, or several, under m (<<: *anchor).
func (d *decoder) merge(m *mapping, node *yaml.Node, s *spec) {
	sources := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		sources = node.Content
	}
	for _, source := range sources {
		if resolveAlias(source).Kind != yaml.MappingNode {
			d.problem(source, "%s<< takes an alias of a mapping", s.prefix())
			continue
		}
		for key, value := range d.mapping(source, s).values {
			if _, set := m.values[key]; !set {
				m.values[key] = value
			}
		}
	}
}

// unknownKey notes a key that has no place here and returns the one that was
// probably meant, or "".
func (d *decoder) unknownKey(key, value *yaml.Node, s *spec) string {
	text := s.prefix() + "unknown key"
	if !s.secret && harmless(key.Value) && !isNull(value) {
		text += fmt.Sprintf(" %q", key.Value)
	}
	near := suggestKey(key.Value, s.keys)
	if near != "" {
		text += fmt.Sprintf("; did you mean %q?", near)
	} else {
		text += "; it takes " + strings.Join(s.keys, ", ")
	}
	if strings.Contains(key.Value, ":") {
		text += " (a space must follow the colon)"
	}
	d.problem(key, "%s", text)
	return near
}

// harmless reports whether a key may be repeated in a message: a short word
// that looks like a key and not like a password.
func harmless(key string) bool {
	return len(key) <= 24 && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz_-") == ""
}

// resolveAlias returns what an alias stands for. An alias of an alias does not
// exist in YAML.
func resolveAlias(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}

// kindOf says what a node is, for messages.
func kindOf(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch node.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a date"
	case "!!str":
		return "text"
	}
	return "a value with a tag (!)"
}
