//go:build !race

package steps_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/voyage"
	"github.com/popferry/popferry/internal/wire"
)

// TestIMAP has the rows of the list of IMAP faults.
func TestIMAP(t *testing.T) { table(t, imapFaults()) }

func imapFaults() []row {
	return slices.Concat(lostAnswers(), refusedAppends(), refusedLogins(), silences(), uids(), noise(), places())
}

// always acts at every stage of that kind.
func always(stage imapd.Stage, command string, a imapd.Action) func(*voyage.World) {
	return imapReply(func(e imapd.Event) imapd.Action {
		if e.Stage == stage && e.Command == command {
			return a
		}
		return imapd.Action{}
	})
}

// first acts once in each world.
func first(stage imapd.Stage, command string, a imapd.Action) func(*voyage.World) {
	return times(1, stage, command, a)
}

// times acts so often in each world.
func times(n int, stage imapd.Stage, command string, a imapd.Action) func(*voyage.World) {
	return func(w *voyage.World) { imapReply(atMost(n, at(stage, command, a)))(w) }
}

// singly has no MULTIAPPEND.
var singly = withImap(func(o *imapd.Options) { o.NoMultiAppend = true })

// asking has no LITERAL+ either, so that each literal waits for its permission.
var asking = withImap(func(o *imapd.Options) { o.NoMultiAppend, o.Literals = true, imapd.LiteralSync })

// noQuit makes sure that a session which retrieved what is not delivered did not
// end in QUIT.
func noQuit(p *player, _ ferry.Report) {
	p.Helper()
	if c := p.w.Drops[0].Counters(); c.Quit > 0 && len(c.Retr) > 0 {
		p.Errorf("%d QUIT after RETR", c.Quit)
	}
}

