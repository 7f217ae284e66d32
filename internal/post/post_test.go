package post_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/post"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

var news = bridge.News{Version: 1, Kind: bridge.Fails, Account: "alice", Time: time.Date(2026, 11, 26, 1, 2, 3, 0, time.UTC),
	Text: "has failed since 2026-11-26 00:02: cannot connect – ü\r\nBcc: x@example.org", Check: "check host and port",
	Messages: []ferry.MessageReport{{UIDL: "uid-1", Size: 5, Reason: "too large"}}}

// log is what an office says.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *log) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// config reads the bridge of an accounts.yaml with its secrets.
func config(t *testing.T, lines ...string) plan.Bridge {
	t.Helper()
	t.Setenv("P", "x")
	path := filepath.Join(t.TempDir(), "accounts.yaml")
	text := "accounts:\n  - {source: {host: a.example, username: a, password: {env: P}}, destination: {host: b.example, username: a, password: {env: P}}}\n" +
		"bridge:\n  " + strings.Join(lines, "\n  ") + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := plan.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ResolveBridge(context.Background()); err != nil {
		t.Fatal(err)
	}
	return c.Bridge
}

func open(t *testing.T, b plan.Bridge) (*post.Office, *log) {
	t.Helper()
	said := &log{}
	o, err := post.Open(b, post.Shelf{}, said.logger())
	if err != nil {
		t.Fatal(err)
	}
	return o, said
}

// TestWebhook: JSON, tried again after a 503, and the address in no line of the log.
func TestWebhook(t *testing.T) {
	got := make(chan bridge.News, 1)
	tries := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var n bridge.News
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil || r.Method != "POST" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v %s %v", err, r.Method, r.Header)
		}
		got <- n
	}))
	defer server.Close()
	o, said := open(t, config(t, "alerts: {webhook: '"+server.URL+"/s3cret'}"))
	o.Send(news)
	n := <-got
	o.Close()
	if n.Kind != bridge.Fails || n.Account != "alice" || !n.Time.Equal(news.Time) || len(n.Messages) != 1 || tries != 2 {
		t.Errorf("%+v after %d tries", n, tries)
	}
	if strings.Contains(said.String(), "s3cret") {
		t.Errorf("the log shows the address: %s", said)
	}
}

// TestAdopt: what waits for a way that is as before waits on; a new one, and a new
// heartbeat, get what comes then.
func TestAdopt(t *testing.T) {
	refused, got := make(chan bool, 1), make(chan string, 20)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n bridge.News
		if r.Method == "POST" {
			if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
				t.Error(err)
			}
		}
		if r.URL.Path == "/one" && len(refused) == 0 {
			refused <- true
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		got <- r.URL.Path + " " + n.Account
	}))
	defer server.Close()
	o, _ := open(t, config(t, "alerts: {webhook: '"+server.URL+"/one'}"))
	defer o.Close()
	adopt := func(lines ...string) {
		t.Helper()
		if err := o.Adopt(config(t, lines...)); err != nil {
			t.Fatal(err)
		}
	}
	await := func(want string) {
		t.Helper()
		if found := <-got; found != want {
			t.Errorf("%q came, want %q", found, want)
		}
	}
	o.Send(news)
	for len(refused) == 0 {
		time.Sleep(time.Millisecond)
	}
	adopt("interval: 1h", "alerts:", "  webhook: '"+server.URL+"/one'")
	await("/one alice")
	wrong := config(t, "alerts: {mail: {host: 127.0.0.1, tls_ca: '"+os.DevNull+"', from: a@example.org, to: b@example.org}}")
	if err := o.Adopt(wrong); err == nil {
		t.Error("a certificate authority that is none was taken")
	}
	o.Send(news)
	await("/one alice")
	adopt("alerts: {webhook: '"+server.URL+"/two'}", "heartbeat: '"+server.URL+"/beat'")
	o.Send(news)
	await("/two alice")
	o.Beat(true)
	await("/beat ")
}

// TestHopelessWebhook: refused, redirected, or not there.
func TestHopelessWebhook(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("followed a redirect") }))
	defer elsewhere.Close()
	for _, answer := range []func(http.ResponseWriter, *http.Request){
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
	} {
		server := httptest.NewServer(http.HandlerFunc(answer))
		o, said := open(t, config(t, "alerts: {webhook: '"+server.URL+"/s3cret'}"))
		o.Send(news)
		o.Close()
		server.Close()
		if !strings.Contains(said.String(), "news could not be brought") || strings.Contains(said.String(), "s3cret") {
			t.Errorf("%s", said)
		}
	}
}

