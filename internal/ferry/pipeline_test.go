package ferry_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// TestFailureEndsFetching: what can't be carried any further is not retrieved.
func TestFailureEndsFetching(t *testing.T) {
	var mail [][]byte
	for i := range 3000 {
		mail = append(mail, simple(fmt.Sprint(i), "subject", "text"))
	}
	t.Run("carry", func(t *testing.T) {
		p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
		p.o.Journal = forgetful{p.o.Journal, journal.Intent}
		p.run(fault.State, 0)
		p.stoppedEarly(len(mail))
	})
	t.Run("adopt", func(t *testing.T) {
		p := newPair(t, popd.Options{NoTOP: true}, imapd.Options{}, mail...)
		for _, raw := range mail {
			p.imap.User("").Deliver("INBOX", raw, nil, time.Time{})
		}
		p.o.Journal = forgetful{p.o.Journal, journal.Delivered}
		p.o.Spool = t.TempDir()
		if r := ferry.Adopt(t.Context(), p.o, false); r.ExitCode != fault.State {
			t.Errorf("%+v", r)
		}
		p.stoppedEarly(len(mail))
	})
}

func (p *pair) stoppedEarly(all int) {
	p.t.Helper()
	if n := p.retrieved(); n == 0 || n > all/2 {
		p.t.Errorf("%d of %d messages were retrieved", n, all)
	}
}