func lostAnswers() []row {
	cut := imapd.Action{Cut: imapd.FIN}
	settling := 2*voyage.Settle + 3*time.Minute
	return []row{
		{id: "A1", name: "cut before the literal, once", fault: first(imapd.AtCommand, "APPEND", cut)},
		{id: "A1", name: "no permission and a cut, always",
			says: "closed the connection", options: asking, code: fault.Temporary, limit: settling,
			fault: always(imapd.AtCommand, "APPEND", cut), cure: noImapReply, also: noQuit},
		{id: "A1", name: "cut before the literal, always",
			says: "closed the connection", code: fault.Temporary, limit: 30 * time.Minute,
			fault: always(imapd.AtCommand, "APPEND", cut), cure: noImapReply},
		{id: "A2", name: "cut before the answer, once, stored", limit: settling,
			fault: first(imapd.AtReply, "APPEND", cut)},
		{id: "A2", name: "cut before the answer, once, not stored", limit: settling,
			fault: first(imapd.AtStore, "APPEND", cut)},
		{id: "A2", name: "cut before the answer, always, stored", limit: settling,
			fault: always(imapd.AtReply, "APPEND", cut), cure: noImapReply},
		{id: "A2", name: "cut before the answer, always, stored, singly", limit: 2 * settling, options: singly,
			fault: always(imapd.AtReply, "APPEND", cut), cure: noImapReply},
		{id: "A2", name: "cut before the answer, always, not stored",
			says: "closed the connection", code: fault.Temporary, limit: 30 * time.Minute,
			fault: always(imapd.AtStore, "APPEND", cut), cure: noImapReply},
		{id: "A2", name: "one message that ends every connection",
			says: "the destination never answered when it was sent, and it is not there", mail: letters(0, 5), code: fault.Held,
			limit: 30 * time.Minute, fault: imapReply(func(e imapd.Event) imapd.Action {
				if e.Stage == imapd.AtStore && bytes.Contains(bytes.Join(e.Messages, nil), []byte("letter 3.")) {
					return cut
				}
				return imapd.Action{}
			}), cure: func(w *voyage.World) {
				noImapReply(w)
				w.Tune = func(o *ferry.Options) { o.Held = true }
			}},
		{id: "A2", name: "cut before the answer, and no wait wished for",
			says: "3 appends unresolved", code: fault.Temporary, limit: time.Minute,
			fault: func(w *voyage.World) {
				first(imapd.AtStore, "APPEND", cut)(w)
				w.Tune = noWait(true)
			}, cure: func(w *voyage.World) { w.Tune = noWait(false) }},
		{id: "A3", name: "death between the answer and the journal", dies: atDelivered},
		{id: "A3", name: "death between the answer and the journal, no UIDPLUS", dies: atDelivered,
			options: withImap(func(o *imapd.Options) { o.NoUIDPlus = true })},
		{id: "A3", name: "death between the answer and the journal, singly", dies: atDelivered, options: singly},
		{id: "A12", name: "BYE at the greeting",
			says: "ended the session: too busy", code: fault.Temporary, cure: noImapReply,
			fault: imapReply(func(e imapd.Event) imapd.Action {
				if e.Stage == imapd.AtGreeting {
					return imapd.Action{Bye: "too busy"}
				}
				return imapd.Action{}
			})},
		{id: "A12", name: "BYE before a literal", fault: first(imapd.AtCommand, "APPEND", imapd.Action{Bye: "timeout"})},
		{id: "A12", name: "BYE in the middle of an append", limit: settling,
			fault: first(imapd.AtLiteral, "APPEND", imapd.Action{Bye: "Session expired, please login again."})},
		{id: "A12", name: "BYE after the answer", limit: settling,
			fault: first(imapd.AtReply, "APPEND", imapd.Action{Bye: "shutting down"})},
		{id: "A12", name: "asked to stay away before anything was begun", code: fault.Temporary, limit: time.Minute,
			says: "run again in 2m", cure: noImapReply, fault: first(imapd.AtReply, "EXAMINE", imapd.Action{
				Reply: "NO Request is throttled. Suggested Backoff Time: 120000 milliseconds"})},
		{id: "A12", name: "an append asked to stay away for two minutes", least: 2 * time.Minute,
			limit: settling + 2*time.Minute, fault: first(imapd.AtStore, "APPEND", imapd.Action{
				Reply: "NO Request is throttled. Suggested Backoff Time: 120000 milliseconds"})},
		{id: "A12", name: "an append asked to stay away for an hour", code: fault.Temporary, limit: time.Minute,
			says: "run again in 1h", cure: noImapReply, fault: first(imapd.AtStore, "APPEND", imapd.Action{
				Reply: "NO Request is throttled. Suggested Backoff Time: 3600000 milliseconds"})},
		{id: "A12", name: "BYE of a throttled account", code: fault.Temporary, cure: noImapReply,
			limit: time.Minute, says: "run again in 10m",
			fault: first(imapd.AtLiteral, "APPEND", imapd.Action{Bye: "[THROTTLED] Account exceeded bandwidth limits"})},
	}
}

// atDelivered likes the step at which what the server confirmed is about to be
// recorded.
func atDelivered(step string) bool { return step == "journal before put "+string(journal.Delivered) }

func noWait(on bool) func(*ferry.Options) {
	return func(o *ferry.Options) { o.NoWait, o.ConfirmDelete = on, true }
}

