package pop_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/pop"
)

// bare is a POP3 server that says what it is told to say, when it is told to.
type bare struct {
	messages []string
	size     func(string) int
	// pipelining is announced; noNames: LIST of one message is refused.
	pipelining, noNames bool
	// stuffed: dots are doubled.
	stuffed bool
	// pieces is how what stands behind the first dot that is alone in its line is sent:
	// with the dot, with the reply to the next command, or a line with each reply.
	pieces string
	// drips makes the answer to CAPA go on and on.
	drips bool
	// leaves ends the connection behind each message, with a farewell or without.
	leaves   bool
	farewell string
	// answers are to single commands, in place of ours.
	answers map[string]string
}

const (
	together   = "in one piece"
	atNext     = "behind the next command"
	lineByLine = "line by line"
)

func exact(text string) int    { return len(text) }
func lfOnly(text string) int   { return len(text) - strings.Count(text, "\r\n") }
func unknown(string) int       { return 0 }
func tooSmall(text string) int { return len(text) * 3 / 4 }
func tooLarge(text string) int { return len(text)*5/4 + 10 }

var countings = map[string]func(string) int{
	"exact": exact, "LF": lfOnly, "0": unknown, "too small": tooSmall, "too large": tooLarge,
}

func (b *bare) options(t *testing.T) pop.Options {
	return pop.Options{Username: "alice", Password: hidden("open sesame"), Endpoint: wire.Endpoint{
		Host: "127.0.0.1", Port: 110, TLS: wire.None,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { ours.Close() })
			go b.serve(theirs)
			return ours, nil
		},
	}}
}

func (b *bare) serve(conn net.Conn) {
	defer conn.Close()
	fmt.Fprint(conn, "+OK ready\r\n")
	var owed []string
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		verb, argument, _ := strings.Cut(lines.Text(), " ")
		if verb == "CAPA" && b.drips {
			drip(conn)
			return
		}
		now := len(owed) + 1
		if b.pieces == lineByLine {
			now = 1
		}
		owed = append(owed, b.answer(verb, argument)...)
		said := strings.Join(owed[:now], "")
		owed = owed[now:]
		leaves := b.leaves && verb == "RETR"
		if leaves {
			said += b.farewell
		}
		if _, err := fmt.Fprint(conn, said); err != nil || leaves {
			return
		}
	}
}

// answer is in the pieces in which it is sent.
func (b *bare) answer(verb, argument string) []string {
	n := 0
	fmt.Sscan(argument, &n)
	if answer, ok := b.answers[verb+" "+argument]; ok {
		return []string{answer}
	}
	switch {
	case verb == "CAPA" && b.pipelining:
		return []string{"+OK\r\nUSER\r\nTOP\r\nUIDL\r\nPIPELINING\r\n.\r\n"}
	case verb == "CAPA":
		return []string{"+OK\r\nUSER\r\nTOP\r\nUIDL\r\n.\r\n"}
	case verb == "STAT":
		return []string{fmt.Sprintf("+OK %d 4711\r\n", len(b.messages))}
	case verb == "LIST" && n > 0 && b.noNames:
		return []string{"-ERR no arguments, please\r\n"}
	case verb == "LIST" && n > 0:
		return []string{fmt.Sprintf("+OK %d %d\r\n", n, b.size(b.messages[n-1]))}
	case verb == "LIST":
		return []string{b.list()}
	case verb == "RETR", verb == "TOP":
		return b.body(b.messages[n-1])
	case verb == "UIDL":
		return []string{"-ERR no\r\n"}
	}
	return []string{"+OK\r\n"}
}

func (b *bare) list() string {
	var all strings.Builder
	all.WriteString("+OK\r\n")
	for i, text := range b.messages {
		fmt.Fprintf(&all, "%d %d\r\n", i+1, b.size(text))
	}
	return all.String() + ".\r\n"
}

func (b *bare) body(text string) []string {
	if b.stuffed {
		text = strings.ReplaceAll(text, "\r\n.", "\r\n..")
	}
	head, rest, cut := strings.Cut("+OK\r\n"+text, "\r\n.\r\n")
	switch {
	case !cut:
		return []string{head + ".\r\n"}
	case b.pieces == lineByLine:
		return append([]string{head + "\r\n.\r\n"}, strings.SplitAfter(rest+".\r\n", "\n")...)
	case b.pieces == atNext:
		return []string{head + "\r\n.\r\n", rest + ".\r\n"}
	}
	return []string{head + "\r\n.\r\n" + rest + ".\r\n"}
}

