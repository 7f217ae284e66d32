package oauth

import (
	"strings"

	"github.com/popferry/popferry/internal/fault"
)

// advised is what a number of Microsoft's, or a word of Google's, means. LOGIN stands for
// the command.
type advised struct {
	class fault.Code
	hint  string
}

// Advice says what to do about a provider's answer, for who asks about it without an
// account; "" where it has nothing that is known.
func Advice(text string) string {
	known, _ := knownIn(text)
	return strings.ReplaceAll(known.hint, "LOGIN", "popferry login with the name of the account")
}

// knownIn finds what is known in an answer, and of the numbers given beside it.
func knownIn(text string, codes ...int) (advised, bool) {
	for _, code := range append(Numbers(text), codes...) {
		if known, ok := microsoftCodes[code]; ok {
			return known, true
		}
	}
	for word, known := range googleWords {
		if strings.Contains(strings.ToLower(text), word) {
			return known, true
		}
	}
	return advised{}, false
}
