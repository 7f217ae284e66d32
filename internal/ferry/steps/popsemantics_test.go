//go:build !race

package steps_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/mailtest/voyage"
	"github.com/popferry/popferry/plan"
)

// TestPOP3Semantics has the rows of the list of what POP3 servers may do.
func TestPOP3Semantics(t *testing.T) { table(t, popSemantics()) }

func popSemantics() []row {
	return slices.Concat(logins(), listings(), sessions(), deletionRows())
}

func logins() []row {
	auth := func(reply string) func(*voyage.World) {
		return answers(map[string]string{"AUTH": reply + "\r\n"})
	}
	// Servers lock out who is refused too often, so that one refusal is all that a
	// run asks for.
	onlyOne := func(p *player, r ferry.Report) {
		n := p.w.Drops[0].Counters().Commands
		if r.ExitCode == fault.Credentials && n["AUTH"]+n["PASS"] != 1 {
			p.Errorf("%d logins tried", n["AUTH"]+n["PASS"])
		}
	}
	base := row{cure: obedient, limit: time.Minute, also: onlyOne}
	s1, s3 := base, base
	s1.id, s1.name = "S1", "login refused with"
	s3.id, s3.name = "S3", "login refused with"
	rows := exitCodes(s1, map[string]fault.Code{
		"-ERR [IN-USE] somebody is in":                   fault.Temporary,
		"-ERR maildrop is locked":                        fault.Temporary,
		"-ERR please wait 30 seconds before you try":     fault.Temporary,
		"-ERR can't open mailbox, it is busy, try again": fault.Temporary,
	}, auth)
	rows = append(rows, exitCodes(s3, map[string]fault.Code{
		"-ERR [SYS/TEMP] disk":           fault.Temporary,
		"-ERR [SYS/PERM] mailbox broken": fault.Refused,
		"-ERR [AUTH] no":                 fault.Credentials,
		"-ERR no":                        fault.Credentials,
	}, auth)...)
	return append(rows,
		row{id: "S1", name: "IN-USE for a while", least: 5 * time.Second, limit: time.Minute,
			fault: func(w *voyage.World) {
				w.Drops[0].Configure(func(o *popd.Options) { o.InUse = true })
				time.AfterFunc(5*time.Second, func() {
					w.Drops[0].Configure(func(o *popd.Options) { o.InUse = false })
				})
			}},
		row{id: "S2", name: "LOGIN-DELAY of more than a run waits for", limit: time.Minute,
			options: withPop(func(o *popd.Options) { o.LoginDelay = 10 * time.Minute }),
			says:    "the deletions are left to the next run", only: func(c combination) bool { return c.delete },
			cure: func(w *voyage.World) {
				w.Drops[0].Configure(func(o *popd.Options) { o.LoginDelay = 0 })
			}},
		row{id: "S2", name: "LOGIN-DELAY of ten minutes, and the session is lost", limit: time.Minute,
			options: withPop(func(o *popd.Options) { o.LoginDelay = 10 * time.Minute }),
			code:    fault.Temporary, says: "run again in 10m",
			fault: answers(map[string]string{"RETR 2": "-ERR [SYS/TEMP] not now\r\n"}), cure: func(w *voyage.World) {
				w.Drops[0].Configure(func(o *popd.Options) { o.LoginDelay, o.Reply = 0, nil })
			}},
		row{id: "S2", name: "LOGIN-DELAY between the sessions of a run", limit: 5 * time.Minute,
			options: withPop(func(o *popd.Options) { o.LoginDelay = time.Minute }),
			cure: func(w *voyage.World) {
				w.Drops[0].Configure(func(o *popd.Options) { o.LoginDelay = 0 })
			}},
		row{id: "S2", name: "LOGIN-DELAY that only CAPA after the login tells", limit: 5 * time.Minute,
			options: withPop(func(o *popd.Options) { o.LoginDelay = time.Minute }),
			fault:   delayForUser, cure: func(w *voyage.World) {
				w.Drops[0].Configure(func(o *popd.Options) { o.LoginDelay, o.Reply = 0, nil })
			}},
		row{id: "S2", name: "LOGIN-DELAY longer than a run", only: func(c combination) bool { return c.delete },
			options: withPop(func(o *popd.Options) { o.LoginDelay = time.Hour }), limit: time.Minute,
			says: "the deletions are left to the next run",
			cure: func(w *voyage.World) {
				w.Drops[0].Configure(func(o *popd.Options) { o.LoginDelay = 0 })
			}},
		row{id: "S2", name: "LOGIN-DELAY that does not end",
			says: "login refused: ", limit: 3 * time.Minute, code: fault.Temporary,
			options: withPop(func(o *popd.Options) { o.LoginDelay = 20 * time.Second }),
			only:    func(c combination) bool { return c.delete }, fault: endlessDelay,
			cure: func(w *voyage.World) {
				w.Drops[0].Configure(func(o *popd.Options) { o.LoginDelay, o.Reply = 0, nil })
			}},
		row{id: "S2", name: "LOGIN-DELAY that nobody announced", limit: 6 * time.Minute,
			only: func(c combination) bool { return c.delete }, fault: hiddenDelay, cure: obedient},
		row{id: "S2", name: "LOGIN-DELAY in a refusal",
			says: "once in five minutes", code: fault.Temporary, cure: obedient,
			fault: auth("-ERR [LOGIN-DELAY] once in five minutes")},
	)
}

