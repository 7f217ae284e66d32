package check

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// destination looks at an account: it makes no folder and opens none for change.
func (c *checker) destination(ctx context.Context, a plan.Account) Destination {
	a.Destination.Protocol = wire.IMAP
	d := Destination{Side: newSide(wire.IMAP, a.Destination)}
	started := time.Now()
	var conn *imapdst.Conn
	err := c.visits.visit(ctx, a.Destination, func() (err error) {
		return c.visits.showing(ctx, a.Destination, func(e plan.Endpoint) (sasl.LoggedIn, error) {
			a.Destination = e
			conn, err = c.DialDestination(ctx, a)
			return conn, err
		})
	}, func() error {
		defer conn.Close()
		d.describe(conn, c.Now())
		err := d.look(ctx, conn, a)
		d.notices = conn.Notices()
		return err
	})
	d.ended(ctx, a.Destination, started, err)
	return d
}

func (d *Destination) describe(conn *imapdst.Conn, now time.Time) {
	caps := conn.Capabilities()
	d.TLS, d.Auth = describeTLS(conn.TLS, now), conn.Mechanism()
	d.showed, d.leftOut = conn.ShowedCertificate(), conn.LeftOut()
	d.offers("UIDPLUS", caps.UIDPlus)
	switch {
	case caps.LiteralMinus && !caps.LiteralPlus:
		d.offers("LITERAL-", true)
	default:
		d.offers("LITERAL+", caps.LiteralPlus)
	}
	d.offers("MULTIAPPEND", caps.MultiAppend)
	d.offers("SPECIAL-USE", caps.SpecialUse)
	d.offers("QUOTA", caps.Quota)
	if caps.AppendLimit > 0 {
		d.Capabilities = append(d.Capabilities, fmt.Sprintf("APPENDLIMIT %d", caps.AppendLimit))
	}
	d.AppendLimit = caps.AppendLimit
}

// look finds the folder and asks what room there is.
func (d *Destination) look(ctx context.Context, conn *imapdst.Conn, a plan.Account) error {
	seen, err := conn.Look(ctx, a.Folder)
	if err != nil {
		return err
	}
	if err := ferry.Countable(a.Destination.Address(), seen.Folder); err != nil {
		return err
	}
	d.Folder = folderOf(seen)
	d.SpecialUse = seen.Uses
	for use, name := range seen.Uses {
		d.SpecialUse[use] = fault.Escape(name)
	}
	if seen.AppendLimit > 0 {
		d.AppendLimit = seen.AppendLimit
	}
	room, err := conn.Room(ctx, seen.Folder)
	if err != nil {
		return err
	}
	d.QuotaBytes, d.QuotaMessages = told(room.Octets), told(room.Messages)
	if err := d.mayWrite(*d.Folder); err != nil {
		return err
	}
	return d.lookAtRoutes(ctx, conn, a)
}

func folderOf(seen imapdst.Sight) *Folder {
	return &Folder{
		Configured: seen.Name, Mailbox: fault.Escape(seen.Mailbox), Exists: seen.Exists,
		Messages: int(seen.Messages), Subscribed: seen.Subscribed, ReadOnly: seen.ReadOnly,
		renamed: seen.Renamed, namesake: seen.Namesake, prefix: seen.Prefix, delimiter: seen.Delimiter,
	}
}

func (d *Destination) mayWrite(f Folder) error {
	if !f.ReadOnly {
		return nil
	}
	return fault.New(fault.Refused, "%s says that this user may put nothing into folder %s", d.Server, f.Mailbox).
		WithHint("check that the user may write to this folder")
}

// maxRouted bounds how many folders of routes are looked at.
const maxRouted = 50

// lookAtRoutes looks at the other folders that mail may go to. Of one with a date in
// its name it is told what is around the date, as that is what can be wrong.
func (d *Destination) lookAtRoutes(ctx context.Context, conn *imapdst.Conn, a plan.Account) error {
	taken := map[string]bool{a.Folder: true}
	for _, r := range a.Routes {
		if taken[r.Folder] || len(d.Routed) == maxRouted {
			continue
		}
		taken[r.Folder] = true
		seen, err := conn.Look(ctx, r.Folder)
		if err != nil {
			return err
		}
		f := folderOf(seen)
		f.Dated = strings.Contains(r.Folder, "{")
		d.Routed = append(d.Routed, *f)
		if err := d.mayWrite(*f); err != nil {
			return err
		}
	}
	return nil
}

// told makes "no limit" an absent number.
func told(n int64) *int64 {
	if n == imapdst.NoLimit {
		return nil
	}
	return &n
}
