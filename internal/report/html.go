package report

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/fault"
)

//go:embed report.html
var page embed.FS

// htmlFormat writes one page that needs nothing else: no script, no font, no
// picture, so that it can be mailed and read anywhere.
type htmlFormat struct{}

func (htmlFormat) write(w io.Writer, r Result) error {
	t, err := template.New("report.html").Funcs(template.FuncMap{
		"safe": Harmless, "tone": tone, "size": Size, "title": title, "when": moment,
		"name": func(m Message) string { return m.name() }, "cells": cells, "hint": Hint,
		"gather": gather, "draw": draw,
		"last": func(bars []drawnBar) int { return len(bars) - 1 },
	}).ParseFS(page, "report.html")
	if err != nil {
		return fmt.Errorf("parse the page: %w", err)
	}
	return t.Execute(w, r.Sheet())
}

// labelled is a cell with the column that it stands in: on a phone each row is
// a card of its own, and every cell says what it is. Link leads to what explains
// it, which may be many cards away; "" where nothing does.
type labelled struct {
	Column Column
	Cell   Cell
	Link   string
}

func cells(s Sheet, row []Cell) []labelled {
	account := row[0].Value
	message := slices.IndexFunc(s.Messages, func(m Message) bool { return m.Account == account })
	var out []labelled
	for i, c := range row {
		if s.Columns[i].Data {
			continue
		}
		l := labelled{Column: s.Columns[i], Cell: c}
		switch {
		case c.Code != fault.OK && s.issueOf(account) >= 0:
			l.Link = fmt.Sprintf("#error-%d", s.issueOf(account))
		case c.Code == fault.Held && len(s.Warnings) > 0:
			l.Link = "#warnings"
		case message >= 0 && (c.Code != fault.OK || s.Columns[i].Name == "held" && !c.None):
			l.Link = fmt.Sprintf("#message-%d", message)
		}
		out = append(out, l)
	}
	return out
}

// issueOf is where the error of an account stands among those that [gather] makes
// of all, or -1.
func (s Sheet) issueOf(account any) int {
	own := slices.IndexFunc(s.Errors, func(e Issue) bool { return e.Account == account })
	if own < 0 {
		return -1
	}
	return slices.IndexFunc(gather(s.Errors), func(e Issue) bool {
		return e.Text == s.Errors[own].Text && e.Hint == s.Errors[own].Hint
	})
}

// tone is the class of what ended with a code.
func tone(code fault.Code) string {
	switch code {
	case fault.OK:
		return "well"
	case fault.Held, fault.Temporary:
		return "wait"
	}
	return "bad"
}

// drawing is a chart in the units of its picture, which is 600 wide and 120 high.
type drawing struct {
	Chart
	Bars  []drawnBar
	Most  int
	Total int
}

type drawnBar struct {
	Bar
	X, Y, Width, Height float64
}

func draw(c Chart) drawing {
	d := drawing{Chart: c}
	for _, b := range c.Bars {
		d.Most = max(d.Most, b.Value)
		d.Total += b.Value
	}
	const width, height = 600, 120
	step := width / float64(max(len(c.Bars), 1))
	for i, b := range c.Bars {
		h := height * float64(b.Value) / float64(max(d.Most, 1))
		d.Bars = append(d.Bars, drawnBar{b, float64(i)*step + step*.1, height - h, step * .8, h})
	}
	return d
}

// title writes the name of a column with a capital, or in capitals if it is a
// protocol.
func title(s string) string {
	if s == "pop3" || s == "imap" {
		return strings.ToUpper(s)
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
