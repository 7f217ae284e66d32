package check

import (
	"fmt"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/provider"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// ask lays what is known of the provider over what is true of all: it has words and
// pages of its own.
func (p *Problem) ask(e plan.Endpoint, err error) {
	known, ok := providerOf(e)
	if !ok || p.isHere() {
		return
	}
	cause, explained := known.Diagnose(wordsFor(e, err), showsToken(e))
	switch {
	case explained && p.bySpeech():
		p.Cause, p.Check, p.Page = cause.Cause, cause.Check, cause.Page
	case p.Topic == "switched-off" && known.SwitchOn != nil:
		p.Check, p.Page = "switch it on: "+known.SwitchOn.Where, known.SwitchOn.Page
	case p.Topic == "app-password", p.Topic == "login-refused", p.Topic == "login-disabled":
		p.askUser(known, e)
		p.askAccess(known)
		p.askSwitch(known, e)
	case p.Topic == "token-refused":
		p.askSwitch(known, e)
		p.askBusy(known, e)
	case p.unreached():
		p.askServer(known, e)
	}
	if p.Page == "" {
		p.Page = known.Help
	}
}

// providerOf is who runs a server: of one on this machine, such as Proton Mail Bridge, who gave
// its user the address.
func providerOf(e plan.Endpoint) (provider.Provider, bool) {
	if known, ok := provider.ByHost(e.Host); ok || !e.Loopback() {
		return known, ok
	}
	_, domain, _ := strings.Cut(e.Owner(), "@")
	known, ok := provider.ByDomain(domain)
	return known, ok && known.IMAP != nil && wire.Endpoint{Host: known.IMAP.Host}.Loopback()
}

// isHere reports a problem with what is kept on this machine, of which no provider knows.
func (p *Problem) isHere() bool { return p.Topic == "open-to-others" || p.Topic == "token-unreadable" }

// askToken says what lets a token in, which depends on how it is come by.
func (p *Problem) askToken(e plan.Endpoint) {
	if p.Topic != "token-refused" || e.OAuth == nil {
		return
	}
	switch e.OAuth.Flow {
	case plan.ClientCredentials:
		p.Check = "compare username with the mailbox, client_id and tenant with the application; it needs an " +
			"administrator's consent to " + strings.TrimSuffix(string(e.Protocol), "3") + ".AccessAsApp, and at Microsoft " +
			"New-ServicePrincipal and, for each mailbox, Add-MailboxPermission"
	case plan.ServiceAccount:
		p.Check = "compare username with the mailbox, and see that the domain-wide delegation of the service account " +
			"has the scope " + strings.Join(e.OAuth.Scopes, " ")
	default:
		p.Check = "compare username with who signed in; if it is another, or scopes changed: popferry login with " +
			"the name of the account"
	}
	p.Check += fmt.Sprintf("; then see that %s is on for this mailbox", e.Protocol)
}

// askRoom says what helps where a full mailbox lets nobody in: no run brings what fits then. To
// the old one nothing is brought.
func (p *Problem) askRoom(e plan.Endpoint) {
	if p.Topic != "quota" {
		return
	}
	p.Cause = "its quota is used up, and the server lets no program in before there is room"
	p.Check = "make room in its web mail, or have the quota raised; then check again"
	if e.Protocol == wire.POP3 {
		p.Check = "empty trash and spam in its web mail, or have the quota raised for the time of the move; then check again"
	}
}

// askBusy reminds of a server that refuses good tokens, too.
func (p *Problem) askBusy(known provider.Provider, e plan.Endpoint) {
	if e.Protocol == wire.POP3 && known.Has("pop-logon-failure-when-busy") {
		p.Check = "if it worked before, wait some minutes; else " + p.Check
	}
}

// bySpeech reports a problem that the server has put into words.
func (p *Problem) bySpeech() bool {
	switch p.Code {
	case fault.Credentials, fault.Refused, fault.Temporary:
		return !p.unreached()
	}
	return false
}

// unreached reports that it is the host or the port that may be wrong.
func (p *Problem) unreached() bool {
	switch p.Topic {
	case "unknown-host", "connection-refused", "timeout", "web-server", "smtp-port", "other-protocol",
		"no-mail-server", "tls-expected", "tls-not-spoken", "certificate-name":
		return true
	}
	return false
}

// askAccess says which password this provider takes.
func (p *Problem) askAccess(known provider.Provider) {
	called := known.Access.Called
	if called == "" {
		called = "app password"
	}
	switch known.Access.Password {
	case provider.AppPassword:
		p.Cause = fmt.Sprintf("%s wants a password made for mail programs (%s), not that of the account",
			known.Name, called)
		p.Check = "make one there and put it in place of the password"
	case provider.AppPasswordWith2FA:
		p.Check = fmt.Sprintf("if the account has two-step login, make a password for mail programs there (%s); "+
			"else try the password in web mail", called)
	case provider.NoPassword:
		p.Cause = known.Name + " takes no password from mail programs, but a token (OAuth)"
		p.Check = "give the side oauth: in place of password:, and sign in with popferry login"
	default:
		return
	}
	p.Page = known.Access.Page
}

// askUser says which form of the user name this provider takes, where it is not that of most.
func (p *Problem) askUser(known provider.Provider, e plan.Endpoint) {
	if s := rightServer(known, e); s != nil && s.Username == provider.LocalPart {
		p.Check = strings.Replace(p.Check, wholeAddress, "what stands before the @", 1)
	}
}

// askSwitch reminds of what is off until somebody switches it on: some providers
// then say no more than no.
func (p *Problem) askSwitch(known provider.Provider, e plan.Endpoint) {
	s := known.SwitchOn
	if s == nil || p.Topic != "login-refused" && p.Topic != "token-refused" {
		return
	}
	if e.Protocol == wire.POP3 && !s.POP3 || e.Protocol == wire.IMAP && !s.IMAP {
		return
	}
	p.Check += fmt.Sprintf("; and see that %s is switched on: %s", e.Protocol, s.Where)
}

// rightServer is the server that a provider has for a side, or nil.
func rightServer(known provider.Provider, e plan.Endpoint) *provider.Server {
	if e.Protocol == wire.IMAP {
		return known.IMAP
	}
	return known.POP3
}

// askServer says which server this provider has for the side.
func (p *Problem) askServer(known provider.Provider, e plan.Endpoint) {
	s := rightServer(known, e)
	if s != nil && (s.Host != e.Host || s.Port != e.Port || s.TLS != string(e.TLS)) {
		p.Check = fmt.Sprintf("for %s the %s server is %s, port: %d, tls: %s", known.Name, e.Protocol,
			s.Host, s.Port, s.TLS)
	}
}

// judgeProviders adds what is known of the providers of both sides.
func (a *Account) judgeProviders(configured plan.Account) {
	if known, ok := provider.ByHost(configured.Source.Host); ok {
		a.Source.know(known, "pop-")
		if known.Ways().FullPage(a.Source.Messages) {
			a.note("%s lists about %d messages at a time: more may be waiting", known.Name, known.Limits.Page)
		}
		for _, text := range configured.Hidden(known.Ways()) {
			a.note("%s", text)
		}
	}
	if known, ok := providerOf(configured.Destination); ok {
		a.Destination.know(known, "imap-")
		a.judgeLimits(known.Name, known.Limits, configured.Destination.Connections)
		for _, text := range configured.Crowded(known.Ways()) {
			a.warn("too-many-folders", "%s", text)
		}
	}
}

// know notes who runs the server, and its ways that are about the protocol.
func (s *Side) know(known provider.Provider, about string) {
	s.Provider = known.Name
	for _, q := range known.Quirks {
		if strings.HasPrefix(q.Flag, about) {
			s.Quirks = append(s.Quirks, q.Text)
		}
	}
}

// judgeLimits holds what is waiting against what a provider takes.
func (a *Account) judgeLimits(name string, limits provider.Limits, connections int) {
	s, d := a.Source, a.Destination
	if limits.UploadDay > 0 && s.WaitingBytes > limits.UploadDay {
		days := (s.WaitingBytes + limits.UploadDay - 1) / limits.UploadDay
		a.note("%s takes about %s a day: what is waiting needs %d days", name, size(limits.UploadDay), days)
	}
	if limits.MessageSize > 0 && d.AppendLimit == 0 && s.Largest > limits.MessageSize {
		a.warn("too-large", "the largest message waiting has %s and %s takes %s", size(s.Largest), name,
			size(limits.MessageSize))
	}
	if limits.Connections > 0 && connections > limits.Connections {
		a.warn("too-many-connections", "connections is %d, and %s allows %d to an account", connections, name,
			limits.Connections)
	}
}
