package steps_test

import (
	"fmt"
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
func TestPOP3Semantics(t *testing.T) {
	rows := logins()
	rows = append(rows, listings()...)
	rows = append(rows, sessions()...)
	rows = append(rows, deletionRows()...)
	table(t, rows)
}

func logins() []row {
	auth := func(reply string) func(*voyage.World) {
		return answers(map[string]string{"AUTH": reply + "\r\n"})
	}
	base := row{cure: obedient, limit: time.Minute}
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
		row{id: "S2", name: "LOGIN-DELAY in a refusal", code: fault.Temporary, cure: obedient,
			fault: auth("-ERR [LOGIN-DELAY] once in five minutes")},
	)
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
		{id: "S4", name: "no UIDL", options: withPop(func(o *popd.Options) { o.NoUIDL = true })},
		{id: "S4", name: "UIDL announced and refused",
			fault: answers(map[string]string{"UIDL": "-ERR unknown command\r\n"})},
		{id: "S5", name: "no UIDL for one message",
			fault: answers(map[string]string{"UIDL": "+OK\r\n1 a\r\n3 c\r\n.\r\n"}),
			only:  func(c combination) bool { return !c.delete }},
		{id: "S6", name: "the same UIDL twice", options: withPop(func(o *popd.Options) { o.DuplicateUIDLs = true })},
		{id: "S6", name: "the same UIDL twice for the same mail", mail: copies(letter(0), 3),
			options: withPop(func(o *popd.Options) { o.DuplicateUIDLs = true })},
		{id: "S7", name: "all UIDLs change", prior: true, setup: number("a"), fault: number("b"),
			also: func(p *player, r ferry.Report) {
				if r.Totals.Delivered != 0 {
					p.Errorf("delivered %d again", r.Totals.Delivered)
				}
			}},
		{id: "S8", name: "LIST says more than RETR gives, a little", fault: offset(40)},
		{id: "S8", name: "LIST says much more than RETR gives", fault: offset(5000), cure: offset(0)},
		{id: "S8", name: "LIST says less than RETR gives", fault: offset(-40)},
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
	// first reports the first time that something happens in a world.
	first := func(w *voyage.World) bool {
		_, before := once.LoadOrStore(w, true)
		return !before
	}
	during := func(verb string, act func(*voyage.World)) func(*voyage.World) {
		return func(w *voyage.World) {
			setReply(w, func(cmd string, _ int) ([]byte, bool) {
				if cmd == verb && first(w) {
					act(w)
				}
				return nil, false
			})
		}
	}
	return []row{
		{id: "S10", name: "expunged by another client", code: fault.Held, limit: 5 * time.Minute,
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
		{id: "S17", name: "one message refused for ever", code: fault.Held,
			fault: answers(map[string]string{"RETR 2": "-ERR internal error\r\n"}), cure: obedient},
		{id: "S17", name: "one message refused in four runs", code: fault.Held,
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
				imapReply(once1(imapd.AtStore, imapd.Action{Wait: 4 * time.Minute}))(w)
				time.AfterFunc(time.Minute, w.Drops[0].Cut)
			}},
		{id: "S19", name: "EXPIRE", options: withPop(func(o *popd.Options) { o.Capabilities = []string{"EXPIRE 5"} })},
	}
}

func once1(stage imapd.Stage, a imapd.Action) func(imapd.Event) imapd.Action {
	return once(1, at(stage, "APPEND", a))
}

func deletionRows() []row {
	deletes := func(c combination) bool { return c.delete }
	named := func(w *voyage.World) {
		w.Drops[0].Configure(func(o *popd.Options) {
			o.UIDL = func(n int, _ []byte) string { return fmt.Sprintf("place%d", n) }
		})
	}
	return []row{
		{id: "S13", name: "QUIT without an answer", code: fault.Temporary, only: deletes, limit: 20 * time.Minute,
			fault: silence("QUIT", 0), cure: obedient},
		{id: "S13", name: "QUIT: some not removed", code: fault.Temporary, only: deletes, cure: obedient,
			fault: answers(map[string]string{"QUIT": "-ERR some deleted messages not removed\r\n"})},
		{id: "S13", name: "QUIT: some removed, some not", code: fault.Temporary, only: deletes, cure: obedient,
			fault: func(w *voyage.World) {
				setReply(w, func(cmd string, _ int) ([]byte, bool) {
					if cmd != "QUIT" || w.Drops[0].Counters().Dele == 0 {
						return nil, false
					}
					w.Drops[0].Expunge(2)
					return []byte("-ERR some deleted messages not removed\r\n"), true
				})
			}},
		{id: "S14", name: "the session ends between DELE and QUIT", code: fault.Temporary, only: deletes,
			fault: func(w *voyage.World) {
				setReply(w, func(cmd string, n int) ([]byte, bool) {
					if cmd == "DELE" && n == 2 {
						w.Drops[0].Cut()
					}
					return nil, false
				})
			}, cure: obedient, limit: 20 * time.Minute},
		{id: "S14", name: "DELE refused", only: deletes, cure: obedient,
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
		{id: "S16", name: "TOP of one message refused before a deletion", only: deletes, cure: obedient,
			fault: answers(map[string]string{"TOP 2": "-ERR internal error\r\n"})},
		{id: "S16", name: "TOP gives another header", only: deletes, cure: obedient,
			fault: answers(map[string]string{"TOP 2": retrieved([]byte("Subject: another\r\n\r\n"))}),
			also: func(p *player, _ ferry.Report) {
				if left := p.w.Drops[0].Messages(); len(left) != 1 || !strings.Contains(string(left[0]), "letter 1") {
					p.Errorf("%d left", len(left))
				}
			}},
	}
}
