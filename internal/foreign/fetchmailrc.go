package foreign

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// itoa shortens a name that is used often.
func itoa(n int) string { return strconv.Itoa(n) }

// token is a word of a fetchmailrc.
type token struct {
	text   string
	quoted bool // then it is no keyword
	line   int
}

// is reports whether a token is one of the keywords.
func (t token) is(words ...string) bool {
	return !t.quoted && slices.Contains(words, strings.ToLower(t.text))
}

// readFetchmailrc reads the run control file of fetchmail: entries that begin with poll
// or skip, in each options of the server and then users with theirs (fetchmail(1), THE
// RUN CONTROL FILE).
func (l *List) readFetchmailrc(data []byte) error {
	tokens, err := tokenize(string(data))
	if err != nil {
		return err
	}
	r := &fetchmailrc{list: l, tokens: tokens}
	for !r.done() {
		if err := r.entry(); err != nil {
			l.add(asMistake(r.line, err))
			r.recover()
		}
	}
	return nil
}

type fetchmailrc struct {
	list   *List
	tokens []token
	at     int
	line   int // of the token taken last
	// server has what the entry says before its first user, base what defaults say.
	server, base fetchmailServer
	// user is the one whose options are read, common what defaults say for all.
	user, common *Account
}

// fetchmailServer is what is said of a server.
type fetchmailServer struct {
	poll, via, protocol, service, auth string
	skip                               bool
	line                               int
}

func (r *fetchmailrc) done() bool { return r.at >= len(r.tokens) }

func (r *fetchmailrc) next() token {
	t := r.tokens[r.at]
	r.at++
	r.line = t.line
	return t
}

// argument takes the value of an option.
func (r *fetchmailrc) argument(option string) (string, error) {
	if r.done() {
		return "", fmt.Errorf("%s has no value", option)
	}
	return r.next().text, nil
}

// entry reads what begins with poll, skip, defaults or set.
func (r *fetchmailrc) entry() error {
	t := r.next()
	switch {
	case t.is("set"):
		return r.global()
	case t.is("defaults"):
		r.server = fetchmailServer{line: t.line}
	case t.is("poll", "server", "skip"):
		name, err := r.argument("poll")
		if err != nil {
			return err
		}
		r.server = r.base
		r.server.poll, r.server.skip, r.server.line = name, t.is("skip"), t.line
	default:
		return fmt.Errorf("here should be poll, skip, defaults or set")
	}
	r.user = nil
	for !r.done() && !r.tokens[r.at].is("poll", "server", "skip", "defaults", "set") {
		if err := r.option(); err != nil {
			return err
		}
	}
	if r.server.poll == "" {
		r.base, r.common = r.server, r.user
	}
	return r.finish()
}

// global passes over a setting of the whole program.
func (r *fetchmailrc) global() error {
	if r.done() {
		return fmt.Errorf("nothing follows set")
	}
	name := r.next()
	if name.is("no") {
		_, err := r.argument("set no")
		return err
	}
	switch {
	case name.is("daemon", "postmaster", "logfile", "pidfile", "idfile", "properties"):
		_, err := r.argument(name.text)
		return err
	case name.is("bouncemail", "spambounce", "softbounce", "syslog", "invisible", "showdots"):
		return nil
	}
	return fmt.Errorf("an unknown setting follows set")
}

// recover goes on with the next entry.
func (r *fetchmailrc) recover() {
	for !r.done() && !r.tokens[r.at].is("poll", "server", "skip", "defaults", "set") {
		r.at++
	}
}

// Options by what follows them. What is in none is unknown.
var (
	noise = []string{"and", "with", "has", "wants", "options", "there", "here"}
	flags = []string{"uidl", "dns", "checkalias", "tracepolls", "fetchall", "rewrite", "stripcr", "forcecr",
		"pass8bits", "dropstatus", "dropdelivered", "mimedecode", "idle", "flush", "limitflush", "sslcertck", "envelope"}
	oneValue = []string{"timeout", "interval", "envelope", "qvirtual", "interface", "monitor", "plugin", "plugout",
		"principal", "esmtpname", "esmtppassword", "bad-header", "badheader", "sslcertpath", "sslfingerprint", "sslproto",
		"sslcommonname", "smtpaddress", "smtpname", "antispam", "mda", "bsmtp", "lmtp", "preconnect", "postconnect",
		"limit", "warnings", "batchlimit", "fetchlimit", "fetchsizelimit", "fastuidl", "expunge", "properties", "retrieve-error"}
	listValue = []string{"aka", "localdomains", "local", "is", "to", "smtphost", "smtp", "fetchdomains", "folder"}
	// said are options that change what arrives where, so that a note is due.
	said = []string{"plugin", "preconnect", "limit", "sslfingerprint", "interface"}
)