func refusedAppends() []row {
	refuse := func(reply string) func(*voyage.World) {
		return always(imapd.AtStore, "APPEND", imapd.Action{Reply: reply})
	}
	rows := []row{
		{id: "A5", name: "OK with OVERQUOTA", says: "[OVERQUOTA] nearly full", fault: func(w *voyage.World) {
			always(imapd.AtReply, "APPEND", imapd.Action{Reply: "OK [OVERQUOTA] nearly full"})(w)
		}},
		{id: "A5", name: "quota, no QUIT",
			says: "[OVERQUOTA] full", code: fault.Refused, fault: refuse("NO [OVERQUOTA] full"),
			also: onlySession, cure: noImapReply},
		{id: "A4", name: "folder gone for one append", cure: noImapReply,
			fault: first(imapd.AtStore, "APPEND", imapd.Action{Reply: "NO [TRYCREATE] no such folder"})},
		{id: "A6", name: "over APPENDLIMIT", mail: [][]byte{letter(0), big(1, 5000), letter(2)},
			code: fault.Held, healthy: fault.Held, left: 1, says: "larger than the destination accepts",
			options: withImap(func(o *imapd.Options) { o.AppendLimit = 4000 }),
			setup:   func(w *voyage.World) { w.Undeliverable(big(1, 5000)) }},
		{id: "A6", name: "over an APPENDLIMIT that grows",
			says: "larger than the destination accepts (5.1 kB > 4.0 kB)", mail: [][]byte{letter(0), big(1, 5000), letter(2)},
			code: fault.Held, options: withImap(func(o *imapd.Options) { o.AppendLimit = 4000 }),
			cure: func(w *voyage.World) { w.Imap.Configure(func(o *imapd.Options) { o.AppendLimit = 40_000 }) }},
		{id: "A7", name: "refused, and wrapped", left: 1, options: func(o *voyage.Options) {
			o.Form, o.Imap.Refuse = voyage.Unwrapped, refusing("Text of letter 1.", "NO [CANNOT] no")
		}, setup: func(w *voyage.World) { w.Config.Accounts[0].Repair = "wrap" }},
		{id: "A7", name: "empty message",
			says: "it is empty (0 bytes)", mail: join(letters(0, 2), [][]byte{{}}), code: fault.Held, healthy: fault.Held,
			setup: func(w *voyage.World) { w.Undeliverable([]byte{}) }, left: 1},
		{id: "A9", name: "one message refused for a moment, for ever",
			says: "[SERVERBUG] crashed", mail: letters(0, 5), code: fault.Held,
			limit: 30 * time.Minute, cure: takesAll, fault: func(w *voyage.World) {
				w.Imap.Configure(func(o *imapd.Options) {
					o.Refuse = refusing("Text of letter 3.", "NO [SERVERBUG] crashed")
				})
			}},
		{id: "A9", name: "no code, all of many", mail: letters(0, 60), code: fault.Refused, cure: takesAll,
			says: "10 messages in a row refused, and none taken; the last time: IMAP server", fault: refuse("NO internal error"), also: fewHeld},
		{id: "A9", name: "no code, all of many, singly",
			says: "10 messages in a row refused, and none taken", mail: letters(0, 60), options: singly,
			code: fault.Refused, cure: takesAll, fault: refuse("NO internal error"), also: fewHeld},
		{id: "A9", name: "no code, once", fault: first(imapd.AtStore, "APPEND", imapd.Action{Reply: "NO internal"})},
		{id: "A13", name: "BAD about a date",
			says: "3 messages delivered without INTERNALDATE and flags", fault: imapReply(func(e imapd.Event) imapd.Action {
				if e.Stage == imapd.AtStore && e.Command == "APPEND" && strings.Contains(e.Line, `-2026 `) {
					return imapd.Action{Reply: "BAD invalid date-time"}
				}
				return imapd.Action{}
			})},
		{id: "A14", name: "NO in the place of +",
			says: "[OVERQUOTA] full", options: asking, code: fault.Refused, cure: noImapReply,
			fault: always(imapd.AtCommand, "APPEND", imapd.Action{Reply: "NO [OVERQUOTA] full"}), also: noQuit},
		{id: "A14", name: "NO in the place of +, for a large message",
			says: "too large for the destination", mail: [][]byte{letter(0), big(1, 1200<<10), letter(2)},
			code: fault.Held, healthy: fault.Held, left: 1, fault: func(w *voyage.World) {
				w.Undeliverable(big(1, 1200<<10))
				w.Imap.Configure(func(o *imapd.Options) {
					o.Refuse = func(raw []byte) string {
						if len(raw) > 1<<20 {
							return "NO [TOOBIG] no"
						}
						return ""
					}
				})
			}},
	}
	for id, replies := range map[string]map[string]fault.Code{
		"A4": {"NO [TRYCREATE] no such folder": fault.Refused},
		"A5": {"NO [OVERQUOTA] full": fault.Refused},
		"A6": {"NO [LIMIT] too many": fault.Held, "NO [TOOBIG] no": fault.Held, "BAD [TOOBIG] no": fault.Held},
		"A7": {"NO [CANNOT] no": fault.Held, "NO Message contains NUL characters": fault.Held,
			"NO Message contains bare newlines": fault.Held, "NO Message contains invalid header": fault.Held,
			"NO Message contains non-ASCII characters in headers": fault.Held,
			"NO Can't save a zero byte message":                   fault.Held},
		"A9": {"NO [UNAVAILABLE] later": fault.Temporary, "NO [INUSE] later": fault.Temporary,
			"NO [SERVERBUG] crashed": fault.Temporary, "NO [CORRUPTION] broken": fault.Temporary,
			"NO internal error": fault.Held},
		"A10": {"NO [NOPERM] no": fault.Refused, "NO [AUTHORIZATIONFAILED] no": fault.Credentials,
			"NO [PRIVACYREQUIRED] no": fault.TLS, "NO [EXPIRED] no": fault.Credentials,
			"NO [CONTACTADMIN] no": fault.Refused},
		"A13": {"BAD what": fault.Held, "BAD [CLIENTBUG] what": fault.Held},
	} {
		rows = append(rows, exitCodes(row{id: id, name: "append refused with", cure: takesAll}, replies, refuse)...)
	}
	return append(rows, row{id: "A8", name: "append refused with an ALERT", code: fault.Held, cure: takesAll,
		fault: refuse("NO [ALERT] look here \x1b[31m"), says: `look here \x1b[31m`})
}

