package imapd

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

const (
	// maxLine bounds a command line, without its literals.
	maxLine = 64 << 10
	// flushSize is when answers are sent although more commands are there to be read.
	flushSize = 256 << 10
	// maxBad is how many commands in a row may be wrong before the session ends.
	maxBad = 20
)

// session is one connection. All of it belongs to one goroutine.
type session struct {
	server  *Server
	box     *outbox
	number  int
	conn    net.Conn // box, or TLS over it
	r       *bufio.Reader
	out     bytes.Buffer
	options Options // as they were when the current command began
	over    bool    // nothing more is read or written
	bad     int
	command string // the name of the one that is carried out

	user  string
	store *Store // nil before the login
	selection
}

func newSession(server *Server, box *outbox, number int) *session {
	s := &session{server: server, box: box, number: number, options: server.snapshot()}
	s.use(box)
	return s
}

// use makes conn what is read from and written to.
func (s *session) use(conn net.Conn) {
	s.conn = conn
	s.r = bufio.NewReaderSize(flusher{s}, maxLine)
}

// flusher sends what was answered before it waits for more to read.
type flusher struct{ *session }

func (f flusher) Read(p []byte) (int, error) {
	f.flush()
	return f.conn.Read(p)
}

func (s *session) flush() {
	if s.out.Len() == 0 {
		return
	}
	// A client that cannot be written to is noticed when it is read from.
	_, _ = s.conn.Write(s.out.Bytes())
	s.out.Reset()
}

// run holds the session and ends it.
func (s *session) run() {
	if s.options.Mode == Implicit && s.secure() != nil {
		return
	}
	s.greet()
	for !s.over {
		c, err := s.readCommand()
		if err != nil {
			break
		}
		if c != nil {
			s.execute(c)
		}
	}
	s.end(FIN, true)
}

// secure starts TLS. What the client sent before that and was not read is thrown away.
func (s *session) secure() error {
	conn := tls.Server(s.conn, s.options.TLS)
	if err := conn.Handshake(); err != nil {
		return err
	}
	s.use(conn)
	return nil
}

func (s *session) isSecure() bool { return s.conn != net.Conn(s.box) }

// end sends what is waiting and closes the connection, once.
func (s *session) end(how End, orderly bool) {
	if s.over {
		return
	}
	s.over = true
	s.flush()
	if orderly && s.isSecure() {
		_ = s.conn.Close()
		return
	}
	s.box.finish(how)
}

func (s *session) greet() {
	text := "OK "
	if !s.options.NoGreetingCapability {
		text += "[CAPABILITY " + s.capabilities() + "] "
	}
	text += "imapd is ready"
	c := &command{tag: "*"}
	if reply, over := s.apply(c, s.ask(AtGreeting, c, "")); reply != "" {
		text = reply
	} else if over {
		return
	}
	s.reply("*", text)
}

// ask tells Options.Reply of an event.
func (s *session) ask(stage Stage, c *command, text string) Action {
	n := s.server.number(stage, c.name)
	if s.options.Reply == nil {
		return Action{}
	}
	return s.options.Reply(Event{
		Conn: s.number, User: s.user, Stage: stage, N: n,
		Command: c.name, Tag: c.tag, Line: c.line(), Messages: c.messages, Text: text,
	})
}

// apply carries out an action, except for its StoreAfter. If the session is not over, reply is
// what to answer to the command instead of carrying it out, unless it is empty.
func (s *session) apply(c *command, a Action) (reply string, over bool) {
	if a.Wait > 0 && !s.pause(a.Wait) {
		s.end(FIN, false)
		return "", true
	}
	s.out.WriteString(a.Raw)
	if !a.ends() {
		return a.Reply, false
	}
	if a.Reply != "" {
		s.reply(c.tag, a.Reply)
	}
	switch {
	case a.Bye != "":
		s.reply("*", "BYE "+a.Bye)
		s.end(FIN, true)
	case a.Cut != Open:
		s.end(a.Cut, false)
	default:
		s.flush()
		drain(s.box)
		s.end(FIN, false)
	}
	return "", true
}

// pause waits; it is false if the server was closed meanwhile.
func (s *session) pause(d time.Duration) bool {
	s.flush()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.server.done:
		return false
	}
}

// reply writes a tagged line; the tag may be "*".
func (s *session) reply(tag, text string) {
	fmt.Fprintf(&s.out, "%s %s\r\n", tag, text)
	if s.out.Len() > flushSize {
		s.flush()
	}
}

// untagged writes an untagged line, or what replaces it.
func (s *session) untagged(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if replace := s.options.Untagged; replace != nil {
		text = replace(s.command, text)
	}
	if text != "" {
		s.reply("*", text)
	}
}

