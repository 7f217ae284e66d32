package ferry_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// TestLostAnswerOfAServerThatRewrites (A2): no digest can tell that an append whose
// answer was lost has arrived. It is not sent again, and as nobody can compare it, its
// original stays on POP3.
func TestLostAnswerOfAServerThatRewrites(t *testing.T) {
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
				if cuts == 0 || len(p.imap.Mailbox("INBOX")) != len(all) {
					t.Errorf("%d cuts, %d of %d messages arrived", cuts, len(p.imap.Mailbox("INBOX")), len(all))
				}
				if r.Totals.Deleted > 0 && name != "fields added" || len(p.pop.Messages())+r.Totals.Deleted != len(all) {
					t.Errorf("%+v, %d are left", r.Totals, len(p.pop.Messages()))
				}
				p.run(fault.OK, 0)
				if n := len(p.imap.Mailbox("INBOX")); n != len(all) {
					t.Errorf("%d messages after a second run", n)
				}
			})
		}
	}
}
