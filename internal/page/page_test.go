package page_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/page"
	"github.com/popferry/popferry/internal/secret"
)

const (
	address = "127.0.0.1:8325"
	token   = "schluessel+&42"
)

// noon is when the pages of tests are seen: far from midnight, whatever the zone.
var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.Local)

// scene is a bridge that does what a test says.
type scene struct {
	mu       sync.Mutex
	snapshot bridge.Snapshot
	passes   []journal.Pass
	ways     []bridge.Way
	changed  chan struct{}
	token    string
	broken   error         // of the history
	hang     chan struct{} // what a snapshot waits for
}

func newScene() *scene {
	s := &scene{changed: make(chan struct{})}
	s.snapshot = bridge.Snapshot{Started: noon.Add(-72 * time.Hour), Now: noon, Accounts: []bridge.AccountState{
		{Name: "alice", Works: true, Phase: bridge.Waiting, LeftKnown: true, Passes: 812, Seconds: 1624.5, Delivered: 3, Bytes: 40960, Deleted: 2,
			Success: noon.Add(-3 * time.Minute), Next: noon.Add(2 * time.Minute)},
		{Name: "bob", Works: true, Phase: bridge.Passing, Passes: 4, Delivered: 1204, Bytes: 81 << 20, Left: 5, LeftKnown: true, Waiting: 2,
			Success: noon.Add(-11 * time.Minute), Next: noon.Add(-time.Minute)},
		{Name: "carol", Phase: bridge.Failing, LeftKnown: true, Passes: 40, Failures: 3, Success: noon.Add(-3 * time.Hour),
			Since: noon.Add(-2 * time.Hour), Next: noon.Add(14 * time.Minute), Errors: map[string]int{"temporary": 7},
			Error: &ferry.ErrorReport{Code: fault.Temporary, Message: "pop.oldisp.example:995 does not answer",
				Hint: "check that the server is up and that no firewall is in the way"}},
		{Name: "dave", Phase: bridge.Parked, Passes: 2, Failures: 2, Since: noon.Add(-5 * time.Hour),
			Next: noon.Add(19 * time.Hour), Errors: map[string]int{"credentials": 2},
			Error: &ferry.ErrorReport{Code: fault.Credentials, Message: "imap.example.net:993 refuses the password of dave@example.net",
				Hint: "check the password in accounts.yaml"}},
		{Name: "erin", Works: true, Phase: bridge.Waiting, LeftKnown: true, Passes: 9, Held: 1, Success: noon.Add(-time.Minute), Next: noon.Add(4 * time.Minute),
			Messages: []ferry.MessageReport{{UIDL: "000000d75aa1b3c4", Size: 31 << 20, State: "held",
				Reason: "larger than the destination takes (25 MB)"}}},
	}}
	for i := range 24 {
		for name, n := range map[string]int{"bob": i*i*5%37 + i, "alice": max(0, i*7%11-5), "erin": max(0, i*i%7-3)} {
			s.passes = append(s.passes, journal.Pass{Account: name, Started: noon.Add(time.Duration(i-24)*time.Hour + time.Minute),
				Passes: 1, Seconds: 2.5, Delivered: n, Bytes: 9000})
		}
	}
	s.passes = append(s.passes,
		journal.Pass{Account: "alice", Started: noon.Add(-26 * time.Hour), Passes: 1, Delivered: 1000},
		journal.Pass{Account: "alice", Started: noon.Add(-13 * time.Hour), Passes: 1, Seconds: 1, Delivered: 100},
		journal.Pass{Account: "alice", Started: noon.Add(-3 * time.Minute), Passes: 1, Seconds: 1.2, Delivered: 3, Deleted: 2},
		journal.Pass{Account: "carol", Started: noon.Add(-time.Hour), Passes: 1, Seconds: 30, Code: 75,
			Error: "pop.oldisp.example:995 does not answer"})
	slices.SortStableFunc(s.passes, func(a, b journal.Pass) int { return a.Started.Compare(b.Started) })
	return s
}

func (s *scene) options() page.Options {
	return page.Options{
		Snapshot: func() bridge.Snapshot {
			if s.hang != nil {
				<-s.hang
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.snapshot
		},
		Changed: func() <-chan struct{} {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.changed
		},
		Passes: func(_ context.Context, since time.Time, fn func(journal.Pass) error) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, p := range s.passes {
				if !p.Started.Before(since) {
					if err := fn(p); err != nil {
						return err
					}
				}
			}
			return s.broken
		},
		Ways: func() []bridge.Way {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.ways
		},
		Token: func() secret.Value { return secret.New(s.token) }, Address: address, Build: "v0.0.0-test",
	}
}

// change does something to the bridge and tells.
func (s *scene) change(how func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	how()
	close(s.changed)
	s.changed = make(chan struct{})
}