// option reads one option of a server or of a user.
func (r *fetchmailrc) option() error {
	t := r.next()
	switch {
	case t.is(noise...):
		return nil
	case t.is("no") && !r.done():
		return r.negated()
	case t.is("user", "username"):
		return r.startUser(t.line)
	case r.user == nil && (t.is(serverOptions...)):
		return r.serverOption(t)
	case (r.user != nil || r.server.poll == "") && t.is("pass", "password", "ssl", "sslcertfile", "sslcert", "sslkey", "keep"):
		return r.userOption(t)
	}
	return r.other(t)
}

func (r *fetchmailrc) negated() error {
	t := r.next()
	if t.is("ssl") && r.user != nil {
		r.user.unset("source.tls")
	}
	if t.is(flags...) || t.is("ssl", "keep") {
		return nil
	}
	return fmt.Errorf("an unknown option follows no")
}

// other passes over what popferry does in its own way, or not at all.
func (r *fetchmailrc) other(t token) error {
	name := strings.ToLower(t.text)
	if t.is(said...) && r.user != nil {
		r.user.note("%s is not taken over", name)
	}
	switch {
	case t.is("nokeep"), t.is(flags...) && name != "envelope":
		return nil
	case t.is(oneValue...):
		_, err := r.argument(name)
		return err
	case t.is(listValue...):
		if r.user != nil && (name == "is" || name == "to") {
			r.localUsers()
			return nil
		}
		return r.values(name)
	case t.quoted:
		return fmt.Errorf("a value stands where an option should be")
	}
	return fmt.Errorf("there is an unknown option, or a value that must be in quotes")
}

// values passes over a list: what is no keyword, and at least one.
func (r *fetchmailrc) values(option string) error {
	_, err := r.argument(option)
	for err == nil && !r.done() && !r.known(r.tokens[r.at]) {
		r.at++
	}
	return err
}

// localUsers reads whom mail is delivered to. More than one means that fetchmail sorts
// it by its headers.
func (r *fetchmailrc) localUsers() {
	count := 0
	for !r.done() && (count == 0 || !r.known(r.tokens[r.at])) {
		r.at++
		count++
	}
	if count > 1 {
		r.user.note("fetchmail sorts this maildrop's mail by its headers to several users; here all of it goes to one folder")
	}
}

var serverOptions = []string{"via", "proto", "protocol", "port", "service", "auth", "authenticate"}

func (r *fetchmailrc) known(t token) bool {
	for _, words := range [][]string{noise, flags, oneValue, listValue, serverOptions,
		{"no", "user", "username", "pass", "password", "ssl", "sslcertfile", "sslcert", "sslkey", "keep", "nokeep",
			"poll", "server", "skip", "defaults", "set"}} {
		if t.is(words...) {
			return true
		}
	}
	return false
}

func (r *fetchmailrc) serverOption(t token) error {
	value, err := r.argument(t.text)
	switch {
	case t.is("via"):
		r.server.via = value
	case t.is("proto", "protocol"):
		r.server.protocol = strings.ToLower(value)
	case t.is("port", "service"):
		r.server.service = value
	default:
		r.server.auth = strings.ToLower(value)
	}
	return err
}

func (r *fetchmailrc) startUser(line int) error {
	if err := r.finish(); err != nil {
		return err
	}
	name, err := r.argument("user")
	r.user = &Account{Line: line}
	if r.common != nil {
		r.user.Values, r.user.Notes = slices.Clone(r.common.Values), slices.Clone(r.common.Notes)
	}
	r.user.set("source.username", name)
	return err
}

func (r *fetchmailrc) userOption(t token) error {
	if r.user == nil {
		r.user = &Account{} // of defaults
	}
	if t.is("ssl") {
		r.user.set("source.tls", "implicit")
		return nil
	}
	if t.is("keep") {
		return nil
	}
	value, err := r.argument(t.text)
	switch {
	case t.is("sslcertfile"):
		r.user.set("source.tls_ca", value)
	case t.is("sslcert", "sslkey"):
		r.user.note("the client certificate is not taken over; see tls_cert")
	default:
		r.user.set("source.password", value)
	}
	return err
}