// behindDot is what may stand in a message behind a dot that is alone in its line.
var behindDot = map[string]string{
	"a signature": "sig\r\n", "a refusal": "-ERR no\r\n", "a refusal and more": "-ERR no\r\nmore\r\n",
	"much":     "-ERR no\r\n" + strings.Repeat("much more\r\n", 50),
	"refusals": strings.Repeat("-ERR no\r\n", 5), "an OK": "+OK\r\n", "OKs": strings.Repeat("+OK\r\n", 5),
	"a name": "+OK 3 300\r\n", "a message": "+OK 300 octets\r\nSubject: quoted\r\n\r\nx\r\n",
	"a session": "-ERR no\r\n+OK 2 320\r\n+OK\r\n.\r\n-ERR [IN-USE] no\r\n+OK bye\r\n",
	"nothing":   "",
}

// M13: whatever stands behind the dot, whatever LIST counts and whenever it comes, a
// message that a server ended early is not accepted, and nothing comes in the place of
// another.
func TestM13NeverCut(t *testing.T) {
	for counting, size := range countings {
		for behind, rest := range behindDot {
			for _, pieces := range []string{together, atNext, lineByLine} {
				for at := range 3 {
					for _, pipelining := range []bool{false, true} {
						for _, noNames := range []bool{false, true} {
							if pipelining && behind == "a name" {
								continue // nobody can write the number that it will have
							}
							b := &bare{size: size, pieces: pieces, pipelining: pipelining, noNames: noNames}
							b.messages = five()[:3]
							b.messages[at] = "Subject: quoted\r\n\r\n" + strings.Repeat("x\r\n", 60) + ".\r\n" + rest
							name := fmt.Sprintf("%s/%s/%s/%d/%v,%v", counting, behind, pieces, at, pipelining, noNames)
							t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { neverCut(t, b, at) }) })
						}
					}
				}
			}
		}
	}
}

func neverCut(t *testing.T, b *bare, at int) {
	m := dial(t, b.options(t))
	got, err := retrieve(t.Context(), m, list(t, m))
	if err == nil {
		t.Errorf("no error")
	}
	if len(got) > at {
		t.Errorf("%d messages were accepted, want %d at most", len(got), at)
	}
	for i, g := range got {
		if g.err != nil || g.text != b.messages[i] {
			t.Errorf("message %d came as %.20q, %v", g.number, g.text, g.err)
		}
	}
	if !b.pipelining && !errors.Is(err, pop.ErrEndedEarly) && !errors.Is(err, pop.ErrOutOfStep) {
		t.Errorf("the cause is neither ErrEndedEarly nor ErrOutOfStep: %v", err)
	}
}

// A server that doubles its dots is believed whatever it counts.
func TestM13HonestCounts(t *testing.T) {
	messages := append(five(), "", ".\r\n", "x\r\n.\r\n-ERR no\r\n.\r\n+OK\r\n", "twin\r\n", "twin\r\n")
	for counting, size := range countings {
		for _, noNames := range []bool{false, true} {
			t.Run(fmt.Sprint(counting, noNames), func(t *testing.T) {
				b := &bare{size: size, noNames: noNames, stuffed: true, messages: messages}
				if noNames {
					b.messages = b.messages[:8] // twins are told apart by name
				}
				m := dial(t, b.options(t))
				got, err := retrieve(t.Context(), m, list(t, m))
				if err != nil {
					t.Fatal(err)
				}
				wantTexts(t, got, b.messages)
			})
		}
	}
}

// A message that is as long as announced is believed from a server that hangs up behind
// it, with a word or without.
func TestM13HangsUp(t *testing.T) {
	for counting, whole := range map[string]bool{"exact": true, "LF": true, "too large": false} {
		for _, farewell := range []string{"", "-ERR Autologout\r\n"} {
			b := &bare{size: countings[counting], messages: five(), leaves: true, farewell: farewell}
			m := dial(t, b.options(t))
			got, err := retrieve(t.Context(), m, list(t, m))
			wantFault(t, err, fault.Temporary)
			if (len(got) == 1) != whole {
				t.Errorf("%s, %q: %d messages came", counting, farewell, len(got))
			}
		}
	}
}

