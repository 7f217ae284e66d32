package imapdst_test

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
)

var inboxFolder = imapdst.Folder{Name: "INBOX", Mailbox: "INBOX", Exists: true, UIDValidity: 42,
	UIDNext: 100}

// afterLiterals is a handler for APPEND that takes the messages, then answers.
func afterLiterals(h handler) map[string]handler {
	return map[string]handler{"APPEND": func(f *fake, tag, args string) {
		if f.literals(args) > 0 {
			h(f, tag, args)
		}
	}}
}

// TestRefusals maps the answers to an APPEND (RFC 5530).
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		want         fault.Code
		after        time.Duration
	}{
		{"A4 TRYCREATE", "NO [TRYCREATE] no such folder", fault.Refused, 0},
		{"A4 TRYCREATE as a word", "NO APPEND [TRYCREATE] failed", fault.Held, 0},
		{"A4 mailutils", "NO Mailbox doesn't exist", fault.Refused, 0},
		{"A4 in words", `NO Mailbox "Lists/Go" does not exist.`, fault.Refused, 0},
		{"A4 no such mailbox", "NO No such mailbox", fault.Refused, 0},
		{"A5 OVERQUOTA", "NO [OVERQUOTA] full", fault.Refused, 0},
		{"A5 LIMIT of room", "NO [LIMIT] Over quota", fault.Refused, 0},
		{"A5 full", "NO Mailbox is full", fault.Refused, 0},
		{"A5 disk full", "NO No space left on device", fault.Refused, 0},
		{"A5 voll", "NO [ALERT] Postfach voll", fault.Refused, 0},
		{"A5 Chinese", "NO 邮箱空间不足", fault.Refused, 0},
		{"A5 LIMIT of the rate", "NO [LIMIT] Rate limit hit", fault.Temporary, 0},
		{"A5 LIMIT of size", "NO [LIMIT] Message too large", fault.Held, 0},
		{"A5 too large", "NO Message exceeds the maximum size", fault.Held, 0},
		{"A5 busy", "NO Server busy, try again later", fault.Temporary, 0},
		{"A5 timeout", "NO Timeout, please try again later", fault.Temporary, 0},
		{"A5 throttled", "NO [THROTTLED] slow down", fault.Temporary, 0},
		{"A5 trouble with a message", "NO Internal error", fault.Held, 0},
		{"A5 quota without a code", "NO Over quota", fault.Refused, 0},
		{"A5 bandwidth", "NO [OVERQUOTA] Account exceeded command or bandwidth limits", fault.Temporary,
			time.Hour},
		{"A6 LIMIT", "NO [LIMIT] too many", fault.Held, 0},
		{"A6 TOOBIG", "BAD [TOOBIG] no", fault.Held, 0},
		{"A7 CANNOT", "NO [CANNOT] no", fault.Held, 0},
		{"A7 NUL", "NO Message contains NUL characters", fault.Held, 0},
		{"A8 ALERT", "NO [ALERT] look", fault.Held, 0},
		{"A9 UNAVAILABLE", "NO [UNAVAILABLE] later", fault.Temporary, 0},
		{"A9 INUSE", "NO [inuse] later", fault.Temporary, 0},
		{"A9 in use, Cyrus", "NO Mailbox is locked by POP server", fault.Temporary, 0},
		{"A9 in use, Courier", "NO Mailbox in use.", fault.Temporary, 0},
		{"A9 in use, Exchange", "NO Mailbox already in use by another process", fault.Temporary, 0},
		{"A9 in use, UW", "NO Unable to lock append mailbox", fault.Temporary, 0},
		{"A9 in use, with a code", "NO [TRYCREATE] Mailbox in use", fault.Refused, 0},
		{"A9 SERVERBUG", "NO [SERVERBUG] oops", fault.Temporary, 0},
		{"A9 CORRUPTION", "NO [CORRUPTION] oops", fault.Temporary, 0},
		{"A9 full mailbox", "NO Server Unavailable. 15", fault.Temporary, 0},
		{"A10 NOPERM", "NO [NOPERM] no", fault.Refused, 0},
		{"A10 AUTHORIZATIONFAILED", "NO [AUTHORIZATIONFAILED] no", fault.Credentials, 0},
		{"A10 PRIVACYREQUIRED", "NO [PRIVACYREQUIRED] no", fault.TLS, 0},
		{"A10 EXPIRED", "NO [EXPIRED] no", fault.Credentials, 0},
		{"A10 CONTACTADMIN", "NO [CONTACTADMIN] no", fault.Refused, 0},
		{"A10 not connected", "NO User is authenticated but not connected.", fault.Credentials, 0},
		{"A10 not connected, BAD", "BAD User is authenticated but not connected.", fault.Credentials, 0},
		{"A12 throttled", "NO Request is throttled. Suggested Backoff Time: 299961 milliseconds",
			fault.Temporary, 299961 * time.Millisecond},
		{"A13 BAD", "BAD Command Argument Error. 11", fault.Held, 0},
		{"A13 CLIENTBUG", "BAD [CLIENTBUG] Additional arguments", fault.Held, 0},
		{"M16 escapes", "NO \x1b[31mred" + strings.Repeat("x", 5000), fault.Held, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := &fake{on: afterLiterals(say("TAG " + c.answer))}
			conn := server.dial(t)
			for _, count := range []int{1, 3} {
				for _, o := range deliver(t, conn, inboxFolder, items(count, 0)) {
					if o.State != imapdst.Refused || fault.CodeOf(o.Err) != c.want {
						t.Errorf("%d: %v, code %v: %v", count, o.State, fault.CodeOf(o.Err), o.Err)
					}
					if o.Batch != (count > 1) || fault.AfterOf(o.Err) != c.after {
						t.Errorf("%d: batch %v, after %v", count, o.Batch, fault.AfterOf(o.Err))
					}
					if text := o.Err.Error(); strings.Contains(text, "\x1b") || len(text) > 400 {
						t.Errorf("raw server text: %q", text)
					}
				}
			}
		})
	}
}

