package ferry_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
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

// TestPlainHeaderVouchesForNothing: POP3 lost a mail that was delivered, then the journal is
// lost, and a new mail has the header and the size of the first. It is brought, unless that
// header has something of its own.
func TestPlainHeaderVouchesForNothing(t *testing.T) {
	for name, head := range map[string]string{
		"plain":             "From: eve@example.org\r\nSubject: backup\r\n",
		"date that is none": "From: eve@example.org\r\nSubject: backup\r\nDate: yesterday\r\n",
		"empty Message-ID":  "Message-ID: <>\r\nSubject: backup\r\n",
		"nothing":           "",
	} {
		t.Run(name, func(t *testing.T) {
			monday, friday := []byte(head+"\r\nof Monday\r\n"), []byte(head+"\r\nof Friday\r\n")
			p := newPair(t, popd.Options{}, imapd.Options{}, monday)
			p.run(0, 1)
			p.pop.Expunge(1)
			p.pop.Deliver(friday)
			p.forget()
			p.run(0, 1)
			p.arrived(monday, friday)
			p.run(0, 0)
		})
	}
}

// TestHeldUnreadIsLookedFor: copies of a mail, of which one was deleted by another program,
// can't be told apart by their headers in a run without its journal, and POP3 does not give
// them then. What a later run reads is compared with what is there.
func TestHeldUnreadIsLookedFor(t *testing.T) {
	mail := simple("twin", "letter", "text")
	p := newPair(t, popd.Options{}, imapd.Options{}, mail, mail, mail)
	p.run(0, 3)
	p.pop.Expunge(3)
	p.forget()
	p.pop.Configure(func(o *popd.Options) {
		o.Reply = func(cmd string, _ int) ([]byte, bool) {
			return []byte("-ERR [SYS/PERM] it can't be read\r\n"), cmd == "RETR"
		}
	})
	p.run(fault.Held, 0)
	p.pop.Configure(func(o *popd.Options) { o.Reply = nil })
	p.run(0, 0)
	p.arrived(mail, mail, mail)
}

// TestHeldUnreadIsLookedForEverywhere: also where its route led elsewhere before.
func TestHeldUnreadIsLookedForEverywhere(t *testing.T) {
	mail, other := simple("twin", "letter", "text"), simple("other", "letter", "other text")
	p := newPair(t, popd.Options{}, imapd.Options{}, mail, mail, other)
	p.account().Routes = []plan.Route{route("a", "Letters"), route("b", "Post")}
	p.run(0, 3)
	p.pop.Expunge(2)
	p.forget()
	p.account().Routes = []plan.Route{route("a", "Post"), route("b", "Letters")}
	p.pop.Configure(func(o *popd.Options) {
		o.Reply = func(cmd string, _ int) ([]byte, bool) {
			return []byte("-ERR [SYS/PERM] it can't be read\r\n"), cmd == "RETR"
		}
	})
	p.run(fault.Held, 0)
	p.pop.Configure(func(o *popd.Options) { o.Reply = nil })
	p.run(0, 0)
	p.inFolders(map[string][][]byte{"Letters": {mail, mail, other}})
}

// TestUnreadMayBeWhatWasDeleted: a deletion did not take effect, on a server without UIDLs
// that does not give the mail in the next run. What it is for is not forgotten by that.
func TestUnreadMayBeWhatWasDeleted(t *testing.T) {
	mail := [][]byte{simple("", "plain", "text"), simple("one", "letter", "more text")}
	p := deleting(t, popd.Options{NoUIDL: true, KeepDeleted: true}, imapd.Options{}, mail...)
	p.run(0, 2)
	p.pop.Configure(func(o *popd.Options) {
		o.Reply = func(cmd string, _ int) ([]byte, bool) { return []byte("-ERR no\r\n"), cmd == "RETR" }
	})
	p.run(fault.Held, 0)
	p.pop.Configure(func(o *popd.Options) { o.Reply = nil })
	p.run(0, 0)
	p.arrived(mail...)
}

// TestSizesThatAgreeByAccident: LIST leaves out the line end that delivery adds. A new mail
// with the header of a delivered one has the size in LIST that the copy of that has.
func TestSizesThatAgreeByAccident(t *testing.T) {
	const head = "Message-ID: <same@example.org>\r\nSubject: reminder\r\n\r\n"
	first, second := []byte(head+"at noon"), []byte(head+"at night!")
	p := newPair(t, popd.Options{}, imapd.Options{}, first)
	p.run(0, 1)
	p.forget()
	p.pop.Deliver(second)
	p.run(0, 1)
	p.arrived([]byte(head+"at noon\r\n"), []byte(head+"at night!\r\n"))
}

