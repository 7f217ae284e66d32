package sasl

import (
	"encoding/json"
	"fmt"
	"strings"

	library "github.com/emersion/go-sasl"

	"github.com/popferry/popferry/internal/fault"
)

// bearer shows a token of OAuth: OAUTHBEARER (RFC 7628), or XOAUTH2, which is what
// came before it.
type bearer struct {
	mechanism string
	from      Credentials
	refusal   string
}

func (b *bearer) start() ([]byte, error) {
	c := b.from
	if b.mechanism == XOAuth2 {
		return []byte("user=" + c.mailbox() + "\x01auth=Bearer " + c.bearer() + "\x01\x01"), nil
	}
	_, initial, err := library.NewOAuthBearerClient(&library.OAuthBearerOptions{
		Username: saslName(c.mailbox()), Token: c.bearer(), Host: c.Host, Port: c.Port,
	}).Start()
	return initial, err
}

// saslName writes a name as RFC 5801 §4 wants it in front of the first message.
func saslName(name string) string {
	return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(name)
}

// next takes the reason of a refusal, which comes as a challenge, and gives the
// answer that lets the server refuse (RFC 7628 §3.2.3; nothing for XOAUTH2).
func (b *bearer) next(challenge []byte) ([]byte, error) {
	if b.refusal != "" {
		return nil, errUnusable
	}
	b.refusal = b.explain(challenge)
	if b.mechanism == XOAuth2 {
		return nil, nil
	}
	return []byte{1}, nil
}

// explain reads the reason (RFC 7628 §3.2.2).
func (b *bearer) explain(challenge []byte) string {
	var reason struct{ Status, Scope any } // a number in some, text in others
	if err := json.Unmarshal(challenge, &reason); err != nil || reason.Status == nil {
		return fmt.Sprintf("%q", fault.Escape(b.from.Hide(string(challenge))))
	}
	text := b.part("status", reason.Status)
	if reason.Scope != nil && reason.Scope != "" {
		text += ", " + b.part("scope", reason.Scope)
	}
	return text
}

func (b *bearer) part(name string, value any) string {
	return name + " " + fault.Escape(b.from.Hide(fmt.Sprint(value)))
}

func (b *bearer) done() bool { return b.refusal == "" }