// get asks a handler as a browser on this machine does.
func get(h http.Handler, target string, with ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Host = address
	for _, f := range with {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestEveryAnswerHasItsHeaders(t *testing.T) {
	h := page.New(newScene().options())
	for target, want := range map[string]struct {
		status int
		kind   string
	}{
		"/":                {200, "text/html; charset=utf-8"},
		"/?show=attention": {200, "text/html; charset=utf-8"},
		"/account/alice":   {200, "text/html; charset=utf-8"},
		"/account/nobody":  {404, "text/html; charset=utf-8"},
		"/account/":        {404, "text/html; charset=utf-8"},
		"/nowhere":         {404, "text/html; charset=utf-8"},
		"/healthz":         {200, "text/plain; charset=utf-8"},
		"/metrics":         {200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"},
		"/api/status.json": {200, "application/json"},
		"/page.css":        {200, "text/css; charset=utf-8"},
		"/page.js":         {200, "text/javascript; charset=utf-8"},
		"/icon.svg":        {200, "image/svg+xml"},
		"/assets/":         {404, "text/html; charset=utf-8"},
		"/overview.html":   {404, "text/html; charset=utf-8"},
	} {
		w := get(h, target)
		if w.Code != want.status || w.Header().Get("Content-Type") != want.kind {
			t.Errorf("%s: %d %q", target, w.Code, w.Header().Get("Content-Type"))
		}
		checkHeaders(t, target, w.Header())
	}
}

func checkHeaders(t *testing.T, what string, h http.Header) {
	t.Helper()
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " +
			"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
	} {
		if h.Get(name) != want {
			t.Errorf("%s: %s is %q", what, name, h.Get(name))
		}
	}
}

func TestOnlyReading(t *testing.T) {
	h := page.New(newScene().options())
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"} {
		w := get(h, "/", func(r *http.Request) { r.Method = method })
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, allowed %q", method, w.Code, w.Header().Get("Allow"))
		}
		checkHeaders(t, method, w.Header())
	}
	for _, target := range []string{"/", "/account/bob", "/events", "/metrics", "/healthz"} {
		if w := get(h, target, func(r *http.Request) { r.Method = http.MethodHead }); w.Code != http.StatusOK {
			t.Errorf("HEAD %s: %d", target, w.Code)
		}
	}
}

func TestHosts(t *testing.T) {
	for _, c := range []struct {
		listen, host string
		want         int
	}{
		{address, "127.0.0.1:8325", 200},
		{address, "localhost:8325", 200},
		{address, "LOCALHOST", 200},
		{address, "[::1]:8325", 200},
		{address, "127.0.0.1", 200},
		{address, "evil.example", 421},
		{address, "127.0.0.1.evil.example:8325", 421},
		{address, "localhost.evil.example", 421},
		{address, "192.0.2.7:8325", 421},
		{address, "", 421},
		{"192.0.2.7:8325", "192.0.2.7:8325", 200},
		{"192.0.2.7:8325", "192.0.2.8:8325", 421},
		{"mail.example.org:80", "Mail.example.org", 200},
		{"0.0.0.0:8325", "192.0.2.7:8325", 200},
		{":8325", "[2001:db8::1]:8325", 200},
		{"[::]:8325", "evil.example:8325", 421},
		{":8325", "", 421},
	} {
		o := newScene().options()
		o.Address = c.listen
		w := get(page.New(o), "/", func(r *http.Request) { r.Host = c.host })
		if w.Code != c.want {
			t.Errorf("listening on %s, asked for %q: %d", c.listen, c.host, w.Code)
		}
		if c.want != 200 && strings.Contains(w.Body.String(), "alice") {
			t.Errorf("%s learns something", c.host)
		}
	}
}

func TestToken(t *testing.T) {
	s := newScene()
	s.token = token
	h := page.New(s.options())
	for _, target := range []string{"/", "/account/alice", "/events", "/metrics", "/api/status.json", "/nowhere"} {
		w := get(h, target)
		if w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "alice") {
			t.Errorf("%s without a token: %d", target, w.Code)
		}
		checkHeaders(t, target, w.Header())
	}
	for _, target := range []string{"/healthz", "/page.css", "/page.js", "/icon.svg"} {
		if w := get(h, target); w.Code != http.StatusOK {
			t.Errorf("%s needs no token, and answers %d", target, w.Code)
		}
	}
	bearer := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	if w := get(h, "/metrics", bearer); w.Code != http.StatusOK || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("with a header: %d, %v", w.Code, w.Header())
	}
}

