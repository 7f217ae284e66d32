package imapdst

import (
	"context"
	"errors"
	"math"
	"regexp"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sasl"
)

// access says how a mailbox is opened.
type access bool

const (
	// toRead is EXAMINE (RFC 3501 §6.3.2). It is what appending needs too: APPEND
	// names its mailbox. It leaves \Recent to the user's own client, and keeps
	// clear of servers that write a selected mailbox back over what was appended
	// to it meanwhile (mailutils 3.15).
	toRead access = true
	// toChange is SELECT.
	toChange access = false
)

// openCommand opens a mailbox: STATUS for what EXAMINE does not tell, then EXAMINE
// or SELECT (RFC 3501 §6.3.1), in one go.
type openCommand struct {
	how    access
	limit  *imapclient.StatusCommand // nil where it is not needed
	opened *imapclient.SelectCommand

	unknown bool // the server does not know EXAMINE, as it seems
}

// startOpen sends the commands. The caller holds the turn.
func (c *Conn) startOpen(mailbox string, how access) *openCommand {
	if c.noExamine.Load() {
		how = toChange
	}
	o := &openCommand{how: how}
	// "APPENDLIMIT" without a number: every mailbox has its own (RFC 7889 §2).
	if c.Capabilities().has("APPENDLIMIT") {
		o.limit = c.client.Status(mailbox, &imap.StatusOptions{AppendLimit: true})
	}
	o.opened = c.client.Select(mailbox, &imap.SelectOptions{ReadOnly: bool(how)})
	return o
}

func (o *openCommand) wait(c *Conn, f Folder) (Folder, error) {
	f.AppendLimit = c.Capabilities().AppendLimit
	if o.limit != nil {
		// Without an answer there is no limit to keep to.
		data, err := o.limit.Wait()
		if err == nil && data.AppendLimit != nil && *data.AppendLimit != math.MaxUint32 {
			f.AppendLimit = int64(*data.AppendLimit)
		}
	}
	data, err := o.opened.Wait()
	if err != nil {
		c.setSelected("", false)
		o.unknown = o.how == toRead && lacksExamine(err)
		return f, c.commandError("open "+quote(f.Mailbox), err)
	}
	noted := c.guard.takeOpening()
	if !noted.counted {
		c.setSelected("", false)
		return f, c.uncounted(f)
	}
	c.setSelected(f.Mailbox, o.how == toChange && !noted.readOnly)
	f.Exists = true
	f.NoStickyUIDs = noted.notSticky || data.UIDValidity == 0
	f.UIDValidity, f.UIDNext = data.UIDValidity, uint32(data.UIDNext)
	f.Messages = data.NumMessages
	return f, nil
}

// uncounted is the error for a folder of which EXISTS was not told: it would count as empty,
// and all its mail as missing (RFC 3501 §6.3.1).
func (c *Conn) uncounted(f Folder) error {
	return fault.New(fault.Protocol, "%s does not tell how many messages folder %s has",
		c.wire.Address(), quote(f.Mailbox)).WithHint("ask the server's operator; every IMAP server has to tell it")
}

// open opens an existing mailbox, after what first sends. A server too old to
// tell UIDNEXT there does so in STATUS (RFC 3501 §6.3.10).
func (c *Conn) open(f Folder, how access, first func()) (Folder, error) {
	c.guard.takeOpening()
	var opened *openCommand
	c.send(func() {
		first()
		opened = c.startOpen(f.Mailbox, how)
	})
	f, err := opened.wait(c, f)
	if opened.unknown {
		return c.openBySelect(f, err)
	}
	if err != nil || f.UIDNext != 0 {
		return f, err
	}
	var status *imapclient.StatusCommand
	c.send(func() {
		status = c.client.Status(f.Mailbox, &imap.StatusOptions{UIDNext: true, UIDValidity: true})
	})
	data, err := status.Wait()
	if err := c.wire.Broken(); err != nil {
		return f, err
	}
	if err == nil && data.UIDValidity == f.UIDValidity {
		f.UIDNext = uint32(data.UIDNext)
	}
	return f, nil
}

// openBySelect opens what could not be opened to read, as EXAMINE must be able to (RFC 3501
// §6.3.2). From now on all is opened like that, unless it is refused, too: then it was not EXAMINE.
func (c *Conn) openBySelect(f Folder, refusal error) (Folder, error) {
	if c.wire.Broken() != nil || c.noExamine.Swap(true) {
		return f, refusal
	}
	opened, err := c.open(f, toChange, func() {})
	if err != nil {
		c.noExamine.Store(false)
		return f, refusal
	}
	return opened, nil
}

// notKnown is how servers say NO to a command that they do not have.
var notKnown = regexp.MustCompile(`(?i)(unknown|unrecogni[sz]ed|unsupported|invalid) command|not (supported|implemented)`)

// lacksExamine reports an answer that may be about the command, and not about the folder.
func lacksExamine(err error) bool {
	var refusal *imap.Error
	if !errors.As(err, &refusal) || explained(string(refusal.Code)) || throttled(refusal.Text) || sasl.NotConnected(refusal.Text) {
		return false
	}
	return refusal.Type == imap.StatusResponseTypeBad || notKnown.MatchString(refusal.Text)
}

func (c *Conn) setSelected(mailbox string, writable bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.selected, c.writable = mailbox, writable
}

// isWritable reports whether the open mailbox can be changed (RFC 3501 §7.1,
// READ-ONLY).
func (c *Conn) isWritable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writable
}

// Refresh opens the folder again and returns what is true now. NOOP goes ahead:
// some servers show new mail only then.
func (c *Conn) Refresh(ctx context.Context, f Folder) (Folder, error) {
	end, err := c.begin(ctx, quietLimit)
	if err != nil {
		return f, err
	}
	defer end()
	c.mailbox.Lock()
	defer c.mailbox.Unlock()
	var noop *imapclient.Command
	fresh, err := c.open(Folder{Name: f.Name, Mailbox: f.Mailbox}, toRead, func() {
		noop = c.client.Noop()
	})
	if errNoop := noop.Wait(); err == nil {
		err = c.commandError("answer NOOP", errNoop)
	}
	return fresh, err
}

// ensureSelected opens the folder if another one is open, and makes sure that
// its UIDs mean what the caller thinks (RFC 3501 §2.3.1.1).
func (c *Conn) ensureSelected(f Folder) error {
	c.mu.Lock()
	selected := c.selected
	c.mu.Unlock()
	if selected == f.Mailbox {
		return nil
	}
	_, err := c.reopen(f, toRead)
	return err
}

// reopen opens the folder anew and makes sure that its UIDs are still the same.
func (c *Conn) reopen(f Folder, how access) (Folder, error) {
	fresh, err := c.open(Folder{Name: f.Name, Mailbox: f.Mailbox}, how, func() {})
	if err == nil && fresh.UIDValidity != f.UIDValidity {
		err = fault.New(fault.Temporary, "the UIDs of %q on %s changed (UIDVALIDITY %d, was %d)",
			f.Name, c.wire.Address(), fresh.UIDValidity, f.UIDValidity).
			WithHint("run again: everything in the folder is then looked at afresh")
	}
	return fresh, err
}
