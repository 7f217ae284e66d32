package ferry_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// pair is a source and a destination in memory, and an account between them.
type pair struct {
	t    *testing.T
	pop  *popd.Server
	imap *imapd.Server
	o    ferry.Options
}

func newPair(t *testing.T, po popd.Options, io imapd.Options, mail ...[]byte) *pair {
	t.Helper()
	p := &pair{t: t, pop: popd.New(po, mail...), imap: imapd.New(io)}
	t.Cleanup(func() { p.pop.Close(); p.imap.Close() })
	side := func(port int, dial wire.DialFunc) plan.Endpoint {
		return plan.Endpoint{
			Endpoint: wire.Endpoint{Host: "localhost", Port: port, TLS: wire.None, Dial: dial},
			Username: "alice", Secret: secret.New("secret"), Auth: "auto", Connections: 3,
		}
	}
	p.o = ferry.Options{
		Config: &plan.Config{
			Accounts: []plan.Account{{Name: "alice", Folder: "INBOX",
				Source: side(110, p.pop.Dial), Destination: side(143, p.imap.Dial)}},
			Limits: plan.Limits{Accounts: 2, PerHost: 8}, Settle: 10 * time.Millisecond,
		},
		Journal: openJournal(t, t.TempDir()),
		Random:  func() float64 { return 0 }, // the shortest waits
	}
	return p
}

func (p *pair) account() *plan.Account { return &p.o.Config.Accounts[0] }

// run takes a pass and checks how it ended.
func (p *pair) run(want fault.Code, delivered int) ferry.Report {
	p.t.Helper()
	r := runFerry(p.t, p.o)
	if r.ExitCode != want || r.Totals.Delivered != delivered {
		p.t.Fatalf("exit %d, delivered %d; want %d and %d\n%+v", r.ExitCode, r.Totals.Delivered, want, delivered, r)
	}
	if v := p.imap.Violations(); len(v) > 0 {
		p.t.Errorf("spoke bad IMAP: %v", v)
	}
	return r
}

// forget makes the next run start without a journal.
func (p *pair) forget() { p.o.Journal = openJournal(p.t, p.t.TempDir()) }

// arrived compares the destination with the mail that should be in it.
func (p *pair) arrived(want ...[]byte) {
	p.t.Helper()
	count := map[string]int{}
	for _, w := range want {
		count[string(corpus.Canonical(w))]++
	}
	for _, s := range p.imap.Mailbox("INBOX") {
		count[string(corpus.Canonical(s.Raw))]--
	}
	for content, n := range count {
		if n != 0 {
			p.t.Errorf("%+d of %q", -n, content[:min(len(content), 100)])
		}
	}
}

func ordinary(n int, seed int64) [][]byte {
	var out [][]byte
	for _, m := range corpus.Ordinary(n, seed) {
		out = append(out, m.Raw)
	}
	return out
}

// TestIdenticalCopies (D4): a mail that the source has 250 times arrives 250
// times, over several batches, and a second run adds none; nor does one without
// the journal.
func TestIdenticalCopies(t *testing.T) {
	t.Parallel()
	for name, po := range map[string]popd.Options{
		"UIDL": {}, "no UIDL": {NoUIDL: true}, "repeated UIDL": {DuplicateUIDLs: true},
		"no UIDL, no TOP": {NoUIDL: true, NoTOP: true},
	} {
		for plus, io := range map[string]imapd.Options{"UIDPLUS": {}, "no UIDPLUS": {NoUIDPlus: true}} {
			t.Run(name+", "+plus, func(t *testing.T) {
				var mail [][]byte
				for range 250 {
					mail = append(mail, []byte("Message-ID: <same@example.org>\r\nSubject: same\r\n\r\nsame\r\n"))
				}
				mail = append(mail, ordinary(20, 1)...)
				p := newPair(t, po, io, mail...)
				p.run(0, len(mail))
				p.arrived(mail...)
				p.run(0, 0)
				p.pop.Deliver(mail[0])
				p.run(0, 1)
				p.arrived(append(mail, mail[0])...)
				p.forget()
				p.run(0, 0)
				p.arrived(append(mail, mail[0])...)
			})
		}
	}
}

