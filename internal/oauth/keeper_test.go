package oauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/oauthd"
	"github.com/popferry/popferry/internal/oauth"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/plan"
)

// TestRenewal: a token is used until a minute before its end.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oauthd.Options{})
		e := b.login()
		first := b.token(b.keeper, e)
		time.Sleep(58 * time.Minute)
		if b.token(b.keeper, e) != first {
			t.Error("renewed early")
		}
		time.Sleep(time.Minute)
		if b.token(b.keeper, e) == first {
			t.Error("not renewed in time")
		}
	})
}

// TestShortLife: a provider whose tokens live less than the minute is not asked each
// time.
func TestShortLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oauthd.Options{Life: 40 * time.Second})
		e := b.login()
		if first := b.token(b.keeper, e); b.token(b.keeper, e) != first {
			t.Error("renewed at once")
		}
	})
}

// TestManyAskAtOnce: one of them renews the token.
func TestManyAskAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oauthd.Options{Rotate: true})
		e := b.login()
		k := b.process()
		var work sync.WaitGroup
		for range 20 {
			work.Go(func() { b.token(k, e) })
		}
		work.Wait()
		if n := b.provider.Asked("refresh_token"); n != 1 {
			t.Errorf("refreshed %d times", n)
		}
	})
}

// TestRotation: two processes with one state never use a refresh token twice, which
// the provider would take for a theft.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oauthd.Options{Rotate: true})
		e := b.login()
		for range 10 {
			var work sync.WaitGroup
			for range 2 {
				work.Go(func() { b.token(b.process(), e) })
			}
			work.Wait()
		}
		if n := b.provider.Asked("refresh_token"); n != 20 {
			t.Errorf("refreshed %d times", n)
		}
		checkPrivate(t, b.dir)
	})
}

// TestRefusalEnds: a refusal whose cause goes away, such as a locked account, ends within
// the hour, without a restart.
func TestRefusalEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var locked atomic.Bool
		asked := 0
		b := newBench(t, oauthd.Options{Reply: func(w http.ResponseWriter, path string, form url.Values) bool {
			if asked++; !locked.Load() {
				return false
			}
			return instead("/token", 400, "application/json",
				`{"error":"invalid_grant","error_description":"AADSTS50053: Locked."}`)(w, path, form)
		}})
		e := b.login()
		k := b.process()
		locked.Store(true)
		asked = 0
		for range 60 {
			_, err := k.Token(context.Background(), "alice", e)
			refused(t, err, fault.Credentials, "AADSTS50053", "the account is locked")
			time.Sleep(time.Minute)
		}
		if asked != 1 {
			t.Errorf("asked %d times in an hour", asked)
		}
		locked.Store(false)
		b.token(k, e)
	})
}

// TestRevoked: the provider is not asked at once again with a token that it refused, until
// somebody signs in anew.
func TestRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oauthd.Options{})
		e := b.login()
		b.provider.Revoke("alice")
		k := b.process()
		for range 3 {
			_, err := k.Token(context.Background(), "alice", e)
			refused(t, err, fault.Credentials, "invalid_grant", "the token is unknown: ***", "popferry login alice")
		}
		if n := b.provider.Asked("refresh_token"); n != 1 {
			t.Errorf("asked %d times", n)
		}
		b.login() // as another process
		b.token(k, e)
	})
}

// TestChangedSecret: a process that learns of another secret uses it, with the token that
// is stored.
func TestChangedSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oauthd.Options{ClientSecret: clientSecret})
		e := endpoint(plan.DeviceFlow, withSecret)
		if err := b.keeper.Login(context.Background(), "alice", e, func(oauth.Prompt) {}); err != nil {
			t.Fatal(err)
		}
		k := b.process()
		expired := func(o *plan.OAuth) { o.Secret = secret.New(`very-secret #%"`) }
		for _, flow := range []plan.Flow{plan.DeviceFlow, plan.ClientCredentials} {
			_, err := k.Token(context.Background(), "alice", endpoint(flow, expired))
			refused(t, err, fault.Credentials, "invalid_client")
			first := b.token(k, endpoint(flow, withSecret))
			if b.token(k, endpoint(flow, withSecret)) != first {
				t.Error("the secret is the same again, and the token is not")
			}
		}
	})
}

