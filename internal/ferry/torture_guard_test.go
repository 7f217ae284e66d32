package ferry_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// These tests are here because bugs that were planted into the engine (see
// internal/torture) went unnoticed by all the others.

// firstAppend makes a server do something at a stage of the first APPEND only.
func firstAppend(stage imapd.Stage, act func() imapd.Action) func(imapd.Event) imapd.Action {
	return func(e imapd.Event) imapd.Action {
		if e.Stage == stage && e.Command == "APPEND" && e.N == 1 {
			return act()
		}
		return imapd.Action{}
	}
}

// simple makes a mail; equal ids and subjects make equal headers.
func simple(id, subject, body string) []byte {
	var b bytes.Buffer
	if id != "" {
		b.WriteString("Message-ID: <" + id + "@example.org>\r\n")
	}
	b.WriteString("From: a@example.org\r\nSubject: " + subject + "\r\n\r\n" + body + "\r\n")
	return b.Bytes()
}

// TestGuardIntentComesFirst (I3): when the server sees an APPEND begin, the
// journal has every message of it as intended.
func TestGuardIntentComesFirst(t *testing.T) {
	mail := ordinary(30, 20)
	var p *pair
	intents := -1
	p = newPair(t, popd.Options{}, imapd.Options{Reply: firstAppend(imapd.AtCommand, func() imapd.Action {
		scopes, err := p.o.Journal.Scopes(context.Background())
		if err == nil && len(scopes) == 1 {
			intents = scopes[0].Counts[journal.Intent]
		}
		return imapd.Action{}
	})}, mail...)
	p.run(0, len(mail))
	if intents != len(mail) {
		t.Errorf("%d intents were on disk, want %d", intents, len(mail))
	}
}

// TestGuardLateAppend (W3): an append whose answer was lost, and which is not
// there, may still arrive. It is not sent again before the settling time, and
// found when it turns up.
func TestGuardLateAppend(t *testing.T) {
	mail := ordinary(30, 21)
	p := newPair(t, popd.Options{}, imapd.Options{Reply: firstAppend(imapd.AtStore, func() imapd.Action {
		return imapd.Action{StoreAfter: -1, Cut: imapd.RST}
	})}, mail...)
	p.o.NoWait, p.o.Config.Settle = true, time.Hour
	p.run(fault.Temporary, 0)
	p.run(fault.Temporary, 0)
	if n := p.imap.Commit(); n != len(mail) {
		t.Fatalf("%d messages were on their way", n)
	}
	p.run(0, len(mail))
	p.arrived(mail...)
}

// TestGuardLateAppendWhilePOP3Waits (W3): the look that decides is taken when the
// settling time is over, and not before a login to POP3 that took as long.
func TestGuardLateAppendWhilePOP3Waits(t *testing.T) {
	mail := ordinary(10, 29)
	p := newPair(t, popd.Options{}, imapd.Options{Reply: firstAppend(imapd.AtStore, func() imapd.Action {
		return imapd.Action{StoreAfter: -1, Cut: imapd.RST}
	})}, mail...)
	p.o.Config.Settle = 50 * time.Millisecond
	p.account().Source.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if p.imap.Counters().Commands["APPEND"] > 0 {
			time.Sleep(2 * p.o.Config.Settle)
			p.imap.Commit()
		}
		return p.pop.Dial(ctx, network, address)
	}
	p.run(0, len(mail))
	p.arrived(mail...)
}

// TestGuardLostBeforeStored (A2): a connection that ends when all was sent, and
// before the server stored anything, loses nothing.
func TestGuardLostBeforeStored(t *testing.T) {
	mail := ordinary(30, 22)
	p := newPair(t, popd.Options{}, imapd.Options{Reply: firstAppend(imapd.AtStore, func() imapd.Action {
		return imapd.Action{Cut: imapd.RST}
	})}, mail...)
	p.run(0, len(mail))
	p.arrived(mail...)
	p.run(0, 0)
}

// brittle is a connection that breaks when so many octets were written to it.
type brittle struct {
	net.Conn
	left int
}

func (b *brittle) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		b.Close()
		return 0, io.ErrClosedPipe
	}
	return b.Conn.Write(p)
}

// TestGuardCutWhileSent (A2): what never left is sent again.
func TestGuardCutWhileSent(t *testing.T) {
	large, err := io.ReadAll(corpus.Large(900 << 10)) // more than is written at once
	if err != nil {
		t.Fatal(err)
	}
	mail := append([][]byte{large}, ordinary(20, 28)...)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	whole := true
	p.account().Destination.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := p.imap.Dial(ctx, network, address)
		if err == nil && whole {
			whole, conn = false, &brittle{conn, 300 << 10}
		}
		return conn, err
	}
	p.run(0, len(mail))
	p.arrived(mail...)
	if whole {
		t.Error("nothing was cut")
	}
}

