package ferry_test

import (
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
