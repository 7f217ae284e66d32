package signin

import (
	"context"
	"errors"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/plan"
)

// Tokens gives what servers take instead of passwords.
type Tokens interface {
	// Token is asked for every connection. The account's name is for messages.
	Token(ctx context.Context, account string, side plan.Endpoint) (secret.Value, error)
	// Tried tells how a login with that token ended, and returns whether a new one is
	// worth another try: a server took it before, and takes it no more.
	Tried(side plan.Endpoint, token secret.Value, err error) (again bool)
	// Ends is when a person has to sign in again for tokens, and how long after the last
	// time; zero: not known.
	Ends(side plan.Endpoint) (at time.Time, life time.Duration)
}

// NoToken is the error of a side for which no token could be got: it is the provider's,
// or its person's, and says nothing about the mail server.
type NoToken struct {
	// Err is what [Tokens] said.
	Err error
}

func (n *NoToken) Error() string { return n.Err.Error() }

// Unwrap returns Err, whose class it has.
func (n *NoToken) Unwrap() error { return n.Err }

// Unasked makes one of what [Tokens] said. No mail server refused anything.
func Unasked(err error) error {
	if said, ok := err.(*fault.Error); ok {
		unasked := *said // others may have the same
		unasked.Refusals = fault.NoRefusal
		err = &unasked
	}
	return &NoToken{err}
}

// IsNoToken reports whether an error comes of a [NoToken].
func IsNoToken(err error) bool {
	var missing *NoToken
	return errors.As(err, &missing)
}

type tokenFunc = func(context.Context) (secret.Value, error)

// withToken dials with a token where the side has OAuth. A token can end before its
// time: one that worked is replaced once when it is refused.
func withToken[C any](tokens Tokens, account string, side plan.Endpoint, dial func(tokenFunc) (C, error)) (C, error) {
	if side.OAuth == nil {
		return dial(nil)
	}
	var given secret.Value
	token := func(ctx context.Context) (secret.Value, error) {
		var err error
		if given, err = tokens.Token(ctx, account, side); err != nil {
			return given, Unasked(err)
		}
		return given, nil
	}
	conn, err := dial(token)
	if tokens.Tried(side, given, err) {
		refusals := fault.RefusalsOf(err)
		conn, err = dial(token)
		tokens.Tried(side, given, err)
		err = fault.AfterRefusals(err, refusals)
	}
	return conn, err
}
