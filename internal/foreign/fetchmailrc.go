package foreign

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// itoa shortens a name that is used often.
func itoa(n int) string { return strconv.Itoa(n) }

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
	users        int // of this entry, so far
	// local is who gets the user's mail on this machine, receiver whom SMTP gets named instead.
	local, receiver string
}

// fetchmailServer is what is said of a server.
type fetchmailServer struct {
	poll, via, protocol, service, auth string
	skip                               bool
	line                               int
	bad                                *Mistake // what is wrong with it, and so with its users
	notes                              []string // what of it is not taken over
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
	r.user, r.users = nil, 0
	for !r.done() && !r.tokens[r.at].is(entries...) {
		if err := r.option(); err != nil {
			r.fail(err)
		}
	}
	if r.server.poll == "" {
		if r.base, r.common = r.server, r.user; r.common != nil {
			r.common.deliverTo(cmp.Or(r.receiver, r.local))
		}
		return nil
	}
	if r.users == 0 {
		r.begin(r.server.line) // defaults may have said all
	}
	r.finish()
	return nil
}

// fail leaves out the user whose options have a mistake; the others go on. What is said
// of a server, or in defaults, is for all of its users. Of what is left out anyway nothing
// is wrong.
func (r *fetchmailrc) fail(err error) {
	m := asMistake(r.line, err)
	switch {
	case r.server.why() != "":
	case r.users > 0 && r.server.poll != "":
		r.list.add(m)
		r.user = nil
	case r.server.bad == nil:
		r.server.bad = m
	}
	for !r.done() && !r.tokens[r.at].is("user", "username") && !r.tokens[r.at].is(entries...) {
		r.at++
	}
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
	case name.is("bouncemail", "spambounce", "softbounce", "syslog", "invisible", "showdots", "nobouncemail", "nospambounce"):
		return nil
	}
	return fmt.Errorf("an unknown setting follows set")
}

// recover goes on with the next entry.
func (r *fetchmailrc) recover() {
	for !r.done() && !r.tokens[r.at].is(entries...) {
		r.at++
	}
}

// entries are the words with which one begins.
var entries = []string{"poll", "server", "skip", "defaults", "set"}

// Options by what follows them (rcfile_l.l and rcfile_y.y of fetchmail). What is in none
// is unknown.
var (
	noise       = []string{"and", "with", "has", "wants", "options", "there", "here"}
	serverFlags = []string{"uidl", "dns", "checkalias", "tracepolls"}
	userFlags   = []string{"ssl", "keep", "fetchall", "rewrite", "stripcr", "forcecr", "pass8bits", "pass8", "dropstatus",
		"dropdelivered", "mimedecode", "mimedec", "idle", "forceidle", "flush", "limitflush", "sslcertck", "lmtp"}
	// serverWords are options of a server that are taken over, serverValues the others.
	serverWords  = []string{"via", "proto", "protocol", "port", "service", "auth", "authenticate", "preauth", "preauthenticate"}
	serverValues = []string{"timeout", "idletimeout", "interval", "envelope", "qvirtual", "interface", "monitor", "plugin",
		"plugout", "principal", "esmtpname", "esmtppassword", "bad-header", "badheader", "retrieve-error"}
	serverLists = []string{"aka", "localdomains", "local"}
	// userWords and userValues likewise.
	userWords  = []string{"pass", "password", "sslcertfile", "sslcert", "sslkey", "is", "to"}
	userValues = []string{"sslcertpath", "sslfingerprint", "sslproto", "sslcommonname", "smtpaddress", "smtpname", "mda",
		"bsmtp", "preconnect", "pre", "postconnect", "post", "limit", "warnings", "batchlimit", "fetchlimit", "fetchsizelimit",
		"fastuidl", "expunge", "properties"}
	userLists = []string{"smtphost", "smtp", "fetchdomains", "folder", "folders", "antispam"}
	// said are options that change what arrives where, so that a note is due.
	said = []string{"plugin", "preconnect", "pre", "postconnect", "post", "limit", "sslfingerprint", "interface", "principal",
		"sslcommonname", "sslcertpath", "folder", "folders"}
)

// ofUser and ofServer report whose option a word is.
func (t token) ofUser() bool {
	return t.is(userWords...) || t.is(userValues...) || t.is(userLists...) || t.plain().is(userFlags...)
}

func (t token) ofServer() bool {
	return t.is(serverWords...) || t.is(serverValues...) || t.is(serverLists...) || t.plain().is(serverFlags...) || t.is("noenvelope")
}