// onlySession makes sure that a refusal for good was taken as one: nobody came
// back to retrieve more, and nobody said QUIT.
func onlySession(p *player, r ferry.Report) {
	p.Helper()
	noQuit(p, r)
	if n := p.w.Drops[0].Counters().Sessions; n != 1 {
		p.Errorf("%d POP3 sessions", n)
	}
}

// fewHeld makes sure that a destination which takes nothing does not have all
// mail held.
func fewHeld(p *player, r ferry.Report) {
	p.Helper()
	if n := r.Totals.Held; n < 10 || n > 15 {
		p.Errorf("%d held", n)
	}
}

func refusedLogins() []row {
	refuse := func(reply string) func(*voyage.World) {
		return always(imapd.AtCommand, "AUTHENTICATE", imapd.Action{Reply: reply})
	}
	greeting := func(a imapd.Action) func(*voyage.World) {
		return imapReply(func(e imapd.Event) imapd.Action {
			if e.Stage == imapd.AtGreeting {
				return a
			}
			return imapd.Action{}
		})
	}
	plain := func(w *voyage.World) {
		noImapReply(w)
		w.Config.Accounts[0].Destination.TLS = wire.None
	}
	unsaid := func(p *player, _ ferry.Report) {
		if n := p.w.Imap.Counters().ClearLogins; n > 0 {
			p.Errorf("%d logins in clear text", n)
		}
	}
	rows := exitCodes(row{id: "A11", name: "login refused with", cure: noImapReply}, map[string]fault.Code{
		"NO [AUTHENTICATIONFAILED] no": fault.Credentials,
		"NO [UNAVAILABLE] later":       fault.Temporary,
		"NO no":                        fault.Credentials,
		"NO [REFERRAL imap://evil.example.com/] go there": fault.Credentials,
		"NO too many connections":                         fault.Temporary,
	}, refuse)
	return append(rows,
		row{id: "A22", name: "PREAUTH before TLS",
			says: "logged in already (PREAUTH)", code: fault.TLS, also: unsaid, cure: plain,
			setup: func(w *voyage.World) { w.Config.Accounts[0].Destination.TLS = wire.STARTTLS },
			fault: greeting(imapd.Action{Reply: "PREAUTH welcome back"})},
		row{id: "A22", name: "PREAUTH without TLS",
			says: "logged in already (PREAUTH)", code: fault.TLS, also: unsaid, cure: plain,
			fault: greeting(imapd.Action{Reply: "PREAUTH welcome back"})},
		row{id: "A22", name: "STARTTLS not offered",
			says: "TLS required but not offered", code: fault.TLS, also: unsaid, cure: plain,
			setup: func(w *voyage.World) { w.Config.Accounts[0].Destination.TLS = wire.STARTTLS }},
		row{id: "A22", name: "an answer before any command",
			says: "which answers nothing we asked", code: fault.TLS, also: unsaid, cure: plain,
			setup: func(w *voyage.World) { w.Config.Accounts[0].Destination.TLS = wire.STARTTLS },
			fault: always(imapd.AtCommand, "CAPABILITY", imapd.Action{Raw: "a1 OK begin TLS\r\n"}),
			// The greeting must not tell the capabilities, or nobody asks.
			options: withImap(func(o *imapd.Options) { o.NoGreetingCapability = true })},
		row{id: "A22", name: "an answer to nothing",
			says: "which answers nothing we asked", code: fault.Protocol, cure: noImapReply,
			fault: always(imapd.AtReply, "AUTHENTICATE", imapd.Action{Raw: "zzz1 OK logged in\r\n"})},
		row{id: "A22", name: "not IMAP",
			says: "is a POP3 server, not an IMAP server", code: fault.Protocol, cure: noImapReply,
			fault: greeting(imapd.Action{Raw: "+OK POP3 ready\r\n"})},
	)
}

