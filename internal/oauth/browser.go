package oauth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/oauth2"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// browserTime is how long a person has to sign in.
const browserTime = 10 * time.Minute

// browser is the authorization code flow (RFC 6749 §4.1) of an application on this
// machine: the provider sends the browser back to a port of ours on loopback (RFC 8252
// §7.3), with a code that is of use only to who began (PKCE, RFC 7636).
func (r *request) browser(parent context.Context, show func(Prompt)) (grant, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return grant{}, fault.New(fault.Temporary, "wait for the browser: %w", err).
			WithHint("check that this machine has its loopback interface, or use another flow")
	}
	ctx, cancel := context.WithTimeout(parent, browserTime)
	defer cancel()
	back := &callback{state: rand.Text(), answer: make(chan url.Values, 1)}
	server := &http.Server{Handler: back, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 10 * time.Second, MaxHeaderBytes: maxAnswer}
	go func() { _ = server.Serve(listener) }() // it ends when it is stopped
	defer stop(server)

	config, verifier := r.config(), oauth2.GenerateVerifier()
	config.RedirectURL = r.redirect(listener)
	show(Prompt{URL: config.AuthCodeURL(back.state, r.authOptions(verifier)...), Until: time.Now().Add(browserTime)})
	select {
	case answer := <-back.answer:
		return r.exchange(ctx, config, verifier, answer)
	case <-ctx.Done():
		return grant{}, r.notSignedIn(parent)
	}
}

// stop lets the browser have its page, but does not wait for what it may want else.
func stop(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		server.Close()
	}
}

func (r *request) notSignedIn(parent context.Context) error {
	if parent.Err() != nil {
		return fault.Stopped("sign in at %s: %w", r.provider, parent.Err())
	}
	return fault.New(fault.Credentials, "nobody signed in at %s within %s", r.provider, fault.Span(browserTime)).
		WithHint("again with %s; the browser has to be on this machine", r.loginCommand())
}

// redirect is where the browser is to come back to. Microsoft lets people register
// localhost only, and Google wants the address; both take any port.
func (r *request) redirect(listener net.Listener) string {
	host := "127.0.0.1"
	if r.oauth.Provider == plan.Microsoft {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
}

func (r *request) authOptions(verifier string) []oauth2.AuthCodeOption {
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("login_hint", r.username)}
	if r.oauth.Provider == plan.Google {
		// Else there is a refresh token the first time only.
		options = append(options, oauth2.AccessTypeOffline, oauth2.SetAuthURLParam("prompt", "consent"))
	}
	return options
}

// exchange makes tokens from what the browser brought.
func (r *request) exchange(ctx context.Context, config *oauth2.Config, verifier string, answer url.Values) (grant, error) {
	code := answer.Get("code")
	if code == "" {
		refused := refusal{Error: answer.Get("error"), Description: answer.Get("error_description")}
		class, hint := r.advice(refused)
		return grant{}, fault.New(class, "%s refuses: %s", r.provider, r.words(refused, http.StatusForbidden)).
			WithHint("%s", hint)
	}
	return r.do(ctx, func(ctx context.Context) (*oauth2.Token, error) {
		return config.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	})
}

// callback waits for the browser to come back.
type callback struct {
	state  string
	answer chan url.Values
}

//go:embed browser.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// ServeHTTP takes the first answer that knows our state. Any page in the browser can
// send it here, so nothing else is believed, and nothing else ends the wait.
func (c *callback) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	query := request.URL.Query()
	ours := subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(c.state)) == 1
	if request.Method != http.MethodGet || request.URL.Path != "/" || !ours {
		w.WriteHeader(http.StatusNotFound)
		c.write(w, "This is not an answer that popferry waits for.")
		return
	}
	select {
	case c.answer <- query:
	default: // it was answered before: the page was loaded again
	}
	if problem := query.Get("error"); problem != "" {
		c.write(w, "The provider refused: "+fault.Escape(problem)+". The terminal says more.")
		return
	}
	c.write(w, "Done here. The terminal says how it ended; you can close this page.")
}

// write tells the person; a browser that went away is not missed.
func (*callback) write(w http.ResponseWriter, text string) { _ = page.Execute(w, text) }
