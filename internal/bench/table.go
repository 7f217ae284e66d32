package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// writeJSON writes everything that was measured.
func writeJSON(w io.Writer, r result) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(r)
}

// howText explains the numbers.
//
//go:embed how.md
var howText string

// table is Markdown that is being written.
type table struct{ strings.Builder }

func (t *table) line(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }

// row writes the cells of one row; a bar in a cell would end it.
func (t *table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = strings.ReplaceAll(cell, "|", `\|`)
	}
	t.line("| %s |", strings.Join(cells, " | "))
}

// head writes the first row and the rule below it: numbers are set to the right.
func (t *table) head(cells ...string) {
	t.row(cells...)
	t.line("|---%s|", strings.Repeat("|---:", len(cells)-1))
}

// writeTable writes the page for people.
func writeTable(w io.Writer, r result) error {
	t := &table{}
	t.line("# How fast popferry is\n")
	t.line("Written by `make bench` (`go run ./internal/bench`) on %s; it took %s. "+
		"The numbers of each run are in [bench.json](bench.json).\n",
		r.Date.Format("2 January 2006"), time.Duration(r.Seconds)*time.Second)
	t.line("![Messages per second by round trip and program](bench.svg)\n")
	t.speed(r)
	t.arrived(r)
	t.memory(r)
	t.idle(r)
	t.targets(r)
	t.machine(r.Machine)
	t.WriteString(howText)
	_, err := io.WriteString(w, t.String())
	return err
}

// speed compares the programs.
func (t *table) speed(r result) {
	t.line("## Time\n")
	t.line("Median of the runs, lower is better; \"20 ms\" is the length of a round trip.\n")
	t.head(append([]string{""}, toolNames()...)...)
	for _, c := range r.Cases {
		if c.of(rawLimit) == nil {
			continue
		}
		cells := []string{fmt.Sprintf("%s (%.1f MB)", c.Title, float64(c.Bytes)/1e6)}
		for _, name := range toolNames() {
			cells = append(cells, c.cell(name))
		}
		t.row(cells...)
	}
	t.line("")
}

// cell tells a time, and what it is compared with popferry's, or popferry's with the limit.
func (m measured) cell(tool string) string {
	s := m.of(tool)
	seconds, ok := s.seconds()
	if !ok {
		return s.excuse()
	}
	text := duration(seconds)
	if s.Messages != m.Messages {
		return fmt.Sprintf("%s for %s messages", text, thousands(s.Messages))
	}
	base := map[string]string{popferry: rawLimit, movemail: popferry, fdm: popferry}[tool]
	if other, ok := m.of(base).seconds(); ok {
		text += fmt.Sprintf(" (%s × %s)", factor(seconds/other), base)
	}
	return text
}

func factor(f float64) string {
	if f >= 10 {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.1f", f)
}

// arrived tells what became of the mail, over all runs of a program.
func (t *table) arrived(r result) {
	t.line("## What arrived\n")
	t.line("After each run the files of the destination are compared with what was sent. " +
		"Line ends, a missing one at the end of the message, and NUL as 0x80 do not count as a " +
		"change.\n")
	t.head("", "runs", "failed", "messages to carry", "delivered", "unchanged",
		"lost, changed or doubled")
	for _, name := range toolNames() {
		runs, failed, want, wrong := 0, 0, 0, 0
		var sum outcome
		for _, c := range r.Cases {
			s := c.of(name)
			if s == nil {
				continue
			}
			for _, run := range s.Runs {
				runs++
				want += s.Messages
				wrong += run.wrong(s.Messages)
				if !run.finished() {
					failed++
				}
				sum.Delivered += run.Delivered
				sum.Intact += run.Intact
			}
		}
		if runs == 0 {
			continue
		}
		t.row(name, thousands(runs), thousands(failed), thousands(want), thousands(sum.Delivered),
			thousands(sum.Intact), thousands(wrong))
	}
	t.line("")
}

// memory tells the largest resident sets.
func (t *table) memory(r result) {
	t.line("## Memory\n")
	t.line("Largest resident set of any run.\n")
	t.head(append([]string{""}, toolNames()...)...)
	for _, c := range r.Cases {
		cells := []string{c.Title}
		for _, name := range toolNames() {
			most, ok := c.of(name).largest(func(o oneRun) float64 { return mebibytes(o.MaxRSS) })
			if !ok || most == 0 {
				cells = append(cells, "–")
				continue
			}
			cells = append(cells, fmt.Sprintf("%.0f MiB", most))
		}
		t.row(cells...)
	}
	t.line("")
}

// idle tells what a run costs that has nothing to do.
func (t *table) idle(r result) {
	t.line("## A run with nothing new\n")
	t.head("", "popferry", "round trips, POP3", "round trips, IMAP")
	for _, name := range []string{idleCase, tripsCase} {
		c, ok := r.find(name)
		if !ok {
			continue
		}
		s := c.of(popferry)
		if excuse := s.excuse(); excuse != "" {
			t.row(c.Title, excuse, "–", "–")
			continue
		}
		seconds, _ := s.seconds()
		pop, imap := "not counted", "not counted"
		if c.TripMS > 0 {
			last := s.Runs[len(s.Runs)-1]
			pop, imap = thousands(last.POPTrips), thousands(last.IMAPTrips)
		}
		t.row(c.Title, duration(seconds), pop, imap)
	}
	t.line("")
}

func (t *table) targets(r result) {
	if len(r.Targets) == 0 {
		return
	}
	t.line("## Targets\n")
	for _, g := range r.Targets {
		t.line("* **%s** %s: %s", g.State, g.Name, g.Text)
	}
	t.line("")
}

func (t *table) machine(m machine) {
	t.line("## Machine\n")
	t.line("* %d cores, %s, %s MB of memory, %s, load before the first run %s",
		m.Cores, m.CPU, thousands(m.MemoryMB), m.System, m.Load)
	t.line("* mail in memory, popferry's journal on %s; built with Go %s", m.Disk, m.Go)
	for _, name := range append([]string{"dovecot"}, toolNames()[1:]...) {
		t.line("* %s: %s", name, m.Programs[name])
	}
	t.line("")
}
