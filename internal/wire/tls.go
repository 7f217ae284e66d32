package wire

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

// pinPrefix names the only digest that a pin may use.
const pinPrefix = "sha256:"

// errPin is the cause when the server's key is not the pinned one.
var errPin = errors.New("the key is not the pinned one")

const tamperingHint = "someone may be tampering with the connection; use tls: implicit"

// StartTLS upgrades the connection after the server agreed to it. Octets that
// are already buffered were sent in clear text behind the agreement: an attack
// (RFC 2595 §4, CVE-2021-22947), so they end the connection.
func (c *Conn) StartTLS(ctx context.Context) error {
	if n := c.Buffered(); n > 0 {
		return c.Break(fault.New(fault.TLS, "%s sent %d bytes in clear text after agreeing to TLS",
			c.Address(), n).WithHint(tamperingHint))
	}
	return c.handshake(ctx)
}

func (c *Conn) handshake(ctx context.Context) error {
	config, err := c.endpoint.tlsConfig()
	if err != nil {
		return c.Break(err)
	}
	shown := false
	if show := config.GetClientCertificate; show != nil {
		config.GetClientCertificate = func(ask *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			shown = true
			return show(ask)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.limits.Handshake)
	defer cancel()
	raw := c.current()
	// Deadlines of the commands before STARTTLS must not end the handshake.
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return c.fail("start TLS with", err)
	}
	secure := tls.Client(raw, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return c.Break(c.endpoint.handshakeError(ctx, err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn, c.secure, c.shown = secure, true, shown
	return nil
}

// TLSConfig says how the server has to prove who it is, for a protocol that has a client
// of its own.
func (e Endpoint) TLSConfig() (*tls.Config, error) {
	config, err := e.tlsConfig()
	if err != nil {
		return nil, err
	}
	return config, nil
}

func (e Endpoint) tlsConfig() (*tls.Config, *fault.Error) {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: strings.TrimSuffix(strings.Trim(e.Host, "[]"), "."),
	}
	if e.Certificate != nil {
		// Whatever authorities the server names: its list may be short.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return e.Certificate, nil
		}
	}
	if e.CAFile != "" {
		pool, err := e.readRoots()
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	if e.Pin != "" {
		want, err := ParsePin(e.Pin)
		if err != nil {
			return nil, fault.New(fault.Config, "%s: tls_pin: %w", e, err).
				WithHint("it is the SHA-256 of the server's public key; its operator knows it")
		}
		// The pin replaces the CA check, it does not join it: pinned servers are
		// those whose certificate no CA signed.
		config.InsecureSkipVerify = true
		config.VerifyConnection = checkPin(want)
	}
	return config, nil
}

func (e Endpoint) readRoots() (*x509.CertPool, *fault.Error) {
	pem, err := os.ReadFile(e.CAFile)
	if err != nil {
		return nil, fault.New(fault.Config, "%s: tls_ca: %w", e, err).
			WithHint("check the path, and that the user who runs popferry may read it")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fault.New(fault.Config, "%s: tls_ca: %s holds no PEM certificate", e, e.CAFile).
			WithHint("it has to hold -----BEGIN CERTIFICATE----- and what follows; a key will not do")
	}
	return pool, nil
}

// ParsePin reads "sha256:" and 64 hexadecimal digits (colons between them are
// allowed).
func ParsePin(pin string) ([]byte, error) {
	digits, ok := strings.CutPrefix(pin, pinPrefix)
	if !ok {
		return nil, fmt.Errorf("%q does not start with %q", pin, pinPrefix)
	}
	sum, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
	if err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("%q is not %q and 64 hexadecimal digits", pin, pinPrefix)
	}
	return sum, nil
}

func checkPin(want []byte) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if got := keyDigest(state.PeerCertificates[0]); subtle.ConstantTimeCompare(got, want) != 1 {
			return fmt.Errorf("%w: it is %s%x", errPin, pinPrefix, got)
		}
		return nil
	}
}

func keyDigest(cert *x509.Certificate) []byte {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return sum[:]
}

