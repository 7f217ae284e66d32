package ferry_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// crMail is mail with CRs that are no line ends, in pairs that differ in these only.
func crMail() (mail [][]byte) {
	for _, text := range []string{"a\rb\r\n", "ab\r\n", "line\r\r\nline\r\n", "line\r\nline\r\n"} {
		mail = append(mail, []byte("Received: from a by b id 1; Tue, 4 Mar 2014 05:06:07 +0100\r\n"+
			"Message-ID: <cr@example.org>\r\nSubject: cr\r\n\r\n"+text))
	}
	return mail
}

// refolded folds a header anew, as mailutils does.
func refolded(raw []byte) []byte {
	header, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	header = bytes.ReplaceAll(header, []byte("\r\n\t"), []byte(" \r\n  "))
	header = bytes.ReplaceAll(header, []byte("; "), []byte(";\r\n "))
	return bytes.Join([][]byte{header, body}, []byte("\r\n\r\n"))
}

func grown(raw []byte) []byte { return append([]byte("X-Stored-By: imap.example.org\r\n"), raw...) }

// blotted has X for each 8-bit octet of the header, as Cyrus does it (munge8bit).
func blotted(raw []byte) []byte {
	header, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	header = bytes.Clone(header)
	for i, c := range header {
		if c >= 0x80 {
			header[i] = 'X'
		}
	}
	return bytes.Join([][]byte{header, body}, []byte("\r\n\r\n"))
}

// named8Bit is mail with a Subject in UTF-8 that is not encoded.
func named8Bit(n int) [][]byte {
	mail := withIDs(n)
	for i, raw := range mail {
		mail[i] = bytes.Replace(raw, []byte("Subject: mail"), []byte("Subject: Grüße"), 1)
	}
	return mail
}

// TestAlteredIsRecognised: on servers that alter what they store, a run without the
// journal copies nothing again either; and never does such a copy permit a deletion.
func TestAlteredIsRecognised(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		transform func([]byte) []byte
		mail      [][]byte
	}{
		{"bare CRs dropped", imapd.DropCR, append(crMail(), ordinary(30, 1)...)},
		{"all line ends dropped", imapd.DropCR, append(ordinary(30, 1), macMail("a", "text"), macMail("b", "other text"))},
		{"headers folded anew", refolded, ordinary(30, 1)},
		{"a field added", grown, ordinary(30, 1)},
		{"a field added, three mails", grown, ordinary(3, 1)},
		{"8-bit headers blotted out", blotted, named8Bit(30)},
		{"rewritten beyond recognition", imapd.Opaque, withIDs(30)},
	} {
		for name, po := range map[string]popd.Options{"UIDL": {}, "no UIDL": {NoUIDL: true}, "no TOP": {NoTOP: true}} {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				p := newPair(t, po, imapd.Options{Transform: c.transform}, c.mail...)
				p.run(0, len(c.mail))
				p.run(0, 0)
				p.forget()
				p.run(0, 0)
				p.has(len(c.mail))
				p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
				p.run(0, 0)
				p.keeps(c.mail)
			})
		}
	}
}

// withIDs is mail that has a Message-ID each.
func withIDs(n int) (mail [][]byte) {
	for i := range n {
		mail = append(mail, fmt.Appendf(nil, "Received: from a by b id %d; Tue, 4 Mar 2014 05:06:07 +0100\r\n"+
			"Message-ID: <%d@example.org>\r\nFrom: a@example.org\r\nDate: Tue, 4 Mar 2014 05:06:07 +0100\r\n"+
			"Subject: mail\r\n\r\ntext %d\r\n", i, i, i))
	}
	return mail
}

// has counts what is in the destination.
func (p *pair) has(want int) {
	p.t.Helper()
	if got := len(p.imap.Mailbox("INBOX")); got != want {
		p.t.Errorf("%d messages in the destination, want %d", got, want)
	}
}

// keeps looks whether the maildrop still has everything that the destination has
// not as it was sent.
func (p *pair) keeps(mail [][]byte) {
	p.t.Helper()
	stored := map[string]bool{}
	for _, m := range p.imap.Mailbox("INBOX") {
		stored[string(corpus.Canonical(m.Raw))] = true
	}
	kept := map[string]bool{}
	for _, m := range p.pop.Messages() {
		kept[string(m)] = true
	}
	for _, raw := range mail {
		if !stored[string(corpus.Canonical(raw))] && !kept[string(raw)] {
			p.t.Errorf("deleted from POP3, and altered in the destination: %.200q", raw)
		}
	}
}

