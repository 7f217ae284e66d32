package page_test

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	document "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/page"
)

var picturesTo = flag.String("pictures", "", "a `folder` to put pictures of the pages into, such as ../../docs")

// visit is a browser, and what went on in it.
type visit struct {
	ctx context.Context

	mu       sync.Mutex
	requests []string
	errors   []string
}

// browse starts Chromium, which reaches nobody but this machine.
func browse(t *testing.T) *visit {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Skip("chromium is not installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))...)
	t.Cleanup(cancel)
	v := &visit{}
	v.ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Listen(v.ctx, v.note); err != nil {
		t.Fatal(err)
	}
	call(t, v, network.Enable, network.EnableParams{})
	call(t, v, log.Enable, cdp.Empty{})
	call(t, v, runtime.Enable, cdp.Empty{})
	return v
}

// note keeps every request, and every error that the browser's console has.
func (v *visit) note(ev any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		v.requests = append(v.requests, ev.Request.URL)
	case *runtime.EventExceptionThrown:
		v.errors = append(v.errors, ev.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if strings.HasSuffix(ev.Entry.URL, "/nowhere") {
			return // we know
		}
		if ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning {
			v.errors = append(v.errors, ev.Entry.Text+" "+ev.Entry.URL)
		}
	case *runtime.EventConsoleAPICalled:
		v.errors = append(v.errors, "console."+string(ev.Type))
	}
}

func (v *visit) do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(v.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

func call[P, R any](t *testing.T, v *visit, command cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(v.ctx, command, params); err != nil {
		t.Fatal(err)
	}
}

// eval is what an expression of JavaScript is.
func eval[T any](t *testing.T, v *visit, expression string) T {
	t.Helper()
	value, err := chromedp.Run(v.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// becomes waits until an element has a text.
func (v *visit) becomes(t *testing.T, selector, want string) {
	t.Helper()
	err := chromedp.Do(v.ctx, chromedp.PollFunction[chromedp.Void](
		`(selector, want) => document.querySelector(selector)?.textContent === want`,
		chromedp.WithPollingArgs(selector, want), chromedp.WithPollingTimeout(time.Minute)))
	if err != nil {
		t.Fatalf("%s does not become %q: %v", selector, want, err)
	}
}

// overflows are the elements that stick out of the window, or of their card, to the right.
const overflows = `[...document.querySelectorAll("body *")].filter((e) => !e.closest(".hidden")
	&& e.getBoundingClientRect().right > 0.5 + (e.parentElement.closest("tbody, .card, .totals > div") ?? document.documentElement)
		.getBoundingClientRect().right).map((e) => e.outerHTML.slice(0, 200))`

func (v *visit) fits(t *testing.T, what string) {
	t.Helper()
	if !eval[bool](t, v, `document.documentElement.scrollWidth <= document.documentElement.clientWidth`) {
		t.Errorf("%s is wider than the window", what)
	}
	for _, e := range eval[[]string](t, v, overflows) {
		t.Errorf("%s: this sticks out: %s", what, e)
	}
}

// looks shows the page in a window of a size, in light or in dark.
func (v *visit) looks(t *testing.T, width int64, scheme string) {
	t.Helper()
	v.do(t, chromedp.EmulateViewport(width, 800))
	call(t, v, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// pictures are taken if they are wanted.
func (v *visit) pictures(t *testing.T) {
	t.Helper()
	if *picturesTo == "" {
		return
	}
	for _, scheme := range []string{"light", "dark"} {
		v.looks(t, 1280, scheme)
		v.picture(t, "status-desktop-"+scheme)
		v.looks(t, 360, scheme)
		v.picture(t, "status-phone-"+scheme)
	}
}

func (v *visit) picture(t *testing.T, name string) {
	t.Helper()
	png, err := chromedp.Run(v.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*picturesTo, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestInABrowser looks at the pages as people do. With -pictures ../../docs it keeps
// what it saw.
func TestInABrowser(t *testing.T) {
	v := browse(t)
	s := newScene()
	s.token = token
	home := "http://" + serve(t, s.options())

	v.looks(t, 1280, "light")
	v.do(t, chromedp.Navigate(home+"/?token="+url.QueryEscape(token)))
	v.becomes(t, "#live", "live")
	if at := eval[string](t, v, "location.href"); at != home+"/" {
		t.Errorf("the token stays in the address: %s", at)
	}
	v.figures(t)
	v.pictures(t)
	v.changesLive(t, s)
	v.searchesLive(t, s, home)
	v.leaves(t, s, home)
	s.change(s.stretch)
	v.everyLook(t, home)
	v.filters(t, home)

	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range v.errors {
		t.Errorf("the browser complains: %s", e)
	}
	for _, r := range v.requests {
		if !strings.HasPrefix(r, home+"/") {
			t.Errorf("a request leaves for %s", r)
		}
	}
	if len(v.requests) < 10 {
		t.Errorf("saw only the requests %q", v.requests)
	}
}

// window is another one of the browser.
func (v *visit) window(t *testing.T) *visit {
	t.Helper()
	ctx, cancel := chromedp.NewContext(v.ctx)
	t.Cleanup(cancel)
	return &visit{ctx: ctx}
}

// TestManyWindows of one browser share a stream of events, as browsers have six connections
// to a host: all of them load, and all are live. When the one that has the stream goes
// away, another takes over.
func TestManyWindows(t *testing.T) {
	v := browse(t)
	s := newScene()
	l, err := page.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var streams, begun atomic.Int32
	pages := page.New(s.options())
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- page.Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/events" {
				begun.Add(1)
				streams.Add(1)
				defer streams.Add(-1)
			}
			pages.ServeHTTP(w, r)
		}), slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() { cancel(); <-served })
	windows := []*visit{v}
	for range 9 {
		windows = append(windows, v.window(t))
	}
	for _, w := range windows {
		w.do(t, chromedp.Navigate(page.URL(l.Addr())))
		w.becomes(t, "#live", "live")
		if eval[bool](t, w, "document.hidden") {
			t.Fatal("the window is not seen")
		}
	}
	if n := streams.Load(); n != 1 {
		t.Errorf("%d streams", n)
	}
	windows[0].do(t, chromedp.Navigate("about:blank")) // it had it
	works := func(n int, want string) {
		s.change(func() {
			accounts := slices.Clone(s.snapshot.Accounts)
			accounts[n].Error, accounts[n].Phase, accounts[n].Works = nil, bridge.Waiting, true
			s.snapshot.Accounts = accounts
		})
		for _, w := range windows[1:] {
			w.becomes(t, "#verdict", want)
		}
	}
	works(2, "2 of 5 accounts need attention.")
	for begun.Load() < 2 {
		time.Sleep(10 * time.Millisecond)
	}
	works(3, "1 of 5 accounts needs attention.")
}

// TestNoAnswerIsNotLive: where requests are taken and never answered, as by a machine behind a
// dead NAT, the page says so, and is live again when answers come.
func TestNoAnswerIsNotLive(t *testing.T) {
	v := browse(t)
	s := newScene()
	var hangs atomic.Bool
	pages := page.New(s.options())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hangs.Load() {
			<-r.Context().Done()
			return
		}
		pages.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections) // of the stream
	v.do(t, chromedp.Navigate(server.URL))
	v.becomes(t, "#live", "live")
	// Nobody waits for as long as the page does.
	eval[chromedp.Void](t, v, `{ const timeout = AbortSignal.timeout; AbortSignal.timeout = () => timeout.call(AbortSignal, 100) }`)
	hangs.Store(true)
	s.change(func() {})
	v.becomes(t, "#live", "popferry does not answer; this is how it was")
	hangs.Store(false)
	s.change(func() {})
	v.becomes(t, "#live", "live")
}

// TestDeadServerIsNotLive: a server that is killed is noticed at once, and so is its return.
func TestDeadServerIsNotLive(t *testing.T) {
	v := browse(t)
	pages := page.New(newScene().options())
	server := httptest.NewServer(pages)
	address := server.Listener.Addr().String()
	// Without the look now and then, which would find it out in half a minute.
	call(t, v, document.AddScriptToEvaluateOnNewDocument, document.AddScriptToEvaluateOnNewDocumentParams{Source: "setInterval = () => 0"})
	v.do(t, chromedp.Navigate(server.URL))
	v.becomes(t, "#live", "live")
	server.CloseClientConnections()
	server.Close()
	v.becomes(t, "#live", "popferry does not answer; this is how it was")
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: pages}}
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections) // of the stream
	v.becomes(t, "#live", "live")
}