// TestGuardUIDValidityOfTheSearch (3.4): the UIDs from which on an append is
// looked for mean nothing once UIDVALIDITY has changed.
func TestGuardUIDValidityOfTheSearch(t *testing.T) {
	mail := ordinary(10, 23)
	var p *pair
	p = newPair(t, popd.Options{}, imapd.Options{Reply: firstAppend(imapd.AtReply, func() imapd.Action {
		p.o.Journal.Close() // the process dies
		return imapd.Action{Cut: imapd.RST}
	})}, mail...)
	dir := t.TempDir()
	p.o.Journal = openJournal(t, dir)
	box := p.imap.User("")
	var foreign []uint32
	for _, raw := range ordinary(20, 24) {
		foreign = append(foreign, box.Deliver("INBOX", raw, nil, time.Time{}))
	}
	if r := runFerry(t, p.o); r.ExitCode == 0 {
		t.Fatalf("the run did not die: %+v", r)
	}
	box.Expunge("INBOX", foreign...)
	box.SetUIDValidity("INBOX", 777)
	p.o.Journal = openJournal(t, dir)
	p.run(0, len(mail))
	p.arrived(mail...)
}

// TestGuardUIDValidityOfTheIndex: what is known of UIDs is void once UIDVALIDITY
// has changed. Here UID 1 was a mail that the source has now, and is another.
func TestGuardUIDValidityOfTheIndex(t *testing.T) {
	wanted, like := simple("x", "a", "wanted"), simple("x", "a", "like it")
	p := newPair(t, popd.Options{}, imapd.Options{}, like)
	box := p.imap.User("")
	uid := box.Deliver("INBOX", wanted, nil, time.Time{})
	other := simple("y", "b", "other")
	box.Deliver("INBOX", other, nil, time.Time{})
	p.run(0, 1) // reads what has the same Message-ID
	box.Expunge("INBOX", uid)
	box.SetUIDValidity("INBOX", 777)
	p.pop.Deliver(wanted)
	p.run(0, 1)
	p.arrived(like, other, wanted)
}

// TestGuardOneWitnessOneCopy: mail that is there already speaks for one copy.
func TestGuardOneWitnessOneCopy(t *testing.T) {
	raw := simple("x", "a", "twice")
	for name, po := range map[string]popd.Options{"TOP": {}, "no TOP": {NoTOP: true}} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, po, imapd.Options{}, raw, raw)
			p.imap.User("").Deliver("INBOX", raw, nil, time.Time{})
			p.run(0, 1)
			p.run(0, 0)
			p.arrived(raw, raw)
		})
	}
}

// TestGuardLookalikes (D1): two mails with one header and one size, of which one
// is there: only the content tells which.
func TestGuardLookalikes(t *testing.T) {
	monday, friday := simple("", "backup", "of Monday"), simple("", "backup", "of Friday")
	p := newPair(t, popd.Options{}, imapd.Options{}, friday, monday)
	p.imap.User("").Deliver("INBOX", monday, nil, time.Time{})
	p.run(0, 1)
	p.run(0, 0)
	p.arrived(monday, friday)
}

// TestGuardLookalikeOfANeighbour: mail that arrived by an append of another account,
// which does not know it yet, is not taken for a message that only looks so.
func TestGuardLookalikeOfANeighbour(t *testing.T) {
	monday, friday := simple("same", "backup", "of Monday"), simple("same", "backup", "of Friday")
	p := newPair(t, popd.Options{}, imapd.Options{Reply: firstAppend(imapd.AtStore, func() imapd.Action {
		return imapd.Action{StoreAfter: -1, Cut: imapd.RST}
	})}, monday)
	bob := p.neighbour(friday)
	p.o.NoWait, p.o.Config.Settle = true, time.Hour
	p.o.Accounts = []string{p.account().Name}
	p.run(fault.Temporary, 0)
	p.imap.Commit()
	p.o.Accounts = []string{bob}
	p.run(0, 1)
	p.o.Accounts = nil
	p.run(0, 1)
	p.arrived(monday, friday)
}

// neighbour adds an account with the same destination, and returns its name.
func (p *pair) neighbour(mail ...[]byte) string {
	other := popd.New(popd.Options{}, mail...)
	p.t.Cleanup(func() { other.Close() })
	bob := *p.account()
	bob.Name, bob.Source.Username, bob.Source.Dial = "bob", "bob", other.Dial
	p.o.Config.Accounts = append(p.o.Config.Accounts, bob)
	return bob.Name
}

