package imapdst

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/popferry/popferry/internal/fault"
)

// create makes a folder that LIST did not show, subscribes to it, so that mail
// programs show it, and opens it, all in one go. Whether CREATE was refused does
// not matter where the folder can be opened: another session may have been
// faster, or names differ in case only. What is refused is tried without dots.
func (c *Conn) create(ctx context.Context, f Folder, w wanted) (Folder, error) {
	created, err := c.createAs(ctx, f, w)
	if err == nil || fault.CodeOf(err) != fault.Refused {
		return created, err
	}
	dotless, errName := c.cautious(w, f.Mailbox)
	if errName != nil || dotless == f.Mailbox {
		return created, err
	}
	f.Mailbox, f.Renamed = dotless, true
	if created, errDotless := c.createAs(ctx, f, w); errDotless == nil {
		return created, nil
	}
	return created, err
}

// cautious is that of the layout, which is known, for a folder that was to be called otherwise.
func (c *Conn) cautious(w wanted, mailbox string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dotless, err := c.layout.cautious(w)
	return c.layout.under(w, mailbox, dotless), err
}

func (c *Conn) createAs(ctx context.Context, f Folder, w wanted) (Folder, error) {
	c.guard.takeOpening()
	var created, subscribed *imapclient.Command
	var opened *openCommand
	c.send(func() {
		created = c.client.Create(f.Mailbox, c.createOptions(w))
		subscribed = c.client.Subscribe(f.Mailbox)
		opened = c.startOpen(f.Mailbox, toRead)
	})
	errCreate := created.Wait()
	// A folder that is not subscribed is a nuisance and no reason to fail.
	_ = subscribed.Wait()
	f, err := opened.wait(c, f)
	if opened.unknown {
		f, err = c.openBySelect(f, err)
	}
	if errCreate == nil || isThere(errCreate) {
		f, err = c.awaitFolder(ctx, f, err)
	}
	if err != nil && errCreate != nil {
		return f, c.createError(f.Mailbox, errCreate)
	}
	return f, err
}

// What several machines serve is made on one, and may be there later on the others: between the
// first look and the last one 7.5 seconds pass.
const (
	firstLook = 500 * time.Millisecond
	looks     = 4
)

// awaitFolder opens a folder that was just made, and that its server does not find yet.
func (c *Conn) awaitFolder(ctx context.Context, f Folder, missing error) (Folder, error) {
	opened, err := f, missing
	for pause := firstLook; pause < firstLook<<looks && isMissing(err); pause *= 2 {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return f, err
		}
		opened, err = c.open(f, toRead, func() {})
	}
	return opened, err
}

// isMissing reports a refusal because there is no such folder (RFC 5530 §3), with or without a code.
func isMissing(err error) bool {
	var e *fault.Error
	return errors.As(err, &e) && e.Code == fault.Refused && (e.Response == "NONEXISTENT" || e.Response == "TRYCREATE" ||
		e.Response == "" && noFolder.MatchString(strings.ToLower(e.Message)))
}

// isThere reports a refusal because there is such a folder (RFC 5530 §3, ALREADYEXISTS).
func isThere(refusal error) bool {
	var e *imap.Error
	return errors.As(refusal, &e) && strings.EqualFold(string(e.Code), string(imap.ResponseCodeAlreadyExists))
}

// createError says why a folder could not be made. Servers say of one that is in none of
// their namespaces that it is forbidden, or does not exist.
func (c *Conn) createError(mailbox string, refusal error) error {
	err := c.commandError("create "+quote(mailbox), refusal)
	c.mu.Lock()
	defer c.mu.Unlock()
	var refused *fault.Error
	if errors.As(err, &refused) && refused.Code == fault.Refused && c.layout.isHomeless(mailbox) {
		return refused.WithHint(`leave "INBOX/" out of folder: on this server the user's folders are beside INBOX, ` +
			`and none are in it`)
	}
	return err
}

// createOptions has the server mark a folder of special use (RFC 6154 §3).
func (c *Conn) createOptions(w wanted) *imap.CreateOptions {
	if w.use == "" || len(w.parts) > 1 || !c.Capabilities().has("CREATE-SPECIAL-USE") {
		return nil
	}
	return &imap.CreateOptions{SpecialUse: []imap.MailboxAttr{w.use}}
}
