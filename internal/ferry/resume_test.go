package ferry_test

import (
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

// halfway are the moments at which an undo loses its connection, and how many of the
// six messages of its first folder are gone by then.
var halfway = map[string]struct {
	command string
	stage   imapd.Stage
	gone    int
}{
	"before the mark":    {"UID STORE", imapd.AtCommand, 0},
	"behind the mark":    {"UID STORE", imapd.AtReply, 0},
	"before the EXPUNGE": {"UID EXPUNGE", imapd.AtCommand, 0},
	"behind the EXPUNGE": {"UID EXPUNGE", imapd.AtReply, 6},
}

// cutOnce ends the first connection in which a command comes to a stage.
func cutOnce(command string, stage imapd.Stage) func(imapd.Event) imapd.Action {
	return func(e imapd.Event) imapd.Action {
		if e.Command == command && e.Stage == stage && e.N == 1 {
			return imapd.Action{Cut: imapd.RST}
		}
		return imapd.Action{}
	}
}

// unmarked looks whether anything is marked as deleted.
func (p *pair) unmarked() {
	p.t.Helper()
	for _, name := range p.imap.User("").Mailboxes() {
		for _, m := range p.imap.Mailbox(name) {
			if slices.Contains(m.Flags, `\Deleted`) {
				p.t.Errorf("%s uid %d is marked as deleted", name, m.UID)
			}
		}
	}
}

// toCopy is how many messages a plan wants to copy.
func (p *pair) toCopy() int {
	plans, r := ferry.Plans(p.t.Context(), p.o)
	if len(plans) != 1 {
		p.t.Fatalf("%+v", r)
	}
	return plans[0].Totals().Copy.Messages
}

// renew gives all folders another UIDVALIDITY.
func (p *pair) renew() {
	for _, name := range p.imap.User("").Mailboxes() {
		p.imap.User("").SetUIDValidity(name, 7777)
	}
}

// TestUndoInterrupted: whatever comes behind an undo that ended amid its work, nothing is
// there twice, nothing is missing, and no mark is left by which a mail program removes
// mail that counts as delivered.
func TestUndoInterrupted(t *testing.T) {
	t.Parallel()
	for when, at := range halfway {
		for name, next := range map[string]func(*pair){
			"run":   func(p *pair) { p.run(0, at.gone) },
			"adopt": func(p *pair) { ferry.Adopt(p.t.Context(), p.o, false); p.unmarked(); p.run(0, at.gone) },
			"verify": func(p *pair) {
				v := ferry.Verify(p.t.Context(), p.o)
				if want := 30 - at.gone; v.ExitCode != 0 || v.Totals.Delivered != want || v.Totals.Found != want {
					p.t.Errorf("%+v", v)
				}
				p.run(0, at.gone)
			},
			"bridge":              func(p *pair) { p.passes()(0, at.gone) },
			"undo, then run":      func(p *pair) { p.undo(0, 30-at.gone); p.run(0, 30) },
			"another UIDVALIDITY": func(p *pair) { p.renew(); p.run(0, at.gone) },
		} {
			t.Run(when+"/"+name, func(t *testing.T) {
				p, byFolder := routed(t, popd.Options{}, imapd.Options{Reply: cutOnce(at.command, at.stage)})
				p.run(0, 30)
				if notes := strings.Join(p.undo(fault.Temporary, 0).Accounts[0].Notes, "\n"); !strings.Contains(notes, "popferry undo alice") {
					t.Errorf("notes %q", notes)
				}
				if n := p.toCopy(); n != at.gone {
					t.Errorf("the plan wants to copy %d, and %d are gone", n, at.gone)
				}
				next(p)
				p.inFolders(byFolder)
				p.unmarked()
				connections := p.imap.Counters().Connections
				if p.passes()(0, 0); p.imap.Counters().Connections != connections {
					t.Error("it is still open")
				}
			})
		}
	}
}

// TestUndoInterruptedAndLookalike: what was taken back is gone, also where a mail with its
// Message-ID, or one more of the same, is in a folder whose UIDVALIDITY is another one since.
func TestUndoInterruptedAndLookalike(t *testing.T) {
	for name, c := range map[string]struct {
		there []byte
		again int
	}{
		"other text": {simple("a", "x", "two"), 1}, "the same": {simple("a", "x", "one"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			mail := simple("a", "x", "one")
			p := newPair(t, popd.Options{}, imapd.Options{Reply: cutOnce("UID EXPUNGE", imapd.AtReply)}, mail)
			p.run(0, 1)
			p.imap.User("").Deliver("INBOX", c.there, nil, time.Time{})
			p.undo(fault.Temporary, 0)
			p.renew()
			p.run(0, c.again)
			p.has(1 + c.again)
		})
	}
}

// TestUndoInterruptedAndDeleted: nothing is deleted from POP3 on the strength of copies
// that are being taken back.
func TestUndoInterruptedAndDeleted(t *testing.T) {
	mail := ordinary(10, 35)
	p := newPair(t, popd.Options{}, imapd.Options{Reply: cutOnce("UID EXPUNGE", imapd.AtCommand)}, mail...)
	p.run(0, len(mail))
	p.undo(fault.Temporary, 0)
	p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
	p.run(0, 0)
	p.kept(0)
	p.expunge()
	p.arrived(mail...)
}

// noMark is a server that lets nobody mark messages.
func noMark(e imapd.Event) imapd.Action {
	if e.Command == "UID STORE" && e.Stage == imapd.AtCommand {
		return imapd.Action{Reply: "NO [NOPERM] not yours"}
	}
	return imapd.Action{}
}

// TestUndoIsRefused: where the server removes no single messages, or permits no marks, all
// stays as it was, and no later run is in the way of that.
func TestUndoIsRefused(t *testing.T) {
	for name, o := range map[string]imapd.Options{
		"no UIDPLUS": {NoUIDPlus: true}, "no lasting UIDs": {UIDNotSticky: true}, "no mark": {Reply: noMark},
	} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(10, 36)
			p := newPair(t, popd.Options{}, o, mail...)
			p.run(0, len(mail))
			r := ferry.Undo(t.Context(), p.o)
			if notes := strings.Join(r.Accounts[0].Notes, "\n"); r.Totals.Deleted != 0 || strings.Contains(notes, "goes on") {
				t.Errorf("%+v, notes %q", r, notes)
			}
			p.renew()
			if r := p.run(0, 0); o.NoUIDPlus && len(r.Accounts[0].Notes) > 0 {
				t.Errorf("it did not begin, and yet: %q", r.Accounts[0].Notes)
			}
			if r := p.run(0, 0); len(r.Accounts[0].Notes) > 0 {
				t.Errorf("notes %q", r.Accounts[0].Notes)
			}
			p.arrived(mail...)
		})
	}
}

