package imapd_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/mailtest/imapd"
)

// wire is a connection on which lines are said and heard.
type wire struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// open opens a connection without logging in.
func open(t *testing.T, server *imapd.Server) *wire {
	t.Helper()
	conn := dial(t, server)
	return &wire{t: t, conn: conn, r: bufio.NewReader(conn)}
}

// enter opens a connection and logs in.
func enter(t *testing.T, server *imapd.Server) *wire {
	t.Helper()
	w := open(t, server)
	w.hear("* OK")
	w.say("login LOGIN alice secret\r\n")
	w.hear("login OK")
	return w
}

// say sends text in the background, because nobody may read it.
func (w *wire) say(text string) {
	w.t.Helper()
	if _, err := io.WriteString(w.conn, text); err != nil {
		w.t.Fatal(err)
	}
}

// hear reads lines up to the first that starts with prefix, and returns all of them.
func (w *wire) hear(prefix string) string {
	w.t.Helper()
	heard := ""
	for {
		line, err := w.r.ReadString('\n')
		heard += line
		if err != nil {
			w.t.Fatalf("waiting for %q: %v after %q", prefix, err, heard)
		}
		if strings.HasPrefix(line, prefix) {
			return heard
		}
	}
}

// end reads to the end of the connection and returns what it read.
func (w *wire) end() string {
	w.t.Helper()
	data, err := io.ReadAll(w.r)
	if err != nil {
		w.t.Errorf("the connection ended with %v", err)
	}
	return string(data)
}

// literal announces and sends text, without waiting.
func literal(text string) string { return fmt.Sprintf("{%d+}\r\n%s", len(text), text) }

// texts returns the messages of INBOX.
func texts(server *imapd.Server) []string {
	var texts []string
	for _, m := range server.Mailbox("INBOX") {
		texts = append(texts, string(m.Raw))
	}
	return texts
}

func wantTexts(t *testing.T, server *imapd.Server, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, texts(server)); diff != "" {
		t.Error(diff)
	}
}

// wantViolation checks that the server noted one, and takes it for expected.
func wantViolation(t *testing.T, server *imapd.Server, text string) {
	t.Helper()
	v := server.Violations()
	if len(v) != 1 || !strings.Contains(v[0], text) {
		t.Errorf("violations %q, want one with %q", v, text)
	}
}

// startBad is start for clients that break rules.
func startBad(t *testing.T, o imapd.Options) *imapd.Server {
	t.Helper()
	server := imapd.New(o)
	t.Cleanup(func() { server.Close() })
	return server
}

func TestMultiAppend(t *testing.T) {
	server := start(t, imapd.Options{})
	w := enter(t, server)
	w.say("a APPEND INBOX (\\Seen) \"17-Jul-1996 02:44:25 -0700\" " + literal("one\r\n") +
		" (\\Draft) " + literal("two\r\n") + " " + literal("three\r\n") + "\r\n" +
		"b APPEND INBOX \" 1-Feb-2001 00:00:00 +0000\" " + literal("four\r\n") + "\r\n")
	validity := server.User("").UIDValidity("INBOX")
	w.hear(fmt.Sprintf("a OK [APPENDUID %d 1:3] ", validity))
	w.hear(fmt.Sprintf("b OK [APPENDUID %d 4] ", validity))
	wantTexts(t, server, "one\r\n", "two\r\n", "three\r\n", "four\r\n")
	stored := server.Mailbox("INBOX")
	if !stored[0].InternalDate.Equal(date) || stored[3].InternalDate.Day() != 1 ||
		!slices.Equal(stored[1].Flags, []string{`\Draft`}) || stored[2].Flags != nil {
		t.Errorf("stored %+v", stored)
	}
	counters := server.Counters()
	if counters.MultiAppends != 1 || counters.Messages != 4 || counters.Commands["APPEND"] != 2 {
		t.Errorf("counters %+v", counters)
	}
}