// TestAlteredSpeaksLast: what is the exact copy of one message is not taken for the
// altered copy of another that comes before it.
func TestAlteredSpeaksLast(t *testing.T) {
	cr := crMail()
	mail := append([][]byte{cr[0], cr[2]}, ordinary(130, 1)...) // more than a batch
	mail = append(mail, cr[1], cr[3])
	p := newPair(t, popd.Options{NoTOP: true}, imapd.Options{}, mail...)
	for _, raw := range [][]byte{cr[1], cr[3]} {
		p.imap.User("").Deliver("INBOX", raw, nil, time.Time{})
	}
	p.run(0, len(mail)-2)
	p.arrived(mail...)
}

// TestOtherVersionsAreDelivered: what shares its Message-ID, Date, From and Subject
// with mail that somebody else put into the folder is delivered all the same, also
// where that has more fields or another text.
func TestOtherVersionsAreDelivered(t *testing.T) {
	for name, version := range map[string]func([]byte) []byte{
		"more fields": grown,
		"other text":  func(raw []byte) []byte { return append(bytes.Clone(raw), "-- \r\nThe list\r\n"...) },
		"fewer fields": func(raw []byte) []byte {
			return []byte(strings.Replace(string(raw), "Received: ", "X-Received: ", 1))
		},
	} {
		for _, n := range []int{1, 2, 12} {
			t.Run(fmt.Sprintf("%s, %d", name, n), func(t *testing.T) {
				mail := withIDs(n)
				var theirs [][]byte
				for _, raw := range mail[:min(n, 2)] {
					theirs = append(theirs, version(raw))
				}
				p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
				for _, raw := range theirs {
					p.imap.User("").Deliver("INBOX", raw, nil, time.Time{})
				}
				p.run(0, n)
				p.arrived(append(theirs, mail...)...)
			})
		}
	}
}

// TestVerifyTellsWhatIsAltered: a copy that the destination changed is not missing.
func TestVerifyTellsWhatIsAltered(t *testing.T) {
	mail := append(crMail(), ordinary(5, 1)...)
	p := newPair(t, popd.Options{}, imapd.Options{Transform: imapd.DropCR}, mail...)
	p.run(0, len(mail))
	v := ferry.Verify(t.Context(), p.o)
	want := ferry.VerifyTotals{Delivered: len(mail), Found: len(mail) - 2, Altered: 2}
	if v.Totals != want || v.ExitCode != 65 {
		t.Errorf("exit %d, %+v, want 65 and %+v", v.ExitCode, v.Totals, want)
	}
	for _, m := range v.Accounts[0].Messages {
		if m.State != "altered" || !strings.Contains(m.Reason, "its text differs") {
			t.Errorf("%+v", m)
		}
	}
}

// TestAdoptFindsWhatIsAltered: adopt recognises it too, and copies nothing.
func TestAdoptFindsWhatIsAltered(t *testing.T) {
	mail := append(crMail(), ordinary(5, 1)...)
	p := newPair(t, popd.Options{}, imapd.Options{Transform: imapd.DropCR}, mail...)
	p.run(0, len(mail))
	p.forget()
	r := ferry.Adopt(t.Context(), p.o, false)
	if r.ExitCode != 0 || r.Totals.Duplicate != len(mail) {
		t.Errorf("%+v", r)
	}
	p.run(0, 0)
	status, err := p.o.Journal.Scopes(t.Context())
	if err != nil || len(status) != 1 || status[0].Counts[journal.Delivered] != len(mail) {
		t.Errorf("%+v, %v", status, err)
	}
}

// TestOtherVersionsOfLater: once a first pass is complete, versions that somebody else
// put there are versions, however many come at once.
func TestOtherVersionsOfLater(t *testing.T) {
	for name, version := range map[string]func([]byte) []byte{
		"other text":  func(raw []byte) []byte { return append(bytes.Clone(raw), "another text\r\n"...) },
		"more fields": grown,
	} {
		t.Run(name, func(t *testing.T) {
			old := ordinary(20, 5)
			p := newPair(t, popd.Options{}, imapd.Options{}, old...)
			p.run(0, len(old))
			mail := withIDs(12)
			var theirs [][]byte
			for _, raw := range mail {
				theirs = append(theirs, version(raw))
				p.imap.User("").Deliver("INBOX", version(raw), nil, time.Time{})
			}
			p.pop.Deliver(mail...)
			p.run(0, len(mail))
			p.arrived(slices.Concat(old, theirs, mail)...)
		})
	}
}