// The token of an address is there once: then a cookie is, which does not tell it.
func TestTokenInTheAddress(t *testing.T) {
	s := newScene()
	s.token = token
	h := page.New(s.options())
	w := get(h, "/?show=attention&token="+url.QueryEscape(token))
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/?show=attention" {
		t.Fatalf("%d to %q", w.Code, w.Header().Get("Location"))
	}
	cookie := w.Result().Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode {
		t.Errorf("cookie %v", cookie)
	}
	if all := w.Body.String() + cookie.String(); strings.Contains(all, token) || strings.Contains(all, url.QueryEscape(token)) {
		t.Errorf("the token is in %q", all)
	}
	with := func(r *http.Request) { r.AddCookie(cookie) }
	if w := get(h, "/?show=attention", with); w.Code != http.StatusOK || strings.Contains(w.Body.String(), token) {
		t.Errorf("with the cookie: %d", w.Code)
	}
	s.token = "another"
	if w := get(h, "/", with); w.Code != http.StatusUnauthorized {
		t.Errorf("with the cookie of an old token: %d", w.Code)
	}
}

// Who guesses is held up, even if it guesses right at last; others are not.
func TestWrongTokensAreLimited(t *testing.T) {
	s := newScene()
	s.token = token
	h := page.New(s.options())
	try := func(from, given string) int {
		return get(h, "/metrics", func(r *http.Request) {
			r.RemoteAddr = from
			r.Header.Set("Authorization", "Bearer "+given)
		}).Code
	}
	for range 5 {
		if got := try("192.0.2.1:999", "wrong"); got != http.StatusUnauthorized {
			t.Fatalf("a wrong token: %d", got)
		}
	}
	if got := try("192.0.2.1:1000", token); got != http.StatusTooManyRequests {
		t.Errorf("after five wrong tokens: %d", got)
	}
	if got := try("192.0.2.2:999", token); got != http.StatusOK {
		t.Errorf("from elsewhere: %d", got)
	}
	for i := range 6 {
		try("[2001:db8::"+string(rune('1'+i))+"]:9", "wrong")
	}
	if got := try("[2001:db8::abcd]:9", token); got != http.StatusTooManyRequests {
		t.Errorf("from the same network: %d", got)
	}
}

// signIn is the cookie that somebody gets who knows the token.
func signIn(t *testing.T, h http.Handler) func(*http.Request) {
	t.Helper()
	cookies := get(h, "/?token="+url.QueryEscape(token)).Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies %v", cookies)
	}
	return func(r *http.Request) { r.AddCookie(cookies[0]) }
}

func bearing(given string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+given) }
}

func from(site string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", site) }
}

// TestACookieIsLetInWhateverOthersDo: behind a proxy all have one address.
func TestACookieIsLetInWhateverOthersDo(t *testing.T) {
	s := newScene()
	s.token = token
	h := page.New(s.options())
	owner := signIn(t, h)
	for range 10 {
		get(h, "/metrics", bearing("stale"))
	}
	if w := get(h, "/metrics", bearing(token)); w.Code != http.StatusTooManyRequests {
		t.Fatalf("a token after ten wrong ones: %d", w.Code)
	}
	for _, with := range [][]func(*http.Request){{owner}, {owner, bearing("stale")}} {
		if w := get(h, "/", with...); w.Code != http.StatusOK {
			t.Errorf("the owner's cookie: %d", w.Code)
		}
	}
}

// TestAGoodCookieBesideOthers is good, and so it is beside an old token in a bookmark.
func TestAGoodCookieBesideOthers(t *testing.T) {
	s := newScene()
	s.token = token
	h := page.New(s.options())
	owner := signIn(t, h)
	wrong := func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "popferry-8325", Value: "wrong"}) }
	for _, with := range [][]func(*http.Request){{wrong, owner}, {owner, wrong}} {
		if w := get(h, "/", with...); w.Code != http.StatusOK {
			t.Errorf("%d", w.Code)
		}
	}
	w := get(h, "/?show=attention&token=stale", owner)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/?show=attention" {
		t.Errorf("%d to %q", w.Code, w.Header().Get("Location"))
	}
}

// TestWrongCookiesCountAsNothing: nobody can guess one.
func TestWrongCookiesCountAsNothing(t *testing.T) {
	s := newScene()
	s.token = token
	h := page.New(s.options())
	for range 10 {
		w := get(h, "/", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "popferry-8325", Value: "wrong"}) })
		if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "add ?token=") {
			t.Fatalf("a wrong cookie: %d", w.Code)
		}
	}
	signIn(t, h)
}

