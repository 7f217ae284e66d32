package imapdst

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
)

// identification is what we tell servers about ourselves (RFC 2971 §3.3). Some
// refuse to open a folder for a client that says nothing.
const identification = `ID ("name" "popferry")`

// authenticate logs in (RFC 3501 §6.2). ID goes ahead in the same packet: it is
// valid in any state (RFC 2971 §3.1).
func (l *login) authenticate(ctx context.Context) error {
	if l.options.Endpoint.TLS != wire.None && !l.conn.Secure() {
		return l.conn.Break(fault.New(fault.TLS, "connection to %s is not safe for a password",
			l.conn.Address()).WithHint("set tls: implicit; nothing secret was sent"))
	}
	text, answer, err := l.credentials()
	if err != nil {
		return l.conn.Break(err)
	}
	first := ""
	if l.caps.has("ID") {
		first = identification
	}
	// What the server can do may change with the login (RFC 3501 §6.2.2).
	l.caps = Capabilities{}
	reply, err2 := l.commands(ctx, first, text, answer)
	if err2 != nil {
		return err2
	}
	if reply.kind != "OK" {
		return l.conn.Break(loginError(l.conn.Address(), reply))
	}
	l.learn(reply)
	return nil
}

// credentials chooses how to log in. PLAIN carries any user name and password
// (RFC 4616 §2); LOGIN is for servers without it.
func (l *login) credentials() (string, part, *fault.Error) {
	plain, login := l.caps.has("AUTH=PLAIN"), !l.caps.has("LOGINDISABLED")
	switch auth := l.options.Auth; {
	case auth == "plain" || plain && auth != "login":
		text, answer := l.plain()
		return text, answer, nil
	case login:
		text, answer := l.loginCommand()
		return text, answer, nil
	}
	err := fault.New(fault.Refused, "%s accepts no login with a password here", l.conn.Address())
	if !l.conn.Secure() {
		err.Code = fault.TLS
		return "", nil, err.WithHint("it wants TLS first; set tls: implicit or starttls")
	}
	return "", nil, err.WithHint("the provider may demand an app password or OAuth")
}

// plain is AUTHENTICATE PLAIN, in one round trip with SASL-IR (RFC 4959 §3).
func (l *login) plain() (string, part) {
	response := base64.StdEncoding.EncodeToString(
		[]byte("\x00" + l.options.Username + "\x00" + l.options.Password.Reveal()))
	if l.caps.has("SASL-IR") {
		return "AUTHENTICATE PLAIN " + response, once()
	}
	return "AUTHENTICATE PLAIN", once(response)
}

// loginCommand is LOGIN with both arguments quoted, or as literals where a
// quoted string can't hold them (RFC 3501 §4.3).
func (l *login) loginCommand() (string, part) {
	text, later := "LOGIN", []string(nil)
	for _, arg := range []string{l.options.Username, l.options.Password.Reveal()} {
		if quotable(arg) {
			l.extend(&text, &later, " "+quote(arg))
			continue
		}
		if l.caps.LiteralPlus || l.caps.LiteralMinus && len(arg) <= literalMinusMax {
			l.extend(&text, &later, " {"+strconv.Itoa(len(arg))+"+}\r\n"+arg)
			continue
		}
		l.extend(&text, &later, " {"+strconv.Itoa(len(arg))+"}")
		later = append(later, arg)
	}
	return text, once(later...)
}

// extend appends to what is sent last.
func (*login) extend(text *string, later *[]string, more string) {
	if n := len(*later); n > 0 {
		(*later)[n-1] += more
		return
	}
	*text += more
}

// once answers each continuation request with the next line, then cancels.
func once(lines ...string) part {
	return func(string) (string, bool) {
		if len(lines) == 0 {
			return "", false
		}
		line := lines[0]
		lines = lines[1:]
		return line, true
	}
}

// quotable tells whether a quoted string may hold s: 7-bit, and short enough for
// servers that limit lines (RFC 2683 §3.2.1.5).
func quotable(s string) bool {
	return len(s) <= 500 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}
