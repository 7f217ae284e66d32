package imapdst

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/internal/wire"
)

// identification is what we tell servers about ourselves (RFC 2971 §3.3). Some
// refuse to open a folder for a client that says nothing.
const identification = `ID ("name" "popferry")`

// authLogin is the LOGIN command in Options.Auth, wayLogin the same among the ways
// to log in: it has no capability of its own (RFC 3501 §6.2.3).
const (
	authAuto  = "auto"
	authLogin = "login"
	wayLogin  = "LOGIN command"
)

// saslPrefix is in front of the mechanisms among the capabilities (RFC 3501 §7.2.1).
const saslPrefix = "AUTH="

// authenticate logs in (RFC 3501 §6.2). With auto the next way is taken where the
// server does not know the one that it announced: it has judged no credentials. Inside
// TLS it is taken once after SCRAM, too, of which nobody can tell whether it was the
// password that was refused. ID goes ahead in the same packet as the first: it is valid in any
// state (RFC 2971 §3.1).
func (l *login) authenticate(ctx context.Context) error {
	if l.options.Endpoint.TLS != wire.None && !l.conn.Secure() {
		return l.conn.Break(fault.New(fault.TLS, "connection to %s is not safe for a password",
			l.conn.Address()).WithHint("set tls: implicit; nothing secret was sent"))
	}
	ways, fail := l.ways()
	if fail != nil {
		return l.conn.Break(fail)
	}
	if err := l.options.Endpoint.Enter(); err != nil {
		return err
	}
	first := ""
	if l.caps.has("ID") {
		first = identification
	}
	before := l.caps
	l.offered = before.mechanisms()
	for i, way := range ways {
		if l.besideAnother(way) {
			return sasl.ErrBeside
		}
		reply, err := l.try(ctx, way, first)
		switch {
		case err != nil:
			return err
		case reply.kind == "OK":
			l.learn(reply)
			return nil
		case l.mayBeForm(reply):
			l.caps = before
			return l.withoutScram(ctx, ways[i+1:], reply)
		case i == len(ways)-1 || !unknownWay(reply):
			return l.conn.Break(l.loginRefused(reply))
		}
		l.caps, first = before, ""
	}
	return nil // there is a way at least
}

// besideAnother tells that a password is for a connection without the certificate that this one
// showed.
func (l *login) besideAnother(way string) bool {
	return l.options.Auth == authAuto && !l.options.demanded && l.conn.ShowedCertificate() &&
		l.options.credentials().BesideAnother(way)
}

// unknownWay tells that the server does not know the command or its mechanism.
func unknownWay(s status) bool {
	return !explained(s.code) && containsAny(s.text, "mechanism", "not supported", "unsupported",
		"unknown command", "unrecognized", "unrecognised", "not implemented", "unimplemented")
}

// mayBeForm tells of a refusal that it may be about the form in which the server keeps
// the password. Dovecot says AUTHORIZATIONFAILED where it would look for an administrator's in
// a second place, which it can't by SCRAM.
func (l *login) mayBeForm(s status) bool {
	codes := []string{"", "AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED"}
	return sasl.IsScram(l.mechanism) && l.options.Auth == authAuto && slices.Contains(codes, s.code) &&
		!unknownWay(s) && sasl.Judge(s.text) != fault.Temporary && l.mayLeaveScram()
}

// mayLeaveScram tells that nobody listens to what the other ways say of the password.
func (l *login) mayLeaveScram() bool {
	return l.conn.Secure() || l.options.Endpoint.StaysHere()
}

// withoutScram tries the first of the ways left that is no SCRAM. If the server ends the
// session over it, what was said of SCRAM counts.
func (l *login) withoutScram(ctx context.Context, ways []string, refused status) error {
	scram := l.mechanism
	i := slices.IndexFunc(ways, func(way string) bool { return !sasl.IsScram(way) })
	if i < 0 {
		return l.conn.Break(l.loginRefused(refused))
	}
	l.refusals++
	reply, err := l.try(ctx, ways[i], "")
	switch {
	case err != nil && (ctx.Err() != nil || fault.CodeOf(err) == fault.Protocol):
		return err
	case err != nil:
		l.mechanism = scram
		fail := l.loginRefused(refused)
		l.conn.Break(fail) // has a reason of its own, if the server ended it
		return fail
	case reply.kind != "OK":
		return l.conn.Break(l.loginRefused(reply))
	}
	l.refusedWay = scram
	l.learn(reply)
	return nil
}

