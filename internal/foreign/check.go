package foreign

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// Check reads a new file back and returns what is wrong with it, in the lines of the
// list. A file tells only so many mistakes; [List.CheckAll] has them all.
func (l *List) Check(text Text) []Bad { return l.check(text, plan.Parse) }

// CheckAll is Check without a bound. When the accounts that it names are off the list, nothing is
// wrong with the others: no account needs another one.
func (l *List) CheckAll(text Text) []Bad { return l.check(text, plan.ParseAll) }

func (l *List) check(text Text, parse func(string, []byte) (*plan.Config, error)) (bad []Bad) {
	l.More = 0
	if len(l.Accounts) == 0 {
		return nil
	}
	_, err := parse("accounts.yaml", []byte(text.YAML))
	var wrong *plan.Errors
	if !errors.As(err, &wrong) {
		return nil
	}
	l.More = wrong.More
	told := map[Bad]bool{}
	for _, p := range wrong.Problems {
		b := Bad{Mistake: Mistake{Text: p.Text}}
		if a := text.Account(l, p.Line); a != nil {
			b = a.bad(inLists(p, a, text.Account(l, p.Other)))
		}
		if !told[b] {
			bad = append(bad, b)
		}
		told[b] = true
	}
	return bad
}

// inLists is the text of a problem in which another account, if it names one, is where the
// list has it: the lines of the new file are nobody's, if it is not written.
func inLists(p *plan.Problem, account, other *Account) string {
	if p.Other == 0 || other == nil {
		return p.Text
	}
	where := fmt.Sprintf("line %d", other.Line)
	if other.File != account.File {
		where += " of " + fault.Escape(other.File)
	}
	return strings.Replace(p.Text, fmt.Sprintf("line %d", p.Other), where, 1)
}

// bad says what is wrong with an account, with the line that it is in.
func (a *Account) bad(text string) Bad {
	return Bad{File: a.File, Mistake: Mistake{Line: a.Line, Text: text}, account: a}
}

// Drop takes the accounts with mistakes off the list, and reports whether there were
// any. Others may be in the same lines, and what all share is of none.
func (l *List) Drop(bad []Bad) bool {
	wrong := map[*Account]bool{}
	for _, b := range bad {
		if b.account != nil {
			wrong[b.account] = true
			l.Bad = append(l.Bad, b)
		}
	}
	l.Accounts = slices.DeleteFunc(l.Accounts, func(a *Account) bool { return wrong[a] })
	return len(wrong) > 0
}

// CountBad counts the accounts that mistakes are about; one may have several.
func CountBad(bad []Bad) (n int) {
	counted := map[*Account]bool{}
	for _, b := range bad {
		switch {
		case b.File == "" || counted[b.account]:
			continue
		case b.account != nil:
			counted[b.account] = true
		}
		n++
	}
	return n
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
