package ferry_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// losesAnswers loses the answers to some APPENDs, which are carried out.
func losesAnswers(n int) func(imapd.Event) imapd.Action {
	return func(e imapd.Event) imapd.Action {
		if e.Stage == imapd.AtReply && e.Command == "APPEND" && strings.HasPrefix(e.Text, "OK") && n > 0 {
			n--
			return imapd.Action{Cut: imapd.RST}
		}
		return imapd.Action{}
	}
}

// TestUIDNextTooHighOnce (RFC 3501 §2.3.1.1): a UIDNEXT that no later one confirms makes
// nobody blind for what is appended.
func TestUIDNextTooHighOnce(t *testing.T) {
	for _, tall := range []string{"200", "4294967295"} {
		t.Run(tall, func(t *testing.T) {
			mail := ordinary(8, 21)
			p := newPair(t, popd.Options{}, imapd.Options{Untagged: func(_, text string) string {
				if strings.HasPrefix(text, "OK [UIDNEXT") {
					return "OK [UIDNEXT " + tall + "] next"
				}
				return text
			}}, mail[:5]...)
			p.run(0, 5)
			p.imap.Configure(func(o *imapd.Options) { o.Untagged, o.Reply = nil, losesAnswers(1) })
			p.pop.Deliver(mail[5:]...)
			p.run(0, 3)
			p.arrived(mail...)
		})
	}
}

// TestUIDNextOvertaken: nor does one that was too high, and that the folder has outgrown
// before anybody looked again.
func TestUIDNextOvertaken(t *testing.T) {
	mail := ordinary(10, 25)
	p := newPair(t, popd.Options{}, imapd.Options{Untagged: func(_, text string) string {
		return strings.Replace(text, "[UIDNEXT 6]", "[UIDNEXT 9]", 1)
	}}, mail[:5]...)
	put := func(mail [][]byte) {
		for _, raw := range mail {
			p.imap.User("").Deliver("INBOX", raw, nil, time.Time{})
		}
	}
	put(mail[:5])
	p.run(0, 0)
	put(mail[5:])
	p.pop.Deliver(mail[5:]...)
	p.run(0, 0)
	p.arrived(mail...)
}

// TestUncountedFolder (RFC 3501 §6.3.1): a folder of which EXISTS is not told is not empty:
// nothing is appended that it may have.
func TestUncountedFolder(t *testing.T) {
	mail := ordinary(5, 26)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	p.run(0, 5)
	p.forget()
	p.imap.Configure(func(o *imapd.Options) {
		o.Untagged = func(_, text string) string {
			if strings.HasSuffix(text, " EXISTS") {
				return ""
			}
			return text
		}
	})
	p.run(fault.Protocol, 0)
	p.imap.Configure(func(o *imapd.Options) { o.Untagged = nil })
	p.run(0, 0)
	p.arrived(mail...)
}

// TestUIDNextNotProven: a UIDNEXT that is a little too high hides no append of this run: its
// APPENDUID counts, and if the answer is lost it is found below.
func TestUIDNextNotProven(t *testing.T) {
	for name, lost := range map[string]int{"answered": 0, "answer lost": 1} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(8, 34)
			p := newPair(t, popd.Options{}, imapd.Options{Reply: losesAnswers(lost), Untagged: func(_, text string) string {
				return strings.Replace(text, "[UIDNEXT 1]", "[UIDNEXT 5]", 1)
			}}, mail...)
			p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
			p.o.Config.Settle = 0
			p.run(0, 8)
			p.arrived(mail...)
			p.left()
		})
	}
}

// TestIndexAhead: an index that goes on where the folder never was begins anew.
func TestIndexAhead(t *testing.T) {
	mail := ordinary(8, 22)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail[:5]...)
	p.run(0, 5)
	d := p.account().Destination
	index, err := p.o.Journal.Index(t.Context(), journal.FolderKey{Host: d.Host, User: d.Mailbox(), Folder: "INBOX"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := index.State(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := index.Extend(t.Context(), 200, nil); err != nil {
		t.Fatal(err)
	}
	p.imap.Configure(func(o *imapd.Options) { o.Reply = losesAnswers(1) })
	p.pop.Deliver(mail[5:]...)
	p.run(0, 3)
	p.arrived(mail...)
}

// TestIndexIsNotReadAgain: neither a UIDNEXT that is always too low, nor mail at the end
// that somebody removed, makes a run read what is known, or what popferry appended.
func TestIndexIsNotReadAgain(t *testing.T) {
	tooLow := func(_, text string) string {
		var next int
		if _, err := fmt.Sscanf(text, "OK [UIDNEXT %d]", &next); err == nil && next > 2 {
			return fmt.Sprintf("OK [UIDNEXT %d] next", next-1)
		}
		return text
	}
	for name, c := range map[string]struct {
		lie     func(command, text string) string
		removed int
	}{"UIDNEXT too low": {lie: tooLow}, "last are removed": {removed: 5}, "all are removed": {removed: 20}} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(10, 23)
			p := newPair(t, popd.Options{}, imapd.Options{Untagged: c.lie}, mail[0])
			box := p.imap.User("")
			for _, raw := range ordinary(20, 24) {
				box.Deliver("INBOX", raw, nil, time.Time{})
			}
			for i := range c.removed {
				box.Expunge("INBOX", uint32(20-i))
			}
			p.run(0, 1)
			p.imap.Configure(func(o *imapd.Options) { o.Reply = refuseToRead(t, 21) })
			for _, raw := range mail[1:] {
				p.pop.Deliver(raw)
				p.run(0, 1)
			}
		})
	}
}

