package popd

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"io"
	"slices"
	"strings"
	"time"
)

// perform carries out a command. When the hook already answered, said is what it
// sent and only the effect is left to do.
func (c *session) perform(verb, rest string, number int, said []byte) {
	if verb == "STLS" {
		c.startTLS(said)
		return
	}
	if said != nil {
		defer c.mute()()
	}
	switch {
	case verb == "QUIT":
		c.quit()
	case verb == "CAPA":
		c.capa()
	case c.loggedIn:
		c.transact(verb, rest, number)
	default:
		c.authorize(verb, rest, said)
	}
}

// mute drops what is said until the returned function is called.
func (c *session) mute() (restore func()) {
	audible := c.w
	c.w = bufio.NewWriter(io.Discard)
	return func() { c.w = audible }
}

// authorize answers what is allowed before the login (RFC 1939 §4).
func (c *session) authorize(verb, rest string, said []byte) {
	if c.options.Mode == STLS && !c.secure {
		c.fail("TLS first")
		return
	}
	switch verb {
	case "USER":
		c.user = rest
		c.ok("and the password?")
	case "PASS":
		c.login(c.user, rest)
	case "UTF8":
		c.utf8()
	case "AUTH":
		c.auth(rest, said)
	default:
		c.fail("not now")
	}
}

func (c *session) utf8() {
	if !c.options.UTF8 {
		c.fail("unknown command")
		return
	}
	c.ok("UTF8 enabled")
}

// startTLS upgrades (RFC 2595 §4), whatever the hook may have said. The goroutine
// that reads ahead waits for what to read next.
func (c *session) startTLS(said []byte) {
	var next *bufio.Reader
	defer func() { c.resume <- next }()
	if c.options.Mode != STLS || c.secure {
		if said == nil {
			c.fail("STLS not available")
		}
		return
	}
	if said == nil {
		c.ok("begin TLS")
	}
	secure := tls.Server(c.conn, c.options.TLS)
	if c.w.Flush() != nil || secure.Handshake() != nil {
		c.done = true
		return
	}
	c.conn, c.secure = secure, true
	c.w = bufio.NewWriterSize(countingWriter{c.server, secure}, 64<<10)
	next = bufio.NewReaderSize(countingReader{c.server, secure}, maxCommand)
}

// auth takes SASL PLAIN with or without an initial response (RFC 5034 §4).
func (c *session) auth(rest string, said []byte) {
	mechanism, response, initial := strings.Cut(rest, " ")
	switch {
	case said != nil && strings.HasPrefix(string(said), "+ "):
		c.sasl = true
	case c.options.NoSASL || !slices.Contains(c.options.mechanisms(), strings.ToUpper(mechanism)):
		c.fail("unsupported authentication mechanism")
	case initial && c.options.TwoLineAuth:
		c.fail("Protocol error. 14")
		c.done = true
	case !initial:
		c.sasl, c.mechanism = true, strings.ToUpper(mechanism)
		c.line("+ ")
	default:
		c.mechanism = strings.ToUpper(mechanism)
		c.respond(response)
	}
}

func (c *session) finishSASL(response string) {
	raw := c.substitute("SASL", 0)
	switch {
	case strings.HasPrefix(string(raw), "-"):
		return
	case strings.HasPrefix(string(raw), "+ "):
		c.sasl = true
		return
	case raw != nil:
		defer c.mute()()
	}
	if response == "*" {
		c.fail("cancelled")
		return
	}
	c.respond(response)
}

func (o Options) mechanisms() []string {
	if o.Token != nil {
		return []string{"XOAUTH2"}
	}
	return []string{"PLAIN"}
}

func (c *session) respond(response string) {
	if c.mechanism == "XOAUTH2" {
		c.bearer(response)
		return
	}
	c.plain(response)
}

// bearer checks "user=…^Aauth=Bearer …^A^A".
func (c *session) bearer(response string) {
	decoded, err := base64.StdEncoding.DecodeString(response)
	user, rest, ok := strings.Cut(strings.TrimPrefix(string(decoded), "user="), "\x01auth=Bearer ")
	token, ends := strings.CutSuffix(rest, "\x01\x01")
	switch {
	case err != nil || !ok || !ends:
		c.fail("malformed response")
	case !c.options.Token(user, token):
		c.fail("[AUTH] the token is not good")
	default:
		c.admit()
	}
}

// plain checks the message of RFC 4616 §2.
func (c *session) plain(response string) {
	decoded, err := base64.StdEncoding.DecodeString(response)
	parts := strings.Split(string(decoded), "\x00")
	if err != nil || len(parts) != 3 {
		c.fail("malformed response")
		return
	}
	c.login(parts[1], parts[2])
}

// login checks the credentials first: IN-USE and LOGIN-DELAY tell a client that
// its password was right (RFC 2449 §8.1.2, §6.5).
func (c *session) login(user, password string) {
	o := c.options
	if o.Token != nil || o.Username != "" && (user != o.Username || password != o.Password) {
		c.fail("[AUTH] wrong user name or password")
		return
	}
	c.admit()
}

func (c *session) admit() {
	if refusal := c.enter(); refusal != "" {
		c.fail("%s", refusal)
		return
	}
	c.ok("maildrop has %d messages", len(c.list))
}

// enter takes the lock and a snapshot of the maildrop, or says why not.
func (c *session) enter() (refusal string) {
	s, o := c.server, c.options
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.InUse || o.Exclusive && s.locked {
		return "[IN-USE] the maildrop is locked by another session"
	}
	if o.MaxLogins > 0 && s.counters.Logins >= o.MaxLogins {
		return "Logon failure: unknown user name or bad password."
	}
	if !s.lastLogin.IsZero() && time.Since(s.lastLogin) < o.LoginDelay {
		return "[LOGIN-DELAY] wait before logging in again"
	}
	s.lastLogin, s.locked, c.loggedIn = time.Now(), true, true
	s.counters.Logins++
	c.list = s.view()
	return ""
}

func (c *session) unlock() {
	if !c.loggedIn {
		return
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.server.locked = false
}
