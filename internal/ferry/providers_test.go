package ferry_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
)

// between is an account of a fleet, on a fake clock, between two servers of their own ways.
func between(t *testing.T, po popd.Options, io imapd.Options, mail [][]byte, check func(*fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		f.add("alice", ailing{}, mail...)
		f.drops[0].Configure(func(o *popd.Options) { *o = po })
		io.Separate = true
		f.imap.Configure(func(o *imapd.Options) { *o = io })
		check(f)
		if v := f.imap.Violations(); len(v) > 0 {
			t.Errorf("spoke bad IMAP: %v", v)
		}
	})
}

// ran takes a pass and checks how it ended.
func (f *fleet) ran(want fault.Code, delivered int) ferry.Report {
	f.t.Helper()
	r := ferry.Run(f.t.Context(), f.o)
	if r.ExitCode != want || r.Totals.Delivered != delivered {
		f.t.Errorf("exit %d, delivered %d; want %d and %d: %+v, %+v", r.ExitCode, r.Totals.Delivered, want, delivered,
			r.Totals, r.Accounts[0].Error)
	}
	return r
}

// holds checks what alice has.
func (f *fleet) holds(mail ...[]byte) {
	f.t.Helper()
	count := map[string]int{}
	for _, m := range mail {
		count[string(m)]++
	}
	for _, s := range f.imap.User("alice").Mailbox("INBOX") {
		count[string(s.Raw)]--
	}
	for content, n := range count {
		if n == 0 {
			delete(count, content)
		} else if len(count) < 5 {
			f.t.Errorf("%+d of %.100q", -n, content)
		}
	}
	if len(count) > 0 {
		f.t.Errorf("%d messages arrived not at all, or too often", len(count))
	}
}

// TestGmailPages: a run turns page after page until nothing is left to see, and each
// message arrives once; also where a session is lost in the middle of a page.
func TestGmailPages(t *testing.T) {
	mail := ordinary(620, 3)
	t.Run("all at once", func(t *testing.T) {
		between(t, popd.Gmail(), imapd.Options{}, mail, func(f *fleet) {
			f.ran(fault.OK, 620)
			f.holds(mail...)
			if n := f.drops[0].Hidden(); n != 620 {
				f.t.Errorf("%d are hidden", n)
			}
			f.ran(fault.OK, 0)
			fresh := []byte("Message-ID: <fresh@example.org>\r\nSubject: fresh\r\n\r\nfresh\r\n")
			f.drops[0].Deliver(fresh)
			f.ran(fault.OK, 1)
			f.holds(append(mail, fresh)...)
		})
	})
	t.Run("a session is lost", func(t *testing.T) {
		between(t, popd.Gmail(), imapd.Options{}, mail, func(f *fleet) {
			cut := false
			f.drops[0].Configure(func(o *popd.Options) {
				o.Reply = func(cmd string, n int) ([]byte, bool) {
					if cmd != "RETR" || n != 123 || cut {
						return nil, false
					}
					cut = true
					go f.drops[0].Cut()
					return nil, true
				}
			})
			f.ran(fault.OK, 620)
			f.holds(mail...)
			if !cut {
				f.t.Error("no session was cut")
			}
		})
	})
}

