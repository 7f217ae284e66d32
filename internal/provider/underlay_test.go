package provider_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/provider"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

func TestUnderlay(t *testing.T) {
	const name = "Gmail and Google Workspace"
	up := plan.HostLimits{BytesPerDay: 524288000, KnownOf: name}
	down := plan.HostLimits{BytesPerDay: 1310720000, KnownOf: name}
	for what, c := range map[string]struct {
		source, destination string
		own, want           map[string]plan.HostLimits
	}{
		"nobody known":   {"pop.example.org", "imap.example.net", nil, nil},
		"no limit known": {"pop.mail.yahoo.com", "outlook.office365.com", nil, nil},
		"both sides": {"pop.gmail.com", "imap.gmail.com", nil,
			map[string]plan.HostLimits{"pop.gmail.com": down, "imap.gmail.com": up}},
		"the user's own number": {"pop.example.org", "imap.gmail.com",
			map[string]plan.HostLimits{"imap.gmail.com": {Connections: 2, BytesPerDay: 5 << 30}},
			map[string]plan.HostLimits{"imap.gmail.com": {Connections: 2, BytesPerDay: 5 << 30}}},
		"switched off": {"pop.example.org", "imap.gmail.com",
			map[string]plan.HostLimits{"imap.gmail.com": {BytesPerDay: plan.Unlimited}},
			map[string]plan.HostLimits{"imap.gmail.com": {BytesPerDay: plan.Unlimited}}},
		"other limits": {"pop.example.org", "imap.gmail.com",
			map[string]plan.HostLimits{"imap.gmail.com": {Connections: 2}, "imap.example.net": {Connections: 3}},
			map[string]plan.HostLimits{"imap.gmail.com": {Connections: 2, BytesPerDay: up.BytesPerDay, KnownOf: name},
				"imap.example.net": {Connections: 3}}},
	} {
		at := func(host string) plan.Endpoint { return plan.Endpoint{Endpoint: wire.Endpoint{Host: host}} }
		config := &plan.Config{Accounts: []plan.Account{{Source: at(c.source), Destination: at(c.destination)}},
			Limits: plan.Limits{Hosts: c.own}}
		provider.Underlay(config)
		provider.Underlay(config) // it changes nothing more
		if diff := cmp.Diff(c.want, config.Limits.Hosts); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
}
