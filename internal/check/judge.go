package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// warn adds a warning of a topic. What is true of both sides in the same words is told once.
func (a *Account) warn(name, format string, args ...any) {
	if f := finding(name, format, args...); !slices.Contains(a.Warnings, f) {
		a.Warnings = append(a.Warnings, f)
	}
}

func (a *Account) note(format string, args ...any) {
	a.Notes = append(a.Notes, fmt.Sprintf(format, args...))
}

// judge says what is to be expected from what was seen of the two sides.
func (a *Account) judge(configured plan.Account, now time.Time) {
	a.judgeSides(configured, now)
	if a.Source.OK {
		a.judgeMaildrop()
		a.judgePace(configured.Pace)
	}
	a.Notes = append(a.Notes, a.Destination.notices...)
	if f := a.Destination.Folder; f != nil {
		a.judgeFolder(*f)
	}
	for _, f := range a.Destination.Routed {
		a.judgeFolder(f)
	}
	if a.Source.OK && a.Destination.OK {
		a.judgeRoom()
	}
	a.judgeProviders(configured)
	if configured.UserMismatch() {
		a.warn("other-user", "source and destination look like two persons: %s and %s",
			fault.Escape(configured.Source.Mailbox()), fault.Escape(configured.Destination.Mailbox()))
	}
	if text := configured.Mixed(); text != "" {
		a.warn("one-folder", "%s", text)
	}
}

// judgeMaildrop says what is to be expected of the maildrop.
func (a *Account) judgeMaildrop() {
	s := a.Source
	switch {
	case s.Messages == 0:
		a.note("the maildrop is empty; if web mail shows mail: popferry check --explain nothing-listed")
	case !s.named:
		a.note("the server gives messages no names (UIDL): they are recognised by content, which takes longer")
	}
	if s.LoginDelay > 0 {
		a.note("wait %s before a run: the server wants that between logins", fault.Span(time.Duration(s.LoginDelay)*time.Second))
	}
}

// judgePace warns of mail that is gone before a bridge comes for it.
func (a *Account) judgePace(p plan.Pace) {
	if days, err := strconv.Atoi(a.Source.Expire); err == nil && p.TooRare(days) {
		a.warn("too-rare", "interval: %s, and %s", p.Every(), plan.RemovedAfter(days))
	}
}

// judgeFolder looks at the folder that mail goes to.
func (a *Account) judgeFolder(f Folder) {
	switch {
	case f.Dated:
	case !f.Exists && f.namesake != "":
		a.warn("folder-case", "folder %s is not there, but %s is: a run makes a second one",
			fault.Escape(f.Configured), fault.Escape(f.namesake))
	case !f.Exists:
		a.note("folder %s is not there; the first run makes it and subscribes to it", f.Mailbox)
	case f.Subscribed != nil && !*f.Subscribed && f.Mailbox != "INBOX": // which every program shows
		a.warn("not-subscribed", "folder %s is not subscribed, so most mail programs do not show it", f.Mailbox)
	}
	a.judgeName(f)
	a.judgeUse(f)
}

// judgeName warns of a name that the server has no place for, of one that becomes another
// there, and of one that was meant for a server with other names.
func (a *Account) judgeName(f Folder) {
	switch {
	case f.prefix != "":
		a.warn("namespace", "folder %s would be called %s on this server, where the user's folders begin with %s: "+
			"a run is likely to be refused", fault.Escape(f.Configured), f.Mailbox, fault.Escape(f.prefix))
	case f.renamed:
		a.warn("namespace", "folder %s is called %s on this server, which forbids its name as it is",
			fault.Escape(f.Configured), f.Mailbox)
		if strings.Contains(f.Configured, "/") || !strings.Contains(f.Configured, f.delimiter) {
			// It is not about levels that are written in the server's way.
			a.Warnings[len(a.Warnings)-1].Check = "nothing, if that name will do: it is the same in every run; " +
				"else choose another one"
		}
	case !f.Exists && f.delimiter == "/" && hasPrefixFold(f.Configured, "INBOX."):
		a.warn("namespace", "folder %s has the prefix of another server: on this one, with \"/\" between the levels, "+
			"it is a single folder of that name", fault.Escape(f.Configured))
	}
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// usual are the names that people give to folders of a special use.
var usual = map[string][]string{
	`\Sent`:    {"sent", "sent items", "sent mail", "sent messages"},
	`\Trash`:   {"trash", "deleted", "deleted items", "deleted messages", "bin"},
	`\Junk`:    {"junk", "spam", "junk e-mail", "junk email", "bulk mail"},
	`\Drafts`:  {"drafts", "draft"},
	`\Archive`: {"archive", "archives"},
}

// judgeUse warns where the server has a folder of its own for what the configured
// one looks meant for, or none for the use that is configured.
func (a *Account) judgeUse(f Folder) {
	if strings.HasPrefix(f.Configured, `\`) {
		use, _, _ := strings.Cut(f.Configured, "/")
		if len(a.Destination.SpecialUse) > 0 && a.Destination.SpecialUse[use] == "" {
			a.note("the server marks no folder as %s; %s is used", use, f.Mailbox)
		}
		return
	}
	for use, names := range usual {
		own := a.Destination.SpecialUse[use]
		if own != "" && !strings.EqualFold(own, f.Configured) &&
			slices.Contains(names, strings.ToLower(f.Configured)) {
			a.warn("special-folder", "folder is %s, but the server's own folder for that is %s: set folder: %s",
				fault.Escape(f.Configured), own, use)
		}
	}
}

// judgeRoom holds the maildrop against what the destination takes.
func (a *Account) judgeRoom() {
	s, d := a.Source, a.Destination
	if d.QuotaBytes != nil && s.WaitingBytes > *d.QuotaBytes {
		a.warn("quota", "%s are waiting and the destination's quota leaves %s", size(s.WaitingBytes), size(*d.QuotaBytes))
	}
	if d.QuotaMessages != nil && int64(s.Waiting) > *d.QuotaMessages {
		a.warn("quota", "%s are waiting and the destination's quota leaves %d",
			plural(s.Waiting, "message"), *d.QuotaMessages)
	}
	if d.AppendLimit > 0 && s.Largest > d.AppendLimit {
		a.warn("too-large", "the largest message waiting has %s and the destination takes %s", size(s.Largest),
			size(d.AppendLimit))
	}
}

func size(octets int64) string { return humanize.Bytes(uint64(octets)) }
