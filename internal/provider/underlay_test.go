package provider_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/provider"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

func TestUnderlay(t *testing.T) {
	const name = "Gmail and Google Workspace"
	perUser := plan.UserLimit{Connections: 15, Provider: name, Domains: "gmail.com googlemail.com"}
	up := plan.HostLimits{BytesPerDay: 524288000, KnownOf: name, PerUser: perUser}
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
			map[string]plan.HostLimits{"imap.gmail.com": {Connections: 2, BytesPerDay: 5 << 30, PerUser: perUser}}},
		"switched off": {"pop.example.org", "imap.gmail.com",
			map[string]plan.HostLimits{"imap.gmail.com": {BytesPerDay: plan.Unlimited}},
			map[string]plan.HostLimits{"imap.gmail.com": {BytesPerDay: plan.Unlimited, PerUser: perUser}}},
		"other limits": {"pop.example.org", "imap.gmail.com",
			map[string]plan.HostLimits{"imap.gmail.com": {Connections: 2}, "imap.example.net": {Connections: 3}},
			map[string]plan.HostLimits{"imap.gmail.com": {Connections: 2, BytesPerDay: up.BytesPerDay, KnownOf: name, PerUser: perUser},
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

// TestUnderlayWays: each side has what is known of its own provider.
func TestUnderlayWays(t *testing.T) {
	at := func(host string) plan.Endpoint { return plan.Endpoint{Endpoint: wire.Endpoint{Host: host}} }
	config := &plan.Config{Accounts: []plan.Account{
		{Source: at("pop.example.org"), Destination: at("imap.gmail.com")},
		{Source: at("pop.gmail.com"), Destination: at("imap.gmx.net")},
		{Source: at("ssl0.ovh.net"), Destination: at("imap.example.net")},
	}}
	provider.Underlay(config)
	gmail := plan.Ways{Provider: "Gmail and Google Workspace", DropsCopies: true, Page: 250,
		Forbidden: plan.Forbidden{Characters: `"\^`, Blanks: true}}
	gmx := plan.Ways{Provider: "GMX (German)", Folders: 20, FolderDepth: 3}
	ovh := plan.Ways{Provider: "OVHcloud (MX Plan)", LoginDelay: time.Minute}
	var got []plan.Ways
	for _, a := range config.Accounts {
		got = append(got, a.Source.Ways, a.Destination.Ways)
	}
	if diff := cmp.Diff([]plan.Ways{{}, gmail, gmail, gmx, ovh, {}}, got); diff != "" {
		t.Error(diff)
	}
}

// TestUnderlayConnections: all accounts of ours together have no more of them at one user
// of a provider than that lets a user have, as far as there is one for each.
func TestUnderlayConnections(t *testing.T) {
	config := &plan.Config{}
	add := func(n int, host, user string, connections int) {
		for range n {
			config.Accounts = append(config.Accounts, plan.Account{Destination: plan.Endpoint{
				Endpoint: wire.Endpoint{Host: host}, Username: user, Connections: connections}})
		}
	}
	add(1, "imap.gmail.com", "alice@gmail.com", 4)
	add(1, "imap.gmail.com", "bob@gmail.com", 100)
	add(5, "imap.gmail.com", "carol@gmail.com", 4)
	add(20, "imap.gmail.com", "dave@gmail.com", 4)
	add(1, "imap.gmail.com", "frank@gmail.com", 15)
	add(1, "imap.googlemail.com", "Frank@gmail.com", 15)
	add(5, "imap.example.net", "erin", 100)
	provider.Underlay(config)
	provider.Underlay(config) // it changes nothing more
	most := map[string]int{}
	for _, a := range config.Accounts {
		most[strings.ToLower(a.Destination.Username)] += a.Destination.Connections
	}
	want := map[string]int{"alice@gmail.com": 4, "bob@gmail.com": 15, "carol@gmail.com": 15, "dave@gmail.com": 20, "frank@gmail.com": 14, "erin": 500}
	if diff := cmp.Diff(want, most); diff != "" {
		t.Error(diff)
	}
}

// TestUnderlayForbidden: destinations learn what is forbidden in the names of their folders.
func TestUnderlayForbidden(t *testing.T) {
	for host, want := range map[string]plan.Forbidden{
		"imap.gmail.com":        {Characters: `"\^`, Blanks: true},
		"outlook.office365.com": {Names: []string{"Files"}},
		"imap.example.net":      {},
	} {
		side := plan.Endpoint{Endpoint: wire.Endpoint{Host: host}}
		config := &plan.Config{Accounts: []plan.Account{{Destination: side}}}
		provider.Underlay(config)
		if diff := cmp.Diff(want, config.Accounts[0].Destination.Ways.Forbidden); diff != "" {
			t.Errorf("%s: %s", host, diff)
		}
	}
}

// TestSameMailbox: what would be deleted as its own copy is refused, and nothing else.
func TestSameMailbox(t *testing.T) {
	for _, c := range []struct {
		from, fromUser, to, toUser string
		same                       bool
	}{
		{"pop.gmx.net", "alice@gmx.de", "imap.gmx.net", "alice@gmx.de", true},
		{"pop.gmx.net", "Alice@gmx.de", "imap.gmx.net", "alice@GMX.de", true},
		{"pop.gmail.com", "alice@gmail.com", "imap.gmail.com", "alice", true},
		{"pop.gmail.com", "alice@gmail.com", "imap.gmail.com", "bob@gmail.com", false},
		{"pop.gmail.com", "alice@gmail.com", "imap.gmail.com", "alice@example.org", false},
		{"pop.gmx.net", "alice@gmx.de", "imap.gmail.com", "alice@gmx.de", false},
		{"mail.example.org", "alice", "mail.example.org", "alice*admin", true},
		{"mail.example.org", "alice", "mail.example.org", "bob*admin", false},
		{"pop.example.org", "alice", "imap.example.org", "alice", false}, // nobody knows
		{"localhost", "alice", "localhost", "alice*admin", false},        // tunnels, maybe to two servers
	} {
		side := func(host, user string) plan.Endpoint {
			return plan.Endpoint{Endpoint: wire.Endpoint{Host: host}, Username: user}
		}
		a := plan.Account{Name: "a", Source: side(c.from, c.fromUser), Destination: side(c.to, c.toUser)}
		if got := provider.SameMailbox(a); got != c.same {
			t.Errorf("%+v: %v", c, got)
		}
		if err := provider.Refuse(&plan.Config{Accounts: []plan.Account{a}}); err != nil {
			t.Errorf("nothing is to be deleted: %v", err)
		}
		a.Keep.Delete = true
		err := provider.Refuse(&plan.Config{Accounts: []plan.Account{a}})
		if (err != nil) != c.same || c.same && fault.CodeOf(err) != fault.Config {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
