package ferry_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// TestGuardCopyAfterDeletionInDoubt (W2): the answer to the QUIT that carried out
// the deletions is lost, and then only new mail is there, among it a copy of one
// that was deleted. It is a mail of its own.
func TestGuardCopyAfterDeletionInDoubt(t *testing.T) {
	mail := ordinary(5, 29)
	var p *pair
	lost := false
	p = deleting(t, popd.Options{Reply: func(cmd string, _ int) ([]byte, bool) {
		if cmd == "QUIT" && !lost && p.pop.Counters().Dele == len(mail) {
			lost = true
			return nil, true
		}
		return nil, false
	}}, imapd.Options{}, mail...)
	p.account().Source.Limits.Idle = 200 * time.Millisecond
	runFerry(t, p.o)
	if !lost {
		t.Fatal("no answer was lost")
	}
	p.left()
	more := simple("z", "new", "other mail")
	p.pop.Deliver(mail[2], more)
	p.run(0, 2)
	p.left()
	p.arrived(append(mail, mail[2], more)...)
}

// TestGuardSearchCutShort: a deletion did not take effect, POP3 does not give the mail
// again, the copies of two mails that look alike changed places, and the process dies,
// after any write, while it looks for them. They still speak for what they were brought
// for, and not for more copies that come later.
func TestGuardSearchCutShort(t *testing.T) {
	mail := [][]byte{simple("twin", "backup", "of Monday"), simple("twin", "backup", "of Friday")}
	for writes, died := 0, true; died; writes++ {
		p := deleting(t, popd.Options{KeepDeleted: true}, imapd.Options{}, mail...)
		p.run(0, len(mail))
		box := p.imap.User("")
		if _, err := box.Move("INBOX", 1, "INBOX"); err != nil {
			t.Fatal(err)
		}
		box.SetUIDValidity("INBOX", 7777)
		p.pop.Configure(func(o *popd.Options) {
			o.Reply = func(cmd string, _ int) ([]byte, bool) {
				return []byte("-ERR [SYS/PERM] it can't be read\r\n"), cmd == "RETR"
			}
		})
		whole := p.o.Journal
		p.o.Journal = dyingAfter(writes, whole)
		died = runFerry(t, p.o).ExitCode == fault.State
		p.o.Journal = whole
		p.pop.Configure(func(o *popd.Options) { o.Reply = nil })
		p.pop.Deliver(mail...)
		p.run(0, len(mail))
		p.arrived(append(mail, mail...)...)
	}
}

// elsewhere are the ways in which a maildrop moves and its mail keeps its names.
var elsewhere = map[string]func(*plan.Account){
	"user": func(a *plan.Account) { a.Source.Username = "alice@example.org" },
	"host": func(a *plan.Account) { a.Source.Host = "127.0.0.1" },
	"both, and the name": func(a *plan.Account) {
		called(a, "alice@example.org")
		a.Source.Host = "127.0.0.1"
	},
}

// TestGuardDeletionInDoubtElsewhere: one deletion had no effect, and the maildrop has another
// host or user in the next run. The mail is the one that was delivered.
func TestGuardDeletionInDoubtElsewhere(t *testing.T) {
	for name, move := range elsewhere {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(1, 29)
			var p *pair
			p = deleting(t, popd.Options{Reply: func(cmd string, _ int) ([]byte, bool) {
				if cmd == "DELE" {
					p.pop.Cut()
				}
				return nil, cmd == "DELE"
			}}, imapd.Options{}, mail...)
			runFerry(t, p.o)
			p.left(mail...)
			p.pop.Configure(func(o *popd.Options) { o.Reply = nil })
			move(p.account())
			p.run(0, 0)
			p.left()
			p.arrived(mail...)
		})
	}
}

