package ferry_test

import (
	"testing"

	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/plan"
)

// TestAnotherFolderCountsCopies: what was brought under another `folder` speaks for one message,
// however many alike come later, and whether that is deleted or not.
func TestAnotherFolderCountsCopies(t *testing.T) {
	for name, po := range everyName {
		for _, keep := range []plan.Keep{{}, {Delete: true}} {
			if keep.Delete && po.DuplicateUIDLs {
				continue // the same octets under the same name: they were not deleted
			}
			t.Run(name+" "+keep.String(), func(t *testing.T) {
				mail := from("a", 2020, 1)
				p := deleting(t, po, imapd.Options{}, mail)
				p.account().Routes, p.account().Keep = []plan.Route{route("a", "Lists")}, plan.Keep{}
				p.run(0, 1)
				p.account().Folder, p.account().Keep = "Archive", keep
				p.run(0, 0)
				for n := range 3 {
					p.run(0, 0)
					p.pop.Deliver(mail)
					p.run(0, 1)
					if got := len(p.imap.Mailbox("Lists")); got != 2+n {
						t.Errorf("Lists has %d messages, not %d", got, 2+n)
					}
				}
			})
		}
	}
}
