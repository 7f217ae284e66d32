package sasl

import (
	"errors"

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

// LeftOut is the error of a login without the certificate, which was refused a while ago.
func LeftOut(err error) error {
	if fault.CodeOf(err) != fault.Credentials {
		return err
	}
	return saying(err, "; the certificate of tls_cert was refused for this user, and is left out for a day")
}

func saying(err error, more string) *fault.Error {
	said := fault.New(fault.CodeOf(err), "%w%s", err, more).WithHint("%s", fault.HintOf(err)).WithAfter(fault.AfterOf(err))
	said.Refusals = fault.RefusalsOf(err)
	var e *fault.Error
	if errors.As(err, &e) {
		said.Response, said.Because = e.Response, e.Because
	}
	return said
}
