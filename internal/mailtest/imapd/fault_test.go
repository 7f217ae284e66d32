package imapd_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/mailtest/imapd"
)

// at returns a hook that does action at a stage of the n-th command of that name.
func at(stage imapd.Stage, command string, n int, action imapd.Action,
) func(imapd.Event) imapd.Action {
	return func(ev imapd.Event) imapd.Action {
		if ev.Stage == stage && ev.Command == command && ev.N == n {
			return action
		}
		return imapd.Action{}
	}
}

const twoMessages = "a APPEND INBOX {3+}\r\none {3+}\r\ntwo\r\n"

// TestCutAppend cuts the connection at each stage and checks what was stored by then.
func TestCutAppend(t *testing.T) {
	for _, test := range []struct {
		name      string
		stage     imapd.Stage
		n         int
		atLiteral bool
		want      []string
	}{
		{"command", imapd.AtCommand, 1, false, nil},
		{"first literal", imapd.AtLiteral, 1, false, nil},
		{"last literal", imapd.AtLiteral, 2, false, nil},
		{"before storing", imapd.AtStore, 1, false, nil},
		{"after storing", imapd.AtReply, 1, false, []string{"one", "two"}},
		{"sloppy command", imapd.AtCommand, 1, true, nil},
		{"sloppy first literal", imapd.AtLiteral, 1, true, []string{"one"}},
		{"sloppy last literal", imapd.AtLiteral, 2, true, []string{"one", "two"}},
	} {
		for _, end := range []imapd.End{imapd.FIN, imapd.RST} {
			t.Run(fmt.Sprint(test.name, " ", end), func(t *testing.T) {
				server := start(t, imapd.Options{
					StoreAtLiteral: test.atLiteral,
					Reply:          at(test.stage, "APPEND", test.n, imapd.Action{Cut: end}),
				})
				w := enter(t, server)
				w.say("x NOOP\r\n" + twoMessages)
				w.hear("x OK")
				if rest := w.end(); rest != "" {
					t.Errorf("heard %q", rest)
				}
				wantTexts(t, server, test.want...)
				if n := server.Counters().Open; n > 1 {
					t.Errorf("%d connections open", n)
				}
			})
		}
	}
}

func TestStoreAtLiteral(t *testing.T) {
	server := start(t, imapd.Options{StoreAtLiteral: true})
	w := enter(t, server)
	w.say(twoMessages)
	w.hear(fmt.Sprintf("a OK [APPENDUID %d 1:2]", server.User("").UIDValidity("INBOX")))
	wantTexts(t, server, "one", "two")
}

// TestReset checks that a client on a socket can tell RST from FIN, and gets the last words
// before a FIN.
func TestReset(t *testing.T) {
	for end, want := range map[imapd.End]error{imapd.FIN: nil, imapd.RST: syscall.ECONNRESET} {
		server := start(t, imapd.Options{
			Reply: at(imapd.AtCommand, "NOOP", 1, imapd.Action{Raw: "* 1 EXISTS\r\n", Cut: end}),
		})
		address, err := server.Listen()
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", address.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		w := &wire{t: t, conn: conn, r: bufio.NewReader(conn)}
		w.hear("* OK")
		w.say("a NOOP\r\nb NOOP\r\n")
		data, err := io.ReadAll(w.r)
		if !errors.Is(err, want) || want == nil && string(data) != "* 1 EXISTS\r\n" {
			t.Errorf("end %v: read %q, %v", end, data, err)
		}
	}
}

