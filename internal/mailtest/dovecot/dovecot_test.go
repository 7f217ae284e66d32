package dovecot_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/popferry/popferry/internal/mailtest/dovecot"
)

func start(t *testing.T, o dovecot.Options) *dovecot.Server {
	t.Helper()
	if _, ok := dovecot.Found(); !ok {
		t.Skip("dovecot is not installed")
	}
	server, err := dovecot.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// session is a connection on which lines are said and heard.
type session struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func dial(t *testing.T, address string, config *tls.Config) *session {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	s := &session{t: t, conn: conn, r: bufio.NewReader(conn)}
	if config != nil {
		s.secure(config)
	}
	return s
}

func (s *session) secure(config *tls.Config) {
	config.ServerName = "localhost"
	s.conn = tls.Client(s.conn, config)
	s.r = bufio.NewReader(s.conn)
}

func (s *session) say(format string, args ...any) {
	s.t.Helper()
	if _, err := fmt.Fprintf(s.conn, format+"\r\n", args...); err != nil {
		s.t.Fatal(err)
	}
}

// hear reads lines up to and including the first that starts with prefix, and returns them.
func (s *session) hear(prefix string) string {
	s.t.Helper()
	var heard strings.Builder
	for {
		line, err := s.r.ReadString('\n')
		heard.WriteString(line)
		if err != nil {
			s.t.Fatalf("waiting for %q: %v after %q", prefix, err, heard.String())
		}
		if strings.HasPrefix(line, prefix) {
			return heard.String()
		}
	}
}

const letter = "From: a@example.org\r\nSubject: x\r\n\r\n.dot\r\nend\r\n"

func TestPOP3(t *testing.T) {
	server := start(t, dovecot.Options{})
	for range 2 {
		if err := server.Deliver("alice@example.org", []byte(letter)); err != nil {
			t.Fatal(err)
		}
	}
	pop := dial(t, server.POP3, nil)
	pop.hear("+OK")
	pop.say("STLS")
	pop.hear("+OK")
	pop.secure(server.Certs.Client())
	pop.say("USER alice@example.org")
	pop.hear("+OK")
	pop.say("PASS %s", server.Password)
	pop.hear("+OK")
	pop.say("STAT\r\nRETR 1")
	pop.hear(fmt.Sprintf("+OK 2 %d", 2*len(letter)))
	pop.hear("+OK")
	want := strings.Replace(letter, "\r\n.dot", "\r\n..dot", 1) + ".\r\n"
	if diff := cmp.Diff(want, pop.hear(".\r\n")); diff != "" {
		t.Error(diff)
	}
	pop.say("DELE 1\r\nQUIT")
	pop.hear("+OK")
	pop.hear("+OK")
	if _, err := pop.r.ReadByte(); err != io.EOF {
		t.Errorf("after QUIT: %v", err)
	}
	files, err := server.Maildrop("alice@example.org")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 || string(files[0].Raw) != letter {
		t.Errorf("maildrop holds %+v, want one letter", files)
	}
}

func TestWrongPassword(t *testing.T) {
	server := start(t, dovecot.Options{Password: "open-sesame"})
	pop := dial(t, server.POP3S, server.Certs.Client())
	pop.hear("+OK")
	pop.say("USER alice\r\nPASS %s", dovecot.DefaultPassword)
	pop.hear("+OK")
	pop.hear("-ERR [AUTH]")
	pop.say("USER alice\r\nPASS open-sesame")
	pop.hear("+OK")
	pop.hear("+OK")
}

// imap logs in on the clear text port.
func imap(t *testing.T, server *dovecot.Server) *session {
	t.Helper()
	s := dial(t, server.IMAP, nil)
	s.hear("* OK")
	s.say("a LOGIN bob %s", server.Password)
	s.hear("a OK")
	return s
}

func TestIMAP(t *testing.T) {
	// A directory of the caller's: a server that root starts needs a way into it.
	server := start(t, dovecot.Options{Dir: t.TempDir()})
	s := imap(t, server)
	s.say("b CREATE Old/2001")
	s.hear("b OK")
	s.say("c APPEND Old/2001 (\\Seen \\Flagged) \"17-Jul-1996 02:44:25 -0700\" {%d+}\r\n%s {2+}\r\nx:",
		len(letter), letter)
	s.hear("c OK [APPENDUID ")
	if err := server.DeliverTo("bob", "INBOX", []byte(letter)); err != nil {
		t.Fatal(err)
	}
	s.say("d SELECT INBOX")
	if heard := s.hear("d OK"); !strings.Contains(heard, "* 1 EXISTS") {
		t.Errorf("delivered letter is not in INBOX: %q", heard)
	}

	files, err := server.Messages("bob", "Old/2001")
	if err != nil {
		t.Fatal(err)
	}
	date := time.Date(1996, 7, 17, 9, 44, 25, 0, time.UTC)
	want := []dovecot.File{
		{Raw: []byte(letter), InternalDate: date, Flags: []string{`\Flagged`, `\Seen`}, UID: 1},
		{Raw: []byte("x:"), UID: 2},
	}
	equal := cmp.Options{
		cmpopts.IgnoreFields(dovecot.File{}, "Name"),
		cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "InternalDate" },
			cmp.Comparer(func(a, b time.Time) bool {
				return a.Equal(b) || a.IsZero() || b.IsZero()
			})),
	}
	if diff := cmp.Diff(want, files, equal); diff != "" {
		t.Error(diff)
	}
	inbox, err := server.Messages("bob", "inbox")
	if err != nil {
		t.Fatal(err)
	}
	if len(inbox) != 1 || inbox[0].UID != 1 {
		t.Errorf("INBOX holds %+v", inbox)
	}
	if validity, err := server.UIDValidity("bob", "Old/2001"); err != nil || validity == 0 {
		t.Errorf("UIDVALIDITY %d, %v", validity, err)
	}
	if none, err := server.Messages("bob", "Nowhere"); err != nil || len(none) != 0 {
		t.Errorf("missing folder: %v, %v", none, err)
	}
}

