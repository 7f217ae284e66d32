package popd_test

import (
	"bufio"
	"fmt"
	"testing"

	"github.com/popferry/popferry/internal/mailtest/popd"
)

// TestGmail: only RETR and QUIT together turn the page.
func TestGmail(t *testing.T) {
	var mail []string
	for n := range 300 {
		mail = append(mail, fmt.Sprintf("Subject: %d\r\n\r\n", n))
	}
	server := serve(t, popd.Gmail(), mail...)
	look := func(want string) *client {
		t.Helper()
		c := login(t, server)
		c.say("STAT")
		if got := c.line(); got[:8] != want {
			t.Errorf("%q, want %q", got, want)
		}
		return c
	}
	c := look("+OK 250 ")
	c.ask("TOP 1 0", "+OK 14 octets\r\nSubject: 0\r\n\r\n.\r\n")
	c.ask("QUIT", "+OK bye\r\n")
	c = look("+OK 250 ")
	c.ask("RETR 1", "+OK 14 octets\r\nSubject: 0\r\n\r\n.\r\n")
	c.conn.Close()
	c = look("+OK 250 ")
	for n := range 100 {
		c.say(fmt.Sprintf("RETR %d", n+1))
		for line := ""; line != ".\r\n"; line = c.line() {
		}
	}
	c.ask("QUIT", "+OK bye\r\n")
	c.end()
	look("+OK 200 ").ask("TOP 1 0", "+OK 16 octets\r\nSubject: 100\r\n\r\n.\r\n")
	if n := server.Hidden(); n != 100 || len(server.Messages()) != 300 {
		t.Errorf("%d are hidden of %d", n, len(server.Messages()))
	}
}

func TestExchange(t *testing.T) {
	server := serve(t, popd.Exchange(func(user, token string) bool { return user == "alice" && token == "good" }), "a\r\n")
	const response = "dXNlcj1hbGljZQFhdXRoPUJlYXJlciBnb29kAQE="
	connect := func() *client {
		conn, err := server.Dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		c := &client{t, conn, bufio.NewReader(conn)}
		c.hear("+OK The Microsoft Exchange POP3 service is ready.\r\n")
		return c
	}
	c := connect()
	c.ask("AUTH XOAUTH2 "+response, "-ERR Protocol error. 14\r\n")
	c.end()
	c = connect()
	c.ask("AUTH XOAUTH2", "+ \r\n")
	c.ask(response, "+OK maildrop has 1 messages\r\n")
	c.ask("LIST", "+OK listing follows\r\n1 40\r\n.\r\n")
	server.Configure(func(o *popd.Options) { o.MaxLogins = 1 })
	c = connect()
	c.ask("AUTH XOAUTH2", "+ \r\n")
	c.ask(response, "-ERR Logon failure: unknown user name or bad password.\r\n")
}
