package ferry_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// disliked is mail of which Exchange refuses n in a row, and a pair over TCP, where many a
// command is under way when the first is refused.
func disliked(t *testing.T, n int) (p *pair, good int) {
	t.Helper()
	var mail [][]byte
	for i := range 24 + n {
		field := "X-Good: yes"
		if i >= 20 && i < 20+n {
			field = "X-Poison: yes"
		}
		mail = append(mail, fmt.Appendf(nil, "Date: Mon, 01 Jun 2020 10:00:00 +0000\r\n"+
			"Message-ID: <%d@example.org>\r\n%s\r\n\r\n%d\r\n", i, field, i))
	}
	io := imapd.Exchange(100_000, func(msg []byte) bool {
		header, _, _ := bytes.Cut(msg, []byte("\r\n\r\n"))
		return bytes.Contains(header, []byte("X-Poison: "))
	})
	p = newPair(t, popd.Options{}, io, mail...)
	p.overTCP()
	return p, 24
}

// overTCP has the destination behind a real connection, in which much can be under way.
func (p *pair) overTCP() {
	p.t.Helper()
	address, err := p.imap.Listen()
	if err != nil {
		p.t.Fatal(err)
	}
	p.account().Destination.Endpoint.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address.String())
	}
}

// TestARefusalThatQuotesALongLine (I7): a server that repeats in its answer what it does not like
// about a message, however long that is, refuses that message and no more.
func TestARefusalThatQuotesALongLine(t *testing.T) {
	mail := ordinary(9, 60)
	long := strings.Repeat("x", 300_000)
	mail[4] = fmt.Appendf(nil, "Subject: long\r\n%s\r\n\r\ntext\r\n", long)
	p := newPair(t, popd.Options{}, imapd.Options{Refuse: func(raw []byte) string {
		if bytes.Contains(raw, []byte(long)) {
			return "NO malformed header line: " + long
		}
		return ""
	}}, mail...)
	r := p.run(fault.Held, 8)
	if m := r.Accounts[0].Messages; len(m) != 1 || !strings.Contains(m[0].Reason, "malformed header line: xxx") || len(m[0].Reason) > 2000 {
		t.Errorf("%+v, held %.300v", r.Totals, m)
	}
	p.arrived(append(mail[:4:4], mail[5:]...)...)
}

// TestDislikedInARow: as many refusals in a row as end a session at Exchange stop nobody, and
// are told by name in the end.
func TestDislikedInARow(t *testing.T) {
	for _, n := range []int{10, 25} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			p, good := disliked(t, n)
			if r := p.run(fault.Held, good); r.Totals.Held != n {
				t.Errorf("%d held", r.Totals.Held)
			}
			p.run(fault.Held, 0)
			if got := len(p.imap.Mailbox("INBOX")); got != good {
				t.Errorf("%d messages arrived", got)
			}
		})
	}
}

// TestDislikedInARowIsWrapped: what Exchange takes as an attachment only arrives so.
func TestDislikedInARowIsWrapped(t *testing.T) {
	p, good := disliked(t, 10)
	p.account().Repair = "wrap"
	p.run(fault.OK, good+10)
	p.run(fault.OK, 0)
}

// TestEchoedRefusal (I7): a refusal that quotes the message, so that nobody knows any more what
// answers what, is one of that message, and goes up the ladder as any other.
func TestEchoedRefusal(t *testing.T) {
	for repair, want := range map[string]fault.Code{"": fault.Held, "wrap": 0} {
		t.Run("repair "+repair, func(t *testing.T) {
			bad := []byte("Subject: x\r\nFrom: nobody\r\n\r\npoison\r\n")
			p := newPair(t, popd.Options{}, imapd.Options{Refuse: func(msg []byte) string {
				if bytes.HasPrefix(msg, bad[:20]) {
					return "NO bad header: " + strings.TrimSpace(string(bad))
				}
				return ""
			}}, append(ordinary(5, 12), bad)...)
			p.account().Repair, p.account().Keep, p.o.ConfirmDelete = repair, plan.Keep{Delete: true}, true
			r := runFerry(t, p.o)
			if r.ExitCode != want || r.Totals.Delivered+r.Totals.Held != 6 || r.Totals.Deleted != 5 {
				t.Errorf("exit %d, %+v, %+v", r.ExitCode, r.Totals, r.Accounts[0].Error)
			}
			p.left(bad)
		})
	}
}
