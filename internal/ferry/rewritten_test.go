package ferry_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// TestLostAnswerOfAServerThatRewrites (A2): no digest can tell that an append whose
// answer was lost has arrived. It is not sent again, and as nobody can compare it, its
// original stays on POP3.
func TestLostAnswerOfAServerThatRewrites(t *testing.T) {
	t.Parallel()
	mail := ordinary(60, 8)
	mail = append(mail, []byte("Subject: no identity\r\n\r\nsome text\r\n"))
	for name, rewrite := range map[string]func([]byte) []byte{
		"fields added": func(msg []byte) []byte { return append([]byte("X-Server: has seen it\r\n"), msg...) },
		"text changed, too": func(msg []byte) []byte {
			return append(append([]byte("X-Server: has seen it\r\n"), bytes.TrimRight(msg, "\r\n")...), "\r\n-- \r\nscanned\r\n"...)
		},
	} {
		for plus, io := range map[string]imapd.Options{"UIDPLUS": {}, "no UIDPLUS": {NoUIDPlus: true}, "one by one": {NoMultiAppend: true}} {
			t.Run(fmt.Sprint(name, ", ", plus), func(t *testing.T) {
				cuts := 0
				io.Transform = rewrite
				io.Reply = func(e imapd.Event) imapd.Action {
					if e.Stage == imapd.AtReply && e.Command == "APPEND" && cuts == 0 {
						cuts++
						return imapd.Action{Cut: imapd.RST}
					}
					return imapd.Action{}
				}
				all := mail
				if name != "fields added" {
					all = mail[:60] // without a Message-ID such mail can't be known
				}
				p := newPair(t, popd.Options{}, io, all...)
				p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
				r := p.run(fault.OK, len(all))
				copies := len(all)
				if name != "fields added" && plus == "one by one" {
					copies++ // one is too few to tell from another version of the mail
				}
				if cuts == 0 || len(p.imap.Mailbox("INBOX")) != copies {
					t.Errorf("%d cuts, %d of %d messages arrived", cuts, len(p.imap.Mailbox("INBOX")), len(all))
				}
				if r.Totals.Deleted > 0 && name != "fields added" || len(p.pop.Messages())+r.Totals.Deleted != len(all) {
					t.Errorf("%+v, %d are left", r.Totals, len(p.pop.Messages()))
				}
				p.run(fault.OK, 0)
				if n := len(p.imap.Mailbox("INBOX")); n != copies {
					t.Errorf("%d messages after a second run", n)
				}
			})
		}
	}
}

// TestAnotherVersionInTheWindow: mail that never arrived is sent again, whatever a mailing
// list has made of it in the meantime.
func TestAnotherVersionInTheWindow(t *testing.T) {
	mail := ordinary(1, 8)
	version := append(bytes.Clone(mail[0]), "-- \r\nthe list\r\n"...)
	cuts := 0
	var p *pair
	io := imapd.Options{Reply: func(e imapd.Event) imapd.Action {
		if e.Stage == imapd.AtStore && e.Command == "APPEND" && cuts == 0 {
			cuts++
			p.imap.User("").Deliver("INBOX", version, nil, time.Time{})
			return imapd.Action{Cut: imapd.RST}
		}
		return imapd.Action{}
	}}
	p = newPair(t, popd.Options{}, io, mail...)
	p.run(fault.OK, 1)
	p.arrived(mail[0], version)
}

// TestStrangersInTheWindow: mail that never arrived is sent again, although other mail came
// to the folder meanwhile that has neither a Message-ID nor a text, or only those of its own.
func TestStrangersInTheWindow(t *testing.T) {
	t.Parallel()
	const head = "From: a@example.org\r\nSubject: s\r\nDate: Tue, 4 Mar 2014 05:06:07 +0100\r\n"
	for name, c := range map[string][2][]byte{
		"no header":          {[]byte("an ordinary text\r\n"), []byte("another text\r\n")},
		"header only":        {[]byte("X-Cron: one\r\n\r\n"), []byte("X-Monitor: two\r\nTo: root\r\n\r\n")},
		"header of one name": {[]byte("Message-ID: <a@x>\r\nTo: a\r\n\r\n"), []byte("Message-ID: <a@x>\r\nTo: b\r\n\r\n")},
		"old Macs":           {macMail("a", "text"), macMail("b", "other text")},
		"other To":           {[]byte(head + "To: a\r\n\r\ntext\r\n"), []byte(head + "To: b\r\n\r\ntext\r\n")},
	} {
		t.Run(name, func(t *testing.T) {
			var p *pair
			p = newPair(t, popd.Options{}, imapd.Options{Reply: firstAppend(imapd.AtStore, func() imapd.Action {
				p.imap.User("").Deliver("INBOX", c[1], nil, time.Time{})
				return imapd.Action{Cut: imapd.RST}
			})}, c[0])
			p.run(fault.OK, 1)
			p.arrived(c[:]...)
			p.run(fault.OK, 0)
		})
	}
}
