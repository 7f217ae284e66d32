package imapdst

import (
	"context"
	"math"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/popferry/popferry/internal/fault"
)

// openCommand opens a mailbox: STATUS for what SELECT does not tell, then SELECT
// (RFC 3501 §6.3.1), in one go.
type openCommand struct {
	limit  *imapclient.StatusCommand // nil where it is not needed
	opened *imapclient.SelectCommand
}

// startOpen sends the commands. The caller holds the turn.
func (c *Conn) startOpen(mailbox string) *openCommand {
	o := &openCommand{}
	// "APPENDLIMIT" without a number: every mailbox has its own (RFC 7889 §2).
	if c.Capabilities().has("APPENDLIMIT") {
		o.limit = c.client.Status(mailbox, &imap.StatusOptions{AppendLimit: true})
	}
	o.opened = c.client.Select(mailbox, nil)
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
		c.setSelected("")
		return f, c.commandError("open "+quote(f.Mailbox), err)
	}
	c.setSelected(f.Mailbox)
	noted := c.guard.takeOpening()
	f.Exists = true
	f.ReadOnly = noted.readOnly
	f.NoStickyUIDs = noted.notSticky || data.UIDValidity == 0
	f.UIDValidity, f.UIDNext = data.UIDValidity, uint32(data.UIDNext)
	f.Messages = data.NumMessages
	return f, nil
}

// open selects an existing mailbox, after what first sends. A server too old to
// tell UIDNEXT there does so in STATUS (RFC 3501 §6.3.10).
func (c *Conn) open(f Folder, first func()) (Folder, error) {
	c.guard.takeOpening()
	var opened *openCommand
	c.send(func() {
		first()
		opened = c.startOpen(f.Mailbox)
	})
	f, err := opened.wait(c, f)
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

func (c *Conn) setSelected(mailbox string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.selected = mailbox
}

// Refresh opens the folder again and returns what is true now. NOOP goes ahead:
// some servers show new mail only then.
func (c *Conn) Refresh(ctx context.Context, f Folder) (Folder, error) {
	end, err := c.begin(ctx, quietLimit)
	if err != nil {
		return f, err
	}
	defer end()
	var noop *imapclient.Command
	fresh, err := c.open(Folder{Name: f.Name, Mailbox: f.Mailbox}, func() {
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
	fresh, err := c.open(Folder{Name: f.Name, Mailbox: f.Mailbox}, func() {})
	if err == nil && fresh.UIDValidity != f.UIDValidity {
		err = fault.New(fault.Temporary, "the UIDs of %q on %s changed (UIDVALIDITY %d, was %d)",
			f.Name, c.wire.Address(), fresh.UIDValidity, f.UIDValidity).
			WithHint("run again: everything in the folder is then looked at afresh")
	}
	return err
}
