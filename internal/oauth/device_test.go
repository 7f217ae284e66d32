package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/oauthd"
	"github.com/popferry/popferry/internal/oauth"
	"github.com/popferry/popferry/plan"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// TestDevice also holds that the provider is asked no more often than it wants: it
// answers whoever does with slow_down, and that would be a further question.
func TestDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oauthd.Options{Pending: 3})
		var prompts []oauth.Prompt
		e := endpoint(plan.DeviceFlow)
		err := b.keeper.Login(context.Background(), "alice", e, func(p oauth.Prompt) { prompts = append(prompts, p) })
		if err != nil {
			t.Fatal(err)
		}
		if len(prompts) != 1 || prompts[0].URL != base+"/activate" || prompts[0].Code != "WDJB-MJHT" ||
			prompts[0].Until.Before(time.Now()) {
			t.Errorf("%+v", prompts)
		}
		if n := b.provider.Asked(deviceGrant); n != 4 {
			t.Errorf("asked %d times", n)
		}
		b.token(b.keeper, e)
		if n := b.provider.Asked("refresh_token"); n != 0 {
			t.Errorf("refreshed %d times, though the login gave a token", n)
		}
		b.token(b.process(), e)
		checkPrivate(t, b.dir)
	})
}

// checkPrivate looks at what is on the disk.
func checkPrivate(t *testing.T, dir string) {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 { // the token and its lock
		t.Errorf("%v, %v", entries, err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || info.Mode().Perm() != 0o600 || strings.Contains(entry.Name(), "alice") {
			t.Errorf("%s: %v, %v", entry.Name(), info.Mode(), err)
		}
	}
}

// TestNobodySignsInForNothing: what could not be kept is said before.
func TestNobodySignsInForNothing(t *testing.T) {
	keyring.MockInitWithError(errors.New("no bus"))
	t.Cleanup(keyring.MockInit)
	for where, c := range map[string]struct {
		code fault.Code
		says string
	}{"keyring": {fault.Config, "store: file"}, "file": {fault.Credentials, "chmod 700"}} {
		b := newBench(t, oauthd.Options{})
		if err := os.Mkdir(b.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if where == "file" {
			if err := os.Chmod(b.dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		e := endpoint(plan.DeviceFlow, func(o *plan.OAuth) { o.Store = where })
		err := b.keeper.Login(soon(t), "alice", e, func(oauth.Prompt) { t.Error(where + ": somebody has to sign in") })
		refused(t, err, c.code, c.says)
	}
}

func TestDeviceSlowDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := 2
		b := newBench(t, oauthd.Options{Reply: func(w http.ResponseWriter, path string, form url.Values) bool {
			if path != "/token" || slow == 0 {
				return false
			}
			slow--
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			w.Write([]byte(`{"error":"slow_down"}`))
			return true
		}})
		begin := time.Now()
		b.login()
		if took := time.Since(begin); took != (5+10+15)*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestDeviceOutOfOrder: a provider that fails while the person types is asked again.
func TestDeviceOutOfOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := 3
		b := newBench(t, oauthd.Options{Pending: 1, Reply: func(w http.ResponseWriter, path string, _ url.Values) bool {
			if path != "/token" || broken == 0 {
				return false
			}
			broken--
			http.Error(w, "<html>busy</html>", http.StatusBadGateway)
			return true
		}})
		b.login()
	})
}

func TestDeviceRefusals(t *testing.T) {
	for _, c := range []struct {
		name    string
		options oauthd.Options
		code    fault.Code
		words   []string
	}{
		{"denied", oauthd.Options{Deny: "access_denied"}, fault.Credentials, []string{"access_denied", "popferry login alice"}},
		{"Microsoft's denied", oauthd.Options{Deny: "authorization_declined"}, fault.Credentials, []string{"declined"}},
		{"too late", oauthd.Options{Pending: 1 << 20}, fault.Credentials, []string{"not entered in time"}},
		{"expired", oauthd.Options{Deny: "expired_token"}, fault.Credentials, []string{"not entered in time"}},
		{"out of order", oauthd.Options{Reply: instead("/token", 503, "text/html", "<p>")}, fault.Credentials,
			[]string{"not entered in time"}},
		{"no offer", oauthd.Options{Reply: instead("/device", 404, "text/html", "<p>")}, fault.Config, []string{"status 404"}},
		{"null", oauthd.Options{Reply: instead("/device", 200, "application/json", "null")}, fault.Protocol, nil},
		{"no code", oauthd.Options{Reply: instead("/device", 200, "application/json", "{}")}, fault.Protocol,
			[]string{"no code to enter"}},
		{"clear text", oauthd.Options{Reply: instead("/device", 200, "application/json",
			`{"device_code":"c","user_code":"u","verification_uri":"http://login.example.org"}`)}, fault.Protocol,
			[]string{"safe address"}},
		{"a script", oauthd.Options{Reply: instead("/device", 200, "application/json",
			`{"device_code":"c","user_code":"u","verification_uri":"javascript:alert(1)"}`)}, fault.Protocol, nil},
		{"times in the past", oauthd.Options{Reply: offering(`"interval":-9,"expires_in":-5`)}, fault.Credentials, nil},
		{"a week", oauthd.Options{Reply: offering(`"interval":604800,"expires_in":604800`)}, fault.Credentials, nil},
		{"endless times", oauthd.Options{Reply: offering(`"interval":9223372036854775807,"expires_in":9223372036854775807`)},
			fault.Credentials, []string{"not entered in time"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, c.options)
				begin := time.Now()
				err := b.keeper.Login(context.Background(), "alice", endpoint(plan.DeviceFlow), func(oauth.Prompt) {})
				refused(t, err, c.code, c.words...)
				if took := time.Since(begin); took > time.Hour {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// offering gives a code with these times, which nobody ever enters.
func offering(times string) func(http.ResponseWriter, string, url.Values) bool {
	return func(w http.ResponseWriter, path string, form url.Values) bool {
		return instead("/device", 200, "application/json", `{"device_code":"c","user_code":"u",
			"verification_uri":"https://a.example",`+times+"}")(w, path, form) ||
			instead("/token", 400, "application/json", `{"error":"authorization_pending"}`)(w, path, form)
	}
}

// TestDeviceIsHarmlessToShow: what the provider wants shown goes to a terminal.
func TestDeviceIsHarmlessToShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oauthd.Options{Reply: instead("/device", 200, "application/json",
			`{"device_code":"c","user_code":"\u001b[2J`+strings.Repeat("x", 500)+`","verification_uri":"https://a.example/\u202e"}`)})
		var prompt oauth.Prompt
		b.keeper.Login(context.Background(), "alice", endpoint(plan.DeviceFlow), func(p oauth.Prompt) { prompt = p })
		if strings.ContainsAny(prompt.Code+prompt.URL, "\x1b\u202e") || len(prompt.Code) > 210 || prompt.Code == "" {
			t.Errorf("%q", prompt)
		}
	})
}

func TestDeviceCanBeStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { stopped(t, oauthd.Options{Pending: 1 << 20}) })
	synctest.Test(t, func(t *testing.T) { // while the provider says nothing
		stopped(t, oauthd.Options{Reply: func(http.ResponseWriter, string, url.Values) bool {
			time.Sleep(10 * time.Second)
			return false
		}})
		time.Sleep(10 * time.Second)
	})
}

func stopped(t *testing.T, o oauthd.Options) {
	b := newBench(t, o)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(time.Second, cancel)
	begin := time.Now()
	err := b.keeper.Login(ctx, "alice", endpoint(plan.DeviceFlow), func(oauth.Prompt) {})
	refused(t, err, fault.Temporary, "stopped")
	if took := time.Since(begin); took != time.Second {
		t.Errorf("took %v", took)
	}
}
