package ferry_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/oauthd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/oauth"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/plan"
)

// realm is all the providers that a keeper can reach, by host.
type realm map[string]*oauthd.Provider

func (r realm) RoundTrip(request *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r[request.URL.Host].ServeHTTP(w, request)
	return w.Result(), nil
}

const signInLife = 10 * day

// modern makes both sides of a pair take tokens only, of a provider that knows nobody
// but this user, who signs in at both.
func modern(t *testing.T, r realm, keeper *oauth.Keeper, user string, po popd.Options,
	mail ...[]byte) (*pair, *oauthd.Provider) {
	t.Helper()
	host := user + ".example.org"
	provider := oauthd.New("https://"+host, oauthd.Options{Users: []string{user}, ClientID: "app",
		Scopes: []string{"pop", "imap"}, Rotate: true, SignInLife: signInLife})
	r[host] = provider
	po.Token = func(name, token string) bool {
		owner, good := provider.User(token)
		return good && owner == name
	}
	p := newPair(t, po, imapd.Options{Token: po.Token}, mail...)
	p.o.Tokens = keeper
	p.account().Name = user
	for scope, side := range map[string]*plan.Endpoint{"pop": &p.account().Source, "imap": &p.account().Destination} {
		side.Username, side.Secret = user, secret.Value{}
		side.OAuth = &plan.OAuth{Flow: plan.BrowserFlow, ClientID: "app", Scopes: []string{scope}, Store: "file",
			TokenURL: provider.URL + "/token", AuthURL: provider.URL + "/authorize"}
		err := keeper.Login(t.Context(), user, *side, func(p oauth.Prompt) { go visit(t, provider, p.URL) })
		if err != nil {
			t.Fatal(err)
		}
	}
	return p, provider
}

// visit is a person with a browser, who agrees to everything.
func visit(t *testing.T, provider *oauthd.Provider, address string) {
	w := httptest.NewRecorder()
	provider.ServeHTTP(w, httptest.NewRequest(http.MethodGet, address, nil))
	response, err := http.Get(w.Header().Get("Location"))
	if err != nil {
		t.Error(err)
		return
	}
	response.Body.Close()
}

func newRealm(t *testing.T) (realm, *oauth.Keeper) {
	r := realm{}
	return r, oauth.New(oauth.Options{Dir: filepath.Join(t.TempDir(), "tokens"), Transport: r})
}

// breakAt makes the source's connection break once, when a message is asked for.
func breakAt(number int, then func()) (po popd.Options, dial func(*pair)) {
	var conn atomic.Pointer[net.Conn]
	var done atomic.Bool
	po.Reply = func(verb string, n int) ([]byte, bool) {
		if verb == "RETR" && n == number && done.CompareAndSwap(false, true) {
			then()
			(*conn.Load()).Close()
		}
		return nil, false
	}
	return po, func(p *pair) {
		server := p.account().Source.Dial
		p.account().Source.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := server(ctx, network, address)
			if err == nil {
				conn.Store(&c)
			}
			return c, err
		}
	}
}

// TestTokens: each connection logs in with a token; one that expires during a run is
// renewed for the next connection.
func TestTokens(t *testing.T) {
	r, keeper := newRealm(t)
	var provider *oauthd.Provider
	po, dial := breakAt(20, func() { provider.Expire() })
	mail := ordinary(30, 1)
	p, provider2 := modern(t, r, keeper, "alice", po, mail...)
	provider = provider2
	dial(p)
	p.run(0, len(mail))
	p.arrived(mail...)
	if n := provider.Asked("refresh_token"); n == 0 {
		t.Error("the reconnect got the old token")
	}
	p.run(0, 0)
}

