package main

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// script listens and gives each connection the next of its texts, whatever is said to it, or lets
// talk do so.
func script(t *testing.T, talk func(session int, conn net.Conn, in *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for session := 0; ; session++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			talk(session, conn, bufio.NewReader(conn))
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func TestServeReadsWhatIsServed(t *testing.T) {
	answers := map[string]string{
		"CAPA": "-ERR\r\n", "USER u": "+OK\r\n", "PASS p": "+OK\r\n", "STAT": "+OK 5 1\r\n",
		"RETR 1": "+OK\r\na\r\n..\r\n.\r\n", "RETR 2": "-ERR gone\r\n",
		// A dot that should have been two.
		"RETR 3": "+OK\r\nb\r\n.\r\n.\r\n", "NOOP": "+OK\r\n", "RETR 5": "+OK\r\nc\n.\nd\r\n.\r\n",
	}
	address := script(t, func(_ int, conn net.Conn, in *bufio.Reader) {
		io.WriteString(conn, "+OK\r\n")
		for {
			line, err := in.ReadString('\n')
			answer, ok := answers[strings.TrimSpace(line)]
			if err != nil || !ok { // RETR 4 costs the connection
				return
			}
			io.WriteString(conn, answer)
		}
	})
	got, err := serve(address, "u", "p")
	if err != nil {
		t.Fatal(err)
	}
	want := served{
		Messages: messages("a\r\n.\r\n", "b\r\n.\r\n", "c\n.\nd\r\n"),
		Refused:  []string{"message 2: -ERR gone", "message 4: EOF"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestServeGivesUpOnARefusedLogin(t *testing.T) {
	address := script(t, func(_ int, conn net.Conn, in *bufio.Reader) {
		io.WriteString(conn, "+OK\r\n-ERR\r\n+OK\r\n-ERR no\r\n")
		io.Copy(io.Discard, in)
	})
	if got, err := serve(address, "u", "p"); err == nil {
		t.Errorf("no error, but %+v", got)
	}
}

func TestRecorderKeepsWhatIsAppended(t *testing.T) {
	address := script(t, func(_ int, conn net.Conn, in *bufio.Reader) {
		io.WriteString(conn, "* OK\r\n")
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			switch {
			case strings.HasSuffix(line, "{9}\r\n"):
				io.WriteString(conn, "t2 NO too large\r\n")
			case strings.HasSuffix(line, "{3}\r\n"):
				io.WriteString(conn, "+ go on\r\n")
			}
		}
	})
	r, err := startRecorder(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", r.Address)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	expect := func(want string) {
		t.Helper()
		if got, err := in.ReadString('\n'); got != want+"\r\n" {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	expect("* OK")
	// Several at once, one of which looks like a command; then one that is refused, one that is
	// asked for, and a literal that is no message.
	io.WriteString(conn, "t1 APPEND a {4+}\r\nb {9 {8+}\r\nt APPEND\r\nt2 APPEND a {9}\r\n")
	expect("t2 NO too large")
	io.WriteString(conn, "t3 APPEND a {3}\r\n")
	expect("+ go on")
	io.WriteString(conn, "c\n.\r\nt4 LOGIN {1+}\r\nu p\r\n")
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := r.stop()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(messages("b {9", "t APPEND", "c\n."), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
