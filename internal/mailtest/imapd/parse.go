package imapd

import (
	"errors"
	"strings"
)

// kind is the form in which an argument was written.
type kind int

const (
	atom kind = iota
	quoted
	literal
	list
)

// arg is one argument of a command.
type arg struct {
	kind kind
	text string // of an atom, quoted string or literal
	list []arg
}

// isString tells whether the argument can stand where RFC 3501 §9 has astring.
func (a arg) isString() bool { return a.kind != list }

// maxDepth bounds how deep lists may be nested.
const maxDepth = 20

var errSyntax = errors.New("syntax error")

// parser reads the arguments of a command. In its text, each NUL stands for the next literal.
type parser struct {
	text     string
	literals [][]byte
}

// parse returns the arguments in text; with an error, those before it.
func parse(text string, literals [][]byte) ([]arg, error) {
	p := &parser{text, literals}
	args, err := p.args(0)
	if err == nil && p.text != "" {
		err = errSyntax
	}
	return args, err
}

// args reads arguments, separated by single spaces, up to the end or a closing parenthesis.
func (p *parser) args(depth int) ([]arg, error) {
	if depth > maxDepth {
		return nil, errSyntax
	}
	var args []arg
	for p.text != "" && p.text[0] != ')' {
		if len(args) > 0 {
			if p.text[0] != ' ' {
				return args, errSyntax
			}
			if p.text = p.text[1:]; p.text == "" {
				return args, nil
			}
		}
		a, err := p.arg(depth)
		if err != nil {
			return args, err
		}
		args = append(args, a)
	}
	return args, nil
}

func (p *parser) arg(depth int) (arg, error) {
	switch p.text[0] {
	case '(':
		p.text = p.text[1:]
		args, err := p.args(depth + 1)
		if err != nil {
			return arg{}, err
		}
		if p.text == "" {
			return arg{}, errSyntax
		}
		p.text = p.text[1:]
		return arg{kind: list, list: args}, nil
	case '"':
		return p.quoted()
	case 0:
		if len(p.literals) == 0 {
			return arg{}, errSyntax
		}
		a := arg{kind: literal, text: string(p.literals[0])}
		p.text, p.literals = p.text[1:], p.literals[1:]
		return a, nil
	default:
		return p.atom()
	}
}

func (p *parser) quoted() (arg, error) {
	var text strings.Builder
	for i := 1; i < len(p.text); i++ {
		switch p.text[i] {
		case '"':
			p.text = p.text[i+1:]
			return arg{kind: quoted, text: text.String()}, nil
		case '\\':
			if i++; i == len(p.text) {
				return arg{}, errSyntax
			}
		}
		text.WriteByte(p.text[i])
	}
	return arg{}, errSyntax
}

// atom reads an atom and what looks like one: flags, sets, patterns and the sections of FETCH,
// which have blanks and parentheses between brackets.
func (p *parser) atom() (arg, error) {
	i := 0
	for i < len(p.text) && !strings.ContainsRune(" ()\"\x00", rune(p.text[i])) {
		if p.text[i] == '[' {
			end := strings.IndexByte(p.text[i:], ']')
			if end < 0 {
				return arg{}, errSyntax
			}
			i += end
		}
		i++
	}
	if i == 0 {
		return arg{}, errSyntax
	}
	a := arg{kind: atom, text: p.text[:i]}
	p.text = p.text[i:]
	return a, nil
}

// quote writes text as a quoted string, or as a literal where it does not fit into one.
func quote(text string) string {
	if strings.ContainsAny(text, "\r\n\x00") || strings.ContainsFunc(text, isHigh) {
		return literalString(text)
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

func isHigh(r rune) bool { return r > 0x7e }