// A server that can't read all of a message may end what it has of it, and say so behind that.
// It waits for the next command; nobody has to wait for it.
func TestComplaint(t *testing.T) {
	for said, code := range map[string]fault.Code{
		"-ERR Failed to RETR that message, internal error": fault.Held,
		"-ERR [SYS/TEMP] Failed to RETR that message":      fault.Temporary,
	} {
		synctest.Test(t, func(t *testing.T) {
			started := time.Now()
			b := &bare{size: exact, messages: five()[:3]}
			b.answers = map[string]string{"RETR 2": "+OK\r\nSubject: cut\r\n.\r\n" + said + "\r\n"}
			m := dial(t, b.options(t))
			var got []fetched
			err := m.Retrieve(t.Context(), list(t, m), tolerate(collect(&got), &got))
			if len(got) < 2 || (len(got) == 3 && err == nil) != (code == fault.Held) {
				t.Fatalf("%q: got %v, %v", said, got, err)
			}
			wantFault(t, got[1].err, code, "ended message 2 early (14 of ", "Failed to RETR that message")
			if waited := time.Since(started); waited > 0 {
				t.Errorf("%q: that took %s", said, waited)
			}
		})
	}
}

// What the server can't read may lie behind all that was asked for.
func TestComplaintBehindAll(t *testing.T) {
	const complaint = ".\r\n-ERR Failed to RETR that message, internal error\r\n"
	synctest.Test(t, func(t *testing.T) {
		b := &bare{size: exact, messages: five()[:3]}
		b.answers = map[string]string{
			"TOP 2 0": "+OK\r\nSubject: header\r\n\r\n" + complaint,
			"RETR 2":  "+OK\r\n" + b.messages[1] + complaint,
		}
		m := dial(t, b.options(t))
		entries := list(t, m)
		var headers []fetched
		if err := m.Top(t.Context(), entries, 0, collect(&headers)); err != nil || len(headers) != 3 {
			t.Errorf("%d headers came, error %v", len(headers), err)
		}
		got, err := retrieve(t.Context(), m, entries)
		if err != nil {
			t.Fatal(err)
		}
		wantTexts(t, got, b.messages)
	})
}

// TOP asks for a header; whatever comes under a number is of that message.
func TestM13Top(t *testing.T) {
	for behind, rest := range behindDot {
		for _, pieces := range []string{together, atNext, lineByLine} {
			t.Run(behind+"/"+pieces, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := &bare{size: exact, pieces: pieces, messages: five()[:4]}
					b.messages[0] = "Subject: quoted\r\n\r\nx\r\n.\r\n" + rest
					m := dial(t, b.options(t))
					var got []fetched
					err := m.Top(t.Context(), list(t, m), 0, collect(&got))
					if err == nil || len(got) > 0 {
						t.Errorf("%d headers came, error %v", len(got), err)
					}
				})
			})
		}
	}
}

// Which listing it was that the server did not give is what its operator wants to know.
func TestUnansweredListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, answer := range []string{"", "+OK\r\n1 a\r\n"} {
			b := &bare{size: exact, messages: five(), answers: map[string]string{"UIDL ": answer}}
			_, err := dial(t, b.options(t)).List(t.Context())
			wantFault(t, err, fault.Temporary, "no progress for 2m after UIDL")
		}
	})
}

// An answer to CAPA that drips is ended here, and told from a stop by the user.
func TestEndlessCAPA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bare{drips: true}
		_, err := pop.Dial(t.Context(), b.options(t))
		wantFault(t, err, fault.Temporary, "did not end its answer to CAPA within 30s")
		if errors.Is(err, context.Canceled) {
			t.Errorf("%v is a stop", err)
		}
		time.Sleep(2 * time.Second) // in the bubble: the server notices
	})
}

func drip(conn net.Conn) {
	fmt.Fprint(conn, "+OK\r\n")
	for {
		time.Sleep(time.Second)
		if _, err := fmt.Fprint(conn, "X\r\n"); err != nil {
			return
		}
	}
}
