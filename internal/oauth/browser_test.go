package oauth_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/mailtest/oauthd"
	"github.com/popferry/popferry/internal/oauth"
	"github.com/popferry/popferry/plan"
)

// online is a bench whose provider is on loopback, with TLS.
func online(t *testing.T, o oauthd.Options) (b *bench, transport *http.Transport) {
	t.Helper()
	keys, err := certs.New(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b = newBench(t, o)
	if err := b.provider.Listen(keys.Server()); err != nil {
		t.Fatal(err)
	}
	transport = &http.Transport{TLSClientConfig: keys.Client(), DisableKeepAlives: true}
	b.keeper = oauth.New(oauth.Options{Dir: b.dir, Transport: transport, Pause: 1})
	t.Cleanup(b.provider.Close)
	return b, transport
}

// at moves an endpoint to where the provider listens.
func (b *bench) at(e plan.Endpoint) plan.Endpoint {
	for _, address := range []*string{&e.OAuth.AuthURL, &e.OAuth.TokenURL, &e.OAuth.DeviceURL} {
		*address = strings.Replace(*address, base, b.provider.URL, 1)
	}
	return e
}

// visit is a person with a browser: it returns what the last page says.
func visit(t *testing.T, transport http.RoundTripper, address string) (text string, header http.Header) {
	t.Helper()
	response, err := (&http.Client{Transport: transport}).Get(address)
	if err != nil {
		t.Error(err)
		return "", nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return string(body), response.Header
}

func TestBrowser(t *testing.T) {
	for _, provider := range []string{"", plan.Microsoft, plan.Google} {
		b, transport := online(t, oauthd.Options{ClientSecret: clientSecret})
		e := b.at(endpoint(plan.BrowserFlow, withSecret, func(o *plan.OAuth) { o.Provider = provider }))
		var page string
		var header http.Header
		seen := make(chan struct{})
		err := b.keeper.Login(soon(t), "alice", e, func(p oauth.Prompt) {
			checkAuthURL(t, provider, p)
			go func() { defer close(seen); page, header = visit(t, transport, p.URL) }()
		})
		<-seen
		if err != nil {
			t.Fatal(err, fault.HintOf(err))
		}
		b.token(b.keeper, e)
		if !strings.Contains(page, "Done here.") || !strings.Contains(header.Get("Content-Security-Policy"), "'none'") ||
			header.Get("Cache-Control") != "no-store" || header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s\n%v", page, header)
		}
		again := oauth.New(oauth.Options{Dir: b.dir, Transport: transport})
		b.token(again, e)
	}
}

// checkAuthURL looks at where the person is sent.
func checkAuthURL(t *testing.T, provider string, p oauth.Prompt) {
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	back := "http://127.0.0.1:"
	if provider == plan.Microsoft {
		back = "http://localhost:"
	}
	if !strings.HasPrefix(q.Get("redirect_uri"), back) || q.Get("login_hint") != "alice" || p.Code != "" ||
		len(q.Get("state")) < 20 || (q.Get("access_type") == "offline") != (provider == plan.Google) {
		t.Errorf("%s", p.URL)
	}
	if strings.Contains(p.URL, url.QueryEscape(clientSecret)) {
		t.Errorf("the secret is in %s", p.URL)
	}
}

// TestBrowserDenied: what the provider says is harmless on the page and in the error.
func TestBrowserDenied(t *testing.T) {
	b, transport := online(t, oauthd.Options{Deny: "access_denied<script>\x1b"})
	seen := make(chan string, 1)
	err := b.keeper.Login(soon(t), "alice", b.at(endpoint(plan.BrowserFlow)), func(p oauth.Prompt) {
		go func() { text, _ := visit(t, transport, p.URL); seen <- text }()
	})
	refused(t, err, fault.Config, `access_denied<script>\x1b (<b>the user said no</b>)`)
	if page := <-seen; strings.Contains(page, "<script>") || !strings.Contains(page, "&lt;script&gt;") {
		t.Error(page)
	}
	b, transport = online(t, oauthd.Options{Deny: "access_denied"})
	err = b.keeper.Login(soon(t), "alice", b.at(endpoint(plan.BrowserFlow)), func(p oauth.Prompt) {
		go visit(t, transport, p.URL)
	})
	refused(t, err, fault.Credentials, "access_denied", "popferry login alice")
}

// TestBrowserTakesNoOtherAnswer: any page in the person's browser can send something to
// our port; it neither gets in nor ends the wait.
func TestBrowserTakesNoOtherAnswer(t *testing.T) {
	b, transport := online(t, oauthd.Options{})
	e := b.at(endpoint(plan.BrowserFlow))
	err := b.keeper.Login(soon(t), "alice", e, func(p oauth.Prompt) {
		u, err := url.Parse(p.URL)
		if err != nil {
			t.Fatal(err)
		}
		back := u.Query().Get("redirect_uri")
		for _, wrong := range []string{"/?code=stolen", "/?code=stolen&state=guess", "/?error=access_denied&state=",
			"/other?code=stolen&state=" + u.Query().Get("state")} {
			if page, _ := visit(t, transport, back+wrong); !strings.Contains(page, "not an answer") {
				t.Errorf("%s: %s", wrong, page)
			}
		}
		go visit(t, transport, p.URL)
	})
	if err != nil {
		t.Fatal(err)
	}
	b.token(b.keeper, e)
}

// TestBrowserStolenCode: a code is of no use without what only we know.
func TestBrowserStolenCode(t *testing.T) {
	var code atomic.Value
	b, transport := online(t, oauthd.Options{Reply: func(_ http.ResponseWriter, path string, form url.Values) bool {
		if path == "/token" {
			code.Store(form.Get("code"))
			form.Set("code_verifier", "a guess")
		}
		return false
	}})
	err := b.keeper.Login(soon(t), "alice", b.at(endpoint(plan.BrowserFlow)), func(p oauth.Prompt) { go visit(t, transport, p.URL) })
	refused(t, err, fault.Credentials, "the code or its proof is wrong")
	if strings.Contains(err.Error(), code.Load().(string)) {
		t.Error(err)
	}
}

func TestBrowserCanBeStopped(t *testing.T) {
	b, _ := online(t, oauthd.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	err := b.keeper.Login(ctx, "alice", b.at(endpoint(plan.BrowserFlow)), func(oauth.Prompt) { cancel() })
	refused(t, err, fault.Temporary, "stopped")
}

func TestNoRefreshToken(t *testing.T) {
	b, transport := online(t, oauthd.Options{Reply: instead("/token", 200, "application/json", `{"access_token":"very-secret"}`)})
	err := b.keeper.Login(soon(t), "alice", b.at(endpoint(plan.BrowserFlow)), func(p oauth.Prompt) { go visit(t, transport, p.URL) })
	refused(t, err, fault.Config, "no refresh token", "offline_access")
}

// TestNetwork: what may be between us and the provider.
func TestNetwork(t *testing.T) {
	var visits, sent atomic.Int32
	thief, _ := online(t, oauthd.Options{Reply: func(http.ResponseWriter, string, url.Values) bool { visits.Add(1); return false }})
	for _, c := range []struct {
		name  string
		reply func(w http.ResponseWriter, path string, form url.Values) bool
		code  fault.Code
		words string
	}{
		{"endless", func(w http.ResponseWriter, _ string, _ url.Values) bool {
			w.Header().Set("Content-Type", "application/json")
			for err := error(nil); err == nil; {
				sent.Add(1)
				_, err = w.Write(make([]byte, 1<<16))
			}
			return true
		}, fault.Protocol, "more than 65536 bytes"},
		{"a redirect", func(w http.ResponseWriter, _ string, _ url.Values) bool {
			w.Header().Set("Location", thief.provider.URL+"/token")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}, fault.Config, "redirects to 127.0.0.1:"},
		{"cut", func(w http.ResponseWriter, _ string, _ url.Values) bool {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("{"))
			panic(http.ErrAbortHandler)
		}, fault.Temporary, "cannot reach"},
	} {
		b, _ := online(t, oauthd.Options{Reply: c.reply})
		_, err := b.keeper.Token(soon(t), "alice", b.at(endpoint(plan.ClientCredentials, withSecret)))
		t.Log(c.name)
		refused(t, err, c.code, c.words)
	}
	if sent.Load() > 500 { // what the buffers between the two hold
		t.Errorf("%d KiB of the endless answer were taken", sent.Load()*64)
	}
	if visits.Load() > 0 {
		t.Error("a redirect was followed")
	}
	b, _ := online(t, oauthd.Options{})
	e := b.at(endpoint(plan.ClientCredentials, withSecret))
	strict := oauth.New(oauth.Options{Dir: b.dir, Pause: 1}) // with the CAs of this machine
	_, err := strict.Token(soon(t), "alice", e)
	refused(t, err, fault.TLS, "certificate not trusted")

	e.OAuth.TokenURL = "https://" + closedAddress(t) + "/token"
	_, err = strict.Token(soon(t), "alice", e)
	refused(t, err, fault.Temporary, "cannot reach", "connection refused")

	e.OAuth.TokenURL = "https://" + plainServer(t) + "/token"
	_, err = strict.Token(soon(t), "alice", e)
	refused(t, err, fault.TLS, "does not speak TLS")
}

func closedAddress(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// plainServer speaks HTTP where HTTPS is expected.
func plainServer(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), TLSConfig: &tls.Config{}}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}
