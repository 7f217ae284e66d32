package popd_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

func serve(t *testing.T, o popd.Options, messages ...string) *popd.Server {
	t.Helper()
	server := popd.New(o)
	for _, text := range messages {
		server.Deliver([]byte(text))
	}
	t.Cleanup(func() { server.Close() })
	return server
}

// client is a connection on which lines are said and heard.
type client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func connect(t *testing.T, server *popd.Server) *client {
	t.Helper()
	conn, err := server.Dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &client{t, conn, bufio.NewReader(conn)}
	c.hear("+OK popd ready\r\n")
	return c
}

func login(t *testing.T, server *popd.Server) *client {
	t.Helper()
	c := connect(t, server)
	c.ask("USER alice", "+OK and the password?\r\n")
	c.say("PASS sesame")
	if got := c.line(); !strings.HasPrefix(got, "+OK") {
		t.Fatalf("login: %q", got)
	}
	return c
}

func (c *client) say(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, line+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) line() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	return line
}

func (c *client) hear(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c.r, got); err != nil || string(got) != want {
		c.t.Fatalf("heard %q, %v; want %q", got[:n], err, want)
	}
}

func (c *client) ask(line, want string) {
	c.t.Helper()
	c.say(line)
	c.hear(want)
}

// end waits until the server has hung up.
func (c *client) end() {
	c.t.Helper()
	if rest, _ := io.ReadAll(c.r); len(rest) > 0 {
		c.t.Errorf("heard %q at the end", rest)
	}
}

func texts(server *popd.Server) []string {
	var all []string
	for _, raw := range server.Messages() {
		all = append(all, string(raw))
	}
	return all
}

func TestTransaction(t *testing.T) {
	server := serve(t, popd.Options{UIDL: func(n int, _ []byte) string { return fmt.Sprint("id", n) }},
		"A: b\r\n\r\none\r\n.two\r\n", "no end", "..\r\n")
	c := login(t, server)
	c.ask("STAT", "+OK 3 29\r\n")
	c.ask("LIST", "+OK listing follows\r\n1 19\r\n2 6\r\n3 4\r\n.\r\n")
	c.ask("list 2", "+OK 2 6\r\n")
	c.ask("UIDL", "+OK listing follows\r\n1 id1\r\n2 id2\r\n3 id3\r\n.\r\n")
	c.ask("UIDL 3", "+OK 3 id3\r\n")
	c.ask("RETR 1", "+OK 19 octets\r\nA: b\r\n\r\none\r\n..two\r\n.\r\n")
	c.ask("RETR 2", "+OK 6 octets\r\nno end\r\n.\r\n")
	c.ask("RETR 3", "+OK 4 octets\r\n...\r\n.\r\n")
	c.ask("RETR 4", "-ERR no such message\r\n")
	c.ask("RETR x", "-ERR no such message\r\n")
	c.ask("TOP 1 0", "+OK 8 octets\r\nA: b\r\n\r\n.\r\n")
	c.ask("TOP 1 1", "+OK 13 octets\r\nA: b\r\n\r\none\r\n.\r\n")
	c.ask("TOP 1", "-ERR how many lines?\r\n")
	c.ask("NOOP", "+OK still here\r\n")
	c.ask("HELP", "-ERR unknown command\r\n")
	if got := server.Counters(); got.Retr[1] != 1 || got.Retr[4] != 1 || got.Commands["TOP"] != 3 {
		t.Errorf("counters %+v", got)
	}
}

// RFC 1939 §6: only QUIT removes, and only what this session marked.
func TestDeletion(t *testing.T) {
	server := serve(t, popd.Options{}, "a\r\n", "b\r\n", "c\r\n")
	c := login(t, server)
	c.ask("DELE 2", "+OK message 2 deleted\r\n")
	c.ask("DELE 2", "-ERR message 2 is deleted\r\n")
	c.ask("RETR 2", "-ERR message 2 is deleted\r\n")
	c.ask("LIST", "+OK listing follows\r\n1 3\r\n3 3\r\n.\r\n")
	c.ask("STAT", "+OK 2 6\r\n")
	c.conn.Close()

	c = login(t, server)
	c.ask("STAT", "+OK 3 9\r\n")
	c.ask("DELE 1", "+OK message 1 deleted\r\n")
	c.ask("RSET", "+OK nothing is deleted\r\n")
	c.ask("DELE 3", "+OK message 3 deleted\r\n")
	server.Deliver([]byte("d\r\n"))
	c.ask("STAT", "+OK 2 6\r\n") // not seen before the next session
	c.ask("QUIT", "+OK bye\r\n")
	c.end()
	if diff := cmp.Diff([]string{"a\r\n", "b\r\n", "d\r\n"}, texts(server)); diff != "" {
		t.Error(diff)
	}
	if got := server.Counters(); got.Dele != 4 || got.Quit != 1 || got.Logins != 2 {
		t.Errorf("counters %+v", got)
	}
}

func TestKeepDeleted(t *testing.T) {
	server := serve(t, popd.Options{KeepDeleted: true}, "a\r\n")
	c := login(t, server)
	c.ask("DELE 1", "+OK message 1 deleted\r\n")
	c.ask("QUIT", "+OK bye\r\n")
	c.end()
	if len(server.Messages()) != 1 {
		t.Error("removed")
	}
}

