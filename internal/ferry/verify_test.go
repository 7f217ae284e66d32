package ferry_test

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// TestVerifyTellsOfOpenAppends: mail whose append nobody answered is neither
// delivered nor missing, and a proof that is silent about it is none.
func TestVerifyTellsOfOpenAppends(t *testing.T) {
	mail := ordinary(30, 40)
	p := newPair(t, popd.Options{}, imapd.Options{Reply: firstAppend(imapd.AtStore, func() imapd.Action {
		return imapd.Action{StoreAfter: -1, Cut: imapd.RST}
	})}, mail...)
	p.o.NoWait, p.o.Config.Settle = true, time.Hour
	verify := func(want ferry.VerifyTotals, code fault.Code) {
		t.Helper()
		v := ferry.Verify(t.Context(), p.o)
		if v.Totals != want || v.ExitCode != code || v.Accounts[0].ExitCode != code {
			t.Errorf("%+v, want %+v and %v", v, want, code)
		}
	}
	p.run(fault.Temporary, 0)
	verify(ferry.VerifyTotals{Open: len(mail)}, fault.Temporary)
	if n := p.imap.Commit(); n != len(mail) {
		t.Fatalf("%d messages were on their way", n)
	}
	p.run(0, len(mail))
	verify(ferry.VerifyTotals{Delivered: len(mail), Found: len(mail)}, fault.OK)
}

// TestVerifyTellsWhatLiesInItsPlace: mail without a name, rewritten by the destination, is
// altered and not missing.
func TestVerifyTellsWhatLiesInItsPlace(t *testing.T) {
	mail := append(ordinary(5, 1), []byte("Subject: no name\r\n\r\none\r\n"), []byte("Subject: no name\r\n\r\ntwo\r\n"))
	p := newPair(t, popd.Options{}, imapd.Options{Transform: imapd.Opaque}, mail...)
	p.run(0, len(mail))
	want := ferry.VerifyTotals{Delivered: len(mail), Altered: len(mail)}
	if v := ferry.Verify(t.Context(), p.o); v.Totals != want || v.ExitCode != fault.Held {
		t.Errorf("%+v", v)
	}
}

// TestVerifyFindsWhatHasNoNameInTheListing: mail whose place is not known, at a server that gives no
// header fields, is found by its content, and what is gone is missing all the same.
func TestVerifyFindsWhatHasNoNameInTheListing(t *testing.T) {
	fields := regexp.MustCompile(`(?s)BODY\[HEADER\.FIELDS [^]]*\] .*\)$`)
	mail := short(6)
	p := newPair(t, popd.Options{}, imapd.Options{Untagged: func(_, text string) string {
		return fields.ReplaceAllString(text, "BODY[HEADER.FIELDS (MESSAGE-ID)] NIL)")
	}}, mail...)
	p.run(0, len(mail))
	p.imap.User("").Expunge("INBOX", 3)
	p.imap.User("").SetUIDValidity("INBOX", 7)
	want := ferry.VerifyTotals{Delivered: 6, Found: 5, Missing: 1}
	if v := ferry.Verify(t.Context(), p.o); v.Totals != want || v.ExitCode != fault.Held {
		t.Errorf("%+v", v)
	}
}

// TestVerifyTellsWhatTheServerLeavesOut (RFC 9051 §6.4.5): what it never shows, and counts, may be
// there. Nobody is told to bring it anew.
func TestVerifyTellsWhatTheServerLeavesOut(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{}, short(6)...)
	p.run(0, 6)
	p.imap.Configure(func(o *imapd.Options) {
		o.Untagged = func(_, text string) string {
			if strings.HasPrefix(text, "2 FETCH") || strings.HasPrefix(text, "6 FETCH") {
				return ""
			}
			return text
		}
	})
	want := ferry.VerifyTotals{Delivered: 6, Found: 4, Missing: 2, Unshown: 2}
	v := ferry.Verify(t.Context(), p.o)
	if v.Totals != want || v.ExitCode != fault.Held {
		t.Errorf("%+v", v)
	}
	for _, m := range v.Accounts[0].Messages {
		if !strings.Contains(m.Reason, "leaves out messages of folder INBOX") {
			t.Errorf("said of what is not shown: %s", m.Reason)
		}
	}
}

// TestVerifyTellsWhatOnlyAMessageIDVouchesFor, whatever header and text are.
func TestVerifyTellsWhatOnlyAMessageIDVouchesFor(t *testing.T) {
	mail := short(7)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	p.imap.User("").Deliver("INBOX", mail[0], nil, time.Time{})
	for _, m := range mail[1:] {
		other := bytes.Replace(m, []byte("Subject: "), []byte("X-New: 1\r\nSubject: another "), 1)
		p.imap.User("").Deliver("INBOX", append(other, "More.\r\n"...), nil, time.Time{})
	}
	if r := ferry.Adopt(t.Context(), p.o, true); r.Totals.Duplicate != 7 {
		t.Fatalf("%+v", r)
	}
	want := ferry.VerifyTotals{Delivered: 7, Found: 7, ByHeader: 1, ByMessageID: 6}
	if v := ferry.Verify(t.Context(), p.o); v.Totals != want || v.ExitCode != fault.OK {
		t.Errorf("%+v", v)
	}
}

