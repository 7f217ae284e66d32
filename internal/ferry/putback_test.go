package ferry_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// always refuses every message.
func always(answer string) imapd.Options {
	return imapd.Options{Refuse: func([]byte) string { return answer }}
}

func (p *pair) relent() { p.imap.Configure(func(o *imapd.Options) { o.Refuse = nil }) }

// lacks checks how many messages the one mailbox lacks.
func (p *pair) lacks(n int, mail [][]byte) {
	p.t.Helper()
	if got := len(p.imap.Mailbox("INBOX")); got != len(mail)-n || len(p.pop.Messages()) > got {
		p.t.Fatalf("of %d messages %d are left", len(mail), got)
	}
}

// unreturned is a pair with one mailbox of which one message was deleted, and is not back.
func unreturned(t *testing.T, io imapd.Options, mail ...[]byte) *pair {
	t.Helper()
	p := found(t, true, popd.Options{}, io, mail...)
	p.run(fault.Refused, 0)
	p.lacks(1, mail)
	return p
}

// TestPutBackRefused: as long as a server of one mailbox does not take back what was deleted
// first, nothing else is deleted, and no run ends well. Once it does, nothing is missing.
func TestPutBackRefused(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]fault.Code{
		"NO no": fault.Refused, "BAD no": fault.Refused, "NO [CANNOT] no": fault.Refused, "NO [LIMIT] no": fault.Refused,
		"NO [TOOBIG] no": fault.Refused, "NO [PARSE] no": fault.Refused, "NO [ALREADYEXISTS] no": fault.Refused,
		"NO [NOPERM] no": fault.Refused, "NO [OVERQUOTA] no": fault.Refused, "NO [TRYCREATE] no": fault.Refused,
		"NO [READ-ONLY] no": fault.Refused, "NO [SERVERBUG] no": fault.Temporary, "NO [EXPIRED] no": fault.Credentials,
	} {
		t.Run(answer, func(t *testing.T) {
			mail := ordinary(15, 1)
			p := found(t, true, popd.Options{}, always(answer), mail...)
			for range 4 {
				p.run(want, 0)
				p.lacks(1, mail)
			}
			p.relent()
			p.run(fault.Config, 0)
			p.arrived(mail...)
		})
	}
}

// TestPutBackElsewhere: whatever the account is called by then, and wherever it brings its
// mail, the message that an earlier run deleted first is put back.
func TestPutBackElsewhere(t *testing.T) {
	for name, change := range map[string]func(*pair){
		"folder": func(p *pair) { p.account().Folder = "Archive" },
		"name and folder": func(p *pair) {
			p.account().Name, p.account().Folder = "other", "Archive"
		},
		"name": func(p *pair) { p.account().Name = "other" },
		"user and folder": func(p *pair) {
			p.account().Source.Username, p.account().Folder = "Alice@example.org", "Archive"
		},
		"all of the source": func(p *pair) {
			p.account().Name, p.account().Source.Username, p.account().Folder = "other", "bob", "Archive"
		},
		"UIDVALIDITY and name": func(p *pair) {
			p.account().Name = "other"
			p.imap.User("").SetUIDValidity("INBOX", 7777)
		},
	} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(5, 1)
			p := unreturned(t, always("NO [CANNOT] no"), mail...)
			change(p)
			if r := runFerry(t, p.o); r.ExitCode != fault.Refused {
				t.Errorf("exit %d", r.ExitCode)
			}
			p.relent()
			p.account().Keep.Delete = false
			runFerry(t, p.o)
			runFerry(t, p.o)
			p.arrived(mail...)
		})
	}
}

// TestPutBackOfARunThatEnded: the one that deleted the message did not even look any more what
// became of its copy.
func TestPutBackOfARunThatEnded(t *testing.T) {
	for name, change := range map[string]func(*pair){
		"nothing else": func(*pair) {},
		"folder":       func(p *pair) { p.account().Folder = "Archive" },
		"name":         func(p *pair) { p.account().Name = "other" },
		"user":         func(p *pair) { p.account().Source.Username = "Alice@example.org" },
		"UIDVALIDITY":  func(p *pair) { p.imap.User("").SetUIDValidity("INBOX", 7777) },
	} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(5, 1)
			p := found(t, true, popd.Options{}, imapd.Options{}, mail...)
			ctx, end := context.WithCancel(context.Background())
			p.pop.Configure(func(o *popd.Options) {
				expunge := o.Removed
				o.Removed = func(raw []byte) { expunge(raw); end() }
			})
			ferry.Run(ctx, p.o)
			p.lacks(1, mail)
			change(p)
			p.account().Keep.Delete = false
			runFerry(t, p.o)
			runFerry(t, p.o)
			p.arrived(mail...)
		})
	}
}

