package ferry_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
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