func silences() []row {
	silent := imapd.Action{Silent: true}
	return []row{
		{id: "A15", name: "no + once", options: asking, limit: 5 * time.Minute,
			fault: first(imapd.AtCommand, "APPEND", silent)},
		{id: "A15", name: "no + ever",
			says: "did not ask for the message within 1m", options: asking, code: fault.Temporary, limit: 30 * time.Minute,
			fault: always(imapd.AtCommand, "APPEND", silent), cure: noImapReply},
		{id: "A15", name: "no answer once, stored", limit: 15 * time.Minute,
			fault: first(imapd.AtReply, "APPEND", silent)},
		{id: "A15", name: "no answer once, not stored", limit: 15 * time.Minute,
			fault: first(imapd.AtStore, "APPEND", silent)},
		{id: "A15", name: "no answer to a FETCH", limit: 10 * time.Minute,
			setup: func(w *voyage.World) { w.Prefill("INBOX", letters(2, 2)...) },
			fault: first(imapd.AtCommand, "UID FETCH", silent)},
		{id: "A15", name: "no greeting", says: "said nothing for 30s", code: fault.Temporary, cure: noImapReply,
			fault: imapReply(func(e imapd.Event) imapd.Action {
				return imapd.Action{Silent: e.Stage == imapd.AtGreeting}
			})},
		{id: "A16", name: "a slow server", limit: 10 * time.Minute,
			fault: always(imapd.AtStore, "APPEND", imapd.Action{Wait: 4 * time.Minute})},
		{id: "A16", name: "an upload that stalls", mail: [][]byte{big(0, 900<<10)}, limit: 20 * time.Minute,
			fault: first(imapd.AtCommand, "APPEND", imapd.Action{Wait: 24 * time.Hour})},
	}
}