// TestGuardCopyAfterDeletionElsewhere: one deletion was carried out, its answer was lost, the
// maildrop has another host or user in the next run, and in it a copy. It is a mail of its own.
func TestGuardCopyAfterDeletionElsewhere(t *testing.T) {
	for name, move := range elsewhere {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(1, 29)
			var p *pair
			p = deleting(t, popd.Options{Reply: func(cmd string, _ int) ([]byte, bool) {
				return nil, cmd == "QUIT" && p.pop.Counters().Dele == len(mail)
			}}, imapd.Options{}, mail...)
			p.account().Source.Limits.Idle = 200 * time.Millisecond
			runFerry(t, p.o)
			p.left()
			p.pop.Configure(func(o *popd.Options) { o.Reply = nil })
			move(p.account())
			p.pop.Deliver(mail...)
			p.run(0, 1)
			p.arrived(mail[0], mail[0])
		})
	}
}

// TestOneDeletionInDoubtRenumbered: one deletion had no effect, and all UIDLs change. What else
// is back under new names shows that it was renumbered: the mail is the one that was delivered.
func TestOneDeletionInDoubtRenumbered(t *testing.T) {
	for name, po := range map[string]popd.Options{"": {}, "no TOP": {NoTOP: true}} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(6, 36)
			var p *pair
			po.Reply = func(cmd string, n int) ([]byte, bool) {
				switch {
				case cmd == "DELE" && n > 1:
					return []byte("-ERR not this one\r\n"), true
				case cmd == "QUIT" && p.pop.Counters().Dele > 0:
					p.pop.Cut()
					return []byte("-"), true
				}
				return nil, false
			}
			p = deleting(t, po, imapd.Options{}, mail...)
			runFerry(t, p.o)
			p.left(mail...)
			p.account().Keep = plan.Keep{}
			p.pop.Configure(func(o *popd.Options) {
				o.Reply = nil
				o.UIDL = func(n int, _ []byte) string { return fmt.Sprintf("new-%d", n) }
			})
			p.run(0, 0)
			p.arrived(mail...)
		})
	}
}

// TestNoNamesAfterDeletionInDoubt (S4, S14): a session ends before the QUIT that was to carry out
// the deletions, or behind it, and then the server gives no UIDLs for a while. What is listed
// without a name can be what was to be deleted, and is brought no second time.
func TestNoNamesAfterDeletionInDoubt(t *testing.T) {
	for _, noTop := range []bool{false, true} {
		mail := ordinary(6, 31)
		cut := true
		var p *pair
		p = deleting(t, popd.Options{NoTOP: noTop, Reply: func(cmd string, _ int) ([]byte, bool) {
			return []byte("-ERR it is too late\r\n"), cmd == "QUIT" && cut && p.pop.Counters().Dele == len(mail)
		}}, imapd.Options{}, mail...)
		runFerry(t, p.o)
		p.kept(len(mail))
		cut = false
		for _, noUIDL := range []bool{true, false} {
			p.pop.Configure(func(o *popd.Options) { o.NoUIDL = noUIDL })
			p.run(fault.OK, 0)
		}
		p.arrived(mail...)
		p.kept(0)
	}
}

// TestGuardLookAlikesAfterDeletionsInDoubt (W2, I5): the answer to the QUIT that carried out
// the deletions is lost, and then other mail is there, all of which looks like what was deleted:
// a program's next reports, or one of them and a copy. Each is a mail of its own.
func TestGuardLookAlikesAfterDeletionsInDoubt(t *testing.T) {
	backup := func(day string) []byte { return simple("backup", "backup", day) }
	check := func(day string) []byte { return simple("check", "check", day) }
	mail := [][]byte{backup("of Monday"), check("of Monday")}
	for name, more := range map[string][][]byte{
		"the next reports":       {backup("of Friday"), check("of Friday")},
		"one of them and a copy": {backup("of Friday"), mail[1]},
	} {
		for kind, po := range map[string]popd.Options{"": {}, "no TOP": {NoTOP: true},
			"no UIDL": {NoUIDL: true}, "repeated UIDLs": {DuplicateUIDLs: true}} {
			if strings.Contains(name, "copy") && strings.Contains(kind, "UIDL") {
				continue // nothing tells it from what was deleted
			}
			t.Run(name+", "+kind, func(t *testing.T) {
				var p *pair
				po.Reply = func(cmd string, _ int) ([]byte, bool) {
					return nil, cmd == "QUIT" && p.pop.Counters().Dele == len(mail)
				}
				p = deleting(t, po, imapd.Options{}, mail...)
				p.account().Source.Limits.Idle = 200 * time.Millisecond
				runFerry(t, p.o)
				p.left()
				p.pop.Configure(func(o *popd.Options) { o.Reply = nil })
				p.pop.Deliver(more...)
				if r := p.run(0, 2); r.Totals.Deleted != 2 {
					t.Errorf("%+v", r.Totals)
				}
				p.left()
				p.arrived(slices.Concat(mail, more)...)
			})
		}
	}
}