func (v *visit) figures(t *testing.T) {
	t.Helper()
	for selector, want := range map[string]string{
		"#verdict": "3 of 5 accounts need attention.", "#waiting": "5", "#held": "1", "#passing": "1",
		`tbody[data-account=bob] td[data-label="waiting"]`:     "5",
		`tbody[data-account=erin] td[data-label="held"]`:       "1",
		`tbody[data-account=alice] td[data-label="next pass"]`: "in 2 minutes",
		`tbody[data-account=dave] .state`:                      "can't sign in",
	} {
		v.becomes(t, selector, want)
	}
}

// changesLive lets mail arrive: the page shows it, without being loaded again, and
// leaves alone what its reader is at.
func (v *visit) changesLive(t *testing.T, s *scene) {
	t.Helper()
	eval[chromedp.Void](t, v, `window.stillThere = true; document.querySelector('a[href="/account/alice"]').focus()`)
	s.change(func() {
		accounts := append([]bridge.AccountState(nil), s.snapshot.Accounts...)
		accounts[3].Error, accounts[3].Phase, accounts[3].Success, accounts[3].Works = nil, bridge.Waiting, noon, true
		s.snapshot.Accounts = accounts
		s.passes = append(s.passes, journal.Pass{Account: "dave", Started: noon.Add(-time.Second), Passes: 1, Delivered: 55})
	})
	v.becomes(t, `tbody[data-account=dave] .state`, "well")
	v.becomes(t, "#verdict", "2 of 5 accounts need attention.")
	v.becomes(t, `tbody[data-account=dave] td[data-label="today"]`, "55")
	if !eval[bool](t, v, "window.stillThere === true") {
		t.Error("the page was loaded again")
	}
	if got := eval[string](t, v, `document.activeElement.getAttribute("href") ?? ""`); got != "/account/alice" {
		t.Errorf("the keyboard is at %q", got)
	}
	if title := eval[string](t, v, "document.title"); title != "(2) popferry" {
		t.Errorf("the title is %q", title)
	}
}

