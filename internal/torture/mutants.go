package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
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

	mu      sync.Mutex
	figures part
	sound   map[string]error // how the tests end without a bug, by package and run
}

func mutants(ctx context.Context, b *bench) (part, error) {
	g := &gardener{bench: b, sound: map[string]error{}, figures: part{
		Title: "Planted bugs",
		About: "Bugs that would lose mail, double it or alter it are planted into the engine, one at a time,\n" +
			"and the tests have to notice. Each is a file in `internal/torture/mutants`.",
		Command: "go run ./internal/torture mutants",
	}}
	list, err := loadMutants()
	if err != nil {
		return g.figures, err
	}
	var work errgroup.Group
	work.SetLimit(b.Parallel)
	for _, m := range list {
		if strings.HasPrefix(m.Name, b.Only) {
			work.Go(func() error { return g.one(ctx, m) })
		}
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

// one plants a bug and runs its test.
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

// grow builds the test with the bug and runs it.
func (g *gardener) grow(ctx context.Context, m mutant) (string, error) {
	source, err := os.ReadFile(m.File)
	if err != nil {
		return "", err
	}
	text, err := m.plant(string(source))
	if err != nil {
		return "broken: " + err.Error(), nil
	}
	dir, err := g.bench.mkdir("mutant")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	overlay, err := writeOverlay(dir, m.File, text)
	if err != nil {
		return "", err
	}
	err = g.test(ctx, m, dir, "-overlay", overlay)
	var failed *exec.ExitError
	switch {
	case err == nil:
		return "survived", nil
	case errors.As(err, &failed):
		return "noticed", nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	}
	return "broken: " + err.Error(), nil
}

// writeOverlay makes go build see a file with another content (go help build, -overlay).
func writeOverlay(dir, file, text string) (string, error) {
	original, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	planted := filepath.Join(dir, "planted.go")
	data, err := json.Marshal(map[string]map[string]string{"Replace": {original: planted}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, errors.Join(os.WriteFile(planted, []byte(text), 0o600), os.WriteFile(overlay, data, 0o600))
}

// testLimit is how long a test may hang with a bug in the engine.
const testLimit = time.Minute

// test builds a package's tests and runs those that are named. That they fail is an
// [exec.ExitError]; that they cannot be built is another error, since then nothing was tested.
func (g *gardener) test(ctx context.Context, m mutant, dir string, flags ...string) error {
	program := filepath.Join(dir, "mutant.test")
	build := exec.CommandContext(ctx, "go", append(append([]string{"test", "-c", "-o", program}, flags...),
		m.Package)...)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %v: %s", err, tail(string(out)))
	}
	run := exec.CommandContext(ctx, program, "-test.run", m.Run, "-test.timeout", testLimit.String(),
		"-test.failfast", "-test.short")
	run.Dir = m.Package
	run.WaitDelay = time.Second
	out, err := run.CombinedOutput()
	if err == nil && strings.Contains(string(out), "no tests to run") {
		return fmt.Errorf("%s has no test %s", m.Package, m.Run)
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && len(flags) == 0 {
		return fmt.Errorf("%w: %s", err, tail(string(out)))
	}
	return err
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
	dir, err := g.bench.mkdir("sound")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	err = g.test(ctx, m, dir)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sound[key] = err
	return err
}