// TestRenumberedUIDLs (S7): all UIDLs change at once; nothing is copied again,
// also not by the run after that.
func TestRenumberedUIDLs(t *testing.T) {
	mail := ordinary(40, 2)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	p.run(0, 40)
	p.pop.Configure(func(o *popd.Options) {
		o.UIDL = func(n int, _ []byte) string { return fmt.Sprintf("new-%d", n) }
	})
	p.run(0, 0)
	r := p.run(0, 0)
	if r.Totals.Known != 40 {
		t.Errorf("%+v", r.Totals)
	}
	p.arrived(mail...)
}

// TestReusedUIDL (S15): the same name with another size is another message.
func TestReusedUIDL(t *testing.T) {
	first, second := []byte("Subject: a\r\n\r\nfirst\r\n"), []byte("Subject: b\r\n\r\nanother one\r\n")
	p := newPair(t, popd.Options{UIDL: func(int, []byte) string { return "fixed" }}, imapd.Options{}, first)
	p.run(0, 1)
	p.pop.Expunge(1)
	p.pop.Deliver(second)
	p.run(0, 1)
	p.run(0, 0)
	p.arrived(first, second)
}

// TestSameIDOtherContent (D3, I5): a Message-ID alone proves nothing.
func TestSameIDOtherContent(t *testing.T) {
	mail := [][]byte{
		[]byte("Message-ID: <x@example.org>\r\nSubject: a\r\n\r\none\r\n"),
		[]byte("Message-ID: <x@example.org>\r\nSubject: a\r\n\r\ntwo\r\n"),
	}
	p := newPair(t, popd.Options{}, imapd.Options{}, mail[0])
	p.run(0, 1)
	p.forget()
	p.pop.Deliver(mail[1])
	p.run(0, 1)
	p.arrived(mail...)
}

// TestSizesThatLie (S8): LIST is a hint; what arrives shorter is read twice and
// then believed.
func TestSizesThatLie(t *testing.T) {
	mail := ordinary(10, 3)
	for _, offset := range []int{-100, 50, 100_000} {
		t.Run(fmt.Sprint(offset), func(t *testing.T) {
			p := newPair(t, popd.Options{SizeOffset: offset}, imapd.Options{}, mail...)
			p.run(0, 10)
			p.run(0, 0)
			p.arrived(mail...)
			first, last := 1, 1
			if offset > 0 { // the first ones show how far sizes are right
				first = 2
			}
			if offset > 1000 {
				last = 2
			}
			if n := p.pop.Counters().Retr; n[1] != first || n[10] != last {
				t.Errorf("message 1 was read %d times, want %d, and 10 %d, want %d", n[1], first, n[10], last)
			}
		})
	}
}

// TestCulpritIsHeldAlone (A7, I7): one message that the destination refuses is
// found in its batch and held; the others arrive, and a later run that can
// deliver it does.
func TestCulpritIsHeldAlone(t *testing.T) {
	t.Parallel()
	refuse := func(msg []byte) string {
		if bytes.Contains(msg, []byte("poison")) {
			return "NO [CANNOT] Message contains poison"
		}
		return ""
	}
	for name, io := range map[string]imapd.Options{
		"MULTIAPPEND": {Refuse: refuse}, "single": {Refuse: refuse, NoMultiAppend: true},
		"no LITERAL+": {Refuse: refuse, Literals: imapd.LiteralSync},
	} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(150, 4)
			bad := []byte("Subject: bad\r\n\r\npoison\r\n")
			all := append(append(append([][]byte{}, mail[:77]...), bad), mail[77:]...)
			p := newPair(t, popd.Options{}, io, all...)
			r := p.run(fault.Held, 150)
			if len(r.Accounts[0].Messages) != 1 || !strings.Contains(r.Accounts[0].Messages[0].Reason, "contains poison") {
				t.Errorf("held: %+v", r.Accounts[0].Messages)
			} else if reason := r.Accounts[0].Messages[0].Reason; !strings.Contains(reason, "repair: wrap") {
				t.Errorf("the reason does not say what may help: %s", reason)
			}
			p.arrived(mail...)
			p.run(fault.Held, 0)
			p.imap.Configure(func(o *imapd.Options) { o.Refuse = nil })
			p.o.Held = true
			p.run(0, 1)
			p.arrived(all...)
		})
	}
}

