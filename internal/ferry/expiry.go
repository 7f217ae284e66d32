package ferry

import (
	"crypto/tls"
	"slices"
	"strconv"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// sawCertificate notes until when the certificate of a server is good.
func (t *trip) sawCertificate(kind string, e plan.Endpoint, of func() (tls.ConnectionState, bool)) {
	state, ok := of()
	if !ok || len(state.PeerCertificates) == 0 {
		return
	}
	leaf := state.PeerCertificates[0]
	t.sawExpiry(Expiry{What: "the certificate of " + fault.Escape(kind+" "+e.Address()),
		At: leaf.NotAfter, Life: leaf.NotAfter.Sub(leaf.NotBefore),
		Check:    "the server's operator has to renew it; from that day on nothing is carried",
		Accounts: t.engine.sharing[e.Address()]})
}

// sharing counts the accounts that have a side at an address, or one that logs in with a
// certificate, which is counted under the name of its file.
func sharing(accounts []plan.Account) map[string]int {
	counts := map[string]int{}
	for _, a := range accounts {
		of := []string{a.Source.Address(), a.Destination.Address(), a.Source.CertFile, a.Destination.CertFile}
		slices.Sort(of)
		for _, what := range slices.Compact(of) {
			counts[what]++
		}
	}
	return counts
}

// sawCredentials notes until when a login that was good will be: that with a certificate
// of the user's own, or with tokens.
func (t *trip) sawCredentials(side string, e plan.Endpoint) {
	if e.Certificate != nil && e.Certificate.Leaf != nil {
		leaf := e.Certificate.Leaf
		t.sawExpiry(Expiry{What: "the certificate in " + fault.Escape(e.CertFile),
			At: leaf.NotAfter, Life: leaf.NotAfter.Sub(leaf.NotBefore),
			Check:    "have it renewed; from that day on the login is refused",
			Accounts: t.engine.sharing[e.CertFile]})
	}
	if e.OAuth == nil || t.engine.Tokens == nil {
		return
	}
	if ends, life := t.engine.Tokens.Ends(e); !ends.IsZero() {
		t.sawExpiry(Expiry{What: "the sign-in of the " + side, At: ends, Life: life,
			Check: "sign in again: popferry login " + t.account.Name})
	}
}

func (t *trip) sawExpiry(e Expiry) {
	e.At = e.At.UTC()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.report.Expiries, e) {
		t.report.Expiries = append(t.report.Expiries, e)
	}
}

// longestRetention is what no server means: some say so many days for "never".
const longestRetention = 36500

// sawRetention notes after how many days the POP3 server removes mail. What it removes when
// it was retrieved (EXPIRE 0) is no matter: sessions end so that it does not.
func (t *trip) sawRetention(expire string) {
	days, err := strconv.Atoi(expire) // NEVER, or not said, is no number
	if err != nil || days <= 0 || days > longestRetention {
		return
	}
	r := Retention{Days: days}
	if keep := t.account.Keep; keep.For > time.Duration(days)*24*time.Hour {
		r.Keep = keep.String()
	}
	if pace := t.account.Pace; pace.TooRare(days) {
		r.Interval = pace.Every()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.Retention = r
}

// noteHeld tells that what this pass held does not stay on POP3 for ever either: the plan knew of
// what was held before only.
func (t *trip) noteHeld() {
	t.mu.Lock()
	held, days := t.report.Held, t.report.Retention.Days
	t.mu.Unlock()
	if held > 0 && days > 0 && !t.silent {
		t.noteOnce(plan.HeldRemoved(held, days))
	}
}
