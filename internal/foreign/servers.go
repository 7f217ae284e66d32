package foreign

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/discover"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/provider"
)

// sourceHost is a setting that is for accounts whose provider is not in the table: theirs
// would have their passwords told to a stranger.
const sourceHost = "source.host"

// Complete gives each account what the settings say of it, and the servers that neither
// they nor the list name, if its addresses are at a provider of the table; that of the
// source also where settings name one, if an address there logs in to it. No network is
// asked. An account whose provider has no such server can't be used.
func (l *List) Complete(settings []Setting) error {
	var bad []Bad
	for _, a := range l.Accounts {
		wrong, err := a.complete(settings)
		if err != nil {
			return err
		}
		if wrong != nil {
			bad = append(bad, a.bad(wrong.Message))
		}
	}
	l.Drop(bad)
	return nil
}

// complete does so for one account; wrong says why it can't be used.
func (a *Account) complete(settings []Setting) (wrong *fault.Error, err error) {
	isHost := func(s Setting) bool { return s.Key == sourceHost }
	if err := a.apply(slices.DeleteFunc(slices.Clone(settings), isHost)); err != nil {
		return nil, err
	}
	if wrong := a.findServers(defaultsOf(settings), slices.ContainsFunc(settings, isHost)); wrong != nil {
		return wrong, nil
	}
	return nil, a.apply(settings)
}

// apply gives an account the settings that differ from one to the other.
func (a *Account) apply(settings []Setting) error {
	for _, s := range settings {
		if s.shared() || a.has(s.Key) {
			continue
		}
		value, err := a.expand(s.Value)
		if err != nil {
			return err
		}
		a.set(s.Key, value)
	}
	return nil
}

// findServers looks for the hosts that are missing, by the names that log in. That of the
// destination is not looked for with the name of the source: it would be the same mailbox.
func (a *Account) findServers(defaults *Account, hostGiven bool) *fault.Error {
	from, to := a.Get("source.username"), a.Get("destination.username")
	if !a.has(sourceHost) && (!hostGiven || strings.Contains(from, "@")) {
		said := defaults
		if hostGiven {
			said = &Account{} // what settings say of port and TLS is about that host
		}
		if err := a.findServer("source", discover.POP3, a.address(defaults), said); err != nil {
			return err
		}
		a.Elsewhere = hostGiven && a.has(sourceHost)
	}
	if a.has("destination.host") || defaults.has("destination.host") || strings.EqualFold(from, to) {
		return nil
	}
	return a.findServer("destination", discover.IMAP, to, defaults)
}

// address is the mail address of the old mailbox: its user name, if that is one; or that of
// Microsoft's lists, if its provider has its owner log in by the old name, and the mail goes
// to another provider. Whatever else the new mailbox is called, nobody said where the old one
// is, and its password is for nobody else.
func (a *Account) address(defaults *Account) string {
	user, other := a.Get("source.username"), a.Get("destination.username")
	target, known := provider.ByHost(cmp.Or(a.Get("destination.host"), defaults.Get("destination.host")))
	if strings.Contains(user, "@") || !a.microsoft || !known {
		return user
	}
	found, err := discover.Finder{}.Find(context.Background(), other)
	if err != nil || target.ID == found.Provider.ID {
		return user
	}
	if server, known := found.Server(discover.POP3); !known || server.User(other) != user {
		return user
	}
	return other
}

// findServer takes the server of one side from the table, for an address; an error says
// why its provider has none.
func (a *Account) findServer(side string, p discover.Protocol, address string, defaults *Account) *fault.Error {
	found, err := discover.Finder{}.Find(context.Background(), address)
	if err != nil || found.Provider.ID == "" {
		return nil // what is missing then is said when the new file is read
	}
	server, known := found.Server(p)
	if !known {
		return found.Missing(p)
	}
	a.place(side, server, defaults)
	a.note("%s.host is from %s", side, server.Origin)
	if user := a.Get(side + ".username"); server.User(address) != user {
		a.note("%s has its users log in to %s as %s", found.Provider.Name, p, server.User(address))
	}
	for _, hint := range discover.Hints(found.Provider, p) {
		a.note("%s", hint)
	}
	return nil
}

// place writes down where a server is. Who said something of port or TLS knows better.
func (a *Account) place(side string, server discover.Server, defaults *Account) {
	a.set(side+".host", server.Host)
	for _, key := range []string{side + ".port", side + ".tls"} {
		if a.has(key) || defaults.has(key) {
			return
		}
	}
	a.set(side+".port", itoa(server.Port))
	a.set(side+".tls", string(server.TLS))
}
