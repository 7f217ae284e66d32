package wire

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/proxy"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/secret"
)

// The kinds of proxies.
const (
	SOCKS5      = "socks5" // RFC 1928
	HTTPConnect = "http"   // RFC 9110 §9.3.6
)

// maxTunnelReply bounds what an HTTP proxy may say before the tunnel is open.
const maxTunnelReply = 64 << 10

// Proxy is what connections go through. It gets the server's name and resolves it.
type Proxy struct {
	// Kind is SOCKS5 or HTTPConnect, Address its host and port.
	Kind, Address string
	// Username is empty where it wants none; Password goes with it.
	Username string
	Password secret.Value
}

// ParseProxy reads "socks5://host:port" or "http://host:port", with "user@" in front of
// the host where the proxy wants one. A password has no place in it: it would show in
// messages.
func ParseProxy(text string) (*Proxy, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil && wrongUser(text):
		return nil, errors.New("must have other characters than plain letters and digits in the user name percent-encoded, " +
			"as in socks5://j%C3%BCrgen@proxy.example.org:1080")
	case err != nil || u.Scheme != SOCKS5 && u.Scheme != HTTPConnect:
		return nil, errors.New(`must be "socks5://host:port" or "http://host:port"`)
	case u.Hostname() == "" || u.Port() == "":
		return nil, errors.New("must have a host and a port, as in socks5://proxy.example.org:1080")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("must end after the port")
	}
	if _, set := u.User.Password(); set {
		return nil, errors.New("must not have the password in it; use proxy_password")
	}
	return &Proxy{Kind: u.Scheme, Address: u.Host, Username: u.User.Username()}, nil
}

// wrongUser reports an address that could be read without its user name: of that, URLs
// take ASCII only, and not all of it (RFC 3986 §3.2.1).
func wrongUser(text string) bool {
	scheme, rest, _ := strings.Cut(text, "://")
	_, err := url.Parse(scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:])
	return err == nil
}

// String names the proxy for messages.
func (p *Proxy) String() string { return "proxy " + p.Kind + "://" + p.Address }

// dial connects to the endpoint through its proxy.
func (p *Proxy) dial(ctx context.Context, e Endpoint) (net.Conn, error) {
	raw, err := e.dialer()(ctx, "tcp", p.Address)
	if err != nil && e.SourceAddress.IsValid() && notFrom(err) {
		return nil, fault.New(fault.Config, "cannot connect to the %s of %s from %s: %w", p, e, e.SourceAddress, err).
			WithHint("check source_address: it must be an address of this machine, of the same kind as the proxy's")
	}
	if err != nil {
		return nil, fault.New(fault.Temporary, "cannot connect to the %s of %s: %w", p, e, err).
			WithHint("check proxy: in accounts.yaml, that the proxy is up, and that no firewall is in between")
	}
	open := p.socks
	if p.Kind == HTTPConnect {
		open = p.tunnel
	}
	conn, err := open(ctx, raw, e.Address())
	if err != nil {
		raw.Close()
		return nil, p.explain(e, err)
	}
	return conn, nil
}

// notFrom tells that a source address is not this machine's, or can't reach an address of
// another kind, for which package net has no error to compare with.
func notFrom(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || strings.Contains(err.Error(), "no suitable address")
}

// opened is a connection that is there already, for a library that wants to dial.
type opened struct{ net.Conn }

func (o opened) Dial(string, string) (net.Conn, error) { return o.Conn, nil }

func (o opened) DialContext(context.Context, string, string) (net.Conn, error) { return o.Conn, nil }

// socks asks a SOCKS5 proxy for a connection.
func (p *Proxy) socks(ctx context.Context, raw net.Conn, target string) (net.Conn, error) {
	var auth *proxy.Auth
	if p.Username != "" {
		auth = &proxy.Auth{User: p.Username, Password: p.Password.Reveal()}
	}
	dialer, err := proxy.SOCKS5("tcp", p.Address, auth, opened{raw})
	if err != nil {
		return nil, err
	}
	return dialer.(proxy.ContextDialer).DialContext(ctx, "tcp", target)
}

var errEndless = fmt.Errorf("its answer has more than %d bytes", maxTunnelReply)

var errSOCKS = errors.New("it answers in SOCKS5")

