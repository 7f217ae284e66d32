package imapdst

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
)

// maxUntagged bounds the untagged responses between two tagged ones: more than
// the largest folder needs, and an end to a server that never stops.
const maxUntagged = 5_000_000

// maxSaid bounds the octets of those, but for FETCH, which is counted by message: a
// million names of mailboxes.
const maxSaid = 64 << 20

// maxUnwanted is how many times between two tagged responses a server may ask for a
// literal that does not wait to be asked for (RFC 7888 §4): more than are ever on their way.
const maxUnwanted = 1000

// maxUnasked is how many FETCH responses there may be between two tagged responses
// beyond two for each message of the mailbox: one that was asked for, and the change
// of flags by another client that comes in between (RFC 3501 §7.4.2).
const maxUnasked = 10_000

// guard is the network connection as go-imap sees it; the package comment says
// what it does. Read is called by go-imap's reader goroutine only, or by whoever
// reads a literal while that one waits, Write by whoever holds Conn.turn.
type guard struct {
	net.Conn // addresses and deadlines, which [wire.Conn] ignores
	conn     *wire.Conn
	router   *router
	start    time.Time
	moved    atomic.Int64 // when an octet last moved, as time since start
	served   atomic.Int64 // when one did that was more than talk
	notices  *notices
	hide     func(string) string // takes what is secret out of a text

	asides *asides

	// largest is the longest FETCH literal that is accepted now.
	largest atomic.Int64
	// deaf: go-imap's reader reads no more, and is about to end all of its commands.
	deaf atomic.Bool

	// Owned by the reader goroutine, which lends them to whoever reads a literal.
	scan     scanner
	out      []byte                 // written by us, for go-imap to read
	literal  int64                  // octets of a literal to pass through behind out
	fetch    *fetchReply            // FETCH response that goes on behind the literal
	parts    map[uint32]*fetchReply // FETCH responses without a body section, by UID
	untagged int                    // since the last tagged response
	said     int                    // octets of them that are not FETCH
	fetched  int                    // those of them that were FETCH
	unwanted int                    // "+" that nobody waited for, since then
	exists   int                    // messages in the mailbox (RFC 3501 §7.3.1)

	// Owned by the writer.
	within bool // in the middle of a command line

	mu     sync.Mutex // guards what follows
	opened opening
	heard  tally
	// subscribed are the names that LSUB told.
	subscribed []string
	// marks are the special uses that XLIST told, by mailbox.
	marks map[string][]imap.MailboxAttr
	names map[string]string
	bye   bool // LOGOUT was sent: BYE is its answer (RFC 3501 §7.1.5)
}

// opening is what a SELECT says beyond what go-imap keeps of it, or makes 0 where it is missing.
type opening struct {
	readOnly  bool // RFC 3501 §7.1 READ-ONLY
	notSticky bool // RFC 4315 §3 UIDNOTSTICKY
	counted   bool // RFC 3501 §7.3.1 EXISTS
}

// newGuard takes over a connection that is logged in. go-imap reads the greeting
// of a server that needs no login (RFC 3501 §7.1.4). It is told of no extension:
// once it sees IMAP4rev2 it writes mailbox names in UTF-8, which needs ENABLE
// first (RFC 9051 §5.1, RFC 6855 §3).
func newGuard(conn *wire.Conn, l *login) *guard {
	g := &guard{
		Conn: conn, conn: conn, router: newRouter(l.tags),
		scan: scanner{r: conn.Reader()}, start: time.Now(), notices: &l.heard, hide: l.hide,
		marks: map[string][]imap.MailboxAttr{}, parts: map[uint32]*fetchReply{}, asides: newAsides(),
		out: []byte("* PREAUTH [CAPABILITY IMAP4rev1] ready\r\n"),
	}
	g.serve()
	return g
}

func (g *guard) touch() { g.moved.Store(int64(time.Since(g.start))) }

// serve is touch for what brings a command on: what we send, what the server asks for, and
// what it was asked for.
func (g *guard) serve() {
	g.touch()
	g.served.Store(g.moved.Load())
}

// quiet is for how long no octet moved in either direction.
func (g *guard) quiet() time.Duration {
	return time.Since(g.start) - time.Duration(g.moved.Load())
}

// unserved is for how long the server only talked, or did not even that.
func (g *guard) unserved() time.Duration {
	return time.Since(g.start) - time.Duration(g.served.Load())
}

// Read gives go-imap what is meant for it. After an error it gives that error
// for ever: bufio forgets one, and go-imap would read on.
func (g *guard) Read(p []byte) (int, error) {
	for {
		if len(g.out) > 0 {
			n := copy(p, g.out)
			g.out = g.out[n:]
			return n, nil
		}
		if g.literal > 0 {
			return g.readLiteral(p)
		}
		if err := g.next(); err != nil {
			return 0, g.fail(err)
		}
		g.touch()
	}
}

func (g *guard) readLiteral(p []byte) (int, error) {
	n, err := g.conn.Read(p[:min(int64(len(p)), g.literal)])
	g.literal -= int64(n)
	g.serve()
	if err != nil {
		return n, g.fail(err)
	}
	return n, nil
}

// Close is called by go-imap when its reader ends, which without an error of
// ours means that it could not parse what we let through.
func (g *guard) Close() error {
	g.deaf.Store(true)
	g.fail(fault.New(fault.Protocol, "%s sent an answer that can't be understood",
		g.conn.Address()).WithHint("%s", brokenHint))
	return nil
}

