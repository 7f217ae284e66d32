package imapd

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// searchDate is the form of dates in SEARCH (RFC 3501 §9, date).
const searchDate = "2-Jan-2006"

// criterion tells whether a message is looked for.
type criterion func(m numbered) bool

// search is SEARCH and UID SEARCH (RFC 3501 §6.4.4).
func (s *session) search(c *command, args []arg) (string, error) {
	if len(args) >= 2 && strings.EqualFold(args[0].text, "CHARSET") {
		args = args[2:]
	}
	if len(args) == 0 {
		return "", errSyntax
	}
	wanted, err := s.criteria(args)
	if err != nil {
		return "", err
	}
	found := ""
	for _, m := range s.pick(set{{1, star}}, false) {
		if wanted(m) {
			n := uint32(m.number)
			if c.name == "UID SEARCH" {
				n = m.UID
			}
			found += fmt.Sprintf(" %d", n)
		}
	}
	s.untagged("SEARCH%s", found)
	return "OK " + c.name + " completed", nil
}

// criteria reads search keys, all of which have to hold.
func (s *session) criteria(args []arg) (criterion, error) {
	var all []criterion
	for len(args) > 0 {
		next, rest, err := s.criterion(args)
		if err != nil {
			return nil, err
		}
		all = append(all, next)
		args = rest
	}
	return func(m numbered) bool {
		return !slices.ContainsFunc(all, func(holds criterion) bool { return !holds(m) })
	}, nil
}

// criterion reads one search key and returns what is behind it.
func (s *session) criterion(args []arg) (criterion, []arg, error) {
	if args[0].kind == list {
		holds, err := s.criteria(args[0].list)
		return holds, args[1:], err
	}
	key := strings.ToUpper(args[0].text)
	switch key {
	case "NOT":
		return s.not(args[1:])
	case "OR":
		return s.or(args[1:])
	}
	if holds := simpleKey(key); holds != nil {
		return holds, args[1:], nil
	}
	count := operandCount(key)
	if len(args) <= count {
		return nil, nil, errSyntax
	}
	operands, err := words(args[1 : 1+count])
	if err != nil {
		return nil, nil, err
	}
	holds, err := s.keyWith(key, operands)
	return holds, args[1+count:], err
}

// operandCount returns how many operands a key has. A set of message numbers has none.
func operandCount(key string) int {
	switch key {
	case "HEADER":
		return 2
	case "UID", "SINCE", "BEFORE", "ON", "LARGER", "SMALLER",
		"BCC", "CC", "FROM", "SUBJECT", "TO":
		return 1
	default:
		return 0
	}
}

func (s *session) not(args []arg) (criterion, []arg, error) {
	if len(args) == 0 {
		return nil, nil, errSyntax
	}
	holds, rest, err := s.criterion(args)
	return func(m numbered) bool { return !holds(m) }, rest, err
}

func (s *session) or(args []arg) (criterion, []arg, error) {
	if len(args) == 0 {
		return nil, nil, errSyntax
	}
	first, rest, err := s.criterion(args)
	if err != nil || len(rest) == 0 {
		return nil, nil, errSyntax
	}
	second, rest, err := s.criterion(rest)
	return func(m numbered) bool { return first(m) || second(m) }, rest, err
}

// simpleKey returns the meaning of a key without operands, nil if it is none.
func simpleKey(key string) criterion {
	if key == "ALL" {
		return func(numbered) bool { return true }
	}
	for flag, names := range map[string][2]string{
		`\Answered`: {"ANSWERED", "UNANSWERED"}, `\Deleted`: {"DELETED", "UNDELETED"},
		`\Draft`: {"DRAFT", "UNDRAFT"}, `\Flagged`: {"FLAGGED", "UNFLAGGED"},
		`\Seen`: {"SEEN", "UNSEEN"},
	} {
		switch key {
		case names[0]:
			return func(m numbered) bool { return hasFlag(m.Flags, flag) }
		case names[1]:
			return func(m numbered) bool { return !hasFlag(m.Flags, flag) }
		}
	}
	return nil
}

// keyWith returns the meaning of a key with operands, and of a set of message numbers.
func (s *session) keyWith(key string, operands []string) (criterion, error) {
	switch key {
	case "UID":
		uids, err := parseSet(operands[0])
		last := s.lastUID()
		return func(m numbered) bool { return uids.contains(m.UID, last) }, err
	case "HEADER":
		return headerContains(operands[0], operands[1]), nil
	case "BCC", "CC", "FROM", "SUBJECT", "TO":
		return headerContains(key, operands[0]), nil
	case "SINCE", "BEFORE", "ON":
		return dateKey(key, operands[0])
	case "LARGER", "SMALLER":
		size, err := strconv.Atoi(operands[0])
		return func(m numbered) bool {
			return key == "LARGER" && len(m.Raw) > size || key == "SMALLER" && len(m.Raw) < size
		}, err
	default:
		numbers, err := parseSet(key)
		last := uint32(len(s.view))
		return func(m numbered) bool { return numbers.contains(uint32(m.number), last) }, err
	}
}

// headerContains looks for text in the unfolded fields of a name, in any case. No text is in
// every such field.
func headerContains(name, text string) criterion {
	return func(m numbered) bool {
		header, _ := split(m.Raw)
		for _, field := range fields(header) {
			field = bytes.ReplaceAll(field, []byte("\r\n"), nil)
			found := fieldName(field)
			if found != "" && strings.EqualFold(found, name) && bytes.Contains(
				bytes.ToLower(field[len(found)+1:]), bytes.ToLower([]byte(text))) {
				return true
			}
		}
		return false
	}
}

// dateKey compares days of the internal date, whatever its zone.
func dateKey(key, text string) (criterion, error) {
	day, err := time.Parse(searchDate, text)
	if err != nil {
		return nil, fmt.Errorf("%w: date %q", errSyntax, text)
	}
	return func(m numbered) bool {
		year, month, date := m.InternalDate.Date()
		order := time.Date(year, month, date, 0, 0, 0, 0, time.UTC).Compare(day)
		return key == "SINCE" && order >= 0 || key == "BEFORE" && order < 0 ||
			key == "ON" && order == 0
	}, nil
}