// TestWrap (A7): the original bytes of a refused message travel inside an
// attachment, once, also after the journal was lost.
func TestWrap(t *testing.T) {
	bad := []byte("Subject: bad\r\n\r\nnul \x00 poison\r\n")
	p := newPair(t, popd.Options{}, imapd.Options{Refuse: func(msg []byte) string {
		if bytes.IndexByte(msg, 0) >= 0 {
			return "NO Message contains NUL characters"
		}
		return ""
	}}, append(ordinary(5, 5), bad)...)
	p.account().Repair = "wrap"
	p.run(0, 6)
	p.run(0, 0)
	p.forget()
	p.run(0, 0)
	if n := len(p.imap.Mailbox("INBOX")); n != 6 {
		t.Errorf("%d messages", n)
	}
}

// wrappedUnanswered is a pair whose destination refuses a message, got its wrapping, and
// whose answer to that was lost.
func wrappedUnanswered(t *testing.T, refusal *string) *pair {
	t.Helper()
	cut := false
	p := newPair(t, popd.Options{}, imapd.Options{
		Refuse: func(msg []byte) string {
			if bytes.IndexByte(msg, 0) >= 0 {
				return *refusal
			}
			return ""
		},
		Reply: func(e imapd.Event) imapd.Action {
			if e.Stage != imapd.AtReply || e.Command != "APPEND" || !strings.HasPrefix(e.Text, "OK") || cut {
				return imapd.Action{}
			}
			cut = true
			return imapd.Action{Cut: imapd.RST}
		},
	}, []byte("Subject: bad\r\n\r\nnul \x00 poison\r\n"))
	p.account().Repair = "wrap"
	p.o.NoWait, p.o.Config.Settle = true, time.Hour
	p.run(fault.Temporary, 0)
	p.o.NoWait, p.o.Config.Settle = false, time.Nanosecond
	return p
}