// A QUIT without a login removes nothing (RFC 1939 §4).
func TestQuitBeforeLogin(t *testing.T) {
	server := serve(t, popd.Options{}, "a\r\n")
	c := connect(t, server)
	c.ask("STAT", "-ERR not now\r\n")
	c.ask("QUIT", "+OK bye\r\n")
	c.end()
}

func TestIdentifiersStayWithTheirMessages(t *testing.T) {
	server := serve(t, popd.Options{}, "a\r\n", "a\r\n", "c\r\n")
	c := login(t, server)
	var before [3]string
	for n := range before {
		c.say(fmt.Sprint("UIDL ", n+1))
		before[n] = strings.Fields(c.line())[2]
	}
	if before[0] == before[1] {
		t.Errorf("equal messages share %q", before[0])
	}
	server.Expunge(1)
	c.ask("RETR 1", "-ERR message 1 expunged\r\n")
	server.Shuffle(2, 1)
	login(t, server).ask("UIDL", fmt.Sprintf("+OK listing follows\r\n1 %s\r\n2 %s\r\n.\r\n",
		before[2], before[1]))
	again := serve(t, popd.Options{}, "a\r\n")
	login(t, again).ask("UIDL 1", "+OK 1 "+before[0]+"\r\n")
}

func TestLogin(t *testing.T) {
	server := serve(t, popd.Options{Username: "alice", Password: "sesame"})
	c := connect(t, server)
	c.ask("USER alice", "+OK and the password?\r\n")
	c.ask("PASS wrong", "-ERR [AUTH] wrong user name or password\r\n")
	c.ask("AUTH PLAIN", "+ \r\n")
	c.ask("*", "-ERR cancelled\r\n")
	c.ask("AUTH PLAIN", "+ \r\n")
	c.ask("STLS", "-ERR malformed response\r\n") // a response, no command
	c.ask("AUTH CRAM-MD5", "-ERR unsupported authentication mechanism\r\n")
	c.ask("AUTH PLAIN AGFsaWNlAHNlc2FtZQ==", "+OK maildrop has 0 messages\r\n")
	if got := server.Counters().ClearLogins; got != 6 {
		t.Errorf("%d login commands in clear text, want 6", got)
	}
}

func TestRefusedLogins(t *testing.T) {
	server := serve(t, popd.Options{InUse: true})
	c := connect(t, server)
	c.ask("PASS x", "-ERR [IN-USE] the maildrop is locked by another session\r\n")
	server.Configure(func(o *popd.Options) { o.InUse, o.Exclusive = false, true })
	first := login(t, server)
	connect(t, server).ask("PASS x", "-ERR [IN-USE] the maildrop is locked by another session\r\n")
	first.ask("QUIT", "+OK bye\r\n")
	first.end()
	server.Configure(func(o *popd.Options) { o.LoginDelay = time.Hour })
	connect(t, server).ask("PASS x", "-ERR [LOGIN-DELAY] wait before logging in again\r\n")
}

func TestCapabilities(t *testing.T) {
	c := connect(t, serve(t, popd.Options{UTF8: true, LoginDelay: time.Minute,
		Capabilities: []string{"X-ODD"}}))
	c.ask("CAPA", "+OK capabilities follow\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n"+
		"PIPELINING\r\nUSER\r\nSASL PLAIN\r\nUTF8 USER\r\nLOGIN-DELAY 60\r\nX-ODD\r\n"+
		"IMPLEMENTATION popd\r\n.\r\n")
	c.ask("UTF8", "+OK UTF8 enabled\r\n")
	less := popd.Options{NoTOP: true, NoUIDL: true, NoPipelining: true, NoSASL: true}
	c = login(t, serve(t, less, "a\r\n"))
	c.ask("CAPA", "+OK capabilities follow\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nUSER\r\n"+
		"IMPLEMENTATION popd\r\n.\r\n")
	c.ask("UIDL", "-ERR unknown command\r\n")
	c.ask("TOP 1 0", "-ERR unknown command\r\n")
	connect(t, serve(t, popd.Options{NoCAPA: true})).ask("CAPA", "-ERR unknown command\r\n")
}

func TestPipelining(t *testing.T) {
	server := serve(t, popd.Options{}, "a\r\n")
	c := login(t, server)
	c.ask("NOOP\r\nRETR 1\r\nNOOP", "+OK still here\r\n+OK 3 octets\r\na\r\n.\r\n+OK still here\r\n")
	if got := server.Counters().Pipelined; got == 0 {
		t.Error("pipelining was not noticed")
	}
}

