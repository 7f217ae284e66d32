package pop

import (
	"errors"
	"io"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
)

// call is a command and what is to be done with its reply.
type call struct {
	line string
	// multiline tells that reply reads more than the status line, so that the
	// command can't go through the library.
	multiline bool
	// challenge tells that "+ " is an answer; only AUTH has it (RFC 5034 §4).
	challenge bool
	reply     func(status) error
}

// exchange sends calls and reads their replies in order: all in one packet and
// one round trip where the server announced PIPELINING (RFC 2449 §6.6), else one
// after the other.
func (m *Maildrop) exchange(calls ...call) error {
	if m.caps.Pipelining && len(calls) > 1 {
		return m.exchangeAtOnce(calls)
	}
	for _, c := range calls {
		if err := m.ask(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *Maildrop) exchangeAtOnce(calls []call) error {
	var packet strings.Builder
	for _, c := range calls {
		packet.WriteString(c.line)
		packet.WriteString("\r\n")
	}
	if err := m.send(packet.String(), 0); err != nil {
		return err
	}
	for _, c := range calls {
		if err := m.take(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *Maildrop) ask(c call) error {
	if c.multiline || c.challenge {
		if err := m.send(c.line+"\r\n", 0); err != nil {
			return err
		}
		return m.take(c)
	}
	reply, err := m.command(c.line)
	if err != nil {
		return err
	}
	return c.reply(reply)
}

// take reads the reply to a call that was sent.
func (m *Maildrop) take(c call) error {
	reply, err := readStatus(m.conn, m.shown)
	if err == nil && !c.challenge {
		err = m.noChallenge(reply)
	}
	if err == nil {
		err = c.reply(reply)
	}
	return c.unanswered(err)
}

// unanswered names the listing that a server did not give to its end. Other lines may have
// what nobody is to see.
func (c call) unanswered(err error) error {
	e, ok := errors.AsType[*fault.Error](err)
	silent := errors.Is(err, wire.ErrStalled) || errors.Is(err, io.ErrUnexpectedEOF)
	if !ok || !silent || !c.multiline {
		return err
	}
	told := *e
	told.Message += " after " + c.line
	return &told
}

// command sends one line through the library and returns the one-line answer.
func (m *Maildrop) command(line string) (status, error) {
	if err := m.expectSilence(); err != nil {
		return status{}, err
	}
	m.turns++
	reply, err := m.library.Command(line)
	if err != nil {
		return status{}, err
	}
	return reply, m.noChallenge(reply)
}

// send writes whole command lines in one packet while the replies of some
// earlier commands are still on their way.
func (m *Maildrop) send(packet string, onTheirWay int) error {
	if onTheirWay == 0 {
		if err := m.expectSilence(); err != nil {
			return err
		}
		m.turns++
	}
	_, err := m.conn.Write([]byte(packet))
	return err
}

// answer reads the status line of the next reply to what [Maildrop.send] sent.
func (m *Maildrop) answer() (status, error) {
	reply, err := readStatus(m.conn, m.shown)
	if err != nil {
		return status{}, err
	}
	return reply, m.noChallenge(reply)
}

// noChallenge refuses "+ " where it is no reply (RFC 5034 §4).
func (m *Maildrop) noChallenge(reply status) error {
	if !reply.more {
		return nil
	}
	return m.broken("%s: %w: \"%s\"", m.conn.Address(), errNoReply, m.shown("+ "+reply.text))
}

// expectSilence checks that the server has said nothing that nobody asked for:
// it would be taken for the answer to the next command. The farewell of a server
// that gave up waiting is no fault (RFC 1939 §3, the autologout timer).
func (m *Maildrop) expectSilence() error {
	waiting := m.conn.Buffered()
	if waiting == 0 {
		return m.conn.Broken()
	}
	line, _, err := readLine(m.conn, maxStatus)
	if err != nil {
		return err
	}
	if farewell, ok := parseStatus(line); ok && !farewell.ok && !farewell.more {
		return m.conn.Break(m.refusal("session", farewell, fault.Temporary))
	}
	return m.broken("%s: %w: it sent %d bytes that nobody asked for: \"%s\"", m.conn.Address(),
		ErrOutOfStep, waiting, m.shown(string(line)))
}

// broken ends the session with a breach of protocol.
func (m *Maildrop) broken(format string, args ...any) error {
	return m.conn.Break(fault.New(fault.Protocol, format, args...).
		WithHint("the server breaks POP3, or something in between changes it; try again, then " +
			"ask its operator"))
}