// TestGmailPagesOfKnownMail: a page of nothing but what is delivered is turned, too, and one with
// little else is turned as a whole.
func TestGmailPagesOfKnownMail(t *testing.T) {
	mail := ordinary(620, 3)
	gmail := func(f *fleet) {
		f.o.Config.Accounts[0].Source.Ways = plan.Ways{Provider: "Example Mail", Page: 250}
	}
	for name, there := range map[string][][]byte{"all": mail[:250], "but one": mail[1:250]} {
		t.Run("brought by another program, "+name, func(t *testing.T) {
			between(t, popd.Gmail(), imapd.Options{}, mail, func(f *fleet) {
				gmail(f)
				for _, m := range there {
					f.imap.User("alice").Deliver("INBOX", m, nil, time.Time{})
				}
				f.ran(fault.OK, 620-len(there))
				f.holds(mail...)
				if n := f.drops[0].Counters().Sessions; f.drops[0].Hidden() != 620 || n > 8 {
					f.t.Errorf("%d are hidden after %d sessions", f.drops[0].Hidden(), n)
				}
			})
		})
	}
	t.Run("shown anew", func(t *testing.T) {
		between(t, popd.Gmail(), imapd.Options{}, mail[:300], func(f *fleet) {
			gmail(f)
			f.ran(fault.OK, 300)
			f.drops[0].Show()
			f.drops[0].Deliver(mail[300:]...)
			f.ran(fault.OK, 320)
			f.holds(mail...)
		})
	})
	t.Run("other mail under a known name", func(t *testing.T) {
		twin := func(name string) []byte {
			return []byte("Message-ID: <" + name + "@example.org>\r\nSubject: " + name + "\r\n\r\n" + name + "\r\n")
		}
		mail := append([][]byte{twin("a"), twin("b")}, mail...)
		between(t, popd.Gmail(), imapd.Options{}, mail[:300], func(f *fleet) {
			gmail(f)
			f.ran(fault.OK, 300)
			names := f.drops[0].UIDLs()
			f.drops[0].Show()
			f.drops[0].Rename(1, names[1])
			f.drops[0].Rename(2, names[0])
			f.drops[0].Deliver(mail[300:]...)
			f.ran(fault.OK, 322)
			f.holds(mail...)
			if n := f.drops[0].Hidden(); n != 620 {
				f.t.Errorf("%d are hidden", n)
			}
		})
	})
}

// TestGmailShowsWhatIsHeld (I7): mail that is held is not hidden, so that it can be tried again,
// and is in the way of no other.
func TestGmailShowsWhatIsHeld(t *testing.T) {
	mail := ordinary(620, 3)
	bad := [][]byte{mail[20], mail[510], mail[600]}
	refuse := func(msg []byte) string {
		if slices.ContainsFunc(bad, func(b []byte) bool { return bytes.Equal(b, msg) }) {
			return "NO never"
		}
		return ""
	}
	between(t, popd.Gmail(), imapd.Options{Refuse: refuse, NoMultiAppend: true}, mail, func(f *fleet) {
		f.o.Config.Accounts[0].Source.Ways = plan.Ways{Provider: "Example Mail", Page: 250}
		f.ran(fault.Held, 617)
		for range 2 {
			if r := f.ran(fault.Held, 0); r.Totals.Held != len(bad) {
				f.t.Errorf("%+v", r.Totals)
			}
		}
		f.imap.Configure(func(o *imapd.Options) { o.Refuse = nil })
		f.o.Held = true
		f.ran(fault.OK, len(bad))
		f.holds(mail...)
	})
}

// TestGmailExportBreaks: a session that breaks as held mail is exported is no page's end.
func TestGmailExportBreaks(t *testing.T) {
	mail := ordinary(620, 3)
	refuse := func(msg []byte) string {
		if bytes.Equal(msg, mail[20]) {
			return "NO never"
		}
		return ""
	}
	between(t, popd.Gmail(), imapd.Options{Refuse: refuse, NoMultiAppend: true}, mail, func(f *fleet) {
		f.o.Config.Accounts[0].Source.Ways = plan.Ways{Provider: "Example Mail", Page: 250}
		f.o.KeepHeld = func(string, *message.Message) (string, error) { return "x.eml", nil }
		asked := 0
		f.drops[0].Configure(func(o *popd.Options) {
			o.Reply = func(cmd string, n int) ([]byte, bool) {
				if cmd != "RETR" || n != 21 {
					return nil, false
				}
				if asked++; asked == 2 {
					return nil, true // the export's
				}
				return nil, false
			}
		})
		r := ferry.Run(f.t.Context(), f.o)
		if r.Totals.Delivered != 619 || r.Totals.Held != 1 || r.ExitCode == fault.Internal || asked < 2 {
			f.t.Errorf("exit %v, %+v, asked %d times: %+v", r.ExitCode, r.Totals, asked, r.Accounts[0].Error)
		}
	})
}

