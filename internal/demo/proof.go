package demo

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/message"
)

// Proof compares what POP3 has with what was read back from IMAP, by content
// digest and number of copies.
type Proof struct {
	// Source is how many messages POP3 has, Destination how many IMAP has.
	Source      int `json:"source"`
	Destination int `json:"destination"`
	// Same are there as often as on POP3, with the same content digest. Missing
	// are on POP3 only, Extra on IMAP only: a copy too many, or changed content.
	Same    int `json:"same"`
	Missing int `json:"missing"`
	Extra   int `json:"extra"`
}

// Holds reports whether every message is there once, and nothing else is.
func (p Proof) Holds() bool { return p.Missing == 0 && p.Extra == 0 && p.Same == p.Source }

// Prove reads all mail from the IMAP server and compares it with the maildrop.
func (d *Demo) Prove(ctx context.Context) (Proof, error) {
	now := time.Now()
	left := map[message.Digest]int{}
	for _, m := range d.mail.messages {
		s, err := message.Summarize(bytes.NewReader(m.Raw), now)
		if err != nil {
			return Proof{}, fault.New(fault.Internal, "digest %s: %w", m.Name, err)
		}
		left[s.Content]++
	}
	p := Proof{Source: d.Messages()}
	err := d.readBack(ctx, func(s message.Summary) {
		p.Destination++
		if left[s.Content] > 0 {
			left[s.Content]--
			p.Same++
			return
		}
		p.Extra++
	})
	p.Missing = p.Source - p.Same
	return p, err
}

// readBack digests every message in the folder.
func (d *Demo) readBack(ctx context.Context, fn func(message.Summary)) (err error) {
	a := d.config.Accounts[0]
	conn, err := imapdst.Dial(ctx, imapdst.Options{Endpoint: a.Destination.Endpoint,
		Username: a.Destination.Username, Password: a.Destination.Secret, Auth: a.Destination.Auth})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	folder, err := conn.Folder(ctx, a.Folder, false)
	if err != nil {
		return err
	}
	var uids []uint32
	err = conn.Index(ctx, folder, 1, func(e imapdst.Entry) error {
		uids = append(uids, e.UID)
		return nil
	})
	if err != nil || len(uids) == 0 {
		return err
	}
	return conn.Digests(ctx, folder, uids, func(_ uint32, m imapdst.Copy) error {
		fn(m.Summary)
		return nil
	})
}