// TestVerifyLooksElsewhereFirst: where the server tells the UIDs wrong, other mail of the
// same kind lies at each.
func TestVerifyLooksElsewhereFirst(t *testing.T) {
	var mail [][]byte
	for i := range 5 {
		mail = append(mail, fmt.Appendf(nil, "Subject: no name\r\n\r\n%d\r\n", i))
	}
	p := newPair(t, popd.Options{}, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
		var validity, first, last int
		if n, _ := fmt.Sscanf(e.Text, "OK [APPENDUID %d %d:%d]", &validity, &first, &last); n < 3 {
			return imapd.Action{}
		}
		return imapd.Action{Reply: fmt.Sprintf("OK [APPENDUID %d %d:%d] done", validity, first+1, last+1)}
	}}, mail...)
	p.run(0, len(mail))
	want := ferry.VerifyTotals{Delivered: len(mail), Found: len(mail)}
	for range 2 { // the journal has learned where they are
		if v := ferry.Verify(t.Context(), p.o); v.Totals != want || v.ExitCode != 0 {
			t.Errorf("%+v", v)
		}
	}
}

// TestVerifyTellsAlteredMailFromMissing also where nobody knows its place, or the journal has that of
// another one under the same Message-ID: at a server that dropped CRs, no digest finds it.
func TestVerifyTellsAlteredMailFromMissing(t *testing.T) {
	const named = "Message-ID: <same@example.org>\r\nX-Cr: a\rb\r\n"
	for name, form := range map[string]string{
		"one Message-ID": named + "Subject: %s\r\n\r\na\rtext\r\n", "none": "Subject: %s\r\n\r\na\rtext\r\n",
		"no text": named + "Subject: %s\r\n\r\n",
	} {
		var mail [][]byte
		for i := range 4 {
			mail = append(mail, fmt.Appendf(nil, form, strings.Repeat("s", i+1)))
		}
		p := newPair(t, popd.Options{}, imapd.Options{Transform: imapd.DropCR, NoMultiAppend: true}, mail...)
		p.run(0, len(mail))
		for _, m := range p.imap.Mailbox("INBOX") {
			if bytes.Contains(m.Raw, []byte("Subject: s\r")) {
				p.imap.User("").Expunge("INBOX", m.UID)
			}
		}
		p.imap.User("").SetUIDValidity("INBOX", 7)
		want := ferry.VerifyTotals{Delivered: len(mail), Altered: len(mail) - 1, Missing: 1}
		for _, when := range []string{"before", "after"} {
			v := ferry.Verify(t.Context(), p.o)
			for _, m := range v.Accounts[0].Messages {
				if isGone := m.Size == int64(len(mail[0])); v.Totals != want || isGone != (m.State == "missing") || !isGone && m.UID == 0 {
					t.Errorf("%s, %s a run: %+v, %+v", name, when, v.Totals, m)
				}
			}
			p.run(0, 0)
		}
	}
}

// TestVerifyCountsCopies: one copy is no proof of two messages.
func TestVerifyCountsCopies(t *testing.T) {
	mail := slices.Repeat(ordinary(1, 1), 2)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	p.run(0, len(mail))
	p.imap.User("").Expunge("INBOX", p.imap.Mailbox("INBOX")[0].UID)
	want := ferry.VerifyTotals{Delivered: 2, Found: 1, Missing: 1}
	if v := ferry.Verify(t.Context(), p.o); v.Totals != want {
		t.Errorf("%+v", v)
	}
}

// TestVerifyTellsWhatTheProviderDropped: mail that the source has twice is there once, where
// the provider keeps no second copy, and nothing of it is missing. What is there in no form is;
// and so is a second copy at those that keep it.
func TestVerifyTellsWhatTheProviderDropped(t *testing.T) {
	same := ordinary(1, 9)[0]
	mail := append(ordinary(3, 5), same, same, same)
	for what, c := range map[string]struct {
		ways   plan.Ways
		remove string // of what is at the destination: a part of it
		move   bool
		want   ferry.VerifyTotals
		code   fault.Code
	}{
		"a twin is there": {ways: dropping, want: ferry.VerifyTotals{Delivered: 6, Found: 4, Dropped: 2}},
		"one moved":       {ways: dropping, move: true, want: ferry.VerifyTotals{Delivered: 6, Found: 3, Moved: 1, Dropped: 2}},
		"no twin is there": {ways: dropping, remove: string(same),
			want: ferry.VerifyTotals{Delivered: 6, Found: 3, Missing: 3}, code: fault.Held},
		"another is gone": {ways: dropping, remove: string(mail[0]),
			want: ferry.VerifyTotals{Delivered: 6, Found: 3, Missing: 1, Dropped: 2}, code: fault.Held},
		"nobody knows of it": {want: ferry.VerifyTotals{Delivered: 6, Found: 4, Missing: 2}, code: fault.Held},
	} {
		p := newPair(t, popd.Options{}, imapd.Gmail(1<<30), mail...)
		p.o.Config.Accounts[0].Destination.Ways = c.ways
		p.run(0, len(mail))
		for _, m := range p.imap.Mailbox("INBOX") {
			if c.remove == string(m.Raw) || c.move && bytes.Equal(m.Raw, same) {
				p.imap.User("").Expunge("INBOX", m.UID)
			}
		}
		if c.move {
			p.imap.User("").Deliver("Later", same, nil, time.Time{})
		}
		v := ferry.Verify(t.Context(), p.o)
		if v.Totals != c.want || v.ExitCode != c.code {
			t.Errorf("%s: exit %d, %+v", what, v.ExitCode, v.Totals)
		}
		for _, m := range v.Accounts[0].Messages {
			if m.State == "dropped" && (!strings.HasPrefix(m.Reason, "Example Mail keeps no second copy") || !strings.Contains(m.Reason, " uid ")) {
				t.Errorf("%s: %+v", what, m)
			}
		}
	}
}

// dropping is a provider that keeps no second copy.
var dropping = plan.Ways{Provider: "Example Mail", DropsCopies: true}
