package pop_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/pop"
)

// hard is mail that is easily damaged on its way out of a POP3 server. Each ends
// in CRLF, because a server adds one where it is missing.
var hard = []string{
	"Subject: plain\r\n\r\nhello\r\n",
	"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n.x\r\nx.\r\n.\r\n",
	".starts with a dot\r\n",
	".\r\n",
	"..\r\n",
	"\r\n",
	"\r\n\r\nstarts with empty lines\r\n",
	"Subject: bare LF\r\n\r\none\ntwo\n.\nthree\n..\nfour\n.\r\n",
	"Subject: bare CR\r\n\r\none\rtwo\r.\rthree\r\r\n.\r\r\n",
	"Subject: NUL\r\n\r\na\x00b\x00.\x00\r\n",
	"Subject: 8 bit \xff\xfe ü\r\n\r\n\x80\x81\r\n",
	"\xef\xbb\xbfSubject: BOM\r\n\r\nx\r\n",
	"From someone@example.org Thu Jan  1 00:00:00 1970\r\n>From x\r\n\r\nFrom y\r\n",
	"Subject: looks like protocol\r\n\r\n+OK\r\n-ERR no\r\nA1 OK\r\n{5}\r\n+ \r\n",
	"no header at all\r\n",
	"Subject: header only\r\n",
	"Subject: a long line\r\n\r\n" + strings.Repeat("x", 300_000) + "\r\n",
	"Subject: many dots\r\n\r\n" + strings.Repeat(".\r\n", 50_000),
	"Subject: CR CR LF\r\r\n\r\r\n.\r\n\n.\r\n",
	"Subject: split\r\n\r\n" + strings.Repeat(strings.Repeat("y", 61)+"\r\n.\r\n", 3_000),
}

// honest are servers that give what they have.
var honest = map[string]popd.Options{
	"pipelined": {}, "one at a time": {NoPipelining: true}, "no CAPA": {NoCAPA: true},
	"S8 sizes too small": {SizeOffset: -20}, "S8 sizes too large": {SizeOffset: 1000},
	"S8 sizes too large, one at a time": {SizeOffset: 1000, NoPipelining: true},
}

func TestRetrieveByteExact(t *testing.T) {
	for name, o := range honest {
		for _, window := range []int{1, 2, 3, 64} {
			t.Run(fmt.Sprint(name, "/", window), func(t *testing.T) {
				options := over(serve(t, o, hard...))
				options.Window = window
				m := dial(t, options)
				got, err := retrieve(t.Context(), m, list(t, m))
				if err != nil {
					t.Fatal(err)
				}
				wantTexts(t, got, hard)
				if err := m.Noop(t.Context()); err != nil {
					t.Errorf("afterwards go-pop3 is out of step: %v", err)
				}
			})
		}
	}
}

// TestEnough: who wants no more is given what is on its way, and the session goes on.
func TestEnough(t *testing.T) {
	for name, o := range honest {
		for _, window := range []int{1, 2, 64} {
			for _, enough := range []int{1, 5, len(hard) - 1, len(hard)} {
				t.Run(fmt.Sprint(name, "/", window, "/", enough), func(t *testing.T) {
					options := over(serve(t, o, hard...))
					options.Window = window
					m := dial(t, options)
					entries := list(t, m)
					got, err := retrieveUntil(t.Context(), m, entries, enough)
					if err != nil || len(got) < enough || len(got) > enough+window {
						t.Fatalf("%d messages: %v", len(got), err)
					}
					rest, err := retrieve(t.Context(), m, entries[len(got):])
					if err != nil {
						t.Fatal(err)
					}
					wantTexts(t, append(got, rest...), hard)
				})
			}
		}
	}
}

func wantTexts(t *testing.T, got []fetched, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d messages, want %d", len(got), len(want))
	}
	for i, g := range got {
		if g.err != nil {
			t.Errorf("message %d: %v", g.number, g.err)
		} else if g.text != want[i] {
			t.Errorf("message %d differs:\n%s", g.number, cmp.Diff(want[i], g.text))
		}
	}
}