// TestCopiesByAnotherWay: mail that reached the destination by another way, as those of
// a mailing list do, does not stand for what POP3 has, however much of it there is.
func TestCopiesByAnotherWay(t *testing.T) {
	mail := withIDs(30)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	var theirs [][]byte
	for _, raw := range mail {
		other := bytes.Replace(raw, []byte("from a by b"), []byte("from a by list.example.org"), 1)
		theirs = append(theirs, append(other, "-- \r\nThe list\r\n"...))
		p.imap.User("").Deliver("INBOX", theirs[len(theirs)-1], nil, time.Time{})
	}
	p.run(0, len(mail))
	p.arrived(append(theirs, mail...)...)
}

// TestAlteredCopyKeepsItsClaim: looking for a copy that is not as it was sent does not
// make it anybody's, and verify still knows it.
func TestAlteredCopyKeepsItsClaim(t *testing.T) {
	mail := append(crMail(), ordinary(5, 1)...)
	p := newPair(t, popd.Options{}, imapd.Options{Transform: imapd.DropCR}, mail...)
	p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
	p.run(0, len(mail))
	want := ferry.VerifyTotals{Delivered: len(mail), Found: len(mail) - 2, Altered: 2}
	if v := ferry.Verify(t.Context(), p.o); v.Totals != want {
		t.Errorf("%+v, want %+v", v.Totals, want)
	}
	p.pop.Deliver(mail[0])
	p.run(0, 1)
	p.has(len(mail) + 1)
}

// TestTwinOfAMailThatShrank: a server without UIDPLUS drops many octets of a mail. What it
// keeps is known to be that mail's, and so no copy of a twin that comes later.
func TestTwinOfAMailThatShrank(t *testing.T) {
	lines := strings.Repeat("line\r\r\n", 100)
	for name, raw := range map[string]string{
		"CRs in the text":   string(simple("a", "shrinks", lines)),
		"no Message-ID":     string(simple("", "shrinks", lines)),
		"CRs in the header": strings.ReplaceAll(string(simple("a", "shrinks", lines)), "\r\n", "\r\r\n"),
		"old Macs":          string(macMail("a", strings.ReplaceAll(lines, "\n", ""))),
		"old Macs, From":    strings.ReplaceAll(string(simple("a", "shrinks", lines)), "\n", ""),
	} {
		t.Run(name, func(t *testing.T) {
			mail := append(ordinary(5, 1), []byte(raw))
			p := newPair(t, popd.Options{}, imapd.Options{Transform: imapd.DropCR, NoUIDPlus: true, NoMultiAppend: true}, mail...)
			p.run(0, len(mail))
			p.run(0, 0)
			p.pop.Deliver([]byte(raw))
			p.run(0, 1)
			p.run(0, 0)
			p.has(len(mail) + 1)
			v := ferry.Verify(t.Context(), p.o)
			if v.Totals.Missing > 0 || v.Totals.Altered != 2 {
				t.Errorf("%+v", v.Totals)
			}
		})
	}
}

// TestDateAndFlagsStay (A9, A13): a refusal without a reason may be about the moment; the message
// is sent again as it was before that is tried without flags and date, and who delivers it so
// says it.
func TestDateAndFlagsStay(t *testing.T) {
	old := []byte("Date: Tue, 03 Mar 2020 10:11:12 +0100\r\nMessage-ID: <old@example.org>\r\n\r\ntext\r\n")
	for refusals, stays := range map[int]bool{1: true, 2: false} {
		n := 0
		p := newPair(t, popd.Options{}, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
			if e.Stage == imapd.AtStore {
				if n++; n <= refusals {
					return imapd.Action{Reply: "NO I/O error"}
				}
			}
			return imapd.Action{}
		}}, old)
		r := p.run(0, 1)
		date := p.imap.Mailbox("INBOX")[0].InternalDate
		said := strings.Contains(strings.Join(r.Accounts[0].Notes, "\n"), "1 message delivered without INTERNALDATE and flags")
		if got := date.UTC().Format(time.DateTime) == "2020-03-03 09:11:12"; got != stays || said == stays {
			t.Errorf("%d refusals: dated %v, said %v", refusals, date, said)
		}
	}
}

// TestVerifyTellsBlottedHeaders: what is the same mail by its digests, and lost its 8-bit octets,
// is altered.
func TestVerifyTellsBlottedHeaders(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{Transform: blotted}, append(named8Bit(3), ordinary(3, 1)...)...)
	p.run(0, 6)
	if v := ferry.Verify(t.Context(), p.o).Totals; v.Altered != 3 || v.Found != 3 {
		t.Errorf("%+v", v)
	}
}