// TestTried: a token that worked is worth replacing when it is refused, and no other.
func TestTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oauthd.Options{})
		e := b.login()
		refusal := fault.New(fault.Credentials, "refused")
		busy := fault.New(fault.Temporary, "busy")
		first := secret.New(b.token(b.keeper, e))
		if b.keeper.Tried(e, first, busy) || b.token(b.keeper, e) != first.Reveal() {
			t.Error("a busy server says nothing about the token")
		}
		if b.keeper.Tried(e, first, refusal) {
			t.Error("worth another try, though it never worked")
		}
		second := secret.New(b.token(b.keeper, e))
		if second.Reveal() == first.Reveal() {
			t.Error("a refused token was given again")
		}
		if b.keeper.Tried(e, second, nil) || !b.keeper.Tried(e, second, refusal) {
			t.Error("not worth another try, though it worked")
		}
		third := b.token(b.keeper, e)
		if !b.keeper.Tried(e, second, refusal) || b.token(b.keeper, e) != third {
			t.Error("a late refusal counts against the new token")
		}
		if b.keeper.Tried(e, secret.Value{}, refusal) || b.token(b.keeper, e) != third {
			t.Error("there was no token")
		}
	})
}

func TestNotSignedIn(t *testing.T) {
	b := newBench(t, oauthd.Options{})
	_, err := b.keeper.Token(context.Background(), "it's mine", endpoint(plan.BrowserFlow))
	refused(t, err, fault.Credentials, "no token for OAuth provider login.example.org", `popferry login 'it'\''s mine'`)
}

// TestOutOfOrder: failures that may pass are tried again; while the old token is good
// it is used.
func TestOutOfOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Int32
		b := newBench(t, oauthd.Options{Reply: func(w http.ResponseWriter, path string, _ url.Values) bool {
			if path != "/token" || broken.Add(-1) < 0 {
				return false
			}
			w.Header().Set("Retry-After", "7")
			http.Error(w, "<html>", http.StatusServiceUnavailable)
			return true
		}})
		e := b.login()
		k := b.process()
		broken.Store(2)
		begin := time.Now()
		first := b.token(k, e)
		if took := time.Since(begin); took != 14*time.Second {
			t.Errorf("took %v", took)
		}
		broken.Store(1000)
		time.Sleep(59*time.Minute + 10*time.Second)
		if b.token(k, e) != first {
			t.Error("another token")
		}
		time.Sleep(time.Minute)
		_, err := k.Token(context.Background(), "alice", e)
		refused(t, err, fault.Temporary, "out of order: status 503")
		if fault.AfterOf(err) != 7*time.Second {
			t.Errorf("after %v", fault.AfterOf(err))
		}
		broken.Store(0)
		b.token(k, e)
	})
}

// TestWhoeverWaitsCanLeave: the wait for another's renewal ends with its context.
func TestWhoeverWaitsCanLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oauthd.Options{})
		e := b.login()
		release := make(chan struct{})
		k := oauth.New(oauth.Options{Dir: b.dir, Transport: held{direct{b.provider}, release}})
		go k.Token(context.Background(), "alice", e)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := k.Token(ctx, "alice", e)
		refused(t, err, fault.Temporary)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		close(release)
		b.token(k, e)
	})
}

type held struct {
	http.RoundTripper
	release chan struct{}
}

func (h held) RoundTrip(r *http.Request) (*http.Response, error) {
	<-h.release
	return h.RoundTripper.RoundTrip(r)
}

func TestClientCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oauthd.Options{ClientSecret: clientSecret})
		e := endpoint(plan.ClientCredentials, withSecret)
		if err := b.keeper.Login(context.Background(), "alice", e, nil); err != nil {
			t.Fatal(err)
		}
		first := b.token(b.keeper, e)
		time.Sleep(time.Hour)
		if b.token(b.keeper, e) == first {
			t.Error("not renewed")
		}
		wrong := endpoint(plan.ClientCredentials, func(o *plan.OAuth) { o.Secret = secret.New(`very-secret #%"`) })
		_, err := b.process().Token(context.Background(), "alice", wrong)
		refused(t, err, fault.Credentials, "invalid_client", "a wrong secret: ***", "client_secret")
	})
}

