package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

// TLSMode says when a connection becomes safe.
type TLSMode string

const (
	// Implicit speaks TLS from the first byte (RFC 8314 §3).
	Implicit TLSMode = "implicit"
	// STARTTLS upgrades a plain connection, and requires it (RFC 2595).
	STARTTLS TLSMode = "starttls"
	// None never becomes safe; for loopback, or where plaintext is allowed.
	None TLSMode = "none"
)

// Limits bound every wait. A zero field means its default.
type Limits struct {
	// Dial bounds resolving and connecting (30 s).
	Dial time.Duration
	// Handshake bounds the TLS handshake (30 s).
	Handshake time.Duration
	// Greeting bounds the wait for the server's first line (30 s).
	Greeting time.Duration
	// Idle bounds each single read or write (2 min).
	Idle time.Duration
	// Window and MinRate end a connection that trickles: fewer than MinRate
	// octets a second over Window (5 min, 17 B/s, which is 1 KiB a minute).
	Window  time.Duration
	MinRate float64
}

func (l Limits) withDefaults() Limits {
	for _, field := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&l.Dial, 30 * time.Second},
		{&l.Handshake, 30 * time.Second},
		{&l.Greeting, 30 * time.Second},
		{&l.Idle, 2 * time.Minute},
		{&l.Window, 5 * time.Minute},
	} {
		if *field.value == 0 {
			*field.value = field.fallback
		}
	}
	if l.MinRate == 0 {
		l.MinRate = 17
	}
	return l
}

// DialFunc opens a connection; net.Dialer's DialContext is one.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Endpoint says where a server is and how to reach it safely.
type Endpoint struct {
	// Host is a name or an address, Port a TCP port.
	Host string
	Port int
	// TLS says when the connection becomes safe.
	TLS TLSMode
	// CAFile names a PEM file that replaces the system's roots; may be empty.
	CAFile string
	// Pin is "sha256:" and the hex SHA-256 of the server key's
	// SubjectPublicKeyInfo; it replaces the check of the CA. May be empty.
	Pin string
	// AllowPlaintext permits TLS none to a host that is not loopback.
	AllowPlaintext bool
	// Limits bound the waits.
	Limits Limits
	// Dial replaces the network, for tests; nil means TCP.
	Dial DialFunc
}

// Address is "host:port", with brackets around an IPv6 address.
func (e Endpoint) Address() string {
	return net.JoinHostPort(strings.Trim(e.Host, "[]"), strconv.Itoa(e.Port))
}

// Loopback reports whether the host can only be this machine.
func (e Endpoint) Loopback() bool {
	host := strings.Trim(e.Host, "[]")
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Connect dials and, for [Implicit], completes the TLS handshake. The caller
// reads the greeting; see [Conn.Greeting].
func (e Endpoint) Connect(ctx context.Context) (*Conn, error) {
	if e.TLS == None && !e.AllowPlaintext && !e.Loopback() {
		return nil, fault.New(fault.Config, "%s: tls: none would send the password in clear text",
			e.Address()).WithHint("use tls: implicit or starttls, or set allow_plaintext: true for this account")
	}
	raw, err := e.dial(ctx)
	if err != nil {
		return nil, err
	}
	c := newConn(e, raw)
	if e.TLS != Implicit {
		return c, nil
	}
	if err := c.handshake(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

func (e Endpoint) dial(ctx context.Context) (net.Conn, error) {
	limits := e.Limits.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, limits.Dial)
	defer cancel()
	dial := e.Dial
	if dial == nil {
		dial = (&net.Dialer{KeepAlive: time.Minute}).DialContext
	}
	conn, err := dial(ctx, "tcp", e.Address())
	if err != nil {
		return nil, e.dialError(err)
	}
	return conn, nil
}

func (e Endpoint) dialError(err error) error {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return fault.New(fault.Temporary, "cannot resolve %s: %w", e.Host, err).
			WithHint("check the host name, and this machine's name server")
	}
	return fault.New(fault.Temporary, "cannot connect to %s: %w", e.Address(), err).
		WithHint("check host and port, that the server is up, and that no firewall is in between")
}

// Greeting reads the server's first line under its own limit.
func (c *Conn) Greeting(ctx context.Context, limit int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.Greeting)
	defer cancel()
	end := c.Begin(ctx)
	defer end()
	line, err := c.ReadLine(limit)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		if c.endpoint.expectsTLS(context.WithoutCancel(ctx)) {
			return nil, fault.New(fault.Config, "%s expects TLS from the first byte", c.Address()).
				WithHint("set tls: implicit for it")
		}
		return nil, fault.New(fault.Temporary,
			"%s accepted the connection but said nothing for %v", c.Address(), c.limits.Greeting).
			WithHint("%s", c.silenceHint())
	}
	return line, err
}

// expectsTLS finds out whether a server that is silent in clear text answers a TLS
// handshake. It uses a connection of its own and says nothing else on it.
func (e Endpoint) expectsTLS(ctx context.Context) bool {
	if e.TLS == Implicit {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, min(probeLimit, e.Limits.withDefaults().Greeting))
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

// probeLimit bounds that question.
const probeLimit = 5 * time.Second

// silenceHint covers the usual cause of silence: both sides wait, since the
// server expects TLS and we expect a greeting (or the server is overloaded).
func (c *Conn) silenceHint() string {
	if c.endpoint.TLS != Implicit {
		return "if this port expects TLS, set tls: implicit; else the server may be overloaded"
	}
	return "the server may be overloaded; try again later"
}

// TLSState returns what the handshake agreed on; ok is false in clear text.
func (c *Conn) TLSState() (state tls.ConnectionState, ok bool) {
	secure, isTLS := c.current().(*tls.Conn)
	if !isTLS {
		return state, false
	}
	return secure.ConnectionState(), true
}
