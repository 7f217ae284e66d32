package foreign

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// token is a word of a fetchmailrc.
type token struct {
	text   string
	quoted bool // then it is no keyword
	line   int
}

// is reports whether a token is one of the keywords.
func (t token) is(words ...string) bool {
	return !t.quoted && slices.Contains(words, strings.ToLower(t.text))
}

// tokenize splits a fetchmailrc into words (fetchmail(1), Run Control Syntax).
func tokenize(text string) ([]token, error) {
	var tokens []token
	line := 1
	for at := 0; at < len(text); {
		switch c := text[at]; {
		case c == '\n':
			line++
			at++
		case strings.IndexByte(" \t\r,:;=", c) >= 0:
			at++
		case strings.HasPrefix(text[at:], "\\\n"): // as in a shell's script, where it says nothing here
			at++
		case c == '#':
			at += lengthUntil(text[at:], "\n")
		case c == '"' || c == '\'':
			length := lengthUntil(text[at+1:], string(c))
			if at+1+length == len(text) {
				return nil, &Mistake{Line: line, Text: "a quote opens here and is not closed"}
			}
			inner := text[at+1 : at+1+length]
			tokens = append(tokens, token{unescape(inner), true, line})
			line += strings.Count(inner, "\n")
			at += length + 2
		default:
			length := lengthUntil(text[at:], " \t\r\n,:;=")
			tokens = append(tokens, token{unescape(text[at : at+length]), false, line})
			at += length
		}
		if n := len(tokens); n > 0 && len(tokens[n-1].text) > maxWord {
			return nil, &Mistake{Line: line, Text: fmt.Sprintf("a value is longer than %d bytes", maxWord)}
		}
	}
	return tokens, nil
}

func lengthUntil(text, set string) int {
	if at := strings.IndexAny(text, set); at >= 0 {
		return at
	}
	return len(text)
}

// unescape undoes fetchmail's escapes: \n \t \b \r, a decimal number, an octal one with
// a leading 0, or a hexadecimal one; a line end behind a backslash goes away.
func unescape(text string) string {
	var b strings.Builder
	for text != "" {
		before, rest, found := strings.Cut(text, `\`)
		b.WriteString(before)
		if text = rest; !found || text == "" {
			continue
		}
		plain := strings.IndexByte("ntbr\n", text[0])
		if plain >= 0 {
			b.WriteString([]string{"\n", "\t", "\b", "\r", ""}[plain])
			text = text[1:]
			continue
		}
		length, base := digits(text)
		if value, err := strconv.ParseUint(strings.TrimPrefix(text[:length], "x"), base, 8); length > 0 && err == nil {
			b.WriteByte(byte(value))
			text = text[length:]
			continue
		}
		b.WriteByte(text[0])
		text = text[1:]
	}
	return b.String()
}

// digits measures the number that text starts with.
func digits(text string) (length, base int) {
	switch {
	case text[0] == 'x':
		return 1 + run(text[1:min(len(text), 3)], "0123456789abcdefABCDEF"), 16
	case text[0] == '0':
		return run(text[:min(len(text), 4)], "01234567"), 8
	}
	return run(text[:min(len(text), 3)], "0123456789"), 10
}

func run(text, set string) int { return len(text) - len(strings.TrimLeft(text, set)) }
