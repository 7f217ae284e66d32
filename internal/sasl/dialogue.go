package sasl

import (
	"bytes"
	"encoding/base64"
	"strings"

	"github.com/popferry/popferry/internal/fault"
)

// maxRounds bounds the challenges of one login; no mechanism here has more than
// three.
const maxRounds = 8

// Dialogue is one login by one mechanism.
type Dialogue struct {
	mechanism string
	client    client
	hide      func(string) string
	initial   []byte // nil where there is none
	sent      bool   // with the command, or as an answer
	rounds    int
	err       *fault.Error // why it was cancelled
}

// client is the client's side of a mechanism.
type client interface {
	// start returns the initial response; nil where the server speaks first.
	start() ([]byte, error)
	// next answers a challenge.
	next(challenge []byte) ([]byte, error)
	// done tells whether nothing is left to say and, where the mechanism has it,
	// the server proved itself.
	done() bool
}

// Begin starts a login by one of [Mechanisms]. Its error is about credentials that
// the mechanism can't carry.
func (c Credentials) Begin(mechanism string) (*Dialogue, error) {
	client, err := c.client(mechanism)
	if err != nil {
		return nil, err
	}
	initial, err := client.start()
	if err != nil {
		return nil, fault.New(fault.Internal, "SASL %s: %w", mechanism, err)
	}
	return &Dialogue{mechanism: mechanism, client: client, hide: c.Hide, initial: initial}, nil
}

// Mechanism is how the login is done.
func (d *Dialogue) Mechanism() string { return d.mechanism }

// Initial returns the initial response in the form in which it follows the command
// (RFC 4959 §3, RFC 5034 §4); ok is false where there is none. If it is not sent
// there, Answer gives it.
func (d *Dialogue) Initial() (text string, ok bool) {
	if d.initial != nil && len(d.initial) == 0 {
		return "=", true // an empty one, which is not the same as none
	}
	return encode(d.initial), d.initial != nil
}

// Sent notes that the initial response went with the command.
func (d *Dialogue) Sent() { d.sent = true }

// Answer returns the line to answer a challenge with. When ok is false, there is
// none: the dialogue is over, and the server has to be told by "*" (RFC 4422
// §3.5), which is what the line then is.
func (d *Dialogue) Answer(challenge string) (line string, ok bool) {
	response, err := d.answer(challenge)
	if err != nil {
		d.err = asFault(err, fault.Escape(d.hide(challenge)))
		return "*", false
	}
	return encode(response), true
}

func (d *Dialogue) answer(challenge string) ([]byte, error) {
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(challenge))
	if err != nil {
		return nil, errUnusable
	}
	if d.rounds++; d.rounds > maxRounds {
		return nil, errUnusable
	}
	// An empty first challenge asks for the initial response, also after the command
	// had it: some servers do not know that form. DBMail's has a line end in it.
	if d.initial != nil && len(bytes.TrimSpace(decoded)) == 0 && d.rounds == 1 {
		d.sent = true
		return d.initial, nil
	}
	if d.initial != nil && !d.sent {
		return nil, errUnusable
	}
	return d.client.next(decoded)
}

// Cancelled returns why the dialogue was cancelled, or nil.
func (d *Dialogue) Cancelled() *fault.Error { return d.err }

// Accepted is to be asked when the server says OK: one that did not hear us out, or
// did not prove that it knows the password, may be anybody (RFC 5802 §3).
func (d *Dialogue) Accepted() error {
	if heard := d.initial == nil || d.sent; heard && d.err == nil && d.client.done() {
		return nil
	}
	return fault.New(fault.Protocol, "said OK in the middle of a login by %s", d.mechanism).
		WithHint("this may be another server that poses as the right one; check host and certificate")
}

// Refused returns what the server told inside the mechanism about its refusal, or
// "". The text is the server's.
func (d *Dialogue) Refused() string {
	if b, ok := d.client.(*bearer); ok {
		return b.refusal
	}
	return ""
}

func encode(response []byte) string { return base64.StdEncoding.EncodeToString(response) }