func TestSubstitutedReplies(t *testing.T) {
	for name, test := range map[string]struct {
		stage  imapd.Stage
		action imapd.Action
		heard  string
		want   []string
	}{
		"at once":    {imapd.AtCommand, imapd.Action{Reply: "NO [LIMIT]"}, "a NO [LIMIT]\r\n", nil},
		"in literal": {imapd.AtLiteral, imapd.Action{Reply: "NO no"}, "a NO no\r\n", nil},
		"at last":    {imapd.AtStore, imapd.Action{Reply: "NO no"}, "a NO no\r\n", nil},
		"a lie": {imapd.AtReply, imapd.Action{Reply: "NO no"},
			"a NO no\r\n", []string{"one", "two"}},
		"junk": {imapd.AtReply, imapd.Action{Raw: "* 9 EXPUNGE\r\n", Reply: "OK [APPENDUID 0 x] ?"},
			"* 9 EXPUNGE\r\na OK [APPENDUID 0 x] ?\r\n", []string{"one", "two"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := start(t, imapd.Options{Reply: at(test.stage, "APPEND", 1, test.action)})
			w := enter(t, server)
			w.say(twoMessages + "b NOOP\r\n")
			if diff := cmp.Diff(test.heard+"b OK NOOP completed\r\n", w.hear("b OK")); diff != "" {
				t.Error(diff)
			}
			wantTexts(t, server, test.want...)
		})
	}
}

func TestRefusedBeforeTheLiteral(t *testing.T) {
	server := start(t, imapd.Options{
		Reply: at(imapd.AtCommand, "APPEND", 1, imapd.Action{Reply: "NO [OVERQUOTA] full"}),
	})
	w := enter(t, server)
	w.say("a APPEND INBOX {3}\r\n")
	w.hear("a NO [OVERQUOTA] full\r\n")
	w.say("b APPEND INBOX {3}\r\n")
	w.hear("+ ")
	w.say("one\r\n")
	w.hear("b OK")
	wantTexts(t, server, "one")
	if n := server.Counters().Commands["APPEND"]; n != 2 {
		t.Errorf("%d APPENDs", n)
	}
}

func TestByeAndGreeting(t *testing.T) {
	server := start(t, imapd.Options{
		Reply: func(ev imapd.Event) imapd.Action {
			switch {
			case ev.Stage == imapd.AtGreeting && ev.Conn == 1:
				return imapd.Action{Bye: "too many connections"}
			case ev.Stage == imapd.AtGreeting && ev.Conn == 2:
				return imapd.Action{Reply: "OK [ALERT] hello"}
			case ev.Command == "SELECT" && ev.Stage == imapd.AtReply:
				return imapd.Action{Reply: "OK and", Bye: "session expired"}
			default:
				return imapd.Action{}
			}
		},
	})
	if got := open(t, server).end(); got != "* BYE too many connections\r\n" {
		t.Errorf("heard %q", got)
	}
	w := open(t, server)
	w.hear("* OK [ALERT] hello\r\n")
	w.say("a LOGIN x y\r\nb SELECT INBOX\r\n")
	w.hear("b OK and")
	if got := w.end(); got != "* BYE session expired\r\n" {
		t.Errorf("heard %q", got)
	}
}

// TestEvents checks what the hook is told.
func TestEvents(t *testing.T) {
	var events []imapd.Event
	server := start(t, imapd.Options{Reply: func(ev imapd.Event) imapd.Action {
		if ev.Command == "APPEND" || ev.Command == "UID SEARCH" {
			events = append(events, ev)
		}
		return imapd.Action{}
	}})
	w := enter(t, server)
	w.say("a append INBOX {3+}\r\none {3+}\r\ntwo\r\nb select INBOX\r\nc uid search all\r\n")
	w.hear("c OK")
	one, two := []byte("one"), []byte("two")
	ok := fmt.Sprintf("OK [APPENDUID %d 1:2] APPEND completed", server.User("").UIDValidity("INBOX"))
	const first, all = "APPEND INBOX", "APPEND INBOX \x00 \x00"
	event := func(stage imapd.Stage, n int, line string, messages ...[]byte) imapd.Event {
		return imapd.Event{Conn: 1, User: "alice", Stage: stage, N: n, Command: "APPEND",
			Tag: "a", Line: line, Messages: messages}
	}
	search := imapd.Event{Conn: 1, User: "alice", N: 1, Command: "UID SEARCH", Tag: "c",
		Line: "UID SEARCH all"}
	want := []imapd.Event{
		event(imapd.AtCommand, 1, first),
		event(imapd.AtLiteral, 1, first+" \x00", one),
		event(imapd.AtLiteral, 2, all, one, two),
		event(imapd.AtStore, 1, all, one, two),
		event(imapd.AtReply, 1, all, one, two),
		search, search,
	}
	want[4].Text = ok
	want[5].Stage = imapd.AtCommand
	want[6].Stage, want[6].Text = imapd.AtReply, "OK UID SEARCH completed"
	if diff := cmp.Diff(want, events); diff != "" {
		t.Error(diff)
	}
}

