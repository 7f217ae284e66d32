package page

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
)

const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard gives every answer its headers, and lets nobody do anything but look.
func guard(known hosts, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed, "This page can be read, and nothing else.")
		case !known.has(r.Host):
			refuse(w, http.StatusMisdirectedRequest, "popferry does not answer to this name. Open the page by "+known.which())
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// hosts are the names that the page answers to. A page elsewhere that has its name
// resolved to us (DNS rebinding) uses another, and must learn nothing.
type hosts struct {
	names []string
	// every is set when we listen on all addresses: then any of them may be ours. An
	// address is no name, so that nobody can rebind it.
	every bool
}

func newHosts(address string) hosts {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	if host != "" && (err != nil || !ip.IsUnspecified()) {
		return hosts{names: []string{host}}
	}
	name, _ := os.Hostname()
	short, _, _ := strings.Cut(name, ".")
	return hosts{names: []string{name, short}, every: true}
}

// which says by what else to open the page, and tells nobody what that is.
func (h hosts) which() string {
	if h.every {
		return "an IP address of the machine that it is on, or by that machine's own name."
	}
	return "the address in its log."
}

func (h hosts) has(given string) bool {
	host := given
	if name, _, err := net.SplitHostPort(given); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if (wire.Endpoint{Host: host}).Loopback() {
		return true
	}
	if _, err := netip.ParseAddr(host); err == nil && h.every {
		return true
	}
	for _, name := range h.names {
		if name != "" && strings.EqualFold(name, host) {
			return true
		}
	}
	return false
}

const (
	// A client may give a wrong token five times, and then once in ten seconds.
	wrongTokens   = 5
	wrongEvery    = 10 * time.Second
	maxWrongdoers = 1024
)

// gate lets in who knows the token.
type gate struct {
	token  func() secret.Value
	cookie string // its name

	mu    sync.Mutex
	wrong map[netip.Prefix]*rate.Limiter
}

// newGate makes the gate of a page at an address. Cookies are of a host, whatever the port
// (RFC 6265 §8.5), so that the name has it: two bridges on one machine are two pages.
func newGate(address string, token func() secret.Value) *gate {
	_, port, _ := net.SplitHostPort(address)
	return &gate{token: token, cookie: "popferry-" + port, wrong: map[netip.Prefix]*rate.Limiter{}}
}

// proof is what a request has to be let in by: a token in a header or in the address, else a
// cookie. It is good if it is what it has to be.
type proof struct {
	given, want         secret.Value
	byAddress, byCookie bool
}

func (g *gate) proofOf(r *http.Request, token secret.Value) proof {
	if given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return proof{given: secret.New(given), want: token}
	}
	if given := r.URL.Query().Get("token"); given != "" {
		return proof{given: secret.New(given), want: token, byAddress: true}
	}
	if cookie, err := r.Cookie(g.cookie); err == nil {
		return proof{given: secret.New(cookie.Value), want: secret.New(cookieOf(token)), byCookie: true}
	}
	return proof{}
}

func (g *gate) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := g.token()
		if token.Empty() {
			next.ServeHTTP(w, r)
			return
		}
		p := g.proofOf(r, token)
		switch status := g.judge(r.RemoteAddr, p); {
		case status != http.StatusOK:
			g.turnAway(w, status, p)
		case p.byAddress:
			g.welcome(w, r, token)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// turnAway says what is wrong. A cookie that is not good is taken away: a browser that was
// left open while the token changed gives it once, and does not lock out its owner.
func (g *gate) turnAway(w http.ResponseWriter, status int, p proof) {
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "60")
		refuse(w, status, "Too many wrong tokens came from your address. Wait for a minute, and try again.")
		return
	}
	if p.byCookie {
		http.SetCookie(w, &http.Cookie{Name: g.cookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="popferry"`)
	refuse(w, status, "To see this page, add ?token=… to its address once, with the bridge's token of accounts.yaml.")
}

// welcome leaves a cookie in the place of the token in the address.
func (g *gate) welcome(w http.ResponseWriter, r *http.Request, token secret.Value) {
	http.SetCookie(w, &http.Cookie{Name: g.cookie, Value: cookieOf(token), Path: "/", HttpOnly: true,
		SameSite: http.SameSiteStrictMode})
	query := r.URL.Query()
	query.Del("token")
	r.URL.RawQuery = query.Encode()
	http.Redirect(w, r, r.URL.RequestURI(), http.StatusSeeOther)
}

// judge says with which status a client that gives a proof is answered. A cookie is made of
// the token, so that who guesses tokens can make cookies as well: one counts as the other.
func (g *gate) judge(client string, p proof) int {
	if p.given.Empty() {
		return http.StatusUnauthorized
	}
	limit := g.limit(client)
	if limit.Tokens() < 1 {
		return http.StatusTooManyRequests // whatever it gave: who guesses must not learn
	}
	// Marks are as long as each other, and tell nothing of what they are made of.
	a, b := p.given.Mark(), p.want.Mark()
	if !hmac.Equal(a[:], b[:]) {
		limit.Allow()
		return http.StatusUnauthorized
	}
	return http.StatusOK
}

// limit is that of a client, which may have a whole /64 of IPv6.
func (g *gate) limit(client string) *rate.Limiter {
	bits := 64
	address, _ := netip.ParseAddrPort(client)
	ip := address.Addr().Unmap()
	if ip.Is4() {
		bits = 32
	}
	network, _ := ip.Prefix(bits)
	g.mu.Lock()
	defer g.mu.Unlock()
	limit, known := g.wrong[network]
	if !known {
		if len(g.wrong) >= maxWrongdoers {
			clear(g.wrong)
		}
		limit = rate.NewLimiter(rate.Every(wrongEvery), wrongTokens)
		g.wrong[network] = limit
	}
	return limit
}

// cookieOf proves that somebody knew the token, without telling it.
func cookieOf(token secret.Value) string {
	mac := hmac.New(sha256.New, []byte(token.Reveal()))
	mac.Write([]byte("popferry status page"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
