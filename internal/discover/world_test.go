package discover_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/popferry/popferry/internal/discover"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// world is an internet of a test's own: names, servers and web pages. What is not
// in it does not exist.
type world struct {
	t       *testing.T
	srv     map[string][]*net.SRV
	mx      map[string][]*net.MX
	failing error // what the DNS answers to everything

	servers map[string]net.Addr
	pages   map[string]http.HandlerFunc // by host and path
	keys    *certs.Pair
	web     *httptest.Server
	plain   *httptest.Server

	mu     sync.Mutex
	asked  []string // what the DNS was asked for
	dialed []string
}

// newWorld makes a world whose certificates are for these hosts.
func newWorld(t *testing.T, hosts ...string) *world {
	t.Helper()
	keys, err := certs.New(certs.Options{Hosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, srv: map[string][]*net.SRV{}, mx: map[string][]*net.MX{}, keys: keys,
		servers: map[string]net.Addr{}, pages: map[string]http.HandlerFunc{}}
	w.web = httptest.NewUnstartedServer(http.HandlerFunc(w.serve))
	w.web.TLS = keys.Server()
	w.web.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.web.StartTLS()
	w.plain = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.web.Close)
	t.Cleanup(w.plain.Close)
	return w
}

func (w *world) serve(out http.ResponseWriter, r *http.Request) {
	if page := w.pages[r.Host+r.URL.Path]; page != nil {
		page(out, r)
		return
	}
	http.NotFound(out, r)
}

func (w *world) finder() discover.Finder {
	ca := filepath.Join(w.t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, w.keys.CAPEM, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return discover.Finder{Resolver: w, Dial: w.dial, CAFile: ca, Transport: &http.Transport{
		TLSClientConfig: w.keys.Client(), DialContext: w.dialWeb, DisableKeepAlives: true}}
}

// dialWeb knows the hosts that have a page.
func (w *world) dialWeb(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, _ := net.SplitHostPort(address)
	for page := range w.pages {
		if strings.HasPrefix(page, host+"/") {
			to := w.web
			if port == "80" {
				to = w.plain
			}
			return (&net.Dialer{}).DialContext(ctx, network, to.Listener.Addr().String())
		}
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, address)
	w.mu.Unlock()
	if at := w.servers[address]; at != nil {
		return (&net.Dialer{}).DialContext(ctx, network, at.String())
	}
	host, _, _ := net.SplitHostPort(address)
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (w *world) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	name = "_" + service + "._" + proto + "." + name
	records, err := look(w, w.srv, name)
	return name, records, err
}

func (w *world) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return look(w, w.mx, name)
}

func look[R any](w *world, records map[string][]R, name string) ([]R, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, absolute := strings.CutSuffix(name, ".")
	if !absolute {
		w.t.Errorf("%q is not absolute", name)
	}
	w.asked = append(w.asked, name)
	switch {
	case w.failing != nil:
		return nil, w.failing
	case len(records[name]) == 0:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return records[name], nil
}

// pop and imap put a server at "host:port".
func (w *world) pop(address string, mode popd.Mode) *popd.Server {
	server := popd.New(popd.Options{Mode: mode, TLS: w.keys.Server()})
	w.listens(address, server.Listen)
	w.t.Cleanup(func() { server.Close() })
	return server
}

func (w *world) imap(address string, mode imapd.Mode) *imapd.Server {
	server := imapd.New(imapd.Options{Mode: mode, TLS: w.keys.Server()})
	w.listens(address, server.Listen)
	w.t.Cleanup(func() { server.Close() })
	return server
}

func (w *world) listens(address string, listen func() (*net.TCPAddr, error)) {
	w.t.Helper()
	at, err := listen()
	if err != nil {
		w.t.Fatal(err)
	}
	w.servers[address] = at
}

// says puts a server there that says one thing, inside TLS.
func (w *world) says(address, greeting string) {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", w.keys.Server())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.Write([]byte(greeting))
			}()
		}
	}()
	w.servers[address] = listener.Addr()
}

func (w *world) page(where, text string) {
	w.pages[where] = func(out http.ResponseWriter, _ *http.Request) { out.Write([]byte(text)) }
}

func (w *world) find(f discover.Finder, address string, want ...discover.Protocol) discover.Findings {
	w.t.Helper()
	found, err := f.Find(w.t.Context(), address, want...)
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

func parse(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