// refuseToRead tells of a FETCH of messages before a UID.
func refuseToRead(t *testing.T, before uint32) func(imapd.Event) imapd.Action {
	return func(e imapd.Event) imapd.Action {
		var uid uint32
		if _, err := fmt.Sscanf(e.Line, "UID FETCH %d", &uid); err == nil && uid < before {
			t.Errorf("%s", e.Line)
		}
		return imapd.Action{}
	}
}

// leavesOut leaves out FETCH responses that have a text: those that are counted from 0, and
// up to last.
func leavesOut(with string, first, last int) func(command, text string) string {
	seen := 0
	return func(_, text string) string {
		if !strings.Contains(text, " FETCH (UID") || !strings.Contains(text, with) {
			return text
		}
		if seen++; seen > first && seen-1 <= last {
			return ""
		}
		return text
	}
}

// TestFetchLeavesOut (RFC 3501 §6.4.5): an answer of the server that lacks a message is no
// proof that the message is not there; neither for mail that was there before the journal,
// nor for what was appended.
func TestFetchLeavesOut(t *testing.T) {
	for name, with := range map[string]string{"index": "HEADER.FIELDS", "body": "BODY[] "} {
		for i := range 6 {
			t.Run(fmt.Sprint(name, i), func(t *testing.T) {
				mail := ordinary(6, 27)
				p := newPair(t, popd.Options{NoTOP: true}, imapd.Options{}, mail...)
				p.run(0, 6)
				p.forget()
				p.imap.Configure(func(o *imapd.Options) { o.Untagged = leavesOut(with, i, i) })
				p.run(0, 0)
				p.arrived(mail...)
			})
		}
	}
	t.Run("answer lost", func(t *testing.T) {
		mail := ordinary(5, 28)
		p := newPair(t, popd.Options{}, imapd.Options{Reply: losesAnswers(1), Untagged: leavesOut("HEADER.FIELDS", 4, 4)}, mail...)
		p.run(0, 5)
		p.arrived(mail...)
	})
}

// TestNothingIsFetched: a folder that has mail, by EXISTS, and gives none of it is not one
// without mail.
func TestNothingIsFetched(t *testing.T) {
	mail := ordinary(3, 29)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	p.run(0, 3)
	p.forget()
	p.imap.Configure(func(o *imapd.Options) { o.Untagged = leavesOut("", 0, 1000) })
	p.run(fault.Protocol, 0)
	p.imap.Configure(func(o *imapd.Options) { o.Untagged = nil })
	p.run(0, 0)
	p.arrived(mail...)
}

// TestTooManyToCompare (I6): a folder that counts more messages than there can be is not gone
// through.
func TestTooManyToCompare(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{Untagged: func(_, text string) string {
		return strings.Replace(text, "0 EXISTS", "4294967295 EXISTS", 1)
	}}, ordinary(3, 29)...)
	if err := p.run(fault.Protocol, 0).Accounts[0].Error; !strings.Contains(err.Message, "counts 4294967295 messages") {
		t.Error(err.Message)
	}
	p.imap.Configure(func(o *imapd.Options) { o.Untagged = nil })
	p.run(0, 3)
}

// TestUnreadableInTheDestination (I7): a message that the server never gives keeps nothing
// else from arriving, and is told.
func TestUnreadableInTheDestination(t *testing.T) {
	mail := ordinary(5, 30)
	p := newPair(t, popd.Options{}, imapd.Options{Untagged: func(_, text string) string {
		if strings.HasPrefix(text, "2 FETCH") || strings.HasPrefix(text, "4 FETCH") {
			return ""
		}
		return text
	}}, mail[0])
	others := ordinary(5, 31)
	for _, raw := range others {
		p.imap.User("").Deliver("INBOX", raw, nil, time.Time{})
	}
	r := p.run(0, 1)
	if notes := strings.Join(r.Accounts[0].Notes, "\n"); !strings.Contains(notes, "leaves out messages of folder INBOX") {
		t.Errorf("notes %s", notes)
	}
	p.pop.Deliver(mail[1:]...)
	p.run(0, 4)
	p.arrived(append(mail, others...)...)
}

