package oauth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/oauthd"
	"github.com/popferry/popferry/internal/oauth"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/plan"
)

const (
	base         = "https://login.example.org"
	clientSecret = "Geheim-7 #%\""
)

// direct asks a provider without a network, so that a test can have a clock of its own.
type direct struct{ provider http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Host = r.URL.Host
		d.provider.ServeHTTP(recorder, r)
	}()
	select {
	case <-done:
		return recorder.Result(), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// bench is a provider and a keeper that knows it.
type bench struct {
	t        *testing.T
	dir      string
	provider *oauthd.Provider
	keeper   *oauth.Keeper
}

func newBench(t *testing.T, o oauthd.Options) *bench {
	t.Helper()
	if o.Users == nil {
		o.Users = []string{"alice"}
	}
	o.ClientID, o.Scopes = "app", []string{"mail", "offline_access"}
	b := &bench{t: t, dir: filepath.Join(t.TempDir(), "tokens"), provider: oauthd.New(base, o)}
	b.keeper = b.process()
	return b
}

// process is a further popferry with the same state.
func (b *bench) process() *oauth.Keeper {
	return oauth.New(oauth.Options{Dir: b.dir, Transport: direct{b.provider}})
}

func endpoint(flow plan.Flow, change ...func(*plan.OAuth)) plan.Endpoint {
	e := plan.Endpoint{Username: "alice", OAuth: &plan.OAuth{Flow: flow, ClientID: "app",
		Scopes: []string{"mail", "offline_access"}, AuthURL: base + "/authorize", TokenURL: base + "/token",
		DeviceURL: base + "/device", Store: "file"}}
	for _, c := range change {
		c(e.OAuth)
	}
	return e
}

func withSecret(o *plan.OAuth) { o.Secret = secret.New(clientSecret) }

// login signs alice in.
func (b *bench) login() plan.Endpoint {
	b.t.Helper()
	e := endpoint(plan.DeviceFlow)
	if err := b.keeper.Login(context.Background(), "alice", e, func(oauth.Prompt) {}); err != nil {
		b.t.Fatal(err)
	}
	return e
}

// token asks a keeper and checks that the provider knows what it gives.
func (b *bench) token(k *oauth.Keeper, e plan.Endpoint) string {
	b.t.Helper()
	token, err := k.Token(context.Background(), "alice", e)
	if err != nil {
		b.t.Fatalf("%v (%s)", err, fault.HintOf(err))
	}
	if user, ok := b.provider.User(token.Reveal()); !ok || user != "alice" {
		b.t.Fatalf("a token for %q, good: %v", user, ok)
	}
	return token.Reveal()
}

// refused checks an error: its class, what it and its hint say, and that it has no
// secret in it.
func refused(t *testing.T, err error, code fault.Code, words ...string) {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Errorf("code %v of %v", fault.CodeOf(err), err)
		return
	}
	text := err.Error() + " | " + fault.HintOf(err)
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q does not say %q", text, word)
		}
	}
	for _, form := range []string{clientSecret, url.QueryEscape(clientSecret), "very-secret", "\x1b"} {
		if strings.Contains(text, form) {
			t.Errorf("%q holds %q", text, form)
		}
	}
	if fault.HintOf(err) == "" {
		t.Errorf("%v has no hint", err)
	}
}

// instead makes a provider answer one path with a text.
func instead(path string, status int, kind, body string) func(http.ResponseWriter, string, url.Values) bool {
	return func(w http.ResponseWriter, asked string, _ url.Values) bool {
		if asked != path {
			return false
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		w.Write([]byte(body))
		return true
	}
}

// soon is a context for what must not hang.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