func TestSynchronisingLiterals(t *testing.T) {
	server := start(t, imapd.Options{AppendLimit: 10})
	w := enter(t, server)
	w.say("a APPEND {5}\r\n")
	w.hear("+ ")
	w.say("INBOX {3}\r\n")
	w.hear("+ ")
	w.say("one {3}\r\n")
	w.hear("+ ")
	w.say("two\r\n")
	w.hear("a OK")
	w.say("b APPEND INBOX {11}\r\n")
	w.hear("b NO [TOOBIG]")
	w.say("c APPEND INBOX {3}\r\n")
	w.hear("+ ")
	w.say("abc {11}\r\n")
	w.hear("c NO [TOOBIG]")
	w.say("c2 APPEND {5+}\r\nINBOX {3+}\r\nabc {11+}\r\n01234567890\r\n")
	w.hear("c2 NO [TOOBIG]")
	w.say("d APPEND Elsewhere {3}\r\n")
	w.hear("d NO [TRYCREATE]")
	w.say("e APPEND INBOX " + literal("much too long") + " " + literal("short") + "\r\ne2 NOOP\r\n")
	w.hear("e NO [TOOBIG]")
	w.hear("e2 OK")
	wantTexts(t, server, "one", "two")
}

func TestAppendSyntax(t *testing.T) {
	server := start(t, imapd.Options{})
	w := enter(t, server)
	for _, arguments := range []string{
		"INBOX", "INBOX ", "INBOX (\\Seen)", "INBOX (\\Foo) {1+}\r\nx", "INBOX {1+}\r\nx (\\Seen)",
		"INBOX \"32-Jan-2001 00:00:00 +0000\" {1+}\r\nx", "INBOX (\\Seen {1+}\r\nx", "INBOX x",
		"INBOX {1+}\r\nxy", "INBOX ({1+}\r\nx) {1+}\r\ny", "(INBOX) {1+}\r\nx",
	} {
		w.say("a APPEND " + arguments + "\r\n")
		w.hear("a BAD")
	}
	wantTexts(t, server)
}

func TestLiteralMinus(t *testing.T) {
	server := startBad(t, imapd.Options{Literals: imapd.LiteralMinus})
	w := enter(t, server)
	w.say("a APPEND INBOX " + literal(strings.Repeat("x", 4096)) + "\r\n")
	w.hear("a OK")
	w.say("b APPEND INBOX {4097+}\r\n")
	w.hear("b BAD")
	w.hear("* BYE")
	wantViolation(t, server, "4097 bytes under LITERAL-")
	if n := len(texts(server)); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestNoLiteralPlus(t *testing.T) {
	server := startBad(t, imapd.Options{Literals: imapd.LiteralSync})
	w := enter(t, server)
	w.say("a APPEND INBOX " + literal("b NOOP\r\n") + "\r\n")
	w.hear("a BAD")
	// What was meant to be a message is a command for this server.
	w.hear("b OK")
	wantTexts(t, server)
	wantViolation(t, server, "without LITERAL+")
}

func TestSwitches(t *testing.T) {
	for name, test := range map[string]struct {
		options imapd.Options
		say     string
		hear    string
		absent  string
	}{
		"uidplus": {imapd.Options{NoUIDPlus: true},
			"a APPEND INBOX {1+}\r\nx\r\n", "a OK APPEND", "UIDPLUS"},
		"multiappend": {imapd.Options{NoMultiAppend: true},
			"a APPEND INBOX {1+}\r\nx {1+}\r\ny\r\n", "a BAD", "MULTIAPPEND"},
		"namespace": {imapd.Options{NoNamespace: true}, "a NAMESPACE\r\n", "a BAD", "NAMESPACE"},
		"quota":     {imapd.Options{}, "a GETQUOTAROOT INBOX\r\n", "a BAD", "QUOTA"},
		"hidden":    {imapd.Options{Hide: []string{"unselect"}}, "a NOOP\r\n", "a OK", "UNSELECT"},
		"sticky": {imapd.Options{UIDNotSticky: true},
			"a APPEND INBOX {1+}\r\nx\r\n", "a OK APPEND", "none"},
		"readonly": {imapd.Options{ReadOnly: true},
			"a APPEND INBOX {1+}\r\nx\r\n", "a NO [NOPERM]", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			server := start(t, test.options)
			w := enter(t, server)
			w.say("c CAPABILITY\r\n")
			offered := strings.Fields(w.hear("* CAPABILITY"))
			if slices.Contains(offered, test.absent) {
				t.Errorf("offered %q", offered)
			}
			w.say(test.say)
			w.hear(test.hear)
			w.say("z LOGOUT\r\n")
			w.hear("* BYE")
			w.hear("z OK")
			w.end()
		})
	}
}