// endlessDelay lets in once.
func endlessDelay(w *voyage.World) {
	logins := 0
	setReply(w, func(cmd string, _ int) ([]byte, bool) {
		if cmd == "AUTH" {
			logins++
		}
		return []byte("-ERR [LOGIN-DELAY] too early\r\n"), cmd == "AUTH" && logins > 1
	})
}

// hiddenDelay refuses logins for four minutes after the last one, and never says so
// before.
func hiddenDelay(w *voyage.World) {
	var last time.Time
	setReply(w, func(cmd string, _ int) ([]byte, bool) {
		if cmd != "AUTH" {
			return nil, false
		}
		if !last.IsZero() && time.Since(last) < 4*time.Minute {
			return []byte("-ERR [LOGIN-DELAY] too early\r\n"), true
		}
		last = time.Now()
		return nil, false
	})
}

// delayForUser announces the pause between logins to who is logged in only
// (RFC 2449 §6.5, LOGIN-DELAY … USER).
func delayForUser(w *voyage.World) {
	before := "+OK\r\nSASL PLAIN\r\nUIDL\r\nTOP\r\nLOGIN-DELAY 0 USER\r\n.\r\n"
	behind := strings.Replace(before, "DELAY 0", "DELAY 60", 1)
	capa := before
	setReply(w, func(cmd string, _ int) ([]byte, bool) {
		switch cmd {
		case "GREETING":
			capa = before
		case "AUTH":
			capa = behind
		}
		return []byte(capa), cmd == "CAPA"
	})
}