// tunnel asks an HTTP proxy for a connection.
func (p *Proxy) tunnel(ctx context.Context, raw net.Conn, target string) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	request := &http.Request{Method: http.MethodConnect, Host: target, URL: &url.URL{Opaque: target},
		Header: http.Header{"User-Agent": {"popferry"}}}
	if p.Username != "" {
		request.Header.Set("Proxy-Authorization", "Basic "+
			base64.StdEncoding.EncodeToString([]byte(p.Username+":"+p.Password.Reveal())))
	}
	if err := request.Write(raw); err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: raw, N: maxTunnelReply}
	reader := bufio.NewReader(limited)
	if first, _ := reader.Peek(1); bytes.Equal(first, []byte{5}) { // the version (RFC 1928 §3)
		return nil, errSOCKS
	}
	response, err := http.ReadResponse(reader, request)
	if err != nil && limited.N == 0 {
		return nil, errEndless
	}
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 {
		return nil, refusedTunnel{response.StatusCode, response.Status}
	}
	// The mail server may have spoken already.
	early, err := reader.Peek(reader.Buffered())
	return &ahead{raw, io.MultiReader(bytes.NewReader(early), raw)}, err
}

// ahead is a connection of which something was read already.
type ahead struct {
	net.Conn
	reader io.Reader
}

func (a *ahead) Read(p []byte) (int, error) { return a.reader.Read(p) }

// refusedTunnel is the answer of an HTTP proxy that opens no tunnel.
type refusedTunnel struct {
	code   int
	status string
}

func (r refusedTunnel) Error() string { return "it answers \"" + fault.Escape(r.status) + "\"" }

// explain says why a proxy that could be reached did not connect us.
func (p *Proxy) explain(e Endpoint, err error) *fault.Error {
	code, hint := p.judge(err)
	// The library repeats both addresses in front of the reason.
	var operation *net.OpError
	if errors.As(err, &operation) && strings.HasPrefix(operation.Op, "socks") {
		err = operation.Err
	}
	shown := fault.Escape(p.Password.Hide(strings.TrimPrefix(fault.Words(err), replied), p.Username))
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		shown = "it closed the connection"
	}
	return fault.New(code, "the %s does not connect to %s: %w", p, e, shownError{shown, err}).
		WithHint("%s", hint)
}

// shownError is an error in words that are safe to show.
type shownError struct {
	text string
	error
}

func (s shownError) Error() string { return s.text }
func (s shownError) Unwrap() error { return s.error }

// replied is what the library puts in front of every reply but "succeeded" (RFC 1928 §6).
const replied = "unknown error "

// judge tells the causes apart. Those of SOCKS5 are texts of the library's.
func (p *Proxy) judge(err error) (fault.Code, string) {
	var refused refusedTunnel
	status, text := 0, err.Error()
	if errors.As(err, &refused) {
		status = refused.code
	}
	says := func(words ...string) bool {
		for _, word := range words {
			if strings.Contains(text, word) {
				return true
			}
		}
		return false
	}
	switch {
	case status == http.StatusProxyAuthRequired,
		says("authentication failed", "acceptable authentication", "authentication method"):
		return fault.Credentials, "check the user name in proxy: and proxy_password"
	case status >= 500:
		return fault.Temporary, "the proxy can't reach the server: check host and port; else try again later"
	case status > 0, says("not allowed by ruleset"):
		return fault.Refused, "the proxy forbids it: ask its operator to allow this host and port"
	case errors.Is(err, errSOCKS), says("protocol version 72"): // the H of HTTP
		return fault.Config, fmt.Sprintf("this looks like a proxy of the other kind: write %s:// in place of %s:// in proxy:",
			p.otherKind(), p.Kind)
	case says("unexpected protocol version", "malformed HTTP", "invalid header", "non-zero reserved",
		"unknown address type"):
		return fault.Config, fmt.Sprintf("check that this is a proxy that speaks %s, and its port", p.Kind)
	case says(replied):
		return fault.Temporary, "check host and port of the server, which the proxy has to resolve and reach; " +
			"else try again later"
	}
	// Who hears the other protocol mostly hangs up or waits for more.
	return fault.Temporary, fmt.Sprintf("check that the proxy is one for %s://, and not for %s://; then host and port of "+
		"the server, which the proxy has to resolve and reach; else try again later", p.Kind, p.otherKind())
}

func (p *Proxy) otherKind() string {
	if p.Kind == SOCKS5 {
		return HTTPConnect
	}
	return SOCKS5
}