// TestOtherSitesGiveNoTokens in the name of the browser that shows them, such as in
// <img src="http://127.0.0.1:8325/?token=x">.
func TestOtherSitesGiveNoTokens(t *testing.T) {
	s := newScene()
	s.token = token
	h := page.New(s.options())
	for _, given := range []string{"x", token} {
		for range 6 {
			w := get(h, "/?token="+url.QueryEscape(given), from("cross-site"))
			if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "Links of other sites") {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
	}
	if w := get(h, "/?token="+url.QueryEscape(token), from("none")); w.Code != http.StatusSeeOther {
		t.Errorf("who types the address: %d", w.Code)
	}
}

// TestCookiesNeedTheKey: who has one can't find the token by it, and who guesses the token can
// make none.
func TestCookiesNeedTheKey(t *testing.T) {
	let := func(first, second secret.Value) int {
		s := newScene()
		s.token = token
		o := s.options()
		o.Key = first
		cookie := signIn(t, page.New(o))
		o.Key = second
		return get(page.New(o), "/", cookie).Code
	}
	key := page.NewKey()
	if got := let(key, key); got != http.StatusOK {
		t.Errorf("after a restart: %d", got)
	}
	for _, other := range []secret.Value{page.NewKey(), {}} {
		if got := let(key, other); got != http.StatusUnauthorized {
			t.Errorf("with another key: %d", got)
		}
	}
	if got := let(secret.Value{}, secret.Value{}); got != http.StatusUnauthorized {
		t.Errorf("of another process without a key: %d", got)
	}
}

// TestOldCookieIsTakenAway, and the new token counts beside it.
func TestOldCookieIsTakenAway(t *testing.T) {
	s := newScene()
	s.token = token
	h := page.New(s.options())
	old := get(h, "/?token="+url.QueryEscape(token)).Result().Cookies()[0]
	with := func(r *http.Request) { r.AddCookie(old) }
	s.token = "another one"
	left := get(h, "/", with).Result().Cookies()
	if len(left) != 1 || left[0].Name != old.Name || left[0].MaxAge >= 0 || left[0].Path != old.Path {
		t.Errorf("%v is left of %v", left, old)
	}
	for range 10 {
		if w := get(h, "/?token="+url.QueryEscape(s.token), with); w.Code != http.StatusSeeOther {
			t.Errorf("the new token: %d", w.Code)
		}
	}
}

// TestTwoBridgesOnAMachine leave each other's cookies alone.
func TestTwoBridgesOnAMachine(t *testing.T) {
	names := map[string]bool{}
	for _, listens := range []string{address, "127.0.0.1:8326"} {
		s := newScene()
		s.token = token
		o := s.options()
		o.Address = listens
		names[get(page.New(o), "/?token="+url.QueryEscape(token)).Result().Cookies()[0].Name] = true
	}
	if len(names) != 2 {
		t.Errorf("%v", names)
	}
}

// text is what stands in the element with an id.
func text(t *testing.T, body, id string) string {
	t.Helper()
	m := regexp.MustCompile(`id="` + id + `"[^>]*>([^<]*)<`).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("nothing has the id %s", id)
	}
	return m[1]
}