func uids() []row {
	said := func(text string) func(*voyage.World) {
		return always(imapd.AtReply, "APPEND", imapd.Action{Reply: text})
	}
	none := []string{"missing: 0 instead of 1", "missing: 0 instead of 1", "missing: 0 instead of 1"}
	// verify tells what is missing; without the journal all that is still on POP3 is brought.
	without := func(p *player) {
		p.does(verifies, fault.Held)
		p.w.Forget()
	}
	rows := []row{
		{id: "A17", name: "UIDVALIDITY changes during an append",
			says: "UIDVALIDITY of INBOX changed during the run", limit: 10 * time.Minute, code: fault.Temporary,
			fault: func(w *voyage.World) {
				changed := false
				imapReply(func(e imapd.Event) imapd.Action {
					if e.Stage == imapd.AtReply && e.Command == "APPEND" && !changed {
						changed = true
						w.Imap.User("").SetUIDValidity("INBOX", 4711)
						return imapd.Action{Cut: imapd.FIN}
					}
					return imapd.Action{}
				})(w)
			}},
		{id: "A17", name: "UIDVALIDITY changes between runs", prior: true, fault: func(w *voyage.World) {
			w.Imap.User("").SetUIDValidity("INBOX", 4711)
			w.Arrive(0, letter(9))
		}},
		{id: "A18", name: "no UIDPLUS", options: withImap(func(o *imapd.Options) { o.NoUIDPlus = true })},
		{id: "A18", name: "UIDPLUS announced and APPENDUID missing", fault: said("OK done")},
		{id: "A19", name: "UIDs that do not last, keep", code: fault.OK,
			options: withImap(func(o *imapd.Options) { o.UIDNotSticky = true }),
			only:    func(c combination) bool { return !c.delete }},
		{id: "A19", name: "UIDs that do not last, delete",
			says: "no lasting UIDs, so nothing is deleted from POP3", code: fault.Refused,
			options: withImap(func(o *imapd.Options) { o.UIDNotSticky = true }),
			only:    func(c combination) bool { return c.delete },
			cure:    func(w *voyage.World) { w.Imap.Configure(func(o *imapd.Options) { o.UIDNotSticky = false }) }},
		{id: "A19", name: "read-only", says: "nothing may be changed", code: fault.Refused,
			options: withImap(func(o *imapd.Options) { o.ReadOnly = true }),
			cure:    func(w *voyage.World) { w.Imap.Configure(func(o *imapd.Options) { o.ReadOnly = false }) }},
		{id: "A28", name: "an append confirmed and lost", hopeless: none, remedy: without,
			fault: first(imapd.AtStore, "APPEND", imapd.Action{Reply: "OK [APPENDUID 1001 1:3] done"}),
			also: func(p *player, _ ferry.Report) {
				if left := p.w.Left(); left != 3 {
					p.Errorf("%d left in the maildrop", left)
				}
			}, only: func(c combination) bool { return !c.delete }},
		{id: "A28", name: "an append confirmed and lost, then a deletion", hopeless: none, remedy: without,
			fault: first(imapd.AtStore, "APPEND", imapd.Action{Reply: "OK [APPENDUID 1001 1:3] done"}),
			says:  "3 messages kept on POP3: the copy is not where it was delivered",
			also: func(p *player, _ ferry.Report) {
				if left := p.w.Left(); left != 3 {
					p.Errorf("%d left in the maildrop", left)
				}
			}, only: func(c combination) bool { return c.delete }},
	}
	for _, text := range []string{
		"0 1:3", "1001 7:5", "1001 3", "1001 1:100", "1001 0", "1001 *", "1001 1:4294967295",
		"999 1:3", "1001", "x y", "4294967297 1:3",
	} {
		rows = append(rows, row{id: "A20", name: "APPENDUID " + text,
			fault: said("OK [APPENDUID " + text + "] done")})
	}
	return append(rows, row{id: "A20", name: "APPENDUID of foreign mail",
		setup: func(w *voyage.World) { w.Prefill("INBOX", letters(50, 3)...) },
		fault: said("OK [APPENDUID 1001 1:3] done")})
}

func noise() []row {
	raw := func(stage imapd.Stage, command, text string) func(*voyage.World) {
		return always(stage, command, imapd.Action{Raw: text})
	}
	there := func(w *voyage.World) { w.Prefill("INBOX", letters(2, 2)...) }
	lies := func(name string) func(*voyage.Options) {
		return withImap(func(o *imapd.Options) { o.Capabilities = []string{name} })
	}
	return []row{
		{id: "A21", name: "untagged data during an append",
			fault: raw(imapd.AtStore, "APPEND", "* 77 EXISTS\r\n* 0 RECENT\r\n* OK still here\r\n"+
				"* FLAGS (\\Seen)\r\n* 1 FETCH (FLAGS (\\Seen))\r\n")},
		{id: "A21", name: "EXPUNGE during an append", fault: raw(imapd.AtStore, "APPEND", "* 1 EXPUNGE\r\n")},
		{id: "A8", name: "ALERT when a folder is opened", says: "[ALERT] moving to a new server",
			fault: raw(imapd.AtCommand, "EXAMINE", "* OK [ALERT] moving to a new server\r\n")},
		{id: "A8", name: "ALERT in the answer to a login", says: "[ALERT] last login from afar",
			fault: always(imapd.AtReply, "AUTHENTICATE", imapd.Action{Reply: "OK [ALERT] last login from afar"})},
		{id: "X7", name: "a flood of ALERTs", says: "[ALERT] number 0", also: func(p *player, r ferry.Report) {
			if n := len(r.Accounts[0].Notes); n > 20 {
				p.Errorf("%d notes", n)
			}
		}, fault: imapReply(func(e imapd.Event) imapd.Action {
			var b strings.Builder
			for i := range 1000 {
				fmt.Fprintf(&b, "* OK [ALERT] number %d\r\n", i)
			}
			if e.Stage == imapd.AtStore {
				return imapd.Action{Raw: b.String()}
			}
			return imapd.Action{}
		})},
		{id: "A8", name: "ALERT during an append", says: `[ALERT] \x1b[2Jdown at noon`,
			fault: raw(imapd.AtStore, "APPEND", "* OK [ALERT] \x1b[2Jdown at noon\r\n")},
		{id: "A23", name: "a huge literal",
			says: "literal of 9999999999 bytes, more than the limit", setup: there, code: fault.Protocol, cure: noImapReply,
			fault: raw(imapd.AtCommand, "UID FETCH", "* 1 FETCH (UID 1 BODY[] {9999999999}\r\n")},
		{id: "A23", name: "a list bomb", says: "not IMAP syntax", setup: there, code: fault.Protocol, cure: noImapReply,
			fault: raw(imapd.AtCommand, "UID FETCH", "* 1 FETCH "+strings.Repeat("(", 5000)+"\r\n")},
		{id: "A23", name: "an endless line",
			says: "response of more than 65536 bytes", setup: there, code: fault.Protocol, cure: noImapReply,
			fault: raw(imapd.AtCommand, "UID FETCH", "* 1 FETCH (X-"+strings.Repeat("y", 2<<20)+"\r\n")},
		{id: "A24", name: "MULTIAPPEND announced and not known", options: func(o *voyage.Options) {
			lies("MULTIAPPEND")(o)
			o.Imap.NoMultiAppend = true
		}},
		{id: "A24", name: "UIDPLUS announced and not known", options: func(o *voyage.Options) {
			lies("UIDPLUS")(o)
			o.Imap.NoUIDPlus = true
		}},
		{id: "A24", name: "LITERAL+ announced and not known", options: func(o *voyage.Options) {
			lies("LITERAL+")(o)
			o.Imap.Literals, o.Imap.NoMultiAppend = imapd.LiteralSync, true
		}},
		{id: "A24", name: "LITERAL+ announced and not known, MULTIAPPEND known", limit: 20 * time.Minute,
			options: func(o *voyage.Options) {
				lies("LITERAL+")(o)
				o.Imap.Literals = imapd.LiteralSync
			}},
		{id: "A24", name: "NAMESPACE announced and not known", options: func(o *voyage.Options) {
			lies("NAMESPACE")(o)
			o.Imap.NoNamespace = true
		}},
	}
}

