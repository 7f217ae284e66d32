package ferry

import (
	"crypto/tls"
	"slices"

	"github.com/popferry/popferry/internal/fault"
)

// sawCertificate notes until when the certificate of a server is good.
func (t *trip) sawCertificate(server string, of func() (tls.ConnectionState, bool)) {
	state, ok := of()
	if !ok || len(state.PeerCertificates) == 0 {
		return
	}
	e := Expiry{What: "the certificate of " + fault.Escape(server), At: state.PeerCertificates[0].NotAfter.UTC(),
		Check: "the server's operator has to renew it; from that day on nothing is carried"}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.report.Expiries, e) {
		t.report.Expiries = append(t.report.Expiries, e)
	}
}
