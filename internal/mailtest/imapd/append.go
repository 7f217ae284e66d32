package imapd

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
)

// dateTime is the date of an APPEND and of INTERNALDATE (RFC 3501 §9, date-time).
const dateTime = "02-Jan-2006 15:04:05 -0700"

// appended is one message of an APPEND.
type appended struct {
	raw   []byte
	flags []string
	date  time.Time
}

// refuseMessage returns the tagged reply if a message of that size is not even to be read.
func (s *session) refuseMessage(c *command, size int64) string {
	o := &s.options
	if s.store == nil {
		return "BAD not logged in"
	}
	unlock := s.lock()
	defer unlock()
	_, err := s.store.find(c.mailbox)
	switch {
	case err != nil:
		return "NO [TRYCREATE] no such mailbox"
	case o.ReadOnly:
		return "NO [NOPERM] nothing may be changed"
	case len(c.messages) > 0 && o.NoMultiAppend:
		return "BAD one message at a time"
	case o.MessageLimit > 0 && len(c.messages) >= o.MessageLimit:
		return fmt.Sprintf("NO [MESSAGELIMIT %d] these are too many", o.MessageLimit)
	case o.AppendLimit > 0 && size > o.AppendLimit, size > maxMessage:
		return "NO [TOOBIG] message is too large"
	case s.overQuota(c, size):
		return "NO [OVERQUOTA] quota exceeded"
	default:
		return ""
	}
}

// overQuota tells whether a further message of that size exceeds the quota.
func (s *session) overQuota(c *command, size int64) bool {
	o := &s.options
	if o.Quota == 0 || o.SoftQuota {
		return false
	}
	messages := s.store.count() + len(c.messages) + 1
	return s.store.size()+c.bytes()+size > o.Quota || o.QuotaMessages > 0 && messages > o.QuotaMessages
}

// bytes returns how long all messages are that have arrived.
func (c *command) bytes() int64 {
	var size int64
	for _, m := range c.messages {
		size += int64(len(m))
	}
	return size
}

// arrived is called when a message is complete.
func (s *session) arrived(c *command, message []byte) (over bool) {
	c.messages = append(c.messages, message)
	if bareLF(message) {
		s.server.violation("APPEND of a message with a bare LF")
	}
	if s.options.StoreAtLiteral {
		c.refused = s.storeLast(c)
	}
	reply, over := s.apply(c, s.ask(AtLiteral, c, ""))
	if reply != "" {
		c.refused = reply
	}
	return over
}

func bareLF(message []byte) bool {
	return bytes.Count(message, []byte("\n")) != bytes.Count(message, []byte("\r\n"))
}

// storeLast stores the message that came last. It returns the tagged reply if that fails, or "".
func (s *session) storeLast(c *command) string {
	args, err := c.args()
	if err != nil {
		return failure(err)
	}
	items, err := c.items(args)
	if err != nil {
		return failure(err)
	}
	last := items[len(items)-1:]
	if text := s.refuseContent(last); text != "" {
		return text
	}
	_, uids, err := s.keep(s.store, c.mailbox, last)
	c.stored = append(c.stored, uids...)
	if err != nil {
		return failure(err)
	}
	return ""
}

// append stores the messages of a complete APPEND, all or none (RFC 3502 §6.3.11).
func (s *session) append(c *command, args []arg) (string, error) {
	items, err := c.items(args)
	if err != nil {
		return "", err
	}
	action := s.ask(AtStore, c, "")
	if s.options.StoreAtLiteral {
		if reply, over := s.apply(c, action); over || reply != "" {
			return reply, nil
		}
		return s.stored(s.store.UIDValidity(c.mailbox), c.stored), nil
	}
	refused := s.refuseContent(items)
	store := s.store
	if action.StoreAfter != 0 && action.ends() && refused == "" {
		s.server.putOff(action.StoreAfter, func() { _, _, _ = s.keep(store, c.mailbox, items) })
	} else if action.StoreAfter > 0 && !action.ends() {
		action.Wait += action.StoreAfter
	}
	if reply, over := s.apply(c, action); over || reply != "" {
		return reply, nil
	}
	if refused != "" {
		return refused, nil
	}
	validity, uids, err := s.keep(store, c.mailbox, items)
	if err != nil {
		return "NO [TRYCREATE] " + err.Error(), nil
	}
	return s.stored(validity, uids), nil
}

