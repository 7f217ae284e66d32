package imapdst

import (
	"context"
	"crypto/tls"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
)

// idleLimit replaces the default of [wire.Limits.Idle]: a server may need
// minutes to store a large batch. Other waits have tighter limits of their own.
const idleLimit = 10 * time.Minute

// Options say where an account is and how to log in.
type Options struct {
	// Endpoint is the server. Its Limits.Idle is 10 minutes if not set.
	Endpoint wire.Endpoint
	// Username and Password are sent as they are; neither may hold CR, LF or NUL.
	Username string
	Password secret.Value
	// AuthorizeAs names whose account it is to be, where that is somebody else than
	// who logs in (RFC 4422 §2); mostly empty.
	AuthorizeAs string
	// Token gives a token of OAuth. Without it the password is the token, where
	// Auth names such a mechanism. It is asked once, before the server is.
	Token func(context.Context) (secret.Value, error)
	// Auth is "auto" (or empty), "login" for the LOGIN command (RFC 3501 §6.2.3), or
	// the name of a SASL mechanism in lower case. Auto takes the strongest that is
	// offered and suits what is given, and LOGIN where there is none.
	Auth string
	// NoScram has auto leave out SCRAM, NoExternal the certificate where there is something
	// else to log in with; see [Conn.RefusedWay].
	NoScram, NoExternal bool
	// Forbidden is what the server is known to refuse in the names of folders.
	Forbidden Forbidden

	token    secret.Value // what Token gave
	demanded bool         // TLS wants the certificate, whatever else the server does with it
}

// Dial connects, makes the connection safe as the endpoint demands, logs in and
// learns what the server can do. All errors are of type [*fault.Error].
//
// A server that lists its capabilities in the greeting and in the answer to the
// login (RFC 3501 §7.1 CAPABILITY) is asked nothing else.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	o.Endpoint.Protocol = wire.IMAP
	o, err := o.ready(ctx)
	if err != nil {
		return nil, err
	}
	if o.Endpoint.Limits.Idle == 0 {
		o.Endpoint.Limits.Idle = idleLimit
	}
	beside := o.Auth == authAuto && o.credentials().BesideCertificate()
	c, visit, err := sasl.Call(beside, o.NoExternal, wire.WantsCertificate, func(v sasl.Visit) (*Conn, error) {
		return dial(ctx, o.on(v))
	})
	if err != nil {
		return nil, err
	}
	c.leftOut = visit.Bare && !visit.Again
	if visit.Again {
		c.refusedWay = sasl.External
	}
	return c, nil
}

// on is for a visit.
func (o Options) on(v sasl.Visit) Options {
	o.demanded = v.Demanded
	o.NoScram = o.NoScram || v.Again
	if v.Bare {
		o.Endpoint.Certificate = nil
	}
	return o
}

