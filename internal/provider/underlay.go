package provider

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// Underlay lays what is known of the providers' limits under those of accounts.yaml, and
// notes the providers' ways.
// What a user has a word on stays as it is, but for connections beyond those that a
// provider lets one of its accounts have: those would be refused.
func Underlay(c *plan.Config) {
	owners := map[owner]int{}
	for _, a := range c.Accounts {
		underlay(&c.Limits, a.Source.Host, func(p Provider) plan.HostLimits {
			return daily(p, p.Limits.DownloadDay)
		})
		underlay(&c.Limits, a.Destination.Host, func(p Provider) plan.HostLimits {
			known := daily(p, p.Limits.UploadDay)
			if n := p.Limits.Connections; n > 0 {
				known.PerUser = plan.UserLimit{Connections: n, Provider: p.Name, Domains: strings.Join(p.Domains, " ")}
			}
			return known
		})
		owners[ownerOf(a)]++
	}
	for i, a := range c.Accounts {
		c.Accounts[i].Source.Ways, c.Accounts[i].Destination.Ways = waysOf(a.Source.Host), waysOf(a.Destination.Host)
		if p, ok := ByHost(a.Destination.Host); ok && p.Limits.Connections > 0 {
			// One connection for each is left; PerUser bounds those at once.
			share := max(1, p.Limits.Connections/owners[ownerOf(a)])
			c.Accounts[i].Destination.Connections = min(a.Destination.Connections, share)
		}
	}
}

func waysOf(host string) plan.Ways {
	p, _ := ByHost(host)
	return p.Ways()
}

// owner is an account of a provider, into which several of ours may carry.
type owner struct{ provider, user string }

func ownerOf(a plan.Account) owner {
	p, _ := ByHost(a.Destination.Host) // it may have several
	return owner{p.Name, strings.ToLower(a.Destination.Mailbox())}
}

// SameMailbox reports whether both sides of an account are known to be one mailbox: the
// same user, of one provider or of one server. A user name without a domain is that of any.
func SameMailbox(a plan.Account) bool {
	p, known := ByHost(a.Source.Host)
	q, _ := ByHost(a.Destination.Host)
	one := known && p.Name == q.Name || strings.EqualFold(a.Source.Host, a.Destination.Host) && !a.Source.Loopback()
	from, to := strings.ToLower(a.Source.Owner()), strings.ToLower(a.Destination.Owner())
	return one && (from == to || strings.HasPrefix(from, to+"@") || strings.HasPrefix(to, from+"@"))
}

// Refuse is the error for accounts that would delete a mailbox's mail on the strength of
// that mail itself.
func Refuse(c *plan.Config) error {
	var names []string
	for _, a := range c.Accounts {
		if a.Keep.Delete && SameMailbox(a) {
			names = append(names, fault.Escape(a.Name))
		}
	}
	if len(names) == 0 {
		return nil
	}
	more := ""
	if n := len(names) - shown; n > 0 {
		names, more = names[:shown], fmt.Sprintf(" and %d more", n)
	}
	return fault.New(fault.Config, "source and destination of %s%s are the same mailbox, so that each message would be deleted "+
		"as its own copy; no connection was made", strings.Join(names, ", "), more).
		WithHint("name another destination, or set keep: forever")
}

// shown is how many accounts a message names.
const shown = 10

func underlay(l *plan.Limits, host string, known func(Provider) plan.HostLimits) {
	p, _ := ByHost(host)
	under := l.Hosts[host].Over(known(p))
	if reflect.DeepEqual(under, l.Hosts[host]) {
		return
	}
	if l.Hosts == nil {
		l.Hosts = map[string]plan.HostLimits{}
	}
	l.Hosts[host] = under
}

func daily(p Provider, octets int64) (known plan.HostLimits) {
	if octets > 0 {
		known.BytesPerDay, known.KnownOf = octets, p.Name
	}
	return known
}
