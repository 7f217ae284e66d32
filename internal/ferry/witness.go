package ferry

import (
	"strings"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// sameOrEmpty reports whether a message is that of a record. mailutils adds an empty line to
// one that is nothing but a header: then its lasting name tells that it is the same.
func sameOrEmpty(r journal.Record, key string, s message.Summary) bool {
	_, same := s.Same(r.Sum)
	return same || r.Key == key && named(key) && s.Header == r.Sum.Header && !s.Header.IsZero() &&
		s.NoText() && r.Sum.NoText()
}

// mayWitness reports whether a record can be about the message with a key. One of
// the same name can, whatever happened since. One with another lasting name can only
// if that names something else now or the provider renumbered everything: else it is
// about a message that is gone, and this one is another copy. What was deleted and
// seen to be gone never comes back under another name. A deletion in doubt may have had no
// effect where the maildrop has another host or user since, and the name is still the same;
// or where this one has no name.
func (t *trip) mayWitness(r journal.Record, key string) bool {
	switch {
	case r.Key == key:
		return delivered(r) || r.State == journal.Intent
	case r.State == journal.DeleteSent && t.mayBeUnder(r, key):
		return true
	case r.State == journal.DeleteSent && !t.mayBeBack(r):
		return false
	case r.State != journal.Delivered && r.State != journal.DeleteSent && r.State != journal.Intent:
		return false
	}
	_, taken := t.at(r.Key) // its name is another message's by now
	return taken || !named(r.Key) || !named(key) || t.renamed(r)
}

// renamed reports whether the message of a record may be listed under another name,
// although its own names none by now: because the provider renumbered everything, or
// because a server that died amid this run gave it a new one (mailutils 3.15).
// Before the first QUIT of a run nothing can be removed (RFC 1939 §6), and after it a
// server may hide what was fetched and show copies of it.
func (t *trip) renamed(r journal.Record) bool {
	if t.isOwn(r.Key) {
		return !t.quit.Load()
	}
	return t.renumbered
}

// isOwn reports a record of what this run delivered.
func (t *trip) isOwn(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.own[key]
}

// mayBeBack reports whether a deletion in doubt may not have taken effect although no
// message has the record's name for itself: it never had one, several share it now, or
// all of the names changed, and not only those of other mail.
func (t *trip) mayBeBack(r journal.Record) bool {
	return t.undeleted && !t.isListed(r) || t.mayBeBackAlone(r)
}

// isListed reports whether a message of the record's name and size is there.
func (t *trip) isListed(r journal.Record) bool {
	l, listed := t.at(r.Key)
	return listed && l.Size == r.Listed
}

// mayBeBackAlone is mayBeBack whatever became of the other deletions.
func (t *trip) mayBeBackAlone(r journal.Record) bool {
	return r.Key == t.pending || !named(r.Key) || t.repeats[r.UIDL]
}

// mayBeUnder reports whether a deletion in doubt may be of the message with a key, whatever
// became of the others: the maildrop moved, or the server gives this one no name, as where it
// refuses UIDL for a while. A QUIT that was answered is believed.
func (t *trip) mayBeUnder(r journal.Record, key string) bool {
	return movedWith(r, key) || r.Reason != quitOK && !named(key) && !t.lists(r.UIDL)
}

// movedWith reports whether a record was taken over from a maildrop in which its message had
// the name that a key has. What another message took the name of is behind a number.
func movedWith(r journal.Record, key string) bool {
	return strings.HasPrefix(r.Key, asidePrefix) && strings.HasSuffix(r.Key, key) && key == uidlKey(r.UIDL)
}

// named reports whether a key of the journal holds a lasting name.
func named(key string) bool {
	return strings.HasPrefix(key, uidlPrefix) || strings.HasPrefix(key, asidePrefix)
}

// delivered reports whether a record says that the mail reached its destination.
func delivered(r journal.Record) bool {
	return r.State == journal.Delivered || r.State == journal.DeleteSent || r.State == journal.Gone
}