func TestRefuse(t *testing.T) {
	server := start(t, imapd.Options{Refuse: func(msg []byte) string {
		if bytes.IndexByte(msg, 0) >= 0 {
			return "NO [CANNOT] Message contains NUL characters"
		}
		return ""
	}})
	w := enter(t, server)
	w.say("a APPEND INBOX {2+}\r\nok {3+}\r\nx\x00y\r\nb APPEND INBOX {2+}\r\nok\r\n")
	w.hear("a NO [CANNOT] Message contains NUL characters\r\n")
	w.hear("b OK")
	wantTexts(t, server, "ok")
}

func TestTransforms(t *testing.T) {
	const raw = "Subject: a\r\n b\r\nX-Junk: 1\r\nx-junk: 2\r\n 3\r\n\r\nbody\r\x00\r\n"
	for name, test := range map[string]struct {
		transform func([]byte) []byte
		want      string
	}{
		"none":  {nil, raw},
		"nul":   {imapd.NULTo80, strings.ReplaceAll(raw, "\x00", "\x80")},
		"cr":    {imapd.DropCR, strings.Replace(raw, "body\r", "body", 1)},
		"field": {imapd.DropField("X-JUNK"), "Subject: a\r\n b\r\n\r\nbody\r\x00\r\n"},
		"status": {imapd.AddStatus,
			strings.Replace(raw, "\r\n\r\n", "\r\nStatus: RO\r\nX-UID: 1\r\n\r\n", 1)},
		"opaque": {imapd.Opaque, "X-Gateway: example.org\r\nSUBJECT: a b\r\nX-JUNK: 1\r\n" +
			"X-JUNK: 2 3\r\n\r\nbody\r\x00\r\n-- \r\nPassed on by example.org\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			server := start(t, imapd.Options{Transform: test.transform})
			w := enter(t, server)
			w.say("a APPEND INBOX " + literal(raw) + "\r\n")
			w.hear("a OK")
			wantTexts(t, server, test.want)
		})
	}
	if got := imapd.DropField("a")([]byte("a: 1")); len(got) != 0 {
		t.Errorf("a header without an end became %q", got)
	}
}

func TestBareLF(t *testing.T) {
	server := startBad(t, imapd.Options{})
	w := enter(t, server)
	w.say("a APPEND INBOX {4+}\r\na\nb\n\r\n")
	w.hear("a OK")
	wantViolation(t, server, "bare LF")
}

