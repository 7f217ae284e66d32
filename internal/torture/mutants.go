package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// mutant is a bug to be planted: in one file, one text is replaced by another, and then a test
// has to fail.
type mutant struct {
	Name    string // that of its file
	Title   string // what is wrong then
	File    string // from the top of the repository
	Package string // of the test
	Run     string // the test, as go test -run wants it
	Was, Is string
}

//go:embed mutants/*.txt
var mutantFiles embed.FS

// loadMutants reads those that are kept beside this file.
func loadMutants() ([]mutant, error) {
	names, err := fs.Glob(mutantFiles, "mutants/*.txt")
	if err != nil {
		return nil, err
	}
	var list []mutant
	for _, name := range names {
		text, err := mutantFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		m, err := parseMutant(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		m.Name = strings.TrimSuffix(filepath.Base(name), ".txt")
		list = append(list, m)
	}
	return list, nil
}

// parseMutant reads "# title", "file: …", "test: package run", and the two texts behind the lines
// "--- was" and "--- is".
func parseMutant(text string) (m mutant, err error) {
	head, rest, ok := strings.Cut(text, "\n--- was\n")
	was, is, two := strings.Cut(rest, "\n--- is\n")
	if !ok || !two {
		return m, errors.New("it lacks --- was or --- is")
	}
	m.Was, m.Is = was, strings.TrimSuffix(is, "\n")
	for line := range strings.Lines(head) {
		line = strings.TrimSpace(line)
		switch name, value, _ := strings.Cut(line, " "); name {
		case "#":
			m.Title = value
		case "file:":
			m.File = value
		case "test:":
			m.Package, m.Run, _ = strings.Cut(value, " ")
		default:
			return m, fmt.Errorf("what is %q?", line)
		}
	}
	if m.Title == "" || m.File == "" || m.Package == "" || m.Run == "" || m.Was == m.Is {
		return m, errors.New("it lacks a title, a file or a test, or changes nothing")
	}
	return m, nil
}

// plant returns the source with the bug.
func (m mutant) plant(source string) (string, error) {
	if n := strings.Count(source, m.Was); n != 1 {
		return "", fmt.Errorf("the text to be replaced is %d times in %s", n, m.File)
	}
	return strings.Replace(source, m.Was, m.Is, 1), nil
}

// gardener is the part "mutants".
type gardener struct {
	bench *bench
	beds  map[string]*bed // by package of the test

	mu      sync.Mutex
	figures part
	sound   map[string]error // how the tests end without a bug, by package and run
}

// bed is a program with the tests of a package, and all bugs that they have to notice, asleep.
type bed struct {
	program string
	alone   map[string]bool // bugs that it lacks, which need a program of their own
}

func mutants(ctx context.Context, b *bench) (part, error) {
	g := &gardener{bench: b, beds: map[string]*bed{}, sound: map[string]error{}, figures: part{
		Title: "Planted bugs",
		About: "Bugs that would lose mail, double it or alter it are planted into the engine, one at a time,\n" +
			"and the tests have to notice. Each is a file in `internal/torture/mutants`.",
		Command: "go run ./internal/torture mutants",
	}}
	list, err := loadMutants()
	if err != nil {
		return g.figures, err
	}
	list = slices.DeleteFunc(list, func(m mutant) bool { return !strings.HasPrefix(m.Name, b.Only) })
	if err := g.layOut(ctx, list); err != nil {
		return g.figures, err
	}
	var work errgroup.Group
	work.SetLimit(b.Parallel)
	for _, m := range list {
		work.Go(func() error { return g.one(ctx, m) })
	}
	err = work.Wait()
	slices.SortFunc(g.figures.Rows, func(a, b row) int { return strings.Compare(a.Name, b.Name) })
	killed := 0
	for _, r := range g.figures.Rows {
		if r.Got == "noticed" {
			killed++
		}
	}
	g.figures.note("%d of %d noticed", killed, g.figures.Cases)
	return g.figures, err
}

// layOut builds the beds.
func (g *gardener) layOut(ctx context.Context, list []mutant) error {
	byPackage := map[string][]mutant{}
	for _, m := range list {
		byPackage[m.Package] = append(byPackage[m.Package], m)
	}
	for name, bugs := range byPackage {
		dir, err := g.bench.mkdir("bed")
		if err != nil {
			return err
		}
		b := &bed{filepath.Join(dir, "mutant.test"), map[string]bool{}}
		overlay, err := b.plant(dir, bugs)
		if err != nil {
			return err
		}
		if err := build(ctx, name, b.program, overlay); err != nil {
			return fmt.Errorf("%s with all bugs: %w", name, err)
		}
		g.beds[name] = b
		g.bench.say("%-32s %d bugs in one program, %d alone", name, len(bugs)-len(b.alone), len(b.alone))
	}
	return nil
}

// plant grafts bugs, and returns what has to be built in the place of what.
func (b *bed) plant(dir string, bugs []mutant) (overlay string, err error) {
	files := map[string]string{}
	for name, bugs := range byFile(bugs) {
		source, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		text, alone, err := graft(string(source), bugs)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		for _, m := range alone {
			b.alone[m.Name] = true
		}
		files[name] = text
		files[filepath.Join(filepath.Dir(name), asleep+".go")] = fmt.Sprintf(awake, packageOf(text))
	}
	return writeOverlay(dir, files)
}

// packageOf is the name in a source's package clause.
func packageOf(source string) string {
	file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.PackageClauseOnly)
	if err != nil {
		return "" // which can't be built
	}
	return file.Name.Name
}

