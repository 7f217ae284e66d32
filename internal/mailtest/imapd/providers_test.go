package imapd_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/mailtest/imapd"
)

// put appends a message and returns what the server said last.
func (w *wire) put(mailbox, message string) string {
	w.t.Helper()
	w.say(fmt.Sprintf("p APPEND %s {%d}\r\n", mailbox, len(message)))
	w.hear("+")
	w.say(message + "\r\n")
	return w.hear("p ")
}

func (w *wire) wantPut(mailbox, message, want string) {
	w.t.Helper()
	if got := w.put(mailbox, message); !strings.HasPrefix(got, "p "+want) {
		w.t.Errorf("%q, want %q", got, want)
	}
}

// TestGmail: a duplicate gets a UID and is no message; a day's bytes are for a day.
func TestGmail(t *testing.T) {
	bubble(func(t *testing.T) {
		server := imapd.New(imapd.Gmail(200))
		defer server.Close()
		server.User("").Create("Label")
		w := enter(t, server)
		w.say("c CAPABILITY\r\n")
		if got := w.hear("c OK"); strings.Contains(got, "LITERAL") || strings.Contains(got, "MULTIAPPEND") ||
			!strings.Contains(got, "APPENDLIMIT=35651584") {
			t.Errorf("%q", got)
		}
		const one, plain = "Message-ID: <1@example.org>\r\n\r\none\r\n", "Subject: x\r\n\r\none\r\n"
		w.wantPut("INBOX", one, "OK [APPENDUID 1001 1]")
		w.wantPut("INBOX", one, "OK [APPENDUID 1001 2]")
		w.wantPut("Label", one, "OK [APPENDUID 1002 1]")
		w.wantPut("INBOX", plain, "OK [APPENDUID 1001 3]")
		w.wantPut("INBOX", plain, "OK [APPENDUID 1001 4]")
		wantTexts(t, server, one, plain, plain)
		w.wantPut("INBOX", strings.Repeat("x", 60), "NO [OVERQUOTA] Account exceeded")
		time.Sleep(24 * time.Hour)
		w.wantPut("INBOX", "x\r\n", "OK")
		w.conn.Close()
	})(t)
}

// TestExchange: it counts what it dislikes, and says how long it wants to be left alone.
func TestExchange(t *testing.T) {
	bubble(func(t *testing.T) {
		server := imapd.New(imapd.Exchange(20, func(msg []byte) bool { return bytes.Contains(msg, []byte("poison")) }))
		defer server.Close()
		w := enter(t, server)
		w.wantPut("INBOX", "A: b\r\n\r\nc\r\n", "OK")
		wantTexts(t, server, "A: b\r\nX-MS-Exchange-Organization-AuthAs: Internal\r\nX-MS-Has-Attach:\r\n\r\nc\r\n")
		for range 10 {
			w.wantPut("INBOX", "poison", "BAD Command Argument Error. 11")
		}
		w.hear("* BYE")
		w.end()
		w = enter(t, server)
		for range 9 {
			w.wantPut("INBOX", "x\r\n", "OK")
		}
		w.wantPut("INBOX", "x\r\n", "NO Request is throttled. Suggested Backoff Time: 60001 milliseconds")
		time.Sleep(time.Minute)
		w.wantPut("INBOX", "x\r\n", "OK")
		w.conn.Close()
	})(t)
}

// TestYahoo: the end of a message, and of an answer.
func TestYahoo(t *testing.T) {
	server := imapd.New(imapd.Yahoo())
	defer server.Close()
	w := enter(t, server)
	w.wantPut("INBOX", "x", "BAD [CLIENTBUG]")
	w.wantPut("INBOX", "x\r\n", "OK")
	for range 1200 {
		server.User("").Deliver("INBOX", []byte("y\r\n"), nil, time.Time{})
	}
	w.say("s SELECT INBOX\r\n")
	w.hear("s OK")
	w.say("f UID FETCH 1:* (FLAGS)\r\n")
	if got := w.hear("f OK"); strings.Count(got, "FETCH (") != 1000 || !strings.Contains(got, "[MESSAGELIMIT 1000 1000]") {
		t.Errorf("%d messages, %q", strings.Count(got, "FETCH ("), got[len(got)-60:])
	}
	w.conn.Close()
}
