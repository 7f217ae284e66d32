package pop

import (
	"context"
	"errors"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
)

const (
	defaultMaxMessages = 5_000_000
	defaultWindow      = 512
)

// Options say where a maildrop is and how to log in. A zero field means its
// default.
type Options struct {
	// Endpoint is the server.
	Endpoint wire.Endpoint
	// Username and Password log in; neither may hold CR, LF or NUL, which would
	// become commands of their own.
	Username string
	Password secret.Value
	// Auth is "auto", "plain" (SASL PLAIN) or "user" (USER and PASS). The default
	// is auto: PLAIN where it is offered, since it carries any password exactly.
	Auth string
	// MaxMessages bounds a listing (5,000,000).
	MaxMessages int
	// Window bounds how many replies may be on their way at a time (512), where
	// the server announces PIPELINING.
	Window int
}

// withDefaults fills in what is not set and refuses what can't be sent.
func (o Options) withDefaults() (Options, error) {
	o.Endpoint.Protocol = wire.POP3
	if o.MaxMessages == 0 {
		o.MaxMessages = defaultMaxMessages
	}
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	switch o.Auth {
	case "":
		o.Auth = authAuto
	case authAuto, authPlain, authUser:
	default:
		return o, fault.New(fault.Config, "auth: \"%s\" is not one of auto, plain, user",
			fault.Escape(o.Auth)).WithHint("auto does where the server can tell what it takes")
	}
	// RFC 1939 §3: a command ends at CRLF.
	if strings.ContainsAny(o.Username, "\r\n\x00") {
		return o, fault.New(fault.Config, "the user name contains a line break or a NUL").
			WithHint("check how the user name is written in the configuration")
	}
	if strings.ContainsAny(o.Password.Reveal(), "\r\n\x00") {
		return o, fault.New(fault.Config, "the password contains a line break or a NUL").
			WithHint("check how the password is stored; a file may end in one line break only")
	}
	return o, nil
}

// Maildrop is one session with a server, logged in.
type Maildrop struct {
	options Options
	conn    *wire.Conn
	library commander
	caps    Capabilities
	// recheck is set when CAPA may answer differently after the login.
	recheck bool
	// deleted is set once a DELE was sent: listings then have gaps.
	deleted bool
	// plainFirst is set when the server does not double a dot at the very start of
	// a message; see dots.go.
	plainFirst bool
	turns      int
}

// Dial connects, secures the connection as the endpoint says, and logs in. Its
// errors are those of wire.Endpoint.Connect, and by class: fault.Temporary when
// the server is busy, silent or locked, fault.Credentials, fault.TLS when TLS is
// refused or tampered with, fault.Config when the port and the TLS mode do not
// fit, fault.Protocol when this is no POP3 server.
func Dial(ctx context.Context, o Options) (*Maildrop, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	// Some servers hang up on CAPA, or never answer it. Once may be an accident,
	// and without CAPA we would not ask for UTF8, so it takes two.
	for range 2 {
		m, err := open(ctx, o, true)
		if !errors.Is(err, errCAPAUnanswered) || ctx.Err() != nil {
			return m, err
		}
	}
	return open(ctx, o, false)
}

func open(ctx context.Context, o Options, askCAPA bool) (*Maildrop, error) {
	m, err := connect(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := m.start(ctx, askCAPA); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// start takes a greeted connection through the AUTHORIZATION state (RFC 1939 §4).
func (m *Maildrop) start(ctx context.Context, askCAPA bool) error {
	if m.options.Endpoint.TLS == wire.STARTTLS {
		if err := m.startTLS(ctx); err != nil {
			return err
		}
	}
	// An invariant, not an option: no path may log in on a connection that was
	// to be safe and is not.
	if m.options.Endpoint.TLS != wire.None && !m.conn.Secure() {
		return fault.New(fault.TLS, "%s: the connection is not safe", m.conn.Address()).
			WithHint("set tls: implicit; nothing secret was sent")
	}
	if askCAPA {
		if err := m.askCAPA(ctx); err != nil {
			return err
		}
	}
	return m.login(ctx)
}

// RoundTrips is how many times this session had to wait for the server with
// nothing else on its way: one for the greeting, one for each command or packet
// of commands. The handshakes of TCP and TLS are not in it.
func (m *Maildrop) RoundTrips() int { return m.turns }

// Noop keeps an idle session alive (RFC 1939 §5).
func (m *Maildrop) Noop(ctx context.Context) error {
	return m.simple(ctx, "NOOP")
}

// Reset unmarks the messages that this session marked as deleted (RFC 1939 §5).
func (m *Maildrop) Reset(ctx context.Context) error {
	if err := m.simple(ctx, "RSET"); err != nil {
		return err
	}
	m.deleted = false
	return nil
}

func (m *Maildrop) simple(ctx context.Context, line string) error {
	defer m.conn.Begin(ctx)()
	reply, err := m.command(line)
	if err != nil {
		return err
	}
	if !reply.ok {
		return m.refusal(line, reply, fault.Temporary)
	}
	return nil
}

// Quit ends the session and makes the server remove what was deleted. When it
// reports [ErrNotRemoved] some of that is still there, and when the connection
// ends without an answer nobody knows: the next listing tells (RFC 1939 §6).
func (m *Maildrop) Quit(ctx context.Context) error {
	defer m.conn.Close()
	defer m.conn.Begin(ctx)()
	reply, err := m.command("QUIT")
	if err != nil {
		return err
	}
	switch {
	case reply.ok:
		return nil
	case !m.deleted:
		return m.refusal("QUIT", reply, fault.Temporary)
	}
	return fault.New(fault.Temporary, "%s: QUIT: %w: \"%s\"", m.conn.Address(), ErrNotRemoved,
		m.shown(reply.text)).WithHint("what is left is tried again by the next run")
}

// Close closes the socket and says nothing, so that the server forgets what was
// marked as deleted and, where it counts a retrieval as a deletion, that too
// (RFC 1939 §6). It may be called more than once.
func (m *Maildrop) Close() error { return m.conn.Close() }
