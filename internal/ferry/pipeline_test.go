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

// TestPanicInRecording: it ends the account's run, though many more batches wait to
// be recorded, and the other one gets the room in the spool.
func TestPanicInRecording(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{}, append([][]byte{vast(3)}, parcels(900)...)...)
	p.besides(func() {}, vast(2))
	p.o.SpoolRoom = 4 << 20
	p.o.Observe = func(e ferry.Event) {
		if e.Kind == ferry.Delivered && e.Account == "alice" {
			panic("bug")
		}
	}
	r := runFerry(t, p.o)
	if r.Accounts[0].ExitCode != fault.Internal || r.Accounts[1].Delivered != 1 {
		t.Errorf("%+v", r.Accounts)
	}
	p.o.Observe = nil
	p.run(0, 901-r.Accounts[0].Delivered)
	p.run(0, 0)
}
