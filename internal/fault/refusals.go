package fault

import "errors"

// NoRefusal is for errors of the class [Credentials] that no server was asked for.
const NoRefusal = -1

// AfterRefusals adds to an error that so many logins were refused before it. Its class,
// its text and what the server asked for stay.
func AfterRefusals(err error, n int) error {
	if err == nil || n == 0 {
		return err
	}
	after := New(CodeOf(err), "%w", err).WithAfter(AfterOf(err))
	after.Hint = HintOf(err)
	var e *Error
	if errors.As(err, &e) {
		after.Response, after.Because = e.Response, e.Because
	}
	after.Refusals = n + RefusalsOf(err)
	return after
}

// RefusalsOf returns how many logins the server refused before it came to an error, since
// each counts against the user; of errors that are joined, each about a server of its own,
// the most.
func RefusalsOf(err error) int {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		most := 0
		for _, one := range joined.Unwrap() {
			most = max(most, RefusalsOf(one))
		}
		return most
	}
	e, ok := err.(*Error)
	switch {
	case !ok && err != nil:
		return RefusalsOf(errors.Unwrap(err))
	case ok && e.Refusals == 0 && e.Code == Credentials:
		return 1
	case ok:
		return max(e.Refusals, 0)
	}
	return 0
}
