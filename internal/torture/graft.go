package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// asleep is the variable, in a package with grafted bugs, that names the one which is awake.
const asleep = "wokenBug"

// awake declares it for a package. The environment names the bug.
const awake = "package %s\n\nimport \"os\"\n\nvar " + asleep + " = os.Getenv(\"" + wakes + "\")\n"

// wakes is the environment variable that names the bug to be woken.
const wakes = "POPFERRY_TORTURE_BUG"

// graft puts bugs into a source side by side, all asleep, so that one build does for all of them:
// each function that a bug changes gets a twin that has the bug, and begins by asking whether the
// twin is to run. A bug outside of functions, or in one whose twin can't be called, is not
// grafted, and has to be planted alone.
func graft(source string, bugs []mutant) (text string, alone []mutant, err error) {
	stock, err := parseStock(source)
	if err != nil {
		return "", nil, err
	}
	questions := make([]string, len(stock.decls))
	var twins strings.Builder
	for _, m := range bugs {
		planted, err := m.plant(source)
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		scion, err := parseStock(planted)
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		changed, ok := stock.changes(scion)
		if !ok {
			alone = append(alone, m)
			continue
		}
		for _, i := range changed {
			twin := stock.function(i).Name.Name + "_" + strings.ReplaceAll(m.Name, "-", "_")
			call, _ := callOf(stock.function(i), twin)
			questions[i] += fmt.Sprintf("\n\tif %s == %q {\n\t\t%s\n\t}", asleep, m.Name, call)
			twins.WriteString("\n" + scion.renamed(i, twin) + "\n")
		}
	}
	return stock.asking(questions) + twins.String(), alone, nil
}

// stock is a source and its declarations.
type stock struct {
	text  string
	base  token.Pos
	decls []ast.Decl
}

func parseStock(source string) (stock, error) {
	var files token.FileSet
	file, err := parser.ParseFile(&files, "source.go", source, parser.SkipObjectResolution)
	if err != nil {
		return stock{}, err
	}
	return stock{source, file.FileStart, file.Decls}, nil
}

// between is the text from one place to another.
func (s stock) between(from, to token.Pos) string { return s.text[from-s.base : to-s.base] }

func (s stock) function(i int) *ast.FuncDecl { return s.decls[i].(*ast.FuncDecl) }

// changes tells which functions have another body in a source that is else the same; ok is false
// if it is not, or if a twin of one can't be called.
func (s stock) changes(other stock) (changed []int, ok bool) {
	if len(s.decls) != len(other.decls) {
		return nil, false
	}
	for i, was := range s.decls {
		is := other.decls[i]
		if s.between(was.Pos(), was.End()) == other.between(is.Pos(), is.End()) {
			continue
		}
		before, isFunc := was.(*ast.FuncDecl)
		after, staysFunc := is.(*ast.FuncDecl)
		if !isFunc || !staysFunc ||
			s.between(before.Pos(), before.Body.Lbrace) != other.between(after.Pos(), after.Body.Lbrace) {
			return nil, false
		}
		if _, ok := callOf(before, ""); !ok {
			return nil, false
		}
		changed = append(changed, i)
	}
	return changed, len(changed) > 0
}

// callOf is the statement by which a function has a twin do its work; ok is false if the twin
// can't be given all that the function was given, by name.
func callOf(f *ast.FuncDecl, twin string) (statement string, ok bool) {
	var args []string
	for _, field := range f.Type.Params.List {
		for _, name := range field.Names {
			arg := name.Name
			if _, isRest := field.Type.(*ast.Ellipsis); isRest {
				arg += "..."
			}
			args = append(args, arg)
		}
		if len(field.Names) == 0 {
			args = append(args, "_")
		}
	}
	if f.Recv != nil {
		names := f.Recv.List[0].Names
		if len(names) == 0 || names[0].Name == "_" {
			return "", false
		}
		twin = names[0].Name + "." + twin
	}
	call := twin + "(" + strings.Join(args, ", ") + ")"
	if f.Type.Results == nil {
		call += "; return"
	} else {
		call = "return " + call
	}
	return call, f.Type.TypeParams == nil && !slices.Contains(args, "_")
}

// renamed is a function with another name.
func (s stock) renamed(i int, name string) string {
	f := s.function(i)
	return s.between(f.Pos(), f.Name.Pos()) + name + s.between(f.Name.End(), f.End())
}

// asking is the source with a question at the beginning of functions, by declaration.
func (s stock) asking(questions []string) string {
	var out strings.Builder
	at := s.base
	for i, question := range questions {
		if question == "" {
			continue
		}
		body := s.function(i).Body.Lbrace + 1
		out.WriteString(s.between(at, body) + question + "\n")
		at = body
	}
	out.WriteString(s.text[at-s.base:])
	return out.String()
}

// byFile puts mutants of one file together.
func byFile(list []mutant) map[string][]mutant {
	files := map[string][]mutant{}
	for _, m := range slices.SortedFunc(slices.Values(list), func(a, b mutant) int { return cmp.Compare(a.Name, b.Name) }) {
		files[m.File] = append(files[m.File], m)
	}
	return files
}