func dial(ctx context.Context, o Options) (*Conn, error) {
	conn, err := o.Endpoint.Connect(ctx)
	if err != nil {
		return nil, err
	}
	l := &login{options: o, conn: conn, tags: newTags()}
	if err := l.run(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return newConn(conn, l), nil
}

// Handshake connects, makes the connection safe as the endpoint demands, and returns what that
// agreed on without a login. In clear text it connects to nobody, and ok is false.
func Handshake(ctx context.Context, e wire.Endpoint) (state tls.ConnectionState, ok bool, err error) {
	if e.TLS == wire.None {
		return state, false, nil
	}
	e.Protocol = wire.IMAP
	conn, err := e.Connect(ctx)
	if err != nil {
		return state, false, err
	}
	defer conn.Close()
	if e.TLS == wire.STARTTLS {
		l := &login{options: Options{Endpoint: e}, conn: conn, tags: newTags()}
		if err := l.greeting(ctx); err != nil {
			return state, false, err
		}
		if err := l.startTLS(ctx); err != nil {
			return state, false, err
		}
	}
	state, ok = conn.TLSState()
	return state, ok, nil
}

// ready fills in the defaults, asks for the token, if it may be needed, and refuses
// what can't be sent.
func (o Options) ready(ctx context.Context) (_ Options, err error) {
	if o.Auth == "" {
		o.Auth = authAuto
	}
	if _, known := sasl.Mechanism(o.Auth); !known && o.Auth != authAuto {
		return o, fault.New(fault.Config, "auth: \"%s\" is not one of auto, %s", fault.Escape(o.Auth),
			strings.ToLower(strings.Join(sasl.Mechanisms(), ", "))).
			WithHint("auto does where the server can tell what it takes")
	}
	if err := o.credentials().Check(); err != nil || o.Token == nil || !sasl.TakesToken(o.Auth) {
		return o, err
	}
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

// login is the dialogue up to the authenticated state (RFC 3501 §3), before
// go-imap takes over.
type login struct {
	options Options
	conn    *wire.Conn
	tags    string
	count   int
	trips   int
	caps    Capabilities
	heard   notices
	// mechanism is how we log in, refused what it said about a refusal, and offered
	// what there was to choose from.
	mechanism, refused string
	refusedWay         string // before another way was good
	refusals           int    // of logins, before the last way
	offered            []string
}

func (l *login) run(ctx context.Context) error {
	if err := l.greeting(ctx); err != nil {
		return err
	}
	if l.options.Endpoint.TLS == wire.STARTTLS {
		if err := l.startTLS(ctx); err != nil {
			return err
		}
	}
	if !l.caps.known() {
		if err := l.capability(ctx); err != nil {
			return err
		}
	}
	if err := l.authenticate(ctx); err != nil {
		return fault.AfterRefusals(err, l.refusals)
	}
	if !l.caps.known() {
		return l.capability(ctx)
	}
	return nil
}

// greeting reads the first line (RFC 3501 §7.1).
func (l *login) greeting(ctx context.Context) error {
	l.trips++
	line, err := l.conn.Greeting(ctx, maxPlainLine)
	if err != nil {
		return err
	}
	rest, untagged := strings.CutPrefix(string(line), "* ")
	s, ok := parseStatus(rest)
	switch {
	case !untagged || !ok || s.kind == "NO" || s.kind == "BAD":
		return l.conn.Break(l.options.Endpoint.WrongServer(line))
	case s.kind == "BYE":
		return l.conn.Break(byeError(l.conn.Address(), s))
	case s.kind == "PREAUTH":
		return l.preauth()
	}
	l.learn(s)
	return nil
}

// preauth refuses a server that thinks we are logged in (RFC 3501 §7.1.4). It
// forbids STARTTLS, so an attacker uses it to keep a connection in the clear
// (CVE-2021-39272); inside TLS nobody could say whose mailbox this is.
func (l *login) preauth() error {
	code := fault.Protocol
	if !l.conn.Secure() {
		code = fault.TLS
	}
	return l.conn.Break(fault.New(code, "%s says that we are logged in already (PREAUTH)",
		l.conn.Address()).WithHint("someone may be tampering with the connection; use tls: implicit"))
}

// startTLS upgrades the connection (RFC 3501 §6.2.1) and forgets what the server
// said before.
func (l *login) startTLS(ctx context.Context) error {
	if !l.caps.known() {
		if err := l.capability(ctx); err != nil {
			return err
		}
	}
	if !l.caps.has("STARTTLS") {
		return l.conn.Break(fault.New(fault.TLS, "TLS required but not offered by %s",
			l.conn.Address()).WithHint("try tls: implicit with port 993; nothing secret was sent"))
	}
	reply, err := l.command(ctx, "STARTTLS", nil)
	if err != nil {
		return err
	}
	if reply.kind != "OK" {
		return l.conn.Break(fault.New(fault.TLS, "%s refused STARTTLS: %s", l.conn.Address(),
			fault.Escape(reply.text)).WithHint("try tls: implicit with port 993"))
	}
	if err := l.conn.StartTLS(ctx); err != nil {
		return err
	}
	l.caps, l.heard = Capabilities{}, notices{}
	return nil
}

// capability asks for the capabilities (RFC 3501 §6.1.1). A server that refuses
// to list any has to do without extensions.
func (l *login) capability(ctx context.Context) error {
	_, err := l.command(ctx, "CAPABILITY", nil)
	if err == nil && !l.caps.known() {
		l.caps = newCapabilities("IMAP4REV1")
	}
	return err
}

// learn takes what a response code says beside the answer (RFC 3501 §7.1):
// capabilities, and what people are to know.
func (l *login) learn(s status) {
	l.heard.hear(l.conn.Address(), s)
	if s.code == "CAPABILITY" {
		l.caps = newCapabilities(s.args)
	}
}
