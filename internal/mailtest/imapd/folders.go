package imapd

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// literalString writes text as a literal.
func literalString(text string) string {
	return "{" + strconv.Itoa(len(text)) + "}\r\n" + text
}

// words returns the texts of arguments, which all have to be strings.
func words(args []arg) ([]string, error) {
	texts := make([]string, len(args))
	for i, a := range args {
		if !a.isString() {
			return nil, errSyntax
		}
		texts[i] = a.text
	}
	return texts, nil
}

// lock takes the lock that guards the mailboxes and returns what gives it back.
func (s *session) lock() (unlock func()) {
	s.server.mu.Lock()
	return s.server.mu.Unlock
}

// namespace tells of the one personal namespace (RFC 2342 §5).
func (s *session) namespace(*command, []arg) (string, error) {
	if s.options.NoNamespace {
		return "BAD unknown command", nil
	}
	s.untagged("NAMESPACE ((%s %s)) NIL NIL",
		quote(s.options.Prefix), quote(s.options.separator()))
	return "OK NAMESPACE completed", nil
}

// list answers LIST (RFC 3501 §6.3.8). Of the extended form (RFC 5258, RFC 6154) it knows the
// selection SPECIAL-USE; it ignores other options.
func (s *session) list(c *command, args []arg) (string, error) {
	special := false
	if len(args) > 0 && args[0].kind == list {
		options, err := words(args[0].list)
		if err != nil {
			return "", err
		}
		special = hasFlag(options, "SPECIAL-USE")
		args = args[1:]
	}
	if len(args) < 2 || !args[0].isString() {
		return "", errSyntax
	}
	patterns := []arg{args[1]}
	if args[1].kind == list {
		patterns = args[1].list
	}
	globs, err := words(patterns)
	if err != nil {
		return "", err
	}
	if len(globs) == 1 && globs[0] == "" {
		// The way to ask for the separator alone.
		s.untagged(`LIST (\Noselect) %s ""`, quote(s.options.separator()))
		return "OK LIST completed", nil
	}
	s.listNames("LIST", s.names(false), args[0].text, globs, special)
	return "OK LIST completed", nil
}

func (s *session) lsub(c *command, args []arg) (string, error) {
	globs, err := words(args)
	if err != nil || len(globs) != 2 {
		return "", errSyntax
	}
	s.listNames("LSUB", s.names(true), globs[0], globs[1:], false)
	return "OK LSUB completed", nil
}

// names returns the mailboxes that exist, or are subscribed, sorted.
func (s *session) names(subscribed bool) []string {
	defer s.lock()()
	if subscribed {
		return slices.Sorted(maps.Keys(s.store.subscribed))
	}
	return slices.Sorted(maps.Keys(s.store.boxes))
}

func (s *session) listNames(word string, names []string, reference string, globs []string,
	special bool) {
	separator := s.options.separator()
	for _, name := range names {
		use := s.options.SpecialUse[name]
		if special && use == "" {
			continue
		}
		for _, glob := range globs {
			if matches(reference+glob, name, separator) {
				s.untagged("%s (%s) %s %s", word, use, quote(separator), quote(name))
				break
			}
		}
	}
}

// matches tells whether name fits a pattern with "*" (anything) and "%" (all but the separator).
// INBOX fits in any case.
func matches(pattern, name, separator string) bool {
	if name == "INBOX" && strings.EqualFold(pattern, name) {
		return true
	}
	at := strings.IndexAny(pattern, "*%")
	if at < 0 {
		return pattern == name
	}
	rest, ok := strings.CutPrefix(name, pattern[:at])
	if !ok {
		return false
	}
	for i := 0; i <= len(rest); i++ {
		if matches(pattern[at+1:], rest[i:], separator) {
			return true
		}
		if pattern[at] == '%' && strings.HasPrefix(rest[i:], separator) {
			return false
		}
	}
	return false
}

