package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// format writes a result in one form.
type format interface {
	write(w io.Writer, r Result) error
}

// jsonFormat writes for programs.
type jsonFormat struct{}

func (jsonFormat) write(w io.Writer, r Result) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(r.JSON()); err != nil {
		return fmt.Errorf("encode JSON: %w", err)
	}
	_, err := w.Write(printable(b.Bytes()))
	return err
}

// printable writes as \u escapes what a terminal might obey or hide. Such
// characters can stand in JSON strings only, where the escape means the same.
func printable(encoded []byte) []byte {
	if bytes.IndexFunc(encoded, unprintable) < 0 {
		return encoded
	}
	out := make([]byte, 0, len(encoded)+64)
	for len(encoded) > 0 {
		r, size := utf8.DecodeRune(encoded)
		switch {
		case !unprintable(r):
			out = append(out, encoded[:size]...)
		case r > 0xffff: // RFC 8259 §7: a surrogate pair
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		encoded = encoded[size:]
	}
	return out
}

func unprintable(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }

// csvFormat writes one row for each account and each message that is told of,
// with the columns of both: the first column says which it is (RFC 4180).
type csvFormat struct{}

func (csvFormat) write(w io.Writer, r Result) error {
	s := r.Sheet()
	out := csv.NewWriter(w)
	head := []string{"record"}
	for _, c := range s.Columns {
		head = append(head, strings.ReplaceAll(c.Name, " ", "_"))
	}
	head = append(head, "error", "hint", "number", "uidl", "message_size", "state", "reason", "folder", "uid", "file")
	rows := [][]string{head}
	for _, row := range s.Rows {
		rows = append(rows, s.accountRow(row))
	}
	for _, m := range s.Messages {
		rows = append(rows, s.messageRow(m))
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

// messageColumns is how many columns follow "error" and "hint".
const messageColumns = 8

func (s Sheet) accountRow(row []Cell) []string {
	line := []string{"account"}
	for _, c := range row {
		line = append(line, plainCell(c.Value))
	}
	var problems, hints []string // mostly one; both sides may have one
	for _, e := range s.Errors {
		if e.Account == row[0].Value {
			problems, hints = append(problems, e.Text), append(hints, e.Hint)
		}
	}
	line = append(line, plainCell(strings.Join(problems, "; ")), plainCell(strings.Join(hints, "; ")))
	return append(line, make([]string, messageColumns)...)
}

func (s Sheet) messageRow(m Message) []string {
	line := append([]string{"message", plainCell(m.Account)}, make([]string, len(s.Columns)-1+2)...)
	return append(line, optional(int64(m.Number)), plainCell(m.UIDL), strconv.FormatInt(m.Size, 10),
		plainCell(m.State), plainCell(m.Reason), plainCell(m.Folder), optional(int64(m.UID)),
		plainCell(m.File))
}

func optional(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// plainCell writes a value so that a spreadsheet takes it for what it is: a text
// that looks like a formula gets an apostrophe.
func plainCell(v any) string {
	s, isText := v.(string)
	if !isText {
		return fmt.Sprint(v)
	}
	s = Harmless(s)
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) && s != "-" {
		return "'" + s
	}
	return s
}
