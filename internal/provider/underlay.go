package provider

import "github.com/popferry/popferry/plan"

// Underlay lays what is known of the providers' limits under those of accounts.yaml:
// what a user has a word on stays as it is.
//
// How many connections an account may have is not among them: limits of a host are
// about all of its accounts.
func Underlay(c *plan.Config) {
	for _, a := range c.Accounts {
		underlay(&c.Limits, a.Source.Host, func(l Limits) int64 { return l.DownloadDay })
		underlay(&c.Limits, a.Destination.Host, func(l Limits) int64 { return l.UploadDay })
	}
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