// TestGuardLookAlikesAndADeath: the same, and the next run dies after any write, when more mail
// is there.
func TestGuardLookAlikesAndADeath(t *testing.T) {
	mail := [][]byte{simple("backup", "backup", "of Monday"), simple("check", "check", "of Monday")}
	next := [][]byte{simple("backup", "backup", "of Friday"), simple("check", "check", "of Friday and Saturday")}
	others, last := ordinary(4, 37), ordinary(4, 38)
	for writes, died := 0, true; died; writes++ {
		var p *pair
		p = deleting(t, popd.Options{Reply: func(cmd string, _ int) ([]byte, bool) {
			return nil, cmd == "QUIT" && p.pop.Counters().Dele == len(mail)
		}}, imapd.Options{}, mail...)
		p.account().Source.Limits.Idle = 200 * time.Millisecond
		runFerry(t, p.o)
		p.pop.Configure(func(o *popd.Options) { o.Reply = nil })
		p.pop.Deliver(slices.Concat(others, next)...)
		whole := p.o.Journal
		p.o.Journal = dyingAfter(writes, whole)
		died = runFerry(t, p.o).ExitCode == fault.State
		p.o.Journal = whole
		p.pop.Deliver(last...)
		if r := runFerry(t, p.o); r.ExitCode != fault.OK {
			t.Errorf("dies after %d writes: %+v", writes, r)
		}
		p.left()
		p.arrived(slices.Concat(mail, others, next, last)...)
	}
}

// TestGuardLookAlikesBesideDeletionsInDoubt: the deletions had no effect, and all of their mail is
// listed as before, beside copies of it or what looks like it. Each is a mail of its own.
func TestGuardLookAlikesBesideDeletionsInDoubt(t *testing.T) {
	mail := [][]byte{simple("backup", "backup", "of Monday"), simple("check", "check", "of Monday")}
	for name, more := range map[string][][]byte{
		"copies": mail, "the next reports": {simple("backup", "backup", "of Friday"), simple("check", "check", "of Friday")},
		"a copy and a report": {mail[0], simple("check", "check", "of Friday")},
	} {
		for kind, po := range map[string]popd.Options{"": {}, "no TOP": {NoTOP: true}} {
			po.UIDL = func(n int, _ []byte) string { return fmt.Sprint(9 - n) } // what is new comes first
			t.Run(name+", "+kind, func(t *testing.T) {
				var p *pair
				po.Reply = func(cmd string, _ int) ([]byte, bool) {
					cut := cmd == "QUIT" && p.pop.Counters().Dele == len(mail)
					if cut {
						p.pop.Cut()
					}
					return []byte("-"), cut
				}
				p = deleting(t, po, imapd.Options{}, mail...)
				runFerry(t, p.o)
				p.left(mail...)
				p.pop.Configure(func(o *popd.Options) { o.Reply = nil })
				p.pop.Deliver(more...)
				p.run(0, len(more))
				p.left()
				p.arrived(slices.Concat(mail, more)...)
			})
		}
	}
}
