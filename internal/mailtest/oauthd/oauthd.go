// Package oauthd is an OAuth provider for tests: it issues tokens in all the ways that
// popferry knows (device, browser with PKCE, refresh, client credentials, JWT bearer),
// checks what the documents want checked, and tells which tokens are good.
//
// A [Provider] is an http.Handler. [Provider.Listen] serves it over HTTPS on loopback;
// a test may also call it without a network. What a hostile provider answers is in the
// hands of the test: [Options.Reply] comes first.
package oauthd

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Options say whom the provider knows. Users, ClientID and Scopes are required.
type Options struct {
	// Users are the names that tokens are issued for; the first is who signs in.
	Users []string
	// ClientID and ClientSecret are the application's; no secret means a public client.
	ClientID, ClientSecret string
	// Scopes are what may be asked for.
	Scopes []string
	// Life is that of an access token; 0 means an hour.
	Life time.Duration
	// SignInLife is told as that of refresh tokens when somebody signs in.
	SignInLife time.Duration
	// Rotate replaces each refresh token when it is used. The use of an old one is
	// taken for a theft: all are revoked.
	Rotate bool
	// Email and Key are a service account and its public key.
	Email string
	Key   *rsa.PublicKey
	// Interval is how often a device may ask; 0 means every 5 s.
	Interval time.Duration
	// Pending is how many questions about a device are answered "not yet".
	Pending int
	// Deny is the error that whoever signs in gets instead of a code; may be empty.
	Deny string
	// Reply, unless nil, may answer in place of the provider, or change what was sent.
	Reply func(w http.ResponseWriter, path string, form url.Values) (done bool)
}

// Provider issues tokens. Its methods may be called from several goroutines.
type Provider struct {
	// URL is where it is, without a final slash.
	URL string

	options Options
	server  *http.Server
	mu      sync.Mutex
	access  map[string]issued
	refresh map[string]family
	codes   map[string]offer
	asked   map[string]int // by grant type
}

// issued is an access token.
type issued struct {
	user    string
	scope   string
	expires time.Time
}

// family is all that came from one sign-in. A spent token is one that was replaced.
type family struct {
	user, scope string
	spent       bool
}

// offer is a code that waits to be redeemed.
type offer struct {
	scope, redirect, challenge string
	pending                    int
	interval                   time.Duration
	last, expires              time.Time
}

// New makes a provider that is at url.
func New(url string, o Options) *Provider {
	if o.Life == 0 {
		o.Life = time.Hour
	}
	if o.Interval == 0 {
		o.Interval = 5 * time.Second
	}
	return &Provider{URL: url, options: o, access: map[string]issued{}, refresh: map[string]family{},
		codes: map[string]offer{}, asked: map[string]int{}}
}

// Listen serves on loopback, and sets URL.
func (p *Provider) Listen(config *tls.Config) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.URL = "https://" + listener.Addr().String()
	p.server = &http.Server{Handler: p}
	go func() { _ = p.server.Serve(tls.NewListener(listener, config)) }()
	return nil
}

// Close ends all connections.
func (p *Provider) Close() { p.server.Close() }

// User tells whom an access token was issued for; ok is false for one that is unknown,
// expired or revoked.
func (p *Provider) User(token string) (user string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.access[token]
	return t.user, ok && time.Now().Before(t.expires)
}

// Revoke makes all tokens of a user useless, as a new password does.
func (p *Provider) Revoke(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revoke(user)
}

// Expire ends the life of all access tokens.
func (p *Provider) Expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.access)
}

func (p *Provider) revoke(user string) {
	for token, t := range p.access {
		if t.user == user {
			delete(p.access, token)
		}
	}
	for token, f := range p.refresh {
		if f.user == user {
			delete(p.refresh, token)
		}
	}
}

// Asked counts the requests of one grant type; "device" counts offers.
func (p *Provider) Asked(grantType string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[grantType]
}

// Issue makes a refresh token without a sign-in.
func (p *Provider) Issue(user string) (refresh string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	token := rand.Text()
	p.refresh[token] = family{user: user, scope: strings.Join(p.options.Scopes, " ")}
	return token
}

// ServeHTTP serves /device, /authorize, /token and /introspect.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, "invalid_request", err.Error())
		return
	}
	form := r.PostForm
	if r.Method == http.MethodGet {
		form = r.Form
	}
	if p.options.Reply != nil && p.options.Reply(w, r.URL.Path, form) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch r.Method + " " + r.URL.Path {
	case "POST /device":
		p.offerDevice(w, form)
	case "GET /authorize":
		p.authorize(w, r)
	case "POST /token":
		p.token(w, form)
	case "POST /introspect":
		t, known := p.access[form.Get("token")]
		answer(w, map[string]any{"active": known && time.Now().Before(t.expires), "username": t.user, "scope": t.scope})
	default:
		http.NotFound(w, r)
	}
}

func answer(w http.ResponseWriter, body map[string]any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(body)
}

// refuse is RFC 6749 §5.2.
func refuse(w http.ResponseWriter, code, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(map[string]any{"error": code, "error_description": description})
}

// offerDevice is RFC 8628 §3.1.
func (p *Provider) offerDevice(w http.ResponseWriter, form url.Values) {
	p.asked["device"]++
	if form.Get("client_id") != p.options.ClientID || !p.allowed(form.Get("scope")) {
		refuse(w, "invalid_scope", "unknown application or scope")
		return
	}
	code := rand.Text()
	p.codes[code] = offer{scope: form.Get("scope"), pending: p.options.Pending, last: time.Now(),
		interval: p.options.Interval, expires: time.Now().Add(10 * time.Minute)}
	answer(w, map[string]any{"device_code": code, "user_code": "WDJB-MJHT", "verification_uri": p.URL + "/activate",
		"expires_in": 600, "interval": int(p.options.Interval / time.Second)})
}

