package imapdst

import (
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// layout is how an account builds mailbox names: prefix and delimiter of the
// personal namespace (RFC 2342 §5), and the prefixes that are not ours.
type layout struct {
	prefix    string
	delimiter string // empty: names are flat
	foreign   []string
	shunned   string // more characters that the server does not take
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
	l := &layout{}
	if s.namespace != nil {
		// A server that offers NAMESPACE and refuses it has none.
		if data, err := s.namespace.Wait(); err == nil {
			l.read(data)
		}
	}
	roots, err := s.root.wait(c)
	if broken := c.wire.Broken(); broken != nil {
		return nil, broken
	}
	if err == nil && l.delimiter == "" && len(roots) > 0 && roots[0].Delim != 0 {
		l.delimiter = string(roots[0].Delim)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.layout = l
	return l, nil
}

func (l *layout) read(data *imap.NamespaceData) {
	if len(data.Personal) > 0 {
		l.prefix = decodedPrefix(data.Personal[0].Prefix)
		if delim := data.Personal[0].Delim; delim != 0 {
			l.delimiter = string(delim)
		}
	}
	for _, space := range append(data.Other, data.Shared...) {
		if prefix := decodedPrefix(space.Prefix); prefix != "" {
			l.foreign = append(l.foreign, prefix)
		}
	}
}

// decodedPrefix decodes a prefix like the names that start with it.
func decodedPrefix(raw string) string {
	if name, ok := decodeName(raw); ok {
		return name
	}
	return raw
}

// spelledOut tells whether a name was written with the server's prefix.
func (l *layout) spelledOut(name string) bool {
	return l.prefix != "" && strings.HasPrefix(name, l.prefix)
}

// isForeign reports a mailbox of another user, or a public one (RFC 2342 §4).
func (l *layout) isForeign(mailbox string) bool {
	return slices.ContainsFunc(l.foreign, func(prefix string) bool { return strings.HasPrefix(mailbox, prefix) })
}

// name is the configured form of a server's mailbox; ok is false for what can't
// be configured.
func (l *layout) name(mailbox string) (name string, ok bool) {
	if mailbox == inbox {
		return inbox, true
	}
	if l.isForeign(mailbox) {
		return "", false
	}
	name = strings.TrimPrefix(mailbox, l.prefix)
	if l.delimiter != "/" && strings.Contains(name, "/") {
		return "", false
	}
	if l.delimiter != "" {
		name = strings.ReplaceAll(name, l.delimiter, "/")
	}
	return name, name != ""
}
