package plan

import (
	"regexp"
	"strings"

	"github.com/dustin/go-humanize"
	"gopkg.in/yaml.v3"
)

// mostRoutes bounds the routes of one account: each message is held against all of them.
const mostRoutes = 1000

var (
	routeSpec = &spec{what: "route", keys: []string{"match", "folder"}}
	matchSpec = &spec{what: "match", keys: []string{"list-id", "from", "to", "subject", "header",
		"older_than", "larger_than", "own"}}
)

// routes reads the list of routes.
func (f fields) routes(key string) []Route {
	node := f.find(key)
	switch {
	case node == nil:
		return nil
	case node.Kind != yaml.SequenceNode || len(node.Content) == 0:
		f.problem(node, key, "must be a list with at least one route, such as "+
			`"- {match: {list-id: …}, folder: Lists/Go}"`)
		return nil
	case len(node.Content) > mostRoutes:
		f.problem(node, key, "has more than %d routes; it must have fewer", mostRoutes)
		return nil
	}
	var routes []Route
	for _, item := range node.Content {
		item = resolveAlias(item)
		inner := fields{d: f.d, path: key + ".", at: item, layers: []*mapping{f.d.mapping(item, routeSpec)}}
		if inner.layers[0].wrong() {
			continue
		}
		r := Route{Line: item.Line, Match: inner.match("match")}
		if inner.find("folder") == nil {
			inner.missing("folder", "the folder for what matches")
		}
		r.Folder = inner.routeFolder("folder")
		inner.unreachable(routes, r)
		routes = append(routes, r)
	}
	return routes
}

// unreachable notes a route that no mail gets to.
func (f fields) unreachable(before []Route, r Route) {
	for _, b := range before {
		if !b.Match.empty() && !r.Match.empty() && b.Match.covers(r.Match) {
			f.d.problem(f.at, "no mail gets to this route: that in line %d takes all that it would match; "+
				"put the narrower one first", b.Line)
			return
		}
	}
}

func (m Criteria) empty() bool {
	return len(m.Fields) == 0 && m.OlderThan == 0 && m.LargerThan == 0 && !m.Own
}

// match reads what a route asks for.
func (f fields) match(key string) Criteria {
	node := f.find(key)
	if node == nil {
		f.missing(key, "what the route is for, such as {from: \"*@example.org\"}")
		return Criteria{}
	}
	inner := fields{d: f.d, path: f.path + key + ".", at: node, layers: []*mapping{f.d.mapping(node, matchSpec)}}
	if inner.layers[0].wrong() {
		return Criteria{}
	}
	if len(inner.layers[0].values) == 0 && len(inner.layers[0].meant) == 0 {
		f.problem(node, key, "asks for nothing; mail that no route matches goes to folder: anyway")
		return Criteria{}
	}
	m := Criteria{OlderThan: inner.age("older_than", 0), LargerThan: inner.size("larger_than"), Own: inner.own("own")}
	for _, name := range []string{"list-id", "from", "to", "subject"} {
		m.add(name, inner.pattern(name))
	}
	inner.headers("header", &m)
	return m
}

func (m *Criteria) add(key, pattern string) {
	if pattern != "" {
		m.Fields = append(m.Fields, FieldMatch{Key: key, Pattern: pattern})
	}
}

// pattern reads a glob. White space is compared as one blank, and there is none at the
// ends of a value.
func (f fields) pattern(key string) string {
	text, node := f.text(key)
	if node != nil && fold(text) != strings.ToLower(text) {
		f.problem(node, key, "can match nothing: no value has white space at its ends, or two blanks in a row; "+
			"write one blank, or *")
	}
	return fold(text)
}

// headers reads patterns for any fields of the header.
func (f fields) headers(key string, m *Criteria) {
	node := f.find(key)
	if node == nil {
		return
	}
	if node.Kind != yaml.MappingNode || len(node.Content) == 0 {
		f.problem(node, key, `must name fields with their patterns, such as {X-Spam-Flag: "YES"}`)
		return
	}
	inner := fields{d: f.d, path: f.path + key + ".", at: node}
	seen := &mapping{node: node, values: map[string]*yaml.Node{}}
	inner.layers = []*mapping{seen}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name := node.Content[i]
		folded := strings.ToLower(name.Value)
		switch {
		case !fieldName.MatchString(name.Value):
			f.problem(name, key, "has a key that is no name of a header field; it must be one such as X-Spam-Flag")
		case seen.values[folded] != nil:
			f.problem(name, key, "has a field twice; keep one of them")
		default:
			seen.values[folded] = resolveAlias(node.Content[i+1])
			m.add(headerKey+folded, inner.pattern(folded))
		}
	}
}

// fieldName is what a header field may be called (RFC 5322 §2.2).
var fieldName = regexp.MustCompile(`^[!-9;-~]{1,200}$`)

// size reads a number of octets, above zero, with a unit.
func (f fields) size(key string) int64 {
	node := f.find(key)
	if node == nil {
		return 0
	}
	n, err := humanize.ParseBytes(node.Value)
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!str" || err != nil || n == 0 || n > 1<<50 {
		f.problem(node, key, "must be a size above zero with a unit, such as 500kB or 10MiB")
		return 0
	}
	return int64(n)
}

func (f fields) own(key string) bool {
	own := f.flag(key)
	if node := f.find(key); node != nil && node.Value == "false" {
		f.problem(node, key, "must be true, or left out")
	}
	return own
}

// routeFolder reads the folder of a route.
func (f fields) routeFolder(key string) string {
	name, node := f.text(key)
	if node == nil {
		return ""
	}
	if strings.HasPrefix(name, `\`) {
		name = f.specialFolder(key, name, node)
	}
	plain := strings.NewReplacer("{year}", "2000", "{month}", "01").Replace(name)
	if strings.ContainsAny(plain, "{}") {
		f.problem(node, key, "has {…} in it that means nothing; it must be {year} or {month}")
		return name
	}
	f.levels(key, plain, node)
	if strings.EqualFold(name, defaultFolder) {
		return defaultFolder
	}
	return name
}