func (p *Provider) allowed(scope string) bool {
	for _, s := range strings.Fields(scope) {
		if !strings.Contains(" "+strings.Join(p.options.Scopes, " ")+" ", " "+s+" ") {
			return false
		}
	}
	return scope != ""
}

// authorize signs the first user in, without asking, and sends the browser back
// (RFC 6749 §4.1.2).
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.Form
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || q.Get("response_type") != "code" || q.Get("client_id") != p.options.ClientID ||
		q.Get("state") == "" || q.Get("code_challenge_method") != "S256" || !p.allowed(q.Get("scope")) {
		http.Error(w, "the request is wrong", http.StatusBadRequest)
		return
	}
	result := url.Values{"state": {q.Get("state")}}
	if p.options.Deny != "" {
		result.Set("error", p.options.Deny)
		result.Set("error_description", "<b>the user said no</b>")
	} else {
		code := rand.Text()
		p.codes[code] = offer{scope: q.Get("scope"), redirect: q.Get("redirect_uri"),
			challenge: q.Get("code_challenge"), expires: time.Now().Add(time.Minute)}
		result.Set("code", code)
	}
	back.RawQuery = result.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

func (p *Provider) token(w http.ResponseWriter, form url.Values) {
	kind := form.Get("grant_type")
	p.asked[kind]++
	bearer := kind == "urn:ietf:params:oauth:grant-type:jwt-bearer"
	if !bearer && (form.Get("client_id") != p.options.ClientID || form.Get("client_secret") != p.options.ClientSecret) {
		refuse(w, "invalid_client", "unknown application, or a wrong secret: "+form.Get("client_secret"))
		return
	}
	switch kind {
	case "refresh_token":
		p.redeemRefresh(w, form.Get("refresh_token"))
	case "authorization_code":
		p.redeemCode(w, form)
	case "urn:ietf:params:oauth:grant-type:device_code":
		p.redeemDevice(w, form.Get("device_code"))
	case "client_credentials":
		p.redeemClient(w, form.Get("scope"))
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		p.redeemAssertion(w, form.Get("assertion"))
	default:
		refuse(w, "unsupported_grant_type", kind)
	}
}

// grant answers with tokens; refresh may be empty.
func (p *Provider) grant(w http.ResponseWriter, user, scope, refresh string, more ...func(map[string]any)) {
	token := rand.Text() + "." + rand.Text()
	p.access[token] = issued{user: user, scope: scope, expires: time.Now().Add(p.options.Life)}
	body := map[string]any{"access_token": token, "token_type": "Bearer",
		"expires_in": int(p.options.Life / time.Second), "scope": scope}
	if refresh != "" {
		body["refresh_token"] = refresh
	}
	for _, add := range more {
		add(body)
	}
	answer(w, body)
}

func (p *Provider) signedIn(w http.ResponseWriter, scope string) {
	refresh := rand.Text()
	p.refresh[refresh] = family{user: p.options.Users[0], scope: scope}
	p.grant(w, p.options.Users[0], scope, refresh, func(body map[string]any) {
		if life := p.options.SignInLife; life > 0 {
			body["refresh_token_expires_in"] = int(life / time.Second)
		}
	})
}

func (p *Provider) redeemRefresh(w http.ResponseWriter, token string) {
	f, known := p.refresh[token]
	switch {
	case known && f.spent:
		p.revoke(f.user)
		refuse(w, "invalid_grant", "the token was used twice: "+token)
	case !known:
		refuse(w, "invalid_grant", "the token is unknown: "+token)
	case p.options.Rotate:
		fresh := rand.Text()
		p.refresh[token] = family{user: f.user, scope: f.scope, spent: true}
		p.refresh[fresh] = f
		p.grant(w, f.user, f.scope, fresh)
	default:
		p.grant(w, f.user, f.scope, "")
	}
}

// redeemCode checks the proof of RFC 7636 §4.6. A code is good once.
func (p *Provider) redeemCode(w http.ResponseWriter, form url.Values) {
	o, known := p.codes[form.Get("code")]
	delete(p.codes, form.Get("code"))
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	if !known || o.redirect != form.Get("redirect_uri") || time.Now().After(o.expires) ||
		base64.RawURLEncoding.EncodeToString(sum[:]) != o.challenge {
		refuse(w, "invalid_grant", "the code or its proof is wrong")
		return
	}
	p.signedIn(w, o.scope)
}

// redeemDevice is RFC 8628 §3.5. Whoever asks too often has to ask less often.
func (p *Provider) redeemDevice(w http.ResponseWriter, code string) {
	o, known := p.codes[code]
	now := time.Now()
	early := now.Sub(o.last) < o.interval
	o.last = now
	switch {
	case !known || now.After(o.expires):
		refuse(w, "expired_token", "")
		return
	case early:
		o.interval += 5 * time.Second
		refuse(w, "slow_down", "")
	case o.pending > 0:
		o.pending--
		refuse(w, "authorization_pending", "")
	case p.options.Deny != "":
		refuse(w, p.options.Deny, "the user said no")
	default:
		delete(p.codes, code)
		p.signedIn(w, o.scope)
		return
	}
	p.codes[code] = o
}

func (p *Provider) redeemClient(w http.ResponseWriter, scope string) {
	if p.options.ClientSecret == "" || !p.allowed(scope) {
		refuse(w, "invalid_scope", scope)
		return
	}
	p.grant(w, p.options.Users[0], scope, "")
}
