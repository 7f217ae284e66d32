package page_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/page"
)

// serve brings a handler to a port of its own, and returns where.
func serve(t *testing.T, o page.Options) string {
	t.Helper()
	l, err := page.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- page.Serve(ctx, l, page.New(o), slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
	return l.Addr().String()
}

func TestListenSaysWhoHasToDoWhat(t *testing.T) {
	first, err := page.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	for address, want := range map[string]struct {
		code fault.Code
		hint string
	}{
		first.Addr().String(): {fault.Config, "another program has this port"},
		"192.0.2.1:8325":      {fault.Temporary, "must be an address of this machine"}, // it may come with the network
		"nowhere.invalid:1":   {fault.Config, "must be an address of this machine"},
	} {
		_, err := page.Listen(t.Context(), address)
		if fault.CodeOf(err) != want.code || !strings.Contains(fault.HintOf(err), want.hint) ||
			!strings.Contains(fault.HintOf(err), "bridge.listen in accounts.yaml") {
			t.Errorf("%s: %v (%v), %s", address, err, fault.CodeOf(err), fault.HintOf(err))
		}
	}
}

// More people than connections get their page, one after the other.
func TestFiftyReaders(t *testing.T) {
	at := serve(t, newScene().options())
	var readers sync.WaitGroup
	for range 50 {
		readers.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			answer, err := client.Get("http://" + at + "/")
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			if body, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(body), "alice") {
				t.Errorf("%d octets, %v", len(body), err)
			}
		})
	}
	readers.Wait()
}

// Who connects and says nothing, or never ends, takes a place for some seconds only.
func TestSlowHeaders(t *testing.T) {
	at := serve(t, newScene().options())
	for range 16 {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
	}
	answer, err := http.Get("http://" + at + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("status %d", answer.StatusCode)
	}
}

// TestHealthIsAskedInACrowd: who keeps all connections, and asks again and again on each,
// keeps no health check out; there the places are free that nothing is asked on.
func TestHealthIsAskedInACrowd(t *testing.T) {
	at := serve(t, newScene().options())
	var crowd, here sync.WaitGroup
	done := make(chan struct{})
	here.Add(page.MaxConnections)
	for range page.MaxConnections {
		crowd.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			arrived := sync.OnceFunc(here.Done)
			for {
				select {
				case <-done:
					return
				default:
				}
				if answer, err := client.Get("http://" + at + "/page.css"); err == nil {
					_, _ = io.Copy(io.Discard, answer.Body) // it may be closed amid that
					answer.Body.Close()
					arrived()
				}
			}
		})
	}
	here.Wait()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	for range 10 {
		answer, err := client.Get("http://" + at + "/healthz")
		if err != nil {
			t.Error(err)
			break
		}
		answer.Body.Close()
	}
	close(done)
	crowd.Wait()
}

func TestLargeHeaders(t *testing.T) {
	at := serve(t, newScene().options())
	r, err := http.NewRequest(http.MethodGet, "http://"+at+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Large", strings.Repeat("x", 16<<10))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", answer.StatusCode)
	}
}

// A reader of events hears of a change at once, over a real connection.
func TestEventsOverTheWire(t *testing.T) {
	s := newScene()
	at := serve(t, s.options())
	answer, err := http.Get("http://" + at + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if kind := answer.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("Content-Type %q", kind)
	}
	checkHeaders(t, "/events", answer.Header)
	lines := bufio.NewScanner(answer.Body)
	for told := 0; told < 2 && lines.Scan(); {
		if lines.Text() == "event: changed" {
			told++
			s.change(func() {})
		}
	}
	if lines.Err() != nil {
		t.Error(lines.Err())
	}
}

// Watchers are bounded, so that there are connections left for the page; and one that
// never reads is like any other.
func TestTooManyWatchers(t *testing.T) {
	at := serve(t, newScene().options())
	for range page.MaxStreams {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatalf("%q, %v", line, err)
		}
	}
	for target, want := range map[string]int{"/events": 503, "/": 200} {
		answer, err := http.Get("http://" + at + target)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d", target, answer.StatusCode)
		}
	}
}

