// Package fault is the one vocabulary for what can go wrong.
//
// Every error that reaches a person is an [Error]: a [Code], which is also the
// exit status, a message that says what happened and where, and a hint that
// says what to check first. Packages make one at their boundary with [New] and
// carry the cause inside; callers ask [CodeOf] and never compare texts. Server
// text enters a message through [Escape] only.
package fault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// Code classifies an error and is the exit status of the program. The numbers
// are those of BSD's sysexits.h where it has one.
type Code int

const (
	// OK means that all is done and nothing is left over.
	OK Code = 0
	// Usage means a wrong command line.
	Usage Code = 64
	// Held means that all is done, but messages are held back.
	Held Code = 65
	// Refused means that a server refuses until a person acts.
	Refused Code = 69
	// Internal means a bug of ours.
	Internal Code = 70
	// State means that the state directory can't be read or written.
	State Code = 74
	// Temporary means that the same thing may work later.
	Temporary Code = 75
	// Protocol means that a server breaks its protocol.
	Protocol Code = 76
	// Credentials means refused credentials, or a secret others can read.
	Credentials Code = 77
	// Config means that the configuration is wrong.
	Config Code = 78
	// TLS means that a safe connection was refused or can't be trusted.
	TLS Code = 80
)

var names = map[Code]string{
	OK: "ok", Usage: "usage", Held: "held", Refused: "refused",
	Internal: "internal", State: "state", Temporary: "temporary",
	Protocol: "protocol", Credentials: "credentials", Config: "config",
	TLS: "tls",
}

// String gives the short name that the JSON report uses.
func (c Code) String() string {
	if name, ok := names[c]; ok {
		return name
	}
	return fmt.Sprintf("code-%d", int(c))
}

// bySeverity lists the codes from the most severe to the least.
var bySeverity = [...]Code{
	Internal, State, Usage, Config, TLS, Credentials, Protocol, Refused,
	Temporary, Held, OK,
}

// Worst returns the more severe of two codes: a run over several accounts ends
// with the worst of theirs.
func Worst(a, b Code) Code {
	for _, c := range bySeverity {
		if a == c || b == c {
			return c
		}
	}
	return Internal
}

// Error is an error as a person is to read it.
type Error struct {
	// Code is the class, and the exit status.
	Code Code
	// Message says what happened and where, without the account's name.
	Message string
	// Hint says what to check first; see [HintOf].
	Hint string
	// Response is the server's response code in upper case without brackets
	// (RFC 2449 §8, RFC 3206, RFC 5530), or empty.
	Response string
	// After is how long the server asked to be left alone; 0: not said.
	After time.Duration
	// Because is why After is so long where no server asked for that; else empty.
	Because string
	// Refusals is how many logins a server refused before it came to this; 0 leaves it to
	// [RefusalsOf], and [NoRefusal] says that there was none.
	Refusals int
	// Err is the cause, or nil.
	Err error
}

// New makes an error of a class. A %w in the format keeps the cause; it is shown as [Words] has it.
func New(code Code, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, reword(args)...)
	return &Error{Code: code, Message: wrapped.Error(), Err: errors.Unwrap(wrapped)}
}

// Stopped makes the error for what was ended on our side, mostly because its
// context was.
func Stopped(format string, args ...any) *Error {
	return New(Temporary, format, args...).WithHint("%s", stoppedHint)
}

// WithHint sets what to check first and returns the same error.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithResponse sets the server's response code and returns the same error.
func (e *Error) WithResponse(code string) *Error {
	e.Response = code
	return e
}

// WithAfter sets how long the server asked to wait and returns the same error.
func (e *Error) WithAfter(d time.Duration) *Error {
	e.After = d
	return e
}

// WithRest sets how long it is wise to wait, though no server asked for it, and why. It
// returns the same error.
func (e *Error) WithRest(d time.Duration, because string) *Error {
	e.After, e.Because = d, because
	return e
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Coder is an error that knows its class without being an [Error], such as a
// list of errors.
type Coder interface{ FaultCode() Code }

// CodeOf returns the class of any error: OK for nil, Temporary for a
// cancellation or a failure of the network, and Internal for what nobody
// classified, since that is a bug.
func CodeOf(err error) Code {
	var e *Error
	var coder Coder
	var network net.Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &e):
		return e.Code
	case errors.As(err, &coder):
		return coder.FaultCode()
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &network):
		return Temporary
	}
	return Internal
}

// TroubleHint is for a server that says that something is amiss with it for now.
const TroubleHint = "check the provider's status page, and whether its web mail works: the server has trouble of its own, " +
	"or is asked too much; if all is well there, try again later"

// The hints of errors that got none where they were made.
const (
	bugHint = "this is a bug of popferry; please report it, with what was run and all that it said"
	// Nothing is left half done.
	stoppedHint = "it was stopped; run it again to go on"
	networkHint = "check the network, then run it again"
)

// HintOf returns the outermost hint of an error, or what can be said without
// one: no error shall leave a person alone.
func HintOf(err error) string {
	var e *Error
	for rest := err; errors.As(rest, &e); rest = e.Err {
		if e.Hint != "" {
			return e.Hint
		}
	}
	switch code := CodeOf(err); {
	case code == Internal:
		return bugHint
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return stoppedHint
	case code == Temporary:
		return networkHint
	}
	return ""
}

// AfterOf returns how long the server asked to wait, or it is wise to, or 0.
func AfterOf(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.After
	}
	return 0
}

// BecauseOf returns why the wait of [AfterOf] is so long.
func BecauseOf(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Because != "" {
		return e.Because
	}
	return "the server wants such a pause"
}
