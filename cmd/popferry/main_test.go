package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// password is that of every account on the test servers. It must not be in any
// output: script teardown looks for it.
const password = "Zugang-7#geheim"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"popferry": main, "web": web})
}

// web prints what a web server answers, status first: web URL [TOKEN].
func web() {
	r, err := http.NewRequest(http.MethodGet, os.Args[1], nil)
	if err != nil {
		log.Fatal(err)
	}
	if len(os.Args) > 2 {
		r.Header.Set("Authorization", "Bearer "+os.Args[2])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	fmt.Println(answer.StatusCode)
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		log.Fatal(err)
	}
}

// TestScripts runs the program as its users do. Each script has its own servers,
// where it asks for them, and its own state.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("TMPDIR", env.WorkDir)
			env.Setenv("PASSWORD", password)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      exits,
			"servers":    servers,
			"closedport": closedPort,
			"modern":     modern,
			"arrived":    arrived,
			"private":    isPrivate,
			"nosecrets":  noSecrets,
			"envsubst":   envSubst,
		},
	})
}

// exits runs a program and compares its exit status: exits 78 popferry plan.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
	for _, out := range []string{"stdout", "stderr"} {
		refuseSecret(ts, out, ts.ReadFile(out))
	}
}

// servers starts a POP3 and an IMAP server and writes an accounts.yaml for them.
// "servers 20" has 20 messages; "servers 20 7" never gives the seventh; "servers
// 20 stall" falls silent once, before the last message, and then makes the file
// stalled.
func servers(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	keys, err := certs.New(certs.Options{})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), keys.CAPEM, 0o600))
	o := popd.Options{Username: "alice", Password: password, Mode: popd.Implicit, TLS: keys.Server(),
		Refuse: map[int]string{}}
	end := make(chan struct{})
	for _, arg := range args[1:] {
		if arg == "stall" {
			o.Reply = stallAt(n, ts.MkAbs("stalled"), end)
			continue
		}
		number, err := strconv.Atoi(arg)
		ts.Check(err)
		o.Refuse[number] = "damaged \x1b[31m<b>here</b>"
	}
	var mail [][]byte
	for _, m := range corpus.Ordinary(n, 7) {
		mail = append(mail, m.Raw)
	}
	pop := popd.New(o, mail...)
	address, err := pop.Listen()
	ts.Check(err)
	ts.Defer(func() { close(end); pop.Close() })
	imapPort := serveIMAP(ts, keys)
	ts.Setenv("POP_PORT", strconv.Itoa(address.Port))
	ts.Setenv("IMAP_PORT", strconv.Itoa(imapPort))
	ts.Check(os.WriteFile(ts.MkAbs("accounts.yaml"), fmt.Appendf(nil, `
defaults:
  source: {host: 127.0.0.1, port: %d, tls_ca: ca.pem, password: {env: PASSWORD}}
  destination: {host: 127.0.0.1, port: %d, tls_ca: ca.pem, password: {env: PASSWORD}}
accounts:
  - source: {username: alice}
    destination: {username: alice}
`, address.Port, imapPort), 0o644))
}

// stallAt does not answer the first RETR of a message until the end.
func stallAt(message int, sign string, end chan struct{}) func(string, int) ([]byte, bool) {
	var stalled atomic.Bool
	return func(verb string, n int) ([]byte, bool) {
		if verb == "RETR" && n == message && stalled.CompareAndSwap(false, true) {
			os.WriteFile(sign, nil, 0o600)
			<-end
		}
		return nil, false
	}
}

// offered is what the server of the tests has.
type offered interface {
	imapserver.Session
	imapserver.SessionNamespace
}

// uncut stores no message that did not come to its end (RFC 3501 §6.3.11), which imapmemserver
// does where a client dies.
type uncut struct{ offered }

func (s uncut) Append(mailbox string, r imap.LiteralReader, o *imap.AppendOptions) (*imap.AppendData, error) {
	octets, err := io.ReadAll(r)
	if err == nil && int64(len(octets)) < r.Size() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return s.offered.Append(mailbox, bytes.NewReader(octets), o)
}

func serveIMAP(ts *testscript.TestScript, keys *certs.Pair) (port int) {
	user := imapmemserver.NewUser("alice", password)
	ts.Check(user.Create("INBOX", nil))
	backend := imapmemserver.New()
	backend.AddUser(user)
	server := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return uncut{backend.NewSession().(offered)}, nil, nil
		},
		Caps:   imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapUIDPlus: {}, imap.CapNamespace: {}},
		Logger: log.New(io.Discard, "", 0),
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	go func() { _ = server.Serve(tls.NewListener(listener, keys.Server())) }()
	ts.Defer(func() { server.Close() })
	return listener.Addr().(*net.TCPAddr).Port
}

// closedPort names a port that nobody listens on in a variable.
func closedPort(ts *testscript.TestScript, _ bool, args []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	ts.Check(listener.Close())
}

// arrived counts what is in the INBOX, through another client: arrived 20.
func arrived(ts *testscript.TestScript, _ bool, args []string) {
	keys, err := certs.New(certs.Options{})
	ts.Check(err)
	config := keys.Client()
	config.InsecureSkipVerify = true
	client, err := imapclient.DialTLS("127.0.0.1:"+ts.Getenv("IMAP_PORT"), &imapclient.Options{TLSConfig: config})
	ts.Check(err)
	defer client.Close()
	ts.Check(client.Login("alice", password).Wait())
	box, err := client.Select("INBOX", nil).Wait()
	ts.Check(err)
	if got := strconv.Itoa(int(box.NumMessages)); got != args[0] {
		ts.Fatalf("%s messages arrived, want %s", got, args[0])
	}
}

// envSubst puts variables into files.
func envSubst(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

// isPrivate fails if others may read a file.
func isPrivate(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if info.Mode().Perm()&0o077 != 0 {
			ts.Fatalf("%s has mode %v", name, info.Mode())
		}
	}
}

// noSecrets looks for the password in every file below the folder of the script.
func noSecrets(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(filepath.WalkDir(ts.MkAbs("."), func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil {
			refuseSecret(ts, path, string(data))
		}
		return err
	}))
}

func refuseSecret(ts *testscript.TestScript, where, text string) {
	if strings.Contains(text, password) {
		ts.Fatalf("the password is in %s", where)
	}
}

func TestUnknownVerbIsNamed(t *testing.T) {
	var out, talk collect
	if code := run([]string{"statsu"}, &out, &talk); code != 64 {
		t.Errorf("exit status %d", code)
	}
	if want := "popferry: there is no verb \"statsu\"\n  check: did you mean \"status\"?\n"; string(talk) != want {
		t.Errorf("said %q, want %q", talk, want)
	}
}

type collect []byte

func (c *collect) Write(p []byte) (int, error) {
	*c = append(*c, p...)
	return len(p), nil
}
