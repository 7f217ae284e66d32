package imapd

import (
	"slices"
	"strings"
)

// selection is the mailbox that a session has selected.
type selection struct {
	selected *mailbox // nil: none
	name     string
	validity uint32
	readOnly bool
	view     []uint32 // the UIDs, in the order of the message numbers that the client knows
}

// selectMailbox is SELECT and EXAMINE (RFC 3501 §6.3.1).
func (s *session) selectMailbox(c *command, args []arg) (string, error) {
	if len(args) == 0 || !args[0].isString() {
		return "", errSyntax
	}
	s.selection = selection{}
	unlock := s.lock()
	defer unlock()
	box, err := s.store.find(args[0].text)
	if err != nil {
		return "", err
	}
	if s.options.UIDNotSticky {
		s.server.validity++
		box.renumber(s.server.validity)
	}
	s.selection = selection{
		selected: box, name: box.name, validity: box.validity, view: box.shown(s.options.Late),
		readOnly: c.name == "EXAMINE" || s.options.ReadOnly,
	}
	s.untagged(`FLAGS (\Answered \Flagged \Deleted \Seen \Draft)`)
	s.untagged("%d EXISTS", len(s.view))
	s.untagged("0 RECENT")
	s.untagged(`OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] flags`)
	if !s.options.NoUIDValidity {
		s.untagged("OK [UIDVALIDITY %d] validity", box.validity)
	}
	s.untagged("OK [UIDNEXT %d] next", box.next)
	if s.options.UIDNotSticky {
		s.untagged("NO [UIDNOTSTICKY] numbers change")
	}
	if s.readOnly {
		return "OK [READ-ONLY] " + c.name + " completed", nil
	}
	return "OK [READ-WRITE] " + c.name + " completed", nil
}

// unselect is UNSELECT and CLOSE, which also removes what is marked as deleted.
func (s *session) unselect(c *command, _ []arg) (string, error) {
	if c.name == "CLOSE" && !s.readOnly {
		s.removeDeleted(nil)
	}
	s.selection = selection{}
	return "OK " + c.name + " completed", nil
}

// removeDeleted removes the messages marked as deleted, those in uids only unless that is nil.
func (s *session) removeDeleted(uids set) {
	unlock := s.lock()
	defer unlock()
	last := s.lastUID()
	s.selected.remove(func(m *Stored) bool {
		return hasFlag(m.Flags, `\Deleted`) && (uids == nil || uids.contains(m.UID, last))
	})
}

// lastUID is what "*" means in a set of UIDs.
func (s *session) lastUID() uint32 {
	if len(s.view) == 0 {
		return 0
	}
	return s.view[len(s.view)-1]
}

// expunge is EXPUNGE and UID EXPUNGE (RFC 4315 §2.1). What is gone is told by update.
func (s *session) expunge(c *command, args []arg) (string, error) {
	if s.readOnly {
		return "NO [READ-ONLY] mailbox is selected for reading", nil
	}
	if c.name == "EXPUNGE" {
		s.removeDeleted(nil)
		return "OK EXPUNGE completed", nil
	}
	if s.options.NoUIDPlus {
		s.server.violation("UID EXPUNGE without UIDPLUS")
		return "BAD unknown command", nil
	}
	if len(args) != 1 {
		return "", errSyntax
	}
	uids, err := parseSet(args[0].text)
	if err != nil {
		return "", err
	}
	s.removeDeleted(uids)
	return "OK UID EXPUNGE completed", nil
}

// update tells the client what has changed in the selected mailbox. Message numbers may change
// only where the command allows it (RFC 3501 §7.4.1).
func (s *session) update(mayExpunge bool) {
	unlock := s.lock()
	current := s.selected.shown(s.options.Late)
	box, _ := s.store.find(s.name)
	gone := box != s.selected || s.selected.validity != s.validity
	unlock()
	if gone {
		s.reply("*", "BYE the mailbox is not what it was")
		s.end(FIN, true)
		return
	}
	known := s.lastUID()
	for i := len(s.view) - 1; mayExpunge && i >= 0; i-- {
		if _, there := slices.BinarySearch(current, s.view[i]); !there {
			s.view = slices.Delete(s.view, i, i+1)
			s.untagged("%d EXPUNGE", i+1)
		}
	}
	before := len(s.view)
	for _, uid := range current {
		if uid > known {
			s.view = append(s.view, uid)
		}
	}
	if len(s.view) != before {
		s.untagged("%d EXISTS", len(s.view))
		s.untagged("0 RECENT")
	}
}

// numbered is a message of the selected mailbox with its message number.
type numbered struct {
	number int
	*Stored
}

// pick returns the messages in a set, of UIDs or of message numbers, that still exist.
func (s *session) pick(numbers set, byUID bool) []numbered {
	unlock := s.lock()
	defer unlock()
	var picked []numbered
	for i, uid := range s.view {
		n, last := uint32(i+1), uint32(len(s.view))
		if byUID {
			n, last = uid, s.lastUID()
		}
		if !numbers.contains(n, last) {
			continue
		}
		if m := s.selected.byUID(uid); m != nil {
			picked = append(picked, numbered{i + 1, m})
		}
	}
	return picked
}

// setFlags replaces the flags of a message.
func (s *session) setFlags(uid uint32, change func(old []string) []string) []string {
	unlock := s.lock()
	defer unlock()
	for i, m := range s.selected.messages {
		if m.UID == uid {
			changed := *m
			changed.Flags = change(slices.Clone(m.Flags))
			s.selected.messages[i] = &changed
			return changed.Flags
		}
	}
	return nil
}

// storeFlags is STORE and UID STORE (RFC 3501 §6.4.6).
func (s *session) storeFlags(c *command, args []arg) (string, error) {
	if s.readOnly {
		return "NO [READ-ONLY] mailbox is selected for reading", nil
	}
	if len(args) < 3 {
		return "", errSyntax
	}
	numbers, err := parseSet(args[0].text)
	if err != nil {
		return "", err
	}
	given := args[2:]
	if args[2].kind == list {
		given = args[2].list
	}
	flags, err := flagList(given)
	if err != nil {
		return "", err
	}
	item, silent := strings.CutSuffix(strings.ToUpper(args[1].text), ".SILENT")
	change := flagChange(item, flags)
	if change == nil {
		return "", errSyntax
	}
	byUID := c.name == "UID STORE"
	for _, m := range s.pick(numbers, byUID) {
		now := s.setFlags(m.UID, change)
		if !silent {
			s.tellFlags(m, now, byUID)
		}
	}
	return "OK " + c.name + " completed", nil
}

func (s *session) tellFlags(m numbered, flags []string, withUID bool) {
	if withUID {
		s.untagged("%d FETCH (UID %d FLAGS (%s))", m.number, m.UID, strings.Join(flags, " "))
		return
	}
	s.untagged("%d FETCH (FLAGS (%s))", m.number, strings.Join(flags, " "))
}

// flagChange returns what FLAGS, +FLAGS or -FLAGS does to flags, nil for anything else.
func flagChange(item string, flags []string) func([]string) []string {
	switch item {
	case "FLAGS":
		return func([]string) []string { return slices.Clone(flags) }
	case "+FLAGS":
		return func(old []string) []string {
			for _, flag := range flags {
				if !hasFlag(old, flag) {
					old = append(old, flag)
				}
			}
			return old
		}
	case "-FLAGS":
		return func(old []string) []string {
			return slices.DeleteFunc(old, func(flag string) bool { return hasFlag(flags, flag) })
		}
	}
	return nil
}