// TestPassesTurnPages: a bridge does not rest over a page of nothing but known mail.
func TestPassesTurnPages(t *testing.T) {
	mail := ordinary(620, 3)
	p := newPair(t, popd.Gmail(), imapd.Options{}, mail[:300]...)
	p.account().Source.Ways = plan.Ways{Provider: "Example Mail", Page: 250}
	pass := p.passes()
	pass(fault.OK, 300)
	p.pop.Show()
	p.pop.Deliver(mail[300:]...)
	pass(fault.OK, 320)
	pass(fault.OK, 0)
	p.arrived(mail...)
}

// TestPagesThatStay: a page that reading does not turn is not read again in the next run.
func TestPagesThatStay(t *testing.T) {
	mail := ordinary(250, 3)
	between(t, popd.Options{}, imapd.Options{}, mail, func(f *fleet) {
		f.o.Config.Accounts[0].Source.Ways = plan.Ways{Provider: "Example Mail", Page: 250}
		f.ran(fault.OK, 250)
		before := f.drops[0].Counters().Commands["RETR"]
		f.ran(fault.OK, 0)
		if n := f.drops[0].Counters().Commands["RETR"]; before != 500 || n != before {
			f.t.Errorf("%d RETR, then %d", before, n)
		}
		f.holds(mail...)
	})
}

// TestPagesAreListedTogether: a run's report counts what it listed on all pages, each message
// once, and its notes and the plan tell that there are pages.
func TestPagesAreListedTogether(t *testing.T) {
	const told = "Example Mail lists about 250 messages at a time"
	for n, po := range map[int]popd.Options{620: popd.Gmail(), 250: {}} {
		between(t, po, imapd.Options{}, ordinary(n, 3), func(f *fleet) {
			if po.Page > 0 {
				f.o.Config.Accounts[0].Source.Ways = plan.Ways{Provider: "Example Mail", Page: po.Page}
			}
			plans, _ := ferry.Plans(f.t.Context(), f.o)
			if text := plan.Plans(plans).String(); strings.Contains(text, told) != (po.Page > 0) {
				f.t.Errorf("%d: the plan says\n%s", n, text)
			}
			r := f.ran(fault.OK, n)
			if notes := strings.Join(r.Accounts[0].Notes, "\n"); r.Totals.Listed != n || strings.Contains(notes, told) != (po.Page > 0) {
				f.t.Errorf("%d: %+v, %q", n, r.Totals, notes)
			}
		})
	}
}

// TestGmailHidesOnlyWhatArrived (I2): a page of which not all arrived is not turned.
func TestGmailHidesOnlyWhatArrived(t *testing.T) {
	mail := ordinary(40, 4)
	full := func(msg []byte) string {
		if bytes.Equal(msg, mail[20]) {
			return "NO [OVERQUOTA] full"
		}
		return ""
	}
	between(t, popd.Gmail(), imapd.Options{Refuse: full, NoMultiAppend: true}, mail, func(f *fleet) {
		if r := ferry.Run(f.t.Context(), f.o); r.ExitCode != fault.Refused || f.drops[0].Hidden() > 0 {
			f.t.Errorf("exit %d, %+v, and %d are hidden", r.ExitCode, r.Totals, f.drops[0].Hidden())
		}
		f.imap.Configure(func(o *imapd.Options) { o.Refuse = nil })
		if r := ferry.Run(f.t.Context(), f.o); r.ExitCode != fault.OK {
			f.t.Errorf("exit %d, %+v", r.ExitCode, r.Accounts[0].Error)
		}
		f.holds(mail...)
	})
}