// handshakeError says which of the usual causes ended a handshake.
func (e Endpoint) handshakeError(ctx context.Context, err error) *fault.Error {
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	switch {
	case errors.As(err, &record) && e.TLS == STARTTLS:
		return fault.New(fault.TLS, "%s went on in clear text after agreeing to TLS: %w", e, err).
			WithHint(tamperingHint)
	case errors.As(err, &record) && kindOf(record.RecordHeader[:]) != "":
		return e.WrongServer(record.RecordHeader[:])
	case errors.As(err, &record) && record.Conn != nil:
		secure, _ := e.Protocol.ports()
		return fault.New(fault.Config, "%s answered in clear text where TLS was expected: %w", e, err).
			WithHint("use tls: starttls on this port, or port %d with tls: implicit", secure)
	case errors.As(err, &verify):
		return fault.New(fault.TLS, "%s: certificate not trusted: %w", e,
			shownError{fault.Escape(verify.Err.Error()), verify}).
			WithHint("%s", certificateHint(verify))
	case errors.Is(err, errPin):
		return fault.New(fault.TLS, "%s: %w", e, err).
			WithHint("the server's key changed, or this is not the server; ask its operator before changing tls_pin")
	case isAlert(err):
		return e.alertError(err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fault.New(fault.Temporary, "%s did not finish the TLS handshake within %s", e,
			fault.Span(e.Limits.withDefaults().Handshake)).
			WithHint("if this port speaks clear text first, use tls: starttls; else try again later")
	case ctx.Err() != nil:
		return fault.Stopped("TLS handshake with %s: %w", e, ctx.Err())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isReset(err):
		closed := fault.New(fault.Temporary, "%s closed the connection during the TLS handshake", e).
			WithHint("the server may be busy, or this port does not speak TLS; try again later")
		closed.Err = err
		return closed
	}
	return fault.New(fault.TLS, "TLS handshake with %s: %w", e, err).
		WithHint("check the TLS settings of both sides; popferry needs TLS 1.2 or later")
}

// Alerts (RFC 8446 §6.2): that a client's certificate is missing, or no good, or, before TLS
// 1.3, whatever it may be (RFC 5246 §7.4.6).
var (
	wantsCertificate   = []tls.AlertError{116}
	refusesCertificate = []tls.AlertError{42, 43, 44, 45, 46, 48}
	failedHandshake    = []tls.AlertError{40}
)

// WantsCertificate reports that a connection which showed no client certificate, and would have
// been good with one, came to nothing for want of it before a login: TLS says so by an alert,
// and a proxy may in place of the greeting (nginx).
func WantsCertificate(err error) bool {
	var operation *net.OpError
	switch {
	case err == nil || fault.RefusalsOf(err) > 0:
		return false
	case isAlert(err) && errors.As(err, &operation):
		return isOneOf(operation, slices.Concat(wantsCertificate, refusesCertificate, failedHandshake))
	}
	return fault.CodeOf(err) == fault.Temporary && strings.Contains(strings.ToLower(err.Error()), "ssl certificate")
}

// isAlert reports whether the server ended TLS and said why.
func isAlert(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) && operation.Op == "remote error"
}

// isOneOf compares by text, as crypto/tls hides the type of what it received.
func isOneOf(err error, alerts []tls.AlertError) bool {
	return slices.ContainsFunc(alerts, func(alert tls.AlertError) bool {
		return strings.HasSuffix(err.Error(), alert.Error())
	})
}

// alertError says what the server did not like, as far as it told. In TLS 1.3 that
// about our certificate comes after the handshake.
func (e Endpoint) alertError(err error) *fault.Error {
	refused := isOneOf(err, refusesCertificate)
	switch {
	case isOneOf(err, wantsCertificate), refused && e.Certificate == nil:
		return fault.New(fault.Config, "%s wants a client certificate: %w", e, err).
			WithHint("set tls_cert and tls_key to one that the server knows")
	case refused:
		return fault.New(fault.Credentials, "%s refuses our certificate: %w", e, err).
			WithHint("check that tls_cert is signed by a CA that the server trusts, and not revoked or expired")
	}
	return fault.New(fault.TLS, "%s ended TLS: %w", e, err).
		WithHint("check the TLS settings of both sides: popferry needs TLS 1.2 or later, and the server may " +
			"want a client certificate (tls_cert)")
}

// isReset tells a connection that the network ended from TLS that was refused: an
// alert is an operation too, but neither a read nor a write.
func isReset(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) && (operation.Op == "read" || operation.Op == "write")
}

// certificateHint shows what a person needs to tell a wrong certificate from an
// attack, and the pin to use if the certificate is right after all.
func certificateHint(failed *tls.CertificateVerificationError) string {
	chain := failed.UnverifiedCertificates
	if len(chain) == 0 {
		return "check the server's certificate"
	}
	leaf, advice := chain[0], "if it is right, set tls_ca to its CA, or tls_pin: %s%x"
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	switch {
	case errors.As(failed.Err, &invalid) && invalid.Reason == x509.Expired:
		advice = "check this machine's clock; if the server is yours, tls_pin: %s%x takes it whatever its date"
	case errors.As(failed.Err, &name): // no tls_ca helps
		advice = "if the server is yours, tls_pin: %s%x takes it whatever its name"
	}
	return fmt.Sprintf("it is for %s, by %s, valid %s to %s; "+advice,
		fault.Escape(namesOf(leaf)), fault.Escape(leaf.Issuer.String()),
		leaf.NotBefore.UTC().Format(time.DateOnly), leaf.NotAfter.UTC().Format(time.DateOnly),
		pinPrefix, keyDigest(leaf))
}

// namesOf are the servers that a certificate is for. The common name is not one of them any more
// (RFC 9525 §2), and all that old ones have.
func namesOf(leaf *x509.Certificate) string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no server by name (its common name, " + leaf.Subject.CommonName + ", does not count)"
	}
	return strings.Join(names, ", ")
}