// TestPutBackUnderANewUIDValidity: what was put back, and of which the answer was lost, is found
// again, and is not taken for the copy that is gone.
func TestPutBackUnderANewUIDValidity(t *testing.T) {
	mail := ordinary(5, 1)
	p := found(t, true, popd.Options{}, imapd.Options{Reply: firstAppend(imapd.AtReply, func() imapd.Action {
		return imapd.Action{Cut: imapd.RST}
	})}, mail...)
	p.run(fault.Temporary, 0)
	p.imap.User("").SetUIDValidity("INBOX", 7777)
	p.account().Keep.Delete = false
	runFerry(t, p.o)
	p.arrived(mail...)
}

// TestPutBackToAnotherDestination: where an account goes to another one meanwhile, its message
// goes there, too.
func TestPutBackToAnotherDestination(t *testing.T) {
	mail := ordinary(5, 1)
	p := found(t, true, popd.Options{}, imapd.Options{Separate: true, Username: "alice", Password: "secret",
		Refuse: func([]byte) string { return "NO [CANNOT] no" }}, nil...)
	p.pop.Deliver(mail...)
	p.pop.Configure(func(o *popd.Options) {
		o.Removed = func(raw []byte) {
			inbox := p.imap.Mailbox("INBOX")
			at := slices.IndexFunc(inbox, func(m imapd.Stored) bool { return string(m.Raw) == string(raw) })
			p.imap.User("alice").Expunge("INBOX", inbox[at].UID)
		}
	})
	for _, raw := range mail {
		p.imap.User("alice").Deliver("INBOX", raw, nil, time.Time{})
	}
	p.run(fault.Refused, 0)
	p.account().Destination.Username = "bob"
	p.account().Keep.Delete = false
	p.imap.Configure(func(o *imapd.Options) { o.Username, o.Refuse = "bob", nil })
	p.run(fault.OK, 4)
	p.arrived(mail...)
	p.run(fault.OK, 0)
	p.arrived(mail...)
}

// TestPutBackPlainly: what a server objects to in flags and date keeps no message out.
func TestPutBackPlainly(t *testing.T) {
	for _, answer := range []string{"BAD no", "NO [CANNOT] no"} {
		mail := ordinary(5, 1)
		p := found(t, true, popd.Options{}, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
			if e.Command == "APPEND" && e.Stage == imapd.AtStore && strings.Contains(e.Line, "00\"") {
				return imapd.Action{Reply: answer}
			}
			return imapd.Action{}
		}}, mail...)
		p.run(fault.Config, 0)
		p.arrived(mail...)
	}
}

// TestPutBackEndsTheConnection: a server that hangs up at the date gets it without.
func TestPutBackEndsTheConnection(t *testing.T) {
	mail := ordinary(5, 1)
	p := found(t, true, popd.Options{}, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
		if e.Command == "APPEND" && e.Stage == imapd.AtStore && strings.Contains(e.Line, "00\"") {
			return imapd.Action{Cut: imapd.RST}
		}
		return imapd.Action{}
	}}, mail...)
	p.run(fault.Temporary, 0)
	p.o.ConfirmDelete = false
	p.run(fault.Config, 0)
	p.arrived(mail...)
}