// S17: one message is refused in the middle of the window; the others go on.
func TestS17Refused(t *testing.T) {
	for _, noPipelining := range []bool{false, true} {
		server := serve(t, popd.Options{NoPipelining: noPipelining, Refuse: map[int]string{
			2: "I/O error", 3: "[SYS/TEMP] try later", 7: "Download exceed. msg=10",
			8: "blocked by virus scanner", 9: "quota exceeded", 20: "[SYS/PERM] damaged",
		}}, hard...)
		m := dial(t, over(server))
		got, err := retrieve(t.Context(), m, list(t, m))
		if err != nil {
			t.Fatal(err)
		}
		codes := map[int]fault.Code{}
		var whole []fetched
		for _, g := range got {
			if g.err != nil {
				codes[g.number] = fault.CodeOf(g.err)
				continue
			}
			if g.text != hard[g.number-1] {
				t.Errorf("message %d differs", g.number)
			}
			whole = append(whole, g)
		}
		want := map[int]fault.Code{
			2: fault.Held, 3: fault.Temporary, 7: fault.Temporary, 8: fault.Held, 9: fault.Temporary, 20: fault.Refused,
		}
		if diff := cmp.Diff(want, codes); diff != "" || len(whole) != len(hard)-len(want) {
			t.Errorf("%d messages came; refusals: %s", len(whole), diff)
		}
		if err := m.Noop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// S10: a message vanishes during the session.
func TestS10Expunged(t *testing.T) {
	server := serve(t, popd.Options{}, "a\r\n", "b\r\n", "c\r\n")
	m := dial(t, over(server))
	entries := list(t, m)
	server.Expunge(2)
	got, err := retrieve(t.Context(), m, entries)
	if err != nil || len(got) != 3 {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	wantFault(t, got[1].err, fault.Held, "message 2 expunged")
	if got[0].text != "a\r\n" || got[2].text != "c\r\n" {
		t.Errorf("got %v", got)
	}
}

// M11, M12: the caller stops reading; what is left is skipped, or the session
// ends when that is too much.
func TestM11Abandoned(t *testing.T) {
	large := strings.Repeat("0123456789abcde\n", 1<<16) // 1 MiB
	server := serve(t, popd.Options{}, "first\r\n", large+"\r\n", "last\r\n")
	m := dial(t, over(server))
	var last string
	err := m.Retrieve(t.Context(), list(t, m), func(e pop.Entry, body io.Reader, err error) error {
		part := make([]byte, 6)
		n, _ := io.ReadFull(body, part)
		last = string(part[:n])
		return err
	})
	if err != nil || last != "last\r\n" {
		t.Errorf("the last message began with %q, error %v", last, err)
	}
}

func TestM12EndlessBody(t *testing.T) {
	endless := "+OK 100 octets\r\n" + strings.Repeat(strings.Repeat("x", 1022)+"\r\n", 65<<10)
	server := serve(t, say("RETR", endless), "a\r\n")
	m := dial(t, over(server))
	err := m.Retrieve(t.Context(), list(t, m), func(_ pop.Entry, body io.Reader, err error) error {
		return err
	})
	wantFault(t, err, fault.Temporary, "too long to skip")
	if !errors.Is(err, pop.ErrAbandoned) {
		t.Errorf("the cause is not ErrAbandoned: %v", err)
	}
}

// M13: the server does not double dots. Whatever it takes for the end of a
// message, the message is not accepted.
func TestM13Unstuffed(t *testing.T) {
	short := "Subject: a\r\n\r\nbefore\r\n.\r\nafter\r\n"
	for name, test := range map[string]struct {
		o        popd.Options
		messages []string
		accepted int
	}{
		"pipelined, in the middle": {popd.Options{}, []string{"a\r\n", short, "c\r\n"}, 1},
		"pipelined, the last":      {popd.Options{}, []string{"a\r\n", "b\r\n", short}, 2},
		"one at a time, in the middle": {popd.Options{NoPipelining: true},
			[]string{"a\r\n", short, "c\r\n"}, 1},
		"one at a time, the last": {popd.Options{NoPipelining: true},
			[]string{"a\r\n", "b\r\n", short}, 2},
		"alone":           {popd.Options{NoPipelining: true}, []string{short}, 0},
		"sizes too small": {popd.Options{SizeOffset: -100}, []string{"a\r\n", short}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			test.o.Unstuffed = true
			m := dial(t, over(serve(t, test.o, test.messages...)))
			got, err := retrieve(t.Context(), m, list(t, m))
			wantFault(t, err, fault.Protocol, "early", "dots")
			if !errors.Is(err, pop.ErrEndedEarly) {
				t.Errorf("the cause is not ErrEndedEarly: %v", err)
			}
			if len(got) != test.accepted {
				t.Errorf("%d messages were accepted, want %d", len(got), test.accepted)
			}
			if err := m.Quit(t.Context()); err == nil {
				t.Error("QUIT works in a session that is out of step")
			}
		})
	}
}

// The size of the truncated message is in the text: "(22 of 33 bytes)".
func TestM13Text(t *testing.T) {
	raw := strings.Repeat("x", 18) + "\r\n\r\n.\r\nafter..\r\n"
	m := dial(t, over(serve(t, popd.Options{Unstuffed: true}, raw)))
	_, err := retrieve(t.Context(), m, list(t, m))
	wantFault(t, err, fault.Protocol, fmt.Sprintf("ended message 1 early (22 of %d bytes)", len(raw)))
}

func TestM14BrokenTerminator(t *testing.T) {
	for name, end := range map[string]string{
		"CR without LF": "hello\r\n.\r", "LF alone": "hello\n.\n", "half LF": "hello\r\n.\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := serve(t, popd.Options{NoPipelining: true, Reply: replies(map[string]string{
					"RETR": "+OK\r\n" + end,
				})}, "hello\r\n")
				m := dial(t, over(server))
				got, err := retrieve(t.Context(), m, list(t, m))
				wantFault(t, err, fault.Protocol, "did not end message 1")
				if len(got) != 0 {
					t.Errorf("accepted %v", got)
				}
			})
		})
	}
}

