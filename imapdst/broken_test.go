package imapdst_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
)

// TestBrokenAppends has servers that end or break the connection.
func TestBrokenAppends(t *testing.T) {
	after := func(text string) map[string]handler { return afterLiterals(hangUp(text)) }
	at := func(h handler) map[string]handler { return map[string]handler{"APPEND": h} }
	for _, c := range []struct {
		name string
		caps string
		on   map[string]handler
		size int
		want imapdst.State
		code fault.Code
		text string
	}{
		{"A1 cut before the literal", "", at(hangUp("")), 0, imapdst.NotSent, fault.Temporary, ""},
		{"A1 cut in a long literal", "LITERAL+", at(hangUp("")), 600_000, imapdst.NotSent,
			fault.Temporary, ""},
		{"A2 cut before OK", "LITERAL+", after(""), 0, imapdst.Unknown, fault.Temporary, ""},
		{"A2 cut in OK", "LITERAL+", after("TAG OK"), 0, imapdst.Unknown, fault.Temporary, ""},
		{"A12 BYE before the literal", "", at(say("* BYE Session expired")), 0, imapdst.NotSent,
			fault.Temporary, "Session expired"},
		{"A12 BYE after it", "LITERAL+", after("* BYE Invalid character in literal\r\n"), 0,
			imapdst.Unknown,
			fault.Temporary, "Invalid character"},
		{"A22 OK before the literal", "", at(say("TAG OK done")), 0, imapdst.NotSent, fault.Protocol,
			"before it had"},
		{"A22 OK for another", "LITERAL+", after("x9 OK done\r\n"), 0, imapdst.Unknown, fault.Protocol,
			""},
		{"X1 endless answer", "LITERAL+", after("TAG OK " + strings.Repeat("x", 1<<20)), 0,
			imapdst.Unknown,
			fault.Protocol, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := &fake{caps: "IMAP4rev1 SASL-IR AUTH=PLAIN " + c.caps, on: c.on}
			conn := server.dial(t)
			// The error is in the outcome as well.
			p, _ := conn.Append(context.Background(), inboxFolder, items(1, c.size))
			o := p.Wait(context.Background())[0]
			if o.State != c.want || fault.CodeOf(o.Err) != c.code ||
				!strings.Contains(o.Err.Error(), c.text) {
				t.Errorf("%v, code %v: %v", o.State, fault.CodeOf(o.Err), o.Err)
			}
			again, err := conn.Append(context.Background(), inboxFolder, items(1, 0))
			o = again.Wait(context.Background())[0]
			if err == nil || o.State != imapdst.NotSent || o.Err == nil {
				t.Errorf("the next one: %v, %+v", err, o)
			}
		})
	}
}

// TestEchoedHeaders has a server that quotes the message in its refusal, over
// several lines: the message is refused, and the connection is worth a new one.
func TestEchoedHeaders(t *testing.T) {
	server := &fake{on: afterLiterals(say("TAG NO bad header: Subject: x", "From: nobody", "more"))}
	conn := server.dial(t)
	if o := deliver(t, conn, inboxFolder, items(1, 0))[0]; o.State != imapdst.Refused {
		t.Errorf("%+v", o)
	}
	_, err := conn.Refresh(context.Background(), inboxFolder)
	if fault.CodeOf(err) != fault.Temporary {
		t.Errorf("%v", err)
	}
}

// TestBodyOfAnotherSize breaks the connection rather than let the server take
// commands for message data.
func TestBodyOfAnotherSize(t *testing.T) {
	for name, size := range map[string]int64{"longer": 3, "shorter": 30} {
		t.Run(name, func(t *testing.T) {
			server := &fake{}
			conn := server.dial(t)
			wrong := imapdst.Item{Size: size, Body: writerTo("0123456789")}
			p, err := conn.Append(context.Background(), inboxFolder, []imapdst.Item{wrong})
			o := p.Wait(context.Background())[0]
			if err == nil || o.State != imapdst.NotSent || fault.CodeOf(o.Err) != fault.Internal {
				t.Errorf("%v, %+v", err, o)
			}
		})
	}
	t.Run("unreadable", func(t *testing.T) {
		server := &fake{}
		broken := imapdst.Item{Size: 3, Body: failingBody{fault.New(fault.State, "disk")}}
		p, err := server.dial(t).Append(context.Background(), inboxFolder, []imapdst.Item{broken})
		o := p.Wait(context.Background())[0]
		if fault.CodeOf(err) != fault.State || o.State != imapdst.NotSent {
			t.Errorf("%v, %+v", err, o)
		}
	})
}

type failingBody struct{ err error }

func (b failingBody) WriteTo(io.Writer) (int64, error) { return 0, b.err }

// TestCutAtEveryOctet: whatever the server has in full is never called not sent.
func TestCutAtEveryOctet(t *testing.T) {
	batch := items(2, 0)
	for _, caps := range []string{"LITERAL+ MULTIAPPEND", "LITERAL+", "MULTIAPPEND", ""} {
		for cut := 0; ; cut++ {
			complete, states := cutAfter(t, caps, cut, batch)
			for n, state := range states {
				if n < complete && state != imapdst.Unknown {
					t.Errorf("%q cut after %d: item %d is %v", caps, cut, n, state)
				}
			}
			if complete == len(batch) {
				break
			}
		}
	}
}

// cutAfter takes so many octets of APPEND commands, then closes; complete is how
// many messages a server may have stored.
func cutAfter(t *testing.T, caps string, cut int, batch []imapdst.Item) (
	complete int, states []imapdst.State,
) {
	server := &fake{caps: "IMAP4rev1 SASL-IR AUTH=PLAIN " + caps,
		on: map[string]handler{"APPEND": func(f *fake, _, args string) {
			limited := io.LimitReader(f.in, int64(cut))
			for literalEnd.MatchString(args) {
				if strings.HasSuffix(args, "}") && !strings.HasSuffix(args, "+}") {
					f.send("+ go")
				}
				var size int64
				fmt.Sscan(literalEnd.FindStringSubmatch(args)[1], &size)
				if n, _ := io.CopyN(io.Discard, limited, size); n < size {
					break
				}
				complete++
				args = readLine(limited)
				if args == "" { // the command is over; the next one may follow
					args = readLine(limited)
				}
			}
			if strings.Contains(caps, "MULTIAPPEND") && complete < len(batch) {
				complete = 0
			}
			f.conn.Close()
		}}}
	conn := server.dial(t)
	p, _ := conn.Append(context.Background(), inboxFolder, batch)
	for _, o := range p.Wait(context.Background()) {
		states = append(states, o.State)
	}
	<-server.done
	return complete, states
}

func readLine(r io.Reader) string {
	var line []byte
	b := make([]byte, 1)
	for {
		if _, err := io.ReadFull(r, b); err != nil {
			return ""
		}
		if line = append(line, b[0]); b[0] == '\n' {
			return strings.TrimRight(string(line), "\r\n")
		}
	}
}