func TestOverviewHasTheFiguresOfTheSnapshot(t *testing.T) {
	s := newScene()
	body := get(page.New(s.options()), "/").Body.String()
	today := 0
	for _, p := range s.passes {
		if p.Started.Day() == noon.Day() {
			today += p.Delivered
		}
	}
	for id, want := range map[string]string{
		"verdict": "3 of 5 accounts need attention.", "waiting": "5", "held": "1", "passing": "1", "today": strconv.Itoa(today),
	} {
		if got := text(t, body, id); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	for _, want := range []string{
		"3 minutes ago", "in 2 minutes", "does not answer", "Check first:</strong> that the server is up", "3 times in a row", "<title>(3) popferry</title>",
		"can&#39;t sign in", "at work", "mail is held", `title="` + noon.Add(2*time.Minute).Format("2006-01-02 15:04:05 MST") + `"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Index(body, ">dave<") > strings.Index(body, ">carol<") || strings.Index(body, ">carol<") > strings.Index(body, ">alice<") {
		t.Error("what needs attention does not come first")
	}
}

// TestWaitingIsNotKnown of an account whose maildrop nobody saw: it is not zero.
func TestWaitingIsNotKnown(t *testing.T) {
	s := newScene()
	h := page.New(s.options())
	for target, wants := range map[string][]string{
		"/":             {`<td data-label="waiting" class="number">–</td>`, `<td data-label="waiting" class="number none">0</td>`},
		"/account/dave": {"<dt>waiting</dt><dd>–</dd>"}, "/account/alice": {"<dt>waiting</dt><dd>0</dd>"},
		"/api/status.json": {`"left":0,"left_known":true`, `"left":0,"left_known":false`},
	} {
		for _, want := range wants {
			if body := get(h, target).Body.String(); !strings.Contains(body, want) {
				t.Errorf("%s lacks %q:\n%s", target, want, body)
			}
		}
	}
	s.snapshot.Accounts = s.snapshot.Accounts[3:4]
	if got := text(t, get(h, "/").Body.String(), "waiting"); got != "–" {
		t.Errorf("nobody knows any account's, and all together are %s", got)
	}
}

// TestInTheQueue: an account whose pass waits for its turn is not at work.
func TestInTheQueue(t *testing.T) {
	s := newScene()
	s.snapshot.Accounts[1].Queued = true
	site := page.New(s.options())
	body := get(site, "/").Body.String()
	if got := text(t, body, "passing"); got != "0" || !strings.Contains(body, "in the queue") {
		t.Errorf("%s at work: %s", got, body)
	}
	for path, want := range map[string]string{"/metrics": `popferry_in_flight{account="bob"} 0`, "/api/status.json": `"phase":"passing","queued":true`} {
		if got := get(site, path).Body.String(); !strings.Contains(got, want) {
			t.Errorf("%s lacks %s: %s", path, want, got)
		}
	}
}

// TestWhatAPassWaitsFor is told with until when.
func TestWhatAPassWaitsFor(t *testing.T) {
	s := newScene()
	s.snapshot.Accounts[1].WaitsFor, s.snapshot.Accounts[1].WaitsUntil = "1 append whose answer was lost <to show up>", noon.Add(time.Minute)
	site := page.New(s.options())
	for target, want := range map[string]string{
		"/": `>Waits for 1 append whose answer was lost &lt;to show up&gt;, until <time`, "/account/bob": noon.Add(time.Minute).Format("15:04:05 MST</time>"),
		"/api/status.json": `"waits_until":"` + noon.Add(time.Minute).Format(time.RFC3339),
	} {
		if body := get(site, target).Body.String(); !strings.Contains(body, want) {
			t.Errorf("%s lacks %s:\n%s", target, want, body)
		}
	}
	if body := get(site, "/account/alice").Body.String(); strings.Contains(body, "Waits for") {
		t.Error("alice waits for nothing")
	}
}

// TestParkedAfterARestart: an account that is not even tried is not well.
func TestParkedAfterARestart(t *testing.T) {
	at := time.Now().UTC().Format(time.RFC3339)
	b := bridge.New(bridge.Options{Save: func(string, string) {},
		Load: func(string) string { return `{"held":"` + at + `","refused":["` + at + `","` + at + `","` + at + `"]}` }})
	ctx, cancel := context.WithCancel(context.Background())
	b.Start(ctx, []bridge.Account{{Name: "dave", Interval: time.Hour, Fastest: time.Minute}})
	s := newScene()
	s.snapshot = b.Snapshot()
	cancel()
	b.Wait()
	h := page.New(s.options())
	for target, wants := range map[string][]string{
		"/":             {"1 of 1 account needs attention.", "can&#39;t sign in"},
		"/account/dave": {"its credentials were refused three times within the hour", "Check first:"},
		"/metrics":      {`popferry_parked{account="dave"} 1`, `popferry_up{account="dave"} 0`},
	} {
		body := get(h, target).Body.String()
		for _, want := range wants {
			if !strings.Contains(body, want) {
				t.Errorf("%s lacks %q:\n%s", target, want, body)
			}
		}
	}
}

// TestRestingIsNotWell: an account outside of its hours was asked nothing, and nobody knows
// whether it works. One that did rests all the same.
func TestRestingIsNotWell(t *testing.T) {
	s := newScene()
	s.snapshot.Accounts = []bridge.AccountState{{Name: "alice", Phase: bridge.Waiting, Passes: 1, Resting: true}}
	h := page.New(s.options())
	for target, want := range map[string]string{
		"/": `<h1 class="idle" id="verdict">Nothing needs attention; 1 account not tried yet.</h1>`, "/account/alice": ">resting<",
		"/metrics": `popferry_up{account="alice"} 0`, "/api/status.json": `"works":false,"resting":true`,
	} {
		if body := get(h, target).Body.String(); !strings.Contains(body, want) || strings.Contains(body, ">well<") {
			t.Errorf("%s lacks %q:\n%s", target, want, body)
		}
	}
	s.snapshot.Accounts[0].Works = true
	if body := get(h, "/").Body.String(); !strings.Contains(body, "The account is well.") || !strings.Contains(body, ">resting<") {
		t.Errorf("%s", body)
	}
}

// TestAwaitedWord: somebody has to be told, and how to give it, though nothing failed.
func TestAwaitedWord(t *testing.T) {
	s := newScene()
	s.snapshot.Accounts = s.snapshot.Accounts[:1]
	s.snapshot.Accounts[0].Awaits = &ferry.ErrorReport{Code: fault.Held, Message: "3 messages could be deleted",
		Hint: "stop the bridge, and run once with --confirm-delete"}
	h := page.New(s.options())
	for target, wants := range map[string][]string{
		"/":              {"1 of 1 account needs attention.", "needs your word", "3 messages could be deleted", "What to do:</strong> stop the bridge"},
		"/account/alice": {"needs your word", "3 messages could be deleted", "What to do:</strong> stop the bridge"},
		"/metrics":       {`popferry_up{account="alice"} 1`}, "/api/status.json": {`"awaits":{"code":65,"message":"3 messages`},
	} {
		for _, want := range wants {
			if body := get(h, target).Body.String(); !strings.Contains(body, want) {
				t.Errorf("%s lacks %q:\n%s", target, want, body)
			}
		}
	}
}

func TestTheDayIsDrawn(t *testing.T) {
	body := get(page.New(newScene().options()), "/account/carol").Body.String()
	for _, want := range []string{`aria-label="last 24 hours: 0 messages delivered, 1 failure"`, `class="failed" d="M88 25h3v-3h-3z"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the picture lacks %s", want)
		}
	}
}

func TestFilter(t *testing.T) {
	s := newScene()
	h := page.New(s.options())
	body := get(h, "/?show=attention").Body.String()
	if strings.Contains(body, ">alice<") || !strings.Contains(body, ">dave<") || !strings.Contains(body, ">erin<") {
		t.Error("it shows the wrong accounts")
	}
	s.snapshot.Accounts = s.snapshot.Accounts[:2]
	if body := get(h, "/?show=attention").Body.String(); !strings.Contains(body, "Nothing needs attention.") ||
		!strings.Contains(body, "All 2 accounts are well.") {
		t.Error("it does not say that nothing does")
	}
	s.snapshot.Accounts = nil
	if body := get(h, "/").Body.String(); !strings.Contains(body, "There are no accounts.") {
		t.Error("it does not say that there are none")
	}
}

// TestSearch: by name and by state, whatever the case, in all accounts or in those that need
// attention. What stands on top is of all accounts.
func TestSearch(t *testing.T) {
	s := newScene()
	s.snapshot.Accounts[0].Name = "Alice@Example.org"
	h := page.New(s.options())
	all := get(h, "/").Body.String()
	for query, want := range map[string]string{
		"q=":                     "dave carol erin Alice@Example.org bob",
		"q=aLICE@":               "Alice@Example.org",
		"q=+e+":                  "dave erin Alice@Example.org",
		"q=failing":              "carol",
		"q=sign+in":              "dave",
		"q=e&show=attention":     "dave erin",
		"q=nobody":               "",
		"q=%00ca%E2%80%AErol%FF": "carol",
		"q=carol&q=bob":          "carol",
		"q=%25&show=attention":   "",
		"q=[a-z]":                "",
	} {
		body := get(h, "/?"+query).Body.String()
		var shown []string
		for _, m := range regexp.MustCompile(`data-account="([^"]*)"`).FindAllStringSubmatch(body, -1) {
			shown = append(shown, m[1])
		}
		if got := strings.Join(shown, " "); got != want {
			t.Errorf("%s shows %q, want %q", query, got, want)
		}
		for _, id := range []string{"verdict", "waiting", "held", "passing", "today"} {
			if text(t, body, id) != text(t, all, id) {
				t.Errorf("%s: %s is %q, and of all accounts %q", query, id, text(t, body, id), text(t, all, id))
			}
		}
		if !strings.Contains(body, `<h1 class="bad"`) {
			t.Errorf("%s: what is bad depends on what is shown", query)
		}
	}
	for query, want := range map[string]string{
		"q=carol": `1 of 5 accounts has “carol” in name or state. <a href="/">Show all</a>`,
		"q=e":     "of 5 accounts have “e”", "q=nobody": "0 of 5 accounts have “nobody”",
		"q=e&show=attention": "2 of 3 accounts in need of attention have “e”",
		"show=attention":     `<input type="hidden" name="show" value="attention">`,
	} {
		if body := get(h, "/?"+query).Body.String(); !strings.Contains(body, want) {
			t.Errorf("%s lacks %s:\n%s", query, want, body)
		}
	}
}

