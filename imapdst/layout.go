package imapdst

import (
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/popferry/popferry/internal/fault"
)

// layout is how an account builds mailbox names: prefix and delimiter of the
// personal namespace, and all namespaces there are (RFC 2342 §5).
type layout struct {
	prefix    string
	delimiter string // empty: names are flat
	spaces    []space
	shunned   string // more characters that the server does not take
	forbidden Forbidden
}

// space is a namespace: the user's own, or one of other users or of everybody.
type space struct {
	prefix, delimiter string
	own               bool
}

// spacesCommand asks for the layout, unless it is known.
type spacesCommand struct {
	known     *layout
	namespace *imapclient.NamespaceCommand
	root      *listing
}

// askLayout sends NAMESPACE, and LIST "" "" for the delimiter (RFC 3501 §6.3.8)
// in case the answer to that is of no use. The caller holds the turn.
func (c *Conn) askLayout() *spacesCommand {
	c.mu.Lock()
	known, hasNamespace := c.layout, c.caps.Namespace
	c.mu.Unlock()
	if known != nil {
		return &spacesCommand{known: known}
	}
	s := &spacesCommand{}
	if hasNamespace {
		s.namespace = c.client.Namespace()
	}
	s.root = c.startList("", nil)
	return s
}

func (s *spacesCommand) wait(c *Conn) (*layout, error) {
	if s.known != nil {
		return s.known, nil
	}
	l, errSpaces := s.spaces(c)
	roots, err := s.root.wait(c)
	if broken := c.wire.Broken(); broken != nil {
		return nil, broken
	}
	// Who is only busy has a layout all the same, and mail must not go elsewhere today.
	for _, err := range []error{errSpaces, err} {
		if fault.CodeOf(err) == fault.Temporary {
			return nil, err
		}
	}
	if err != nil && l.delimiter == "" {
		if roots, err = c.topFolders(); err != nil {
			return nil, err
		}
	}
	for _, root := range roots {
		if l.delimiter == "" && root.Delim != 0 {
			l.separate(string(root.Delim))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.layout = l
	return l, nil
}

// topFolders lists what is on the first level, INBOX at least: each entry tells the delimiter
// (RFC 3501 §7.2.2), where LIST "" "" was refused.
func (c *Conn) topFolders() ([]*imap.ListData, error) {
	var top *listing
	c.send(func() { top = c.startList("%", nil) })
	return top.wait(c)
}

// spaces makes a layout of the answer to NAMESPACE. A server that offers it and refuses it
// has none.
func (s *spacesCommand) spaces(c *Conn) (*layout, error) {
	l := &layout{forbidden: c.forbidden}
	if s.namespace == nil {
		return l, nil
	}
	data, err := s.namespace.Wait()
	if err != nil {
		return l, c.commandError("tell its namespaces", err)
	}
	l.read(data)
	return l, nil
}

func (l *layout) read(data *imap.NamespaceData) {
	for i, space := range data.Personal {
		l.add(space, true)
		if i == 0 {
			l.prefix, l.delimiter = l.spaces[0].prefix, l.spaces[0].delimiter
		}
	}
	for _, space := range append(data.Other, data.Shared...) {
		l.add(space, false)
	}
}

func (l *layout) add(d imap.NamespaceDescriptor, own bool) {
	s := space{prefix: decodedPrefix(d.Prefix), own: own}
	if d.Delim != 0 {
		s.delimiter = string(d.Delim)
	}
	l.spaces = append(l.spaces, s)
}

// decodedPrefix decodes a prefix like the names that start with it.
func decodedPrefix(raw string) string {
	if name, ok := decodeName(raw); ok {
		return name
	}
	return raw
}

// separate sets the delimiter of the first of the user's own namespaces.
func (l *layout) separate(delimiter string) {
	l.delimiter = delimiter
	if len(l.spaces) > 0 && l.spaces[0].own {
		l.spaces[0].delimiter = delimiter
	}
}

// spaceOf is the namespace that a mailbox is in: that with the longest prefix that fits.
// That of public folders may be "", beside one of the user's own that is "INBOX.".
func (l *layout) spaceOf(mailbox string) (home space, found bool) {
	home = space{prefix: l.prefix, delimiter: l.delimiter, own: true}
	for _, s := range l.spaces { // the user's own come first
		if s.has(mailbox) && (!found || len(s.prefix) > len(home.prefix)) {
			home, found = s, true
		}
	}
	return home, found
}

// isForeign reports a mailbox of another user, or a public one (RFC 2342 §4).
func (l *layout) isForeign(mailbox string) bool {
	home, _ := l.spaceOf(mailbox)
	return mailbox != inbox && !home.own
}

// isHomeless reports a mailbox that no namespace has, though the user has one: the server
// refuses to make it. Only a name in INBOX can be so, as all others get the prefix; and
// that may have INBOX in another case (RFC 3501 §5.1).
func (l *layout) isHomeless(mailbox string) bool {
	_, found := l.spaceOf(mailbox)
	return mailbox != inbox && !found && len(l.spaces) > 0 && l.spaces[0].own &&
		!strings.EqualFold(l.prefix, inbox+l.delimiter)
}

// has reports whether a mailbox, or the root of the namespace, is in it.
func (s space) has(mailbox string) bool { return strings.HasPrefix(mailbox+s.delimiter, s.prefix) }

// name is the configured form of a mailbox of the user's own; ok is false for others, and
// for what can't be configured.
func (l *layout) name(mailbox string) (name string, ok bool) {
	if l.isForeign(mailbox) {
		return "", false
	}
	return l.configured(mailbox)
}

// configured is how a mailbox is written in folder:, if it can be: without the prefix,
// unless that would mean another one.
func (l *layout) configured(mailbox string) (name string, ok bool) {
	if mailbox == inbox {
		return inbox, true
	}
	home, _ := l.spaceOf(mailbox)
	name = strings.TrimPrefix(mailbox, l.prefix)
	if l.literal(wanted{parts: home.levels(name)}) != mailbox && l.literal(wanted{parts: home.levels(mailbox)}) == mailbox {
		name = mailbox
	}
	if !home.own && home.prefix == "" || home.delimiter != "/" && strings.Contains(name, "/") {
		return "", false
	}
	return strings.Join(home.levels(name), "/"), name != ""
}

// levels takes a name on the server apart.
func (s space) levels(name string) []string {
	if s.delimiter == "" {
		return []string{name}
	}
	return strings.Split(name, s.delimiter)
}

// shown is what people call a mailbox.
func (l *layout) shown(mailbox string) string {
	if name, ok := l.configured(mailbox); ok {
		return name
	}
	return mailbox
}
