package popd

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// readAhead is how many commands a client may pipeline before it has to wait.
const readAhead = 4096

// maxCommand bounds a command line; RFC 5034 §4 allows long ones for AUTH.
const maxCommand = 12 << 10

// session is one connection: AUTHORIZATION until list is set, then TRANSACTION
// (RFC 1939 §3).
type session struct {
	server   *Server
	options  Options
	conn     net.Conn
	w        *bufio.Writer
	lines    chan string
	resume   chan *bufio.Reader // the reader goes on after STLS with this
	secure   bool
	user     string
	loggedIn bool
	sasl     bool // the next line answers a challenge
	// mechanism is what the client chose.
	mechanism string
	list      []*stored
	marked    map[*stored]bool
	given     map[*stored]bool // by RETR
	done      bool
}

func newSession(server *Server, options Options, conn net.Conn) *session {
	_, secure := conn.(*tls.Conn)
	return &session{
		server: server, options: options, conn: conn, secure: secure,
		w:      bufio.NewWriterSize(countingWriter{server, conn}, 64<<10),
		lines:  make(chan string, readAhead),
		resume: make(chan *bufio.Reader),
		marked: make(map[*stored]bool),
		given:  make(map[*stored]bool),
	}
}

// run greets, answers commands until QUIT or the end of the connection, and
// gives back the lock.
func (c *session) run() {
	defer func() { c.conn.Close() }() // the TLS one, after STLS
	defer c.unlock()
	stop := make(chan struct{})
	defer close(stop)
	conn := c.conn
	c.server.running.Go(func() { c.readLines(conn, stop) })
	c.greet()
	if c.w.Flush() != nil {
		return
	}
	for line := range c.lines {
		c.handle(line)
		if len(c.lines) > 0 && !c.done {
			c.server.count(func(n *Counters) { n.Pipelined++ })
			continue
		}
		if c.w.Flush() != nil || c.done {
			return
		}
	}
}

func (c *session) greet() {
	var number int
	c.server.count(func(n *Counters) { number = n.Sessions })
	if c.substitute("GREETING", number) == nil {
		c.ok("popd ready")
	}
}

// readLines reads ahead, except behind STLS: what follows is not clear text.
func (c *session) readLines(conn net.Conn, stop <-chan struct{}) {
	defer close(c.lines)
	reader := bufio.NewReaderSize(countingReader{c.server, conn}, maxCommand)
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return
		}
		text := strings.TrimRight(string(line), "\r\n")
		select {
		case c.lines <- text:
		case <-stop:
			return
		}
		if !upgrades(text) {
			continue
		}
		select {
		case next := <-c.resume:
			if next != nil {
				reader = next
			}
		case <-stop:
			return
		}
	}
}

// upgrades tells the command behind which the octets are TLS.
func upgrades(line string) bool {
	verb, _, _ := strings.Cut(line, " ")
	return strings.EqualFold(verb, "STLS")
}

// handle answers one line.
func (c *session) handle(line string) {
	if c.sasl {
		c.sasl = false
		c.finishSASL(line)
		if upgrades(line) { // it was no command: the reader may go on
			c.resume <- nil
		}
		return
	}
	verb, rest, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	c.see(verb)
	number := 0
	if first, _, _ := strings.Cut(rest, " "); takesNumber(verb) {
		number, _ = strconv.Atoi(first)
	}
	if verb == "RETR" {
		c.server.count(func(n *Counters) { n.Retr[number]++ })
	}
	raw := c.substitute(verb, number)
	if raw != nil && strings.HasPrefix(string(raw), "-") {
		if verb == "STLS" {
			c.resume <- nil
		}
		return
	}
	if c.options.Times == nil || !c.loggedIn {
		c.perform(verb, rest, number, raw)
		return
	}
	c.repeat(c.options.Times(verb, number), func() { c.perform(verb, rest, number, raw) })
}

// repeat gives what act writes so many times.
func (c *session) repeat(times int, act func()) {
	var answer bytes.Buffer
	out := c.w
	c.w = bufio.NewWriter(&answer)
	act()
	c.w.Flush()
	c.w = out
	for i := range times {
		if i > 0 {
			c.w.Flush()
		}
		c.w.Write(answer.Bytes())
	}
}

func takesNumber(verb string) bool {
	switch verb {
	case "RETR", "DELE", "TOP", "LIST", "UIDL":
		return true
	}
	return false
}

func (c *session) see(verb string) {
	c.server.count(func(n *Counters) {
		n.Commands[verb]++
		switch verb {
		case "DELE":
			n.Dele++
		case "QUIT":
			n.Quit++
		case "USER", "PASS", "AUTH":
			if !c.secure {
				n.ClearLogins++
			}
		}
	})
}

// substitute asks the hook and sends its reply; nil means that it had none.
func (c *session) substitute(cmd string, n int) []byte {
	if c.options.Reply == nil {
		return nil
	}
	raw, override := c.options.Reply(cmd, n)
	if !override {
		return nil
	}
	c.w.Write(raw)
	if raw == nil {
		raw = []byte{}
	}
	return raw
}

// ok, fail and line write one reply line each. Errors of the connection stay in
// the writer until it is flushed.
func (c *session) ok(format string, args ...any)   { c.line("+OK "+format, args...) }
func (c *session) fail(format string, args ...any) { c.line("-ERR "+format, args...) }

func (c *session) line(format string, args ...any) {
	fmt.Fprintf(c.w, format, args...)
	c.w.Write(c.options.lineEnd())
}

func (o Options) lineEnd() []byte {
	if o.BareLF {
		return []byte("\n")
	}
	return []byte("\r\n")
}

type countingWriter struct {
	server *Server
	conn   net.Conn
}

func (w countingWriter) Write(p []byte) (int, error) {
	n, err := w.conn.Write(p)
	w.server.count(func(c *Counters) { c.BytesOut += int64(n) })
	return n, err
}

type countingReader struct {
	server *Server
	conn   net.Conn
}

func (r countingReader) Read(p []byte) (int, error) {
	n, err := r.conn.Read(p)
	r.server.count(func(c *Counters) { c.BytesIn += int64(n) })
	return n, err
}
