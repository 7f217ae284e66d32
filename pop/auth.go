package pop

import (
	"cmp"
	"context"
	"crypto/md5"
	"fmt"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sasl"
)

// The values of Options.Auth that are no mechanism of SASL, and in upper case how
// [Maildrop.Mechanism] calls two of them.
const (
	authAuto = "auto"
	authUser = "user"
	authAPOP = "apop"

	wayUser = "USER"
	wayAPOP = sasl.APOP
)

// maxInitial is how long a command line may be (RFC 2449 §4), and so an AUTH
// with its initial response; a longer response goes on a line of its own.
const maxInitial = 255

// login goes from the AUTHORIZATION to the TRANSACTION state (RFC 1939 §4).
func (m *Maildrop) login(ctx context.Context) error {
	if err := m.options.Endpoint.Enter(); err != nil {
		return err
	}
	defer m.conn.Begin(ctx)()
	reply, err := m.authenticate(ctx)
	if err == nil && !reply.ok {
		err = m.loginRefused(reply)
	}
	if err != nil {
		return fault.AfterRefusals(err, m.refusals)
	}
	m.recheck = m.caps.perUser || m.mayRecheckKnown()
	return nil
}

// Mechanism is how the session logged in: the name of a SASL mechanism, "USER" or
// "APOP".
func (m *Maildrop) Mechanism() string { return m.mechanism }

// loginRefused reads the reasons of RFC 2449 §8.1 and RFC 3206 §4. Without one
// -ERR proves little, but a wrong password is the likely cause.
func (m *Maildrop) loginRefused(reply status) error {
	if !slices.Contains(m.caps.SASL, m.mechanism) && m.unknownWay(reply) {
		return m.notKnown(reply)
	}
	err := m.refusal("login", reply, fault.Credentials)
	if err.Code != fault.Credentials || sasl.NotConnected(reply.text) {
		return err
	}
	if m.refused != "" {
		err.Message += "; token: " + m.refused
	}
	if m.mechanism == sasl.External {
		err.Err = sasl.ErrExternal
	}
	err.Hint = sasl.Hint(m.options.credentials(), m.mechanism, m.options.Auth == authAuto, err.Hint)
	if !m.conn.Secure() {
		err.Hint += "; or the server wants TLS: set tls: implicit or starttls"
	}
	return err
}

// notKnown is the refusal of a way to log in, and of no password.
func (m *Maildrop) notKnown(reply status) error {
	code, advice := fault.Config, "set auth: auto"
	if m.options.Auth == authAuto {
		code = fault.Refused
		advice = cmp.Or(sasl.OfferHint(m.options.credentials(), m.offered()), "it may want TLS first, or OAuth")
	}
	err := fault.New(code, "%s does not know a login by %s: \"%s\"", m.conn.Address(), m.mechanism,
		m.shown(reply.text))
	err.Err = sasl.ErrNoWay
	return err.WithHint("%s; SASL mechanisms that it offers: %s", advice, m.shown(orNone(m.caps.SASL)))
}

// authenticate returns the last word of the server on who we are. With auto the
// next way is taken where the server does not know the one that it announced: it has
// judged no credentials. Inside TLS it is taken once after SCRAM, too, of which nobody can
// tell whether it was the password that was refused.
func (m *Maildrop) authenticate(ctx context.Context) (status, error) {
	ways, err := m.ways()
	if err != nil {
		return status{}, err
	}
	before := m.beforeLogin()
	for i, way := range ways {
		m.mechanism = way
		if m.besideAnother(way) {
			return status{}, sasl.ErrBeside
		}
		reply, err := m.try(way, before)
		before = nil
		switch {
		case err != nil || i == len(ways)-1 || reply.ok:
			return reply, err
		case m.mayBeForm(reply):
			return m.withoutScram(ctx, ways[i+1:], reply)
		case !m.unknownWay(reply):
			return reply, nil
		}
	}
	return status{}, nil // there is a way at least
}

// besideAnother tells that a password is for a connection without the certificate that this one
// showed.
func (m *Maildrop) besideAnother(way string) bool {
	return m.options.Auth == authAuto && !m.options.demanded && m.conn.ShowedCertificate() &&
		m.options.credentials().BesideAnother(way)
}

// ShowedCertificate reports that the server asked for a client certificate, and saw ours.
func (m *Maildrop) ShowedCertificate() bool { return m.conn.ShowedCertificate() }

