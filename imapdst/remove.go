package imapdst

import (
	"context"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/popferry/popferry/internal/fault"
)

// Remove deletes messages for good. It needs UIDPLUS: a plain EXPUNGE would also
// remove what others have marked as deleted (RFC 4315 §2.1).
func (c *Conn) Remove(ctx context.Context, f Folder, uids []uint32) error {
	if !c.Capabilities().UIDPlus {
		return fault.New(fault.Refused, "%s can't delete single messages (it has no UIDPLUS)",
			c.wire.Address()).WithHint("delete them with a mail program")
	}
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
	for _, set := range uidSets(uids) {
		if err := c.removeSet(set); err != nil {
			return err
		}
	}
	return nil
}

// removeSet marks and expunges (RFC 3501 §6.4.6, RFC 4315 §2.1). EXPUNGE waits
// for the mark: without it there is nothing to expunge.
func (c *Conn) removeSet(set imap.UIDSet) error {
	var mark *imapclient.FetchCommand
	c.send(func() {
		mark = c.client.Store(set, &imap.StoreFlags{
			Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted},
		}, nil)
	})
	if err := mark.Close(); err != nil {
		return c.commandError("mark messages as deleted", err)
	}
	var expunge *imapclient.ExpungeCommand
	c.send(func() { expunge = c.client.UIDExpunge(set) })
	if err := expunge.Close(); err != nil {
		return c.commandError("expunge messages", err)
	}
	return nil
}
