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
			b = a.bad(p.Text)
		}
		if !slices.Contains(bad, b) {
			bad = append(bad, b)
		}
	}
	return bad
}

// bad says what is wrong with an account, with the line that it is in.
func (a *Account) bad(text string) Bad {
	return Bad{File: a.File, Mistake: Mistake{Line: a.Line, Text: text}, account: a}
}

// Drop takes the accounts with mistakes off the list. Others may be in the same lines.
func (l *List) Drop(bad []Bad) {
	l.Bad = append(l.Bad, bad...)
	wrong := map[*Account]bool{}
	for _, b := range bad {
		wrong[b.account] = true
	}
	l.Accounts = slices.DeleteFunc(l.Accounts, func(a *Account) bool { return wrong[a] })
}

// refuseOtherLetters takes off accounts with values that are no UTF-8: accounts.yaml
// could not hold them as they are.
func (l *List) refuseOtherLetters() {
	var bad []Bad
	for _, a := range l.Accounts {
		for _, v := range a.Values {
			if !utf8.ValidString(v.Text) || slices.ContainsFunc(v.Words, func(w string) bool { return !utf8.ValidString(w) }) {
				bad = append(bad, a.bad("has letters that are not UTF-8; save the file as UTF-8"))
				break
			}
		}
	}
	l.Drop(bad)
}
