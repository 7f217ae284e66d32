// Package mbox writes and reads mail spool files: all messages of a user in one file, each behind
// a line that begins with "From " and before an empty line (RFC 4155).
//
// Lines end in LF. A line of a message that begins with "From " gets a ">" before it, in one of two
// ways, see [Quoting].
package mbox

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
)

const separator = "From someone@example.org Tue Mar  4 05:06:07 2014\n"

// Quoting says what is done about lines that begin with "From ", behind any number of ">".
type Quoting bool

const (
	// Lossy puts a ">" before lines without one, and nobody can tell afterwards which they were.
	// That is what most delivery agents do.
	Lossy Quoting = false
	// Reversible puts a ">" before all of them, and whoever reads takes one away. That is what
	// GNU Mailutils does.
	Reversible Quoting = true
)

// Append writes messages to the end of a spool file, which is made if there is none.
func Append(path string, q Quoting, messages ...[]byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) { // O_CREATE on a file of another user's is refused: fs.protected_regular
		file, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	}
	if err != nil {
		return err
	}
	var all bytes.Buffer
	for _, raw := range messages {
		all.WriteString(separator)
		all.Write(q.stored(raw))
		all.WriteString("\n")
	}
	_, err = file.Write(all.Bytes())
	return errors.Join(err, file.Close())
}

// stored returns a message as it lies in a spool file, without the lines around it.
func (q Quoting) stored(raw []byte) []byte {
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	var out bytes.Buffer
	for line := range bytes.Lines(raw) {
		if depth, ok := fromLine(line); ok && (depth == 0 || q == Reversible) {
			out.WriteByte('>')
		}
		out.Write(line)
	}
	if len(raw) > 0 && raw[len(raw)-1] != '\n' {
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// fromLine tells whether a line begins with "From " behind any number of ">", and how many.
func fromLine(line []byte) (depth int, ok bool) {
	rest := bytes.TrimLeft(line, ">")
	return len(line) - len(rest), bytes.HasPrefix(rest, []byte("From "))
}

// Unquoted takes away what [Reversible] puts before lines.
func Unquoted(stored []byte) []byte {
	var out []byte
	for line := range bytes.Lines(stored) {
		if depth, ok := fromLine(line); ok && depth > 0 {
			line = line[1:]
		}
		out = append(out, line...)
	}
	return out
}

// Read returns the messages of a spool file as they lie there, none if there is no such file. A
// message begins at the start of the file or behind an empty line.
func Read(path string) ([][]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return Split(data), nil
}

// Split is [Read] for the content of a file.
func Split(data []byte) [][]byte {
	var messages [][]byte
	var message []byte
	inside, empty := false, true
	for line := range bytes.Lines(data) {
		switch {
		case empty && bytes.HasPrefix(line, []byte("From ")):
			if inside {
				messages = append(messages, bytes.TrimSuffix(message, []byte("\n")))
			}
			message, inside = nil, true
		case inside:
			message = append(message, line...)
		}
		empty = string(line) == "\n" || string(line) == "\r\n"
	}
	if inside {
		messages = append(messages, bytes.TrimSuffix(message, []byte("\n")))
	}
	return messages
}