// searchesLive finds accounts, and keeps to them while mail arrives, and to what its reader types.
func (v *visit) searchesLive(t *testing.T, s *scene, home string) {
	t.Helper()
	v.do(t, chromedp.Navigate(home+"/?q=BO"))
	v.becomes(t, "#live", "live")
	v.do(t, chromedp.SendKeys("#q", "b and more"))
	s.change(func() {
		accounts := slices.Clone(s.snapshot.Accounts)
		accounts[1].Left = 4711
		s.snapshot.Accounts = accounts
	})
	v.becomes(t, `tbody[data-account=bob] td[data-label="waiting"]`, "4,711")
	v.becomes(t, "#waiting", "4,711")
	if n := eval[int](t, v, `document.querySelectorAll("tbody[data-account]").length`); n != 1 {
		t.Errorf("%d accounts have bo in their names", n)
	}
	if got := eval[string](t, v, `document.activeElement.value`); !strings.Contains(got, "b and more") {
		t.Errorf("what is typed is %q", got)
	}
	for _, e := range eval[[]string](t, v, `[...document.querySelectorAll("nav a, #found a, #q, form button")]
		.filter((e) => e.getBoundingClientRect().height < 44 || e.getBoundingClientRect().width < 44).map((e) => e.outerHTML)`) {
		t.Errorf("too small to be touched: %s", e)
	}
}

// leaves takes an account away while somebody looks at it, and brings it back.
func (v *visit) leaves(t *testing.T, s *scene, home string) {
	t.Helper()
	before := s.snapshot.Accounts
	with := append(slices.Clone(before), bridge.AccountState{Name: "nowhere", Works: true})
	is := func(accounts []bridge.AccountState, title, verdict string) {
		t.Helper()
		s.change(func() { s.snapshot.Accounts = accounts })
		v.becomes(t, "#verdict", verdict)
		if got := eval[string](t, v, "document.title"); got != title {
			t.Errorf("the title is %q, want %q", got, title)
		}
	}
	s.change(func() { s.snapshot.Accounts = with })
	v.do(t, chromedp.Navigate(home+"/account/nowhere"))
	v.becomes(t, "#live", "live")
	is(before, "popferry", "There is no such account. It may have another name by now, or be in accounts.yaml no more.")
	v.becomes(t, "#live", "not there any more")
	if n := eval[int](t, v, `document.querySelectorAll("dl, table").length`); n != 0 {
		t.Error("what it was is still there")
	}
	is(with, "nowhere – popferry", "nowhere")
	v.becomes(t, "#live", "live")
	s.change(func() { s.snapshot.Accounts = before })
}

