package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// parseYAML returns the root of the only document, or nil with a problem noted.
func (d *decoder) parseYAML(data []byte) *yaml.Node {
	decoder := yaml.NewDecoder(bytes.NewReader(fromJSON(data)))
	root, err := nextDocument(decoder)
	switch {
	case errors.Is(err, io.EOF):
		d.problem(nil, "is empty; it needs accounts: and below it at least one account")
		return nil
	case err != nil:
		d.syntaxProblem(data, err)
		return nil
	}
	second, err := nextDocument(decoder)
	switch {
	case errors.Is(err, io.EOF):
		return root
	case err != nil:
		d.syntaxProblem(data, err)
	default:
		d.problem(second, "a second document starts here (---); put all accounts under one accounts:")
	}
	return root
}

// nextDocument reads one document and returns what is in it. The library panics
// on some malformed input, which must not end the program.
func nextDocument(decoder *yaml.Decoder) (root *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("not valid YAML")
		}
	}()
	var document yaml.Node
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	return document.Content[0], nil
}

// syntaxProblem explains an error of the YAML parser. Its texts are fixed but
// for one, which repeats the name of an anchor: that may be a password.
func (d *decoder) syntaxProblem(data []byte, err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		number, message, _ := strings.Cut(rest, ": ")
		line, _ = strconv.Atoi(number) // 0 on nonsense: no place is told
		text = message
	}
	line = brokenLine(data, line)
	at := &yaml.Node{Line: line}
	if name, ok := strings.CutPrefix(text, "unknown anchor '"); ok {
		name, _ = strings.CutSuffix(name, "' referenced")
		d.problem(findAlias(data, name), "a value that starts with * refers to an anchor (&), "+
			"and there is none of this name; if it is meant as text, put it in single quotes")
		return
	}
	if tab := findTab(data, line); tab != nil && strings.Contains(text, "cannot start any token") {
		d.problem(tab, "a tab in the indentation; YAML takes spaces only")
		return
	}
	d.problem(at, "not valid YAML: %s%s", text, syntaxHint(text))
}

// Limits of brokenLine, in octets: of the file, and of all that it parses.
const (
	maxSearched = 1 << 20
	maxReparsed = 4 << 20
)

// brokenLine returns the line of a syntax error, or the parser's word where that
// would be too much work. The parser tells where the mapping or list begins that
// it can't finish, which may be far above. What is wrong is in the line behind the
// longest part of the file that is well: it is there, or a quote or bracket opens
// there that should have been closed.
func brokenLine(data []byte, told int) int {
	if len(data) > maxSearched || isUTF16(data) {
		return told
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	last := linesUntilError(lines)
	part := bytes.Join(lines[:last], nil)
	for work := 0; last > 0 && work < maxReparsed; last-- {
		part = part[:len(part)-len(lines[last-1])]
		if wellFormed(bytes.NewReader(part)) {
			return last
		}
		work += len(part)
	}
	return told
}

// isUTF16 reports a file with the byte order mark of UTF-16, where a line feed is
// two octets.
func isUTF16(data []byte) bool {
	return bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff"))
}

// linesUntilError is how many lines the parser takes before it gives up: the error
// is in none of the others.
func linesUntilError(lines [][]byte) int {
	taken := &lineReader{lines: lines}
	wellFormed(taken)
	return taken.count
}

// lineReader hands out one line at a time.
type lineReader struct {
	lines [][]byte
	count int
	rest  []byte
}

func (r *lineReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.count == len(r.lines) {
			return 0, io.EOF
		}
		r.rest = r.lines[r.count]
		r.count++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// wellFormed reports whether parseYAML would find no syntax error.
func wellFormed(r io.Reader) bool {
	decoder := yaml.NewDecoder(r)
	_, err := nextDocument(decoder)
	if err == nil {
		_, err = nextDocument(decoder)
	}
	return err == nil || errors.Is(err, io.EOF)
}

// syntaxHint says what is behind most errors with this text.
func syntaxHint(text string) string {
	for _, known := range []struct{ part, hint string }{
		{"cannot start any token", "a value that starts with %, @ or ` must be in quotes"},
		{"unknown escape character", `between double quotes a \ starts an escape; use single quotes`},
		{"mapping values are not allowed",
			"check the indentation; a value with a colon and a space in it must be in quotes"},
		{"expected ':'", "check that every key is followed by a colon and a space"},
		{"did not find expected", "check the indentation, and that quotes and brackets are closed"},
		{"unexpected end of stream", "a quote or bracket is not closed"},
		{"control characters", "save the file as plain text in UTF-8"},
		{"UTF-8", "save the file as UTF-8"},
	} {
		if strings.Contains(text, known.part) {
			return "; " + known.hint
		}
	}
	return "; check the indentation, quotes and brackets there"
}

// findTab returns the place of a tab in the indentation of this line or of its
// neighbours, since the parser's line is not always exact; nil if there is none.
func findTab(data []byte, line int) *yaml.Node {
	number := 0
	for text := range bytes.Lines(data) {
		number++
		indent := text[:len(text)-len(bytes.TrimLeft(text, " \t"))]
		tab := bytes.IndexByte(indent, '\t')
		if tab >= 0 && number >= line-1 && number <= line+1 {
			return &yaml.Node{Line: number, Column: tab + 1}
		}
	}
	return nil
}

// findAlias returns the place of an alias: the parser does not tell it.
func findAlias(data []byte, name string) *yaml.Node {
	number := 0
	for text := range bytes.Lines(data) {
		number++
		at := bytes.Index(text, []byte("*"+name))
		if at >= 0 && (at == 0 || bytes.IndexByte([]byte(" \t[{,-:"), text[at-1]) >= 0) {
			return &yaml.Node{Line: number, Column: at + 1}
		}
	}
	return nil
}

// fromJSON rewrites the two escapes of JSON that the YAML parser does not know,
// \/ and surrogate pairs (RFC 8259 §7); what is not JSON is left alone.
func fromJSON(data []byte) []byte {
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) || !json.Valid(data) {
		return data
	}
	out := make([]byte, 0, len(data))
	for len(data) > 0 {
		at := bytes.IndexByte(data, '\\')
		if at < 0 {
			return append(out, data...)
		}
		out, data = append(out, data[:at]...), data[at:]
		text, length := jsonEscape(data)
		out, data = append(out, text...), data[length:]
	}
	return out
}

// jsonEscape returns the replacement of the escape that data starts with, and
// its length.
func jsonEscape(data []byte) (string, int) {
	const pair = len(`\ud83d\ude00`)
	if data[1] == '/' {
		return "/", 2
	}
	if data[1] == 'u' && len(data) >= pair && data[pair/2] == '\\' && data[pair/2+1] == 'u' {
		high, err1 := strconv.ParseUint(string(data[2:pair/2]), 16, 16)
		low, err2 := strconv.ParseUint(string(data[pair/2+2:pair]), 16, 16)
		r := utf16.DecodeRune(rune(high), rune(low))
		if err1 == nil && err2 == nil && r != utf8.RuneError {
			return string(r), pair
		}
	}
	return string(data[:2]), 2
}
