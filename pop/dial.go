package pop

import (
	"context"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
)

// connect dials and reads the greeting; see [libraryDialer].
func connect(ctx context.Context, o Options) (*Maildrop, error) {
	lib, err := openLibrary(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Maildrop{
		options: o, conn: lib.lines.Conn, library: lib, turns: 1,
		plainFirst: leavesFirstLine(lib.lines.last.text),
		greeting:   lib.lines.last.text,
	}, nil
}

// greet reads the greeting and refuses what is not that of a POP3 server that
// welcomes us (RFC 1939 §4).
func greet(ctx context.Context, conn *wire.Conn, e wire.Endpoint) (status, error) {
	line, err := conn.Greeting(ctx, maxStatus)
	if err != nil {
		return status{}, err
	}
	greeting, ok := parseStatus(line)
	switch {
	case !ok || greeting.more:
		return status{}, e.WrongServer(line)
	case !greeting.ok:
		return status{}, refuse(conn.Address()+": the server refuses the connection", greeting,
			fault.Escape(greeting.text), fault.Temporary)
	}
	return greeting, nil
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