func listings() []row {
	number := func(prefix string) func(*voyage.World) {
		return func(w *voyage.World) {
			w.Drops[0].Configure(func(o *popd.Options) {
				o.UIDL = func(_ int, raw []byte) string { return prefix + subjectNumber(raw) }
			})
		}
	}
	offset := func(n int) func(*voyage.World) {
		return func(w *voyage.World) { w.Drops[0].Configure(func(o *popd.Options) { o.SizeOffset = n }) }
	}
	return []row{
		{id: "S4", name: "no UIDL",
			says: "3 messages without a UIDL", options: withPop(func(o *popd.Options) { o.NoUIDL = true })},
		{id: "S4", name: "UIDL announced and refused",
			says: "3 messages without a UIDL", fault: answers(map[string]string{"UIDL": "-ERR unknown command\r\n"})},
		{id: "S5", name: "no UIDL for one message",
			says: "1 message without a UIDL",
			fault: func(w *voyage.World) {
				w.Drops[0].Configure(func(o *popd.Options) {
					o.UIDL = func(_ int, raw []byte) string {
						return strings.TrimSuffix("u"+subjectNumber(raw), "u1")
					}
				})
			}},
		{id: "S6", name: "the same UIDL twice",
			says: "2 messages with a repeated UIDL", options: withPop(func(o *popd.Options) { o.DuplicateUIDLs = true })},
		{id: "S6", name: "the same UIDL twice for the same mail",
			says: "2 messages with a repeated UIDL", mail: copies(letter(0), 3),
			options: withPop(func(o *popd.Options) { o.DuplicateUIDLs = true })},
		{id: "S7", name: "all UIDLs change", prior: true, setup: number("a"), fault: number("b"),
			options: func(o *voyage.Options) { o.Keep = plan.Keep{} }, says: "UIDLs were renumbered",
			only: func(c combination) bool { return !c.delete },
			also: func(p *player, r ferry.Report) {
				if r.Totals.Delivered != 0 {
					p.Errorf("delivered %d again", r.Totals.Delivered)
				}
			}},
		{id: "S8", name: "LIST says more than RETR gives, a little", fault: offset(40)},
		{id: "S8", name: "LIST says much more than RETR gives",
			says: "3 messages shorter than the POP3 server says", fault: offset(5000), cure: offset(0)},
		{id: "S8", name: "LIST says less than RETR gives", fault: offset(-40)},
		{id: "S7", name: "all UIDLs change, then a deletion", prior: true, setup: number("a"),
			options: func(o *voyage.Options) { o.Keep = plan.Keep{} }, says: "UIDLs were renumbered",
			fault: func(w *voyage.World) {
				number("b")(w)
				deleteFromNow(w)
			}, only: func(c combination) bool { return c.delete },
			also: func(p *player, r ferry.Report) {
				if r.Totals.Delivered != 0 || r.Totals.Deleted != 3 {
					p.Errorf("%d delivered again, %d deleted", r.Totals.Delivered, r.Totals.Deleted)
				}
			}},
		{id: "S8", name: "another length each time, all of them short",
			says: "shorter than announced", code: fault.Held, cure: healed,
			fault: func(w *voyage.World) {
				n := 0
				setReply(w, func(cmd string, number int) ([]byte, bool) {
					n++
					return []byte(retrieved(append(letter(1)[:100+n], "\r\n"...))), cmd == "RETR" && number == 2
				})
			}},
		{id: "S9", name: "other message numbers after a run", prior: true, mail: letters(0, 4),
			options: func(o *voyage.Options) { o.Keep = plan.Keep{} },
			fault: func(w *voyage.World) {
				w.Drops[0].Shuffle(3, 1, 4, 2)
				w.Arrive(0, letter(9))
			}, only: func(c combination) bool { return !c.delete },
			also: func(p *player, r ferry.Report) {
				if r.Totals.Delivered != 1 {
					p.Errorf("%d delivered", r.Totals.Delivered)
				}
			}},
		{id: "S9", name: "other message numbers in each session", prior: true, mail: letters(0, 4),
			options: func(o *voyage.Options) { o.Keep = plan.Keep{} },
			fault: func(w *voyage.World) {
				w.Drops[0].Shuffle(3, 1, 4, 2)
				w.Arrive(0, letter(9))
				deleteFromNow(w)
			}, only: func(c combination) bool { return c.delete }},
	}
}