// LeftOut reports that the certificate was not shown, though the server asks for one: it offers
// no login by it, and who logged in is not whom it is for.
func (m *Maildrop) LeftOut() bool { return m.leftOut }

// mayBeForm tells of a refusal that it may be about the form in which the server keeps
// the password.
func (m *Maildrop) mayBeForm(reply status) bool {
	return sasl.IsScram(m.mechanism) && m.options.Auth == authAuto && (reply.code == "" || reply.code == "AUTH") &&
		!m.options.another && !unknown(reply) && sasl.Judge(reply.text) != fault.Temporary && m.mayLeaveScram()
}

// mayLeaveScram tells that nobody listens to what the other ways say of the password.
func (m *Maildrop) mayLeaveScram() bool {
	return m.conn.Secure() || m.options.Endpoint.StaysHere()
}

// withoutScram tries the first of the ways left that is no SCRAM. If the server ends the
// session over it, what was said of SCRAM counts.
func (m *Maildrop) withoutScram(ctx context.Context, ways []string, refused status) (status, error) {
	scram := m.mechanism
	i := slices.IndexFunc(ways, func(way string) bool { return !sasl.IsScram(way) })
	if i < 0 {
		return refused, nil
	}
	m.mechanism = ways[i]
	m.refusals++
	reply, err := m.try(ways[i], nil)
	if ctx.Err() != nil || fault.CodeOf(err) == fault.Protocol {
		return reply, err
	}
	if err != nil {
		m.mechanism = scram
		return refused, nil
	}
	if reply.ok {
		m.refusedWay = scram
	}
	return reply, nil
}

// RefusedWay is the mechanism, SCRAM or EXTERNAL, that the server offered and refused before
// another one was good, or "".
func (m *Maildrop) RefusedWay() string { return m.refusedWay }

// unknown tells that the server does not know the command or its mechanism.
func unknown(reply status) bool {
	return !reply.ok && reply.code == "" && containsAny(reply.text, unsupportedWords)
}

// unknownWay is unknown of a way to log in. Dovecot gives what it does not offer the code of a
// wrong password.
func (m *Maildrop) unknownWay(reply status) bool {
	if reply.code == "AUTH" && !slices.Contains(m.caps.SASL, m.mechanism) {
		reply.code = ""
	}
	return unknown(reply)
}

// ways are how to log in, in the order to try.
func (m *Maildrop) ways() ([]string, error) {
	if auth := m.options.Auth; auth != authAuto {
		return []string{strings.ToUpper(auth)}, nil
	}
	c := m.options.credentials()
	ways := c.Choose(m.caps.SASL)
	// The one try that is left is not for USER, where SASL has only SCRAM.
	last := m.options.NoScram && m.mayLeaveScram() && !(m.options.another && all(ways, sasl.IsScram))
	if c.HasPassword() && c.AuthorizeAs == "" {
		ways = append(ways, wayUser)
	}
	if last {
		ways = sasl.ScramLast(ways)
	}
	if len(ways) > 0 {
		return ways, nil
	}
	fail := fault.New(fault.Refused, "%s offers no login that suits the credentials; its "+
		"SASL mechanisms: %s", m.conn.Address(), m.shown(orNone(m.caps.SASL)))
	fail.Err = sasl.ErrNoWay
	return nil, m.conn.Break(fail.WithHint("%s", sasl.NoWayHint(c, m.offered())))
}

func all(ways []string, are func(string) bool) bool {
	return !slices.ContainsFunc(ways, func(way string) bool { return !are(way) })
}

