package pop

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"

	"github.com/popferry/popferry/internal/fault"
)

// The values of Options.Auth.
const (
	authAuto  = "auto"
	authPlain = "plain"
	authUser  = "user"
)

const (
	// maxInitial is how long a command line may be (RFC 2449 §4), and so an AUTH
	// with its initial response; a longer response goes on a line of its own.
	maxInitial = 255
	// maxRounds bounds the challenges of one login.
	maxRounds = 8
)

// login goes from the AUTHORIZATION to the TRANSACTION state (RFC 1939 §4).
func (m *Maildrop) login(ctx context.Context) error {
	defer m.conn.Begin(ctx)()
	reply, err := m.authenticate()
	if err != nil {
		return err
	}
	if !reply.ok {
		return m.loginRefused(reply)
	}
	m.recheck = m.caps.perUser
	return nil
}

// loginRefused reads the reasons of RFC 2449 §8.1 and RFC 3206 §4. Without one
// -ERR proves little, but a wrong password is the likely cause.
func (m *Maildrop) loginRefused(reply status) error {
	err := m.refusal("login", reply, fault.Credentials)
	if err.Code == fault.Credentials && !m.conn.Secure() {
		err.Hint += "; or the server wants TLS: set tls: implicit or starttls"
	}
	return err
}

// authenticate returns the last word of the server on who we are.
func (m *Maildrop) authenticate() (status, error) {
	before := m.beforeLogin()
	if !m.wantsSASL() {
		return m.userLogin(before)
	}
	client := sasl.NewPlainClient("", m.options.Username, m.options.Password.Reveal())
	reply, err := m.saslLogin(client, before)
	unknown := !reply.ok && reply.code == "" && containsAny(reply.text, unsupportedWords)
	if err == nil && unknown && m.options.Auth == authAuto {
		return m.userLogin(nil) // it announced what it does not do
	}
	return reply, err
}

func (m *Maildrop) wantsSASL() bool {
	switch m.options.Auth {
	case authPlain:
		return true
	case authUser:
		return false
	}
	return slices.Contains(m.caps.SASL, sasl.Plain)
}

// beforeLogin turns on UTF8 where it is offered, which is allowed only before
// the login and after STLS (RFC 6856 §2.1). Without it Courier replaces each
// message that has 8-bit headers by a notice. A refusal changes nothing.
func (m *Maildrop) beforeLogin() []call {
	if !m.caps.UTF8 {
		return nil
	}
	return []call{{line: "UTF8", reply: func(status) error { return nil }}}
}

// userLogin sends USER and PASS (RFC 1939 §7). The password is all of the line
// after one blank, so blanks in it need no care.
func (m *Maildrop) userLogin(before []call) (last status, err error) {
	user := call{line: "USER " + m.options.Username, reply: func(reply status) error {
		if !reply.ok {
			return m.loginRefused(reply)
		}
		return nil
	}}
	pass := call{line: "PASS " + m.options.Password.Reveal(), reply: func(reply status) error {
		last = reply
		return nil
	}}
	err = m.exchange(append(before, user, pass)...)
	return last, err
}

// saslLogin runs AUTH (RFC 5034 §4), with the initial response on the command
// line where it fits.
func (m *Maildrop) saslLogin(client sasl.Client, before []call) (last status, err error) {
	mechanism, initial, err := client.Start()
	if err != nil {
		return status{}, fault.New(fault.Internal, "SASL: %w", err)
	}
	dialogue := &saslDialogue{m: m, client: client, initial: initial}
	line := "AUTH " + mechanism
	if short := line + " " + encode(initial); len(short)+len("\r\n") <= maxInitial {
		line = short
	}
	err = m.exchange(append(before, call{line: line, challenge: true,
		reply: func(reply status) error {
			last, err = dialogue.run(reply)
			return err
		}})...)
	return last, err
}

func encode(response []byte) string { return base64.StdEncoding.EncodeToString(response) }

// saslDialogue answers challenges.
type saslDialogue struct {
	m       *Maildrop
	client  sasl.Client
	initial []byte // nil once it was given in answer to a challenge
}

// run returns the reply that ends the dialogue.
func (d *saslDialogue) run(reply status) (status, error) {
	for round := 0; reply.more; round++ {
		response, ok := d.respond(reply.text)
		if !ok || round == maxRounds {
			return d.cancel(reply.text)
		}
		if err := d.m.send(encode(response)+"\r\n", 0); err != nil {
			return status{}, err
		}
		var err error
		if reply, err = readStatus(d.m.conn, d.m.shown); err != nil {
			return status{}, err
		}
	}
	return reply, nil
}

// respond answers one challenge. An empty one asks for the initial response: it
// was too long for the command line, or the server does not know that form.
func (d *saslDialogue) respond(challenge string) (response []byte, ok bool) {
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(challenge))
	if err != nil {
		return nil, false
	}
	if len(decoded) == 0 && d.initial != nil {
		response, d.initial = d.initial, nil
		return response, true
	}
	response, err = d.client.Next(decoded)
	return response, err == nil
}

// cancel ends the dialogue as RFC 5034 §4 says: with "*", to which the server has
// to answer -ERR.
func (d *saslDialogue) cancel(challenge string) (status, error) {
	m := d.m
	shown := m.shown(challenge)
	if err := m.send("*\r\n", 0); err != nil {
		return status{}, err
	}
	reply, err := readStatus(m.conn, m.shown)
	if err != nil {
		return status{}, err
	}
	if reply.ok || reply.more {
		return status{}, m.broken("%s went on with a login that was cancelled (challenge \"%s\")",
			m.conn.Address(), shown)
	}
	return status{}, fault.New(fault.Credentials, "%s: login cancelled: unusable challenge \"%s\"",
		m.conn.Address(), shown).WithHint("set auth: user if the server has no usable SASL PLAIN")
}