// finish adds the user whose options were read.
func (r *fetchmailrc) finish() error {
	a, s := r.user, r.server
	r.user = nil
	switch {
	case a == nil || s.poll == "":
		return nil
	case s.skip:
		r.list.skip(a.Line, "fetchmail did not poll this one (skip)")
		return nil
	case s.protocol != "" && s.protocol != "pop3" && s.protocol != "apop" && s.protocol != "auto":
		r.list.skip(a.Line, "the protocol is not POP3")
		return nil
	}
	a.Hosts = []string{s.poll, s.via}
	a.set("source.host", s.poll)
	if s.via != "" {
		a.Values[len(a.Values)-1].Text = s.via
	}
	r.port(a, s.service)
	if a.Get("source.tls") == "" {
		startTLS(a, "fetchmail")
	}
	if s.protocol == "apop" {
		a.set("source.auth", "apop")
	}
	auth(a, s.auth)
	r.list.Accounts = append(r.list.Accounts, a)
	return nil
}

// port takes a number, or the name of a service (services(5)).
func (r *fetchmailrc) port(a *Account, service string) {
	switch strings.ToLower(service) {
	case "", "pop3", "110":
	case "pop3s", "995":
		a.set("source.tls", "implicit")
	default:
		a.set("source.port", service)
	}
}

// startTLS is for programs that go on in clear text where a server has no STLS.
func startTLS(a *Account, program string) {
	a.set("source.tls", "starttls")
	a.note("%s may have sent this password in clear text; popferry wants STLS", program)
}

// auth maps the words that programs have for ways to sign in; others mean auto.
func auth(a *Account, word string) {
	words := map[string]string{"cram-md5": "cram-md5", "apop": "apop", "plain": "plain", "external": "external",
		"scram-sha-1": "scram-sha-1", "scram-sha-256": "scram-sha-256", "oauthbearer": "oauthbearer", "xoauth2": "xoauth2"}
	if known := words[strings.ToLower(word)]; known != "" && a.Get("source.auth") == "" {
		a.set("source.auth", known)
	}
}

// tokenize splits a fetchmailrc into words (fetchmail(1), Run Control Syntax).
func tokenize(text string) ([]token, error) {
	var tokens []token
	line := 1
	for at := 0; at < len(text); {
		switch c := text[at]; {
		case c == '\n':
			line++
			at++
		case strings.IndexByte(" \t\r,:;=", c) >= 0:
			at++
		case c == '#':
			at += lengthUntil(text[at:], "\n")
		case c == '"' || c == '\'':
			length := lengthUntil(text[at+1:], string(c))
			if at+1+length == len(text) {
				return nil, &Mistake{Line: line, Text: "a quote opens here and is not closed"}
			}
			inner := text[at+1 : at+1+length]
			tokens = append(tokens, token{unescape(inner), true, line})
			line += strings.Count(inner, "\n")
			at += length + 2
		default:
			length := lengthUntil(text[at:], " \t\r\n,:;=")
			tokens = append(tokens, token{unescape(text[at : at+length]), false, line})
			at += length
		}
		if n := len(tokens); n > 0 && len(tokens[n-1].text) > maxWord {
			return nil, &Mistake{Line: line, Text: fmt.Sprintf("a value is longer than %d bytes", maxWord)}
		}
	}
	return tokens, nil
}

func lengthUntil(text, set string) int {
	if at := strings.IndexAny(text, set); at >= 0 {
		return at
	}
	return len(text)
}

// unescape undoes fetchmail's escapes: \n \t \b \r, a decimal number, an octal one with
// a leading 0, or a hexadecimal one; a line end behind a backslash goes away.
func unescape(text string) string {
	var b strings.Builder
	for text != "" {
		before, rest, found := strings.Cut(text, `\`)
		b.WriteString(before)
		if text = rest; !found || text == "" {
			continue
		}
		plain := strings.IndexByte("ntbr\n", text[0])
		if plain >= 0 {
			b.WriteString([]string{"\n", "\t", "\b", "\r", ""}[plain])
			text = text[1:]
			continue
		}
		length, base := digits(text)
		if value, err := strconv.ParseUint(strings.TrimPrefix(text[:length], "x"), base, 8); length > 0 && err == nil {
			b.WriteByte(byte(value))
			text = text[length:]
			continue
		}
		b.WriteByte(text[0])
		text = text[1:]
	}
	return b.String()
}

// digits measures the number that text starts with.
func digits(text string) (length, base int) {
	switch {
	case text[0] == 'x':
		return 1 + run(text[1:min(len(text), 3)], "0123456789abcdefABCDEF"), 16
	case text[0] == '0':
		return run(text[:min(len(text), 4)], "01234567"), 8
	}
	return run(text[:min(len(text), 3)], "0123456789"), 10
}

func run(text, set string) int { return len(text) - len(strings.TrimLeft(text, set)) }
