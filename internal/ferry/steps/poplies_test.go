//go:build !race

package steps_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/mailtest/voyage"
	"github.com/popferry/popferry/internal/wire"
)

// answers replaces replies by verb; "RETR 2" only that of message 2.
func answers(replies map[string]string) func(*voyage.World) {
	return func(w *voyage.World) {
		setReply(w, func(cmd string, n int) ([]byte, bool) {
			if raw, ok := replies[fmt.Sprintf("%s %d", cmd, n)]; ok {
				return []byte(raw), true
			}
			raw, ok := replies[cmd]
			return []byte(raw), ok
		})
	}
}

func setReply(w *voyage.World, reply func(cmd string, n int) ([]byte, bool)) {
	w.Drops[0].Configure(func(o *popd.Options) { o.Reply = reply })
}

// silence makes the server say nothing to a command, or to message n of it.
func silence(verb string, n int) func(*voyage.World) {
	return func(w *voyage.World) {
		setReply(w, func(cmd string, number int) ([]byte, bool) {
			return nil, cmd == verb && (n == 0 || n == number)
		})
	}
}

// cleared makes sure that no credentials went over the wire in clear text.
func cleared(p *player, _ ferry.Report) {
	p.Helper()
	if n := p.w.Drops[0].Counters().ClearLogins; n > 0 {
		p.Errorf("%d logins in clear text", n)
	}
}

// wantsSTLS has the program insist on STLS; trustsSTLS gives it the authority to
// trust, too.
func wantsSTLS(w *voyage.World) { w.Config.Accounts[0].Source.TLS = wire.STARTTLS }

func noSTLS(w *voyage.World) {
	obedient(w)
	w.Config.Accounts[0].Source.TLS = wire.None
}

// healed ends the fault and tries held mail again.
func healed(w *voyage.World) {
	obedient(w)
	w.Tune = func(o *ferry.Options) { o.Held, o.ConfirmDelete = true, true }
}

// retrieved is the reply to RETR with a message.
func retrieved(raw []byte) string { return "+OK here it is\r\n" + string(raw) + ".\r\n" }

// TestPOP3Lies has the rows of the list of POP3 servers that lie or attack.
func TestPOP3Lies(t *testing.T) { table(t, popLies(t)) }

func popLies(t *testing.T) []row {
	return slices.Concat(tlsLies(t), loginLies(), listingLies(), messageLies())
}