func TestServiceAccount(t *testing.T) {
	const email = "robot@project.example"
	file, public, err := oauthd.NewKey(email)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := oauthd.NewKey(email)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, oauthd.Options{Email: email, Key: public})
	account := func(key string) plan.Endpoint {
		return endpoint(plan.ServiceAccount, func(o *plan.OAuth) { o.ClientID, o.Key = "", secret.New(key) })
	}
	e := account(string(file))
	if err := b.keeper.Login(soon(t), "alice", e, nil); err != nil {
		t.Fatal(err)
	}
	b.token(b.keeper, e)

	stranger := account(string(file))
	stranger.Username = "mallory"
	_, err = b.keeper.Token(soon(t), "alice", stranger)
	refused(t, err, fault.Credentials, "no such user", "username is a mailbox of your domain")

	shared := account(string(file))
	shared.Username, shared.AuthorizeAs = "robot", "alice"
	b.token(b.keeper, shared)

	greedy := account(string(file))
	greedy.OAuth.Scopes = []string{"everything"}
	_, err = b.keeper.Token(soon(t), "alice", greedy)
	refused(t, err, fault.Credentials, "unauthorized_client", "Domain-wide delegation", "everything")

	_, err = b.process().Token(soon(t), "alice", account(string(other)))
	refused(t, err, fault.Credentials, "the signature or the issuer is wrong")
	for _, key := range []string{"", "null", "{}", `{"type":"service_account","client_email":"a","private_key":"very-secret"}`} {
		_, err = b.process().Token(soon(t), "alice", account(key))
		refused(t, err, fault.Config, "is not the key of a service account")
	}
}

// TestEcho: no secret that was sent is shown, whatever the provider repeats.
func TestEcho(t *testing.T) {
	file, _, err := oauthd.NewKey("robot@project.example")
	if err != nil {
		t.Fatal(err)
	}
	for flow, parameter := range map[plan.Flow]string{
		plan.ServiceAccount: "assertion", plan.ClientCredentials: "client_secret", plan.DeviceFlow: "refresh_token",
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, oauthd.Options{ClientSecret: clientSecret})
			e := endpoint(flow, withSecret, func(o *plan.OAuth) { o.Key = secret.New(string(file)) })
			if flow.Interactive() {
				if err := b.keeper.Login(context.Background(), "alice", e, func(oauth.Prompt) {}); err != nil {
					t.Fatal(err)
				}
			}
			echoed := ""
			k := oauth.New(oauth.Options{Dir: b.dir, Transport: direct{oauthd.New(base, oauthd.Options{
				Reply: func(w http.ResponseWriter, path string, form url.Values) bool {
					echoed = form.Get(parameter)
					text, _ := json.Marshal(map[string]string{"error": "invalid_request", "error_description": "not " + echoed + "!"})
					return instead(path, 400, "application/json", string(text))(w, path, form)
				}})}})
			_, err := k.Token(context.Background(), "alice", e)
			refused(t, err, fault.Config, "not ***!")
			if echoed == "" || strings.Contains(err.Error(), echoed[:len(echoed)/2]) {
				t.Errorf("%q in %v", echoed, err)
			}
		})
	}
}