func TestBrokenForms(t *testing.T) {
	c := login(t, serve(t, popd.Options{Unstuffed: true, SizeOffset: 5,
		Refuse: map[int]string{2: "I/O error"}}, ".\r\n.x\r\n", "b\r\n"))
	c.ask("LIST 1", "+OK 1 12\r\n")
	c.ask("RETR 1", "+OK 12 octets\r\n.\r\n.x\r\n.\r\n")
	c.ask("RETR 2", "-ERR I/O error\r\n")
	c = login(t, serve(t, popd.Options{PlainFirst: true}, ".a\r\n.b\r\n"))
	c.ask("RETR 1", "+OK 8 octets\r\n.a\r\n..b\r\n.\r\n")
	c = login(t, serve(t, popd.Options{DuplicateUIDLs: true}, "a\r\n", "b\r\n", "c\r\n"))
	c.ask("UIDL", "+OK listing follows\r\n1 twin00000000\r\n2 twin00000001\r\n3 twin00000001\r\n.\r\n")
}

func TestBareLF(t *testing.T) {
	server := serve(t, popd.Options{BareLF: true}, "a\r\n.b\r\n")
	conn, err := server.Dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &client{t, conn, bufio.NewReader(conn)}
	c.hear("+OK popd ready\n")
	c.ask("PASS x", "+OK maildrop has 1 messages\n")
	c.ask("RETR 1", "+OK 7 octets\na\n..b\n.\n")
}

func TestReplyHook(t *testing.T) {
	var asked []string
	server := serve(t, popd.Options{Reply: func(cmd string, n int) ([]byte, bool) {
		asked = append(asked, fmt.Sprint(cmd, n))
		switch cmd {
		case "DELE":
			return []byte("-ERR no\r\n"), true // and nothing is marked
		case "STAT":
			return []byte("+OK 99 99\r\n"), true
		case "NOOP":
			return nil, true
		case "QUIT":
			return []byte("+OK so long\r\n"), true // but the session ends
		}
		return nil, false
	}}, "a\r\n")
	c := login(t, server)
	c.ask("DELE 1", "-ERR no\r\n")
	c.ask("STAT", "+OK 99 99\r\n")
	c.ask("NOOP\r\nRETR 1", "+OK 3 octets\r\na\r\n.\r\n")
	c.ask("QUIT", "+OK so long\r\n")
	c.end()
	if len(server.Messages()) != 1 {
		t.Error("a refused DELE took effect")
	}
	want := []string{"GREETING1", "USER0", "PASS0", "DELE1", "STAT0", "NOOP0", "RETR1", "QUIT0"}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Error(diff)
	}
}

func TestCut(t *testing.T) {
	server := serve(t, popd.Options{}, "a\r\n")
	c := login(t, server)
	c.ask("DELE 1", "+OK message 1 deleted\r\n")
	server.Cut()
	c.end()
	if len(server.Messages()) != 1 {
		t.Error("removed without QUIT")
	}
}

func TestTLS(t *testing.T) {
	pair, err := certs.New(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]popd.Mode{"STLS": popd.STLS, "implicit": popd.Implicit} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, popd.Options{Mode: mode, TLS: pair.Server()})
			address, err := server.Listen()
			if err != nil {
				t.Fatal(err)
			}
			conn, err := net.Dial("tcp", address.String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c := &client{t, conn, bufio.NewReader(conn)}
			if mode == popd.STLS {
				c.hear("+OK popd ready\r\n")
				c.ask("PASS x", "-ERR TLS first\r\n")
				c.ask("STLS", "+OK begin TLS\r\n")
			}
			config := pair.Client()
			config.ServerName = "127.0.0.1"
			secure := tls.Client(conn, config)
			c = &client{t, secure, bufio.NewReader(secure)}
			if mode == popd.Implicit {
				c.hear("+OK popd ready\r\n")
			}
			c.ask("STLS", "-ERR STLS not available\r\n")
			c.ask("PASS x", "+OK maildrop has 0 messages\r\n")
			c.ask("STLS now", "-ERR STLS not available\r\n")
			c.ask("QUIT", "+OK bye\r\n")
			c.end()
			if got := server.Counters(); got.Sessions != 1 || got.BytesIn == 0 || got.BytesOut == 0 {
				t.Errorf("counters %+v", got)
			}
		})
	}
}

func TestCloseEndsEverything(t *testing.T) {
	server := popd.New(popd.Options{})
	address, err := server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, server)
	server.Close()
	c.end()
	if conn, err := net.Dial("tcp", address.String()); err == nil {
		conn.Close()
		t.Error("the port is still open")
	}
}

// TestExpireAtOnce (RFC 2449 §6.7): QUIT removes what RETR gave, and nothing that
// TOP did; without QUIT nothing goes.
func TestExpireAtOnce(t *testing.T) {
	server := popd.New(popd.Options{ExpireAtOnce: true}, []byte("a\r\n"), []byte("b\r\n"))
	defer server.Close()
	for _, end := range []string{"", "QUIT"} {
		c := login(t, server)
		c.ask("TOP 1 0", "+OK 3 octets\r\na\r\n.\r\n")
		c.ask("RETR 2", "+OK 3 octets\r\nb\r\n.\r\n")
		want := 2
		if end == "QUIT" {
			c.ask("QUIT", "+OK bye\r\n")
			want = 1
		}
		c.conn.Close()
		if n := len(server.Messages()); n != want {
			t.Errorf("after %q there are %d messages, want %d", end, n, want)
		}
	}
}