// stream is an answer that never ends, on the clock of a test.
type stream struct {
	*httptest.ResponseRecorder
	mu     sync.Mutex
	events int
	beats  int
	fails  bool
}

func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails {
		return 0, errors.New("the reader is gone")
	}
	s.events += strings.Count(string(b), "event: changed")
	s.beats += strings.Count(string(b), ": still here")
	return len(b), nil
}

func (s *stream) WriteString(text string) (int, error) { return s.Write([]byte(text)) }

func (s *stream) counts() (events, beats int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events, s.beats
}

func watch(s *scene, w *stream) (done chan struct{}) {
	done = make(chan struct{})
	h := page.New(s.options())
	r := httptest.NewRequest(http.MethodGet, "/events", nil)
	r.Host = address
	go func() {
		defer close(done)
		h.ServeHTTP(w, r)
	}()
	return done
}

func TestEventsAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		w := &stream{ResponseRecorder: httptest.NewRecorder()}
		done := watch(s, w)
		for range 1000 { // for ten seconds
			time.Sleep(10 * time.Millisecond)
			s.change(func() {})
		}
		time.Sleep(2 * time.Second)
		if events, _ := w.counts(); events < 10 || events > 12 {
			t.Errorf("%d events", events)
		}
		time.Sleep(time.Minute)
		if events, beats := w.counts(); events > 12 || beats < 2 {
			t.Errorf("%d events, %d beats when nothing changes", events, beats)
		}
		time.Sleep(page.StreamFor)
		<-done
	})
}

func TestALostReaderEndsItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		w := &stream{ResponseRecorder: httptest.NewRecorder()}
		done := watch(s, w)
		synctest.Wait()
		w.mu.Lock()
		w.fails = true
		w.mu.Unlock()
		<-done
	})
}

// A bridge that hangs is not alive, and those who ask do not pile up.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		var asked atomic.Int32
		s.hang = make(chan struct{})
		o := s.options()
		snapshot := o.Snapshot
		o.Snapshot = func() bridge.Snapshot {
			asked.Add(1)
			return snapshot()
		}
		h := page.New(o)
		for range 10 {
			for target, want := range map[string]string{"/healthz": "down\n", "/": "", "/metrics": "", "/api/status.json": ""} {
				w := get(h, target)
				if w.Code != http.StatusServiceUnavailable || want != "" && w.Body.String() != want {
					t.Errorf("%s: %d %q", target, w.Code, w.Body)
				}
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times at once", n)
		}
		close(s.hang)
		synctest.Wait()
		if w := get(h, "/healthz"); w.Code != http.StatusOK || w.Body.String() != "ok\n" {
			t.Errorf("%d %q", w.Code, w.Body)
		}
	})
}

func TestURL(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:8325": "http://127.0.0.1:8325/", "[::]:8325": "http://127.0.0.1:8325/", "0.0.0.0:1": "http://127.0.0.1:1/",
		"[2001:db8::1]:8325": "http://[2001:db8::1]:8325/",
	} {
		if got := page.URL(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))); got != want {
			t.Errorf("%s: %s", address, got)
		}
	}
}

// TestOtherNamesAreToldWhatWorks: on all addresses there is none in the log that is right for
// everybody.
func TestOtherNamesAreToldWhatWorks(t *testing.T) {
	for listens, want := range map[string]string{address: "by the address in its log", "0.0.0.0:8325": "by an IP address of the machine"} {
		o := newScene().options()
		o.Address = listens
		w := get(page.New(o), "/", func(r *http.Request) { r.Host = "rebound.example.org" })
		if w.Code != http.StatusMisdirectedRequest || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", listens, w.Code, w.Body)
		}
	}
}