// TestGmailDropsDuplicates (I1): what Gmail says OK to and throws away is never deleted
// from POP3, and no run brings it again.
func TestGmailDropsDuplicates(t *testing.T) {
	mail := ordinary(30, 5)
	same := []byte("Message-ID: <same@example.org>\r\nSubject: same\r\n\r\nsame\r\n")
	all := append(append([][]byte{}, mail...), same, same)
	elsewhere := mail[7]
	between(t, popd.Options{}, imapd.Gmail(1<<30), all, func(f *fleet) {
		f.imap.User("alice").Deliver("[Gmail]/All Mail", elsewhere, nil, time.Time{})
		f.o.Config.Accounts[0].Keep = plan.Keep{Delete: true}
		f.o.ConfirmDelete = true
		r := ferry.Run(f.t.Context(), f.o)
		if r.Totals.Deleted != 30 {
			f.t.Errorf("exit %d, %+v, %+v", r.ExitCode, r.Totals, r.Accounts[0].Error)
		}
		kept := f.drops[0].Messages()
		if len(kept) != 2 || !bytes.Equal(kept[0], elsewhere) || !bytes.Equal(kept[1], same) {
			f.t.Errorf("%d messages are kept: %.200q", len(kept), kept)
		}
		stored := len(f.imap.User("alice").Mailbox("INBOX"))
		for range 2 {
			if r := ferry.Run(f.t.Context(), f.o); r.Totals.Deleted != 0 || r.Totals.Delivered != 0 {
				f.t.Errorf("exit %d, %+v, %+v", r.ExitCode, r.Totals, r.Accounts[0].Error)
			}
		}
		if n := len(f.imap.User("alice").Mailbox("INBOX")); n != stored || stored != 30 || len(f.drops[0].Messages()) != 2 {
			f.t.Errorf("%d in INBOX, then %d; %d on POP3", stored, n, len(f.drops[0].Messages()))
		}
	})
}

// TestGmailDay: a day's bytes end a run with 75 and hold nothing; the next day goes on.
func TestGmailDay(t *testing.T) {
	mail := ordinary(120, 6)
	size := 0
	for _, m := range mail {
		size += len(m)
	}
	between(t, popd.Options{}, imapd.Gmail(int64(size)*2/5), mail, func(f *fleet) {
		days := 0
		for delivered := 0; delivered < len(mail) && days < 9; days++ {
			r := ferry.Run(f.t.Context(), f.o)
			delivered += r.Totals.Delivered
			if r.Totals.Held > 0 || r.Totals.Delivered == 0 || (r.ExitCode == fault.Temporary) != (delivered < len(mail)) {
				f.t.Fatalf("exit %d, %+v, %+v", r.ExitCode, r.Totals, r.Accounts[0].Error)
			}
			const hint = "run again in 1h: the server limits the account's traffic, which can last up to 24 hours"
			if e := r.Accounts[0].Error; e != nil && e.Hint != hint {
				f.t.Errorf("the hint is %q", e.Hint)
			}
			time.Sleep(24 * time.Hour)
		}
		if days < 3 || days > 4 {
			f.t.Errorf("it took %d days", days)
		}
		f.ran(fault.OK, 0)
		f.holds(mail...)
	})
}

// TestExchangeThrottles: the pauses that it asks for are kept, and are nobody's fault: no
// message is held for them, however often it meets one.
func TestExchangeThrottles(t *testing.T) {
	mail := ordinary(200, 7)
	fond := func([]byte) bool { return false }
	between(t, popd.Options{}, imapd.Exchange(10, fond), mail, func(f *fleet) {
		f.ran(fault.OK, 200)
		took := time.Since(f.start)
		if took < 19*time.Minute || took > 25*time.Minute {
			f.t.Errorf("it took %v", took)
		}
		if n := f.imap.Counters().Commands["APPEND"]; n > 200+20*20 {
			f.t.Errorf("%d APPENDs", n)
		}
		f.ran(fault.OK, 0)
	})
}

