package imapd

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// capabilities returns what the session offers at this moment.
func (s *session) capabilities() string {
	o := &s.options
	list := []string{"IMAP4rev1", "ID", "ENABLE"}
	add := func(name string, offered bool) {
		if offered {
			list = append(list, name)
		}
	}
	add("LITERAL+", o.Literals == LiteralPlus)
	add("LITERAL-", o.Literals == LiteralMinus)
	if s.store == nil {
		locked := s.needsTLS()
		add("STARTTLS", locked)
		add("LOGINDISABLED", locked)
		add("AUTH="+o.mechanism(), !locked)
		add("SASL-IR", !o.NoSASLIR)
	} else {
		add("UNSELECT", true)
		add("NAMESPACE", !o.NoNamespace)
		add("UIDPLUS", !o.NoUIDPlus)
		add("MULTIAPPEND", !o.NoMultiAppend)
		add("SPECIAL-USE", o.SpecialUse != nil)
		add("QUOTA", o.Quota > 0)
		add(fmt.Sprintf("APPENDLIMIT=%d", o.AppendLimit), o.AppendLimit > 0)
	}
	add(fmt.Sprintf("MESSAGELIMIT=%d", o.MessageLimit), o.MessageLimit > 0)
	list = append(list, o.Capabilities...)
	list = slices.DeleteFunc(list, func(name string) bool { return hasFlag(o.Hide, name) })
	return strings.Join(list, " ")
}

// needsTLS tells whether the session has to become safe before a login.
func (s *session) needsTLS() bool { return s.options.Mode == StartTLS && !s.isSecure() }

func (s *session) capability(*command, []arg) (string, error) {
	s.untagged("CAPABILITY %s", s.capabilities())
	return "OK CAPABILITY completed", nil
}

func (s *session) id(*command, []arg) (string, error) {
	s.untagged(`ID ("name" "imapd")`)
	return "OK ID completed", nil
}

func (s *session) logout(c *command, _ []arg) (string, error) {
	s.untagged("BYE logging out")
	c.after = func() { s.end(FIN, true) }
	return "OK LOGOUT completed", nil
}

// startTLS answers, then changes to TLS (RFC 3501 §6.2.1).
func (s *session) startTLS(c *command, _ []arg) (string, error) {
	if !s.needsTLS() {
		return "BAD STARTTLS is not offered", nil
	}
	if s.r.Buffered() > 0 {
		s.server.violation("commands behind STARTTLS in clear text")
	}
	c.after = func() {
		s.flush()
		if s.secure() != nil {
			s.end(FIN, false)
		}
	}
	return "OK begin TLS negotiation now", nil
}

func (s *session) login(c *command, args []arg) (string, error) {
	if len(args) != 2 || !args[0].isString() || !args[1].isString() {
		return "", errSyntax
	}
	return s.enter(args[0].text, s.options.right(args[0].text, args[1].text), args[0].text), nil
}

// mechanism is the one that is offered.
func (o *Options) mechanism() string {
	if o.Token != nil {
		return "XOAUTH2"
	}
	return "PLAIN"
}

// authenticate does SASL PLAIN (RFC 4616) or XOAUTH2, with an initial response where that is
// offered.
func (s *session) authenticate(c *command, args []arg) (string, error) {
	if len(args) == 0 || !args[0].isString() {
		return "", errSyntax
	}
	if !strings.EqualFold(args[0].text, s.options.mechanism()) {
		return "NO mechanism is not offered", nil
	}
	response := ""
	switch {
	case len(args) == 1:
		s.out.WriteString("+ \r\n")
		line, err := s.readLine()
		if err != nil {
			return "", err
		}
		response = line
	case s.options.NoSASLIR:
		s.server.violation("AUTHENTICATE with an initial response, without SASL-IR")
		return "", errSyntax
	default:
		response = args[1].text
	}
	if response == "*" {
		return "BAD authentication cancelled", nil
	}
	data, err := base64.StdEncoding.DecodeString(response)
	if s.options.Token != nil {
		return s.bearer(string(data)), nil
	}
	parts := strings.Split(string(data), "\x00")
	if err != nil || len(parts) != 3 {
		return "BAD malformed response", nil
	}
	return s.enter(parts[1], s.options.right(parts[1], parts[2]), cmp.Or(parts[0], parts[1])), nil
}

// bearer checks "user=…^Aauth=Bearer …^A^A".
func (s *session) bearer(response string) string {
	user, rest, ok := strings.Cut(strings.TrimPrefix(response, "user="), "\x01auth=Bearer ")
	token, ends := strings.CutSuffix(rest, "\x01\x01")
	if !ok || !ends {
		return "BAD malformed response"
	}
	return s.enter(user, s.options.Token(user, token), user)
}

// right checks a password.
func (o *Options) right(user, password string) bool {
	return o.Token == nil && (o.Username == "" || user == o.Username && password == o.Password)
}

// enter opens the mailboxes of whoever the user wants to be, if what the user showed was
// right: anybody may be everybody.
func (s *session) enter(user string, right bool, as string) string {
	o := &s.options
	if !s.isSecure() {
		s.server.count(func(n *Counters) { n.ClearLogins++ })
	}
	if s.needsTLS() {
		s.server.violation("a login before STARTTLS, though LOGINDISABLED was announced")
		return "NO [PRIVACYREQUIRED] start TLS first"
	}
	if !right {
		s.server.count(func(n *Counters) { n.Refused++ })
		return "NO [AUTHENTICATIONFAILED] wrong user name or password"
	}
	s.server.count(func(n *Counters) { n.Logins++ })
	s.user, s.store = as, s.server.User(as)
	if o.NoGreetingCapability {
		return "OK logged in"
	}
	return "OK [CAPABILITY " + s.capabilities() + "] logged in"
}

// enable knows no extension that needs it (RFC 5161 §3.1).
func (s *session) enable(*command, []arg) (string, error) {
	s.untagged("ENABLED")
	return "OK ENABLE completed", nil
}
