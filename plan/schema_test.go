package plan

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"gopkg.in/yaml.v3"
)

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	var s jsonschema.Schema
	if err := json.Unmarshal(Schema, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// specs are what the decoder takes, by the name of their definition in the schema.
var specs = map[string]*spec{"": rootSpec, "account": accountSpec, "defaults": defaultsSpec, "source": sourceSpec,
	"destination": destinationSpec, "password": passwordSpec, "keyring": keyringSpec, "oauth": oauthSpec,
	"limits": limitsSpec, "host_limits": hostLimitsSpec, "seen": seenSpec, "bridge": bridgeSpec, "pace": paceSpec,
	"alerts": alertsSpec, "mail": mailSpec, "route": routeSpec, "match": matchSpec}

// TestSchemaHasTheKeys: the schema and the decoder take the same keys, and each is
// described.
func TestSchemaHasTheKeys(t *testing.T) {
	s := schema(t)
	for name, spec := range specs {
		object := s
		if name != "" {
			object = objectIn(s.Definitions[name])
		}
		if object == nil {
			t.Errorf("no definition %q", name)
			continue
		}
		keys := slices.Sorted(maps.Keys(object.Properties))
		if want := slices.Sorted(slices.Values(spec.keys)); !slices.Equal(keys, want) {
			t.Errorf("%q: keys %q, want %q", name, keys, want)
		}
		for key, value := range object.Properties {
			about, _ := strings.CutPrefix(value.Ref, "#/definitions/")
			if described := s.Definitions[about]; value.Description == "" && (described == nil || described.Description == "" && !slices.Contains([]string{"account", "defaults"}, about)) {
				t.Errorf("%q: %s is not described", name, key)
			}
		}
	}
}

// objectIn finds the form of a value that is a mapping.
func objectIn(s *jsonschema.Schema) *jsonschema.Schema {
	if s == nil || s.Properties != nil {
		return s
	}
	for _, form := range s.OneOf {
		if form.Properties != nil {
			return form
		}
	}
	return nil
}

// TestEverySpecIsKnown: a new mapping of accounts.yaml has to be in the schema.
func TestEverySpecIsKnown(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, s := range specs {
		known[s.what] = true
	}
	found := 0
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			literal, ok := n.(*ast.CompositeLit)
			if !ok || len(literal.Elts) == 0 {
				return true
			}
			kind, _ := literal.Type.(*ast.Ident)
			pair, _ := literal.Elts[0].(*ast.KeyValueExpr)
			if kind == nil || kind.Name != "spec" || pair == nil {
				return true
			}
			what, _ := strconv.Unquote(pair.Value.(*ast.BasicLit).Value)
			if found++; !known[what] {
				t.Errorf("%s: %q is not in the schema, or not among the specs of this test", file, what)
			}
			return true
		})
	}
	if found < len(specs) {
		t.Errorf("found %d only", found)
	}
}

// TestSchemaAgrees: it takes every example, and of the files with mistakes those that a
// schema can't see at most.
func TestSchemaAgrees(t *testing.T) {
	resolved, err := schema(t).Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Glob("../examples/*.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatal("no examples", err)
	}
	for _, file := range examples {
		value, err := document(file)
		if err == nil {
			err = resolved.Validate(value)
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	refused := 0
	bad, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, file := range bad {
		if value, err := document(file); err == nil && resolved.Validate(value) != nil {
			refused++
		}
	}
	if refused < len(bad)/2 {
		t.Errorf("refuses %d of %d files with mistakes", refused, len(bad))
	}
}

// TestSchemaSizes: an editor takes the sizes that popferry takes, and hosts of which there is
// nothing to say yet.
func TestSchemaSizes(t *testing.T) {
	resolved, err := schema(t).Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	const source = "source: {host: pop.example.org, username: a, password: a}"
	const destination = "destination: {host: imap.example.org, username: a, password: a}"
	for _, form := range []string{"limits: {bandwidth: %s}", "limits: {hosts: {a.example: {bytes_per_day: %s}}}",
		"limits: {hosts: {a.example: %s}}", "limits: {hosts: %s}",
		"defaults: {routes: [{match: {larger_than: %s}, folder: Large}]}"} {
		for _, size := range []string{"2MiB", "2 MB", `"2,000k"`, "1.5g", `"30000000"`, "30000000", "unlimited",
			"2Mbit", "MiB", "2MiB/s", "-5MB", `""`, "null", "{}"} {
			text := fmt.Sprintf(form+"\naccounts: [{"+source+", "+destination+"}]", size)
			var value any
			if err := yaml.Unmarshal([]byte(text), &value); err != nil {
				t.Fatal(err)
			}
			_, refused := Parse("accounts.yaml", []byte(text))
			if wrong := resolved.Validate(value); (wrong == nil) != (refused == nil) {
				t.Errorf("%s: the schema says %v, and popferry %v", text, wrong, refused)
			}
		}
	}
}

// TestSchemaAuth: the words for auth are those of the decoder.
func TestSchemaAuth(t *testing.T) {
	for name, side := range map[string]side{"source": sourceSide, "destination": destinationSide} {
		var words []string
		for _, word := range schema(t).Definitions[name].Properties["auth"].Enum {
			words = append(words, word.(string))
		}
		slices.Sort(words)
		if want := slices.Sorted(slices.Values(side.auth)); !slices.Equal(words, want) {
			t.Errorf("%s: %q, want %q", name, words, want)
		}
	}
}

// document reads YAML as an editor does, into the values of JSON.
func document(file string) (value any, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal(text, &value); err != nil {
		return nil, err
	}
	text, err = json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return value, json.Unmarshal(text, &value)
}
