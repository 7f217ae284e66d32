package ferry_test

import (
	"testing"

	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
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

// TestAnotherFolderAmidDeletion: a deletion had no effect, and the account has another `folder` in
// the next run. What a route sent is there.
func TestAnotherFolderAmidDeletion(t *testing.T) {
	for name, po := range everyName {
		t.Run(name, func(t *testing.T) {
			mail := from("a", 2020, 1)
			p := deleting(t, po, imapd.Options{}, mail)
			p.pop.Configure(func(o *popd.Options) {
				o.Reply = func(cmd string, _ int) ([]byte, bool) {
					if cmd == "DELE" {
						p.pop.Cut()
					}
					return nil, cmd == "DELE"
				}
			})
			p.account().Routes = []plan.Route{route("a", "Lists")}
			runFerry(t, p.o)
			p.left(mail)
			p.pop.Configure(func(o *popd.Options) { o.Reply = nil })
			p.account().Folder = "Archive"
			p.run(0, 0)
			if got := len(p.imap.Mailbox("Lists")); got != 1 {
				t.Errorf("Lists has %d messages, not 1", got)
			}
		})
	}
}

// TestAnotherFolderOfOneThatRewrites: the copies that a destination changed are there, too.
func TestAnotherFolderOfOneThatRewrites(t *testing.T) {
	for name, po := range everyName {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, po, imapd.Options{Transform: func(msg []byte) []byte {
				return append([]byte("X-Filter: clean\r\n"), msg...)
			}}, from("a", 2020, 1), from("a", 2020, 2))
			p.account().Routes = []plan.Route{route("a", "Lists")}
			p.run(0, 2)
			p.account().Folder = "Archive"
			p.run(0, 0)
		})
	}
}