func places() []row {
	var rows []row
	for _, name := range []string{
		"A&B", `a "quoted" \ name`, "Ünïcödé/日本", "blank at end /x", "../../etc/passwd", "INBOX/below", "inbox", "{5}",
		"%", "*", strings.Repeat("long", 40),
	} {
		rows = append(rows, row{id: "A25", name: fmt.Sprintf("folder %s", abridged(name)),
			setup: func(w *voyage.World) { w.Config.Accounts[0].Folder = name },
			also: func(p *player, _ ferry.Report) {
				inbox := len(p.w.Imap.Mailbox("INBOX"))
				if want := strings.EqualFold(name, "INBOX"); want != (inbox == 3) || inbox != 0 && !want {
					p.Errorf("%d messages in INBOX", inbox)
				}
			}})
	}
	return append(rows,
		row{id: "A26", name: "dates out of range", mail: hardMail("D17"), also: func(p *player, _ ferry.Report) {
			for _, m := range p.w.Imap.Mailbox("INBOX") {
				if d := m.InternalDate; d.Before(time.Unix(0, 0)) || d.After(time.Now().Add(24*time.Hour)) {
					p.Errorf("stored with date %v: %s", d, abridged(string(m.Raw)))
				}
			}
		}},
		row{id: "A27", name: "moved before anybody looked", limit: 5 * time.Minute,
			hopeless: []string{"doubled: 2 instead of 1", "doubled: 2 instead of 1", "doubled: 2 instead of 1"},
			remedy: func(p *player) { // either copy will do
				p.does(verifies, fault.OK)
				p.w.Imap.User("").Remove("Sorted")
			},
			fault: func(w *voyage.World) {
				moved := false
				imapReply(func(e imapd.Event) imapd.Action {
					if e.Stage != imapd.AtReply || e.Command != "APPEND" || moved {
						return imapd.Action{}
					}
					moved = true
					for _, m := range w.Imap.Mailbox("INBOX") {
						if _, err := w.Imap.User("").Move("INBOX", m.UID, "Sorted"); err != nil {
							panic(err)
						}
					}
					return imapd.Action{Cut: imapd.FIN}
				})(w)
			}},
	)
}
