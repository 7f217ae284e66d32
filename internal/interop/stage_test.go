//go:build interop

package main

import (
	"bytes"
	"net"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/mailtest/servers/box"
)

// installed skips a test where the real server is not there to be run.
func installed(t *testing.T, name string) {
	t.Helper()
	if name == "dovecot" {
		if _, ok := dovecot.Found(); !ok {
			t.Skip("needs Debian's dovecot-imapd and dovecot-pop3d")
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := box.Packages(name); err != nil {
		t.Skip(err)
	}
}

// TestServersServeWhatIsPutIntoThem is about the harnesses: mail that is put into a server's files
// comes out of its POP3, and its IMAP greets.
func TestServersServeWhatIsPutIntoThem(t *testing.T) {
	put := mails("ordinary")[4:8]
	for _, name := range sources {
		t.Run(name, func(t *testing.T) {
			installed(t, name)
			s, err := start(name, []string{"u"})
			if err != nil {
				t.Fatal(err)
			}
			stopped := false
			t.Cleanup(func() {
				if !stopped {
					s.stop()
				}
			})
			if err := s.deliver("u", put[:3]...); err != nil {
				t.Fatal(err)
			}
			if err := s.deliver("u", put[3:]...); err != nil {
				t.Fatal(err)
			}
			got, err := serve(s.pop3, "u", s.password)
			if err != nil {
				t.Fatal(err)
			}
			want := served{Messages: put}
			same := cmp.Comparer(func(a, b []byte) bool { return string(plain(a)) == string(plain(b)) })
			if diff := cmp.Diff(want, got, same); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if s.imap != "" {
				greets(t, s.imap)
			}
			stopped = true
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			if conn, err := net.Dial("tcp", s.pop3); err == nil {
				conn.Close()
				t.Error("it still listens")
			}
		})
	}
}

// plain is the form in which a message is the same before and behind a spool file.
func plain(raw []byte) []byte {
	return bytes.ReplaceAll(unmarked(raw), []byte("\n>From "), []byte("\nFrom "))
}

func greets(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	greeting := make([]byte, 4)
	if _, err := conn.Read(greeting); err != nil || string(greeting) != "* OK" {
		t.Errorf("%q, %v", greeting, err)
	}
}

// TestMailIsDistinct is what counting copies rests on.
func TestMailIsDistinct(t *testing.T) {
	if n := len(count(mails("ordinary"), corpus.Canonical)); n != 40 {
		t.Errorf("%d different ordinary mails, want 40", n)
	}
	if n := len(mails("hard")); n < 250 {
		t.Errorf("%d hard mails only", n)
	}
}