// TestTime runs what takes long in a bubble, where it takes no time, and where every goroutine
// has to end.
func TestTime(t *testing.T) {
	t.Run("silent", bubble(func(t *testing.T) {
		server := imapd.New(imapd.Options{
			Reply: at(imapd.AtReply, "APPEND", 1, imapd.Action{Silent: true}),
		})
		defer server.Close()
		w := enter(t, server)
		w.say(twoMessages + "b NOOP\r\n")
		_ = w.conn.SetReadDeadline(time.Now().Add(time.Hour))
		if n, err := w.conn.Read(make([]byte, 1)); n != 0 || err == io.EOF {
			t.Errorf("read %d bytes, %v", n, err)
		}
		wantTexts(t, server, "one", "two")
		w.conn.Close()
	}))
	t.Run("zombie", bubble(func(t *testing.T) {
		server := imapd.New(imapd.Options{Reply: at(imapd.AtStore, "APPEND", 1,
			imapd.Action{StoreAfter: time.Minute, Cut: imapd.FIN})})
		defer server.Close()
		w := enter(t, server)
		w.say(twoMessages)
		w.end()
		time.Sleep(59 * time.Second)
		wantTexts(t, server)
		time.Sleep(2 * time.Second)
		wantTexts(t, server, "one", "two")
	}))
	t.Run("zombie without mailbox", bubble(func(t *testing.T) {
		server := imapd.New(imapd.Options{Reply: at(imapd.AtStore, "APPEND", 1,
			imapd.Action{StoreAfter: -1, Cut: imapd.FIN})})
		defer server.Close()
		server.User("").Create("Staging")
		w := enter(t, server)
		w.say("a APPEND Staging {3+}\r\none\r\n")
		w.end()
		w = enter(t, server)
		w.say("b DELETE Staging\r\n")
		w.hear("b OK")
		if n := server.Commit(); n != 0 {
			t.Errorf("%d messages were stored", n)
		}
		w.conn.Close()
	}))
	t.Run("commit", bubble(func(t *testing.T) {
		server := imapd.New(imapd.Options{Reply: func(ev imapd.Event) imapd.Action {
			if ev.Stage != imapd.AtStore {
				return imapd.Action{}
			}
			after := []time.Duration{-1, time.Hour}[ev.N-1]
			return imapd.Action{StoreAfter: after, Bye: "gone"}
		}})
		defer server.Close()
		for range 2 {
			w := enter(t, server)
			w.say("a APPEND INBOX {3+}\r\none\r\n")
			w.hear("* BYE gone")
			w.end()
		}
		wantTexts(t, server)
		if n := server.Commit(); n != 2 {
			t.Errorf("%d messages were stored", n)
		}
		time.Sleep(2 * time.Hour)
		wantTexts(t, server, "one", "one")
	}))
	t.Run("slow", bubble(func(t *testing.T) {
		server := imapd.New(imapd.Options{Reply: at(imapd.AtStore, "APPEND", 1,
			imapd.Action{StoreAfter: time.Minute})})
		defer server.Close()
		w := enter(t, server)
		began := time.Now()
		w.say(twoMessages)
		w.hear("a OK")
		if took := time.Since(began); took != time.Minute {
			t.Errorf("took %v", took)
		}
		wantTexts(t, server, "one", "two")
		w.conn.Close()
	}))
	t.Run("closed while waiting", bubble(func(t *testing.T) {
		server := imapd.New(imapd.Options{
			Reply: at(imapd.AtCommand, "NOOP", 1, imapd.Action{Wait: 1000 * time.Hour}),
		})
		w := enter(t, server)
		w.say("a NOOP\r\n")
		synctest.Wait()
		began := time.Now()
		server.Close()
		if took := time.Since(began); took > time.Minute {
			t.Errorf("Close took %v", took)
		}
	}))
}

// bubble runs a test in a bubble of testing/synctest.
func bubble(run func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) { synctest.Test(t, run) }
}

// TestPipeline sends much more than a pipe holds before it reads anything.
func TestPipeline(t *testing.T) {
	server := start(t, imapd.Options{})
	w := enter(t, server)
	const count = 2000
	message := strings.Repeat("0123456789abcde\r\n", 100)
	for i := range count {
		w.say(fmt.Sprintf("a%d APPEND INBOX %s\r\n", i, literal(message)))
	}
	for i := range count {
		w.hear(fmt.Sprintf("a%d OK", i))
	}
	if n := len(server.Mailbox("INBOX")); n != count {
		t.Errorf("%d messages", n)
	}
}

func TestDisconnect(t *testing.T) {
	server := start(t, imapd.Options{})
	w := enter(t, server)
	server.Disconnect()
	w.end()
	enter(t, server)
	if n := server.Counters(); n.Connections != 2 {
		t.Errorf("%d connections", n.Connections)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if got := open(t, server).end(); got != "" {
		t.Errorf("a closed server says %q", got)
	}
}
