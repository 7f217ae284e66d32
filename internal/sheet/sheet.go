// Package sheet reads tables as spreadsheets and directories write them: CSV (RFC 4180)
// with a header, separated by commas, semicolons or tabs.
//
// Every cell knows its line and column, so that a mistake found later can be shown
// where it is. A row that can't be read is told and does not spoil the others: behind one
// with a quote in the wrong place, reading goes on in the next line of the file.
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

// Breaks says whether a cell may hold line breaks.
type Breaks bool

const (
	// OneLine is for tables of accounts and nothing else: no value of one has a line
	// break, so a row that goes on in the next line has a stray quote.
	OneLine Breaks = false
	// Multiline is for tables that may have other columns, such as notes.
	Multiline Breaks = true
)

// Read reads a table whose first line is its header. What makes it no table at all
// is a *Mistake; other errors are those of r.
func Read(r io.Reader, breaks Breaks) (*Sheet, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, err
	}
	if err := checkFile(data); err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if bytes.IndexByte(data, '\n') < 0 { // as spreadsheets on old Macs write it
		data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	}
	comma, skipped := separator(data)
	rows := &reader{data: data, comma: comma, breaks: breaks}
	rows.resume(skipped)
	header, err := rows.header()
	if err != nil {
		return nil, err
	}
	return &Sheet{Header: header, Rows: rows.rest(len(header))}, nil
}

const remedy = "save it as CSV in UTF-8 (in Excel: CSV UTF-8)"

// checkFile refuses what is no table at all.
func checkFile(data []byte) error {
	switch {
	case len(data) > MaxFile:
		return &Mistake{Text: fmt.Sprintf("is larger than %d MB; is it a table of accounts?", MaxFile>>20)}
	case IsUTF16(data):
		return &Mistake{Text: "is UTF-16; " + remedy}
	}
	return nil
}

// IsUTF16 reports a file that says of itself that it is UTF-16, as Windows writes it.
func IsUTF16(data []byte) bool {
	return bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff"))
}

// checkText refuses cells that would be read as other letters than were meant.
func checkText(cells []Cell) *Mistake {
	for _, c := range cells {
		switch {
		case strings.IndexByte(c.Text, 0) >= 0:
			return &Mistake{c.Line, c.Column, "holds a NUL: this is no text; " + remedy}
		case !utf8.ValidString(c.Text):
			return &Mistake{c.Line, c.Column, "is not UTF-8; " + remedy}
		}
	}
	return nil
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
	csv    *csv.Reader
	data   []byte // where csv began
	before int    // lines before data
	comma  rune
	breaks Breaks
}

// resume goes on behind a line of the file, which is in data.
func (r *reader) resume(line int) {
	for range line - r.before {
		_, r.data, _ = bytes.Cut(r.data, []byte("\n"))
	}
	r.before = line
	r.csv = csv.NewReader(bytes.NewReader(r.data))
	r.csv.Comma = r.comma
	r.csv.FieldsPerRecord = -1 // said in our own words
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
	if m := checkText(header); m != nil {
		return nil, m
	}
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
		if cell.Text == "" {
			return &Mistake{cell.Line, cell.Column,
				fmt.Sprintf("column number %d has no name; the first line must name them all", i+1)}
		}
		same := slices.IndexFunc(header[:i], func(c Cell) bool { return strings.EqualFold(c.Text, cell.Text) })
		if same >= 0 {
			return &Mistake{cell.Line, cell.Column,
				fmt.Sprintf("columns number %d and %d have the same name; rename one of them", same+1, i+1)}
		}
	}
	return nil
}

// rest reads all rows behind the header.
func (r *reader) rest(columns int) (rows []Row) {
	for {
		record, err := r.csv.Read()
		record = trim(record, columns)
		switch {
		case errors.Is(err, io.EOF):
			return rows
		case err != nil:
			rows = append(rows, r.lose(r.mistake(err)))
		case r.torn(record, columns):
			line, _ := r.csv.FieldPos(0)
			rows = append(rows, r.lose(&Mistake{line + r.before, 1, "a value in double quotes goes on in the next line; close the " +
				`quote or take the line break out; inside quotes, a quote must be there twice ("")`}))
		case slices.ContainsFunc(record, func(s string) bool { return s != "" }):
			rows = append(rows, r.row(record, columns))
		}
	}
}

// lose gives up the line in which a row starts, and no other: what a stray quote has
// swallowed may be many rows.
func (r *reader) lose(m *Mistake) Row {
	r.resume(m.Line)
	return Row{Line: m.Line, Err: m}
}

// torn reports a record that two stray quotes may have made of several rows.
func (r *reader) torn(record []string, columns int) bool {
	broken := slices.ContainsFunc(record, func(text string) bool { return strings.Contains(text, "\n") })
	return broken && (r.breaks == OneLine || len(record) != columns || slices.ContainsFunc(record, r.holdsRow(columns)))
}

// holdsRow reports a value of which one line, not the first, has the columns of a row.
func (r *reader) holdsRow(columns int) func(string) bool {
	return func(text string) bool {
		lines := strings.Split(text, "\n")
		return slices.ContainsFunc(lines[1:], func(line string) bool { return strings.Count(line, string(r.comma)) == columns-1 })
	}
}

func (r *reader) row(record []string, columns int) Row {
	cells := r.cells(record)
	row := Row{Line: cells[0].Line, Cells: cells}
	if row.Err = checkText(cells); row.Err == nil && len(cells) != columns {
		row.Err = &Mistake{row.Line, 1, fmt.Sprintf("the row has %d columns, and the header has %d; a value with a "+
			"separator in it must be in double quotes", len(cells), columns)}
	}
	return row
}

// trim takes off empty columns behind those of the header.
func trim(record []string, columns int) []string {
	for len(record) > columns && record[len(record)-1] == "" {
		record = record[:len(record)-1]
	}
	return record
}

func (r *reader) cells(record []string) []Cell {
	cells := make([]Cell, len(record))
	for i, text := range record {
		line, column := r.csv.FieldPos(i)
		cells[i] = Cell{text, line + r.before, column}
	}
	return cells
}

// mistake puts an error of the parser in our words; it never repeats the text.
func (r *reader) mistake(err error) *Mistake {
	var parse *csv.ParseError
	if !errors.As(err, &parse) {
		return &Mistake{Text: "cannot be read as a table; save it as CSV"}
	}
	m := &Mistake{parse.StartLine + r.before, 1, "a double quote is in the wrong place; " +
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
