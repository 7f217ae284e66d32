package check

import (
	"testing"

	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// TestServersOfAHost: its POP3 and its IMAP server have as many places each, as README says.
func TestServersOfAHost(t *testing.T) {
	const host = "mail.example.org"
	v := newVisits(plan.Limits{PerHost: 9, Hosts: map[string]plan.HostLimits{host: {Connections: 2}}})
	for protocol, port := range map[wire.Protocol]int{wire.POP3: 995, wire.IMAP: 993} {
		server := wire.Endpoint{Host: host, Port: port, Protocol: protocol}
		place := v.place(server.Address(), v.limits.Host(host).Connections)
		for n, want := range []bool{true, true, false} {
			if got := place.TryAcquire(1); got != want {
				t.Errorf("%s, connection %d: %v", protocol, n+1, got)
			}
		}
	}
}
