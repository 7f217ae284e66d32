package ferry

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// direct finds the folder of each message, and looks at folders that mail goes to for
// the first time.
func (t *trip) direct(ctx context.Context, batch []*parcel) error {
	if len(t.account.Routes) == 0 {
		return nil
	}
	for _, c := range batch {
		header, err := c.msg.Head(plan.MaxHeader)
		if err != nil {
			return err
		}
		name, _ := t.account.Route(plan.Mail{Header: header, Date: c.msg.Date, Size: c.msg.Size}, t.opened)
		if c.to, err = t.folderNamed(ctx, name); err != nil {
			return err
		}
		if err := t.match.lookInto(ctx, c.to); err != nil {
			return err
		}
	}
	return nil
}

// byFolder makes a batch into one for each folder, in the order of their first messages.
func byFolder(batch []*parcel) [][]*parcel {
	at := map[*folder]int{}
	var parts [][]*parcel
	for _, c := range batch {
		i, known := at[c.to]
		if !known {
			i = len(parts)
			at[c.to], parts = i, append(parts, nil)
		}
		parts[i] = append(parts[i], c)
	}
	return parts
}

// These begin the reasons of what is held because of its folder, or by it: it is tried
// again by every run.
const (
	reasonFolder = "its folder can't be used"
	reasonAlone  = "its folder refuses it"
)

// holdHere holds a message that was refused alone, for a reason that may be its folder's.
// One that was before says nothing of the folder.
func (t *trip) holdHere(ctx context.Context, c *parcel) error {
	t.resolved(c.session)
	c.record.Attempts = max(c.record.Attempts, suspectAttempts) // next time the others come first
	err := t.hold(ctx, c.listed, c.record, reasonAlone+": "+hinted(c.refusal))
	mayMeanOne := isForbidden(c.refusal) || isTrouble(c.refusal)
	if err != nil || mayMeanOne && strings.HasPrefix(t.knownAs(c.listed.Key).Reason, reasonAlone) {
		return err
	}
	if !mayMeanOne {
		c.to.close(c.refusal)
	}
	for _, r := range c.to.refuses(refused{c.listed, c.record}, c.refusal) {
		reason := reasonFolder + ": " + c.to.closed().Error()
		t.awaits(c.to, r.listed.Key)
		if err := t.hold(ctx, r.listed, r.record, reason); err != nil {
			return err
		}
		t.heldFor(r.listed.Key, reason)
	}
	return nil
}

// holdAll holds messages whose folder is closed to us, so that they are in the way of
// no others (I7).
func (t *trip) holdAll(ctx context.Context, p *pipeline, batch []*parcel) error {
	for i, c := range batch {
		c.record.Sum = c.msg.Summary
		t.awaits(c.to, c.listed.Key)
		err := t.hold(ctx, c.listed, c.record, reasonFolder+": "+c.to.closed().Error())
		if err == nil {
			t.resolved(c.session)
		}
		p.release(c)
		if err != nil {
			p.releaseAll(batch[i+1:])
			return err
		}
	}
	return nil
}

// awaits notes a message that can't be delivered because of its folder.
func (t *trip) awaits(f *folder, key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.waiting == nil {
		f.waiting = map[string]bool{}
		t.shut = append(t.shut, f)
	}
	f.waiting[key] = true
}

// keptHeader remembers the beginning of a header that is read.
type keptHeader struct {
	io.Reader
	octets []byte
	most   int
}

// newHeader remembers what routes look at, if the account has any.
func (t *trip) newHeader(r io.Reader) *keptHeader {
	h := &keptHeader{Reader: r}
	if len(t.account.Routes) > 0 {
		h.most = plan.MaxHeader
	}
	return h
}

// Read implements io.Reader.
func (h *keptHeader) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	h.octets = append(h.octets, p[:min(n, h.most-len(h.octets))]...)
	return n, err
}

// aim finds the folder of a message by its header, for a plan: its size is LIST's.
func (t *trip) aim(l plan.Listed, header *keptHeader, s message.Summary) {
	if len(t.account.Routes) == 0 {
		return
	}
	name, route := t.account.Route(plan.Mail{Header: header.octets, Date: s.Date, Size: l.Size}, t.opened)
	t.targets[l.Key] = plan.Target{Folder: name, Route: route}
}

// foreseeTargets reads headers for a plan, so that it can say where mail would go.
func (t *trip) foreseeTargets(ctx context.Context) error {
	if len(t.account.Routes) == 0 {
		return nil
	}
	var unaimed []plan.Listed
	for _, l := range t.listing {
		if _, aimed := t.targets[l.Key]; !aimed && t.isUnknown(l) {
			unaimed = append(unaimed, l)
		}
	}
	if len(unaimed) == 0 {
		return nil
	}
	_, err := t.topHeaders(ctx, unaimed)
	if errors.Is(err, pop.ErrNoTop) {
		return nil
	}
	return err
}
