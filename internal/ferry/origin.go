package ferry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

func (m *matcher) foundRecord(s message.Summary, at spot, how string) journal.Record {
	box, now := at.in.now(), m.t.now()
	return journal.Record{
		Sum: s, State: journal.Delivered, Folder: box.Mailbox, UIDValidity: box.UIDValidity,
		UID: at.uid, Origin: m.t.foundOrigin(), DeliveredAt: now, Changed: now,
		Reason: fmt.Sprintf("%s uid %d by %s", box.Name, at.uid, how),
	}
}

func (t *trip) foundOrigin() string {
	if t.origin != "" {
		return t.origin
	}
	return originFound
}

// byHeader marks the origin of a record that nothing but a header vouches for:
// nobody has compared the body on POP3 with the copy. It is enough to skip a
// message, and never to delete one.
const byHeader = " by header"

func onlyByHeader(r journal.Record) bool { return strings.HasSuffix(r.Origin, byHeader) }

// withNUL marks the origin of mail that has a NUL. IMAP can't carry one (RFC 3501 §9), and
// servers store something else for it: whether a copy has it, nobody can read back.
const withNUL = " with a NUL"

// butLines marks the origin of mail without a text whose empty lines are not those of the copy.
const butLines = " but for empty lines"

// otherName marks the origin of mail that popferry brought under another name: what POP3 shows
// under this one may be that very copy, since the maildrop may be another one by now, as where
// an account's source moves to where its mail went.
const otherName = " under another name"

// markRenamed marks it before what else marks it: that nothing but a header speaks for it shows
// at the end.
func markRenamed(origin string) string {
	marks, appended := strings.CutPrefix(origin, originAppended)
	if !appended || strings.HasPrefix(marks, otherName) {
		return origin
	}
	return originAppended + otherName + marks
}

func markNUL(origin string, s message.Summary) string {
	if s.HasNUL && !strings.Contains(origin, withNUL) {
		return origin + withNUL
	}
	return origin
}

// Origins of a delivered record.
const (
	originAppended = "appended"
	originFound    = "found"
	originAdopted  = "adopted"
	originLoose    = "adopted by message-id"
	originWrapped  = "wrapped"
	originAltered  = "found altered"
)

// provable reports whether the copy of a record can ever be proven to be the mail
// that POP3 has. What a Message-ID alone vouches for, wrapped mail, and copies that
// the destination altered are not: their original stays (I1, I5).
func provable(r journal.Record) bool {
	return !slices.ContainsFunc([]string{originLoose, originWrapped, originAltered}, func(origin string) bool {
		return strings.HasPrefix(r.Origin, origin) // marks may follow
	})
}
