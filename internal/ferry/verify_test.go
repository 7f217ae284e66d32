package ferry_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
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
