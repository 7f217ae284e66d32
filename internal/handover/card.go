package handover

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/discover"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/provider"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// Card is what a person needs to know.
type Card struct {
	// Account is the account's name in accounts.yaml.
	Account string `json:"account"`
	// Address is the mail address, or the user name where none is known.
	Address string `json:"address"`
	// Incoming is the IMAP server; Outgoing the SMTP server, nil if unknown.
	Incoming Server  `json:"incoming"`
	Outgoing *Server `json:"outgoing"`
	// SignIn says which password the mail program wants, and Page where it is made.
	SignIn string `json:"sign_in"`
	Page   string `json:"page"`
	// First is what has to be done before anything else, and FirstPage explains it.
	First     string `json:"first"`
	FirstPage string `json:"first_page"`
	// Folder is where the mail is, if it is not the inbox.
	Folder string `json:"folder"`
	// Sorted are the folders that some of the mail is sorted into, without the parts of
	// their names that depend on its date.
	Sorted []string `json:"sorted,omitempty"`
	// Old is the POP3 server that the mail came from, and Kept what stays there.
	Old  string `json:"old"`
	Kept string `json:"kept"`
	// Login is the user name of accounts.yaml, where an administrator logs in by it and
	// the card has the part of it that looks like the user's own.
	Login string `json:"login,omitempty"`
}

// Server is a server as mail programs ask for it.
type Server struct {
	Host       string `json:"host"`
	Port       int    `json:"port"`
	Encryption string `json:"encryption"`
	// Username is empty where it is the user's mail address, and that is not known.
	Username string `json:"username"`
}

// inbox is where mail goes unless an account says otherwise.
const inbox = "INBOX"