// execute carries out a command that was read, and answers it.
func (s *session) execute(c *command) {
	s.command = c.name
	s.server.count(func(n *Counters) { n.Commands[c.name]++ })
	if !c.announced && s.announce(c) {
		return
	}
	text := c.refused
	if text == "" {
		text = s.carryOut(c)
	}
	if s.over {
		return
	}
	if s.selected != nil {
		s.update(!strings.HasSuffix(c.name, "FETCH") && !strings.HasSuffix(c.name, "STORE") &&
			!strings.HasSuffix(c.name, "SEARCH"))
	}
	s.answer(c, text)
}

// announce asks what to do about a command that was read.
func (s *session) announce(c *command) (over bool) {
	c.announced = true
	reply, over := s.apply(c, s.ask(AtCommand, c, ""))
	if reply != "" {
		c.refused = reply
	}
	return over
}

// answer sends the tagged reply, and what belongs behind it.
func (s *session) answer(c *command, text string) {
	reply, over := s.apply(c, s.ask(AtReply, c, text))
	if over {
		return
	}
	if reply != "" {
		text = reply
	}
	s.reply(c.tag, text)
	s.countBad(strings.HasPrefix(text, "BAD"))
	if c.after != nil && strings.HasPrefix(text, "OK") {
		c.after()
	}
}

func (s *session) countBad(bad bool) {
	if !bad {
		s.bad = 0
		return
	}
	if s.bad++; s.bad > maxBad {
		s.reply("*", "BYE too many wrong commands")
		s.end(FIN, true)
	}
}

// phase is the state of a session (RFC 3501 §3).
type phase int

const (
	always phase = iota
	notLoggedIn
	loggedIn
	inMailbox
)

// carryOut finds and runs what a command does, and returns the tagged reply.
func (s *session) carryOut(c *command) string {
	args, err := c.args()
	if err != nil {
		return "BAD " + err.Error()
	}
	run, when := s.handler(c.name)
	switch {
	case run == nil:
		return "BAD unknown command"
	case when == notLoggedIn && s.store != nil:
		return "BAD already logged in"
	case when >= loggedIn && s.store == nil:
		return "BAD not logged in"
	case when == inMailbox && s.selected == nil:
		return "BAD no mailbox selected"
	}
	text, err := run(c, args)
	if err != nil {
		return failure(err)
	}
	return text
}

// failure returns the tagged reply for an error of the store or of the parser.
func failure(err error) string {
	switch {
	case errors.Is(err, errNoMailbox):
		return "NO [NONEXISTENT] " + err.Error()
	case errors.Is(err, errExists):
		return "NO [ALREADYEXISTS] " + err.Error()
	default:
		return "BAD " + err.Error()
	}
}

// handle carries out a command and returns its tagged reply.
type handle func(c *command, args []arg) (string, error)

func (s *session) handler(name string) (handle, phase) {
	switch name {
	case "CAPABILITY":
		return s.capability, always
	case "NOOP":
		return s.done("NOOP"), always
	case "ID":
		return s.id, always
	case "LOGOUT":
		return s.logout, always
	case "STARTTLS":
		return s.startTLS, notLoggedIn
	case "LOGIN":
		return s.login, notLoggedIn
	case "AUTHENTICATE":
		return s.authenticate, notLoggedIn
	case "CHECK":
		return s.done("CHECK"), inMailbox
	}
	if run := s.mailboxHandler(name); run != nil {
		return run, loggedIn
	}
	return s.messageHandler(name), inMailbox
}

func (s *session) mailboxHandler(name string) handle {
	switch name {
	case "ENABLE":
		return s.enable
	case "NAMESPACE":
		return s.namespace
	case "LIST":
		return s.list
	case "LSUB":
		return s.lsub
	case "STATUS":
		return s.status
	case "SELECT", "EXAMINE":
		return s.selectMailbox
	case "CREATE", "DELETE", "SUBSCRIBE", "UNSUBSCRIBE":
		return s.changeMailbox
	case "APPEND":
		return s.append
	case "GETQUOTAROOT", "GETQUOTA":
		return s.quota
	}
	return nil
}

func (s *session) messageHandler(name string) handle {
	switch name {
	case "UNSELECT", "CLOSE":
		return s.unselect
	case "FETCH", "UID FETCH":
		return s.fetch
	case "SEARCH", "UID SEARCH":
		return s.search
	case "STORE", "UID STORE":
		return s.storeFlags
	case "EXPUNGE", "UID EXPUNGE":
		return s.expunge
	}
	return nil
}

// done returns a handle that does nothing and says so.
func (s *session) done(name string) handle {
	return func(*command, []arg) (string, error) { return "OK " + name + " completed", nil }
}