// fail breaks the connection, for which the first error counts, and ends every
// wait.
func (g *guard) fail(err error) error {
	var known *fault.Error
	if !errors.As(err, &known) {
		known = g.protocolError(err)
	}
	first := g.conn.Break(known)
	g.router.fail(first)
	return first
}

func (g *guard) protocolError(err error) *fault.Error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		closed := fault.New(fault.Temporary, "%s closed the connection", g.conn.Address()).
			WithHint("the server may be busy or limit connections; try again later")
		closed.Err = err
		return closed
	}
	return fault.New(fault.Protocol, "%s broke the IMAP protocol: %w", g.conn.Address(), err).
		WithHint("%s", strangerHint)
}

// next handles one response, or the next part of a FETCH response. It starts
// none before somebody waits for an answer: what a server says in between stays
// in the network's buffers, and the limits on silence do not count.
func (g *guard) next() error {
	if g.fetch != nil {
		return g.fetchItems()
	}
	if err := g.router.idle(); err != nil {
		return err
	}
	b, err := g.scan.peek()
	if err != nil {
		return err
	}
	switch b {
	case '*':
		return g.countedResponse()
	case '+':
		return g.continuation()
	}
	return g.taggedResponse()
}

// countedResponse reads an untagged response, unless there were too many.
func (g *guard) countedResponse() error {
	fetched := g.fetched
	err := g.untaggedResponse()
	if g.untagged++; g.fetched == fetched {
		g.said += maxLine - g.scan.left
	}
	if err == nil && (g.untagged > maxUntagged || g.said > maxSaid) {
		return errors.New("untagged responses without end")
	}
	return err
}

// continuation passes a "+" on (RFC 3501 §7.5).
func (g *guard) continuation() error {
	if _, err := g.conn.ReadLine(maxLine); err != nil {
		return err
	}
	if g.router.proceed() {
		g.serve()
		return nil
	}
	if g.unwanted++; g.unwanted > maxUnwanted {
		return errors.New(`it asks ("+") for what it was sent, without end`)
	}
	return nil
}

// taggedResponse routes the answer to a command (RFC 3501 §7.1) by its tag.
func (g *guard) taggedResponse() error {
	line, err := g.conn.ReadStart(longest)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(line)) == 0 { // some servers send a stray line end
		g.untagged++
		return nil
	}
	tag, rest, _ := strings.Cut(string(line), " ")
	s, ok := g.status(rest)
	if !ok {
		return g.nonsense(line)
	}
	g.untagged, g.said, g.fetched, g.unwanted = 0, 0, 0, 0
	if s.kind == "OK" {
		g.notices.hear(g.conn.Address(), s)
	}
	switch kind, number := g.router.answer(tag, s); kind {
	case forControl:
		g.noteOpening(s)
		g.out = append(g.restOfParts(), s.line(number)...)
	case tooEarly:
		return fault.New(fault.Protocol, "%s answered OK to an APPEND before it had the message",
			g.conn.Address()).WithHint("%s", brokenHint)
	case forNobody:
		return g.nonsense(line)
	}
	g.serve()
	return nil
}

// longest bounds an answer by its beginning: a refusal may repeat what it is about.
func longest(start []byte) int {
	_, rest, _ := strings.Cut(string(start), " ")
	if s, ok := parseStatus(rest); ok && (s.kind == "NO" || s.kind == "BAD") {
		return maxQuote
	}
	return maxLine
}

// status is parseStatus without the password, which a server may echo at any time.
func (g *guard) status(line string) (status, bool) {
	s, ok := parseStatus(line)
	s.text = g.hide(s.text)
	return s, ok
}

// nonsense is a line that is no response, or answers a command that was never
// sent. Servers that quote a refused message in their answer produce it too:
// then the connection is out of step, and a new one is all that is needed.
func (g *guard) nonsense(line []byte) error {
	if g.router.refusedBefore() { // and what it says may be mail, which nobody is to see
		return fault.New(fault.Temporary, "%s broke the connection after refusing a message",
			g.conn.Address()).WithHint("a new connection goes on; the refused message stays on POP3")
	}
	return fault.New(fault.Protocol, "%s sent %q, which answers no command of ours",
		g.conn.Address(), fault.Escape(g.hide(string(line)))).
		WithHint("%s", strangerHint)
}

// Write sends go-imap's commands, with our letters before its predictable tags.
// None of them has a literal, so a line is a command.
//
// A failure is for go-imap's reader to find: it ends all commands that go-imap knows of
// by then, and this one is among them. Told here, go-imap would end them in this
// goroutine, while its reader still gives them answers.
func (g *guard) Write(p []byte) (int, error) {
	if err := g.write(p); err != nil && g.deaf.Load() {
		return 0, err
	}
	return len(p), nil
}

func (g *guard) write(p []byte) error {
	line := p
	if !g.within {
		tag, _, _ := bytes.Cut(p, []byte(" "))
		if err := g.router.sent(string(tag)); err != nil {
			return err
		}
		line = append([]byte(g.router.prefix), plainFields(g.restoreNames(p))...)
	}
	g.within = !bytes.HasSuffix(p, []byte("\n"))
	g.serve()
	if _, err := g.conn.Write(line); err != nil {
		return g.fail(err)
	}
	return nil
}