// TestWrapAfterALostAnswer: a wrapping whose answer was lost is known again, also by
// the run after one in which the message was refused for another reason.
func TestWrapAfterALostAnswer(t *testing.T) {
	refusal := "NO [CANNOT] NUL"
	p := wrappedUnanswered(t, &refusal)
	refusal = "NO [OVERQUOTA] full"
	p.run(fault.Refused, 0)
	refusal = "NO [CANNOT] NUL"
	p.run(0, 0)
	if n := len(p.imap.Mailbox("INBOX")); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// TestWrapAfterAHold: so it is when the message was held in between.
func TestWrapAfterAHold(t *testing.T) {
	refusal := "NO [CANNOT] NUL"
	p := wrappedUnanswered(t, &refusal)
	p.account().Repair = ""
	p.run(fault.Held, 0)
	p.account().Repair, p.o.Held = "wrap", true
	p.run(0, 0)
	if n := len(p.imap.Mailbox("INBOX")); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// TestWrapCopies: a refused message that the source has several times is wrapped so many
// times, also where no server tells what became of the first.
func TestWrapCopies(t *testing.T) {
	bad := []byte("Subject: bad\r\n\r\nnul \x00 poison\r\n")
	for name, uidPlus := range map[string]bool{"UIDPLUS": true, "no UIDPLUS": false} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, popd.Options{}, imapd.Options{NoUIDPlus: !uidPlus, Refuse: func(raw []byte) string {
				if bytes.IndexByte(raw, 0) >= 0 {
					return "NO [CANNOT] NUL"
				}
				return ""
			}}, bad, bad, simple("", "bad", "without a Message-ID"))
			p.account().Repair = "wrap"
			p.run(0, 3)
			p.run(0, 0)
			p.pop.Deliver(bad)
			p.run(0, 1)
			p.run(0, 0)
			if n := len(p.imap.Mailbox("INBOX")); n != 4 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// TestWrapRefused: what would help without `repair: wrap` is no help with it.
func TestWrapRefused(t *testing.T) {
	refuse := func([]byte) string { return "NO not here" }
	p := newPair(t, popd.Options{}, imapd.Options{Refuse: refuse}, ordinary(1, 5)...)
	p.account().Repair = "wrap"
	r := p.run(fault.Held, 0)
	if m := r.Accounts[0].Messages; len(m) != 1 || !strings.Contains(m[0].Reason, "not here") ||
		strings.Contains(m[0].Reason, "wrap") {
		t.Errorf("held: %+v", m)
	}
}

// TestTwoAccountsOneFolder: each delivers its own mail, though it is the same.
func TestTwoAccountsOneFolder(t *testing.T) {
	mail := ordinary(30, 6)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	p.neighbour(mail...)
	p.run(0, 60)
	p.run(0, 0)
	p.arrived(append(mail, mail...)...)
}

// TestLogonFailure: a login that was good a moment ago and is refused is no wrong
// password, and is not tried again and again.
func TestLogonFailure(t *testing.T) {
	var p *pair
	refused := 0
	p = newPair(t, popd.Options{Reply: func(cmd string, n int) ([]byte, bool) {
		switch {
		case cmd == "RETR" && n == 10:
			p.pop.Cut()
			return nil, true
		case cmd == "AUTH" && p.pop.Counters().Logins > 0:
			refused++
			return []byte("-ERR Logon failure: unknown user name or bad password.\r\n"), true
		}
		return nil, false
	}}, imapd.Options{}, ordinary(20, 3)...)
	r := runFerry(t, p.o)
	if e := r.Accounts[0].Error; r.ExitCode != fault.Temporary || e == nil || !strings.Contains(e.Message, "Logon failure") ||
		!strings.Contains(e.Message, "good earlier") || !strings.Contains(e.Hint, "15m") {
		t.Errorf("exit %d, %+v", r.ExitCode, e)
	}
	if refused != 1 {
		t.Errorf("the login was tried %d times", refused)
	}
}

// TestSharedLogin: one login reaches all mailboxes. Each account is that of its
// mailbox, in the journal and on the server, also when the login changes.
func TestSharedLogin(t *testing.T) {
	mine, bobs := ordinary(30, 6), ordinary(20, 7)
	p := newPair(t, popd.Options{}, imapd.Options{Separate: true}, mine...)
	other := popd.New(popd.Options{}, bobs...)
	defer other.Close()
	alice := p.account()
	alice.Source.Username, alice.Source.AuthorizeAs = "admin", "alice"
	alice.Destination.Username, alice.Destination.AuthorizeAs = "admin", "alice"
	bob := *alice
	bob.Name, bob.Source.AuthorizeAs, bob.Source.Dial = "bob", "bob", other.Dial
	bob.Destination.AuthorizeAs = "bob"
	p.o.Config.Accounts = append(p.o.Config.Accounts, bob)
	p.run(0, 50)
	for user, want := range map[string]int{"alice": 30, "bob": 20, "admin": 0} {
		if got := len(p.imap.User(user).Mailbox("INBOX")); got != want {
			t.Errorf("%s has %d messages, want %d", user, got, want)
		}
	}
	p.run(0, 0)
	for i := range p.o.Config.Accounts {
		a := &p.o.Config.Accounts[i]
		a.Source.Username, a.Source.AuthorizeAs = a.Source.AuthorizeAs, ""
		a.Destination.Username, a.Destination.AuthorizeAs = a.Destination.AuthorizeAs, ""
	}
	if r := p.run(0, 0); r.Totals.Known != 50 {
		t.Errorf("%d are known of 50", r.Totals.Known)
	}
}

// TestPilotThenProduction: what was delivered to one destination is not
// delivered to another, and with the folder of one user that is said before.
func TestPilotThenProduction(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(5, 7)...)
	p.account().Folder = "Pilot"
	p.run(0, 5)
	p.account().Folder = "INBOX"
	const said = "folder INBOX is another destination: what POP3 still has of the 5 messages delivered to Pilot before"
	if _, r := ferry.Plans(t.Context(), p.o); !strings.Contains(strings.Join(r.Accounts[0].Notes, "\n"), said) {
		t.Errorf("plan says %q", r.Accounts[0].Notes)
	}
	if r := p.run(0, 5); !strings.Contains(strings.Join(r.Accounts[0].Notes, "\n"), said) {
		t.Errorf("run says %q", r.Accounts[0].Notes)
	}
	if r := p.run(0, 0); len(r.Accounts[0].Notes) > 0 {
		t.Errorf("and again: %q", r.Accounts[0].Notes)
	}
}

// TestLostAnswer (A2): the connection ends after the messages are stored and
// before the OK. They are found, and not sent again.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	mail := ordinary(120, 8)
	for name, io := range map[string]imapd.Options{"UIDPLUS": {}, "no UIDPLUS": {NoUIDPlus: true}} {
		t.Run(name, func(t *testing.T) {
			cut := false
			io.Reply = func(e imapd.Event) imapd.Action {
				if e.Stage == imapd.AtReply && e.Command == "APPEND" && !cut {
					cut = true
					return imapd.Action{Cut: imapd.RST}
				}
				return imapd.Action{}
			}
			p := newPair(t, popd.Options{}, io, mail...)
			p.run(0, 120)
			if !cut {
				t.Fatal("nothing was cut")
			}
			p.run(0, 0)
			p.arrived(mail...)
		})
	}
}