// TestHostile: what a provider may answer, and what becomes of it.
func TestHostile(t *testing.T) {
	const token = `{"access_token":"very-secret","token_type":"Bearer","refresh_token":"very-secret-2"`
	for _, c := range []struct {
		name         string
		status       int
		kind, answer string
		code         fault.Code
		words        string
	}{
		{"a page", 200, "text/html", "<html>very-secret", fault.Protocol, "no JSON object (text/html)"},
		{"JSON that is called a page", 200, "text/html", token + "}", fault.Protocol, "no JSON object"},
		{"a form", 200, "application/x-www-form-urlencoded", "access_token=very-secret", fault.Protocol, "no JSON object"},
		{"nothing", 200, "application/json", "", fault.Protocol, "no JSON object"},
		{"null", 200, "application/json", "null", fault.Protocol, "no JSON object"},
		{"a list", 200, "application/json", "[" + token + "}]", fault.Protocol, "no JSON object"},
		{"cut", 200, "application/json", token, fault.Protocol, "no JSON object"},
		{"too long", 200, "application/json", token + `,"x":"` + string(make([]byte, 70000)) + `"}`, fault.Protocol, "more than 65536"},
		{"no token", 200, "application/json", "{}", fault.Protocol, "no token"},
		{"another type", 200, "application/json", `{"access_token":"very-secret","token_type":"mac"}`, fault.Protocol, "no bearer"},
		{"a line break", 200, "application/json", `{"access_token":"very-secret\r\nX"}`, fault.Protocol, "no bearer"},
		{"a number", 200, "application/json", `{"access_token":5}`, fault.Protocol, "no token"},
		{"a huge life", 200, "application/json", token + `,"expires_in":1e400}`, fault.Protocol, "no token"},
		{"a redirect", 307, "text/html", "", fault.Config, "redirects to thief.example"},
		{"an error that is OK", 200, "application/json", `{"error":"invalid_client"}`, fault.Credentials, "invalid_client"},
		{"not found", 404, "text/html", "<html>very-secret", fault.Config, "status 404"},
		{"throttled", 429, "text/html", "", fault.Temporary, "status 429"},
		{"an error of its own", 400, "application/json", `{"error":"temporarily_unavailable"}`, fault.Temporary, "temporarily"},
		{"escapes", 400, "application/json", `{"error":"\u001b[2Jx","error_description":"\u202ereversed"}`, fault.Config, `\x1b[2Jx (\u202ereversed)`},
		{"an echo", 400, "application/json", `{"error":"invalid_client","error_description":"you said ` + url.QueryEscape(clientSecret) + `"}`,
			fault.Credentials, "you said ***"},
		{"a long story", 400, "application/json", fmt.Sprintf(`{"error":"x","error_description":"%01000d\nTrace"}`, 0), fault.Config, "…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, oauthd.Options{Reply: func(w http.ResponseWriter, path string, form url.Values) bool {
					w.Header().Set("Location", "https://thief.example/token?secret=very-secret")
					return instead("/token", c.status, c.kind, c.answer)(w, path, form)
				}})
				_, err := b.keeper.Token(context.Background(), "alice", endpoint(plan.ClientCredentials, withSecret))
				refused(t, err, c.code, c.words)
			})
		})
	}
}

// TestOddLives: a life that makes no sense does not make a token eternal, or useless.
func TestOddLives(t *testing.T) {
	for life, want := range map[string]time.Duration{
		"": 5 * time.Minute, `,"expires_in":-7`: 5 * time.Minute, `,"expires_in":0`: 5 * time.Minute,
		`,"expires_in":"3600"`: time.Hour, `,"expires_in":9223372036854775807`: 24 * time.Hour,
		`,"expires_in":2147483648`: 24 * time.Hour,
	} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			b := newBench(t, oauthd.Options{Reply: func(w http.ResponseWriter, path string, form url.Values) bool {
				asked++
				return instead("/token", 200, "application/json", `{"access_token":"x"`+life+"}")(w, path, form)
			}})
			e := endpoint(plan.ClientCredentials, withSecret)
			for range 2 {
				if _, err := b.keeper.Token(context.Background(), "alice", e); err != nil {
					t.Fatal(life, err)
				}
				time.Sleep(want - time.Minute - time.Second)
			}
			if asked != 1 {
				t.Errorf("%s: renewed early", life)
			}
			time.Sleep(2 * time.Second)
			if _, err := b.keeper.Token(context.Background(), "alice", e); err != nil || asked != 2 {
				t.Errorf("%s: asked %d times, %v", life, asked, err)
			}
		})
	}
}