func TestCapabilities(t *testing.T) {
	server := start(t, imapd.Options{
		Quota: 1 << 20, AppendLimit: 5, SpecialUse: map[string]string{},
		Capabilities: []string{"X-GM-EXT-1"},
	})
	w := open(t, server)
	const before = "* OK [CAPABILITY IMAP4rev1 ID ENABLE LITERAL+ AUTH=PLAIN SASL-IR X-GM-EXT-1] "
	w.hear(before)
	w.say("a LOGIN \"al\\\"ice\" {6+}\r\nsecret\r\n")
	w.hear("a OK [CAPABILITY IMAP4rev1 ID ENABLE LITERAL+ UNSELECT NAMESPACE UIDPLUS MULTIAPPEND " +
		"SPECIAL-USE QUOTA APPENDLIMIT=5 X-GM-EXT-1] ")
	server.Configure(func(o *imapd.Options) { o.NoGreetingCapability = true })
	w = open(t, server)
	if line := w.hear("* OK"); strings.Contains(line, "CAPABILITY") {
		t.Errorf("greeting %q", line)
	}
	w.say("a LOGIN alice secret\r\n")
	if line := w.hear("a OK"); strings.Contains(line, "CAPABILITY") {
		t.Errorf("login %q", line)
	}
}

func TestAuthenticate(t *testing.T) {
	server := start(t, imapd.Options{Username: "alice", Password: "sec ret"})
	right := base64.StdEncoding.EncodeToString([]byte("\x00alice\x00sec ret"))
	wrong := base64.StdEncoding.EncodeToString([]byte("\x00alice\x00secret"))
	w := open(t, server)
	w.say("a AUTHENTICATE PLAIN " + wrong + "\r\n")
	w.hear("a NO [AUTHENTICATIONFAILED]")
	w.say("b AUTHENTICATE PLAIN\r\n")
	w.hear("+ ")
	w.say("*\r\n")
	w.hear("b BAD")
	w.say("c AUTHENTICATE XOAUTH2 x\r\n")
	w.hear("c NO")
	w.say("d SELECT INBOX\r\n")
	w.hear("d BAD")
	w.say("e AUTHENTICATE PLAIN\r\n")
	w.hear("+ ")
	w.say(right + "\r\n")
	w.hear("e OK")
	w.say("f LOGIN alice \"sec ret\"\r\n")
	w.hear("f BAD")
	w = open(t, server)
	w.say("a AUTHENTICATE PLAIN " + right + "\r\n")
	w.hear("a OK")
}

func TestLoginBeforeTLS(t *testing.T) {
	server := startBad(t, imapd.Options{Mode: imapd.StartTLS})
	w := open(t, server)
	w.hear("* OK [CAPABILITY IMAP4rev1 ID ENABLE LITERAL+ STARTTLS LOGINDISABLED SASL-IR] ")
	w.say("a LOGIN alice secret\r\n")
	w.hear("a NO [PRIVACYREQUIRED]")
	wantViolation(t, server, "before STARTTLS")
	if n := server.Counters().ClearLogins; n != 1 {
		t.Errorf("%d logins in clear text", n)
	}
}

func TestNotSticky(t *testing.T) {
	server := start(t, imapd.Options{UIDNotSticky: true})
	w := enter(t, server)
	w.say("a SELECT INBOX\r\n")
	first := w.hear("* OK [UIDVALIDITY")
	w.hear("* NO [UIDNOTSTICKY]")
	w.hear("a OK")
	w.say("b SELECT INBOX\r\n")
	if second := w.hear("* OK [UIDVALIDITY"); second == first {
		t.Errorf("UIDVALIDITY stayed: %q", second)
	}
}

