package ferry_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// refusing answers the first APPENDs at a stage with a refusal.
func refusing(at imapd.Stage, refusal string, first int) func(imapd.Event) imapd.Action {
	return func(e imapd.Event) imapd.Action {
		if e.Stage == at && e.Command == "APPEND" && e.N <= first {
			return imapd.Action{Reply: refusal}
		}
		return imapd.Action{}
	}
}

// TestStoredAndRefused: what a server stores and refuses is found there, and not sent again.
func TestStoredAndRefused(t *testing.T) {
	for _, refusal := range []string{"NO internal error", "NO [SERVERBUG] x", "NO [OVERQUOTA] x", "BAD x"} {
		for io, name := range map[*imapd.Options]string{
			{}: "UIDPLUS", {NoUIDPlus: true}: "no UIDPLUS", {Literals: imapd.LiteralSync, NoMultiAppend: true}: "lanes",
		} {
			for _, first := range []int{1, 1000} {
				t.Run(fmt.Sprintf("%s, %s, %d", refusal, name, first), func(t *testing.T) {
					mail := append(ordinary(40, 1), []byte("Subject: no name\r\n\r\none\r\n"))
					p := newPair(t, popd.Options{}, *io, mail...)
					p.imap.Configure(func(o *imapd.Options) { o.Reply = refusing(imapd.AtReply, refusal, first) })
					r := p.run(0, len(mail))
					if notes := strings.Join(r.Accounts[0].Notes, "\n"); !strings.Contains(notes, "messages that it refuses") {
						t.Errorf("notes: %s", notes)
					}
					p.arrived(mail...)
					p.run(0, 0)
					if v := ferry.Verify(t.Context(), p.o); v.ExitCode != 0 {
						t.Errorf("verify: %+v", v)
					}
				})
			}
		}
	}
}

// TestRefusedTwin: the copy of one mail does not stand for another of the same content
// that was refused and is not there.
func TestRefusedTwin(t *testing.T) {
	for name, io := range map[string]imapd.Options{
		"UIDPLUS": {NoMultiAppend: true}, "no UIDPLUS": {NoMultiAppend: true, NoUIDPlus: true},
		"lanes": {NoMultiAppend: true, NoUIDPlus: true, Literals: imapd.LiteralSync},
	} {
		t.Run(name, func(t *testing.T) {
			mail := slices.Repeat([][]byte{[]byte("Message-ID: <twin@example.org>\r\nSubject: x\r\n\r\nx\r\n")}, 40)
			p := newPair(t, popd.Options{}, io, mail...)
			p.imap.Configure(func(o *imapd.Options) {
				o.Reply = func(e imapd.Event) imapd.Action {
					if e.N > 12 || e.N%3 > 0 {
						return imapd.Action{}
					}
					return refusing(imapd.AtStore, "NO no", 1000)(e)
				}
			})
			p.run(0, len(mail))
			p.arrived(mail...)
		})
	}
}
