package ferry_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// TestLockedDestination: while another session has the mailbox locked nothing is held, and then
// all arrives.
func TestLockedDestination(t *testing.T) {
	const answer = "NO Mailbox is locked by POP server"
	var locked atomic.Bool
	for name, o := range map[string]imapd.Options{
		"APPEND": {Refuse: func([]byte) string {
			if locked.Load() {
				return answer
			}
			return ""
		}},
		"SELECT": {Reply: func(e imapd.Event) imapd.Action {
			if opens := e.Command == "SELECT" || e.Command == "EXAMINE"; opens && e.Stage == imapd.AtCommand && locked.Load() {
				return imapd.Action{Reply: answer}
			}
			return imapd.Action{}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, popd.Options{}, o, ordinary(3, 1)...)
				locked.Store(true)
				if r := p.run(fault.Temporary, 0); r.Totals.Held != 0 {
					t.Errorf("held: %+v", r.Totals)
				}
				locked.Store(false)
				p.run(fault.OK, 3)
			})
		})
	}
}