// New makes the card of an account.
func New(a plan.Account, outgoing *Server) Card {
	to := a.Destination
	by := providerOf(a)
	c := Card{Account: a.Name, Address: Address(a), Outgoing: outgoing, Page: by.Access.Page,
		Incoming: Server{to.Host, to.Port, encryption(to.TLS), to.Owner()},
		SignIn:   signIn(ownAuth(to), by), Old: a.Source.Host, Kept: kept(a.Keep),
		Sorted: sorted(a)}
	if to.Owner() != to.Mailbox() {
		c.Login = to.Username
	}
	if on := by.SwitchOn; on != nil && on.IMAP {
		c.First = "IMAP has to be switched on for the account: " + on.Where + "."
		c.FirstPage = on.Page
	}
	if a.Folder != inbox {
		c.Folder = strings.TrimPrefix(a.Folder, `\`)
	}
	return c
}

// sorted lists where routes send mail, other than the account's own folder.
func sorted(a plan.Account) (folders []string) {
	own := strings.TrimPrefix(a.Folder, `\`)
	for _, r := range a.Routes {
		folder, _, _ := strings.Cut(strings.TrimPrefix(r.Folder, `\`), "{")
		if folder = strings.TrimRight(folder, "/-. "); folder != "" && folder != own && !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	return folders
}

// providerOf is whose IMAP server an account has; its ID is empty if nobody knows. Two
// providers may share one, and differ otherwise: then an address tells.
func providerOf(a plan.Account) provider.Provider {
	by, known := provider.ByDomain(domainOf(hint(a)))
	if known && by.IMAP != nil && by.IMAP.Host == a.Destination.Host {
		return by
	}
	by, _ = provider.ByHost(a.Destination.Host)
	return by
}

// hint is an address whose domain may have the account's servers. It may be that of where
// the mail was before, and so another person's there.
func hint(a plan.Account) string {
	for _, name := range []string{a.Destination.Owner(), a.Source.Owner()} {
		if isAddress(name) {
			return name
		}
	}
	return ""
}

func isAddress(name string) bool { return strings.Contains(name, "@") }

func domainOf(address string) string {
	_, domain, _ := strings.Cut(address, "@")
	return domain
}

// Address is the new mail address of an account, as far as the user name there and the
// domains of its provider tell, else that user name.
func Address(a plan.Account) string {
	owner, by := a.Destination.Owner(), providerOf(a)
	local := by.IMAP != nil && by.IMAP.Username != provider.Address
	switch {
	case isAddress(owner):
	case staysThere(a, by):
		return a.Source.Owner()
	case local && len(by.Domains) == 1:
		return owner + "@" + by.Domains[0]
	}
	return owner
}

// KnowsAddress tells whether the card has a mail address.
func (c Card) KnowsAddress() bool { return isAddress(c.Address) }

// staysThere reports mail that has moved within its provider, so that the old address is
// the new one.
func staysThere(a plan.Account, by provider.Provider) bool {
	local, domain, _ := strings.Cut(strings.ToLower(a.Source.Owner()), "@")
	return local == strings.ToLower(a.Destination.Owner()) && domain != "" &&
		(slices.Contains(by.Domains, domain) || strings.HasSuffix("."+a.Destination.Host, "."+domain))
}

// encryption is what mail programs call a mode.
func encryption(mode wire.TLSMode) string {
	switch mode {
	case wire.Implicit:
		return "SSL/TLS"
	case wire.STARTTLS:
		return "STARTTLS"
	}
	return "none"
}

// ownAuth is how the user signs in, as far as the account tells: not where an
// administrator does.
func ownAuth(e plan.Endpoint) string {
	switch {
	case e.Owner() != e.Username, e.OAuth != nil && !e.OAuth.Flow.Interactive():
		return ""
	case e.OAuth != nil:
		return "oauthbearer"
	}
	return e.Auth
}

func signIn(auth string, by provider.Provider) string {
	called := "app password"
	if by.Access.Called != "" {
		called = by.Access.Called
	}
	switch {
	case auth == "xoauth2", auth == "oauthbearer", by.Access.Password == provider.NoPassword:
		return "With OAuth: the mail program opens a page of the provider, where you sign in. " +
			"The program itself gets no password."
	case by.Access.Password == provider.AppPassword:
		return fmt.Sprintf("With a password made for mail programs (%s). That of the account is refused.",
			called)
	case by.Access.Password == provider.AppPasswordWith2FA:
		return fmt.Sprintf("With the password of the account; if it asks for a second factor, with one "+
			"made for mail programs (%s).", called)
	}
	return "With the password of the new account. It is not on this card."
}

func kept(k plan.Keep) string {
	switch {
	case !k.Delete:
		return "The old server keeps its copies."
	case k.For == 0:
		return "The old server's copies are removed once they are in the new mailbox."
	}
	return fmt.Sprintf("The old server's copies are removed %s after they arrived in the new mailbox.",
		days(k))
}

func days(k plan.Keep) string {
	n, _ := strings.CutSuffix(k.String(), "d")
	if n == "1" {
		return "1 day"
	}
	return n + " days"
}

// Senders finds SMTP servers.
type Senders struct {
	Finder discover.Finder
	found  map[string]discover.Findings // by domain
}

// Of finds the SMTP server of an account: that of the provider whose IMAP server it
// has, else what the address's domain says, if it names the same IMAP server; else
// it may speak of where the mail was before. nil means that nobody knows.
func (s *Senders) Of(ctx context.Context, a plan.Account) (*Server, error) {
	if by := providerOf(a); by.SMTP != nil {
		return &Server{by.SMTP.Host, by.SMTP.Port, encryption(wire.TLSMode(by.SMTP.TLS)), sender(a, by)}, nil
	}
	found := s.look(ctx, hint(a))
	if ctx.Err() != nil {
		return nil, fault.Stopped("look for SMTP servers: %w", ctx.Err())
	}
	imap, sameIMAP := found.Server(discover.IMAP)
	smtp, ok := found.Server(discover.SMTP)
	if !ok || !sameIMAP || imap.Host != a.Destination.Host {
		return nil, nil
	}
	user := a.Destination.Owner()
	if address := addressIn(found.Domain, user); isAddress(user) || imap.User(address) == user {
		user = smtp.User(address)
	}
	return &Server{smtp.Host, smtp.Port, encryption(smtp.TLS), user}, nil
}

// addressIn is what a user name stands for in a domain.
func addressIn(domain, user string) string {
	if isAddress(user) {
		return user
	}
	return user + "@" + domain
}

// sender is the user name for a provider's SMTP server; "" is the address, if nobody knows it.
func sender(a plan.Account, by provider.Provider) string {
	address := Address(a)
	sameForm := by.IMAP != nil && by.IMAP.Username == by.SMTP.Username
	if !isAddress(address) && !sameForm && by.SMTP.Username == provider.Address {
		return ""
	}
	return by.User(*by.SMTP, address)
}

// look searches each domain once. What is no address has no domain to search.
func (s *Senders) look(ctx context.Context, address string) discover.Findings {
	domain := domainOf(address)
	found, known := s.found[domain]
	if known {
		return found
	}
	found, err := s.Finder.Find(ctx, address, discover.IMAP, discover.SMTP)
	if err != nil {
		found = discover.Findings{}
	}
	if s.found == nil {
		s.found = map[string]discover.Findings{}
	}
	s.found[domain] = found
	return found
}

// Named is an SMTP server that a person named: "host" or "host:port".
func Named(where string, mode wire.TLSMode, username string) (*Server, error) {
	s, err := discover.Named(discover.SMTP, where, mode, "")
	if err != nil {
		return nil, err
	}
	return &Server{s.Host, s.Port, encryption(s.TLS), username}, nil
}