// stretch gives the page what is hard to lay out.
func (s *scene) stretch() {
	accounts := newScene().snapshot.Accounts
	accounts[2].Error.Message = strings.Repeat("unbreakable", 20)
	accounts[4].Messages = append(accounts[4].Messages, ferry.MessageReport{
		UIDL: strings.Repeat("0123456789abcdef", 4), Size: 4096, State: "held", Reason: strings.Repeat("unbreakable", 20)})
	accounts[4].Notes = []string{strings.Repeat("unbreakable", 20)}
	s.passes = append(s.passes, journal.Pass{Account: "carol", Started: noon.Add(-time.Second), Passes: 1234567, Code: 77,
		Seconds: 1e6, Delivered: 1234567, Deleted: 1234567, Error: strings.Repeat("unbreakable", 20)})
	accounts[0].Awaits = &ferry.ErrorReport{Message: strings.Repeat("unbreakable", 20), Hint: strings.Repeat("unbreakable", 20)}
	s.ways = []bridge.Way{bridge.NewWay("webhook", 1234567, noon.Add(-time.Hour), errors.New(strings.Repeat("unbreakable", 20)))}
	s.snapshot.Accounts = append(accounts, bridge.AccountState{
		Name: "a.very.long.account.name.without.any.space.in.it@subdomain.of.a.long.domain.example.org", Phase: bridge.Waiting,
		Works: true, Passes: 1, Success: noon, Next: noon.Add(time.Minute), Left: 1234567, LeftKnown: true, Waiting: 1234567, Held: 1234567})
}

// everyLook is all pages in all widths, in light and in dark.
func (v *visit) everyLook(t *testing.T, home string) {
	t.Helper()
	grounds := map[string]bool{}
	for _, target := range []string{"/", "/?q=unbreakable" + strings.Repeat("e", 80), "/account/alice", "/account/carol", "/account/erin", "/account/bob", "/nowhere"} {
		for _, scheme := range []string{"light", "dark"} {
			for name, width := range map[string]int64{"phone": 360, "tablet": 800, "desktop": 1280} {
				v.looks(t, width, scheme)
				if target != "/nowhere" || width == 360 {
					v.do(t, chromedp.Navigate(home+target))
				}
				v.fits(t, target+" at "+name)
				v.largeText(t, "200%")
				v.fits(t, target+" at "+name+" with text twice as large")
				v.largeText(t, "")
			}
			grounds[scheme+eval[string](t, v, "getComputedStyle(document.body).backgroundColor")] = true
		}
	}
	if len(grounds) != 2 || grounds["light"+"rgb(18, 22, 28)"] {
		t.Errorf("light and dark look the same: %v", grounds)
	}
}

// largeText is what people set who need it (WCAG 2.2, 1.4.4).
func (v *visit) largeText(t *testing.T, size string) {
	t.Helper()
	eval[string](t, v, `document.documentElement.style.fontSize = "`+size+`"`)
}

func (v *visit) filters(t *testing.T, home string) {
	t.Helper()
	call(t, v, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	v.do(t, chromedp.Navigate(home+"/"),
		chromedp.Click(`nav a[href="/?show=attention"]`), chromedp.WaitVisible(`nav a[href="/?show=attention"][aria-current=page]`))
	if n := eval[int](t, v, `document.querySelectorAll("tbody[data-account]").length`); n != 5 {
		t.Errorf("%d accounts need attention", n)
	}
	v.do(t, chromedp.SendKeys("#q", "CAR"), chromedp.Click("form button"), chromedp.WaitVisible("#found"))
	v.becomes(t, "tbody[data-account] a", "carol")
	if at := eval[string](t, v, "location.search"); at != "?show=attention&q=CAR" {
		t.Errorf("the search leads to %s", at)
	}
}
