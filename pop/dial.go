package pop

import (
	"context"
	"errors"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
)

// implicitPort is where TLS comes first (RFC 8314 §3.3).
const implicitPort = 995

// connect dials and reads the greeting; see [libraryDialer].
func connect(ctx context.Context, o Options) (*Maildrop, error) {
	lib, err := openLibrary(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Maildrop{
		options: o, conn: lib.lines.Conn, library: lib, turns: 1,
		plainFirst: leavesFirstLine(lib.lines.last.text),
	}, nil
}

// greet reads the greeting and refuses what is not that of a POP3 server that
// welcomes us (RFC 1939 §4).
func greet(ctx context.Context, conn *wire.Conn, e wire.Endpoint) (status, error) {
	line, err := conn.Greeting(ctx, maxStatus)
	if err != nil {
		return status{}, greetingError(ctx, conn, e, err)
	}
	greeting, ok := parseStatus(line)
	switch {
	case !ok || greeting.more:
		return status{}, notPOP3(conn.Address(), e, line)
	case !greeting.ok:
		return status{}, refuse(conn.Address()+": the server refuses the connection", greeting,
			fault.Escape(greeting.text), fault.Temporary)
	}
	return greeting, nil
}

// greetingError sees what is behind silence on the port for implicit TLS: both
// sides wait for the other to begin, until one of them hangs up.
func greetingError(ctx context.Context, conn *wire.Conn, e wire.Endpoint, err error) error {
	silent := ctx.Err() == nil && !errors.Is(err, wire.ErrLineTooLong)
	if silent && e.TLS != wire.Implicit && e.Port == implicitPort {
		return expectsTLS(conn.Address(), err)
	}
	return err
}

func expectsTLS(address string, cause error) error {
	return fault.New(fault.Config, "%s expects TLS from the start: %w", address, cause).
		WithHint("set tls: implicit")
}

// notPOP3 says what else the server seems to be.
func notPOP3(address string, e wire.Endpoint, line []byte) error {
	text := string(line)
	if e.TLS != wire.Implicit && isTLSRecord(line) {
		return expectsTLS(address, errTLSRecord)
	}
	hint := "check the host and the port; a proxy or a captive portal may be in between"
	switch {
	case strings.HasPrefix(text, "* "):
		hint = "this looks like an IMAP server; POP3 is on port 995 or 110"
	case strings.HasPrefix(text, "220"):
		hint = "this looks like an SMTP server; POP3 is on port 995 or 110"
	}
	return fault.New(fault.Protocol, "%s is not a POP3 server (got \"%s\")", address,
		fault.Escape(text)).WithHint("%s", hint)
}

// isTLSRecord knows the start of an alert or a handshake (RFC 8446 §5.1).
func isTLSRecord(b []byte) bool {
	return len(b) >= 2 && (b[0] == 0x15 || b[0] == 0x16) && b[1] == 3
}

// startTLS upgrades (RFC 2595 §4). It does not look for STLS in CAPA first:
// asking takes as long as trying, and what CAPA says before TLS must be forgotten
// anyway. No credentials were sent when this fails.
func (m *Maildrop) startTLS(ctx context.Context) error {
	reply, err := m.commandWithin(ctx, "STLS")
	if err != nil {
		return err
	}
	if !reply.ok {
		return fault.New(fault.TLS, "%s: TLS is required but not offered: \"%s\"", m.conn.Address(),
			m.shown(reply.text)).
			WithHint("use port 995 with tls: implicit if the server has it; else someone may be " +
				"hiding TLS from you")
	}
	return m.conn.StartTLS(ctx) // refuses what came behind the reply in clear text
}

func (m *Maildrop) commandWithin(ctx context.Context, line string) (status, error) {
	defer m.conn.Begin(ctx)()
	return m.command(line)
}