// offered are the mechanisms of SASL, and APOP where the greeting has what it needs.
func (m *Maildrop) offered() []string {
	if sasl.IsMessageID(m.stamp()) {
		return append(slices.Clone(m.caps.SASL), sasl.APOP)
	}
	return m.caps.SASL
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

func (m *Maildrop) try(way string, before []call) (status, error) {
	switch way {
	case wayUser:
		return m.userLogin(before)
	case wayAPOP:
		return m.apopLogin(before)
	}
	return m.saslLogin(way, before)
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
	err = m.exchange(append(before, user, m.final("PASS "+m.options.Password.Reveal(), &last))...)
	return last, err
}

// final is the command whose reply is the last word on the login.
func (m *Maildrop) final(line string, last *status) call {
	return call{line: line, reply: func(reply status) error {
		*last = reply
		return nil
	}}
}

// apopLogin proves the password by a digest over the timestamp in the greeting
// (RFC 1939 §7).
func (m *Maildrop) apopLogin(before []call) (last status, err error) {
	stamp := m.stamp()
	if !sasl.IsMessageID(stamp) {
		return status{}, m.conn.Break(fault.New(fault.Refused,
			"%s greets without a proper timestamp, which APOP needs: \"%s\"", m.conn.Address(),
			m.shown(m.greeting)).WithHint("set auth: auto; this server has no APOP, or not for this port"))
	}
	digest := md5.Sum([]byte(stamp + m.options.Password.Reveal()))
	line := fmt.Sprintf("APOP %s %x", m.options.Username, digest)
	err = m.exchange(append(before, m.final(line, &last))...)
	return last, err
}

// stamp is the timestamp in the greeting, or what looks like one.
func (m *Maildrop) stamp() string {
	stamp := m.greeting[max(0, strings.IndexByte(m.greeting, '<')):]
	return stamp[:strings.IndexByte(stamp, '>')+1]
}

// saslLogin runs AUTH (RFC 5034 §4). Exchange says "Protocol error", and may end the
// connection, where the initial response stands on the command line, so it gets one on a
// line of its own, which all servers have to take. Its greeting may be an administrator's.
func (m *Maildrop) saslLogin(mechanism string, before []call) (status, error) {
	oneLine := !m.options.twoLines && !strings.Contains(m.greeting, "Microsoft Exchange")
	reply, err := m.auth(mechanism, oneLine, before)
	if err != nil || !oneLine || reply.ok || reply.code != "" ||
		!containsAny(reply.text, []string{"protocol error"}) {
		return reply, err
	}
	reply, err = m.auth(mechanism, false, nil)
	if fault.CodeOf(err) == fault.Temporary {
		return status{}, fmt.Errorf("%w: %w", errOneLine, err)
	}
	return reply, err
}

func (m *Maildrop) auth(mechanism string, oneLine bool, before []call) (last status, err error) {
	dialogue, err := m.options.credentials().Begin(mechanism)
	if err != nil {
		return status{}, err
	}
	line := "AUTH " + mechanism
	if initial, ok := dialogue.Initial(); ok && oneLine &&
		len(line)+len(" ")+len(initial)+len("\r\n") <= maxInitial {
		line += " " + initial
		dialogue.Sent()
	}
	err = m.exchange(append(before, call{line: line, challenge: true,
		reply: func(reply status) error {
			last, err = m.converse(dialogue, reply)
			return err
		}})...)
	return last, err
}

// converse answers challenges and returns the reply that ends the dialogue.
func (m *Maildrop) converse(d *sasl.Dialogue, reply status) (status, error) {
	for reply.more {
		line, ok := d.Answer(reply.text)
		if !ok {
			return m.cancel(d)
		}
		if err := m.send(line+"\r\n", 0); err != nil {
			return status{}, err
		}
		var err error
		if reply, err = readStatus(m.conn, m.shown); err != nil {
			return status{}, err
		}
	}
	m.refused = d.Refused()
	if reply.ok {
		return reply, m.accepted(d)
	}
	return reply, nil
}

// accepted refuses an OK that came before the end of the mechanism.
func (m *Maildrop) accepted(d *sasl.Dialogue) error {
	if err := d.Accepted(); err != nil {
		return m.conn.Break(fault.New(fault.CodeOf(err), "%s %w", m.conn.Address(), err).
			WithHint("%s", fault.HintOf(err)))
	}
	return nil
}

// cancel ends the dialogue as RFC 5034 §4 says: with "*", to which the server has
// to answer -ERR.
func (m *Maildrop) cancel(d *sasl.Dialogue) (status, error) {
	if err := m.send("*\r\n", 0); err != nil {
		return status{}, err
	}
	reply, err := readStatus(m.conn, m.shown)
	if err != nil {
		return status{}, err
	}
	why := d.Cancelled()
	if reply.ok || reply.more {
		return status{}, m.broken("%s went on with a login that was cancelled (%w)",
			m.conn.Address(), why)
	}
	return status{}, fault.New(why.Code, "%s: login cancelled: %w", m.conn.Address(), why).
		WithHint("%s", why.Hint)
}
