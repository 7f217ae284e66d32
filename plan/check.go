package plan

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// crossCheck finds what is wrong between accounts, and between the two sides of
// one.
type crossCheck struct {
	d       *decoder
	names   map[string]*yaml.Node // the account, by name
	sources map[mailbox]*yaml.Node
}

// mailbox names a maildrop or an account on a server, in a form to compare. Two
// spellings of one maildrop would be two runs that delete from it, so case and
// port don't count.
type mailbox struct{ server, user string }

func newCrossCheck(d *decoder) *crossCheck {
	return &crossCheck{d: d, names: map[string]*yaml.Node{}, sources: map[mailbox]*yaml.Node{}}
}

func (c *crossCheck) check(f fields, a Account) {
	if a.Name != "" {
		if other := c.names[a.Name]; other != nil {
			at := f.find("name")
			if at == nil {
				at = f.at
			}
			c.d.problem(at, "the name is taken by the account in %s; "+
				"choose another one with name:", c.where(other)).Other = other.Line
		} else {
			c.names[a.Name] = f.at
		}
	}
	from, to := mailboxOf(a.Source, sourceSide), mailboxOf(a.Destination, destinationSide)
	if from.server == "" || from.user == "" {
		return
	}
	if other := c.sources[from]; other != nil {
		c.d.problem(f.at, "the account in %s has the same source; "+
			"two accounts must not empty one maildrop", c.where(other)).Other = other.Line
	} else {
		c.sources[from] = f.at
	}
	if from == to {
		c.d.problem(f.at, "source and destination are the same mailbox (host and username); "+
			"its mail would come back for ever")
	}
}

// where an account starts, for messages about another one.
func (c *crossCheck) where(account *yaml.Node) string {
	line := "line " + strconv.Itoa(account.Line)
	if c.d.cells[account] {
		return line + " of the CSV file"
	}
	return line
}

func mailboxOf(e Endpoint, s side) mailbox {
	server := strings.TrimSuffix(e.Host, ".")
	if e.Loopback() && e.Port != s.port && e.Port != s.tlsPort {
		// Tunnels and test servers: on loopback it is the port that tells one
		// server from another.
		server += ":" + strconv.Itoa(e.Port)
	}
	return mailbox{server, userName(e.Mailbox())}
}

// Hash is the hex SHA-256 of what this account means, without secrets.
func (a Account) Hash() string {
	list := []string{a.Name, a.Folder, a.Keep.String(), a.Seen.String(), a.Repair}
	for _, e := range []Endpoint{a.Source, a.Destination} {
		list = append(list, e.Address(), string(e.TLS), e.CAFile, e.Pin,
			strconv.FormatBool(e.AllowPlaintext), e.Username, e.Auth)
		list = append(list, e.hashOptional()...)
	}
	for _, r := range a.Routes {
		list = append(list, r.String())
	}
	return hashTexts(list)
}

// hashOptional names what only some endpoints have, so that the hash of the others
// stays what it was.
func (e Endpoint) hashOptional() (list []string) {
	if e.AuthorizeAs != "" {
		list = append(list, "authorize_as", e.AuthorizeAs)
	}
	if e.CertFile != "" {
		list = append(list, "tls_cert", e.CertFile)
	}
	if e.SkipFile != "" {
		list = append(list, "skip_uidls", e.SkipFile)
	}
	return list
}

func hashAccounts(accounts []Account) string {
	list := make([]string, len(accounts))
	for i, a := range accounts {
		list[i] = a.Hash()
	}
	slices.Sort(list)
	return hashTexts(list)
}

// hashTexts quotes each text, so that no two lists look the same.
func hashTexts(list []string) string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%q", list)))
}