// TestHalfRenumbered (S7): a provider gives more than half of the messages new UIDLs.
func TestHalfRenumbered(t *testing.T) {
	for _, kept := range []int{0, 1, 5, 9} {
		mail := ordinary(20, 77)
		p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
		p.run(0, 20)
		for n := kept + 1; n <= 20; n++ {
			p.pop.Rename(n, fmt.Sprintf("anew-%d", n))
		}
		p.pop.Deliver(ordinary(1, 78)...)
		r := p.run(0, 1)
		if notes := strings.Join(r.Accounts[0].Notes, "; "); strings.Contains(notes, "one mailbox") {
			t.Errorf("renamed mail is taken for copies: %s", notes)
		}
		p.run(0, 0)
		p.arrived(append(mail, ordinary(1, 78)...)...)
	}
}

// TestNoUIDValidity (A20): a server that does not tell it is the one to blame, and gets no
// mail.
func TestNoUIDValidity(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{NoUIDValidity: true}, ordinary(3, 79)...)
	for range 2 {
		r := p.run(fault.Protocol, 0)
		if e := r.Accounts[0].Error; e == nil || !strings.Contains(e.Message, "UIDVALIDITY") {
			t.Errorf("%+v", e)
		}
	}
	p.has(0)
	if n := len(p.pop.Messages()); n != 3 {
		t.Errorf("%d messages are left on POP3", n)
	}
	p.imap.Configure(func(o *imapd.Options) { o.NoUIDValidity = false })
	p.run(0, 3)
}

// TestNULStaysOnPOP3: nobody can read back whether the destination kept it. So it is where
// the journal was lost, where POP3 has no UIDLs, and where the answer was lost.
func TestNULStaysOnPOP3(t *testing.T) {
	mail := [][]byte{simple("nul", "bad", "nul \x00 here"), simple("plain", "good", "text")}
	for name, c := range map[string]struct {
		po     popd.Options
		io     imapd.Options
		forget bool
	}{
		"named": {}, "nameless": {po: popd.Options{NoUIDL: true}}, "without the journal": {forget: true},
		"answer lost": {io: imapd.Options{Reply: firstAppend(imapd.AtReply, func() imapd.Action { return imapd.Action{Cut: imapd.RST} })}},
	} {
		t.Run(name, func(t *testing.T) {
			c.io.Transform = imapd.NULTo80
			p := deleting(t, c.po, c.io, mail...)
			p.o.Config.Settle = time.Millisecond
			if c.forget {
				p.account().Keep = plan.Keep{}
				p.run(0, 2)
				p.forget()
				p.account().Keep = plan.Keep{Delete: true}
			}
			runFerry(t, p.o)
			r := runFerry(t, p.o)
			if left := p.pop.Messages(); len(left) != 1 || string(left[0]) != string(mail[0]) {
				t.Errorf("%q", left)
			}
			if notes := strings.Join(r.Accounts[0].Notes, "; "); !strings.Contains(notes, "1 message kept on POP3 for good") {
				t.Errorf("notes %q", notes)
			}
		})
	}
	p := newPair(t, popd.Options{}, imapd.Options{Transform: imapd.NULTo80}, mail...)
	p.run(0, 2)
	p.undo(0, 2) // it is popferry's all the same
}

// TestNothingIsDeletedByARebuiltJournal (T3): the run that begins a new journal in the place of
// a damaged one deletes nothing, whatever its command line says; the next one does.
func TestNothingIsDeletedByARebuiltJournal(t *testing.T) {
	mail := ordinary(3, 80)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	p.run(0, 3)
	p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
	whole := openJournal(t, t.TempDir())
	p.o.Journal = rebuilt{whole}
	r := p.run(fault.Held, 0)
	p.kept(3)
	if e := r.Accounts[0].Error; e == nil || !strings.Contains(e.Message+e.Hint, "damaged") || !strings.Contains(e.Hint, "again") {
		t.Errorf("the report says %+v", e)
	}
	p.o.Journal = whole
	p.run(0, 0)
	p.kept(0)
}

type rebuilt struct{ journal.Journal }

func (rebuilt) Rebuilt() bool { return true }

// TestVerifyTellsOfHeaders: what is known by its header alone is counted apart.
func TestVerifyTellsOfHeaders(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(5, 81)...)
	p.run(0, 5)
	if v := ferry.Verify(t.Context(), p.o); v.Totals.Found != 5 || v.Totals.ByHeader != 0 {
		t.Errorf("%+v", v.Totals)
	}
	p.forget()
	p.run(0, 0)
	if v := ferry.Verify(t.Context(), p.o); v.Totals.Found != 5 || v.Totals.ByHeader != 5 {
		t.Errorf("%+v", v.Totals)
	}
}