// TestRestOfCommands walks what no client library asks for.
func TestRestOfCommands(t *testing.T) {
	server := start(t, imapd.Options{SpecialUse: map[string]string{"Old": `\Archive`}})
	server.User("").Deliver("Old", []byte("no header\r\n"), []string{`\Deleted`}, date)
	server.User("").Deliver("Old", []byte("\r\nbody only"), nil, date)
	w := enter(t, server)
	for _, step := range []struct{ say, hear string }{
		{"ID NIL", `* ID ("name"`},
		{"ENABLE CONDSTORE", "* ENABLED"},
		{"LIST \"\" \"\"", `* LIST (\Noselect) "/" ""`},
		{"LIST (SPECIAL-USE) \"\" * RETURN (SPECIAL-USE)", `* LIST (\Archive) "/" "Old"`},
		{"LIST \"\" (INBOX Old)", `* LIST (\Archive) "/" "Old"`},
		{"SUBSCRIBE Old", "a OK"},
		{"LSUB \"\" O%", `* LSUB (\Archive) "/" "Old"`},
		{"UNSUBSCRIBE Old", "a OK"},
		{"CHECK", "a BAD"},
		{"STATUS Old (MESSAGES APPENDLIMIT RECENT)",
			`* STATUS "Old" (MESSAGES 2 APPENDLIMIT NIL RECENT 0)`},
		{"EXAMINE Old", "a OK [READ-ONLY]"},
		{"UID STORE 1 FLAGS ()", "a NO [READ-ONLY]"},
		{"EXPUNGE", "a NO [READ-ONLY]"},
		{"CLOSE", "a OK"},
		{"SELECT Old", "a OK [READ-WRITE]"},
		{"CHECK", "a OK"},
		{"FETCH 1 BODY[HEADER]", "* 1 FETCH (BODY[HEADER] {11}"},
		{"UID FETCH 9:* (FLAGS)", `* 2 FETCH (UID 2 FLAGS ())`},
		{"FETCH 2 BODY.PEEK[HEADER]", "* 2 FETCH (BODY[HEADER] {2}"},
		{"FETCH 2 FLAGS", "* 2 FETCH (FLAGS ())"},
		{"FETCH 2 BODY[TEXT]<5.100>", "* 2 FETCH (BODY[TEXT]<5> {4}"},
		{"FETCH 2 FLAGS", `* 2 FETCH (FLAGS (\Seen))`},
		{"FETCH 2 BODY[]<9.1>", "* 2 FETCH (BODY[]<9> {1}"},
		{"FETCH 2 BODY[1]", "a BAD"},
		{"FETCH 2 BODYSTRUCTURE", "a BAD"},
		{"FETCH 0 FLAGS", "a BAD"},
		{"STORE 2 -FLAGS.SILENT \\Seen", "a OK"},
		{"UID STORE 2 +FLAGS ($A \\Seen)", `* 2 FETCH (UID 2 FLAGS ($A \Seen))`},
		{"SEARCH", "a BAD"},
		{"UID SEARCH CHARSET UTF-8 OR (NOT FLAGGED) UID 2", "* SEARCH 1 2"},
		{"SEARCH ON 17-Jul-1996 2:*", "* SEARCH 2"},
		{"UID SEARCH UID *", "* SEARCH 2"},
		{"SEARCH OR ALL", "a BAD"},
		{"SEARCH ON yesterday", "a BAD"},
		{"CLOSE", "a OK"},
		{"SELECT Old", "* 1 EXISTS"},
		{"UNSELECT", "a OK"},
		{"FETCH 1 FLAGS", "a BAD"},
		{"NONSENSE", "a BAD"},
		{"SELECT None", "a NO [NONEXISTENT]"},
	} {
		w.say("a " + step.say + "\r\n")
		if heard := "\n" + w.hear("a "); !strings.Contains(heard, "\n"+step.hear) {
			t.Errorf("%s: %q, want %q", step.say, heard, step.hear)
		}
	}
}

func TestWrongCommandsEnd(t *testing.T) {
	server := start(t, imapd.Options{})
	w := open(t, server)
	for range 30 {
		if _, err := io.WriteString(w.conn, "a NONSENSE\r\n"); err != nil {
			break
		}
	}
	w.hear("* BYE")
}

func TestHostileLines(t *testing.T) {
	for name, line := range map[string]string{
		"long":   strings.Repeat("x", 70<<10),
		"nested": "a LOGIN " + strings.Repeat("(", 1000) + "\r\n",
		"nul":    "a LOGIN \x00 x y\r\n",
		"empty":  "\r\n\r\n \r\n",
		"number": "a LOGIN {99999999999999999999}\r\n",
		"large":  "a LOGIN {99999999}\r\n",
		"quote":  "a LOGIN \"\\\r\n",
		"set":    "a UID FETCH 4294967296 FLAGS\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			server := startBad(t, imapd.Options{})
			w := open(t, server)
			go func() {
				_, _ = io.WriteString(w.conn, line)
				_, _ = io.WriteString(w.conn, "z LOGOUT\r\n")
			}()
			heard, _ := io.ReadAll(w.r)
			if !strings.Contains(string(heard), "BAD") && !strings.Contains(string(heard), "BYE") {
				t.Errorf("heard %q", heard)
			}
		})
	}
}