// status answers STATUS (RFC 3501 §6.3.10, RFC 7889 §3.1).
func (s *session) status(c *command, args []arg) (string, error) {
	if len(args) != 2 || !args[0].isString() || args[1].kind != list {
		return "", errSyntax
	}
	items, err := words(args[1].list)
	if err != nil {
		return "", err
	}
	unlock := s.lock()
	defer unlock()
	box, err := s.store.find(args[0].text)
	if err != nil {
		return "", err
	}
	var values []string
	for _, item := range items {
		value, err := s.statusItem(box, strings.ToUpper(item))
		if err != nil {
			return "", err
		}
		values = append(values, strings.ToUpper(item)+" "+value)
	}
	s.untagged("STATUS %s (%s)", quote(box.name), strings.Join(values, " "))
	return "OK STATUS completed", nil
}

func (s *session) statusItem(box *mailbox, item string) (string, error) {
	switch item {
	case "MESSAGES":
		return strconv.Itoa(len(box.messages)), nil
	case "UIDNEXT":
		return fmt.Sprint(box.next), nil
	case "UIDVALIDITY":
		return fmt.Sprint(box.validity), nil
	case "UNSEEN":
		return strconv.Itoa(box.unseen()), nil
	case "RECENT":
		return "0", nil
	case "APPENDLIMIT":
		if s.options.AppendLimit == 0 {
			return "NIL", nil
		}
		return fmt.Sprint(s.options.AppendLimit), nil
	default:
		return "", errSyntax
	}
}

// changeMailbox is CREATE, DELETE, SUBSCRIBE and UNSUBSCRIBE.
func (s *session) changeMailbox(c *command, args []arg) (string, error) {
	if len(args) == 0 || !args[0].isString() {
		return "", errSyntax
	}
	if s.options.ReadOnly {
		return "NO [NOPERM] nothing may be changed", nil
	}
	name := canonical(strings.TrimSuffix(args[0].text, s.options.separator()))
	if text := s.refuseName(c.name, name); text != "" {
		return text, nil
	}
	unlock := s.lock()
	defer unlock()
	box, err := s.store.find(name)
	exists := err == nil
	switch c.name {
	case "CREATE":
		if exists {
			return "", errExists
		}
		s.store.add(name)
	case "DELETE":
		if !exists {
			return "", errNoMailbox
		}
		delete(s.store.boxes, box.name)
	case "SUBSCRIBE":
		s.store.subscribed[name] = true
	case "UNSUBSCRIBE":
		delete(s.store.subscribed, name)
	}
	return "OK " + c.name + " completed", nil
}

// refuseName returns the tagged reply if a name cannot be created or deleted, or "".
func (s *session) refuseName(command, name string) string {
	switch {
	case command == "CREATE" && !strings.HasPrefix(name, s.options.Prefix) && name != "INBOX":
		return "NO [CANNOT] names have to begin with " + s.options.Prefix
	case command == "CREATE" && name == "":
		return "NO [CANNOT] no name"
	case command == "DELETE" && name == "INBOX":
		return "NO [CANNOT] INBOX cannot be deleted"
	default:
		return ""
	}
}

// quota tells of the one quota root, in units of 1024 bytes (RFC 9208 §4).
func (s *session) quota(c *command, args []arg) (string, error) {
	if s.options.Quota == 0 {
		return "BAD unknown command", nil
	}
	if len(args) != 1 || !args[0].isString() {
		return "", errSyntax
	}
	unlock := s.lock()
	defer unlock()
	if c.name == "GETQUOTAROOT" {
		box, err := s.store.find(args[0].text)
		if err != nil {
			return "", err
		}
		s.untagged(`QUOTAROOT %s ""`, quote(box.name))
	}
	messages := ""
	if limit := s.options.QuotaMessages; limit > 0 {
		messages = fmt.Sprintf(" MESSAGE %d %d", s.store.count(), limit)
	}
	s.untagged(`QUOTA "" (STORAGE %d %d%s)`, (s.store.size()+1023)/1024, s.options.Quota/1024, messages)
	return "OK " + c.name + " completed", nil
}