// deleting is a pair that deletes from POP3 what is delivered.
func deleting(t *testing.T, po popd.Options, io imapd.Options, mail ...[]byte) *pair {
	p := newPair(t, po, io, mail...)
	p.account().Keep = plan.Keep{Delete: true}
	p.o.ConfirmDelete = true
	return p
}

// left compares what the maildrop holds.
func (p *pair) left(want ...[]byte) {
	p.t.Helper()
	got := p.pop.Messages()
	if len(got) != len(want) {
		p.t.Fatalf("%d messages left on POP3, want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			p.t.Errorf("message %d on POP3 is %q", i+1, got[i])
		}
	}
}

// TestGuardCopyAfterDeletion: a copy that comes when the first was delivered and
// deleted is a mail of its own.
func TestGuardCopyAfterDeletion(t *testing.T) {
	raw := simple("x", "a", "again")
	p := deleting(t, popd.Options{}, imapd.Options{}, raw)
	p.run(0, 1)
	p.run(0, 0)
	p.pop.Deliver(raw)
	p.run(0, 1)
	p.left()
	p.arrived(raw, raw)
}

// TestGuardUIDLAfterDeletion (S15): a name that was deleted names another message
// when it comes back, even one of the same size.
func TestGuardUIDLAfterDeletion(t *testing.T) {
	first, second := simple("x", "a", "first!"), simple("y", "b", "second")
	p := deleting(t, popd.Options{UIDL: func(int, []byte) string { return "fixed" }}, imapd.Options{}, first)
	p.run(0, 1)
	p.run(0, 0)
	p.pop.Deliver(second)
	p.run(0, 1)
	p.left()
	p.arrived(first, second)
}

// TestGuardAlteredCopyIsKept (I1): where the copy is not what was sent, the
// original stays.
func TestGuardAlteredCopyIsKept(t *testing.T) {
	raw := simple("x", "a", "the whole text")
	p := deleting(t, popd.Options{}, imapd.Options{Transform: func(msg []byte) []byte {
		return bytes.Replace(msg, []byte("whole"), []byte("half_"), 1)
	}}, raw)
	r := runFerry(t, p.o)
	if r.Totals.Delivered != 1 || r.Totals.Deleted != 0 {
		t.Errorf("%+v", r.Totals)
	}
	p.left(raw)
}

// TestGuardSwappedBeforeDeletion: between two sessions the name went over to
// another message of the same size. That one is not deleted.
func TestGuardSwappedBeforeDeletion(t *testing.T) {
	first, second := simple("x", "a", "first!"), simple("y", "b", "second")
	p := newPair(t, popd.Options{UIDL: func(int, []byte) string { return "fixed" }}, imapd.Options{}, first)
	p.run(0, 1)
	p.pop.Expunge(1)
	p.pop.Deliver(second)
	p.account().Keep = plan.Keep{Delete: true}
	p.o.ConfirmDelete = true
	if r := runFerry(t, p.o); r.Totals.Deleted != 0 {
		t.Errorf("%+v", r.Totals)
	}
	p.left(second)
}

// TestGuardNoQuitWithMailInDoubt (I2): a session that read a message whose append
// has no outcome yet ends without QUIT.
func TestGuardNoQuitWithMailInDoubt(t *testing.T) {
	mail := ordinary(5, 25)
	p := newPair(t, popd.Options{NoUIDL: true}, imapd.Options{Reply: firstAppend(imapd.AtStore, func() imapd.Action {
		return imapd.Action{StoreAfter: -1, Cut: imapd.RST}
	})}, mail...)
	p.o.NoWait, p.o.Config.Settle = true, time.Hour
	p.run(fault.Temporary, 0)
	p.run(fault.Temporary, 0)
	if c := p.pop.Counters(); c.Quit != 0 || c.Retr[1] < 2 {
		t.Errorf("%d times QUIT, message 1 was read %d times", c.Quit, c.Retr[1])
	}
}

// TestGuardDeletedWitness: mail in the destination that was read, and that
// somebody deleted since, speaks for nothing.
func TestGuardDeletedWitness(t *testing.T) {
	wanted, like := simple("x", "a", "wanted"), simple("x", "a", "like it")
	p := newPair(t, popd.Options{}, imapd.Options{}, like)
	box := p.imap.User("")
	uid := box.Deliver("INBOX", wanted, nil, time.Time{})
	p.run(0, 1) // reads what has the same Message-ID
	box.Expunge("INBOX", uid)
	p.pop.Deliver(wanted)
	p.run(0, 1)
	p.arrived(like, wanted)
}