// TestNewCopyAfterRebuild: the journal was rebuilt from headers, and then one
// more copy of a mail arrives on a server that names none.
func TestNewCopyAfterRebuild(t *testing.T) {
	mail := ordinary(10, 9)
	p := newPair(t, popd.Options{NoUIDL: true}, imapd.Options{}, mail...)
	p.run(0, 10)
	p.forget()
	p.run(0, 0)
	p.pop.Deliver(mail[3])
	p.run(0, 1)
	p.run(0, 0)
	p.arrived(append(mail, mail[3])...)
}

// TestStatusFieldsInTheSource: a server that writes fields of its own into its
// mail after the first session (mbox servers do) changes sizes and content; it
// is the same mail all the same.
func TestStatusFieldsInTheSource(t *testing.T) {
	mail := ordinary(10, 10)
	p := newPair(t, popd.Options{UIDL: func(n int, _ []byte) string { return fmt.Sprint(n) }}, imapd.Options{}, mail...)
	p.run(0, 10)
	for range mail {
		p.pop.Expunge(1)
	}
	for _, m := range mail {
		p.pop.Deliver(append([]byte("X-UID: 5\r\nStatus: RO\r\n"), m...))
	}
	p.run(0, 0)
	if r := p.run(0, 0); r.Totals.Known != 10 {
		t.Errorf("%+v", r.Totals)
	}
	p.arrived(mail...)
}

// TestRenamedAndMovedAccounts: neither another name nor another POP3 host makes
// mail arrive again.
func TestRenamedAndMovedAccounts(t *testing.T) {
	mail := ordinary(30, 11)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail...)
	p.run(0, 30)
	p.account().Name = "alice-of-old"
	p.run(0, 0)
	p.account().Source.Host = "127.0.0.1" // another server, and other UIDLs
	p.pop.Configure(func(o *popd.Options) {
		o.UIDL = func(n int, _ []byte) string { return fmt.Sprintf("moved-%d", n) }
	})
	p.run(0, 0)
	p.run(0, 0)
	p.arrived(mail...)
}

// TestHeldWithoutNames: a refused message on a server without UIDLs is held once,
// however often the account runs.
func TestHeldWithoutNames(t *testing.T) {
	p := newPair(t, popd.Options{NoUIDL: true}, imapd.Options{Refuse: func(msg []byte) string {
		if bytes.Contains(msg, []byte("poison")) {
			return "NO [CANNOT] poison"
		}
		return ""
	}}, append(ordinary(5, 12), []byte("Subject: x\r\n\r\npoison\r\n"))...)
	p.run(fault.Held, 5)
	for range 3 {
		if r := p.run(fault.Held, 0); r.Totals.Held != 1 {
			t.Fatalf("%+v", r.Totals)
		}
	}
	status, err := p.o.Journal.Scopes(t.Context())
	if err != nil || len(status) != 1 || status[0].Counts[journal.Held] != 1 {
		t.Errorf("%+v, %v", status, err)
	}
}