func sessions() []row {
	var once sync.Map
	// isFirst reports the first time that something happens in a world.
	isFirst := func(w *voyage.World) bool {
		_, before := once.LoadOrStore(w, true)
		return !before
	}
	during := func(verb string, act func(*voyage.World)) func(*voyage.World) {
		return func(w *voyage.World) {
			setReply(w, func(cmd string, _ int) ([]byte, bool) {
				if cmd == verb && isFirst(w) {
					act(w)
				}
				return nil, false
			})
		}
	}
	return []row{
		{id: "S10", name: "expunged by another client",
			says: "RETR 2 refused", code: fault.Held, limit: 5 * time.Minute,
			fault: during("RETR", func(w *voyage.World) { w.TakeAway(0, 2) })},
		{id: "S11", name: "new mail in the middle of a session",
			fault: during("RETR", func(w *voyage.World) { w.Arrive(0, letter(9)) })},
		{id: "S12", name: "the maildrop shows a page at a time", mail: letters(0, 250),
			fault: during("QUIT", func(w *voyage.World) { w.Arrive(0, letters(300, 2)...) }),
			also: func(p *player, r ferry.Report) {
				if r.Totals.Delivered != 252 {
					p.Errorf("%d delivered of 250 and then 2 more", r.Totals.Delivered)
				}
			}},
		{id: "S12", name: "QUIT removes what was retrieved", says: "EXPIRE 0",
			options: withPop(func(o *popd.Options) { o.ExpireAtOnce = true })},
		{id: "S12", name: "QUIT removes what was retrieved, unannounced", setup: expireRetrieved},
		{id: "S12", name: "QUIT removes what was retrieved, and the destination is full",
			says: "[OVERQUOTA] full", setup: expireRetrieved,
			code: fault.Refused, fault: always(imapd.AtStore, "APPEND", imapd.Action{Reply: "NO [OVERQUOTA] full"}),
			also: noQuit, cure: noImapReply},
		{id: "S12", name: "QUIT removes what was retrieved, unannounced, and one message is refused",
			says:  "[CANNOT] no",
			setup: expireRetrieved, code: fault.Held, also: noQuit,
			options: refuse("Text of letter 1.", "NO [CANNOT] no"), cure: takesAll,
			only: func(c combination) bool { return !c.delete }},
		{id: "S12", name: "QUIT removes what was retrieved, unannounced, and one message can't be read",
			says:  "nobody can tell which dots belong",
			setup: expireRetrieved, code: fault.Held, also: noQuit,
			mail:    [][]byte{append(letter(0), "..two dots\r\n"...)},
			options: withPop(func(o *popd.Options) { o.Unstuffed = true }),
			cure: func(w *voyage.World) {
				w.Drops[0].Configure(func(o *popd.Options) { o.Unstuffed = false })
				w.Tune = func(o *ferry.Options) { o.Held = true }
			}, only: func(c combination) bool { return !c.delete }},
		{id: "S17", name: "one message refused for ever", says: "RETR 2 refused", code: fault.Held,
			fault: answers(map[string]string{"RETR 2": "-ERR internal error\r\n"}), cure: obedient},
		{id: "S17", name: "one message refused in four runs", says: "RETR 2 refused", code: fault.Held,
			fault: func(w *voyage.World) {
				answers(map[string]string{"RETR 2": "-ERR internal error\r\n"})(w)
				for range 3 {
					quietly(w)
				}
			}, cure: func(w *voyage.World) {
				obedient(w)
				w.Tune = func(o *ferry.Options) { o.Held = true }
			}, only: func(c combination) bool { return !c.delete }},
		{id: "S18", name: "autologout while IMAP is slow", limit: 10 * time.Minute,
			fault: func(w *voyage.World) {
				first(imapd.AtStore, "APPEND", imapd.Action{Wait: 4 * time.Minute})(w)
				time.AfterFunc(time.Minute, w.Drops[0].Cut)
			}},
		{id: "S19", name: "EXPIRE", options: expiring, also: fiveDays},
		{id: "S19", name: "EXPIRE before what is kept is due", options: func(o *voyage.Options) {
			expiring(o)
			o.Keep = plan.Keep{Delete: true, For: 30 * 24 * time.Hour}
		}, also: fiveDays, left: 3, only: func(c combination) bool { return c.delete },
			says: "keep: 30d is longer than mail stays: the POP3 server removes mail after 5 days by itself (EXPIRE 5)"},
		{id: "S19", name: "EXPIRE, and one message is held", also: fiveDays, code: fault.Held,
			options: func(o *voyage.Options) {
				expiring(o)
				o.Imap.Refuse = refusing("Text of letter 1.", "NO [CANNOT] no")
			}, cure: takesAll, only: func(c combination) bool { return !c.delete },
			says: "1 message held, and the POP3 server removes mail after 5 days by itself (EXPIRE 5)"},
		{id: "S19", name: "EXPIRE, and one message was held before", prior: true, also: fiveDays, code: fault.Held,
			options: func(o *voyage.Options) {
				expiring(o)
				o.Imap.Refuse = refusing("Text of letter 1.", "NO [CANNOT] no")
			}, cure: takesAll, only: func(c combination) bool { return !c.delete },
			says: "1 message held, and the POP3 server removes mail after 5 days by itself (EXPIRE 5)"},
		{id: "S19", name: "EXPIRE, and what was delivered is removed", prior: true, options: expiring, also: fiveDays,
			fault: func(w *voyage.World) {
				w.TakeAway(0, 2)
				w.Arrive(0, letter(9))
			}, only: func(c combination) bool { return !c.delete }},
	}
}

// takesAll has the destination refuse nothing, and tries held mail again.
func takesAll(w *voyage.World) {
	w.Imap.Configure(func(o *imapd.Options) { o.Reply, o.Refuse = nil, nil })
	w.Tune = func(o *ferry.Options) { o.Held, o.ConfirmDelete = true, true }
}

func expiring(o *voyage.Options) { o.Pop.Capabilities = []string{"EXPIRE 5"} }