// plain is a flag without the "no" that is written together with it.
func (t token) plain() token {
	if off := strings.TrimPrefix(strings.ToLower(t.text), "no"); slices.Contains(userFlags, off) || slices.Contains(serverFlags, off) {
		t.text = off
	}
	return t
}

// option reads one option of a server or of a user.
func (r *fetchmailrc) option() error {
	t := r.next()
	if t.is("no") && !r.done() {
		t = r.next()
		t.text = "no" + t.text
	}
	switch {
	case t.is(noise...):
		return nil
	case t.is("user", "username"):
		return r.startUser(t.line)
	case t.ofServer() && (r.users == 0 || r.server.poll == ""):
		return r.serverOption(t)
	case t.ofUser():
		if r.user == nil {
			r.begin(t.line)
		}
		return r.userOption(t)
	case t.quoted:
		return fmt.Errorf("a value stands where an option should be")
	}
	return fmt.Errorf("there is an unknown option, or a value that must be in quotes")
}

// values passes over a list: what is no keyword, and at least one.
func (r *fetchmailrc) values(option string) error {
	_, err := r.argument(option)
	for err == nil && !r.done() && !r.tokens[r.at].known() {
		r.at++
	}
	return err
}

// localUsers reads whom mail is delivered to: of "is NAME there", who it is on the server.
// More than one means that fetchmail sorts mail by its headers.
func (r *fetchmailrc) localUsers() error {
	first, err := r.argument("is")
	count := 1
	for ; err == nil && !r.done() && !r.tokens[r.at].known(); r.at++ {
		count++
	}
	switch {
	case count == 1 && !r.done() && r.tokens[r.at].is("there"):
		r.user.set("source.username", first)
	case count > 1 || first == "*" || r.local != "":
		r.local = ""
		r.user.note("fetchmail sorts this maildrop's mail by its headers to several users; here all of it goes to one folder")
	default:
		r.local = first
	}
	return err
}

// known reports a keyword, which ends a list.
func (t token) known() bool {
	return t.is(noise...) || t.is(entries...) || t.is("no", "user", "username") || t.ofUser() || t.ofServer()
}

func (r *fetchmailrc) serverOption(t token) error {
	if t.is(said...) {
		r.server.notes = append(slices.Clip(r.server.notes), strings.ToLower(t.text))
	}
	switch {
	case t.is(serverLists...):
		return r.values(t.text)
	case t.is("noenvelope") || t.plain().is(serverFlags...):
		return nil
	}
	value, err := r.serverValue(t)
	r.server.take(strings.ToLower(t.text), value)
	return err
}

// serverValue takes the value of an option. That of envelope may have a number before it,
// of headers to pass over.
func (r *fetchmailrc) serverValue(t token) (string, error) {
	counts := t.is("envelope") && !r.done() && !r.tokens[r.at].quoted
	value, err := r.argument(t.text)
	if counts && err == nil && strings.Trim(value, "0123456789") == "" {
		return r.argument(t.text)
	}
	return value, err
}

// take takes over the value of an option, if it can be.
func (s *fetchmailServer) take(option, value string) {
	switch option {
	case "via":
		s.via = value
	case "proto", "protocol":
		s.protocol = strings.ToLower(value)
	case "port", "service":
		s.service = value
	case "auth", "authenticate", "preauth", "preauthenticate":
		s.auth = strings.ToLower(value)
	}
}

// begin starts a user with what defaults say.
func (r *fetchmailrc) begin(line int) {
	r.user, r.local, r.receiver = &Account{Line: line}, "", ""
	r.users++
	if r.common != nil && r.server.poll != "" {
		r.user.Values, r.user.Notes = slices.Clone(r.common.Values), slices.Clone(r.common.Notes)
	}
}

// startUser reads who it is on the server, or, before "here", on this machine.
func (r *fetchmailrc) startUser(line int) error {
	r.finish()
	r.begin(line)
	name, err := r.argument("user")
	names := r.at
	for names < len(r.tokens) && !r.tokens[names].known() {
		names++
	}
	if names < len(r.tokens) && r.tokens[names].is("here") {
		if names == r.at {
			r.local = name
		}
		r.at = names
		return err
	}
	r.user.set("source.username", name)
	return err
}

func (r *fetchmailrc) userOption(t token) error {
	name := strings.ToLower(t.text)
	if t.is(said...) {
		r.user.note(notTaken, name)
	}
	switch {
	case t.is("ssl"):
		r.user.set("source.tls", "implicit")
	case t.is("nossl"):
		r.user.unset("source.tls")
	case t.is("nosslcertck"):
		r.user.note(checkedHere)
	case t.is("is", "to"):
		return r.localUsers()
	case t.is(userLists...):
		return r.values(name)
	case t.is(userWords...), t.is(userValues...):
		value, err := r.argument(name)
		r.take(name, value)
		return err
	}
	return nil
}

