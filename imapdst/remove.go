package imapdst

import (
	"context"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/popferry/popferry/internal/fault"
)

// CanRemove is the error of Remove for servers without UIDPLUS: a plain EXPUNGE would also
// remove what others have marked as deleted (RFC 4315 §2.1).
func (c *Conn) CanRemove() error {
	if c.Capabilities().UIDPlus {
		return nil
	}
	return fault.New(fault.Refused, "%s can't delete single messages (it has no UIDPLUS), so nothing is taken back",
		c.wire.Address()).WithHint("delete what popferry brought with a mail program")
}

// Remove deletes messages for good, where that is possible; see [Conn.CanRemove].
func (c *Conn) Remove(ctx context.Context, f Folder, uids []uint32) error {
	if err := c.CanRemove(); err != nil {
		return err
	}
	return c.change(ctx, f, uids, c.removeSet)
}

// Unmark takes the mark \Deleted away from messages, as far as they are there.
func (c *Conn) Unmark(ctx context.Context, f Folder, uids []uint32) error {
	return c.change(ctx, f, uids, func(set imap.UIDSet) error {
		return c.mark(set, imap.StoreFlagsDel)
	})
}

// change opens a folder for writing and does something to messages in it.
func (c *Conn) change(ctx context.Context, f Folder, uids []uint32, do func(imap.UIDSet) error) error {
	end, err := c.begin(ctx, quietLimit)
	if err != nil {
		return err
	}
	defer end()
	c.mailbox.Lock()
	defer c.mailbox.Unlock()
	opened, err := c.reopen(f, toChange)
	if err != nil {
		return err
	}
	if opened.NoStickyUIDs || !c.isWritable() {
		return fault.New(fault.Refused, "%q on %s is read-only or has no lasting UIDs",
			f.Name, c.wire.Address()).WithHint("delete the messages with a mail program")
	}
	for _, set := range uidSets(uids, c.atOnce()) {
		if err := do(set); err != nil {
			return err
		}
	}
	return nil
}

// removeSet marks and expunges (RFC 3501 §6.4.6, RFC 4315 §2.1). EXPUNGE waits
// for the mark: without it there is nothing to expunge.
func (c *Conn) removeSet(set imap.UIDSet) error {
	if err := c.mark(set, imap.StoreFlagsAdd); err != nil {
		return err
	}
	var expunge *imapclient.ExpungeCommand
	c.send(func() { expunge = c.client.UIDExpunge(set) })
	if err := expunge.Close(); err != nil {
		return c.commandError("expunge messages", err)
	}
	return nil
}

// mark sets the flag \Deleted, or takes it away.
func (c *Conn) mark(set imap.UIDSet, op imap.StoreFlagsOp) error {
	var stored *imapclient.FetchCommand
	c.send(func() {
		stored = c.client.Store(set, &imap.StoreFlags{Op: op, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil)
	})
	return c.commandError("change the mark of deleted messages", stored.Close())
}