// TestPutBackMayStillArrive: after a lost answer it is not sent again before the settling
// time; whose time that is, is said.
func TestPutBackMayStillArrive(t *testing.T) {
	mail := ordinary(5, 1)
	p := found(t, true, popd.Options{}, imapd.Options{Reply: firstAppend(imapd.AtStore, func() imapd.Action {
		return imapd.Action{StoreAfter: -1, Cut: imapd.RST}
	})}, mail...)
	p.o.NoWait, p.o.Config.Settle, p.o.ConfirmDelete = true, time.Hour, true
	p.run(fault.Temporary, 0)
	r := p.run(fault.Temporary, 0)
	if hint := r.Accounts[0].Error.Hint; !strings.HasPrefix(hint, "run again in ") || strings.Contains(hint, "server") {
		t.Error(hint)
	}
	if n := p.imap.Commit(); n != 1 {
		t.Fatalf("%d messages were on their way", n)
	}
	p.o.Config.Settle, p.o.ConfirmDelete = time.Nanosecond, false
	p.run(fault.Config, 0)
	p.arrived(mail...)
}

// TestPutBackByHand: the message is to be had as a file, and who puts that into the folder
// ends the matter.
func TestPutBackByHand(t *testing.T) {
	mail := ordinary(5, 1)
	p := unreturned(t, always("NO [CANNOT] no"), mail...)
	var s shelf
	p.o.KeepHeld, p.o.ConfirmDelete = s.keep, false
	r := p.run(fault.Refused, 0)
	if len(s.mail) != 1 || !strings.Contains(r.Accounts[0].Error.Hint, "--export-held") {
		t.Fatalf("%d files, %+v", len(s.mail), r.Accounts[0].Error)
	}
	for file, raw := range s.mail {
		if !strings.Contains(strings.Join(r.Accounts[0].Notes, "\n"), file) {
			t.Errorf("nobody says where it is: %q", r.Accounts[0].Notes)
		}
		p.imap.User("").Deliver("INBOX", []byte(raw), nil, time.Time{})
		p.pop.Deliver([]byte(raw))
	}
	p.run(fault.Config, 0)
	p.arrived(mail...)
}

// TestPutBackWithoutPOP3: a maildrop that can't be opened any more keeps nothing from being put
// back, and a destination that can't nothing from being kept as a file.
func TestPutBackWithoutPOP3(t *testing.T) {
	mail := ordinary(5, 1)
	p := unreturned(t, always("NO [CANNOT] no"), mail...)
	p.pop.Configure(func(o *popd.Options) {
		o.Reply = func(cmd string, _ int) ([]byte, bool) {
			return []byte("-ERR [AUTH] no\r\n"), cmd == "AUTH" || cmd == "PASS"
		}
	})
	p.run(fault.Credentials, 0)
	p.lacks(1, mail)
	p.relent()
	p.run(fault.Credentials, 0)
	p.arrived(mail...)

	p = unreturned(t, always("NO [CANNOT] no"), mail...)
	p.imap.Configure(func(o *imapd.Options) { o.Username, o.Password = "alice", "another" })
	var s shelf
	p.o.KeepHeld = s.keep
	p.run(fault.Credentials, 0)
	if len(s.mail) != 1 {
		t.Errorf("%d files", len(s.mail))
	}
}

// TestPutBackBeforeThePause: a server that wants a pause between logins keeps nobody from
// looking what became of the copy.
func TestPutBackBeforeThePause(t *testing.T) {
	mail := ordinary(5, 1)
	p := found(t, true, popd.Options{Capabilities: []string{"LOGIN-DELAY 600"}}, imapd.Options{}, mail...)
	p.run(fault.Config, 0)
	p.arrived(mail...)
}

// TestNothingIsDeletedThatCantBePutBack: where the folder takes nothing, or not the message,
// none goes to see what becomes of its copy.
func TestNothingIsDeletedThatCantBePutBack(t *testing.T) {
	large, small := ordinary(1, 1)[0], simple("small", "small", "text")
	large = append(large, strings.Repeat("more\r\n", 2000)...)
	for name, c := range map[string]struct {
		io   imapd.Options
		dele int
	}{
		"read-only":          {imapd.Options{ReadOnly: true}, 0},
		"all are too large":  {imapd.Options{AppendLimit: 20}, 0},
		"some are too large": {imapd.Options{AppendLimit: int64(len(small))}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := found(t, true, popd.Options{}, c.io, large, small)
			want := fault.OK
			if c.dele > 0 {
				want = fault.Config
			}
			p.run(want, 0)
			if got := p.pop.Counters().Dele; got != c.dele {
				t.Errorf("%d deletions", got)
			}
			p.arrived(large, small)
		})
	}
}
