package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

// nudge is said to a server that has not said a word: each mail protocol has the
// server speak first, and a web server waits for a request. This one asks nothing
// of any page (RFC 9110 §9.3.7 calls it a ping), and to a mail server that is
// merely slow it is a command that it does not know.
const nudge = "OPTIONS * HTTP/1.0\r\n\r\n"

// Greeting reads the server's first line under its own limit. A server that is
// silent until then is given a nudge, only to tell what it is: after that the
// connection is of no other use.
func (c *Conn) Greeting(ctx context.Context, limit int) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, c.limits.Greeting+c.limits.Probe)
	defer cancel()
	defer c.Begin(limited)()
	// Its error is the reader's too.
	timer := time.AfterFunc(c.limits.Greeting, func() { c.Write([]byte(nudge)) })
	_, err := c.reader.Peek(1)
	if nudged := !timer.Stop(); nudged {
		return nil, c.silent(ctx)
	}
	if err == nil && c.gotTLS() {
		return nil, c.endpoint.wantsTLS()
	}
	var line []byte
	if err == nil {
		line, err = c.ReadLine(limit)
	}
	switch {
	case err == nil || ctx.Err() != nil || errors.Is(err, ErrLineTooLong):
		return line, err
	case limited.Err() != nil:
		return nil, c.silent(ctx)
	case c.endpoint.mistakesTLSPort():
		return nil, c.endpoint.wantsTLS()
	}
	return nil, err
}

// silent says what a server is that did not greet in time, by what it answered to
// the nudge, or to a TLS handshake on a connection of its own.
func (c *Conn) silent(ctx context.Context) error {
	answer, err := c.reader.Peek(5)
	switch {
	case ctx.Err() != nil:
		return c.fail("read from", ctx.Err())
	case err == nil && isWeb(answer):
		return c.endpoint.WrongServer(c.firstLine())
	case c.gotTLS(), c.endpoint.mistakesTLSPort(), c.endpoint.expectsTLS(ctx):
		return c.endpoint.wantsTLS()
	}
	return fault.New(fault.Temporary, "%s accepted the connection but said nothing for %s",
		c.Address(), fault.Span(c.limits.Greeting)).WithHint("%s", c.endpoint.silenceHint())
}

// firstLine is what was received of the first line.
func (c *Conn) firstLine() []byte {
	received, _ := c.reader.Peek(c.Buffered()) // never fails: it is there
	line, _, _ := bytes.Cut(received, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

// gotTLS knows the start of a TLS alert or handshake (RFC 8446 §5.1) where
// clear text is spoken.
func (c *Conn) gotTLS() bool {
	b := c.firstLine()
	return c.endpoint.TLS != Implicit && len(b) >= 2 && (b[0] == 0x15 || b[0] == 0x16) && b[1] == 3
}

// mistakesTLSPort reports whether clear text is spoken to the port where TLS comes
// first: both sides wait for the other to begin, until one of them hangs up.
func (e Endpoint) mistakesTLSPort() bool {
	secure, _ := e.Protocol.ports()
	return e.TLS != Implicit && e.Port == secure
}

func (e Endpoint) wantsTLS() error {
	return fault.New(fault.Config, "%s expects TLS from the first byte", e).
		WithHint("set tls: implicit for it")
}

// expectsTLS finds out whether a server that is silent in clear text answers a TLS
// handshake. It uses a connection of its own and says nothing else on it.
func (e Endpoint) expectsTLS(ctx context.Context) bool {
	if e.TLS == Implicit {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, e.Limits.withDefaults().Probe)
	defer cancel()
	conn, err := e.dial(ctx)
	if err != nil {
		return false
	}
	defer conn.Close()
	// Whose certificate it is does not matter for the answer.
	probe := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	return probe.HandshakeContext(ctx) == nil
}

// silenceHint covers the usual cause of silence: both sides wait, since the
// server expects TLS and we expect a greeting (or the server is overloaded).
func (e Endpoint) silenceHint() string {
	if e.TLS != Implicit {
		return "if this port expects TLS, set tls: implicit; else the server may be overloaded"
	}
	return "the server may be overloaded; try again later"
}

// WrongServer is the error for a server that greets as none of the protocol, by
// the start of what it said.
func (e Endpoint) WrongServer(said []byte) *fault.Error {
	secure, plain := e.Protocol.ports()
	kind, hint := kindOf(said), "check host and port; %s is at port %d or %d"
	if kind == "" {
		kind = mailKindOf(said)
	}
	if kind == "" {
		hint = "check host and port (%s is at %d or %d); a proxy or a captive portal may be in between"
	} else {
		kind += ", "
	}
	return fault.New(fault.Protocol, "%s is %snot %s (got \"%s\")", e.Address(), kind,
		e.Protocol.server(), fault.Escape(string(said))).WithHint(hint, e.Protocol, secure, plain)
}

// kindOf recognises a server that carries no mail to read by its first bytes.
func kindOf(start []byte) string {
	switch {
	case isWeb(start):
		return "a web server"
	case bytes.HasPrefix(start, []byte("220")):
		return "an SMTP or FTP server"
	case bytes.HasPrefix(start, []byte("SSH-")):
		return "an SSH server"
	}
	return ""
}

func isWeb(start []byte) bool {
	return bytes.HasPrefix(start, []byte("HTTP")) || bytes.HasPrefix(start, []byte("<"))
}

// mailKindOf recognises the other of the two protocols, which is no reason to
// doubt the host.
func mailKindOf(start []byte) string {
	switch {
	case bytes.HasPrefix(start, []byte("+OK")), bytes.HasPrefix(start, []byte("-ERR")):
		return POP3.server()
	case bytes.HasPrefix(start, []byte("* ")):
		return IMAP.server()
	}
	return ""
}
