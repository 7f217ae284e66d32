package fault

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText bounds how much of a server's text is shown, in characters.
const maxText = 200

// Escape makes text from a server or a message safe to show: at most 200
// characters, with control characters, invalid UTF-8 and everything that
// changes the direction or the look of what follows written as escapes.
func Escape(s string) string {
	var b strings.Builder
	for n := 0; len(s) > 0; n++ {
		if n == maxText {
			b.WriteString("…")
			break
		}
		r, size := utf8.DecodeRuneInString(s)
		writeEscaped(&b, r, s[:size])
		s = s[size:]
	}
	return b.String()
}

func writeEscaped(b *strings.Builder, r rune, raw string) {
	switch {
	case r == utf8.RuneError && len(raw) == 1:
		fmt.Fprintf(b, `\x%02x`, raw[0])
	case unicode.IsPrint(r):
		b.WriteRune(r)
	case r < 0x80:
		fmt.Fprintf(b, `\x%02x`, r)
	default: // format characters such as bidirectional overrides are not print
		fmt.Fprintf(b, `\u%04x`, r)
	}
}