// TestRefusalHints: what would not help is not advised.
func TestRefusalHints(t *testing.T) {
	for answer, want := range map[string]string{
		"NO permission denied": "may write", "NO ACL: Insert permission denied (Required for APPEND command).": "may write",
		"NO [NOPERM] no": "may write", "NO [CANNOT] permission denied": "repair: wrap", "NO bare newline": "repair: wrap",
		"NO [LIMIT] too many headers": "a limit that this message goes beyond", "NO [TOOBIG] no": "too large",
	} {
		conn := (&fake{on: afterLiterals(say("TAG " + answer))}).dial(t)
		for _, o := range deliver(t, conn, inboxFolder, items(1, 0)) {
			if hint := fault.HintOf(o.Err); !strings.Contains(hint, want) {
				t.Errorf("%s: %s", answer, hint)
			}
		}
	}
}

// TestAppendUID accepts only what can be true (A17, A20; CVE-2021-3578).
func TestAppendUID(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		count        int
		want         []uint32 // nil: none is usable
	}{
		{"one", "OK [APPENDUID 42 100] x", 1, []uint32{100}},
		{"lower case", "ok [appenduid 42 100] x", 1, []uint32{100}},
		{"range", "OK [APPENDUID 42 105:107] x", 3, []uint32{105, 106, 107}},
		{"list", "OK [APPENDUID 42 105,107:108] x", 3, []uint32{105, 107, 108}},
		{"A5 OK with OVERQUOTA", "OK [OVERQUOTA] nearly full", 1, nil},
		{"A18 none", "OK done", 2, nil},
		{"A20 below UIDNEXT", "OK [APPENDUID 42 99] x", 1, nil},
		{"A20 UIDVALIDITY 0", "OK [APPENDUID 0 100] x", 1, nil},
		{"A17 other UIDVALIDITY", "OK [APPENDUID 43 100] x", 1, nil},
		{"A20 swapped", "OK [APPENDUID 100 42] x", 1, nil},
		{"A20 set for one", "OK [APPENDUID 42 100:101] x", 1, nil},
		{"A20 too few", "OK [APPENDUID 42 100] x", 2, nil},
		{"A20 descending", "OK [APPENDUID 42 107,105:106] x", 3, nil},
		{"A20 backwards", "OK [APPENDUID 42 107:105] x", 3, nil},
		{"A20 repeated", "OK [APPENDUID 42 105,105] x", 2, nil},
		{"A20 star", "OK [APPENDUID 42 *] x", 1, nil},
		{"A20 zero", "OK [APPENDUID 42 0] x", 1, nil},
		{"A20 huge range", "OK [APPENDUID 42 100:4294967295] x", 2, nil},
		{"A20 beyond 32 bits", "OK [APPENDUID 42 4294967396] x", 1, nil},
		{"A20 no UID", "OK [APPENDUID 42] x", 1, nil},
		{"A20 on an untagged OK", "OK done\r\n* OK [APPENDUID 42 100] x", 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := &fake{on: afterLiterals(say("TAG " + c.answer))}
			var got []uint32
			for _, o := range deliver(t, server.dial(t), inboxFolder, items(c.count, 0)) {
				if o.State != imapdst.Delivered || o.Err != nil {
					t.Fatalf("%+v", o)
				}
				if o.UID == 0 != (o.UIDValidity == 0) {
					t.Errorf("%+v", o)
				}
				if o.UID != 0 {
					got = append(got, o.UID)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("A20 the same twice", func(t *testing.T) {
		server := &fake{on: afterLiterals(say("TAG OK [APPENDUID 42 100] x"))}
		c := server.dial(t)
		deliver(t, c, inboxFolder, items(1, 0))
		if o := deliver(t, c, inboxFolder, items(1, 0)); o[0].UID != 0 {
			t.Errorf("%+v", o[0])
		}
	})
}

// TestCommandsOnTheWire holds what is sent with which extensions.
func TestCommandsOnTheWire(t *testing.T) {
	for _, c := range []struct {
		name, caps string
		want       string
	}{
		{"multiappend", "LITERAL+ MULTIAPPEND", "TAG APPEND INBOX META {3+}|a| META {3+}|b||"},
		{"single", "LITERAL+", "TAG APPEND INBOX META {3+}|a||TAG APPEND INBOX META {3+}|b||"},
		{"literal-", "LITERAL-", "TAG APPEND INBOX META {3+}|a||TAG APPEND INBOX META {3+}|b||"},
		{"none", "", "TAG APPEND INBOX META {3}|a||TAG APPEND INBOX META {3}|b||"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := &fake{caps: "IMAP4rev1 SASL-IR AUTH=PLAIN UIDPLUS " + c.caps}
			conn := server.dial(t)
			before := len(server.received())
			batch := []imapdst.Item{item([]byte("a\r\n")), item([]byte("b\r\n"))}
			for i := range batch {
				batch[i].Flags = []string{`\Seen`}
				batch[i].Date = time.Date(2024, 3, 5, 1, 2, 3, 0, time.FixedZone("", -5*3600))
			}
			for _, o := range deliver(t, conn, inboxFolder, batch) {
				if o.State != imapdst.Delivered || o.UID == 0 {
					t.Errorf("%+v", o)
				}
			}
			got := strings.ReplaceAll(server.received()[before:], "\r\n", "|")
			got = regexp.MustCompile(`[a-z0-9]{8}A\d+ APPEND`).ReplaceAllString(got, "TAG APPEND")
			got = strings.ReplaceAll(got, `(\Seen) "05-Mar-2024 01:02:03 -0500"`, "META")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRefusedUpFront has a server that says NO instead of "+" (A14).
func TestRefusedUpFront(t *testing.T) {
	refuseFrom := func(first int) map[string]handler {
		return map[string]handler{"APPEND": func(f *fake, tag, args string) {
			for n := 0; ; n++ {
				found := literalEnd.FindStringSubmatch(args)
				if found == nil {
					f.send(tag + " OK done")
					return
				}
				if n >= first {
					f.send(tag + " NO [TOOBIG] no")
					return
				}
				f.send("+ go")
				var size int64
				fmt.Sscan(found[1], &size)
				io.CopyN(io.Discard, f.in, size)
				line, _ := f.in.ReadString('\n')
				args = strings.TrimRight(line, "\r\n")
			}
		}}
	}
	for _, c := range []struct {
		name  string
		caps  string
		first int
		want  string
	}{
		{"A14 single", "", 0, "refused refused refused"},
		{"A14 first of a batch", "MULTIAPPEND", 0, "refused not sent not sent"},
		{"A14 second of a batch", "MULTIAPPEND", 1, "refused batch refused batch not sent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := &fake{caps: "IMAP4rev1 SASL-IR AUTH=PLAIN " + c.caps, on: refuseFrom(c.first)}
			conn := server.dial(t)
			var got []string
			for _, o := range deliver(t, conn, inboxFolder, items(3, 0)) {
				got = append(got, o.State.String())
				if o.Batch {
					got = append(got, "batch")
				}
				if fault.CodeOf(o.Err) != fault.Held {
					t.Error(o.Err)
				}
			}
			if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
			if _, err := conn.Refresh(context.Background(), inboxFolder); err != nil {
				t.Errorf("the connection is gone: %v", err)
			}
		})
	}
}

// TestPipelinedRefusal refuses the second of three pipelined messages.
func TestPipelinedRefusal(t *testing.T) {
	n := 0
	server := &fake{caps: "IMAP4rev1 SASL-IR AUTH=PLAIN UIDPLUS LITERAL+", on: map[string]handler{
		"APPEND": func(f *fake, tag, args string) {
			f.literals(args)
			if n++; n == 2 {
				f.send(tag + " NO no")
				return
			}
			f.send(tag + " OK " + f.appendUID(1) + " done")
		},
	}}
	var got []string
	for _, o := range deliver(t, server.dial(t), inboxFolder, items(3, 0)) {
		got = append(got, fmt.Sprint(o.State, o.UID, o.Batch))
	}
	want := []string{"delivered 100 false", "refused 0 false", "delivered 101 false"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestDistrust turns extensions off that a server offers and does not know
// (A24), and sends a single message again without flags and date (A13).
func TestDistrust(t *testing.T) {
	server := &fake{on: map[string]handler{"APPEND": func(f *fake, tag, args string) {
		several := f.literals(args) > 1
		if several || strings.Contains(args, "+}") || strings.Contains(args, `\Odd`) {
			f.send(tag + " BAD what")
			return
		}
		f.send(tag + " OK done")
	}}}
	conn := server.dial(t)
	batch := items(2, 0)
	batch[0].Flags = []string{`\Odd`}
	for _, o := range deliver(t, conn, inboxFolder, batch) {
		if o.State != imapdst.Refused || !o.Batch {
			t.Errorf("%+v", o)
		}
	}
	if conn.Capabilities().MultiAppend {
		t.Error("MULTIAPPEND is still trusted")
	}
	for n, o := range deliver(t, conn, inboxFolder, batch[:1]) {
		if o.State != imapdst.Delivered {
			t.Errorf("%d alone: %+v", n, o)
		}
	}
	if caps := conn.Capabilities(); caps.LiteralPlus {
		t.Error("LITERAL+ is still trusted")
	}
}

// TestRemoveNeedsUIDPlus keeps from expunging what others marked.
func TestRemoveNeedsUIDPlus(t *testing.T) {
	server := &fake{caps: "IMAP4rev1 AUTH=PLAIN SASL-IR"}
	conn := server.dial(t)
	err := conn.Remove(context.Background(), inboxFolder, []uint32{1})
	if fault.CodeOf(err) != fault.Refused || strings.Contains(server.received(), "STORE") {
		t.Errorf("%v", err)
	}
}
