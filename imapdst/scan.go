package imapdst

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	// maxLine bounds a control line, and all of the control data of one
	// response together.
	maxLine = 64 << 10
	// maxQuote bounds the refusal of a command, in which some servers repeat a whole line of
	// the message.
	maxQuote = 64 << 20
	// maxDepth bounds the nesting of parenthesised lists (RFC 3501 §4.4). The
	// data that we ask for needs three.
	maxDepth = 50
)

var (
	errSyntax  = errors.New("not IMAP syntax")
	errTooLong = fmt.Errorf("response of more than %d bytes", maxLine)
	errTooDeep = fmt.Errorf("lists nested deeper than %d", maxDepth)
)

// scanner takes the control data of one response apart (RFC 3501 §9). It is as
// liberal about spaces as real servers need.
type scanner struct {
	r    *bufio.Reader
	left int // octets that this response may still have
}

func (s *scanner) start() { s.left = maxLine }

func (s *scanner) spend(n int) error {
	if s.left -= n; s.left < 0 {
		return errTooLong
	}
	return nil
}

func (s *scanner) next() (byte, error) {
	if err := s.spend(1); err != nil {
		return 0, err
	}
	return s.r.ReadByte()
}

func (s *scanner) peek() (byte, error) {
	b, err := s.r.Peek(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// take consumes b if it comes next.
func (s *scanner) take(b byte) (bool, error) {
	got, err := s.peek()
	if err != nil || got != b {
		return false, err
	}
	_, err = s.next()
	return true, err
}

func (s *scanner) expect(b byte) error {
	ok, err := s.take(b)
	if err == nil && !ok {
		err = errSyntax
	}
	return err
}

func (s *scanner) spaces() error {
	for {
		if ok, err := s.take(' '); !ok {
			return err
		}
	}
}

// while consumes the octets that fit.
func (s *scanner) while(fits func(byte) bool) (string, error) {
	var text []byte
	for {
		b, err := s.peek()
		if err != nil {
			return "", err
		}
		if !fits(b) {
			return string(text), nil
		}
		if _, err := s.next(); err != nil {
			return "", err
		}
		text = append(text, b)
	}
}

// atom reads more than RFC 3501 §9 allows in an atom, such as flags and
// unquoted names with brackets: it ends where the structure goes on.
func (s *scanner) atom() (string, error) {
	text, err := s.while(func(b byte) bool {
		return b > ' ' && b != 0x7f && b != '(' && b != ')' && b != '"' && b != '{'
	})
	if err == nil && text == "" {
		err = errSyntax
	}
	return text, err
}

// number reads an unsigned number; one that does not fit is reported as 0,
// which is valid nowhere (nz-number, RFC 3501 §9) but for sizes.
func (s *scanner) number() (uint64, error) {
	text, err := s.while(func(b byte) bool { return '0' <= b && b <= '9' })
	if err != nil {
		return 0, err
	}
	if text == "" {
		return 0, errSyntax
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, nil
	}
	return n, nil
}

// literal reads the announcement "{n}" and its line end (RFC 3501 §4.3).
func (s *scanner) literal() (int64, error) {
	if err := s.expect('{'); err != nil {
		return 0, err
	}
	digits, err := s.while(func(b byte) bool { return '0' <= b && b <= '9' })
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, errSyntax
	}
	if _, err := s.take('+'); err != nil {
		return 0, err
	}
	if err := s.expect('}'); err != nil {
		return 0, err
	}
	return n, s.endLine()
}

// endLine consumes blanks and the line end, which may lack its CR.
func (s *scanner) endLine() error {
	if err := s.spaces(); err != nil {
		return err
	}
	if _, err := s.take('\r'); err != nil {
		return err
	}
	return s.expect('\n')
}

// node is a value: a list, or a text and how it was written.
type node struct {
	list   []node
	text   string
	isList bool
	isAtom bool
}

func (n node) isNil() bool { return n.isAtom && strings.EqualFold(n.text, "NIL") }

// value reads an atom, a string or a list (RFC 3501 §4) of limited depth. Its
// literals count against the limit of the response.
func (s *scanner) value() (node, error) { return s.valueAt(0) }

func (s *scanner) valueAt(depth int) (node, error) {
	if depth >= maxDepth {
		return node{}, errTooDeep
	}
	b, err := s.peek()
	if err != nil {
		return node{}, err
	}
	switch b {
	case '(':
		return s.listAt(depth)
	case '"':
		text, err := s.quoted()
		return node{text: text}, err
	case '{':
		text, err := s.shortLiteral()
		return node{text: text}, err
	}
	text, err := s.atom()
	return node{text: text, isAtom: true}, err
}

func (s *scanner) listAt(depth int) (node, error) {
	list := node{isList: true}
	if err := s.expect('('); err != nil {
		return list, err
	}
	for {
		if err := s.spaces(); err != nil {
			return list, err
		}
		if end, err := s.take(')'); end || err != nil {
			return list, err
		}
		item, err := s.valueAt(depth + 1)
		if err != nil {
			return list, err
		}
		list.list = append(list.list, item)
	}
}

func (s *scanner) quoted() (string, error) {
	if err := s.expect('"'); err != nil {
		return "", err
	}
	var text []byte
	for {
		b, err := s.next()
		if err != nil {
			return "", err
		}
		switch b {
		case '"':
			return string(text), nil
		case '\r', '\n':
			return "", errSyntax
		case '\\':
			if b, err = s.next(); err != nil {
				return "", err
			}
		}
		text = append(text, b)
	}
}

func (s *scanner) shortLiteral() (string, error) {
	n, err := s.literal()
	if err != nil {
		return "", err
	}
	if n > int64(s.left) {
		return "", errTooLong
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(s.r, text); err != nil {
		return "", err
	}
	return string(text), s.spend(len(text))
}

// skipResponse discards the rest of a response, literals included.
func (s *scanner) skipResponse() error {
	for {
		line, err := s.restOfLine()
		if err != nil {
			return err
		}
		n, ok := announced(line)
		if !ok {
			return nil
		}
		if n > int64(s.left) {
			return errTooLong
		}
		s.left -= int(n)
		if _, err := s.r.Discard(int(n)); err != nil {
			return err
		}
	}
}

func (s *scanner) restOfLine() (string, error) {
	line, err := s.while(func(b byte) bool { return b != '\n' })
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(line, "\r"), s.expect('\n')
}

// announced tells whether a line ends in "{n}".
func announced(line string) (int64, bool) {
	if !strings.HasSuffix(line, "}") {
		return 0, false
	}
	digits := strings.TrimSuffix(line[strings.LastIndexByte(line, '{')+1:len(line)-1], "+")
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil && n >= 0
}
