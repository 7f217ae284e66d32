package check

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/provider"
	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// manyUsers is how many accounts behind one login are worth a warning: two may be
// two maildrops of one person.
const manyUsers = 3

// judgeSides looks for what is not safe about the connections.
func (a *Account) judgeSides(configured plan.Account, now time.Time) {
	for _, side := range a.sides(configured) {
		a.judgeConnection(side.Side, side.Endpoint, now)
		a.judgeUser(side.Side, "username", side.Endpoint.Username)
		a.judgeUser(side.Side, "authorize_as", side.Endpoint.AuthorizeAs)
		a.judgePassword(side.Side, side.Endpoint)
	}
	a.judgeWritten(configured.Source, configured.Destination)
}

// configuredSide is a side as it is, and as it is to be.
type configuredSide struct {
	Side
	plan.Endpoint
}

func (a *Account) sides(configured plan.Account) []configuredSide {
	return []configuredSide{{a.Source.Side, configured.Source}, {a.Destination.Side, configured.Destination}}
}

func (s configuredSide) byCertificate() bool {
	return s.ByCertificate() || s.Side.Auth == sasl.External
}

// judgeUser warns of what nobody sees at the ends of a name, or in it, as spreadsheets and web pages
// leave it there.
func (a *Account) judgeUser(s Side, key, name string) {
	switch {
	case padded(name):
		a.warn("blank-in-username", "%s of the %s begins or ends with a blank: \"%s\"", key, s.Server, fault.Escape(name))
	case strings.ContainsFunc(name, isStray):
		a.warn("blank-in-username", "%s of the %s has a character in it that %s: \"%s\"", key, s.Server, stray, fault.Escape(name))
	}
}

// judgePassword warns of the same in a password that was refused: others are meant so.
func (a *Account) judgePassword(s Side, e plan.Endpoint) {
	switch {
	case s.Problem == nil || s.Problem.Code != fault.Credentials:
	case e.Secret.Fits(padded):
		a.warn("blank-in-password", "the password for the %s begins or ends with a blank", s.Server)
	case e.Secret.Fits(func(text string) bool { return strings.ContainsFunc(text, isStray) }):
		a.warn("blank-in-password", "the password for the %s has a character in it that %s", s.Server, stray)
	}
}

const stray = "nobody sees, or that a spreadsheet put in the place of another"

func padded(text string) bool { return strings.TrimFunc(text, isUnseen) != text }

// isStray knows what nobody types into a name or a password: what is not seen, and the quotes,
// dashes and dots that programs make of those that were typed.
func isStray(r rune) bool {
	return r != ' ' && isUnseen(r) || strings.ContainsRune("‘’‚“”„–—…", r)
}

