package provider

import (
	"strings"

	"github.com/popferry/popferry/plan"
)

// Underlay lays what is known of the providers' limits under those of accounts.yaml.
// What a user has a word on stays as it is, but for connections beyond those that a
// provider lets one of its accounts have: those would be refused.
func Underlay(c *plan.Config) {
	owners := map[owner]int{}
	for _, a := range c.Accounts {
		underlay(&c.Limits, a.Source.Host, func(l Limits) int64 { return l.DownloadDay })
		underlay(&c.Limits, a.Destination.Host, func(l Limits) int64 { return l.UploadDay })
		owners[ownerOf(a)]++
	}
	for i, a := range c.Accounts {
		if p, ok := ByHost(a.Destination.Host); ok && p.Limits.Connections > 0 {
			// One connection for each is left; limits.per_host bounds those at once.
			share := max(1, p.Limits.Connections/owners[ownerOf(a)])
			c.Accounts[i].Destination.Connections = min(a.Destination.Connections, share)
		}
	}
}

// owner is an account of a provider, into which several of ours may carry.
type owner struct{ provider, user string }

func ownerOf(a plan.Account) owner {
	p, _ := ByHost(a.Destination.Host) // it may have several
	return owner{p.Name, strings.ToLower(a.Destination.Mailbox())}
}

func underlay(l *plan.Limits, host string, day func(Limits) int64) {
	p, ok := ByHost(host)
	if !ok || day(p.Limits) == 0 {
		return
	}
	if l.Hosts == nil {
		l.Hosts = map[string]plan.HostLimits{}
	}
	l.Hosts[host] = l.Hosts[host].Over(plan.HostLimits{BytesPerDay: day(p.Limits), KnownOf: p.Name})
}