// TestGuardCrashThenLateAppend (W3): the process dies while its append is on its
// way. The next one can't know when that connection ended, so that the settling
// time begins with it.
func TestGuardCrashThenLateAppend(t *testing.T) {
	mail := ordinary(10, 26)
	var p *pair
	p = newPair(t, popd.Options{}, imapd.Options{Reply: firstAppend(imapd.AtStore, func() imapd.Action {
		p.o.Journal.Close() // the process dies
		return imapd.Action{StoreAfter: -1, Cut: imapd.RST}
	})}, mail...)
	dir := t.TempDir()
	p.o.Journal = openJournal(t, dir)
	if r := runFerry(t, p.o); r.ExitCode == 0 {
		t.Fatalf("the run did not die: %+v", r)
	}
	p.o.Journal = openJournal(t, dir)
	p.o.NoWait, p.o.Config.Settle = true, time.Hour
	p.run(fault.Temporary, 0)
	p.imap.Commit()
	p.run(0, len(mail))
	p.arrived(mail...)
}

// TestGuardCopyAfterSomebodyTookTheFirst: a copy that comes when somebody else
// has taken the first from POP3 is a mail of its own, too.
func TestGuardCopyAfterSomebodyTookTheFirst(t *testing.T) {
	raw := simple("x", "a", "again")
	others := ordinary(5, 27)
	p := newPair(t, popd.Options{}, imapd.Options{}, append([][]byte{raw}, others...)...)
	p.run(0, 6)
	p.pop.Expunge(1)
	p.pop.Deliver(raw)
	p.run(0, 1)
	p.run(0, 0)
	p.arrived(append(others, raw, raw)...)
}

// TestGuardRenamedAmidTheRun: a server dies amid a run, and a message that was
// delivered before has another UIDL when it is back. It is the same mail still,
// and another one that is like it is not.
func TestGuardRenamedAmidTheRun(t *testing.T) {
	mail := append([][]byte{simple("x", "a", "renamed")}, ordinary(150, 28)...)
	mail = append(mail, mail[0])
	var p *pair
	var died atomic.Bool
	p = newPair(t, popd.Options{
		UIDL: func(n int, raw []byte) string {
			if n == 1 && died.Load() {
				return "another"
			}
			return fmt.Sprintf("uidl-%d", n)
		},
		Reply: func(cmd string, n int) ([]byte, bool) {
			if cmd != "RETR" || n != 140 || died.Load() {
				return nil, false
			}
			for range 2000 { // until the first batch has arrived
				if len(p.imap.Mailbox("INBOX")) > 0 {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			if p.pop.Counters().Quit > 0 {
				t.Error("QUIT before the server died")
			}
			died.Store(true)
			p.pop.Cut() // at once: nothing behind it is answered
			return nil, true
		},
	}, imapd.Options{}, mail...)
	r := runFerry(t, p.o)
	if !died.Load() || r.ExitCode != 0 {
		t.Fatalf("died %v, %+v", died.Load(), r)
	}
	p.arrived(mail...)
	p.run(0, 0)
}

// TestGuardCopiesOnTheNextPage: a server hides what was fetched once a session ended
// with QUIT, and shows other mail. Copies of what was hidden are mail of their own.
func TestGuardCopiesOnTheNextPage(t *testing.T) {
	again := simple("x", "a", "again")
	mail := append(ordinary(249, 29), again)
	var p *pair
	var turned atomic.Bool
	p = newPair(t, popd.Options{Reply: func(cmd string, _ int) ([]byte, bool) {
		if cmd == "QUIT" && !turned.Swap(true) {
			for range mail {
				p.pop.Expunge(1)
			}
			p.pop.Deliver(again, again)
		}
		return nil, false
	}}, imapd.Options{}, mail...)
	p.run(0, len(mail)+2)
	p.arrived(append(mail, again, again)...)
}

// TestGuardMessageIDAlone (I5): mail with the same Message-ID that is there
// already is another mail.
func TestGuardMessageIDAlone(t *testing.T) {
	there, wanted := simple("x", "a", "one"), simple("x", "b", "quite another")
	p := newPair(t, popd.Options{}, imapd.Options{}, wanted)
	p.imap.User("").Deliver("INBOX", there, nil, time.Time{})
	p.run(0, 1)
	p.run(0, 0)
	p.arrived(there, wanted)
}
