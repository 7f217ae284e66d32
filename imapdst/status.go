package imapdst

import (
	"strings"
)

// status is a status response (RFC 3501 §7.1): OK, NO, BAD, BYE or PREAUTH, the
// response code in upper case with its arguments, and the text for people.
type status struct {
	kind string
	code string
	args string
	text string
}

// parseStatus reads what follows the tag or "*". Codes are compared without
// regard to case; servers that leave the text out are understood.
func parseStatus(line string) (status, bool) {
	kind, rest, _ := strings.Cut(line, " ")
	s := status{kind: strings.ToUpper(kind)}
	switch s.kind {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
	default:
		return s, false
	}
	rest = strings.TrimLeft(rest, " ")
	if code, text, ok := strings.Cut(rest, "]"); ok && strings.HasPrefix(code, "[") {
		s.code, s.args, _ = strings.Cut(code[1:], " ")
		s.code = strings.ToUpper(s.code)
		rest = strings.TrimLeft(text, " ")
	}
	s.text = rest
	return s, true
}

// line writes the status for go-imap: code without arguments, since go-imap
// parses those of some codes and fails for good on an unusual one.
func (s status) line(tag string) string {
	out := tag + " " + s.kind
	if isCode(s.code) {
		out += " [" + s.code + "]"
	}
	// A text that starts with "[" would be taken for a code.
	text := strings.TrimLeft(strings.ReplaceAll(s.text, "\r", " "), "[ ")
	return strings.TrimRight(out+" "+text, " ") + "\r\n"
}

// isCode tells whether a response code is safe to hand on. APPENDUID, COPYUID
// and CAPABILITY must have arguments (RFC 4315 §3, RFC 3501 §7.1), so they
// can't go without.
func isCode(code string) bool {
	switch code {
	case "", "APPENDUID", "COPYUID", "CAPABILITY":
		return false
	}
	return !strings.ContainsFunc(code, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
}