func TestN7StalledBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := serve(t, say("RETR", "+OK\r\nhalf"), "a\r\n")
		m := dial(t, over(server))
		got, err := retrieve(t.Context(), m, list(t, m))
		wantFault(t, err, fault.Temporary, "no progress")
		if len(got) != 0 {
			t.Errorf("accepted %v", got)
		}
	})
}

// N8: TLS that ends without its farewell is a cut and never the end of a message,
// and neither is one with it.
func TestN8CutInsideTLS(t *testing.T) {
	for name, part := range map[string]string{
		"in a line": "+OK\r\nhalf", "behind a line": "+OK\r\nhalf\r\n", "at the dot": "+OK\r\nhalf\r\n.",
	} {
		t.Run(name, func(t *testing.T) {
			var server *popd.Server
			server, options := secured(t, popd.Implicit, popd.Options{
				NoPipelining: true,
				Reply: func(cmd string, _ int) ([]byte, bool) {
					if cmd == "RETR" {
						time.AfterFunc(10*time.Millisecond, server.Cut)
					}
					return []byte(part), cmd == "RETR"
				},
			}, "half\r\n")
			m := dial(t, options)
			got, err := retrieve(t.Context(), m, list(t, m))
			wantFault(t, err, fault.Temporary)
			if len(got) != 0 {
				t.Errorf("accepted %v", got)
			}
		})
	}
}

// M15: bare LF in the status line means bare LF in the body: a lone dot between
// LFs ends it, and the line ends stay as they came.
func TestM15BareLF(t *testing.T) {
	for _, noPipelining := range []bool{false, true} {
		server := serve(t, popd.Options{BareLF: true, NoPipelining: noPipelining},
			"Subject: x\r\n\r\n.\r\n..\r\nend\r\n", ".a\r\n", "b\r\n")
		m := dial(t, over(server))
		got, err := retrieve(t.Context(), m, list(t, m))
		if err != nil {
			t.Fatal(err)
		}
		wantTexts(t, got, []string{"Subject: x\n\n.\n..\nend\n", ".a\n", "b\n"})
	}
}

