package imapd

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Stored is a message as it lies in a mailbox.
type Stored struct {
	// UID is its number within the mailbox's UIDVALIDITY.
	UID uint32
	// Raw are its bytes, after Options.Transform. They must not be changed.
	Raw []byte
	// Flags are its flags as they were given.
	Flags []string
	// InternalDate is what APPEND gave, or when the message was stored.
	InternalDate time.Time
}

// Store is the mailboxes of one user. All mailbox names are as on the wire: with prefix,
// separator and in modified UTF-7. It is safe for concurrent use.
type Store struct {
	server     *Server
	boxes      map[string]*mailbox
	subscribed map[string]bool
}

// mailbox is guarded by the server's lock, as all in a Store.
type mailbox struct {
	name     string
	validity uint32
	next     uint32
	messages []*Stored // by UID; Raw is never changed
}

var (
	errNoMailbox = errors.New("no such mailbox")
	errExists    = errors.New("mailbox exists")
)

// newStore is called with the server's lock held, or before the server is shared.
func newStore(server *Server) *Store {
	st := &Store{
		server:     server,
		boxes:      map[string]*mailbox{},
		subscribed: map[string]bool{"INBOX": true},
	}
	st.add("INBOX")
	return st
}

// add makes a mailbox with a UIDVALIDITY that was never used before.
func (st *Store) add(name string) *mailbox {
	st.server.validity++
	box := &mailbox{name: name, validity: st.server.validity, next: 1}
	st.boxes[name] = box
	return box
}

// find returns a mailbox; INBOX is written as one likes (RFC 3501 §5.1).
func (st *Store) find(name string) (*mailbox, error) {
	if box := st.boxes[canonical(name)]; box != nil {
		return box, nil
	}
	for other, box := range st.boxes {
		if st.server.options.Caseless && strings.EqualFold(other, name) {
			return box, nil
		}
	}
	return nil, errNoMailbox
}

func canonical(name string) string {
	if strings.EqualFold(name, "INBOX") {
		return "INBOX"
	}
	return name
}

// Mailbox returns the messages of a mailbox by UID, none if it does not exist.
func (st *Store) Mailbox(name string) []Stored {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	box, err := st.find(name)
	if err != nil {
		return nil
	}
	messages := make([]Stored, len(box.messages))
	for i, m := range box.messages {
		messages[i] = *m
		messages[i].Flags = slices.Clone(m.Flags)
	}
	return messages
}

// Mailboxes returns the names of all mailboxes, sorted.
func (st *Store) Mailboxes() []string {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	return slices.Sorted(maps.Keys(st.boxes))
}

// Create makes a mailbox unless it exists.
func (st *Store) Create(name string) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	st.ensure(name)
}

// Remove removes a mailbox with all that is in it, as another client does.
func (st *Store) Remove(name string) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	delete(st.boxes, canonical(name))
}

// ensure returns a mailbox, which it makes if it does not exist.
func (st *Store) ensure(name string) *mailbox {
	if box, err := st.find(name); err == nil {
		return box
	}
	return st.add(canonical(name))
}

// Deliver puts a message into a mailbox, which is made if it does not exist, without transforming
// it, and returns its UID. A zero date means now.
func (st *Store) Deliver(name string, raw []byte, flags []string, date time.Time) uint32 {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	return st.ensure(name).put(raw, flags, date)
}

// Move moves a message to another mailbox, which is made if it does not exist, as a user or a
// filter does. It returns the new UID.
func (st *Store) Move(name string, uid uint32, to string) (uint32, error) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	box, err := st.find(name)
	if err != nil {
		return 0, fmt.Errorf("move from %s: %w", name, err)
	}
	m := box.byUID(uid)
	if m == nil {
		return 0, fmt.Errorf("move from %s: no message with uid %d", name, uid)
	}
	box.remove(func(other *Stored) bool { return other == m })
	return st.ensure(to).put(m.Raw, m.Flags, m.InternalDate), nil
}

