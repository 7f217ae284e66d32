package page

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
)

const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

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

// gate lets in who knows the token, or has a cookie from when it did.
type gate struct {
	token  func() secret.Value
	key    secret.Value // makes cookies
	cookie string       // its name

	mu    sync.Mutex
	wrong map[netip.Prefix]*rate.Limiter
}

// newGate makes the gate of a page at an address. Cookies are of a host, whatever the port
// (RFC 6265 §8.5), so that the name has it: two bridges on one machine are two pages.
func newGate(address string, token func() secret.Value, key secret.Value) *gate {
	if key.Empty() {
		key = NewKey()
	}
	_, port, _ := net.SplitHostPort(address)
	return &gate{token: token, key: key, cookie: "popferry-" + port, wrong: map[netip.Prefix]*rate.Limiter{}}
}

func (g *gate) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := g.token()
		if token.Empty() {
			next.ServeHTTP(w, r)
			return
		}
		given, byAddress := tokenOf(r)
		switch status := g.judge(r, given, token); {
		case status != http.StatusOK:
			g.turnAway(w, r, status)
		case byAddress:
			g.welcome(w, r, token)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// tokenOf is the token that a request gives in a header, else in its address.
func tokenOf(r *http.Request) (given secret.Value, byAddress bool) {
	if given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return secret.New(given), false
	}
	given = secret.New(r.URL.Query().Get("token"))
	return given, !given.Empty()
}

// judge says with which status a request is answered. Only tokens can be guessed, and are
// limited: a good cookie is let in whatever others at its client's address do, and whatever
// old token stands beside it.
func (g *gate) judge(r *http.Request, given, token secret.Value) int {
	if g.knows(r, token) {
		return http.StatusOK
	}
	if given.Empty() || crossSite(r) {
		return http.StatusUnauthorized
	}
	limit := g.limit(r.RemoteAddr)
	if limit.Tokens() < 1 {
		return http.StatusTooManyRequests // whatever it gave: who guesses must not learn
	}
	if !same(given, token) {
		limit.Allow()
		return http.StatusUnauthorized
	}
	return http.StatusOK
}

// knows reports a good cookie. There may be several of the name: other programs on the
// machine can set them for a narrower path, which then come first (RFC 6265 §5.4).
func (g *gate) knows(r *http.Request, token secret.Value) bool {
	want := secret.New(g.cookieOf(token))
	return slices.ContainsFunc(r.CookiesNamed(g.cookie), func(c *http.Cookie) bool {
		return same(secret.New(c.Value), want)
	})
}

// same takes as long whatever differs: marks are of one length, and tell nothing of what
// they are made of.
func same(given, want secret.Value) bool {
	a, b := given.Mark(), want.Mark()
	return hmac.Equal(a[:], b[:])
}

// crossSite reports a request that another site's page has a browser send. It could give wrong
// tokens in the name of who reads it.
func crossSite(r *http.Request) bool { return r.Header.Get("Sec-Fetch-Site") == "cross-site" }

// turnAway says what is wrong. A cookie that is not good, as after the token changed, is
// taken away.
func (g *gate) turnAway(w http.ResponseWriter, r *http.Request, status int) {
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "60")
		refuse(w, status, "Too many wrong tokens came from your address. Wait for a minute, and try again.")
		return
	}
	if len(r.CookiesNamed(g.cookie)) > 0 {
		http.SetCookie(w, &http.Cookie{Name: g.cookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="popferry"`)
	text := "To see this page, add ?token=… to its address once, with the bridge's token of accounts.yaml."
	if crossSite(r) {
		text = "Links of other sites do not open this page. Put its address into the address bar of a new window."
	}
	refuse(w, status, text)
}

// welcome leaves a cookie in the place of the token in the address.
func (g *gate) welcome(w http.ResponseWriter, r *http.Request, token secret.Value) {
	http.SetCookie(w, &http.Cookie{Name: g.cookie, Value: g.cookieOf(token), Path: "/", HttpOnly: true,
		SameSite: http.SameSiteStrictMode})
	query := r.URL.Query()
	query.Del("token")
	r.URL.RawQuery = query.Encode()
	http.Redirect(w, r, r.URL.RequestURI(), http.StatusSeeOther)
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

// NewKey makes a key for cookies, which nobody can guess.
func NewKey() secret.Value { return secret.New(rand.Text() + rand.Text()) } // 260 bits

// cookieOf proves that somebody knew the token, without telling it; of another token it is
// another one.
func (g *gate) cookieOf(token secret.Value) string {
	mac := hmac.New(sha256.New, []byte(g.key.Reveal()))
	mac.Write([]byte("popferry status page " + token.Reveal()))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
