package discover

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/provider"
	"github.com/popferry/popferry/internal/wire"
)

// Wish is what a person wants to move.
type Wish struct {
	// Addresses are those whose mail is to move, To where it goes: an address, or a
	// domain in which the names stay the same; "" means the same addresses, at
	// another server.
	Addresses []string
	To        string
	// Source and Destination are servers that the person named; a Host of "" means
	// that they are to be found.
	Source, Destination Place
	// Files keeps the passwords in files, not in the environment.
	Files bool
	// Ask may be asked for a server that was not found; it gives "" if the person
	// does not know either. nil: nobody can be asked.
	Ask func(p Protocol, domain string) (host string, err error)
	// Leave is told of each address that is left out, and why; nil: then there are no
	// drafts, unless there are those of all.
	Leave func(address string, why *fault.Error)
	// Tell is told what is looked for over the network, which may take its time; nil:
	// nobody is.
	Tell func(p Protocol, domain string)
}

// Place is a server as a person names it: "host" or "host:port".
type Place struct {
	Host string
	TLS  wire.TLSMode
}

// Drafts makes an account for each address. What is missing is in the error, for
// all of them together; where some may be left out, it is one only if none is left.
func (f Finder) Drafts(ctx context.Context, w Wish) ([]Draft, error) {
	s := &sketch{Finder: f, wish: w, found: map[string]Findings{}}
	var drafts []Draft
	var wrong []*fault.Error
	for _, address := range once(w.Addresses) {
		draft, err := s.draft(ctx, address)
		var known *fault.Error
		switch {
		case err == nil:
			drafts = append(drafts, draft)
		case ctx.Err() != nil || !errors.As(err, &known):
			return nil, err
		default:
			wrong = append(wrong, known)
			if w.Leave != nil {
				w.Leave(address, known)
			}
		}
	}
	warnOfNamesakes(drafts)
	if len(drafts) > 0 && w.Leave != nil {
		return drafts, nil
	}
	return drafts, together(wrong)
}

// once leaves out addresses that were there before. No server known tells them apart by case.
func once(addresses []string) (list []string) {
	known := map[string]bool{}
	for _, address := range addresses {
		if !known[strings.ToLower(address)] {
			list = append(list, address)
		}
		known[strings.ToLower(address)] = true
	}
	return list
}

// warnOfNamesakes tells where two addresses of one name, which may be two people's, lead to one
// mailbox: what is to be in a domain is made of the names alone.
func warnOfNamesakes(drafts []Draft) {
	same := map[string][]string{}
	for _, d := range drafts {
		same[d.Destination.mailbox()] = append(same[d.Destination.mailbox()], d.Name)
	}
	for i, d := range drafts {
		others := slices.DeleteFunc(slices.Clone(same[d.Destination.mailbox()]), func(name string) bool { return name == d.Name })
		if len(others) > 0 && !d.DifferentUser {
			server := &drafts[i].Destination.Server
			server.Warnings = append(slices.Clone(server.Warnings), "the mail of "+strings.Join(others, ", ")+
				" goes to the same mailbox: is that one person?")
		}
	}
}

func (s Side) mailbox() string { return strings.ToLower(s.Username + " " + s.Server.Host) }

// together is one error for several, each told once.
func together(wrong []*fault.Error) error {
	if len(wrong) == 0 {
		return nil
	}
	code, told := fault.OK, map[string]bool{}
	var text []string
	for _, err := range wrong {
		code = fault.Worst(code, err.Code)
		if !told[err.Message] {
			text = append(text, err.Message)
		}
		told[err.Message] = true
	}
	return fault.New(code, "%s", strings.Join(text, "\n  ")).WithHint("%s", wrong[0].Hint)
}

// sketch is the work of one Drafts.
type sketch struct {
	Finder
	wish  Wish
	names Names
	found map[string]Findings // by protocol and domain
}

func (s *sketch) draft(ctx context.Context, address string) (Draft, error) {
	to, err := s.target(address)
	if err != nil {
		return Draft{}, err
	}
	d := Draft{Name: address}
	if d.Source, err = s.side(ctx, POP3, address, s.wish.Source); err != nil {
		return Draft{}, err
	}
	if d.Destination, err = s.side(ctx, IMAP, to, s.wish.Destination); err != nil {
		return Draft{}, err
	}
	from, _ := split(address)
	into, _ := split(to)
	d.DifferentUser = !strings.EqualFold(from, into)
	d.Source.Secret = s.secret(address, POP3, d.Source.Provider)
	d.Destination.Secret = s.secret(address, IMAP, d.Destination.Provider)
	return d, nil
}

// target is the address that an address goes to.
func (s *sketch) target(address string) (string, error) {
	local, domain := split(address)
	to := s.wish.To
	switch {
	case to == "":
		to = address
	case !strings.Contains(to, "@"):
		to = local + "@" + to
	}
	if s.wish.Source.Host+s.wish.Destination.Host == "" && strings.EqualFold(to, address) && domain != "" {
		return "", fault.New(fault.Usage, "the mail of %s can't move to where it is: its POP3 and its IMAP "+
			"server show the same mailbox", fault.Escape(address)).
			WithHint("say where it goes with --to, or name the new server with --dest-host")
	}
	return to, nil
}

// side finds one side. Each domain is looked up once.
func (s *sketch) side(
	ctx context.Context, p Protocol, address string, named Place,
) (Side, error) {
	_, domain := split(address)
	key := string(p) + " " + domain
	found, known := s.found[key]
	if !known {
		var err error
		if found, err = s.look(ctx, p, address, named); err != nil {
			return Side{}, err
		}
		s.found[key] = found
	}
	server, ok := found.Server(p)
	if !ok {
		return Side{}, found.Missing(p)
	}
	return Side{Server: server, Username: server.User(address), Provider: found.Provider}, nil
}

func (s *sketch) look(
	ctx context.Context, p Protocol, address string, named Place,
) (Findings, error) {
	if named.Host != "" {
		return s.named(p, address, named)
	}
	_, domain := split(address)
	if _, known := provider.ByDomain(domain); !known && domain != "" && s.Resolver != nil && s.wish.Tell != nil {
		s.wish.Tell(p, domain)
	}
	found, err := s.Find(ctx, address, p)
	if _, ok := found.Server(p); ok || err != nil || s.wish.Ask == nil || found.refused[p] != "" {
		return found, err
	}
	host, err := s.wish.Ask(p, found.Domain)
	if err != nil || host == "" {
		return found, err
	}
	return s.named(p, address, Place{Host: host, TLS: named.TLS})
}

// named is what the person named; the address is looked at all the same.
func (s *sketch) named(p Protocol, address string, at Place) (Findings, error) {
	found, err := Finder{}.Find(context.Background(), address)
	if err != nil {
		return found, err
	}
	server, err := Named(p, at.Host, at.TLS, found.Domain)
	if err != nil {
		return found, err
	}
	found.replace(p, server)
	return found, nil
}

func (s *sketch) secret(address string, p Protocol, by provider.Provider) Secret {
	switch {
	case by.Access.Password == provider.NoPassword && by.Access.Service != "":
		return Secret{}
	case s.wish.Files:
		return Secret{File: s.names.File(address, p)}
	}
	return Secret{Env: s.names.Env(address, p)}
}
