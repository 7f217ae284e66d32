package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// matrix is the result, and what is kept in docs/interop.json.
type matrix struct {
	Sources map[string]source `json:"sources"` // by source and kind
	Pairs   map[string]cell   `json:"pairs"`   // by source, destination and kind
}

func readMatrix(path string) (matrix, error) {
	var m matrix
	data, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// wrong says what must not be, whatever is kept.
func (m matrix) wrong() []string {
	var lines []string
	for _, p := range choose(nil) {
		c, ok := m.Pairs[p.String()]
		if !ok {
			continue
		}
		for _, fact := range []struct {
			what string
			n    int
		}{
			{"changed by popferry", c.Changed}, {"lost", c.Lost}, {"doubled", c.Doubled},
			{"copied by a second run", c.Again.Copied},
		} {
			if fact.n != 0 {
				lines = append(lines, fmt.Sprintf("%s: %d %s", p, fact.n, fact.what))
			}
		}
	}
	return lines
}

// differences compares with what is kept, for what was run.
func (m matrix) differences(kept matrix) []string {
	var lines []string
	for _, p := range choose(nil) {
		name := p.source + "-" + p.kind
		now, ok := m.Pairs[p.String()]
		if !ok {
			continue
		}
		was := kept.Pairs[p.String()]
		// Which one of two alike is taken for the other, without a journal, is a matter of which
		// connection was quicker: fewer copies than are kept is no difference.
		if now.NoJournal.Copied < was.NoJournal.Copied {
			now.NoJournal.Copied = was.NoJournal.Copied
		}
		if was != now {
			lines = append(lines, fmt.Sprintf("%s\n  is  %+v\n  was %+v", p, now, was))
		}
		if was := kept.Sources[name]; p.destination == destinations[0] && was != m.Sources[name] {
			lines = append(lines, fmt.Sprintf("%s\n  is  %+v\n  was %+v", name, m.Sources[name], was))
		}
	}
	return lines
}

// write prints the matrix as tables in Markdown.
func (m matrix) write(w io.Writer) error {
	var out bytes.Buffer
	for _, kind := range kinds {
		m.writeSources(&out, kind)
		m.writePairs(&out, kind)
	}
	_, err := w.Write(out.Bytes())
	return err
}

func (m matrix) writeSources(out *bytes.Buffer, kind string) {
	fmt.Fprintf(out, "\n### %s mail: what the sources serve\n\n", kind)
	fmt.Fprintln(out, "| source | in its store | listed | served as it is | altered by it |"+
		" refused by it |")
	fmt.Fprintln(out, "|---|--:|--:|--:|--:|--:|")
	for _, name := range sources {
		if s, ok := m.Sources[name+"-"+kind]; ok {
			fmt.Fprintf(out, "| %s | %d | %d | %d | %d | %d |\n", name, s.Put, s.Listed, s.Intact,
				s.Altered, s.Refused)
		}
	}
}

func (m matrix) writePairs(out *bytes.Buffer, kind string) {
	fmt.Fprintf(out, "\n### %s mail: what becomes of what they serve\n\n", kind)
	fmt.Fprintln(out, "| from | to | served | arrived | fields added | restored |"+
		" altered by the destination |"+
		" held | altered by popferry | lost | twice | exit | second run | without journal |")
	fmt.Fprintln(out, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|---|")
	for _, p := range choose([]string{""}) {
		c, ok := m.Pairs[p.String()]
		if !ok || p.kind != kind {
			continue
		}
		fmt.Fprintf(out, "| %s | %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %v | %v |\n",
			p.source, p.destination, c.Served, c.Arrived, c.Marked, c.Restored, c.Altered, c.Held,
			c.Changed, c.Lost, c.Doubled, c.Exit, c.Again, c.NoJournal)
	}
}

// String is how a further run is shown.
func (a again) String() string {
	if a.Copied == 0 {
		return fmt.Sprintf("none copied, exit %d", a.Exit)
	}
	return fmt.Sprintf("**%d copied**, exit %d", a.Copied, a.Exit)
}

// keep writes interop.json and interop.md.
func (m matrix) keep(dir string) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "interop.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	var page bytes.Buffer
	page.WriteString(intro)
	if err := m.write(&page); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "interop.md"), page.Bytes(), 0o644)
}
