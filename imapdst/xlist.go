package imapdst

import (
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// marksCommand asks a server that has XLIST, and not the SPECIAL-USE that took its place
// (RFC 6154 §1), how folders are marked. go-imap has no XLIST, so the command is ours.
type marksCommand struct{ waiter *waiter }

// askMarks sends XLIST where it is of use. The caller holds the turn.
func (c *Conn) askMarks(uses bool) *marksCommand {
	if caps := c.Capabilities(); !uses || caps.SpecialUse || !caps.has("XLIST") {
		return &marksCommand{}
	}
	waiter, err := c.guard.router.open()
	if err != nil {
		return &marksCommand{} // the connection is lost, as the caller sees next
	}
	c.guard.router.finish(waiter)
	if _, err := c.guard.conn.Write([]byte(waiter.tag + " XLIST \"\" \"*\"\r\n")); err != nil {
		c.guard.fail(err)
	}
	return &marksCommand{waiter}
}

// wait adds the marks to what LIST told. A server that refuses XLIST marks nothing.
func (m *marksCommand) wait(c *Conn, listed []*imap.ListData) {
	if m.waiter == nil {
		return
	}
	<-m.waiter.done
	marks := c.guard.takeMarks()
	for _, entry := range listed {
		entry.Attrs = append(entry.Attrs, marks[entry.Mailbox]...)
	}
}

// xlist keeps the marks of a folder. INBOX, which XLIST shows under the user's name for it,
// is the only one that LIST calls otherwise, and needs none.
func (g *guard) xlist() error {
	attributes, _, raw, err := g.listed()
	if err != nil {
		return err
	}
	name, ok := g.readName(raw)
	g.mu.Lock()
	defer g.mu.Unlock()
	if uses := usesOf(attributes); ok && len(uses) > 0 && len(g.marks) < maxFolders {
		g.marks[name] = uses
	}
	return nil
}

// usesOf are the marks that stand for a use.
func usesOf(attributes node) (uses []imap.MailboxAttr) {
	for _, mark := range attributesOf(attributes) {
		if slices.ContainsFunc(specialUses, func(use string) bool { return strings.EqualFold(use, mark) }) {
			uses = append(uses, imap.MailboxAttr(mark))
		}
	}
	return uses
}

// takeMarks returns what was kept since the last call.
func (g *guard) takeMarks() map[string][]imap.MailboxAttr {
	g.mu.Lock()
	defer g.mu.Unlock()
	marks := g.marks
	g.marks = map[string][]imap.MailboxAttr{}
	return marks
}
