package pop

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sasl"
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
	// AuthorizeAs names whose maildrop it is to be, where that is somebody else
	// than who logs in (RFC 4422 §2); mostly empty.
	AuthorizeAs string
	// Token gives a token of OAuth. Without it the password is the token, where
	// Auth names such a mechanism. It is asked once, before the server is.
	Token func(context.Context) (secret.Value, error)
	// Auth is "auto", "user" (USER and PASS), "apop", or the name of a SASL
	// mechanism in lower case. The default is auto: the strongest that is offered
	// and suits what is given, USER and PASS where there is none.
	Auth string
	// NoScram has auto leave out SCRAM, NoExternal the certificate where there is something
	// else to log in with; see [Maildrop.RefusedWay].
	NoScram, NoExternal bool
	// Known spares the question what the server offers; nil has it asked each time.
	Known *Known
	// MaxMessages bounds a listing (5,000,000).
	MaxMessages int
	// Window bounds how many replies may be on their way at a time (512), where
	// the server announces PIPELINING.
	Window int

	token    secret.Value // what Token gave
	demanded bool         // TLS wants the certificate, whatever else the server does with it
	another  bool         // a login was refused just now, and no more than one is to be
	twoLines bool         // AUTH has its initial response on a line of its own
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
	if o.Auth == "" {
		o.Auth = authAuto
	}
	if err := o.checkAuth(); err != nil {
		return o, err
	}
	return o, o.credentials().Check()
}

func (o Options) checkAuth() error {
	switch _, known := sasl.Mechanism(o.Auth); {
	case !known && !slices.Contains([]string{authAuto, authUser, authAPOP}, o.Auth):
		return fault.New(fault.Config, "auth: \"%s\" is not one of auto, user, apop, %s",
			fault.Escape(o.Auth), strings.ToLower(strings.Join(sasl.Mechanisms(), ", "))).
			WithHint("auto does where the server can tell what it takes")
	case !known && o.Auth != authAuto && o.AuthorizeAs != "":
		return fault.New(fault.Config, "auth: %s can't log in as somebody else (authorize_as)", o.Auth).
			WithHint("set auth: plain or scram-sha-256, or leave authorize_as out")
	}
	return nil
}

// withToken asks for the token, if it may be needed.
func (o Options) withToken(ctx context.Context) (Options, error) {
	if o.Token == nil || !sasl.TakesToken(o.Auth) {
		return o, nil
	}
	var err error
	if o.token, err = o.Token(ctx); err != nil {
		return o, err
	}
	return o, o.credentials().Check()
}

func (o Options) credentials() sasl.Credentials {
	return sasl.Credentials{
		Username: o.Username, AuthorizeAs: o.AuthorizeAs, Password: o.Password, Token: o.token,
		Host: o.Endpoint.Host, Port: o.Endpoint.Port,
		Certificate: o.Endpoint.Certificate != nil && o.Endpoint.TLS != wire.None,
		Holder:      sasl.Holder(o.Endpoint.Certificate),
	}
}

// Maildrop is one session with a server, logged in.
type Maildrop struct {
	options Options
	conn    *wire.Conn
	library commander
	caps    Capabilities
	// recheck is set when CAPA may answer differently after the login.
	recheck bool
	// unasked is set when caps are of an earlier session.
	unasked bool
	// deleted is set once a DELE was sent: listings then have gaps.
	deleted bool
	// plainFirst is set when the server does not double a dot at the very start of
	// a message; see dots.go.
	plainFirst bool
	turns      int
	// stat is what the last listing had for STAT.
	stat status
	// named is the message that the last answer to LIST was about.
	named int
	// greeting is what the server said first; APOP needs it.
	greeting string
	// mechanism is how we log in, refused what it said about a refusal.
	mechanism, refused string
	refusedWay         string // before another way was good
	refusals           int    // of logins, before the last way
	leftOut            bool   // our certificate, which is another's
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
	if o, err = o.withToken(ctx); err != nil {
		return nil, err
	}
	beside := o.Auth == authAuto && o.credentials().BesideCertificate()
	m, visit, err := sasl.Call(beside, o.NoExternal, wire.WantsCertificate, func(v sasl.Visit) (*Maildrop, error) {
		return dialAgain(ctx, o.on(v))
	})
	if err != nil {
		return nil, err
	}
	m.leftOut = visit.Bare && !visit.Again
	if visit.Again {
		m.refusedWay = sasl.External
	}
	return m, nil
}

// on is for a visit.
func (o Options) on(v sasl.Visit) Options {
	o.demanded, o.another = v.Demanded, v.Again
	o.NoScram = o.NoScram || v.Again
	if v.Bare {
		o.Endpoint.Certificate = nil
	}
	return o
}

// dialAgain calls a second time on a server that ended the session over the form of AUTH.
func dialAgain(ctx context.Context, o Options) (*Maildrop, error) {
	m, err := dial(ctx, o)
	if errors.Is(err, errOneLine) && ctx.Err() == nil {
		o.twoLines = true
		return dial(ctx, o)
	}
	return m, err
}

func dial(ctx context.Context, o Options) (*Maildrop, error) {
	// Some servers hang up on CAPA, or never answer it. Once may be an accident,
	// and without CAPA we would not ask for UTF8, so it takes two.
	for range 2 {
		m, err := open(ctx, o, true)
		if !errors.Is(err, errCAPAUnanswered) || ctx.Err() != nil {
			return m, err
		}
	}
	m, err := open(ctx, o, false)
	if err == nil {
		m.caps.Unsure = true
	}
	return m, err
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
		if err := m.learnCAPA(ctx); err != nil {
			return err
		}
	}
	err := m.login(ctx)
	if err != nil && m.unasked {
		m.options.Known.forget(m.options, fault.CodeOf(err) == fault.Temporary) // it may have been changed
	}
	return err
}

// learnCAPA takes what the server offers from an earlier session, or asks.
func (m *Maildrop) learnCAPA(ctx context.Context) error {
	if m.caps, m.unasked = m.options.Known.recall(m.options); m.unasked {
		return nil
	}
	if err := m.askCAPA(ctx); err != nil {
		return err
	}
	m.options.Known.learn(m.options, m.caps)
	return nil
}

// TLS returns what the handshake agreed on; ok is false in clear text.
func (m *Maildrop) TLS() (state tls.ConnectionState, ok bool) { return m.conn.TLSState() }

// RoundTrips is how many times this session had to wait for the server with
// nothing else on its way: one for the greeting, one for each command or packet
// of commands. The handshakes of TCP and TLS are not in it.
func (m *Maildrop) RoundTrips() int { return m.turns }

// OneByOne has messages asked for one at a time from now on, whatever the server
// announced, and so that one which loses count of its answers is no danger. It costs
// a round trip a message.
func (m *Maildrop) OneByOne() { m.options.Window = 1 }

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