func TestCapabilities(t *testing.T) {
	plain := imap(t, start(t, dovecot.Options{}))
	plain.say("b CAPABILITY")
	all := strings.Fields(plain.hear("* CAPABILITY"))

	server := start(t, dovecot.Options{
		WithoutIMAP: []string{"multiappend", "LITERAL+"}, AlsoIMAP: []string{"LITERAL-"},
	})
	s := imap(t, server)
	s.say("b CAPABILITY")
	few := strings.Fields(s.hear("* CAPABILITY"))
	want := []string{"LITERAL+", "LITERAL-", "MULTIAPPEND"}
	if diff := cmp.Diff(want, difference(all, few)); diff != "" {
		t.Error(diff)
	}
}

// difference returns the words that are in one of the lists only, sorted.
func difference(a, b []string) []string {
	var words []string
	for _, pair := range [][2][]string{{a, b}, {b, a}} {
		for _, word := range pair[0] {
			if !strings.Contains(" "+strings.Join(pair[1], " ")+" ", " "+word+" ") {
				words = append(words, word)
			}
		}
	}
	slices.Sort(words)
	return words
}

func TestNamespace(t *testing.T) {
	server := start(t, dovecot.Options{Prefix: "INBOX."})
	s := imap(t, server)
	s.say("b CREATE INBOX.Old.2001\r\nc APPEND INBOX.Old.2001 {%d+}\r\n%s", len(letter), letter)
	s.hear("b OK")
	s.hear("c OK")
	s.say("d NAMESPACE")
	if heard := s.hear("d OK"); !strings.Contains(heard, `(("INBOX." "."))`) {
		t.Errorf("namespace: %q", heard)
	}
	files, err := server.Messages("bob", "Old/2001")
	if err != nil || len(files) != 1 {
		t.Errorf("got %d messages, %v", len(files), err)
	}
}

func TestStop(t *testing.T) {
	server := start(t, dovecot.Options{})
	s := imap(t, server)
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, s.r); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("open session: %v", err)
	}
	for _, address := range []string{server.POP3, server.POP3S, server.IMAP, server.IMAPS} {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			t.Errorf("%s still listens", address)
		}
	}
	if _, err := os.Stat(server.Dir); !os.IsNotExist(err) {
		t.Errorf("directory is still there: %v", err)
	}
	if err := server.Stop(); err != nil {
		t.Errorf("second Stop: %v", err)
	}
}

func TestRefusedOptions(t *testing.T) {
	if _, ok := dovecot.Found(); !ok {
		t.Skip("dovecot is not installed")
	}
	for name, o := range map[string]dovecot.Options{
		"password": {Password: "two words"},
		"extra":    {Extra: "no such setting"},
		"dir":      {Dir: filepath.Join(t.TempDir(), "missing")},
	} {
		if server, err := dovecot.Start(o); err == nil {
			t.Errorf("%s: accepted", name)
			if err := server.Stop(); err != nil {
				t.Error(err)
			}
		}
	}
	server := start(t, dovecot.Options{})
	if err := server.Deliver("../x", nil); err == nil {
		t.Error("a user name with a path was accepted")
	}
}

// TestDownAndUp: the same ports, the same certificate and the same mail.
func TestDownAndUp(t *testing.T) {
	server := start(t, dovecot.Options{})
	if err := server.Deliver("alice", []byte("Subject: one\r\n\r\nhere\r\n")); err != nil {
		t.Fatal(err)
	}
	address := server.POP3S
	if err := server.Down(); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("it answers while it is down")
	}
	if err := server.Up(); err != nil {
		t.Fatal(err)
	}
	config := server.Certs.Client()
	config.ServerName = "127.0.0.1"
	s := dial(t, address, config)
	if line, err := s.r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "+OK") {
		t.Errorf("%q, %v", line, err)
	}
	if files, err := server.Maildrop("alice"); err != nil || len(files) != 1 {
		t.Errorf("%d messages, %v", len(files), err)
	}
}
