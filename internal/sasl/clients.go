package sasl

import (
	"crypto/hmac"
	"crypto/md5"
	"errors"
	"fmt"

	library "github.com/emersion/go-sasl"

	"github.com/popferry/popferry/internal/fault"
)

// errUnusable is the cause when a challenge makes no sense for the mechanism.
var errUnusable = errors.New("unusable challenge")

// asFault says why a dialogue ends; the challenge, made safe to show, is shown where
// nothing better is known.
func asFault(err error, challenge string) *fault.Error {
	var known *fault.Error
	if errors.As(err, &known) {
		return known
	}
	return fault.New(fault.Credentials, "%w \"%s\"", errUnusable, challenge).
		WithHint("name another way to log in with auth: (the server does not do this one properly)")
}

// client makes the client's side of a mechanism.
func (c Credentials) client(mechanism string) (client, error) {
	if c.AuthorizeAs != "" && !CanAuthorize(mechanism) {
		return nil, fault.New(fault.Config, "%s can't log in as somebody else (authorize_as)", mechanism).
			WithHint("set auth: plain or scram-sha-256, or leave authorize_as out")
	}
	password := c.Password.Reveal()
	switch mechanism {
	case External:
		return &once{library.NewExternalClient(c.mailbox())}, nil
	case OAuthBearer, XOAuth2:
		return &bearer{mechanism: mechanism, from: c}, nil
	case ScramSHA256, ScramSHA1:
		return c.scram(mechanism)
	case Plain:
		return &once{library.NewPlainClient(c.AuthorizeAs, c.Username, password)}, nil
	case Login:
		return &inTurn{answers: [][]byte{[]byte(c.Username), []byte(password)}}, nil
	case CramMD5:
		return &cramMD5{username: c.Username, password: password}, nil
	}
	return nil, fault.New(fault.Config, "unknown SASL mechanism %q", fault.Escape(mechanism)).
		WithHint("set auth: auto")
}

// once is a mechanism of one response (RFC 4616 §2, RFC 4422 appendix A). EXTERNAL's names
// the mailbox: without it the server would open that of whoever the certificate is for.
type once struct{ library library.Client }

func (o *once) start() ([]byte, error) {
	_, initial, err := o.library.Start()
	if initial == nil {
		initial = []byte{}
	}
	return initial, err
}

func (*once) next([]byte) ([]byte, error) { return nil, errUnusable }
func (*once) done() bool                  { return true }

// inTurn gives its answers whatever the challenges say: the prompts of LOGIN
// differ from server to server, and no document fixes them.
type inTurn struct{ answers [][]byte }

func (*inTurn) start() ([]byte, error) { return nil, nil }

func (c *inTurn) next([]byte) ([]byte, error) {
	if len(c.answers) == 0 {
		return nil, errUnusable
	}
	answer := c.answers[0]
	c.answers = c.answers[1:]
	return answer, nil
}

func (c *inTurn) done() bool { return len(c.answers) == 0 }

// cramMD5 proves the password by a digest over the challenge (RFC 2195 §2).
type cramMD5 struct {
	username, password string
	answered           bool
}

func (*cramMD5) start() ([]byte, error) { return nil, nil }

func (c *cramMD5) next(challenge []byte) ([]byte, error) {
	if c.answered || !IsMessageID(string(challenge)) {
		return nil, errUnusable
	}
	c.answered = true
	digest := hmac.New(md5.New, []byte(c.password))
	digest.Write(challenge)
	return fmt.Appendf(nil, "%s %x", c.username, digest.Sum(nil)), nil
}

func (c *cramMD5) done() bool { return c.answered }