// TestUndoInterruptedWhereItIsRefused: a mark that can't be taken away any more keeps mail on
// POP3, and nothing else.
func TestUndoInterruptedWhereItIsRefused(t *testing.T) {
	mail := ordinary(10, 37)
	p := newPair(t, popd.Options{}, imapd.Options{Reply: cutOnce("UID EXPUNGE", imapd.AtCommand)}, mail...)
	p.run(0, len(mail))
	p.undo(fault.Temporary, 0)
	p.imap.Configure(func(o *imapd.Options) { o.Reply = noMark })
	late := simple("x", "a", "late")
	p.pop.Deliver(late)
	p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
	r := p.run(0, 1)
	if notes := strings.Join(r.Accounts[0].Notes, "\n"); !strings.Contains(notes, "10 messages still to be taken back") {
		t.Errorf("notes %q", notes)
	}
	p.kept(10)
	p.expunge() // as the server's operator may
	p.run(0, 10)
	p.arrived(append(mail, late)...)
}

// TestUndoInterruptedAndAnotherAccount: mail that one account is taking back is nobody
// else's, as long as it is there.
func TestUndoInterruptedAndAnotherAccount(t *testing.T) {
	mail := ordinary(10, 38)
	p := newPair(t, popd.Options{}, imapd.Options{Reply: cutOnce("UID STORE", imapd.AtCommand)}, mail...)
	p.run(0, len(mail))
	p.undo(fault.Temporary, 0)
	second := *p.account()
	second.Name, second.Source.Username = "bob", "bob"
	p.o.Config.Accounts = append(p.o.Config.Accounts, second)
	p.o.Accounts = []string{"bob"}
	p.run(0, len(mail))
	p.o.Accounts = nil
	p.run(0, 0)
	p.arrived(slices.Concat(mail, mail)...)
}

// TestUndoInterruptedWhereNobodyCanLook: what became of mail in a folder that can't be opened
// nobody knows, and it does not come again.
func TestUndoInterruptedWhereNobodyCanLook(t *testing.T) {
	p, byFolder := routed(t, popd.Options{}, imapd.Options{Reply: cutOnce("UID STORE", imapd.AtCommand)})
	p.run(0, 30)
	p.undo(fault.Temporary, 0)
	p.imap.Configure(func(o *imapd.Options) {
		o.Reply = func(e imapd.Event) imapd.Action {
			if e.Command == "EXAMINE" && e.Stage == imapd.AtCommand && strings.Contains(e.Line, "Archive/2003") {
				return imapd.Action{Reply: "NO [NOPERM] not for you"}
			}
			return imapd.Action{}
		}
	})
	p.run(0, 0)
	p.imap.Configure(func(o *imapd.Options) { o.Reply = nil })
	p.run(0, 0)
	p.inFolders(byFolder)
}

// TestUndoWithoutLastingUIDs: nothing is taken back by numbers that may be other messages'
// in the next session (RFC 4315 §2).
func TestUndoWithoutLastingUIDs(t *testing.T) {
	mail := ordinary(10, 39)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	p.run(0, len(mail))
	p.imap.Configure(func(o *imapd.Options) {
		o.Reply = func(e imapd.Event) imapd.Action {
			if e.Stage == imapd.AtCommand && (e.Command == "EXAMINE" || e.Command == "SELECT") {
				return imapd.Action{Raw: "* NO [UIDNOTSTICKY] numbers change\r\n"}
			}
			return imapd.Action{}
		}
	})
	r := p.undo(0, 0)
	if notes := strings.Join(r.Accounts[0].Notes, "\n"); !strings.Contains(notes, "10 messages left alone") {
		t.Errorf("notes %q", notes)
	}
	p.run(0, 0)
	p.arrived(mail...)
}

// TestUndoInterruptedAndRenamed: who takes over what is known of an account takes this over.
func TestUndoInterruptedAndRenamed(t *testing.T) {
	for when, at := range halfway {
		t.Run(when, func(t *testing.T) {
			p, byFolder := routed(t, popd.Options{}, imapd.Options{Reply: cutOnce(at.command, at.stage)})
			p.run(0, 30)
			p.undo(fault.Temporary, 0)
			p.account().Name = "alicia"
			p.run(0, at.gone)
			p.inFolders(byFolder)
			p.unmarked()
		})
	}
}