func tlsLies(t *testing.T) []row {
	pair, err := certs.New(certs.Options{Hosts: []string{"pop0.example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files, err := pair.WriteFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	trusts := func(w *voyage.World) {
		w.Config.Accounts[0].Source.TLS = wire.STARTTLS
		w.Config.Accounts[0].Source.CAFile = filepath.Clean(files.CA)
	}
	stls := withPop(func(o *popd.Options) { o.Mode, o.TLS = popd.STLS, pair.Server() })
	return []row{
		{id: "M1", name: "STLS not known", setup: wantsSTLS, code: fault.TLS, also: cleared, cure: noSTLS,
			says: "TLS is required but not offered"},
		{id: "M1", name: "CAPA refused, STLS not known",
			says: "TLS is required but not offered", setup: wantsSTLS, code: fault.TLS, also: cleared,
			options: withPop(func(o *popd.Options) { o.NoCAPA = true }), cure: noSTLS},
		{id: "M2", name: "refusal with further replies behind it",
			says: "TLS is required but not offered", setup: wantsSTLS, code: fault.TLS,
			fault: answers(map[string]string{"STLS": "-ERR no\r\n+OK\r\n.\r\n+OK logged in\r\n"}),
			also:  cleared, cure: noSTLS},
		{id: "M3", name: "clear text behind the permission",
			says: "in clear text after agreeing to TLS", setup: wantsSTLS, code: fault.TLS,
			fault: answers(map[string]string{"STLS": "+OK begin TLS\r\n+OK no need to\r\n"}),
			also:  cleared, cure: noSTLS},
		{id: "M4", name: "nothing learned before TLS counts", options: stls, setup: trusts, also: cleared,
			fault: answers(map[string]string{"GREETING": "+OK <1896.697170952@pop0.example.org> ready\r\n"})},
		{id: "M4", name: "an unknown authority",
			says: "certificate not trusted", options: stls, setup: wantsSTLS, code: fault.TLS, also: cleared,
			cure: trusts},
	}
}

func loginLies() []row {
	return []row{
		{id: "M5", name: "APOP offered", also: func(p *player, _ ferry.Report) {
			if n := p.w.Drops[0].Counters().Commands["APOP"]; n > 0 {
				p.Errorf("%d APOP", n)
			}
		}, fault: answers(map[string]string{"GREETING": "+OK <1896.697170952@example.org> ready\r\n"})},
		{id: "M6", name: "a challenge that is not base64",
			says: "unusable challenge", code: fault.Credentials, cure: obedient,
			fault: answers(map[string]string{"AUTH": "+ !!!\r\n"})},
		{id: "M6", name: "a challenge nobody needs, then a login",
			says: "went on with a login that was cancelled", code: fault.Protocol, cure: obedient,
			fault: answers(map[string]string{"AUTH": "+ !!!\r\n", "SASL": "+OK welcome\r\n"})},
		{id: "M6", name: "a challenge, then silence", says: "no progress for 2m", code: fault.Temporary, cure: obedient,
			fault: answers(map[string]string{"AUTH": "+ \r\n", "SASL": ""})},
		{id: "M6", name: "endless challenges",
			says: "went on with a login that was cancelled", code: fault.Protocol, cure: obedient,
			fault: func(w *voyage.World) {
				left := 100
				setReply(w, func(cmd string, _ int) ([]byte, bool) {
					left--
					again := cmd == "AUTH" || cmd == "SASL" && left > 80
					return []byte("+ aGVsbG8=\r\n"), again
				})
			}},
		{id: "M16", name: "escapes in a refusal", says: "login refused: ", code: fault.Credentials, cure: obedient,
			fault: answers(map[string]string{"AUTH": "-ERR \x1b[31m" + strings.Repeat("x", 3000) + "\x07\r\n"})},
		{id: "M16", name: "a refusal of a megabyte",
			says: "sent a line of more than 8192 bytes", code: fault.Protocol, cure: obedient,
			fault: answers(map[string]string{"AUTH": "-ERR " + strings.Repeat("x", 1<<20) + "\r\n"})},
		{id: "M18", name: "a referral", code: fault.Temporary, cure: obedient, says: "pop0.example.org",
			fault: answers(map[string]string{"GREETING": "-ERR [REFERRAL pop://evil.example.com] go there\r\n"})},
		{id: "M18", name: "a referral at the login", says: "login refused: ", code: fault.Credentials, cure: obedient,
			fault: answers(map[string]string{"AUTH": "-ERR [REFERRAL pop://evil.example.com] go there\r\n"})},
		{id: "M12", name: "an endless greeting",
			says: "sent a line of more than 8192 bytes", code: fault.Protocol, cure: obedient,
			fault: answers(map[string]string{"GREETING": "+OK " + strings.Repeat("x", 20_000) + "\r\n"})},
		{id: "M12", name: "endless capabilities",
			says: "lists more than 256 capabilities", code: fault.Protocol, cure: obedient,
			fault: answers(map[string]string{"CAPA": "+OK\r\n" + strings.Repeat("X-MORE\r\n", 100_000)})},
	}
}

func listingLies() []row {
	listing := func(lines ...string) string {
		return "+OK\r\n" + strings.Join(append(lines, "."), "\r\n") + "\r\n"
	}
	var rows []row
	for name, c := range map[string]struct{ id, list, says string }{
		"listed twice":         {"M8", listing("1 195", "2 195", "2 195", "3 195"), "message 2 listed twice"},
		"out of order":         {"M8", listing("1 195", "3 195", "2 195"), "message 3 follows message 1"},
		"a negative number":    {"M8", listing("-1 195", "2 195", "3 195"), "message number -1"},
		"a gap":                {"M8", listing("1 195", "2 195", "7 195"), "message 7 follows message 2"},
		"no number":            {"M8", listing("one 195", "2 195", "3 195"), `"one" is not a message number`},
		"a number too large":   {"M8", listing("1 195", "2 195", "99999999999999999999999 195"), "is not a message number"},
		"an endless line":      {"M12", listing("1 195", "2 "+strings.Repeat("1", 5000), "3 195"), "line of more than 1024 bytes"},
		"more than UIDL knows": {"M8", listing("1 195", "2 195", "3 195", "4 195", "5 195"), "LIST shows 5"},
	} {
		rows = append(rows, row{id: c.id, name: "LIST " + name, code: fault.Protocol, cure: obedient, says: c.says,
			fault: answers(map[string]string{"LIST": c.list})})
	}
	rows = append(rows,
		row{id: "M7", name: "STAT of nothing", fault: answers(map[string]string{"STAT": "+OK 0 0\r\n"})},
		row{id: "M7", name: "STAT of very much",
			fault: answers(map[string]string{"STAT": "+OK 9223372036854775808 9223372036854775808\r\n"})},
		row{id: "M7", name: "STAT that makes no sense", fault: answers(map[string]string{"STAT": "+OK\r\n"})},
		row{id: "M12", name: "UIDL an endless line",
			says: "sent a line of more than 32768 bytes", code: fault.Protocol, cure: obedient,
			fault: answers(map[string]string{"UIDL": listing("1 a", "2 "+strings.Repeat("u", 100_000), "3 c")})},
		row{id: "M8", name: "UIDL of more than LIST",
			says: "message 4 has an identifier but no size", code: fault.Protocol, cure: obedient,
			fault: answers(map[string]string{"UIDL": listing("1 a", "2 b", "3 c", "4 d")})},
	)
	for name, id := range map[string]string{
		"none": "", "too long": strings.Repeat("u", 2000), "control characters": "\x1b[2J",
		"a path": "/../../etc/passwd", "UTF-8": "käse", "a blank inside": "a b",
	} {
		says := "1 message without a UIDL"
		if name == "a path" { // that it is used as one, nobody needs to fear
			says = ""
		}
		rows = append(rows, row{id: "M9", name: "UIDL with " + name, says: says, fault: func(w *voyage.World) {
			w.Drops[0].Configure(func(o *popd.Options) {
				o.UIDL = func(n int, raw []byte) string {
					if n == 2 {
						return id
					}
					return "u" + subjectNumber(raw)
				}
			})
		}})
	}
	return rows
}

// announced has LIST say that messages of one size have another.
func announced(w *voyage.World, is, says int) {
	setReply(w, func(cmd string, n int) ([]byte, bool) {
		list := "+OK\r\n"
		for i, raw := range w.Drops[0].Messages() {
			size := map[bool]int{true: says, false: len(raw)}[len(raw) == is]
			list += fmt.Sprintf("%d %d\r\n", i+1, size)
		}
		return []byte(list + ".\r\n"), cmd == "LIST" && n == 0
	})
}

func messageLies() []row {
	misread := []string{"doubled: 2 instead of 1", "missing: 0 instead of 1"}
	// Without the journal what was never brought is, and of what was twice a person takes one.
	withoutJournal := func(p *player) {
		p.w.Forget()
		p.w.Imap.User("").Expunge("INBOX", 1)
	}
	dotted := append(letter(7), ".\r\nbehind the dot\r\n"...)
	flood := big(8, 2<<20)
	kept := func(n int) func(*player, ferry.Report) {
		return func(p *player, _ ferry.Report) {
			if left := p.w.Left(); left < n {
				p.Errorf("%d left in the maildrop, want %d", left, n)
			}
		}
	}
	return []row{
		// Headers of one size that belong to other messages: only the look before
		// a deletion can tell.
		{id: "M10", name: "RETR gives another message", also: kept(3), cure: obedient,
			fault:    answers(map[string]string{"RETR 1": retrieved(letter(2))}),
			hopeless: misread, remedy: withoutJournal, only: func(c combination) bool { return !c.delete }},
		{id: "M10", name: "RETR gives another message, then a deletion", also: kept(1), cure: obedient,
			says:     "1 message kept on POP3: not given again with the header that was delivered",
			fault:    answers(map[string]string{"RETR 1": retrieved(letter(2))}),
			hopeless: misread, remedy: withoutJournal, only: func(c combination) bool { return c.delete }},
		{id: "M10", name: "an answer left out",
			says: "the session ends when it is asked for", code: fault.Held, also: kept(1), limit: 10 * time.Minute,
			cure: healed, fault: silence("RETR", 2)},
		{id: "M10", name: "an answer twice",
			says: "the server lost count of its answers", limit: 10 * time.Minute, cure: obedient,
			fault: answers(map[string]string{"RETR 2": retrieved(letter(1)) + retrieved(letter(1))}),
			code:  fault.Held},
		{id: "M10", name: "the name of a message refused", cure: obedient,
			fault: answers(map[string]string{"LIST 2": "-ERR unknown command\r\n"})},
		{id: "M11", name: "announced as small, and large",
			mail: [][]byte{letter(0), flood, letter(1)},
			fault: func(w *voyage.World) {
				w.Drops[0].Configure(func(o *popd.Options) { o.SizeOffset = -len(flood) + 10 })
			}, cure: func(w *voyage.World) {
				w.Drops[0].Configure(func(o *popd.Options) { o.SizeOffset = 0 })
			}},
		{id: "M11", name: "announced as small, and larger than anything that is taken in",
			mail: [][]byte{letter(0), flood, letter(1)}, code: fault.Held, also: kept(1),
			says: "message too large: more than 1048576 octets",
			fault: func(w *voyage.World) {
				announced(w, len(flood), 100)
				w.Tune = func(o *ferry.Options) { o.MaxMessage, o.ConfirmDelete = 1<<20, true }
			}, cure: healed},
		{id: "M12", name: "an endless line in a message", mail: [][]byte{letter(0),
			append(letter(1), strings.Repeat("x", 2<<20)+"\r\n"...), letter(2)}},
		{id: "M13", name: "dots not doubled",
			says: "ended message 2 early (195 of 214 bytes)", mail: [][]byte{letter(0), dotted, letter(1)}, code: fault.Held,
			options: withPop(func(o *popd.Options) { o.Unstuffed = true }), also: kept(1),
			cure: func(w *voyage.World) {
				w.Drops[0].Configure(func(o *popd.Options) { o.Unstuffed = false })
				w.Tune = func(o *ferry.Options) { o.Held = true }
			}},
		{id: "M13", name: "dots not doubled in the last message",
			says: "ended message 2 early (195 of 214 bytes)", mail: [][]byte{letter(0), dotted},
			code: fault.Held, options: withPop(func(o *popd.Options) { o.Unstuffed = true }), also: kept(1),
			cure: func(w *voyage.World) {
				w.Drops[0].Configure(func(o *popd.Options) { o.Unstuffed = false })
				w.Tune = func(o *ferry.Options) { o.Held = true }
			}},
		{id: "M14", name: "a terminator without LF",
			says: "the session ends when it is asked for", code: fault.Held, limit: 20 * time.Minute, cure: healed,
			fault: answers(map[string]string{"RETR 3": "+OK\r\n" + string(letter(2)) + ".\r"})},
		{id: "M14", name: "a terminator without its line end",
			says: "the session ends when it is asked for", code: fault.Held, limit: 20 * time.Minute,
			fault: answers(map[string]string{"RETR 2": strings.TrimSuffix(retrieved(letter(1)), "\r\n")}),
			cure:  healed},
		{id: "M15", name: "bare line feeds", mail: letters(0, 3),
			options: withPop(func(o *popd.Options) { o.BareLF = true })},
		{id: "M16", name: "escapes in the refusal of a message", says: "RETR 2 refused: ", code: fault.Held,
			fault: answers(map[string]string{"RETR 2": "-ERR \x1b]0;owned\x07" + strings.Repeat("x", 900) + "\r\n"}),
			cure:  obedient},
		{id: "M17", name: "deletes all without being asked", code: fault.OK,
			fault: func(w *voyage.World) {
				setReply(w, func(cmd string, _ int) ([]byte, bool) {
					for cmd == "QUIT" && w.Left() > 0 {
						w.Drops[0].Expunge(1)
					}
					return nil, false
				})
			}},
		{id: "M17", name: "held mail is gone", prior: true, says: "disappeared from POP3 before it could be delivered",
			setup: answers(map[string]string{"RETR 2": "-ERR internal error\r\n"}),
			fault: func(w *voyage.World) {
				obedient(w)
				w.TakeAway(0, 2)
			}, only: func(c combination) bool { return !c.delete }},
		{id: "M17", name: "says that it deletes and does not",
			options: withPop(func(o *popd.Options) { o.KeepDeleted = true }),
			cure: func(w *voyage.World) {
				w.Drops[0].Configure(func(o *popd.Options) { o.KeepDeleted = false })
			}},
		{id: "D20", name: "mail that looks like replies",
			mail: [][]byte{bytes.Replace(letter(0), []byte("Text"), []byte("+OK\r\n-ERR\r\n.x\r\n..\r\n+OK 1"), 1),
				letter(1)}},
	}
}
