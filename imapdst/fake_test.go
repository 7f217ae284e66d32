package imapdst_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
)

const (
	username = "alice"
	password = `p"a\ss`
	allCaps  = "IMAP4rev1 SASL-IR AUTH=PLAIN ID NAMESPACE UIDPLUS LITERAL+ MULTIAPPEND"
)

// fake is a scripted IMAP server on the other end of a pipe, or of what pair makes. It answers every
// command properly unless on has another answer for it.
type fake struct {
	greeting string // default: OK with the capabilities
	caps     string // default: allCaps
	on       map[string]handler
	pair     func() (client, server net.Conn)

	conn net.Conn
	in   *bufio.Reader
	mu   sync.Mutex
	got  bytes.Buffer // all that the client sent
	next int          // UID of the next message
	done chan struct{}
}

// handler answers one command; args is what follows the verb, without CRLF.
type handler func(f *fake, tag, args string)

// say is a handler that sends fixed lines: TAG is replaced by the tag.
func say(lines ...string) handler {
	return func(f *fake, tag, _ string) {
		for _, line := range lines {
			f.send(strings.ReplaceAll(line, "TAG", tag))
		}
	}
}

// hangUp sends a text as it is and closes the connection.
func hangUp(text string) handler {
	return func(f *fake, tag, _ string) {
		io.WriteString(f.conn, strings.ReplaceAll(text, "TAG", tag))
		f.conn.Close()
	}
}

func (f *fake) start(t testing.TB) imapdst.Options {
	t.Helper()
	if f.pair == nil {
		f.pair = net.Pipe
	}
	client, server := f.pair()
	f.conn, f.next, f.done = server, 100, make(chan struct{})
	f.in = bufio.NewReader(io.TeeReader(server, &lockedWriter{f: f}))
	if f.caps == "" {
		f.caps = allCaps
	}
	if f.greeting == "" {
		f.greeting = "* OK [CAPABILITY " + f.caps + "] hello"
	}
	go f.serve()
	t.Cleanup(func() {
		server.Close()
		<-f.done
	})
	e := wire.Endpoint{Host: "127.0.0.1", Port: 143, TLS: wire.None}
	e.Dial = func(context.Context, string, string) (net.Conn, error) { return client, nil }
	return imapdst.Options{Endpoint: e, Username: username, Password: secret.New(password)}
}

func (f *fake) dial(t testing.TB) *imapdst.Conn {
	t.Helper()
	return dial(t, f.start(t))
}

// lockedWriter keeps what the client sent.
type lockedWriter struct{ f *fake }

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	return w.f.got.Write(p)
}

func (f *fake) received() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.got.String()
}

// send writes one line; a failure shows in the client.
func (f *fake) send(line string) { io.WriteString(f.conn, line+"\r\n") }

func (f *fake) serve() {
	defer close(f.done)
	f.send(f.greeting)
	for {
		line, err := f.in.ReadString('\n')
		if err != nil {
			return
		}
		f.command(strings.TrimRight(line, "\r\n"))
	}
}

func (f *fake) command(line string) {
	tag, rest, _ := strings.Cut(line, " ")
	verb, args, _ := strings.Cut(rest, " ")
	if verb == "UID" {
		var second string
		second, args, _ = strings.Cut(args, " ")
		verb += " " + second
	}
	if h := f.on[verb]; h != nil {
		h(f, tag, args)
		return
	}
	f.standard(tag, verb, args)
}

func (f *fake) standard(tag, verb, args string) {
	switch verb {
	case "CAPABILITY":
		f.send("* CAPABILITY " + f.caps)
	case "AUTHENTICATE", "LOGIN":
		f.send(tag + " OK [CAPABILITY " + f.caps + "] welcome")
		return
	case "NAMESPACE":
		f.send(`* NAMESPACE (("" "/")) NIL NIL`)
	case "LIST":
		f.send(`* LIST (\HasNoChildren) "/" INBOX`)
	case "SELECT", "EXAMINE":
		f.selectLines()
	case "APPEND":
		f.append(tag, args)
		return
	}
	f.send(tag + " OK done")
}

func (f *fake) selectLines() {
	f.send(`* FLAGS (\Seen \Deleted)`)
	f.send("* 3 EXISTS")
	f.send("* OK [UIDVALIDITY 42] fine")
	f.send("* OK [UIDNEXT 100] fine")
}

var literalEnd = regexp.MustCompile(`\{(\d+)(\+?)\}$`)

// append takes all literals of an APPEND or MULTIAPPEND and answers OK.
func (f *fake) append(tag, args string) {
	if n := f.literals(args); n > 0 {
		f.send(tag + " OK " + f.appendUID(n) + " stored")
	}
}

// literals reads the messages of an APPEND; 0 when the connection ended.
func (f *fake) literals(args string) int {
	count := 0
	for {
		found := literalEnd.FindStringSubmatch(args)
		if found == nil {
			return count
		}
		size, _ := strconv.Atoi(found[1])
		if found[2] == "" {
			f.send("+ go ahead")
		}
		if _, err := io.CopyN(io.Discard, f.in, int64(size)); err != nil {
			return 0
		}
		count++
		line, err := f.in.ReadString('\n')
		if err != nil {
			return 0
		}
		args = strings.TrimRight(line, "\r\n")
	}
}

func (f *fake) appendUID(n int) string {
	first := f.next
	f.next += n
	if n == 1 {
		return fmt.Sprintf("[APPENDUID 42 %d]", first)
	}
	return fmt.Sprintf("[APPENDUID 42 %d:%d]", first, f.next-1)
}
