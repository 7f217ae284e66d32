package ferry

import (
	"cmp"
	"maps"
	"slices"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// lair is where a message lies.
type lair struct {
	mailbox string
	uid     uint32
}

// altered leaves out strays that lie in their folder, only changed: wherever their header is, or
// their name and origin, since nobody may know their place, or another one took it; or at their
// place, where they share their text with what lies there, or neither has a name that could be
// another's. None is two of them. They are not looked for in other folders.
func (v *verifyAccount) altered(strays []journal.Record) []journal.Record {
	left := v.unproven()
	heirs := heirsOf(left)
	inPlace := func(like func(r, s message.Summary) bool) func(journal.Record) lair {
		return func(r journal.Record) lair {
			at := lair{r.Folder, r.UID}
			if s, there := left[at]; !there || !v.lying[r.Key] || !like(r.Sum, s) {
				return lair{}
			}
			return at
		}
	}
	anywhere := func(r journal.Record) lair {
		for _, mark := range marksOf(r.Sum) {
			for _, at := range heirs[mark] {
				if _, there := left[at]; there && at.mailbox == r.Folder {
					return at
				}
			}
		}
		return lair{}
	}
	for _, find := range []func(journal.Record) lair{inPlace(marked), anywhere, inPlace(akin), inPlace(unnamed)} {
		strays = slices.DeleteFunc(strays, func(r journal.Record) bool {
			at := find(r)
			s, found := left[at]
			if found {
				r.UID = at.uid
				v.alter(r, s)
				delete(left, at)
			}
			return found
		})
	}
	return strays
}

// unproven is what was read and is no record's mail as it was sent.
func (v *verifyAccount) unproven() map[lair]message.Summary {
	left := maps.Clone(v.read)
	for mailbox, uids := range v.proven {
		for _, uid := range uids {
			delete(left, lair{mailbox, uid})
		}
	}
	return left
}

// heirsOf orders mail by what an altered copy still has of its message.
func heirsOf(left map[lair]message.Summary) map[message.Digest][]lair {
	heirs := map[message.Digest][]lair{}
	for _, at := range slices.SortedFunc(maps.Keys(left), func(a, b lair) int { return cmp.Compare(a.uid, b.uid) }) {
		for _, mark := range marksOf(left[at]) {
			heirs[mark] = append(heirs[mark], at)
		}
	}
	return heirs
}

// marksOf are what tells mail from other mail: all of its header, or its name and origin. A header
// that has nothing of either tells too little.
func marksOf(s message.Summary) []message.Digest {
	switch {
	case s.Loose.IsZero():
		return nil
	case s.MessageID == "":
		return []message.Digest{s.Header}
	}
	return []message.Digest{s.Header, s.Loose}
}

func marked(r, s message.Summary) bool {
	return slices.ContainsFunc(marksOf(r), func(mark message.Digest) bool { return slices.Contains(marksOf(s), mark) })
}

// akin reports whether a copy that is not the same mail as a record shares so much
// with it that the server must have altered it.
func akin(r, s message.Summary) bool {
	same := func(a, b message.Digest) bool { return !a.IsZero() && a == b }
	return same(r.Header, s.Header) || same(r.Body, s.Body) || r.MessageID != "" && same(r.Loose, s.Loose)
}

func unnamed(r, s message.Summary) bool { return r.MessageID == "" && s.MessageID == "" }

// alter counts a copy that the destination changed.
func (v *verifyAccount) alter(r journal.Record, s message.Summary) {
	part := "its header and its text differ"
	switch {
	case r.Sum.Body == s.Body:
		part = "its header differs"
	case r.Sum.Header == s.Header:
		part = "its text differs"
	}
	v.seen.Altered++
	v.seen.Messages = append(v.seen.Messages, MessageReport{
		UIDL: fault.Escape(r.UIDL), Size: r.Sum.Size, State: "altered", Folder: r.Folder, UID: r.UID,
		Reason: "the destination changed it: " + part + " from what POP3 gave",
	})
}
