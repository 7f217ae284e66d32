package foreign

import (
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/popferry/popferry/plan"
)

// Check reads a new file back and returns what is wrong with it, in the lines of the
// list.
func (l *List) Check(text Text) (bad []Bad) {
	_, err := plan.Parse("accounts.yaml", []byte(text.YAML))
	var wrong *plan.Errors
	if !errors.As(err, &wrong) {
		return nil
	}
	for _, p := range wrong.Problems {
		b := Bad{Mistake: Mistake{Text: p.Text}}
		if a := text.Account(l, p.Line); a != nil {
			b.File, b.Line = a.File, a.Line
		}
		if !slices.Contains(bad, b) {
			bad = append(bad, b)
		}
	}
	return bad
}

// Drop takes the accounts with mistakes off the list.
func (l *List) Drop(bad []Bad) {
	l.Bad = append(l.Bad, bad...)
	l.Accounts = slices.DeleteFunc(l.Accounts, func(a *Account) bool {
		return slices.ContainsFunc(bad, func(b Bad) bool { return b.File == a.File && b.Line == a.Line })
	})
}

// refuseOtherLetters takes off accounts with values that are no UTF-8: accounts.yaml
// could not hold them as they are.
func (l *List) refuseOtherLetters() {
	var bad []Bad
	for _, a := range l.Accounts {
		for _, v := range a.Values {
			if !utf8.ValidString(v.Text) || slices.ContainsFunc(v.Words, func(w string) bool { return !utf8.ValidString(w) }) {
				bad = append(bad, Bad{a.File, Mistake{Line: a.Line, Text: "has letters that are not UTF-8; save the file as UTF-8"}})
				break
			}
		}
	}
	l.Drop(bad)
}