// TestRemovedMeanwhile: what somebody removes while the folder is read, with or without
// word of it, is no gap.
func TestRemovedMeanwhile(t *testing.T) {
	for name, told := range map[string]bool{"told": true, "not told": false} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(3, 32)
			p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
			box := p.imap.User("")
			for _, raw := range ordinary(5, 33) {
				box.Deliver("INBOX", raw, nil, time.Time{})
			}
			p.imap.Configure(func(o *imapd.Options) {
				o.Reply = func(e imapd.Event) imapd.Action {
					if e.Stage == imapd.AtCommand && e.Command == "UID FETCH" && e.N == 1 {
						box.Expunge("INBOX", 2, 5)
					}
					return imapd.Action{}
				}
				o.Untagged = func(_, text string) string {
					if strings.HasSuffix(text, " EXPUNGE") && !told {
						return ""
					}
					return text
				}
			})
			if r := p.run(0, 3); len(r.Accounts[0].Notes) > 0 {
				t.Errorf("notes %q", r.Accounts[0].Notes)
			}
		})
	}
}

// TestNothingBehindTheLast: "n:*" has the last message even where its UID is less (RFC 9051
// §6.4.8), but not on every server. That is in nobody's way.
func TestNothingBehindTheLast(t *testing.T) {
	mail := ordinary(5, 51)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail[:3]...)
	p.run(fault.OK, 3)
	for _, raw := range ordinary(2, 52) {
		p.imap.User("").Deliver("INBOX", raw, nil, time.Time{})
	}
	p.imap.User("").Expunge("INBOX", 2, 3, 4, 5)
	from := uint32(0)
	p.imap.Configure(func(o *imapd.Options) {
		o.Reply = func(e imapd.Event) imapd.Action {
			if e.Stage == imapd.AtCommand {
				from = 0
				fmt.Sscanf(e.Line, "UID FETCH %d:*", &from)
			}
			return imapd.Action{}
		}
		o.Untagged = func(_, text string) string {
			var number, uid uint32
			if _, err := fmt.Sscanf(text, "%d FETCH (UID %d", &number, &uid); err == nil && uid < from {
				return ""
			}
			return text
		}
	})
	p.pop.Deliver(mail[3])
	p.run(fault.OK, 1)
	p.run(fault.OK, 0)
	p.imap.User("").Expunge("INBOX", 6) // now UIDNEXT promises nothing
	p.pop.Deliver(mail[4])
	if r := p.run(fault.OK, 1); len(r.Accounts[0].Notes) > 0 {
		t.Errorf("notes %q", r.Accounts[0].Notes)
	}
}

// TestFewAtOnce: a server that gives and takes few messages with one command (RFC 9738) gets all
// mail, and gives all that it has.
func TestFewAtOnce(t *testing.T) {
	for _, limit := range []int{1, 7} {
		mail := ordinary(40, 37)
		p := newPair(t, popd.Options{}, imapd.Options{MessageLimit: limit}, mail...)
		p.run(0, 40)
		p.forget()
		p.run(0, 0)
		p.arrived(mail...)
		if v := ferry.Verify(t.Context(), p.o); v.Totals.Found != 40 {
			t.Errorf("%+v", v.Totals)
		}
	}
}

// TestNoExamine: a server that does not know EXAMINE is asked by SELECT, which removes nothing
// from the folder, and marks nothing as seen.
func TestNoExamine(t *testing.T) {
	for _, says := range []string{"BAD unknown", "NO EXAMINE is not supported", "NO [CLIENTBUG] Unknown command"} {
		for _, folder := range []string{"INBOX", "New"} {
			mail := ordinary(12, 38)
			p := newPair(t, popd.Options{}, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
				if e.Command == "EXAMINE" && e.Stage == imapd.AtCommand {
					return imapd.Action{Reply: says}
				}
				return imapd.Action{}
			}}, mail...)
			p.account().Folder = folder
			p.imap.User("").Deliver("INBOX", mail[0], []string{`\Deleted`}, time.Time{})
			p.run(0, 12)
			p.forget()
			p.run(0, 0)
			if v := ferry.Verify(t.Context(), p.o); v.ExitCode != 0 {
				t.Errorf("%+v", v)
			}
			for _, m := range p.imap.Mailbox(folder) {
				if slices.Contains(m.Flags, `\Seen`) {
					t.Errorf("uid %d is seen", m.UID)
				}
			}
			if n := len(p.imap.Mailbox("INBOX")); n != map[string]int{"INBOX": 13, "New": 1}[folder] {
				t.Errorf("%d messages", n)
			}
		}
	}
}