// isUnseen also knows the non-breaking blank and marks without a width.
func isUnseen(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// judgeWritten looks for secrets that stand in accounts.yaml itself, and tells of each
// kind once.
func (a *Account) judgeWritten(sides ...plan.Endpoint) {
	told := map[string]bool{}
	for _, e := range sides {
		for _, s := range secretsOf(e) {
			if s.where.Written() && !told[s.what] {
				told[s.what] = true
				a.warn("password-in-file", "%s stands %s", s.what, s.where)
			}
		}
	}
}

// written is a secret, and where it is.
type written struct {
	what  string
	where plan.Password
}

func secretsOf(e plan.Endpoint) []written {
	list := []written{{"the password", e.Password}, {"the proxy_password", e.ProxyPassword}}
	if e.OAuth != nil {
		list = append(list, written{"the client_secret of oauth", e.OAuth.ClientSecret})
	}
	return list
}

func (a *Account) judgeConnection(s Side, e plan.Endpoint, now time.Time) {
	switch {
	case e.TLS == wire.None && !e.StaysHere() && provesOnly(s.Auth):
		a.warn("mail-in-clear", "mail crosses the network to the %s in clear text", s.Server)
	case e.TLS == wire.None && !e.StaysHere():
		a.warn("password-in-clear", "the password for the %s crosses the network in clear text", s.Server)
	case e.TLS != wire.None && e.AllowPlaintext:
		a.warn("plaintext-allowed", "allow_plaintext: true is set for the %s and not needed", s.Server)
	}
	a.judgeOwn(s, e, now)
	if s.TLS == nil {
		return
	}
	if days := s.TLS.Certificate.Days; days < soon {
		name, what := "certificate-expiring", "the certificate of the"
		if e.Pin != "" { // with which the date itself is not looked at
			name, what = "pin-expiring", "the pinned certificate of the"
		}
		a.warn(name, "%s %s %s", what, s.Server, ends(days))
	}
	if weak(s.TLS) {
		a.warn("weak-tls", "the %s agreed on %s with %s", s.Server, s.TLS.Version, s.TLS.Cipher)
	}
}

// judgeOwn looks at the certificate that we have for a server.
func (a *Account) judgeOwn(s Side, e plan.Endpoint, now time.Time) {
	if e.Certificate != nil && e.Certificate.Leaf != nil {
		if days := daysLeft(e.Certificate.Leaf.NotAfter, now); days < soon {
			a.warn("own-certificate-expiring", "the certificate in %s %s", fault.Escape(e.CertFile), ends(days))
		}
	}
	if s.showed && s.Auth != sasl.External && !strings.EqualFold(sasl.Holder(e.Certificate), e.Username) {
		a.warn("certificate-beside", "the %s saw the certificate in %s beside the password, and it is not made out to \"%s\"",
			s.Server, fault.Escape(e.CertFile), fault.Escape(e.Username))
	}
	if s.leftOut {
		a.note("the %s asks for a certificate, and offers no login by it: that in %s is not made out to \"%s\", and is not shown "+
			"with the password", s.Server, fault.Escape(e.CertFile), fault.Escape(e.Username))
	}
}

// provesOnly reports a way to log in that does not show the password.
func provesOnly(mechanism string) bool {
	return mechanism == "APOP" || mechanism == "CRAM-MD5" || strings.HasPrefix(mechanism, "SCRAM-")
}

func ends(days int) string {
	switch {
	case days < 0:
		return "has expired"
	case days == 0:
		return "expires within a day"
	}
	return "expires in " + plural(days, "day")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// weak reports TLS 1.2 with a cipher that does not authenticate what it encrypts
// (RFC 9325 §4.2).
func weak(t *TLS) bool {
	return t.Version == tls.VersionName(tls.VersionTLS12) && !strings.Contains(t.Cipher, "_GCM_") &&
		!strings.Contains(t.Cipher, "_POLY1305")
}

// lint looks for what is not safe in accounts.yaml as a whole. all are the accounts
// of the file, found those that were checked.
func lint(all []plan.Account, found []Account, now time.Time) {
	l := linter{passwords: map[[sha256.Size]byte]people{}, users: map[mailbox]map[mailbox]bool{},
		certificates: map[shown]map[mailbox]bool{}, byName: map[string]plan.Account{}, drops: map[mailbox][]string{}, authorities: map[string]string{}, now: now}
	for _, a := range all {
		l.take(a)
	}
	for i := range found {
		l.takeShown(&found[i])
	}
	for i := range found {
		l.judge(&found[i])
	}
}

type linter struct {
	passwords    map[[sha256.Size]byte]people // who uses it
	users        map[mailbox]map[mailbox]bool // by login: whose mail it opens
	certificates map[shown]map[mailbox]bool   // the same, by certificate
	byName       map[string]plan.Account
	drops        map[mailbox][]string // accounts, by maildrop
	authorities  map[string]string    // warnings about CA files
	now          time.Time
}

// shown is a certificate that a server is shown.
type shown struct {
	server string
	mark   [sha256.Size]byte
}

func shownOf(e plan.Endpoint) shown { return shown{strings.ToLower(e.Host), e.CertificateMark()} }

// mailbox is a user on a server.
type mailbox struct{ server, user string }

func mailboxOf(e plan.Endpoint) mailbox {
	return mailbox{strings.ToLower(e.Host), strings.ToLower(e.Mailbox())}
}

// loginOf is who logs in, maybe for others.
func loginOf(e plan.Endpoint) mailbox {
	return mailbox{strings.ToLower(e.Host), strings.ToLower(loginName(e))}
}

func loginName(e plan.Endpoint) string {
	if _, login, ok := e.Master(); ok {
		return login
	}
	return e.Username
}

// people are those that log in with one password: each login leads to another one of the
// same person, or to itself.
type people map[mailbox]mailbox

func (p people) add(m mailbox) {
	if _, known := p[m]; !known {
		p[m] = m
	}
}

func (p people) first(m mailbox) mailbox {
	for p[m] != m {
		m = p[m]
	}
	return m
}

// names are a name for each person, with the server where another has the same.
func (p people) names() (list []string) {
	count := map[string]int{}
	for m := range p {
		if p.first(m) == m {
			count[m.user]++
		}
	}
	for m := range p {
		switch {
		case p.first(m) != m:
		case count[m.user] > 1:
			list = append(list, m.user+" on "+m.server)
		default:
			list = append(list, m.user)
		}
	}
	slices.Sort(list)
	return list
}

// dropOf is whose maildrop it is, also where the user name has an administrator's in it.
func dropOf(a plan.Account) mailbox {
	server := strings.ToLower(a.Source.Host)
	if a.Source.Loopback() { // of servers behind tunnels the port is the name
		server = a.Source.Address()
	}
	return mailbox{server, strings.ToLower(a.Source.Owner())}
}

func (l *linter) take(a plan.Account) {
	l.byName[a.Name] = a
	l.drops[dropOf(a)] = append(l.drops[dropOf(a)], fault.Escape(a.Name))
	for _, e := range []plan.Endpoint{a.Source, a.Destination} {
		if e.Secret.Empty() {
			continue // of an account that was not asked for
		}
		mark := e.Secret.Mark()
		if l.passwords[mark] == nil {
			l.passwords[mark] = people{}
		}
		l.passwords[mark].add(loginOf(e))
	}
	l.join(a)
	for _, e := range []plan.Endpoint{a.Source, a.Destination} {
		if l.users[loginOf(e)] == nil {
			l.users[loginOf(e)] = map[mailbox]bool{}
		}
		l.users[loginOf(e)][mailboxOf(a.Source)] = true
	}
}

// takeShown notes whose mail was opened by a certificate, or is to be by nothing else.
func (l *linter) takeShown(found *Account) {
	a := l.byName[found.Name]
	for _, side := range found.sides(a) {
		if side.byCertificate() {
			key := shownOf(side.Endpoint)
			if l.certificates[key] == nil {
				l.certificates[key] = map[mailbox]bool{}
			}
			l.certificates[key][mailboxOf(a.Source)] = true
		}
	}
}

// join makes one person of the two sides of an account, which are told of in a way of
// their own. Two names are two persons.
func (l *linter) join(a plan.Account) {
	mark, from, to := a.Source.Secret.Mark(), loginOf(a.Source), loginOf(a.Destination)
	if a.Source.Secret.Empty() || mark != a.Destination.Secret.Mark() || plan.LocalPart(from.user) != plan.LocalPart(to.user) {
		return
	}
	p := l.passwords[mark]
	p[p.first(to)] = p.first(from)
}

func (l *linter) judge(found *Account) {
	a := l.byName[found.Name]
	if provider.SameMailbox(a) {
		found.warn("one-mailbox", "source and destination look like the same mailbox: that of %s", fault.Escape(a.Source.Owner()))
	}
	if others := l.drops[dropOf(a)]; len(others) > 1 {
		found.warn("same-source", "several accounts seem to have one maildrop, that of %s: %s",
			fault.Escape(a.Source.Owner()), someOf(others))
	}
	users := l.passwords[a.Source.Secret.Mark()].names()
	if others := l.passwords[a.Destination.Secret.Mark()].names(); len(others) > len(users) {
		users = others
	}
	switch {
	case len(users) > 1:
		found.warn("password-reused", "one password opens the mail of %d users: %s", len(users), someOf(users))
	case a.Source.Secret.Mark() == a.Destination.Secret.Mark() && !a.Source.Secret.Empty():
		found.warn("password-reused", "both sides have the same password")
	}
	for _, side := range found.sides(a) {
		e := side.Endpoint
		if n := len(l.users[loginOf(e)]); n >= manyUsers {
			found.warn("shared-login", "the mail of %d users is behind one login, %s on %s", n,
				fault.Escape(loginName(e)), e.Host)
		} else if n := len(l.certificates[shownOf(e)]); n >= manyUsers && side.byCertificate() {
			found.warn("shared-login", "the mail of %d users is behind one certificate, that in %s, on %s", n,
				fault.Escape(e.CertFile), e.Host)
		}
		if text := l.authority(e.CAFile); text != "" {
			found.warn("ca-expiring", "%s", text)
		}
	}
}

// lintLimits looks for limits of hosts that no account has, which bound nothing.
func lintLimits(c *plan.Config) []Finding {
	left := maps.Clone(c.Limits.Hosts)
	for _, a := range c.Accounts {
		delete(left, a.Source.Host)
		delete(left, a.Destination.Host)
	}
	if len(left) == 0 {
		return nil
	}
	return []Finding{finding("unused-limits", "limits.hosts has %s, and no account does",
		someOf(slices.Sorted(maps.Keys(left))))}
}

// someOf names the first of many, so that two lists are told from one another.
func someOf(users []string) string {
	const shown = 3
	text := strings.Join(users[:min(len(users), shown)], ", ")
	if rest := len(users) - shown; rest > 0 {
		text += fmt.Sprintf(" and %d more", rest)
	}
	return fault.Escape(text)
}

// authority looks at the certificates in a tls_ca file, each file once.
func (l *linter) authority(path string) string {
	if path == "" {
		return ""
	}
	text, known := l.authorities[path]
	if !known {
		text = expiring(path, l.now)
		l.authorities[path] = text
	}
	return text
}

// expiring warns if the last of the certificates in a file ends soon. What can't be
// read is an error of the connection.
func expiring(path string, now time.Time) string {
	rest, err := os.ReadFile(path)
	last := -1
	for err == nil {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			last = max(last, daysLeft(cert.NotAfter, now))
		}
	}
	if last < 0 || last >= caSoon {
		return ""
	}
	return fmt.Sprintf("the authority in %s %s", fault.Escape(path), ends(last))
}