// TestEnds: when somebody has to sign in again is known for as long as the same refresh
// token is used, also to the next process, and not where the provider does not say it.
func TestEnds(t *testing.T) {
	const week = 7 * 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oauthd.Options{SignInLife: week})
		want := time.Now().Add(week).Truncate(time.Second) // at the earliest
		e := b.login()
		for _, k := range []*oauth.Keeper{b.keeper, b.process()} {
			for range 3 {
				b.token(k, e)
				if got, life := k.Ends(e); !got.Equal(want) || life != week {
					t.Errorf("%v of %v, want %v", got, life, want)
				}
				time.Sleep(2 * time.Hour)
			}
		}
		if _, err := b.keeper.Forget(t.Context(), e); err != nil || !ends(b.keeper, e).IsZero() {
			t.Error("forgotten, and still known", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oauthd.Options{SignInLife: week, Rotate: true})
		e := b.login()
		time.Sleep(2 * time.Hour)
		if b.token(b.keeper, e); !ends(b.keeper, e).IsZero() {
			t.Error("another refresh token has the end of the one before it")
		}
	})
	for life, want := range map[string]time.Duration{`"604800"`: week, "604799.5": week - time.Second, "-1": 0, `"soon"`: 0,
		"9e99": 0, "null": 0, "{}": 0, "true": 0} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, oauthd.Options{Reply: instead("/token", 200, "application/json",
				`{"access_token":"x","token_type":"Bearer","refresh_token":"y","refresh_token_expires_in":`+life+`}`)})
			earliest := time.Now().Add(want).Truncate(time.Second)
			if ends := ends(b.keeper, b.login()); want == 0 && !ends.IsZero() || want > 0 && !ends.Equal(earliest) {
				t.Errorf("%s: %v", life, ends)
			}
		})
	}
}

func ends(k *oauth.Keeper, e plan.Endpoint) time.Time {
	at, _ := k.Ends(e)
	return at
}

// TestEndsThatMove: one that is counted down in whole seconds stays where it is, one that
// each use of the token puts off is none, and one that is put off up to a day is that day.
func TestEndsThatMove(t *testing.T) {
	const week = 7 * 24 * time.Hour
	for name, c := range map[string]struct {
		left func(since time.Duration) time.Duration
		want [3]bool // that there is an end: after the login, a refresh, and many
	}{
		"counted down": {func(since time.Duration) time.Duration { return week + 500*time.Millisecond - since }, [3]bool{true, true, true}},
		"sliding":      {func(time.Duration) time.Duration { return week }, [3]bool{true, false, false}},
		"sliding to a day": {func(since time.Duration) time.Duration { return min(week, week+3*time.Hour-since) },
			[3]bool{true, false, true}},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			b := newBench(t, oauthd.Options{Reply: func(w http.ResponseWriter, path string, form url.Values) bool {
				left := int(c.left(time.Since(began)).Seconds())
				return instead("/token", 200, "application/json", fmt.Sprintf(`{"access_token":"x","token_type":"Bearer",
					"expires_in":60,"refresh_token":"y","refresh_token_expires_in":%d}`, left))(w, path, form)
			}})
			e := b.login()
			seen := map[time.Time]bool{}
			for n := range 20 {
				k := b.process()
				if _, err := k.Token(t.Context(), "alice", e); err != nil {
					t.Fatal(err)
				}
				end := ends(k, e)
				if want := c.want[min(n, 1)+n/19]; end.IsZero() == want && (n < 2 || n == 19) {
					t.Errorf("%s, refresh %d: %v", name, n, end)
				}
				if !end.IsZero() {
					seen[end] = true
				}
				time.Sleep(time.Hour + time.Duration(n*137)*time.Millisecond)
			}
			if len(seen) > 2 {
				t.Errorf("%s: %v", name, seen)
			}
		})
	}
}

// TestSlow: an answer that does not end in time is an error, whatever trickles in.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oauthd.Options{Reply: func(http.ResponseWriter, string, url.Values) bool {
			time.Sleep(40 * time.Second)
			return false
		}})
		begin := time.Now()
		_, err := b.keeper.Token(context.Background(), "alice", endpoint(plan.ClientCredentials, withSecret))
		refused(t, err, fault.Temporary, "did not answer within 30s")
		if took := time.Since(begin); took < 90*time.Second || took > 2*time.Minute {
			t.Errorf("took %v", took)
		}
		time.Sleep(time.Minute) // for what still sleeps
	})
}
