package sasl

import (
	"crypto/tls"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	"github.com/popferry/popferry/internal/fault"
)

// ErrExternal is a cause of the refusal of EXTERNAL, which auto chose. It tells nothing of a
// password that was given, too.
var ErrExternal = errors.New("EXTERNAL was refused")

// ErrNoWay is a cause of the error where the server takes nothing of what could be tried.
var ErrNoWay = errors.New("no way to log in")

// ErrBefore is a cause of an error that tells nothing of a password, where EXTERNAL was refused
// before: to try that again and again with it would count against the user.
var ErrBefore = errors.New("EXTERNAL was refused before")

// BesideCertificate tells whether there is something else than the certificate to log in with.
// That is done on a connection that does not show it: servers may take the user from it
// whatever name comes with the password (Dovecot's auth_ssl_username_from_cert).
func (c Credentials) BesideCertificate() bool {
	return c.Certificate && !(c.Password.Empty() && c.Token.Empty())
}

// ErrBeside is the cause where nothing was tried beside the certificate, which is another's; see
// [Credentials.BesideAnother].
var ErrBeside = errors.New("no password beside the certificate of another")

// BesideAnother tells that a way to log in may open the mailbox of whoever the certificate is for,
// as servers that offer no EXTERNAL may have that setting, too. What names the user can do no harm.
func (c Credentials) BesideAnother(way string) bool {
	return way != External && c.BesideCertificate() && !strings.EqualFold(c.Holder, c.Username)
}

// commonName is the attribute in which servers look for the user (X.520 §6.2.2).
var commonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// Holder is whose certificate it is: its common name, or "" where it has none or several, of
// which servers take one or the other.
func Holder(certificate *tls.Certificate) (name string) {
	if certificate == nil || certificate.Leaf == nil {
		return ""
	}
	for _, attribute := range certificate.Leaf.Subject.Names {
		if text := fmt.Sprint(attribute.Value); attribute.Type.Equal(commonName) {
			if name != "" && name != text {
				return ""
			}
			name = text
		}
	}
	return name
}

// WithoutCertificate is the error of a login that did not show the certificate, since that is
// another's.
func WithoutCertificate(err error) error {
	if fault.CodeOf(err) != fault.Credentials {
		return err
	}
	return saying(err, "; the certificate of tls_cert is not this user's, and was not shown")
}

// AfterExternal is the error of a login without the certificate, where one by EXTERNAL was
// refused before. If it could not be tried there, the refusal is.
func AfterExternal(refused, err error) error {
	switch code := fault.CodeOf(err); {
	case code == fault.OK, code == fault.Protocol:
		return fault.AfterRefusals(err, 1)
	case code == fault.Temporary, code == fault.Refused && !errors.Is(err, ErrNoWay):
		later := saying(fault.AfterRefusals(err, 1), "")
		later.Err = errors.Join(ErrBefore, later.Err)
		return later
	case code == fault.Credentials:
		both := saying(fault.AfterRefusals(err, 1), "; before it the certificate of tls_cert was refused for this user")
		both.Err = errors.Join(ErrExternal, both.Err)
		return both
	}
	return refused
}

// LoggedIn is a session, and how it came to be.
type LoggedIn interface {
	Mechanism() string
	RefusedWay() string
}

// errUnsaid is the cause where a login tells nothing of the certificate.
var errUnsaid = errors.New("nothing is said of the certificate")

// OfCertificate is what the end of a login says of the certificate that is tried before all else:
// nil where that was good, a refusal, or something of no meaning for it.
func OfCertificate(session LoggedIn, err error) error {
	switch {
	case err == nil && session.Mechanism() == External:
		return nil
	case err == nil && session.RefusedWay() == External, errors.Is(err, ErrExternal), errors.Is(err, ErrBefore):
		return fault.New(fault.Credentials, "%w", ErrExternal).WithHint("%s", certificateHint)
	}
	return errUnsaid
}

// LeftOut is the error of a login without the certificate, which was of no use a while ago.
func LeftOut(err error) error {
	if fault.CodeOf(err) != fault.Credentials {
		return err
	}
	return saying(err, "; the certificate of tls_cert was of no use for this user, and is left out for a day")
}

// demandedHint is for a server that wants the certificate with the password (Dovecot's
// auth_ssl_require_client_cert), of which nobody can tell what else it does with it.
const demandedHint = "the server wants a certificate beside the password: if its operator says that it takes no user name " +
	"from it, set auth: plain, with which it is shown"

func saying(err error, more string) *fault.Error {
	hint := fault.HintOf(err)
	if text := strings.ToLower(err.Error()); fault.CodeOf(err) == fault.Credentials &&
		(strings.Contains(text, "ssl certificate") || strings.Contains(text, "client certificate")) {
		hint = demandedHint
	}
	said := fault.New(fault.CodeOf(err), "%w%s", err, more).WithHint("%s", hint).WithAfter(fault.AfterOf(err))
	said.Refusals = fault.RefusalsOf(err)
	var e *fault.Error
	if errors.As(err, &e) {
		said.Response, said.Because = e.Response, e.Because
	}
	return said
}
