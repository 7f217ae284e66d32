package imapdst

import (
	"context"
	"crypto/tls"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// Sight is what a look at a folder shows.
type Sight struct {
	Folder
	// Subscribed tells whether mail programs show it; nil: the server does not say.
	Subscribed *bool
	// ReadOnly: the server says that this user may not put anything in (RFC 4314
	// §4, the right "i").
	ReadOnly bool
	// Namesake is a folder that is there and whose name differs in case only, where
	// the wanted one is not; with "/" between the levels.
	Namesake string
	// Prefix is what the user's folders begin with, if this one would be in no namespace of
	// the server (RFC 2342 §5), which then refuses to make it.
	Prefix string
	// Delimiter is what the server has between the levels of names; "" is a server
	// without levels.
	Delimiter string
	// Uses are the folders that the server marks for a use, such as \Sent (RFC 6154
	// §2), by use.
	Uses map[string]string
}

// Look finds a folder as [Conn.Folder] does, makes nothing, changes nothing and
// tells what a person may want to know of it beforehand.
func (c *Conn) Look(ctx context.Context, name string) (Sight, error) {
	end, err := c.begin(ctx, quietLimit)
	if err != nil {
		return Sight{}, err
	}
	defer end()
	c.mailbox.Lock()
	defer c.mailbox.Unlock()
	wanted, err := newWanted(name)
	if err != nil {
		return Sight{}, err
	}
	layout, listed, err := c.listAll(question{pattern: "*", uses: true, subscribed: true}, wanted)
	if err != nil {
		return Sight{}, err
	}
	home, _ := layout.home(wanted)
	s := Sight{Folder: Folder{Name: name}, Uses: layout.uses(listed), Delimiter: home.delimiter}
	if s.Mailbox, err = layout.resolve(wanted, listed); err != nil {
		return s, err
	}
	s.Renamed = layout.renamed(wanted, s.Mailbox)
	entry := among(listed, s.Mailbox)
	switch {
	case entry != nil:
		s.Mailbox = entry.Mailbox
	case s.Mailbox != inbox: // which is always there (RFC 3501 §5.1)
		s.AppendLimit = c.Capabilities().AppendLimit
		s.Namesake = layout.namesake(listed, s.Mailbox)
		if layout.isHomeless(s.Mailbox) {
			s.Prefix = layout.prefix
		}
		return s, nil
	}
	if s.Folder, err = c.open(s.Folder, toRead, func() {}); err != nil {
		return s, err
	}
	if s.Subscribed, err = c.isSubscribed(entry, s.Mailbox); err != nil {
		return s, err
	}
	s.ReadOnly, err = c.isReadOnly(s.Mailbox)
	return s, err
}

// specialUses are those that a folder may be configured by; \All and \Flagged are
// views.
var specialUses = []string{`\Archive`, `\Drafts`, `\Junk`, `\Sent`, `\Trash`}

func (l *layout) uses(listed []*imap.ListData) map[string]string {
	uses := map[string]string{}
	for _, entry := range listed {
		name, ok := l.name(entry.Mailbox)
		if !ok || !selectable(entry) {
			continue
		}
		for _, attribute := range entry.Attrs {
			for _, use := range specialUses {
				if strings.EqualFold(string(attribute), use) && uses[use] == "" {
					uses[use] = name
				}
			}
		}
	}
	return uses
}

func (l *layout) namesake(listed []*imap.ListData, mailbox string) string {
	for _, entry := range listed {
		// One of the same spelling is not there either: it only has others in it.
		if entry.Mailbox == mailbox || !selectable(entry) {
			continue
		}
		if strings.EqualFold(entry.Mailbox, mailbox) {
			return l.shown(entry.Mailbox)
		}
	}
	return ""
}

// isSubscribed says whether a folder is subscribed; nil: the server does not tell.
func (c *Conn) isSubscribed(entry *imap.ListData, mailbox string) (*bool, error) {
	if entry != nil && c.Capabilities().has("LIST-EXTENDED") {
		told := slices.Contains(entry.Attrs, imap.MailboxAttrSubscribed)
		return &told, nil
	}
	names, ok, err := c.subscribed()
	if err != nil || !ok {
		return nil, err
	}
	told := slices.Contains(names, mailbox)
	return &told, nil
}

// subscribed asks which folders are subscribed (RFC 3501 §6.3.9); go-imap has no
// LSUB, so the command is ours. ok is false where the server refuses to tell.
func (c *Conn) subscribed() (names []string, ok bool, err error) {
	waiter, err := c.guard.router.open()
	if err != nil {
		return nil, false, err
	}
	c.guard.takeSubscribed()
	c.guard.router.finish(waiter)
	c.send(func() {
		_, err = c.guard.conn.Write([]byte(waiter.tag + " LSUB \"\" \"*\"\r\n"))
	})
	if err != nil {
		return nil, false, c.guard.fail(err)
	}
	<-waiter.done
	if waiter.failure != nil {
		return nil, false, waiter.failure
	}
	return c.guard.takeSubscribed(), waiter.answer.kind == "OK", nil
}

// isReadOnly asks for the user's rights on a folder (RFC 4314 §3.5). A server that
// does not answer denies nothing.
func (c *Conn) isReadOnly(mailbox string) (bool, error) {
	if !c.Capabilities().has("ACL") {
		return false, nil
	}
	var asked *imapclient.MyRightsCommand
	c.send(func() { asked = c.client.MyRights(mailbox) })
	data, err := asked.Wait()
	if broken := c.wire.Broken(); broken != nil {
		return false, broken
	}
	return err == nil && len(data.Rights) > 0 && !slices.Contains(data.Rights, imap.RightInsert), nil
}

// MayInsert reports whether the user may put mail into a folder: by the rights that the server
// tells (RFC 4314 §4, APPEND), and by how it opens the folder to somebody who wants to change
// it (RFC 3501 §7.1, READ-ONLY). It is left open to read, as all others.
func (c *Conn) MayInsert(ctx context.Context, f Folder) (bool, error) {
	end, err := c.begin(ctx, quietLimit)
	if err != nil {
		return false, err
	}
	defer end()
	c.mailbox.Lock()
	defer c.mailbox.Unlock()
	readOnly, err := c.isReadOnly(f.Mailbox)
	if err != nil || readOnly {
		return false, err
	}
	if _, err := c.reopen(f, toChange); err != nil {
		return false, err
	}
	writable := c.isWritable()
	_, err = c.reopen(f, toRead)
	return writable, err
}

// TLS returns what the handshake agreed on; ok is false in clear text.
func (c *Conn) TLS() (state tls.ConnectionState, ok bool) { return c.wire.TLSState() }
