package wire

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

// Protocol is what a server is to speak.
type Protocol string

const (
	// POP3 is RFC 1939.
	POP3 Protocol = "POP3"
	// IMAP is RFC 3501.
	IMAP Protocol = "IMAP"
)

// ports are where the protocol is spoken inside TLS from the first byte, and
// where it begins in clear text (RFC 8314 §3).
func (p Protocol) ports() (secure, plain int) {
	if p == POP3 {
		return 995, 110
	}
	return 993, 143
}

// server is a server of the protocol, as one says it.
func (p Protocol) server() string {
	if p == POP3 {
		return "a POP3 server"
	}
	return "an IMAP server"
}

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
	// Probe bounds the wait for what a silent server answers to a question that
	// tells what it is (5 s).
	Probe time.Duration
	// Idle bounds each single read or write (2 min).
	Idle time.Duration
	// Window and MinRate end a connection that trickles: fewer than MinRate
	// octets a second over Window (5 min, 17 B/s, which is 1 KiB a minute).
	Window  time.Duration
	MinRate float64
	// Command bounds how long the peer may be waited for in one command (30 min), and
	// each KiB that moves adds a second to that: a large message may take its time on a
	// slow line, while what trickles does not do so for ever.
	Command time.Duration
}

func (l Limits) withDefaults() Limits {
	for _, field := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&l.Dial, 30 * time.Second},
		{&l.Handshake, 30 * time.Second},
		{&l.Greeting, 30 * time.Second},
		{&l.Probe, 5 * time.Second},
		{&l.Idle, 2 * time.Minute},
		{&l.Window, 5 * time.Minute},
		{&l.Command, 30 * time.Minute},
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

// Endpoint says where a server is and how to reach it safely.
type Endpoint struct {
	// Protocol is what it is to speak; whoever speaks it sets it.
	Protocol Protocol
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
	// Certificate is shown to a server that asks for one; nil: none.
	Certificate *tls.Certificate
	// Proxy is what connections go through; nil: none.
	Proxy *Proxy
	// SourceAddress is the address of this machine to connect from; the zero value
	// leaves it to the system.
	SourceAddress netip.Addr
	// AllowPlaintext permits TLS none to a host that is not loopback.
	AllowPlaintext bool
	// Limits bound the waits.
	Limits Limits
	// Wrap gets the connection as it was dialled and returns the one to use, for who
	// wants to see what moves; nil for nobody.
	Wrap func(net.Conn) net.Conn
	// BeforeLogin is called before credentials are sent, which an error prevents; nil for
	// nobody.
	BeforeLogin func() error
	// Dial replaces the network, for tests; nil means TCP. Resolve replaces the names'
	// addresses; without it such a Dial is given the name.
	Dial    DialFunc
	Resolve ResolveFunc
}

// Address is "host:port", with brackets around an IPv6 address.
func (e Endpoint) Address() string {
	return net.JoinHostPort(strings.Trim(e.Host, "[]"), strconv.Itoa(e.Port))
}

// String names the server for messages, with the protocol, since an account has
// two servers: "POP3 server pop.example:995".
func (e Endpoint) String() string { return string(e.Protocol) + " server " + e.Address() }

// Loopback reports whether the host can only be this machine.
func (e Endpoint) Loopback() bool {
	host := strings.Trim(e.Host, "[]")
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// StaysHere reports whether what is sent can't leave this machine. What a proxy calls
// localhost is its own machine.
func (e Endpoint) StaysHere() bool { return e.Loopback() && e.Proxy == nil }

// Enter is to be called before credentials are sent; an error says that they shall not be.
func (e Endpoint) Enter() error {
	if e.BeforeLogin == nil {
		return nil
	}
	return e.BeforeLogin()
}

// Connect dials and, for [Implicit], completes the TLS handshake. The caller
// reads the greeting; see [Conn.Greeting].
func (e Endpoint) Connect(ctx context.Context) (*Conn, error) {
	if e.TLS == None && !e.AllowPlaintext && !e.StaysHere() {
		return nil, fault.New(fault.Config, "%s: tls: none would send the password in clear text",
			e).WithHint("use tls: implicit or starttls, or set allow_plaintext: true for this account")
	}
	raw, err := e.dial(ctx)
	if err != nil {
		return nil, err
	}
	if e.Wrap != nil {
		raw = e.Wrap(raw)
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

// TLSState returns what the handshake agreed on; ok is false in clear text.
func (c *Conn) TLSState() (state tls.ConnectionState, ok bool) {
	secure, isTLS := c.current().(*tls.Conn)
	if !isTLS {
		return state, false
	}
	return secure.ConnectionState(), true
}