// TestWhatExpires: the report says until when logins are good, as far as that is known.
func TestWhatExpires(t *testing.T) {
	r, keeper := newRealm(t)
	p, _ := modern(t, r, keeper, "alice", popd.Options{}, ordinary(3, 1)...)
	began := time.Now()
	ends := began.Add(30 * day).UTC().Truncate(time.Second)
	p.account().Destination.CertFile = "alice.pem"
	p.account().Destination.Certificate = &tls.Certificate{Leaf: &x509.Certificate{NotBefore: ends.Add(-90 * day), NotAfter: ends}}
	var got []string
	for _, e := range p.run(0, 3).Accounts[0].Expiries {
		got = append(got, e.What+": "+e.Check)
		left := e.At.Sub(began)
		if strings.HasPrefix(e.What, "the sign-in") && (left < signInLife-time.Minute || left > signInLife+time.Minute) ||
			strings.HasPrefix(e.What, "the cert") && (!e.At.Equal(ends) || e.Life != 90*day || e.Accounts != 1) ||
			strings.HasPrefix(e.What, "the sign-in") && (e.Life != signInLife || e.Accounts != 0) {
			t.Errorf("%+v", e)
		}
	}
	slices.Sort(got)
	const again = ": sign in again: popferry login alice"
	want := []string{"the certificate in alice.pem: have it renewed; from that day on the login is refused",
		"the sign-in of the destination" + again, "the sign-in of the source" + again}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestQuietDestination: passes that don't ask the destination use its sign-in once a day all
// the same, and say until when its logins are good, or that somebody has to sign in.
func TestQuietDestination(t *testing.T) {
	dir, r := filepath.Join(t.TempDir(), "tokens"), realm{}
	process := func() *oauth.Keeper { return oauth.New(oauth.Options{Dir: dir, Transport: r}) }
	p, provider := modern(t, r, process(), "alice", popd.Options{}, ordinary(3, 1)...)
	p.account().Destination.CertFile = "alice.pem"
	p.account().Destination.Certificate = &tls.Certificate{Leaf: &x509.Certificate{NotAfter: time.Now().Add(day)}}
	pass := p.passes()
	pass(0, 3)
	var seen []string
	for _, e := range pass(0, 0).Expiries {
		seen = append(seen, e.What)
	}
	for _, want := range []string{"the sign-in of the destination", "the certificate in alice.pem"} {
		if !slices.Contains(seen, want) {
			t.Errorf("%q is not among %q", want, seen)
		}
	}
	provider.Expire()
	p.o.Tokens = process()
	pass, before := p.passes(), provider.Asked("refresh_token")
	for range 3 {
		pass(0, 0)
	}
	if n := provider.Asked("refresh_token") - before; n != 2 { // one for each side
		t.Errorf("asked %d times", n)
	}
	if _, err := process().Forget(t.Context(), p.account().Destination); err != nil {
		t.Fatal(err)
	}
	p.o.Tokens = process()
	pass = p.passes()
	for range 2 {
		if e := pass(fault.Credentials, 0).Error; !strings.Contains(e.Hint, "popferry login alice") {
			t.Errorf("%+v", e)
		}
	}
}

// TestTokenRevokedDuringTheRun: that account ends, and says what to do; the others
// finish.
func TestTokenRevokedDuringTheRun(t *testing.T) {
	r, keeper := newRealm(t)
	var provider *oauthd.Provider
	po, dial := breakAt(20, func() { provider.Revoke("alice") })
	mail := ordinary(30, 1)
	alice, provider2 := modern(t, r, keeper, "alice", po, mail...)
	provider = provider2
	dial(alice)
	bob, _ := modern(t, r, keeper, "bob", popd.Options{}, mail...)
	alice.o.Config.Accounts = append(alice.o.Config.Accounts, *bob.account())

	report := runFerry(t, alice.o)
	if report.ExitCode != fault.Credentials {
		t.Errorf("exit status %d", report.ExitCode)
	}
	if a := report.Accounts[1]; a.Error != nil || a.Delivered != len(mail) {
		t.Errorf("bob: %+v", a)
	}
	bob.arrived(mail...)

	a := report.Accounts[0]
	if a.Error == nil || a.Error.Code != fault.Credentials || !strings.Contains(a.Error.Hint, "popferry login alice") {
		t.Fatalf("alice: %+v", a.Error)
	}
	for _, side := range []plan.Endpoint{alice.account().Source, alice.account().Destination} {
		err := keeper.Login(t.Context(), "alice", side, func(p oauth.Prompt) { go visit(t, provider, p.URL) })
		if err != nil {
			t.Fatal(err)
		}
	}
	if report = runFerry(t, alice.o); report.ExitCode != 0 {
		t.Errorf("after the login: %+v", report)
	}
	alice.arrived(mail...)
}

// TestRefusalsOfARevokedToken: the provider's are none, and that which the mail server made
// before is one. As soon as somebody signs in it goes on.
func TestRefusalsOfARevokedToken(t *testing.T) {
	r, keeper := newRealm(t)
	p, provider := modern(t, r, keeper, "alice", popd.Options{}, ordinary(3, 1)...)
	pass := p.passes()
	pass(0, 3)
	provider.Revoke("alice")
	for n, want := range []int{1, 0, 0} {
		a := pass(fault.Credentials, 0)
		if a.Refusals != want || !strings.Contains(a.Error.Hint, "popferry login alice") {
			t.Errorf("pass %d: %d refusals, %+v", n, a.Refusals, a.Error)
		}
	}
	sides := []plan.Endpoint{p.account().Source, p.account().Destination}
	if keeper.Renewed("alice", sides[0]) {
		t.Error("nobody signed in")
	}
	for _, side := range sides {
		if err := keeper.Login(t.Context(), "alice", side, func(p oauth.Prompt) { go visit(t, provider, p.URL) }); err != nil {
			t.Fatal(err)
		}
	}
	if !keeper.Renewed("alice", sides[0]) {
		t.Error("somebody signed in")
	}
	pass(0, 0)
	if keeper.Renewed("alice", sides[0]) {
		t.Error("it has its token")
	}
}
