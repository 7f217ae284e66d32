package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// part is what one part of the torture found.
type part struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	About   string `json:"about"`   // what was done, for people
	Command string `json:"command"` // that does it again

	Date     time.Time `json:"date"`
	Revision string    `json:"revision,omitempty"`
	Seconds  float64   `json:"seconds"`
	Seed     uint64    `json:"seed"`

	Cases   int     `json:"cases"`
	Kills   int     `json:"kills"`
	Verdict verdict `json:"verdict"`
	// Exits counts exit statuses.
	Exits map[string]int `json:"exits,omitempty"`
	// Rows are single cases, where those are worth being told.
	Rows []row `json:"rows,omitempty"`
	// Notes are further figures, and what was left out.
	Notes []string `json:"notes,omitempty"`
	// Failed counts what should not be, and Failures tell of the first of it.
	Failed   int      `json:"failed"`
	Failures []string `json:"failures,omitempty"`
}

// row is one case: what was done and what came of it.
type row struct {
	Name string `json:"name"`
	Want string `json:"want"`
	Got  string `json:"got"`
}

// told is how many failures of a part are told; the others are mostly like them.
const told = 30

func (p *part) fail(format string, args ...any) {
	p.Failed++
	if p.Failed > told {
		return
	}
	p.Failures = append(p.Failures, fmt.Sprintf(format, args...))
}

func (p *part) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

func (p *part) exit(e ended) {
	if p.Exits == nil {
		p.Exits = map[string]int{}
	}
	name := fmt.Sprint(e.Exit)
	if e.Exit < 0 {
		name = "killed"
	}
	p.Exits[name]++
}

// judge takes a verdict into the figures; one that is not clean is a failure of the case.
func (p *part) judge(v verdict, name string) {
	p.Verdict.add(v)
	if v != (verdict{}) {
		p.fail("%s: lost %d, doubled %d, altered %d, deleted too early %d",
			name, v.Lost, v.Doubled, v.Altered, v.Early)
	}
}

// result is what reliability.json holds.
type result struct {
	Parts []part `json:"parts"`
}

// keep puts the figures into a directory, beside those of parts that did not run this time.
func keep(dir string, r *result) error {
	old, err := readResult(filepath.Join(dir, "reliability.json"))
	if err != nil {
		return err
	}
	*r = old.with(r.Parts)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "reliability.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	var page strings.Builder
	if err := writePage(&page, *r); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "reliability.md"), []byte(page.String()), 0o644)
}

func readResult(path string) (r result, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// with replaces parts, and keeps the order in which they run.
func (r result) with(newer []part) result {
	byName := map[string]part{}
	for _, p := range append(slices.Clone(r.Parts), newer...) {
		byName[p.Name] = p
	}
	var out result
	for _, p := range parts {
		if figures, ok := byName[p.name]; ok {
			out.Parts = append(out.Parts, figures)
		}
	}
	return out
}

// exits says how runs ended, such as "0: 12, 75: 3".
func (p part) exits() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(p.Exits)) {
		list = append(list, fmt.Sprintf("%s: %d", name, p.Exits[name]))
	}
	return strings.Join(list, ", ")
}

// writeText is for the terminal.
func writeText(w io.Writer, r result) error {
	for _, p := range r.Parts {
		_, err := fmt.Fprintf(w, "%-8s %6d cases, %5d kills: lost %d, doubled %d, altered %d, early %d"+
			"  (%.0f s)  exits %s\n", p.Name, p.Cases, p.Kills, p.Verdict.Lost, p.Verdict.Doubled,
			p.Verdict.Altered, p.Verdict.Early, p.Seconds, p.exits())
		if err != nil {
			return err
		}
		for _, line := range p.Notes {
			if _, err := fmt.Fprintf(w, "         %s\n", line); err != nil {
				return err
			}
		}
		for _, c := range p.Rows {
			if _, err := fmt.Fprintf(w, "         %-34s want %s: %s\n", c.Name, c.Want, c.Got); err != nil {
				return err
			}
		}
	}
	return nil
}