// A server that says +OK with LF and sends bodies with CRLF is understood too.
func TestM15Mixed(t *testing.T) {
	server := serve(t, popd.Options{Reply: replies(map[string]string{
		"RETR": "+OK\na\r\n..\r\nb\n..\rx\r\n.\r\n",
	})}, "a\r\n")
	m := dial(t, over(server))
	got, err := retrieve(t.Context(), m, list(t, m))
	if err != nil {
		t.Fatal(err)
	}
	wantTexts(t, got, []string{"a\r\n.\r\nb\n.\rx\r\n"})
}

func TestN10Surplus(t *testing.T) {
	for name, test := range map[string]struct {
		surplus string
		code    fault.Code
	}{
		"a reply too many":  {"+OK again\r\n", fault.Protocol},
		"nonsense":          {"hello\r\n", fault.Protocol},
		"autologout":        {"-ERR Autologout; idle for too long\r\n", fault.Temporary},
		"a farewell's code": {"-ERR [SYS/PERM] closing\r\n", fault.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, say("NOOP", "+OK\r\n"+test.surplus))
			m := dial(t, over(server))
			if err := m.Noop(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantFault(t, m.Noop(t.Context()), test.code)
		})
	}
}

// RFC 2449 §6.6: nothing is pipelined where that was not announced.
func TestNoPipelining(t *testing.T) {
	for name, o := range map[string]popd.Options{
		"not announced": {NoPipelining: true, UTF8: true}, "no CAPA": {NoCAPA: true},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, o, hard...)
			m := dial(t, over(server))
			entries := list(t, m)
			if _, err := retrieve(t.Context(), m, entries); err != nil {
				t.Fatal(err)
			}
			deleteAll(t, m, entries)
			if err := m.Quit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := server.Counters().Pipelined; n != 0 {
				t.Errorf("%d commands were pipelined", n)
			}
		})
	}
}

// One wait for the network gets everything, and each message is asked for once.
func TestPipelining(t *testing.T) {
	server := serve(t, popd.Options{}, hard...)
	m := dial(t, over(server))
	entries := list(t, m)
	before := m.RoundTrips()
	if _, err := retrieve(t.Context(), m, entries); err != nil {
		t.Fatal(err)
	}
	if n := m.RoundTrips() - before; n != 1 {
		t.Errorf("%d round trips for %d messages, want 1", n, len(entries))
	}
	for number, n := range server.Counters().Retr {
		if n != 1 {
			t.Errorf("message %d was asked for %d times", number, n)
		}
	}
}

