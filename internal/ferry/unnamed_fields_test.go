package ferry_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
)

var messageIDField = regexp.MustCompile(`(?s)(BODY\[HEADER\.FIELDS \([^)]*\)\]) \{\d+\}.*`)

// noFields answers as if no message had a Message-ID, where that alone is asked for.
func noFields(_, text string) string {
	return messageIDField.ReplaceAllString(text, "$1 {2}\r\n\r\n)")
}

// atHeaders does something at the first n questions for whole headers.
func atHeaders(n int, do imapd.Action) func(imapd.Event) imapd.Action {
	return func(e imapd.Event) imapd.Action {
		if e.Stage == imapd.AtCommand && strings.Contains(e.Line, "BODY.PEEK[HEADER]") && n > 0 {
			n--
			return do
		}
		return imapd.Action{}
	}
}

// TestNoMessageIDGiven (RFC 3501 §6.4.5): mail is recognised without the journal where the
// server answers with nothing when it is asked for Message-IDs, also if the connection ends
// before the whole headers have told them.
func TestNoMessageIDGiven(t *testing.T) {
	mail := ordinary(8, 71)
	for _, noUIDPlus := range []bool{false, true} {
		for _, cuts := range []int{0, 2} {
			t.Run(fmt.Sprintf("no UIDPLUS %v, %d cuts", noUIDPlus, cuts), func(t *testing.T) {
				p := withOthers(t, imapd.Options{Untagged: noFields, NoUIDPlus: noUIDPlus}, nil, mail...)
				p.run(fault.OK, 8)
				p.forget()
				p.imap.Configure(func(o *imapd.Options) { o.Reply = atHeaders(cuts, imapd.Action{Cut: imapd.RST}) })
				p.run(fault.OK, 0)
				p.arrived(mail...)
			})
		}
	}
}

// TestNoHeaderGiven: where the names could not be read in the end, they are in the next run.
func TestNoHeaderGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail := ordinary(8, 71)
		p := withOthers(t, imapd.Options{Untagged: noFields}, nil, mail...)
		p.run(fault.OK, 8)
		p.forget()
		p.imap.Configure(func(o *imapd.Options) { o.Reply = atHeaders(1000, imapd.Action{Cut: imapd.RST}) })
		p.run(fault.Temporary, 0)
		p.imap.Configure(func(o *imapd.Options) { o.Reply = nil })
		p.run(fault.OK, 0)
		p.arrived(mail...)
	})
}

// TestHeaderRefused (I7): a server that refuses whole headers of others' mail keeps nothing
// from arriving.
func TestHeaderRefused(t *testing.T) {
	mail := ordinary(3, 72)
	io := imapd.Options{Untagged: noFields, Reply: atHeaders(100, imapd.Action{Reply: "NO can't read that"})}
	p := withOthers(t, io, ordinary(5, 73), mail...)
	p.run(fault.OK, 3)
	p.arrived(append(mail, ordinary(5, 73)...)...)
}
