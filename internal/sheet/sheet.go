// Package sheet reads tables as spreadsheets and directories write them: CSV (RFC 4180)
// with a header, separated by commas, semicolons or tabs.
//
// Every cell knows its line and column, so that a mistake found later can be shown
// where it is. A row that can't be read is told and does not spoil the others.
package sheet

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// MaxFile bounds a file, in octets.
	MaxFile = 64 << 20
	// maxColumns bounds the header.
	maxColumns = 200
)

// Cell is one value and its place; Line and Column count from 1, Column in octets.
type Cell struct {
	Text         string
	Line, Column int
}

// Row is one line of the table. Its cells are as many as the header has, or Err
// says what is wrong with it.
type Row struct {
	Line  int
	Cells []Cell
	Err   *Mistake
}

// Mistake says what is wrong with a file, and where; Line 0 means all of it.
type Mistake struct {
	Line, Column int
	Text         string
}

// Error gives "line 7: text".
func (m *Mistake) Error() string {
	if m.Line == 0 {
		return m.Text
	}
	return fmt.Sprintf("line %d: %s", m.Line, m.Text)
}

// Sheet is a table.
type Sheet struct {
	// Header has the names of the columns, without blanks around them. They are all
	// different, whatever their case.
	Header []Cell
	// Rows are in the order of the file, without those that are empty.
	Rows []Row
}

// Read reads a table whose first line is its header. What makes it no table at all
// is a *Mistake; other errors are those of r.
func Read(r io.Reader) (*Sheet, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, err
	}
	if err := checkText(data); err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	comma, skipped := separator(data)
	rows := newReader(data, comma, skipped)
	header, err := rows.header()
	if err != nil {
		return nil, err
	}
	return &Sheet{Header: header, Rows: rows.rest(len(header))}, nil
}

// checkText refuses what would be read as other letters than were meant.
func checkText(data []byte) error {
	const remedy = "save it as CSV in UTF-8 (in Excel: CSV UTF-8)"
	switch {
	case len(data) > MaxFile:
		return &Mistake{Text: fmt.Sprintf("is larger than %d MB; is it a table of accounts?", MaxFile>>20)}
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return &Mistake{Text: "is UTF-16; " + remedy}
	case bytes.IndexByte(data, 0) >= 0:
		return &Mistake{Line: lineOf(data, bytes.IndexByte(data, 0)), Text: "holds a NUL: this is no text; " + remedy}
	case !utf8.Valid(data):
		return &Mistake{Line: lineOf(data, firstInvalid(data)), Text: "is not UTF-8; " + remedy}
	}
	return nil
}

func lineOf(data []byte, offset int) int { return 1 + bytes.Count(data[:offset], []byte("\n")) }

func firstInvalid(data []byte) int {
	for at := 0; at < len(data); {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return len(data)
}

// separator finds what stands between the columns: what an Excel file says in a line
// "sep=;" of its own, which counts as skipped, or what the header has most of.
func separator(data []byte) (comma rune, skipped int) {
	first, _, _ := bytes.Cut(data, []byte("\n"))
	first = bytes.TrimSuffix(first, []byte("\r"))
	if said, ok := bytes.CutPrefix(first, []byte("sep=")); ok && len(said) == 1 {
		return rune(said[0]), 1
	}
	comma = ','
	for _, other := range ";\t" {
		if bytes.Count(first, []byte(string(other))) > bytes.Count(first, []byte(string(comma))) {
			comma = other
		}
	}
	return comma, 0
}

// reader reads records and their places.
type reader struct {
	csv     *csv.Reader
	skipped int // lines before what csv reads
}

func newReader(data []byte, comma rune, skipped int) *reader {
	for range skipped {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.Comma = comma
	r.FieldsPerRecord = -1 // said in our own words
	return &reader{r, skipped}
}

func (r *reader) header() ([]Cell, error) {
	record, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, &Mistake{Text: "is empty; its first line must name the columns"}
	}
	if err != nil {
		return nil, r.mistake(err)
	}
	if len(record) > maxColumns {
		return nil, &Mistake{Line: 1, Text: fmt.Sprintf("has more than %d columns; is it a table of accounts?", maxColumns)}
	}
	header := r.cells(record)
	for i := range header {
		header[i].Text = strings.TrimSpace(header[i].Text)
	}
	// Spreadsheets leave empty columns behind those in use.
	for len(header) > 1 && header[len(header)-1].Text == "" {
		header = header[:len(header)-1]
	}
	return header, checkHeader(header)
}

func checkHeader(header []Cell) error {
	for i, cell := range header {
		switch {
		case cell.Text == "":
			return &Mistake{cell.Line, cell.Column, "a column has no name; the first line must name them all"}
		case slices.ContainsFunc(header[:i], func(c Cell) bool { return strings.EqualFold(c.Text, cell.Text) }):
			return &Mistake{cell.Line, cell.Column, "two columns have the same name; rename one of them"}
		}
	}
	return nil
}

// rest reads all rows behind the header.
func (r *reader) rest(columns int) (rows []Row) {
	for {
		record, err := r.csv.Read()
		switch {
		case errors.Is(err, io.EOF):
			return rows
		case err != nil:
			m := r.mistake(err)
			rows = append(rows, Row{Line: m.Line, Err: m})
		case slices.ContainsFunc(record, func(s string) bool { return s != "" }):
			rows = append(rows, r.row(record, columns))
		}
	}
}

func (r *reader) row(record []string, columns int) Row {
	cells := r.cells(record)
	row := Row{Line: cells[0].Line, Cells: cells}
	for len(cells) > columns && cells[len(cells)-1].Text == "" {
		cells = cells[:len(cells)-1]
	}
	row.Cells = cells
	if len(cells) != columns {
		row.Err = &Mistake{row.Line, 1, fmt.Sprintf("the row has %d columns, and the header has %d; a value with a "+
			"separator in it must be in double quotes", len(cells), columns)}
	}
	return row
}

func (r *reader) cells(record []string) []Cell {
	cells := make([]Cell, len(record))
	for i, text := range record {
		line, column := r.csv.FieldPos(i)
		cells[i] = Cell{text, line + r.skipped, column}
	}
	return cells
}

// mistake puts an error of the parser in our words; it never repeats the text.
func (r *reader) mistake(err error) *Mistake {
	var parse *csv.ParseError
	if !errors.As(err, &parse) {
		return &Mistake{Text: "cannot be read as a table; save it as CSV"}
	}
	m := &Mistake{parse.StartLine + r.skipped, 1, "a double quote is in the wrong place; " +
		`a value with one in it must be in double quotes itself, and have it twice ("")`}
	if parse.Line > parse.StartLine {
		m.Text = "a double quote opens a value and is not closed; " + `inside quotes, a quote must be there twice ("")`
	}
	return m
}

// Index finds a column by its name, whatever its case; -1 if there is none.
func (s *Sheet) Index(name string) int {
	return slices.IndexFunc(s.Header, func(c Cell) bool { return strings.EqualFold(c.Text, name) })
}

// Names lists the columns, for messages.
func (s *Sheet) Names() []string {
	names := make([]string, len(s.Header))
	for i, cell := range s.Header {
		names[i] = cell.Text
	}
	return names
}