// TestWebhookThatHangs delays neither the sender nor the other ways, nor the end.
func TestWebhookThatHangs(t *testing.T) {
	end := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }))
	defer server.Close()
	defer close(end)
	file := filepath.Join(t.TempDir(), "news")
	o, said := open(t, config(t, "alerts: {webhook: '"+server.URL+"/s3cret', command: [sh, -c, 'cat >>"+file+"']}"))
	for n := range 300 {
		each := news
		each.Account = fmt.Sprint("user", n)
		o.Send(each)
	}
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if text, _ := os.ReadFile(file); told(t, text) == 300 {
			break
		}
		if time.Since(start) > time.Minute {
			t.Fatal("the command does not get all")
		}
	}
	o.Close()
	if strings.Contains(said.String(), "is lost") || strings.Contains(said.String(), "s3cret") {
		t.Errorf("%.500s", said)
	}
}

// told counts the news in lines of JSON, those that were put together as well.
func told(t *testing.T, text []byte) (count int) {
	t.Helper()
	for line := range bytes.Lines(text) {
		var n bridge.News
		if json.Unmarshal(line, &n) != nil {
			return 0 // it is being written
		}
		count += 1 + len(n.More)
		if len(n.More) > 0 && !strings.Contains(n.Text, fmt.Sprintf("; and %d more such news, of %s", len(n.More), n.More[0].Account)) {
			t.Errorf("%s", n.Text)
		}
	}
	return count
}

// shelf is a file that outlives the office.
func shelf(t *testing.T) post.Shelf {
	m := &bridge.Memory{Path: filepath.Join(t.TempDir(), "outbox"), Failed: func(err error) { t.Error(err) },
		Write: func(path string, data []byte) error { return os.WriteFile(path, data, 0o600) }}
	return post.Shelf{Load: m.Load, Save: m.Save}
}

// TestNewsSurvivesARestart: what a webhook that hangs did not take by the end, the next
// office brings, to where the configuration says by then, and only once.
func TestNewsSurvivesARestart(t *testing.T) {
	end := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }))
	defer hangs.Close()
	defer close(end)
	got := make(chan string, 10)
	works := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var n bridge.News
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			t.Error(err)
		}
		got <- n.Account
	}))
	defer works.Close()
	kept := shelf(t)
	life := func(url string, send ...string) {
		t.Helper()
		o, err := post.Open(config(t, "alerts: {webhook: '"+url+"'}"), kept, (&log{}).logger())
		if err != nil {
			t.Fatal(err)
		}
		for _, account := range send {
			n := news
			n.Account = account
			o.Send(n)
		}
		o.Close()
	}
	life(hangs.URL, "alice", "bob")
	life(works.URL, "carol")
	life(works.URL)
	close(got)
	var came []string
	for account := range got {
		came = append(came, account)
	}
	if strings.Join(came, " ") != "alice bob carol" {
		t.Errorf("%q came", came)
	}
}

// TestNewAddressGetsWhatWaits: the one before took nothing.
func TestNewAddressGetsWhatWaits(t *testing.T) {
	got := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		got <- r.URL.Path
	}))
	defer server.Close()
	o, said := open(t, config(t, "alerts: {webhook: '"+server.URL+"/old'}"))
	o.Send(news)
	o.Send(news)
	<-got
	if err := o.Adopt(config(t, "alerts: {webhook: '"+server.URL+"/new'}")); err != nil {
		t.Fatal(err)
	}
	for arrived := 0; arrived < 2; {
		if path := <-got; path == "/new" {
			arrived++
		}
	}
	o.Close()
	if strings.Contains(said.String(), "level=ERROR") {
		t.Errorf("%s", said)
	}
}

// TestHurry: what waits gives up while the office is still open.
func TestHurry(t *testing.T) {
	end := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }))
	defer server.Close()
	defer close(end)
	o, said := open(t, config(t, "alerts: {webhook: '"+server.URL+"'}"))
	o.Send(news)
	o.Hurry()
	for start := time.Now(); !strings.Contains(said.String(), "news could not be brought"); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatal("it waits on")
		}
	}
	o.Send(news) // as a pass does that ends late
	o.Beat(true)
	o.Close()
}

func TestCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "news")
	o, said := open(t, config(t, "alerts: {command: [sh, -c, 'cat >"+file+"']}"))
	o.Send(news)
	o.Close()
	text, err := os.ReadFile(file)
	var n bridge.News
	if err != nil || json.Unmarshal(text, &n) != nil || n.Text != news.Text {
		t.Errorf("%s, %v; %s", text, err, said)
	}
}

// TestCommandThatLeavesAChild at work, which has its output: it is taken, once.
func TestCommandThatLeavesAChild(t *testing.T) {
	file := filepath.Join(t.TempDir(), "news")
	o, said := open(t, config(t, "alerts: {command: [sh, -c, 'cat >>"+file+"; sleep 4 &']}"))
	o.Send(news)
	o.Close()
	text, err := os.ReadFile(file)
	if err != nil || bytes.Count(text, []byte("\n")) != 1 || said.String() != "" {
		t.Errorf("%s, %v; %s", text, err, said)
	}
}

// TestHeartbeat calls the address; how often, see TestHeartbeatOnceAMinute.
func TestHeartbeat(t *testing.T) {
	beats := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { beats <- r.Method + r.URL.Path }))
	defer server.Close()
	o, _ := open(t, config(t, "heartbeat: '"+server.URL+"/ping'"))
	o.Beat(true)
	if got := <-beats; got != "GET/ping" {
		t.Errorf("%q", got)
	}
	o.Close()
}

// sink is an SMTP server that keeps what it is given.
type sink struct {
	mails chan string
	lines []string
	later string // what is refused once, for now
	ways  string // to sign in
}

func (s *sink) serve(listener net.Listener, refuse string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		s.session(conn, refuse)
	}
}

func (s *sink) session(conn net.Conn, refuse string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	fmt.Fprint(conn, "220 sink ESMTP\r\n")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.lines = append(s.lines, line)
		switch verb := strings.ToUpper(strings.Fields(line + " x")[0]); {
		case s.later != "" && strings.HasPrefix(line, s.later):
			s.later = ""
			fmt.Fprintf(conn, "450 greylisted\r\n")
		case refuse != "" && strings.HasPrefix(line, refuse):
			fmt.Fprintf(conn, "550 no, %s\r\n", line)
		case verb == "EHLO":
			fmt.Fprintf(conn, "250-sink\r\n250 AUTH %s\r\n", s.ways)
		case verb == "AUTH":
			fmt.Fprint(conn, s.signIn(in, conn, line))
		case verb == "DATA":
			fmt.Fprint(conn, "354 go on\r\n")
			var text strings.Builder
			for line, err := in.ReadString('\n'); err == nil && line != ".\r\n"; line, err = in.ReadString('\n') {
				text.WriteString(line)
			}
			fmt.Fprint(conn, "250 taken\r\n")
			s.mails <- text.String()
		case verb == "QUIT":
			fmt.Fprint(conn, "221 bye\r\n")
			return
		default:
			fmt.Fprint(conn, "250 ok\r\n")
		}
	}
}

// signIn has a dialogue where the way is LOGIN, with a prompt that is no other server's.
func (s *sink) signIn(in *bufio.Reader, conn net.Conn, line string) (answer string) {
	way := strings.Fields(line + " x")[1]
	if !strings.Contains(s.ways, way) {
		return "504 5.5.4 unrecognized authentication type\r\n"
	}
	if way == "LOGIN" {
		for range 2 {
			fmt.Fprint(conn, "334 V2hhdD8=\r\n")
			line, _ := in.ReadString('\n') // a connection that is lost shows at the next
			s.lines = append(s.lines, strings.TrimRight(line, "\r\n"))
		}
	}
	return "235 welcome\r\n"
}

// smtp starts a sink that speaks TLS, and says how to reach it. It refuses lines that begin
// like that, and, once and for now, such as follow a "|".
func smtp(t *testing.T, refuse string) (*sink, plan.Bridge) {
	t.Helper()
	return smtpWith(t, refuse, "PLAIN LOGIN")
}