// TestEmptyLineAdded (mailutils): once a session has ended, the server's copy of a mail that is
// nothing but a header has an empty line more. It is no other mail for that, and stays.
func TestEmptyLineAdded(t *testing.T) {
	header := "Message-ID: <only@example.org>\r\nSubject: nothing but a header\r\n"
	named := func(_ int, raw []byte) string {
		if bytes.HasPrefix(raw, []byte(header)) {
			return "one"
		}
		return fmt.Sprintf("%.10x", sha256.Sum256(raw))
	}
	p := newPair(t, popd.Options{UIDL: named, SizeOffset: 5}, imapd.Options{}, []byte(header))
	others := [][]byte{from("x", 2001, 1), from("x", 2001, 2), from("x", 2001, 3)} // by which sizes prove nothing
	p.pop.Deliver(others...)
	p.run(0, 1+len(others))
	p.account().Keep = plan.Keep{Delete: true}
	p.pop.Expunge(1)
	p.pop.Deliver([]byte(header + "Status: RO\r\n\r\n\r\n"))
	p.o.ConfirmDelete = true
	p.run(0, 0)
	p.run(0, 0)
	p.kept(1)
	p.pop.Expunge(1)
	other := []byte(header + "\r\nwith a text\r\n")
	p.pop.Deliver(other)
	p.run(0, 1)
	p.arrived(append(others, []byte(header), other)...)
}

// macMail is mail as old Macs stored it: CRs are its line ends, and all of it is one field.
func macMail(id, text string) []byte {
	return []byte("Return-Path: <" + id + "@example.org>\rFrom: " + id + "@example.org\rSubject: mail\r\r" + text + "\r")
}

// TestMacMailIsNotAlike: such mail is not taken for other such mail, whether that lies in the
// destination or had the same UIDL.
func TestMacMailIsNotAlike(t *testing.T) {
	first, second := macMail("a", "the first text"), macMail("b", "quite another text")
	t.Run("in the destination", func(t *testing.T) {
		p := deleting(t, popd.Options{}, imapd.Options{}, second)
		p.imap.User("").Deliver("INBOX", first, nil, time.Time{})
		p.run(0, 1)
		p.arrived(first, second)
	})
	t.Run("of the same UIDL", func(t *testing.T) {
		p := deleting(t, popd.Options{UIDL: func(n int, _ []byte) string { return fmt.Sprint(n) }}, imapd.Options{}, first)
		p.run(0, 1)
		p.pop.Deliver(second)
		p.run(0, 1)
		p.arrived(first, second)
	})
	t.Run("without the journal", func(t *testing.T) {
		p := newPair(t, popd.Options{}, imapd.Options{}, first)
		p.run(0, 1)
		p.pop.Expunge(1)
		p.pop.Deliver(second)
		p.forget()
		p.run(0, 1)
		p.run(0, 0)
		p.arrived(first, second)
	})
}

// TestMacMailOfAnOldJournal: an earlier version left such mail out of the header digest. It is
// known all the same.
func TestMacMailOfAnOldJournal(t *testing.T) {
	p := newPair(t, popd.Options{NoUIDL: true}, imapd.Options{}, macMail("a", "a text"), macMail("b", "another text"))
	p.run(0, 2)
	p.asOfOld()
	p.run(0, 0)
	p.has(2)
	p = newPair(t, popd.Options{}, imapd.Options{}, macMail("a", "a text"), macMail("b", "another text"))
	p.run(0, 2)
	p.asOfOld()
	p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
	p.run(0, 0)
	p.kept(0)
}

func (p *pair) asOfOld() { p.rewrite(func(r *journal.Record) { r.Sum.Header = sha256.Sum256(nil) }) }

// rewrite changes all records of the journal.
func (p *pair) rewrite(change func(*journal.Record)) {
	p.t.Helper()
	scopes, err := p.o.Journal.Scopes(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, s := range scopes {
		ledger, err := p.o.Journal.Ledger(p.t.Context(), s.Scope)
		if err != nil {
			p.t.Fatal(err)
		}
		var records []journal.Record
		err = ledger.Each(p.t.Context(), journal.Query{}, func(r journal.Record) error {
			change(&r)
			records = append(records, r)
			return nil
		})
		if err == nil {
			err = ledger.Put(p.t.Context(), records)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
}