// TestHostileSearch: an address can be of somebody who wants others to follow it.
func TestHostileSearch(t *testing.T) {
	h := page.New(newScene().options())
	sought := `"><script>alert(1)</script>` + "\u202e\x1b\x00\r\n" + strings.Repeat("ä", 3000)
	body := get(h, "/?q="+url.QueryEscape(sought)).Body.String()
	if strings.Contains(body, "<script>") || strings.ContainsAny(body, "\u202e\x1b\x00\r") || strings.Count(body, "ä") > 200 ||
		!strings.Contains(body, `value="&#34;&gt;&lt;script&gt;`) {
		t.Errorf("%s", body)
	}
}

func TestAccount(t *testing.T) {
	h := page.New(newScene().options())
	for name, want := range map[string][]string{
		"alice": {"3 messages delivered (41 kB), 2 deleted from POP3, in 812 passes", "1.2s"},
		"bob":   {"<dt>waiting</dt><dd>5</dd>", "<dt>unsettled</dt><dd>2</dd>"},
		"carol": {"does not answer", "temporary", "30s"},
		"erin":  {"000000d75aa1b3c4", "33 MB", "larger than the destination takes"},
		"dave":  {"None in which something happened."},
	} {
		body := get(h, "/account/"+name).Body.String()
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s: the page lacks %q", name, w)
			}
		}
	}
}

