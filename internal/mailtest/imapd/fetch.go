package imapd

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// fetch is FETCH and UID FETCH (RFC 3501 §6.4.5).
func (s *session) fetch(c *command, args []arg) (string, error) {
	if len(args) != 2 {
		return "", errSyntax
	}
	numbers, err := parseSet(args[0].text)
	if err != nil {
		return "", err
	}
	wanted := args[1:]
	if args[1].kind == list {
		wanted = args[1].list
	}
	items, err := words(wanted)
	if err != nil {
		return "", err
	}
	byUID := c.name == "UID FETCH"
	if byUID && !hasFlag(items, "UID") {
		items = append([]string{"UID"}, items...)
	}
	picked, reply := s.pick(numbers, byUID), "OK "+c.name+" completed"
	if limit := s.options.MessageLimit; limit > 0 && len(picked) > limit {
		reply = fmt.Sprintf("OK [MESSAGELIMIT %d %d] these were too many", limit, picked[limit-1].UID)
		picked = picked[:limit]
	}
	for _, m := range picked {
		values, err := s.fetchItems(m, items)
		if err != nil {
			return "", err
		}
		s.untagged("%d FETCH (%s)", m.number, strings.Join(values, " "))
	}
	return reply, nil
}

func (s *session) fetchItems(m numbered, items []string) ([]string, error) {
	var values []string
	for _, item := range items {
		value, err := s.fetchItem(m, item)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

func (s *session) fetchItem(m numbered, item string) (string, error) {
	switch strings.ToUpper(item) {
	case "UID":
		return fmt.Sprintf("UID %d", m.UID), nil
	case "RFC822.SIZE":
		return fmt.Sprintf("RFC822.SIZE %d", len(m.Raw)), nil
	case "INTERNALDATE":
		return fmt.Sprintf("INTERNALDATE %q", m.InternalDate.Format(dateTime)), nil
	case "FLAGS":
		return "FLAGS (" + strings.Join(m.Flags, " ") + ")", nil
	}
	section, rest, err := cutSection(item)
	if err != nil {
		return "", err
	}
	data, err := m.section(section)
	if err != nil {
		return "", err
	}
	origin := ""
	if rest != "" {
		if data, origin, err = partial(data, rest); err != nil {
			return "", err
		}
	}
	if !isPeek(item) && !s.readOnly {
		s.setFlags(m.UID, flagChange("+FLAGS", []string{`\Seen`}))
	}
	return "BODY[" + section + "]" + origin + " " + literalString(string(data)), nil
}

func isPeek(item string) bool {
	return strings.HasPrefix(strings.ToUpper(item), "BODY.PEEK")
}

// cutSection divides "BODY.PEEK[section]<0.10>" into the section and what is behind the bracket.
func cutSection(item string) (section, rest string, err error) {
	name, tail, ok := strings.Cut(item, "[")
	section, rest, closed := strings.Cut(tail, "]")
	name = strings.ToUpper(name)
	if !ok || !closed || name != "BODY" && name != "BODY.PEEK" {
		return "", "", fmt.Errorf("%w: item %q", errSyntax, item)
	}
	return section, rest, nil
}

// section returns a part of the message.
func (m *Stored) section(section string) ([]byte, error) {
	header, body := split(m.Raw)
	// The empty line belongs to the header in FETCH (RFC 3501 §6.4.5).
	end := len(header) + min(len(body), len("\r\n"))
	name, argument, _ := strings.Cut(section, " ")
	switch strings.ToUpper(name) {
	case "":
		return m.Raw, nil
	case "HEADER":
		return m.Raw[:end], nil
	case "TEXT":
		return m.Raw[end:], nil
	case "HEADER.FIELDS":
		return pickFields(header, fieldNames(argument), true), nil
	case "HEADER.FIELDS.NOT":
		return pickFields(header, fieldNames(argument), false), nil
	default:
		return nil, fmt.Errorf("%w: section %q", errSyntax, section)
	}
}

// fieldNames reads "(A B)".
func fieldNames(text string) []string {
	names := strings.Fields(strings.Trim(text, "()"))
	for i, name := range names {
		names[i] = strings.Trim(name, `"`)
	}
	return names
}

// pickFields returns the fields whose name is among names, or is not, and an empty line.
func pickFields(header []byte, names []string, among bool) []byte {
	picked := slices.DeleteFunc(fields(header), func(field []byte) bool {
		name := strings.TrimRight(fieldName(field), " \t")
		return name == "" || hasFlag(names, name) != among
	})
	return append(bytes.Join(picked, nil), "\r\n"...)
}

// partial cuts "<from.count>" out of data and returns the origin to answer with, "<from>".
func partial(data []byte, text string) ([]byte, string, error) {
	text, opened := strings.CutPrefix(text, "<")
	text, closed := strings.CutSuffix(text, ">")
	first, second, ok := strings.Cut(text, ".")
	from, err := strconv.ParseUint(first, 10, 32)
	if err != nil || !ok || !opened || !closed {
		return nil, "", errSyntax
	}
	count, err := strconv.ParseUint(second, 10, 32)
	if err != nil {
		return nil, "", errSyntax
	}
	size := uint64(len(data))
	return data[min(from, size):min(from+count, size)], "<" + first + ">", nil
}
