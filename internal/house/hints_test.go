package house_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// hintless are folders whose errors no user of popferry reads: they belong to
// tests and measurements. fault makes the errors of others.
var hintless = []string{
	"internal/bench/", "internal/fault/", "internal/interop/", "internal/mailtest/", "internal/torture/",
}

// Every error that reaches a person says what to check first. One of the class
// Internal is a bug of ours, and fault says what to do about those.
func TestEveryErrorHasAHint(t *testing.T) {
	seen := 0
	for _, path := range sources(t) {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, filepath.Join(root(t), path), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range file.Decls {
			made, hinted := faultsIn(f)
			seen += len(made)
			for _, call := range made {
				if !hinted[call] {
					t.Errorf("%v: this error has no hint", files.Position(call.Pos()))
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("found %d errors only", seen)
	}
}

// sources are the files of the program, seen from the top.
func sources(t *testing.T) (paths []string) {
	t.Helper()
	top := root(t)
	err := filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
		relative := strings.TrimPrefix(filepath.ToSlash(path), filepath.ToSlash(top)+"/")
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") && !isHintless(relative) {
			paths = append(paths, relative)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func isHintless(path string) bool {
	for _, folder := range hintless {
		if strings.HasPrefix(path, folder) {
			return true
		}
	}
	return false
}

// faultsIn finds where a declaration makes errors, and which of those get a hint:
// in the chain of calls that begins with [fault.New], or, where that is kept in a
// variable, by some use of it in the same declaration.
func faultsIn(declaration ast.Node) (made []ast.Expr, hinted map[ast.Expr]bool) {
	hinted = map[ast.Expr]bool{}
	kept := map[ast.Expr]string{}
	names := map[string]bool{}
	ast.Inspect(declaration, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if isFault(n.Type, "Error") {
				made = append(made, n)
				hinted[n] = hasField(n, "Hint")
			}
		case *ast.CallExpr:
			if isFault(n.Fun, "New") && !isFault(n.Args[0], "Internal") && !isFault(n.Args[0], "OK") {
				made = append(made, n)
			}
			if on, ok := methodOn(n, "WithHint"); ok {
				start := startOf(on)
				hinted[start] = true
				if name, ok := start.(*ast.Ident); ok {
					names[name.Name] = true
				}
			}
		case *ast.AssignStmt:
			keep(kept, names, n)
		}
		return true
	})
	for call, name := range kept {
		hinted[call] = hinted[call] || names[name]
	}
	return made, hinted
}

// keep notes which variable holds what a chain of calls starts with, and which
// variable has its field Hint set.
func keep(kept map[ast.Expr]string, names map[string]bool, n *ast.AssignStmt) {
	if len(n.Lhs) != 1 || len(n.Rhs) != 1 {
		return
	}
	switch left := n.Lhs[0].(type) {
	case *ast.Ident:
		kept[startOf(n.Rhs[0])] = left.Name
	case *ast.SelectorExpr:
		if name, ok := left.X.(*ast.Ident); ok && left.Sel.Name == "Hint" {
			names[name.Name] = true
		}
	}
}

// startOf is what a chain of calls starts with: a in a.B().C().
func startOf(e ast.Expr) ast.Expr {
	for {
		call, ok := e.(*ast.CallExpr)
		if !ok || isFault(call.Fun, "New") {
			return e
		}
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return e
		}
		e = selector.X
	}
}

func methodOn(call *ast.CallExpr, name string) (ast.Expr, bool) {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != name {
		return nil, false
	}
	return selector.X, true
}

func isFault(e ast.Expr, name string) bool {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != name {
		return false
	}
	pkg, ok := selector.X.(*ast.Ident)
	return ok && pkg.Name == "fault"
}

func hasField(literal *ast.CompositeLit, name string) bool {
	for _, element := range literal.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		if key, ok := pair.Key.(*ast.Ident); ok && key.Name == name {
			return true
		}
	}
	return false
}
