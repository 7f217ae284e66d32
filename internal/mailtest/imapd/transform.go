package imapd

import (
	"bytes"
	"slices"
	"strings"
)

// NULTo80 replaces each NUL by 0x80, as Dovecot does.
func NULTo80(msg []byte) []byte {
	return bytes.ReplaceAll(msg, []byte{0}, []byte{0x80})
}

// DropCR deletes each CR that does not stand before LF, as Courier does.
func DropCR(msg []byte) []byte {
	out := make([]byte, 0, len(msg))
	for i, c := range msg {
		if c == '\r' && (i+1 == len(msg) || msg[i+1] != '\n') {
			continue
		}
		out = append(out, c)
	}
	return out
}

// AddStatus adds the fields Status and X-UID at the end of the header, as mailutils does.
func AddStatus(msg []byte) []byte {
	header, body := split(msg)
	return bytes.Join([][]byte{header, []byte("Status: RO\r\nX-UID: 1\r\n"), body}, nil)
}

// DropField returns a transform that deletes all header fields of that name.
func DropField(name string) func([]byte) []byte {
	return func(msg []byte) []byte {
		header, body := split(msg)
		var kept []byte
		for _, field := range fields(header) {
			if !strings.EqualFold(fieldName(field), name) {
				kept = append(kept, field...)
			}
		}
		return append(kept, body...)
	}
}

// Opaque rewrites a message so that neither its header nor its body can be recognised by a
// digest: fields are unfolded and their names written in upper case, a field is added, and so is
// a line at the end. The values of the fields stay.
func Opaque(msg []byte) []byte {
	header, body := split(msg)
	out := []byte("X-Gateway: example.org\r\n")
	for _, field := range fields(header) {
		name := fieldName(field)
		out = append(out, strings.ToUpper(name)...)
		rest := bytes.ReplaceAll(field[len(name):], []byte("\r\n"), nil)
		out = append(append(out, rest...), "\r\n"...)
	}
	return append(append(out, body...), "-- \r\nPassed on by example.org\r\n"...)
}

// split divides a message before its empty line, which stays with the body.
func split(msg []byte) (header, body []byte) {
	if bytes.HasPrefix(msg, []byte("\r\n")) {
		return nil, msg
	}
	if at := bytes.Index(msg, []byte("\r\n\r\n")); at >= 0 {
		return msg[:at+2], msg[at+2:]
	}
	return msg, nil
}

// fields divides a header into its fields, each with its continuation lines and CRLF.
func fields(header []byte) [][]byte {
	var fields [][]byte
	for line := range bytes.SplitAfterSeq(header, []byte("\n")) {
		switch {
		case len(line) == 0:
		case len(fields) > 0 && (line[0] == ' ' || line[0] == '\t'):
			last := len(fields) - 1
			fields[last] = append(slices.Clip(fields[last]), line...)
		default:
			fields = append(fields, line)
		}
	}
	return fields
}

// fieldName returns the name of a field, or "" if the line has no colon.
func fieldName(field []byte) string {
	name, _, ok := bytes.Cut(field, []byte(":"))
	if !ok {
		return ""
	}
	return string(name)
}