// TestExchangeDislikes: what it refuses without a reason is held, however many sessions
// that ends, and all else arrives once.
func TestExchangeDislikes(t *testing.T) {
	mail := ordinary(100, 8)
	var all [][]byte
	for i, m := range mail {
		all = append(all, m)
		if i%4 == 0 {
			all = append(all, fmt.Appendf(nil, "Message-ID: <%d@example.org>\r\nSubject: bad\r\n\r\npoison %d\r\n", i, i))
		}
	}
	dislikes := func(msg []byte) bool { return bytes.Contains(msg, []byte("poison")) }
	io := imapd.Exchange(100_000, dislikes)
	io.Transform = nil // answers are lost here: mail is looked for by its content
	between(t, popd.Options{}, io, all, func(f *fleet) {
		r := f.ran(fault.Held, 100)
		if r.Totals.Held != 25 {
			f.t.Errorf("%+v", r.Totals)
		}
		f.ran(fault.Held, 0)
		if n := len(f.imap.User("alice").Mailbox("INBOX")); n != 100 {
			f.t.Errorf("%d messages arrived", n)
		}
	})
}

// TestExchangeSource: logins by token in two lines, one RETR at a time, sizes that are
// none, and a "Logon failure" that is no wrong password.
func TestExchangeSource(t *testing.T) {
	mail := ordinary(60, 9)
	token := func(user, token string) bool { return user == "alice" && token == "x" }
	between(t, popd.Exchange(token), imapd.Options{}, mail, func(f *fleet) {
		f.o.Config.Accounts[0].Source.Auth = "xoauth2"
		obedient := popd.Exchange(token)
		f.drops[0].Configure(func(o *popd.Options) {
			o.MaxLogins = 1
			o.Reply = func(cmd string, n int) ([]byte, bool) {
				if cmd != "RETR" || n != 30 {
					return obedient.Reply(cmd, n)
				}
				f.drops[0].Cut()
				return nil, true
			}
		})
		r := ferry.Run(f.t.Context(), f.o)
		if e := r.Accounts[0].Error; r.ExitCode != fault.Temporary || e == nil || !strings.Contains(e.Message, "Logon failure") {
			f.t.Errorf("exit %d, %+v", r.ExitCode, e)
		}
		f.drops[0].Configure(func(o *popd.Options) { *o = obedient })
		f.ran(fault.OK, 60-r.Totals.Delivered)
		f.holds(mail...)
		f.ran(fault.OK, 0)
		if n := f.drops[0].Counters().Pipelined; n > 0 {
			f.t.Errorf("%d commands were pipelined", n)
		}
	})
}

// TestYahooEnds: no message without its last CRLF reaches it, and an index of more
// messages than it gives at once is whole: without a journal nothing arrives twice.
func TestYahooEnds(t *testing.T) {
	mail := ordinary(1300, 10)
	for i := range 3 {
		mail = append(mail, fmt.Appendf(nil, "Message-ID: <open%d@example.org>\r\nSubject: open\r\n\r\nno end %d", i, i))
	}
	between(t, popd.Options{}, imapd.Yahoo(), mail, func(f *fleet) {
		f.ran(fault.OK, len(mail))
		lost := newFleet(f.t)
		defer lost.close()
		f.o.Journal = lost.o.Journal
		f.ran(fault.OK, 0)
		if n := len(f.imap.User("alice").Mailbox("INBOX")); n != len(mail) {
			f.t.Errorf("%d messages arrived", n)
		}
		for _, s := range f.imap.User("alice").Mailbox("INBOX") {
			if !strings.HasSuffix(string(s.Raw), "\r\n") {
				f.t.Errorf("%q", s.Raw)
			}
		}
	})
}