// stored is the tagged reply for messages with these UIDs (RFC 4315 §3).
func (s *session) stored(validity uint32, uids []uint32) string {
	if s.options.NoUIDPlus || s.options.UIDNotSticky || len(uids) == 0 {
		return "OK APPEND completed"
	}
	return fmt.Sprintf("OK [APPENDUID %d %s] APPEND completed", validity, format(uids))
}

// items reads "mailbox [flags] [date] literal", of which all but the mailbox may repeat.
func (c *command) items(args []arg) ([]appended, error) {
	if len(args) < 2 || !args[0].isString() {
		return nil, errSyntax
	}
	var items []appended
	var err error
	next := appended{}
	fresh := true // nothing but complete messages so far
	for _, a := range args[1:] {
		fresh = false
		switch a.kind {
		case list:
			next.flags, err = flagList(a.list)
		case quoted:
			next.date, err = parseDate(a.text)
		case literal:
			next.raw = c.messages[len(items)]
			items = append(items, next)
			next, fresh = appended{}, true
		default:
			err = errSyntax
		}
		if err != nil {
			return nil, err
		}
	}
	if !fresh {
		return nil, errSyntax
	}
	return items, nil
}

func parseDate(text string) (time.Time, error) {
	// The day may have a space where we have a zero.
	date, err := time.Parse(dateTime, strings.Replace(text, " ", "0", spaceFirst(text)))
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: date %q", errSyntax, text)
	}
	return date, nil
}

// spaceFirst is 1 if text begins with a space.
func spaceFirst(text string) int {
	if strings.HasPrefix(text, " ") {
		return 1
	}
	return 0
}

// flagList reads flags; those that begin with a backslash have to be known.
func flagList(args []arg) ([]string, error) {
	flags, err := words(args)
	if err != nil {
		return nil, err
	}
	system := []string{`\Answered`, `\Flagged`, `\Deleted`, `\Seen`, `\Draft`}
	for i, flag := range flags {
		unknown := strings.HasPrefix(flag, `\`) && !hasFlag(system, flag)
		if unknown || args[i].kind != atom {
			return nil, fmt.Errorf("%w: flag %q", errSyntax, flag)
		}
	}
	return flags, nil
}

// refuseContent returns the tagged reply if one of the messages is not to be stored, or "".
func (s *session) refuseContent(items []appended) string {
	if s.options.Refuse == nil {
		return ""
	}
	for _, item := range items {
		if text := s.options.Refuse(item.raw); text != "" {
			return text
		}
	}
	return ""
}

// keep puts messages into a mailbox.
func (s *session) keep(store *Store, name string, items []appended) (uint32, []uint32, error) {
	items = slices.Clone(items)
	for i, item := range items {
		if s.options.Transform != nil {
			items[i].raw = s.options.Transform(item.raw)
		}
	}
	unlock := s.lock()
	defer unlock()
	box, err := store.find(name)
	if err != nil {
		return 0, nil, err
	}
	uids := make([]uint32, len(items))
	kept := 0
	for i, item := range items {
		if s.options.DropDuplicates && store.has(item.raw) {
			uids[i] = box.skip()
			continue
		}
		uids[i] = box.put(item.raw, item.flags, item.date)
		kept++
	}
	counters := &s.server.counters
	counters.Messages += kept
	if len(items) > 1 {
		counters.MultiAppends++
	}
	return box.validity, uids, nil
}
