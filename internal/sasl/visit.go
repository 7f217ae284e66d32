package sasl

import "errors"

// Visit is how a server is called on where a certificate is set beside something else to log in
// with.
type Visit struct {
	// Bare shows no certificate.
	Bare bool
	// Demanded says that TLS wants the certificate, whatever else the server does with it.
	Demanded bool
	// Again says that a login was refused just now, and no more than one is to be.
	Again bool
}

// Call logs in with call, once or more often, as the answers want it. Beside says that there
// is something else than the certificate to log in with, noExternal that the certificate was of
// no use a while ago; demands reports an error of TLS that wants a certificate. What is returned
// is of the last call, and its Visit; where that was another one after a refused certificate,
// Again is set.
func Call[S any](beside, noExternal bool, demands func(error) bool, call func(Visit) (S, error)) (S, Visit, error) {
	if noExternal && beside {
		if s, err := call(Visit{Bare: true}); !demands(err) {
			return s, Visit{}, LeftOut(err)
		}
	}
	s, err := call(Visit{})
	switch {
	case beside && errors.Is(err, ErrExternal):
		return callAgain(err, call)
	case errors.Is(err, ErrBeside):
		return callBare(demands, call)
	}
	return s, Visit{}, err
}

// callBare does not show the certificate, which is another's, unless TLS demands one.
func callBare[S any](demands func(error) bool, call func(Visit) (S, error)) (S, Visit, error) {
	v := Visit{Bare: true}
	s, err := call(v)
	if demands(err) {
		v = Visit{Demanded: true}
		s, err = call(v)
		return s, v, err
	}
	return s, v, WithoutCertificate(err)
}

// callAgain goes without the certificate that was refused, and so that no more than two refusals
// count against the user.
func callAgain[S any](refused error, call func(Visit) (S, error)) (S, Visit, error) {
	v := Visit{Bare: true, Again: true}
	s, err := call(v)
	if err != nil {
		err = AfterExternal(refused, err)
	}
	return s, v, err
}
