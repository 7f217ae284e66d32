package plan

import (
	"strings"
	"unicode/utf8"
)

// glob is a pattern in lower case: "*" stands for any characters, none included, and
// "?" for one. There is no way to mean the two themselves.
type glob string

// fits reports whether the pattern fits all of a text in lower case. It goes back to the
// last "*" only, since an earlier one could take no other part of the text that helps:
// no pattern takes more steps than its length times that of the text.
func (g glob) fits(text string) bool {
	pattern := string(g)
	star, mark := -1, 0 // the last "*", and where it ends in the text for now
	p, t := 0, 0
	for t < len(text) {
		_, width := utf8.DecodeRuneInString(text[t:])
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && pattern[p] == '?':
			p++
			t += width
		case p < len(pattern) && pattern[p] == text[t]:
			p++
			t++
		case star < 0:
			return false
		default:
			_, width = utf8.DecodeRuneInString(text[mark:])
			mark += width
			p, t = star+1, mark
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// fold makes texts equal that differ in case or white space only.
func fold(text string) string {
	return strings.ToLower(strings.Join(strings.Fields(text), " "))
}
