package imapdst

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// Room is what the quotas of a folder leave.
type Room struct {
	// Octets are left of the storage, Messages of their number; or NoLimit.
	Octets, Messages int64
}

// NoLimit is where there is no quota, or none that anybody tells of.
const NoLimit int64 = -1

// Room asks for the quotas that hold for a folder (RFC 9208 §4.1.2, and RFC 2087
// before it), or for INBOX while the folder is not there. It is a hint: a server
// may count in another way, or let a quota be exceeded. One that does not answer
// limits nothing.
func (c *Conn) Room(ctx context.Context, f Folder) (Room, error) {
	open := Room{NoLimit, NoLimit}
	if !c.Capabilities().Quota {
		return open, nil
	}
	end, err := c.begin(ctx, quietLimit)
	if err != nil {
		return open, err
	}
	defer end()
	mailbox := inbox
	if f.Exists {
		mailbox = f.Mailbox
	}
	var asked *imapclient.GetQuotaRootCommand
	c.send(func() { asked = c.client.GetQuotaRoot(mailbox) })
	quotas, err := asked.Wait()
	if broken := c.wire.Broken(); broken != nil {
		return open, broken
	}
	if err != nil {
		return open, nil
	}
	return roomOf(quotas), nil
}

// roomOf is what the tightest quota of each kind leaves.
func roomOf(quotas []imapclient.QuotaData) Room {
	room := Room{NoLimit, NoLimit}
	for _, q := range quotas {
		if r, ok := q.Resources[imap.QuotaResourceStorage]; ok {
			// Units of 1,024 octets (RFC 9208 §5.1).
			room.Octets = tighter(room.Octets, left(r, math.MaxInt64>>10)<<10)
		}
		if r, ok := q.Resources[imap.QuotaResourceMessage]; ok {
			room.Messages = tighter(room.Messages, left(r, math.MaxInt64))
		}
	}
	return room
}

// left is what a resource leaves, and at most so much.
func left(r imapclient.QuotaResourceData, most int64) int64 {
	return min(max(r.Limit-r.Usage, 0), most)
}

func tighter(before, left int64) int64 {
	if before == NoLimit {
		return left
	}
	return min(before, left)
}

// quotaRoot rewrites a QUOTAROOT response (RFC 9208 §4.2.2).
func (g *guard) quotaRoot() error {
	mailbox, err := g.scan.value()
	if err != nil {
		return err
	}
	var roots strings.Builder
	for {
		if err := g.scan.spaces(); err != nil {
			return err
		}
		if b, err := g.scan.peek(); err != nil || b == '\r' || b == '\n' {
			break
		}
		root, err := g.scan.value()
		if err != nil {
			return err
		}
		if isRoot(root) {
			roots.WriteString(" " + quote(root.text))
		}
	}
	if name, ok := g.readName(mailbox.text); ok && roots.Len() > 0 {
		g.out = []byte("* QUOTAROOT " + quote(strings.ReplaceAll(name, "&", "&-")) + roots.String() + "\r\n")
	}
	return g.scan.endLine()
}

func isRoot(n node) bool { return !n.isList && !strings.ContainsAny(n.text, "\r\n\x00") }

// quota rewrites a QUOTA response (RFC 9208 §4.2.1): the resources that we ask
// for, where their numbers make sense. A limit of 0 is how some servers write that
// there is none.
func (g *guard) quota() error {
	root, err := g.scan.value()
	if err != nil {
		return err
	}
	if err := g.scan.spaces(); err != nil {
		return err
	}
	var resources node
	if b, err := g.scan.peek(); err == nil && b == '(' { // Courier says nothing of none
		if resources, err = g.scan.value(); err != nil {
			return err
		}
	}
	if isRoot(root) {
		g.out = []byte("* QUOTA " + quote(root.text) + " (" +
			strings.Join(quotaResources(resources), " ") + ")\r\n")
	}
	return g.scan.skipResponse()
}

func quotaResources(list node) []string {
	var out []string
	for i := 0; i+2 < len(list.list); i += 3 {
		name := strings.ToUpper(list.list[i].text)
		usage, errUsage := strconv.ParseInt(list.list[i+1].text, 10, 64)
		limit, errLimit := strconv.ParseInt(list.list[i+2].text, 10, 64)
		if (name == "STORAGE" || name == "MESSAGE") && errUsage == nil && errLimit == nil && usage >= 0 && limit > 0 {
			out = append(out, fmt.Sprintf("%s %d %d", name, usage, limit))
		}
	}
	return out
}