// Names and texts are of other people, who may not mean well.
func TestHostileTexts(t *testing.T) {
	const script = `<script>alert(1)</script>`
	for _, name := range []string{script, "a/b", "a%2fb", "..%2f..", "a\nb", "a\r\nSet-Cookie: x=1", `"><img src=x>`, "ä ö?#&;",
		"javascript:alert(1)", "\u202eevil", strings.Repeat("x", 500), "a//b", "a\\b"} {
		s := newScene()
		a := &s.snapshot.Accounts[4]
		a.Name = name
		a.Notes = []string{script + "\x1b[2J\u202e"}
		a.Messages[0].UIDL, a.Messages[0].Reason = script+"\x00", script+"\u202e"
		a.Error = &ferry.ErrorReport{Code: fault.Temporary, Message: script + "\x07", Hint: script}
		s.passes = append(s.passes, journal.Pass{Account: name, Started: noon.Add(-time.Minute), Passes: 1, Code: 75, Error: script})
		h := page.New(s.options())
		body := get(h, "/").Body.String()
		m := regexp.MustCompile(`href="(/account/[^"]*)">[^<]*</a></th>\s*<td class="mark"><span class="state wait">failing</span></td>\s*<td data-label="last success"><time[^>]*>1 minute`).
			FindStringSubmatch(body)
		if m == nil {
			t.Errorf("%q has no link", name)
			continue
		}
		w := get(h, strings.ReplaceAll(m[1], "&amp;", "&"))
		if w.Code != http.StatusOK {
			t.Errorf("%q: the link %s leads to %d", name, m[1], w.Code)
		}
		for _, text := range []string{body, w.Body.String()} {
			if strings.Contains(text, "<script>") || strings.Contains(text, "<img") || strings.ContainsAny(text, "\x00\x07\x1b\u202e\r") {
				t.Errorf("%q: hostile text reaches the page", name)
			}
		}
		if w := get(h, "/metrics"); w.Code != http.StatusOK {
			t.Errorf("%q: metrics answer %d: %s", name, w.Code, w.Body)
		}
	}
}

// TestHeldAsFiles: the bridge that shows this has the state that the other verb needs.
func TestHeldAsFiles(t *testing.T) {
	const want = "stop the bridge, and type <code>popferry run --export-held DIR</code>"
	if body := get(page.New(newScene().options()), "/account/erin").Body.String(); !strings.Contains(body, want) {
		t.Errorf("lacks %s:\n%s", want, body)
	}
}

// Only what is held is listed, also where every message is reported.
func TestOtherMessagesAreNotShown(t *testing.T) {
	s := newScene()
	s.snapshot.Accounts[4].Messages = append(s.snapshot.Accounts[4].Messages, ferry.MessageReport{UIDL: "another", State: "delivered"})
	if body := get(page.New(s.options()), "/account/erin").Body.String(); strings.Contains(body, "another") {
		t.Error("a delivered message is called held")
	}
}

