package report

import (
	"embed"
	"fmt"
	"html/template"
	"io"
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
		"safe": harmless, "tone": tone, "size": Size, "title": title, "when": moment,
		"name": func(m Message) string { return m.name() }, "cells": cells, "hint": Hint,
	}).ParseFS(page, "report.html")
	if err != nil {
		return fmt.Errorf("parse the page: %w", err)
	}
	return t.Execute(w, r.Sheet())
}

// labelled is a cell with the column that it stands in: on a phone each row is
// a card of its own, and every cell says what it is.
type labelled struct {
	Column Column
	Cell   Cell
}

func cells(s Sheet, row []Cell) []labelled {
	out := make([]labelled, len(row))
	for i, c := range row {
		out[i] = labelled{s.Columns[i], c}
	}
	return out
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

// title writes the name of a column with a capital.
func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
