package ferry_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// tellsNext replaces each UIDNEXT.
func tellsNext(uid uint32) func(command, text string) string {
	return func(_, text string) string {
		if strings.HasPrefix(text, "OK [UIDNEXT") {
			return fmt.Sprintf("OK [UIDNEXT %d] next", uid)
		}
		return text
	}
}

// withOthers is a pair whose destination has other mail.
func withOthers(t *testing.T, io imapd.Options, others [][]byte, mail ...[]byte) *pair {
	p := newPair(t, popd.Options{}, io, mail...)
	for _, raw := range others {
		p.imap.User("").Deliver("INBOX", raw, nil, time.Time{})
	}
	return p
}

// TestUIDNextTooLow (RFC 3501 §2.3.1.1): what lies behind a UIDNEXT that is always 1, or as
// it was some time ago, is seen all the same.
func TestUIDNextTooLow(t *testing.T) {
	t.Parallel()
	mail, others := ordinary(8, 61), ordinary(10, 62)
	for _, next := range []uint32{1, 11} {
		for _, noUIDPlus := range []bool{false, true} {
			io := imapd.Options{Untagged: tellsNext(next), NoUIDPlus: noUIDPlus}
			t.Run(fmt.Sprintf("UIDNEXT %d, no UIDPLUS %v, answer lost", next, noUIDPlus), func(t *testing.T) {
				io.Reply = losesAnswers(1)
				p := withOthers(t, io, others, mail...)
				p.run(fault.OK, 8)
				p.arrived(slices.Concat(mail, others)...)
			})
			t.Run(fmt.Sprintf("UIDNEXT %d, no UIDPLUS %v, journal lost", next, noUIDPlus), func(t *testing.T) {
				io.Reply = nil
				p := withOthers(t, io, others, mail...)
				p.run(fault.OK, 8)
				p.forget()
				p.run(fault.OK, 0)
				p.arrived(slices.Concat(mail, others)...)
			})
		}
	}
}

// TestUIDNextTooLowIsNotReadAgain: nor does that make each run read the whole folder, where
// the last message was removed since, either.
func TestUIDNextTooLowIsNotReadAgain(t *testing.T) {
	mail := ordinary(4, 63)
	p := withOthers(t, imapd.Options{Untagged: tellsNext(1)}, ordinary(20, 64), mail[0])
	p.run(fault.OK, 1)
	p.imap.Configure(func(o *imapd.Options) { o.Reply = refuseToRead(t, 21) })
	for i, raw := range mail[1:] {
		p.imap.User("").Expunge("INBOX", uint32(21+i))
		p.pop.Deliver(raw)
		p.run(fault.OK, 1)
	}
}

// TestShownLater (W3): an append that has its UID at once and is shown later, when others
// were appended and seen, is found as long as its outcome is open, and by whoever lost the journal.
func TestShownLater(t *testing.T) {
	t.Parallel()
	mail := ordinary(8, 65)
	late := func(raw []byte) bool {
		return slices.ContainsFunc(mail[:3], func(m []byte) bool { return bytes.Equal(m, raw) })
	}
	for _, others := range [][][]byte{nil, ordinary(10, 66)} {
		for _, noUIDPlus := range []bool{false, true} {
			for _, forgets := range []bool{false, true} {
				name := fmt.Sprintf("behind %d, no UIDPLUS %v, journal lost %v", len(others), noUIDPlus, forgets)
				t.Run(name, func(t *testing.T) {
					io := imapd.Options{NoUIDPlus: noUIDPlus, Late: late, Reply: losesAnswers(1)}
					p := withOthers(t, io, others, mail[:3]...)
					p.o.NoWait, p.o.Config.Settle = true, time.Hour
					p.run(fault.Temporary, 0)
					p.pop.Deliver(mail[3:]...)
					p.run(fault.Temporary, 5)
					p.imap.Configure(func(o *imapd.Options) { o.Late = nil })
					p.o.NoWait, p.o.Config.Settle = false, time.Millisecond
					delivered := 3
					if forgets {
						p.forget()
						delivered = 0
					}
					p.run(fault.OK, delivered)
					p.arrived(slices.Concat(mail, others)...)
				})
			}
		}
	}
}