// loginRefused adds to a refusal what is known of the mechanism. To one that is not
// offered a server says BAD, or NO (RFC 3501 §6.2.2), and need not say why.
func (l *login) loginRefused(s status) *fault.Error {
	err := loginError(l.conn.Address(), s)
	bare := s.kind == "BAD" && err.Code == fault.Protocol && l.mechanism != wayLogin
	if (unknownWay(s) || bare) && !slices.Contains(l.offered, l.mechanism) {
		advice := "set auth: auto"
		err.Code, err.Err = fault.Config, sasl.ErrNoWay
		if l.options.Auth == authAuto {
			err.Code = fault.Refused
			advice = cmp.Or(sasl.OfferHint(l.options.credentials(), l.offered), "the provider may demand OAuth")
		}
		return err.WithHint("%s; SASL mechanisms that the server offers: %s", advice, fault.Escape(orNone(l.offered)))
	}
	if err.Code != fault.Credentials || sasl.NotConnected(s.text) {
		return err
	}
	if l.refused != "" {
		err.Message += "; token: " + l.refused
	}
	if l.mechanism == sasl.External {
		err.Err = sasl.ErrExternal
	}
	return err.WithHint("%s", sasl.Hint(l.options.credentials(), l.mechanism, l.options.Auth == authAuto, err.Hint))
}

// ways are how to log in, in the order to try.
func (l *login) ways() ([]string, *fault.Error) {
	ways := l.named()
	if l.options.Auth == authAuto {
		ways = l.suitable()
	}
	if len(ways) > 0 {
		return ways, nil
	}
	err := fault.New(fault.Refused, "%s offers no login that suits the credentials; its SASL mechanisms: %s",
		l.conn.Address(), fault.Escape(l.hide(orNone(l.caps.mechanisms()))))
	err.Err = sasl.ErrNoWay
	c, offered := l.options.credentials(), l.caps.mechanisms()
	if !l.conn.Secure() && (sasl.OfferHint(c, offered) == "" || l.caps.has("STARTTLS")) {
		err.Code = fault.TLS
		return nil, err.WithHint("it wants TLS first; set tls: implicit or starttls")
	}
	return nil, err.WithHint("%s", sasl.NoWayHint(c, offered))
}

// named is the way that Auth names. LOGIN is the command, and the mechanism of that
// name where the command is not to be used (RFC 3501 §6.2.3).
func (l *login) named() []string {
	switch {
	case l.options.Auth != authLogin:
		return []string{strings.ToUpper(l.options.Auth)}
	case !l.caps.has("LOGINDISABLED"):
		return []string{wayLogin}
	case l.caps.has(saslPrefix + sasl.Login):
		return []string{sasl.Login}
	}
	return nil
}

// suitable are the ways that the server offers and the credentials suit. LOGIN is for
// servers without PLAIN, which carries any user name and password (RFC 4616 §2).
func (l *login) suitable() []string {
	c := l.options.credentials()
	ways := c.Choose(l.caps.mechanisms())
	if c.HasPassword() && c.AuthorizeAs == "" && !l.caps.has("LOGINDISABLED") {
		ways = append(slices.DeleteFunc(ways, isSASLLogin), wayLogin)
	}
	if l.options.NoScram && l.mayLeaveScram() {
		ways = sasl.ScramLast(ways)
	}
	return ways
}

// isSASLLogin: the command does the same in fewer steps.
func isSASLLogin(way string) bool { return way == sasl.Login }

func orNone(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

// try logs in one way. What the server can do may change with the login (RFC 3501
// §6.2.2), so what it said before is forgotten.
func (l *login) try(ctx context.Context, way, first string) (status, error) {
	l.mechanism = way
	if way == wayLogin {
		text, answer := l.loginCommand()
		l.caps = Capabilities{}
		return l.commands(ctx, first, text, answer)
	}
	d, err := l.options.credentials().Begin(way)
	if err != nil {
		return status{}, err
	}
	text := l.authenticateCommand(d)
	l.caps = Capabilities{}
	reply, err := l.commands(ctx, first, text, d.Answer)
	if err != nil {
		return reply, err
	}
	l.refused = d.Refused()
	return reply, l.believe(d, reply)
}

// authenticateCommand has the initial response with it where the server offers
// SASL-IR (RFC 4959 §3) and the line does not get too long.
func (l *login) authenticateCommand(d *sasl.Dialogue) string {
	text := "AUTHENTICATE " + d.Mechanism()
	initial, ok := d.Initial()
	if !ok || !l.caps.has("SASL-IR") || len(initial) > maxPlainLine/2 {
		return text
	}
	d.Sent()
	return text + " " + initial
}

// believe refuses an OK that came before the end of the mechanism, and says why we
// cancelled.
func (l *login) believe(d *sasl.Dialogue, reply status) error {
	if reply.kind == "OK" {
		if err := d.Accepted(); err != nil {
			return l.conn.Break(fault.New(fault.CodeOf(err), "%s %w", l.conn.Address(), err).
				WithHint("%s", fault.HintOf(err)))
		}
		return nil
	}
	if why := d.Cancelled(); why != nil {
		return l.conn.Break(fault.New(why.Code, "%s: login cancelled: %w", l.conn.Address(), why).
			WithHint("%s", why.Hint))
	}
	return nil
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