// one wakes a bug and runs its test.
func (g *gardener) one(ctx context.Context, m mutant) error {
	if err := g.isSound(ctx, m); err != nil {
		return fmt.Errorf("%s: without the bug: %w", m.Name, err)
	}
	began := time.Now()
	got, err := g.grow(ctx, m)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	g.bench.say("%-32s %s (%.0f s)", m.Name, got, time.Since(began).Seconds())
	g.mu.Lock()
	defer g.mu.Unlock()
	g.figures.Cases++
	if got != "noticed" {
		g.figures.fail("%s (%s): %s, with %s -run %s", m.Name, m.Title, got, m.Package, m.Run)
	}
	g.figures.Rows = append(g.figures.Rows, row{Name: m.Name + ": " + m.Title,
		Want: "noticed by " + m.Package + " " + m.Run, Got: got})
	return nil
}

// grow runs the test with the bug.
func (g *gardener) grow(ctx context.Context, m mutant) (string, error) {
	program := g.beds[m.Package].program
	if g.beds[m.Package].alone[m.Name] {
		dir, err := g.bench.mkdir("mutant")
		if err != nil {
			return "", err
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "mutant.test")
		if err := plantAlone(ctx, m, dir, program); err != nil {
			return "broken: " + err.Error(), ctx.Err()
		}
	}
	err := test(ctx, m, program, m.Name)
	var failed *exec.ExitError
	switch {
	case err == nil:
		return "survived", nil
	case errors.As(err, &failed):
		return "noticed", nil
	}
	return "", err
}

// plantAlone builds a program with one bug, awake.
func plantAlone(ctx context.Context, m mutant, dir, program string) error {
	source, err := os.ReadFile(m.File)
	if err != nil {
		return err
	}
	text, err := m.plant(string(source))
	if err != nil {
		return err
	}
	overlay, err := writeOverlay(dir, map[string]string{m.File: text})
	if err != nil {
		return err
	}
	return build(ctx, m.Package, program, overlay)
}

// writeOverlay makes go build see files with another content (go help build, -overlay).
func writeOverlay(dir string, files map[string]string) (string, error) {
	replace := map[string]string{}
	for name, text := range files {
		original, err := filepath.Abs(name)
		if err != nil {
			return "", err
		}
		replace[original] = filepath.Join(dir, fmt.Sprintf("planted%d.go", len(replace)))
		if err := os.WriteFile(replace[original], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	data, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, data, 0o600)
}

// build makes a program of a package's tests.
func build(ctx context.Context, name, program, overlay string) error {
	out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, "-overlay", overlay, name).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build: %w: %s", err, tail(string(out)))
	}
	return nil
}

// testLimit is how long a test may hang with a bug in the engine.
const testLimit = time.Minute

// test runs a mutant's tests with a bug, or none for "". That they fail is an [exec.ExitError].
func test(ctx context.Context, m mutant, program, bug string) error {
	run := exec.CommandContext(ctx, program, "-test.run", m.Run, "-test.timeout", testLimit.String(),
		"-test.failfast", "-test.short")
	run.Dir, run.Env = m.Package, append(os.Environ(), wakes+"="+bug)
	run.WaitDelay = time.Second
	out, err := run.CombinedOutput()
	switch {
	case err == nil && strings.Contains(string(out), "no tests to run"):
		return fmt.Errorf("%s has no test %s", m.Package, m.Run)
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%w: %s", err, tail(string(out)))
	}
	return nil
}

// isSound runs the tests of a mutant without it, once for all that have the same.
func (g *gardener) isSound(ctx context.Context, m mutant) error {
	key := m.Package + " " + m.Run
	g.mu.Lock()
	err, done := g.sound[key]
	g.mu.Unlock()
	if done {
		return err
	}
	err = test(ctx, m, g.beds[m.Package].program, "")
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sound[key] = err
	return err
}