func smtpWith(t *testing.T, refuse, ways string) (*sink, plan.Bridge) {
	t.Helper()
	keys, err := certs.New(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, keys.CAPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	refuse, later, _ := strings.Cut(refuse, "|")
	s := &sink{mails: make(chan string, 10), later: later, ways: ways}
	go s.serve(tlsListener(listener, keys), refuse)
	mail := &plan.AlertMail{Endpoint: wire.Endpoint{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port,
		TLS: wire.Implicit, CAFile: ca}, Username: "popferry", Password: plan.Value{Secret: secret.New("s3cret")},
		From: "popferry@example.org", To: []string{"a@example.org", "b@example.org"}}
	return s, plan.Bridge{Alerts: plan.Alerts{Mail: mail}}
}

func TestMail(t *testing.T) {
	s, b := smtp(t, "")
	o, said := open(t, b)
	o.Send(news)
	text := <-s.mails
	o.Close()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	subject, err := new(mimeWords).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || !strings.HasPrefix(subject, "popferry: alice: has failed since 2026-11-26 00:02: cannot connect – ü") || strings.Contains(subject, "\n") {
		t.Errorf("%q, %v", subject, err)
	}
	if m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("To") != "a@example.org, b@example.org" ||
		m.Header.Get("Bcc") != "" || m.Header.Get("Message-Id") == "" {
		t.Errorf("%v", m.Header)
	}
	body, _ := io.ReadAll(quoted(m.Body))
	for _, want := range []string{"First thing to check: host and port", "uid-1, 5 bytes: too large"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("%s\nlacks %s", body, want)
		}
	}
	if rcpt := strings.Join(s.lines, "\n"); !strings.Contains(rcpt, "RCPT TO:<a@example.org>") || !strings.Contains(rcpt, "RCPT TO:<b@example.org>") {
		t.Errorf("%s", rcpt)
	}
}

// TestMailToMany: no line is longer than the standard has it, and none is lost or changed by that.
func TestMailToMany(t *testing.T) {
	s, b := smtp(t, "")
	b.Alerts.Mail.To = nil
	for n := range 60 {
		b.Alerts.Mail.To = append(b.Alerts.Mail.To, fmt.Sprintf("postmaster-%d@department.example.org", n))
	}
	many := news
	many.Text = strings.Repeat("for ever  and ü ", 10)
	o, _ := open(t, b)
	o.Send(many)
	text := <-s.mails
	o.Close()
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); len(line) > 100 || line != "" && strings.Trim(line, " ") == "" {
			t.Errorf("%d octets: %q", len(line), line)
		}
	}
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	to, err := m.Header.AddressList("To")
	subject, wrong := new(mimeWords).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || len(to) != 60 || to[59].Address != b.Alerts.Mail.To[59] || wrong != nil || subject != "popferry: alice: "+many.Text {
		t.Errorf("%d recipients, %v; %q, %v", len(to), err, subject, wrong)
	}
}

// TestMailRefused: for good, and the password in no line of the log although the server
// repeats it.
func TestMailRefused(t *testing.T) {
	for _, verb := range []string{"AUTH", "RCPT"} {
		_, b := smtp(t, verb)
		o, said := open(t, b)
		o.Send(news)
		o.Close()
		if !strings.Contains(said.String(), "550") || strings.Contains(said.String(), "AHBvcGZlcnJ5AHMzY3JldA==") ||
			!strings.Contains(said.String(), "check username and password, and the addresses") {
			t.Errorf("%s: %s", verb, said)
		}
	}
}

// TestMailSignsIn by PLAIN, or by LOGIN where that alone is offered; and says so where a server
// has none of them.
func TestMailSignsIn(t *testing.T) {
	for ways, want := range map[string]string{
		"LOGIN PLAIN":   "AUTH PLAIN AHBvcGZlcnJ5AHMzY3JldA==",
		"LOGIN XOAUTH2": "AUTH LOGIN\ncG9wZmVycnk=\nczNjcmV0\nMAIL",
	} {
		s, b := smtpWith(t, "", ways)
		o, said := open(t, b)
		o.Send(news)
		o.Close()
		if lines := strings.Join(s.lines, "\n"); len(s.mails) != 1 || !strings.Contains(lines, want) {
			t.Errorf("%s: %d mails, %s; %s", ways, len(s.mails), lines, said)
		}
	}
	_, b := smtpWith(t, "", "XOAUTH2")
	o, said := open(t, b)
	o.Send(news)
	o.Close()
	if !strings.Contains(said.String(), "504 5.5.4") || !strings.Contains(said.String(), "offers AUTH PLAIN or LOGIN") {
		t.Errorf("%s", said)
	}
}