// take takes over the value of an option, if it can be.
func (r *fetchmailrc) take(option, value string) {
	switch option {
	case "pass", "password":
		r.user.set("source.password", value)
	case "sslcertfile":
		r.user.set("source.tls_ca", value)
	case "sslcert", "sslkey":
		r.user.note(noCertificate)
	case "sslproto":
		if value != "" && r.user.Get("source.tls") == "" { // fetchmail, too, insists on STLS then
			r.user.set("source.tls", "starttls")
		}
	case "smtpname":
		r.receiver = value
	}
}

// any reports whether fetchmail finds out the protocol: it tries IMAP, and POP3 where nobody answers.
func (s fetchmailServer) any() bool { return s.protocol == "" || s.protocol == "auto" }

// why says why a server's users are left out, or "".
func (s fetchmailServer) why() string {
	switch {
	case s.skip:
		return "fetchmail did not poll this one (skip)"
	case s.any() && slices.Contains([]string{"imap", "143", "imaps", "993"}, strings.ToLower(s.service)),
		!s.any() && s.protocol != "pop3" && s.protocol != "apop":
		return "the protocol is not POP3"
	}
	return ""
}

// finish adds the user whose options were read.
func (r *fetchmailrc) finish() {
	a, s := r.user, r.server
	r.user = nil
	switch {
	case a == nil || s.poll == "":
		return
	case s.why() != "":
		r.list.skip(a.Line, s.why())
		return
	case s.bad != nil:
		r.list.bad(a.Line, "what line %d says for this user cannot be read: %s", s.bad.Line, s.bad.Text)
		return
	}
	s.complete(a)
	a.deliverTo(cmp.Or(r.receiver, r.local))
	r.list.Accounts = append(r.list.Accounts, a)
}

// deliverTo takes an address for the new mailbox. Another name may be one of this machine alone,
// and goes without saying where it is the old one.
func (a *Account) deliverTo(name string) {
	_, domain, _ := strings.Cut(name, "@")
	switch {
	case strings.Contains(domain, "."): // joe@localhost is no address
		a.set("destination.username", name)
	case name != "" && !strings.EqualFold(name, plan.LocalPart(a.Get("source.username"))):
		a.note("fetchmail gave this mail to %s: if that is the new mailbox, too, it goes into destination.username", fault.Escape(name))
	}
}

// complete gives a user what is said of the server.
func (s fetchmailServer) complete(a *Account) {
	for _, name := range s.notes {
		a.note(notTaken, name)
	}
	if s.any() {
		a.note("fetchmail was not told the protocol, and tried IMAP first: check that this host has POP3")
	}
	a.Hosts = []string{s.poll, s.via}
	a.set("source.host", cmp.Or(s.via, s.poll))
	s.port(a)
	if a.Get("source.tls") == "" {
		startTLS(a, "fetchmail")
	}
	if s.protocol == "apop" {
		a.set("source.auth", "apop")
	}
	auth(a, s.auth)
}

// port takes a number, or the name of a service (services(5)).
func (s fetchmailServer) port(a *Account) {
	switch strings.ToLower(s.service) {
	case "", "pop3", "110":
	case "pop3s", "995":
		a.set("source.tls", "implicit")
	default:
		a.set("source.port", s.service)
	}
}

// startTLS is for programs that go on in clear text where a server has no STLS.
func startTLS(a *Account, program string) {
	a.set("source.tls", "starttls")
	a.note("%s may have sent this password in clear text; popferry wants STLS", program)
}

// auth maps the words that programs have for ways to sign in; others mean auto.
func auth(a *Account, word string) {
	words := map[string]string{"cram-md5": "cram-md5", "cram": "cram-md5", "apop": "apop", "plain": "plain", "external": "external",
		"scram-sha-1": "scram-sha-1", "scram-sha-256": "scram-sha-256", "oauthbearer": "oauthbearer", "xoauth2": "xoauth2"}
	quiet := []string{"", "any", "password", "on", "user", "login", "ssh", "implicit"} // nothing that auto would not do
	switch known := words[strings.ToLower(word)]; {
	case a.Get("source.auth") != "":
	case known != "":
		a.set("source.auth", known)
	case !slices.Contains(quiet, strings.ToLower(word)):
		a.note(notTaken, "auth "+word)
	}
}