// No more may be on its way than about 32 MiB, whatever the count.
func TestWindowIsBoundedByBytes(t *testing.T) {
	asked := 0
	o := popd.Options{Reply: func(cmd string, n int) ([]byte, bool) {
		if cmd == "RETR" {
			asked = n
		}
		all := "+OK\r\n1 30000000\r\n2 30000000\r\n3 30000000\r\n.\r\n"
		return []byte(all), cmd == "LIST" && n == 0
	}}
	m := dial(t, over(serve(t, o, "a\r\n", "b\r\n", "c\r\n")))
	err := m.Retrieve(t.Context(), list(t, m), func(e pop.Entry, body io.Reader, _ error) error {
		if asked != e.Number {
			t.Errorf("message %d was asked for before %d was read", asked, e.Number)
		}
		_, err := io.Copy(io.Discard, body)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCallbackEndsSession(t *testing.T) {
	enough := errors.New("enough")
	m := dial(t, over(serve(t, popd.Options{}, hard...)))
	entries := list(t, m)
	err := m.Retrieve(t.Context(), entries, func(pop.Entry, io.Reader, error) error { return enough })
	if !errors.Is(err, enough) {
		t.Errorf("Retrieve returned %v", err)
	}
	if err := m.Noop(t.Context()); err == nil {
		t.Error("the session goes on in the middle of a body")
	}
}

func TestRetrieveNothing(t *testing.T) {
	m := dial(t, over(serve(t, popd.Options{})))
	if got, err := retrieve(t.Context(), m, list(t, m)); err != nil || got != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

// A server that hangs up after each message must still let us get on.
func TestHangsUpAfterEach(t *testing.T) {
	var server *popd.Server
	server = serve(t, popd.Options{NoPipelining: true, Reply: func(cmd string, n int) ([]byte, bool) {
		if cmd == "RETR" && n == 2 {
			server.Cut()
		}
		return nil, false
	}}, "a\r\n", "b\r\n")
	m := dial(t, over(server))
	got, err := retrieve(t.Context(), m, list(t, m))
	wantFault(t, err, fault.Temporary, "")
	wantTexts(t, got, []string{"a\r\n"})
}

func TestTop(t *testing.T) {
	message := "Subject: x\r\n.dot: y\r\n\r\none\r\ntwo\r\n"
	for _, noPipelining := range []bool{false, true} {
		m := dial(t, over(serve(t, popd.Options{NoPipelining: noPipelining}, message, message)))
		entries := list(t, m)
		for lines, want := range map[int]string{
			0: "Subject: x\r\n.dot: y\r\n\r\n", 1: "Subject: x\r\n.dot: y\r\n\r\none\r\n",
		} {
			var got []fetched
			if err := m.Top(t.Context(), entries, lines, collect(&got)); err != nil {
				t.Fatal(err)
			}
			wantTexts(t, got, []string{want, want})
		}
	}
}

func TestS16NoTop(t *testing.T) {
	for name, o := range map[string]popd.Options{
		"not announced": {NoTOP: true}, "no CAPA": {NoTOP: true, NoCAPA: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := dial(t, over(serve(t, o, "a\r\n", "b\r\n")))
			entries := list(t, m)
			var got []fetched
			err := m.Top(t.Context(), entries, 0, collect(&got))
			if !errors.Is(err, pop.ErrNoTop) || got != nil {
				t.Errorf("Top returned %v with %v", err, got)
			}
			if got, err := retrieve(t.Context(), m, entries); err != nil || len(got) != 2 {
				t.Errorf("RETR does not work in its stead: %v", err)
			}
		})
	}
	t.Run("announced but refused", func(t *testing.T) {
		o := popd.Options{NoTOP: true, Capabilities: []string{"TOP"}}
		m := dial(t, over(serve(t, o, "a\r\n", "b\r\n")))
		var got []fetched
		if err := m.Top(t.Context(), list(t, m), 0, collect(&got)); err != nil {
			t.Fatal(err)
		}
		for _, g := range got {
			if !errors.Is(g.err, pop.ErrNoTop) {
				t.Errorf("message %d: %v", g.number, g.err)
			}
		}
		if len(got) != 2 {
			t.Errorf("%d answers, want 2", len(got))
		}
	})
}

// I6: an answer to TOP that does not end is ended here, unless it is what some servers
// give: the whole message.
func TestEndlessTop(t *testing.T) {
	endless := strings.Repeat("X: "+strings.Repeat("x", 4000)+"\r\n", 10_000)
	for size, long := range map[string]bool{"100": true, "40000000": false} {
		t.Run("LIST says "+size, func(t *testing.T) {
			said := map[string]string{
				"LIST": "+OK\r\n1 " + size + "\r\n.\r\n", "TOP": "+OK\r\n" + endless + ".\r\n",
			}
			m := dial(t, over(serve(t, popd.Options{Reply: func(cmd string, n int) ([]byte, bool) {
				text, ok := said[cmd]
				return []byte(text), ok && (cmd != "LIST" || n == 0)
			}, NoPipelining: true}, "Subject: x\r\n\r\nx\r\n")))
			err := m.Top(t.Context(), list(t, m), 0, func(_ pop.Entry, body io.Reader, _ error) error {
				_, err := io.Copy(io.Discard, body)
				return err
			})
			if !long && err == nil {
				return
			}
			wantFault(t, err, fault.Protocol, "message 1: too long an answer to TOP")
		})
	}
}
