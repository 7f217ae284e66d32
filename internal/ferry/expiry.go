package ferry

import (
	"crypto/tls"
	"slices"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// sawCertificate notes until when the certificate of a server is good.
func (t *trip) sawCertificate(server string, of func() (tls.ConnectionState, bool)) {
	state, ok := of()
	if !ok || len(state.PeerCertificates) == 0 {
		return
	}
	t.sawExpiry("the certificate of "+fault.Escape(server), state.PeerCertificates[0].NotAfter,
		"the server's operator has to renew it; from that day on nothing is carried")
}

// sawCredentials notes until when a login that was good will be: that with a certificate
// of the user's own, or with tokens.
func (t *trip) sawCredentials(side string, e plan.Endpoint) {
	if e.Certificate != nil && e.Certificate.Leaf != nil {
		t.sawExpiry("the certificate in "+fault.Escape(e.CertFile), e.Certificate.Leaf.NotAfter,
			"have it renewed; from that day on the login is refused")
	}
	if e.OAuth == nil || t.engine.Tokens == nil {
		return
	}
	if ends := t.engine.Tokens.Ends(e); !ends.IsZero() {
		t.sawExpiry("the sign-in of the "+side, ends, "sign in again: popferry login "+t.account.Name)
	}
}

func (t *trip) sawExpiry(what string, at time.Time, check string) {
	e := Expiry{What: what, At: at.UTC(), Check: check}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.report.Expiries, e) {
		t.report.Expiries = append(t.report.Expiries, e)
	}
}
