package post

import (
	"errors"
	"fmt"
	"net/smtp"
	"net/textproto"
	"slices"
	"strings"

	"github.com/popferry/popferry/plan"
)

// errNoWay says that the server knows none of the ways to sign in that we do.
var errNoWay = errors.New("it takes neither PLAIN nor LOGIN")

// unknownWay is what a server answers to a mechanism that it does not know (RFC 4954 §4).
const unknownWay = 504

func signIn(client *smtp.Client, m plan.AlertMail) error {
	password := m.Password.Secret.Reveal()
	err := client.Auth(&plainOrLogin{Auth: smtp.PlainAuth("", m.Username, password, m.Host), answers: []string{m.Username, password}})
	var reply *textproto.Error
	if errors.As(err, &reply) && reply.Code == unknownWay {
		return fmt.Errorf("%w: %w", errNoWay, err)
	}
	return err
}

// plainOrLogin is PLAIN, which also knows where a password may not go, or LOGIN where a server
// offers that and not PLAIN.
type plainOrLogin struct {
	smtp.Auth
	answers []string // of LOGIN
	login   bool
}

// Start implements smtp.Auth.
func (a *plainOrLogin) Start(server *smtp.ServerInfo) (way string, first []byte, err error) {
	way, first, err = a.Auth.Start(server)
	offers := func(way string) bool {
		return slices.ContainsFunc(server.Auth, func(offered string) bool { return strings.EqualFold(offered, way) })
	}
	if a.login = err == nil && offers("LOGIN") && !offers("PLAIN"); a.login {
		return "LOGIN", nil, nil
	}
	return way, first, err
}

// Next implements smtp.Auth. The prompts of LOGIN differ from server to server, and no document
// fixes them.
func (a *plainOrLogin) Next(challenge []byte, more bool) ([]byte, error) {
	switch {
	case !a.login:
		return a.Auth.Next(challenge, more)
	case !more:
		return nil, nil
	case len(a.answers) == 0:
		return nil, errors.New("it asks for more than a username and a password")
	}
	answer := a.answers[0]
	a.answers = a.answers[1:]
	return []byte(answer), nil
}