func TestMetrics(t *testing.T) {
	body := get(page.New(newScene().options()), "/metrics").Body.String()
	for _, want := range []string{
		`popferry_build_info{version="v0.0.0-test"} 1`,
		`popferry_up{account="alice"} 1`, `popferry_up{account="carol"} 0`,
		`popferry_in_flight{account="bob"} 1`, `popferry_in_flight{account="alice"} 0`,
		`popferry_parked{account="dave"} 1`,
		`popferry_delivered_total{account="bob"} 1204`,
		`popferry_deleted_total{account="alice"} 2`,
		`popferry_bytes_total{account="alice"} 40960`,
		`popferry_passes_total{account="alice"} 812`,
		`popferry_pass_seconds_total{account="alice"} 1624.5`,
		`popferry_held{account="erin"} 1`, `popferry_left{account="bob"} 5`, `popferry_waiting{account="bob"} 2`,
		`popferry_errors_total{account="carol",class="temporary"} 7`,
		`popferry_last_success_timestamp_seconds{account="dave"} 0`,
		"# TYPE popferry_errors_total counter", "# TYPE popferry_held gauge",
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(body, "go_") {
		t.Error("there are figures of others")
	}
}

// TestJSONHasWhatThePageHas: today, by the hour, the last passes, and of the messages only
// those held.
func TestJSONHasWhatThePageHas(t *testing.T) {
	s := newScene()
	s.snapshot.Accounts[4].Messages = append(s.snapshot.Accounts[4].Messages, ferry.MessageReport{UIDL: "another", State: "delivered"})
	type account struct {
		Today    *int
		Hours    []struct{ Delivered, Failed int }
		Messages []ferry.MessageReport
		Recent   []struct {
			Started  time.Time
			ExitCode fault.Code `json:"exit_code"`
			Error    string
		}
	}
	status := func() (accounts []account) {
		got := struct{ Accounts *[]account }{&accounts}
		if err := json.Unmarshal(get(page.New(s.options()), "/api/status.json").Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		return accounts
	}
	a := status()
	if today := text(t, get(page.New(s.options()), "/account/bob").Body.String(), "today"); fmt.Sprint(*a[1].Today) != today {
		t.Errorf("bob got %d today, and the page says %s", *a[1].Today, today)
	}
	carol := a[2]
	if len(carol.Hours) != 24 || carol.Hours[22].Failed != 1 || carol.Recent[0].ExitCode != fault.Temporary || carol.Recent[0].Error == "" {
		t.Errorf("%+v", carol)
	}
	if r := a[0].Recent; len(r) < 2 || !r[0].Started.After(r[1].Started) || a[0].Hours[23].Delivered < 3 {
		t.Errorf("%+v", a[0])
	}
	if m := a[4].Messages; len(m) != 1 || m[0].State != "held" {
		t.Errorf("%+v", m)
	}
	s.broken = errors.New("no such table")
	if a := status()[1]; a.Today != nil || a.Hours != nil {
		t.Errorf("out of nothing: %+v", a)
	}
}

func TestJSON(t *testing.T) {
	s := newScene()
	var got struct {
		Version  int
		Build    string
		Accounts []bridge.AccountState
	}
	if err := json.Unmarshal(get(page.New(s.options()), "/api/status.json").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != page.StatusVersion || got.Build != "v0.0.0-test" || len(got.Accounts) != 5 || got.Accounts[1].Delivered != 1204 ||
		got.Accounts[3].Error.Code != fault.Credentials {
		t.Errorf("%+v", got)
	}
}

// A history that can't be read costs the figures that come from it, and no others.
func TestHistoryIsBroken(t *testing.T) {
	s := newScene()
	s.broken = errors.New("no such table")
	var log strings.Builder
	o := s.options()
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	h := page.New(o)
	for _, target := range []string{"/", "/account/erin"} {
		w := get(h, target)
		body := w.Body.String()
		if w.Code != 200 || !strings.Contains(body, "history can't be read") || text(t, body, "today") != "–" || text(t, body, "held") != "1" {
			t.Errorf("%s: %d", target, w.Code)
		}
		if strings.Contains(body, "no such table") {
			t.Errorf("%s tells inner matters", target)
		}
	}
	if n := strings.Count(log.String(), "no such table"); n != 1 {
		t.Errorf("the log has it %d times", n)
	}
}

// TestAlertsThatCantBeDelivered are told by the page, as nobody else can.
func TestAlertsThatCantBeDelivered(t *testing.T) {
	o := newScene().options()
	o.Ways = func() []bridge.Way {
		return []bridge.Way{bridge.NewWay("command", 0, noon, nil), bridge.NewWay("webhook", 2, noon.Add(-3*time.Hour),
			fault.New(fault.Refused, "hook.example.org answered 404").WithHint("check the address"))}
	}
	h := page.New(o)
	for target, wants := range map[string][]string{
		"/": {"<strong>Alerts can't be delivered</strong> by webhook", "3 hours</time>; 2 alerts waiting", "hook.example.org answered 404",
			"Check first:</strong> the address"},
		"/account/alice": {"hook.example.org answered 404"},
		"/metrics":       {`popferry_alerts_up{by="command"} 1`, `popferry_alerts_up{by="webhook"} 0`, `popferry_alerts_waiting{by="webhook"} 2`},
		"/api/status.json": {`"alerts":[{"by":"command","waiting":0},{"by":"webhook","waiting":2,"since":"`,
			`"message":"hook.example.org answered 404","hint":"check the address"}}]`},
	} {
		body := get(h, target).Body.String()
		for _, want := range wants {
			if !strings.Contains(body, want) {
				t.Errorf("%s lacks %q:\n%s", target, want, body)
			}
		}
		if strings.Contains(body, "by command") {
			t.Errorf("%s: the command works", target)
		}
	}
	o.Ways = func() []bridge.Way {
		return []bridge.Way{bridge.NewWay("heartbeat", 0, noon, fault.New(fault.Refused, "beat.example.org answered 404"))}
	}
	if body := get(page.New(o), "/").Body.String(); !strings.Contains(body, "<strong>The heartbeat is not taken</strong>, for ") {
		t.Errorf("it lacks the heartbeat:\n%s", body)
	}
	if body := get(page.New(newScene().options()), "/").Body.String(); strings.Contains(body, "delivered</strong>") {
		t.Error("all is well, and the page says it is not")
	}
}

// The history follows what changes, and is not read anew for every reader.
func TestHistoryIsReadOnce(t *testing.T) {
	s := newScene()
	reads := 0
	o := s.options()
	passes := o.Passes
	o.Passes = func(ctx context.Context, since time.Time, fn func(journal.Pass) error) error {
		reads++
		return passes(ctx, since, fn)
	}
	h := page.New(o)
	before := text(t, get(h, "/account/carol").Body.String(), "today")
	for range 20 {
		get(h, "/")
	}
	if reads != 1 || before != "0" {
		t.Errorf("%d reads, %q today", reads, before)
	}
	s.change(func() {
		s.passes = append(s.passes, journal.Pass{Account: "carol", Started: noon.Add(-time.Second), Passes: 1, Delivered: 8})
	})
	for text(t, get(h, "/account/carol").Body.String(), "today") != "8" { // or the test never ends
		time.Sleep(10 * time.Millisecond)
	}
}