// fiveDays makes sure that the report has after how many days the server removes mail, and that
// a person is told once of what that means.
func fiveDays(p *player, r ferry.Report) {
	p.Helper()
	if got := r.Accounts[0].Retention.Days; got != 5 {
		p.Errorf("the report has %d days", got)
	}
	if told := strings.Count(strings.Join(r.Accounts[0].Notes, "\n"), "(EXPIRE 5)"); told > 1 {
		p.Errorf("told %d times", told)
	}
}

func deletionRows() []row {
	deletes := func(c combination) bool { return c.delete }
	named := func(w *voyage.World) {
		w.Drops[0].Configure(func(o *popd.Options) {
			o.UIDL = func(n int, _ []byte) string { return fmt.Sprintf("place%d", n) }
		})
	}
	return []row{
		{id: "S13", name: "QUIT without an answer",
			says: "closed the connection", code: fault.Temporary, only: deletes, limit: 20 * time.Minute,
			fault: silence("QUIT", 0), cure: obedient},
		{id: "S13", name: "QUIT: some not removed",
			says: "some deleted messages not removed", code: fault.Temporary, only: deletes, cure: obedient,
			fault: answers(map[string]string{"QUIT": "-ERR some deleted messages not removed\r\n"})},
		{id: "S13", name: "QUIT: some removed, some not",
			says: "some deleted messages were not removed", code: fault.Temporary, only: deletes, cure: obedient,
			fault: func(w *voyage.World) {
				setReply(w, func(cmd string, _ int) ([]byte, bool) {
					if cmd != "QUIT" || w.Drops[0].Counters().Dele == 0 {
						return nil, false
					}
					w.Drops[0].Expunge(2)
					return []byte("-ERR some deleted messages not removed\r\n"), true
				})
			}},
		{id: "S14", name: "the session ends between DELE and QUIT",
			says: "closed the connection", code: fault.Temporary, only: deletes,
			fault: func(w *voyage.World) {
				setReply(w, func(cmd string, n int) ([]byte, bool) {
					if cmd == "DELE" && n == 2 {
						w.Drops[0].Cut()
					}
					return nil, false
				})
			}, cure: obedient, limit: 20 * time.Minute},
		{id: "S14", name: "DELE refused",
			says: "1 message kept on POP3, the first for this reason", only: deletes, cure: obedient,
			fault: answers(map[string]string{"DELE 2": "-ERR no\r\n"})},
		{id: "S15", name: "a UIDL used again at once, same size", prior: true, only: deletes, setup: named,
			fault: func(w *voyage.World) { w.Arrive(0, letter(5)) }},
		{id: "S15", name: "a UIDL used again later, same size", prior: true, only: deletes, setup: named,
			fault: func(w *voyage.World) {
				quietly(w)
				w.Arrive(0, letter(5))
			}},
		{id: "S15", name: "a UIDL used again at once, other size", prior: true, only: deletes, setup: named,
			fault: func(w *voyage.World) { w.Arrive(0, big(5, 700)) }},
		{id: "S16", name: "TOP refused before a deletion", only: deletes,
			fault: answers(map[string]string{"TOP": "-ERR unknown command\r\n"})},
		{id: "S16", name: "TOP refused without a journal", prior: true, limit: 5 * time.Minute,
			options: func(o *voyage.Options) { o.Keep = plan.Keep{} },
			fault: func(w *voyage.World) {
				w.Forget()
				answers(map[string]string{"TOP": "-ERR unknown command\r\n"})(w)
			}, only: func(c combination) bool { return !c.delete }},
		{id: "S16", name: "TOP of one message refused before a deletion",
			says: "1 message kept on POP3: not given again with the header", only: deletes, cure: obedient,
			fault: answers(map[string]string{"TOP 2": "-ERR internal error\r\n"})},
		{id: "S16", name: "TOP gives another header", only: deletes, cure: obedient,
			fault: answers(map[string]string{"TOP 2": retrieved([]byte("Subject: another\r\n\r\n"))}),
			also: func(p *player, r ferry.Report) {
				if left := p.w.Drops[0].Messages(); len(left) != 1 || !strings.Contains(string(left[0]), "letter 1") {
					p.Errorf("%d left", len(left))
				}
				if notes := strings.Join(r.Accounts[0].Notes, "; "); !strings.Contains(notes, "1 message kept on POP3") {
					p.Errorf("notes %q", notes)
				}
			}},
	}
}