// TestMailForTheOthers: a recipient that is gone costs the others nothing, and is told of.
func TestMailForTheOthers(t *testing.T) {
	s, b := smtp(t, "RCPT TO:<a@")
	o, said := open(t, b)
	o.Send(news)
	o.Close()
	if len(s.mails) != 1 || !strings.Contains(said.String(), "to=a@example.org") || !strings.Contains(said.String(), "550 no") ||
		strings.Contains(said.String(), "could not be brought") {
		t.Errorf("%d mails; %s", len(s.mails), said)
	}
}

// TestMailForOneLater: a recipient who is refused for now gets it later, alone.
func TestMailForOneLater(t *testing.T) {
	s, b := smtp(t, "RCPT TO:<gone@|RCPT TO:<b@")
	b.Alerts.Mail.To = append(b.Alerts.Mail.To, "gone@example.org")
	o, said := open(t, b)
	o.Send(news)
	<-s.mails
	<-s.mails
	o.Close()
	var to []string
	for _, line := range s.lines {
		if rest, ok := strings.CutPrefix(line, "RCPT TO:"); ok {
			to = append(to, rest)
		}
	}
	if got := strings.Join(to, " "); got != "<a@example.org> <b@example.org> <gone@example.org> <b@example.org>" {
		t.Errorf("%s; %s", got, said)
	}
	for _, want := range []string{"to=gone@example.org", "does not take mail for b@example.org now: 450", "may take it later"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("%s\nlacks %s", said, want)
		}
	}
}

// TestMailForOneNever: once the others have it, one who is gone for good is no reason to
// try on.
func TestMailForOneNever(t *testing.T) {
	s, b := smtp(t, "RCPT TO:<b@|RCPT TO:<b@")
	o, said := open(t, b)
	o.Send(news)
	<-s.mails
	for start := time.Now(); o.Ways()[0].Waiting > 0; time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("it waits on: %s", said)
		}
	}
	o.Close()
	if strings.Count(said.String(), "could not be brought") != 1 || !strings.Contains(said.String(), "to=b@example.org") {
		t.Errorf("%s", said)
	}
}

// TestMailToOneTwice is mail to one, whom the server refuses.
func TestMailToOneTwice(t *testing.T) {
	s, b := smtp(t, "RCPT")
	b.Alerts.Mail.To = []string{"a@example.org", "a@example.org"}
	o, said := open(t, b)
	o.Send(news)
	o.Close()
	lines := strings.Join(s.lines, "\n")
	if strings.Contains(lines, "DATA") || strings.Count(lines, "RCPT") != 1 || !strings.Contains(said.String(), "could not be brought") {
		t.Errorf("%s; %s", lines, said)
	}
}

// TestMailSaysWhoItIs, as servers want it: no "localhost", which some refuse.
func TestMailSaysWhoItIs(t *testing.T) {
	s, b := smtp(t, "")
	o, _ := open(t, b)
	o.Send(news)
	<-s.mails
	o.Close()
	if hello := s.lines[0]; !strings.HasPrefix(hello, "EHLO ") || !strings.Contains(hello, ".") || strings.Contains(hello, "localhost") {
		t.Errorf("%q", hello)
	}
}

// TestMailServerThatIsSilent: the office does not wait for it longer than for others.
func TestMailServerThatIsSilent(t *testing.T) {
	for _, mode := range []wire.TLSMode{wire.None, wire.Implicit} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			here, gone := make(chan bool), make(chan bool)
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				close(here)
				_, _ = io.Copy(io.Discard, conn) // until it is closed, however that is
				close(gone)
			}()
			o, said := open(t, plan.Bridge{Alerts: plan.Alerts{Mail: &plan.AlertMail{Endpoint: wire.Endpoint{Host: "127.0.0.1",
				Port: listener.Addr().(*net.TCPAddr).Port, TLS: mode}, From: "a@example.org", To: []string{"b@example.org"}}}})
			o.Send(news)
			<-here
			start := time.Now()
			o.Close()
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
			<-gone
			if !strings.Contains(said.String(), "news could not be brought") {
				t.Errorf("%s", said)
			}
		})
	}
}

func TestMailWithoutTrust(t *testing.T) {
	_, b := smtp(t, "")
	b.Alerts.Mail.CAFile = filepath.Join(t.TempDir(), "none.pem")
	if _, err := post.Open(b, post.Shelf{}, (&log{}).logger()); err == nil {
		t.Error("took a CA that is not there")
	}
}