// Expunge removes messages from a mailbox, as another client does.
func (st *Store) Expunge(name string, uids ...uint32) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	if box, err := st.find(name); err == nil {
		box.remove(func(m *Stored) bool { return slices.Contains(uids, m.UID) })
	}
}

// MarkDeleted marks messages of a mailbox as \Deleted, as another client does.
func (st *Store) MarkDeleted(name string, uids ...uint32) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	box, err := st.find(name)
	if err != nil {
		return
	}
	for i, m := range box.messages {
		if slices.Contains(uids, m.UID) {
			marked := *m
			marked.Flags = append(slices.Clone(m.Flags), `\Deleted`)
			box.messages[i] = &marked
		}
	}
}

// SetUIDValidity changes the UIDVALIDITY of a mailbox and numbers its messages anew from 1.
// Sessions that have it selected end.
func (st *Store) SetUIDValidity(name string, validity uint32) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	if box, err := st.find(name); err == nil {
		box.renumber(validity)
	}
}

// UIDValidity returns the UIDVALIDITY of a mailbox, 0 if it does not exist.
func (st *Store) UIDValidity(name string) uint32 {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	box, err := st.find(name)
	if err != nil {
		return 0
	}
	return box.validity
}

// size returns how many bytes all messages have.
func (st *Store) size() int64 {
	var size int64
	for _, box := range st.boxes {
		for _, m := range box.messages {
			size += int64(len(m.Raw))
		}
	}
	return size
}

// count returns how many messages there are.
func (st *Store) count() int {
	n := 0
	for _, box := range st.boxes {
		n += len(box.messages)
	}
	return n
}

func (b *mailbox) put(raw []byte, flags []string, date time.Time) uint32 {
	if date.IsZero() {
		date = time.Now()
	}
	uid := b.next
	b.next++
	b.messages = append(b.messages, &Stored{
		UID: uid, Raw: raw, Flags: slices.Clone(flags), InternalDate: date,
	})
	return uid
}

// skip gives a UID to no message.
func (b *mailbox) skip() uint32 {
	uid := b.next
	b.next++
	return uid
}

// has tells whether some mailbox has this message, which must have a Message-ID.
func (st *Store) has(raw []byte) bool {
	header, _ := split(raw)
	named := slices.ContainsFunc(fields(header), func(field []byte) bool {
		return strings.EqualFold(fieldName(field), "Message-ID")
	})
	if !named {
		return false
	}
	for _, box := range st.boxes {
		if slices.ContainsFunc(box.messages, func(m *Stored) bool { return bytes.Equal(m.Raw, raw) }) {
			return true
		}
	}
	return false
}

// byUID returns nil if there is no such message.
func (b *mailbox) byUID(uid uint32) *Stored {
	at, ok := slices.BinarySearchFunc(b.messages, uid, func(m *Stored, uid uint32) int {
		return cmp.Compare(m.UID, uid)
	})
	if !ok {
		return nil
	}
	return b.messages[at]
}

func (b *mailbox) remove(gone func(*Stored) bool) {
	// A new slice, because readers may hold the old one.
	b.messages = slices.DeleteFunc(slices.Clone(b.messages), gone)
}

func (b *mailbox) renumber(validity uint32) {
	b.validity = validity
	for i, m := range b.messages {
		renumbered := *m
		renumbered.UID = uint32(i + 1)
		b.messages[i] = &renumbered
	}
	b.next = uint32(len(b.messages) + 1)
}

// shown returns the UIDs of all messages that are not late.
func (b *mailbox) shown(late func([]byte) bool) []uint32 {
	uids := make([]uint32, 0, len(b.messages))
	for _, m := range b.messages {
		if late == nil || !late(m.Raw) {
			uids = append(uids, m.UID)
		}
	}
	return uids
}

// unseen counts the messages without \Seen.
func (b *mailbox) unseen() int {
	count := 0
	for _, m := range b.messages {
		if !hasFlag(m.Flags, `\Seen`) {
			count++
		}
	}
	return count
}

func hasFlag(flags []string, flag string) bool {
	return slices.ContainsFunc(flags, func(f string) bool { return strings.EqualFold(f, flag) })
}
