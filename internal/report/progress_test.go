package report_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/report"
)

// terminal obeys what the screen sends, as far as the screen may use it, and
// fails the test on anything else.
type terminal struct {
	t     *testing.T
	mu    sync.Mutex
	lines []string
	row   int
}

func (v *terminal) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for s := string(p); s != ""; {
		if !strings.HasPrefix(s, "\x1b[") {
			v.put(rune(s[0]), &s)
			continue
		}
		end := strings.IndexAny(s, "ABCDEFGHJKmlh")
		v.control(s[end], strings.TrimPrefix(s[2:end], "?"))
		s = s[end+1:]
	}
	return len(p), nil
}

func (v *terminal) put(_ rune, s *string) {
	for len(v.lines) <= v.row {
		v.lines = append(v.lines, "")
	}
	c := []rune(*s)[0]
	switch c {
	case '\n':
		v.row++
	case '\r':
	default:
		v.lines[v.row] += string(c)
	}
	*s = (*s)[len(string(c)):]
}

func (v *terminal) control(final byte, argument string) {
	switch final {
	case 'A':
		n, _ := strconv.Atoi(argument)
		v.row -= n
		if v.row < 0 {
			v.t.Errorf("the cursor left the screen")
			v.row = 0
		}
	case 'J':
		v.lines = append(v.lines[:v.row:v.row], "")
	case 'm', 'l', 'h':
	default:
		v.t.Errorf("control sequence %q", final)
	}
}

func (v *terminal) text() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return strings.Join(v.lines, "\n")
}

func TestScreen(t *testing.T) {
	now := started
	v := &terminal{t: t}
	s := report.NewScreen(v, 80, func() time.Time { now = now.Add(time.Second); return now })
	for i := range 12 {
		name := fmt.Sprintf("user%d", i)
		s.Observe(ferry.Event{Kind: ferry.Started, Account: name})
		s.Observe(ferry.Event{Kind: ferry.Planned, Text: "to bring", Account: name, Messages: 100, Bytes: 1_000_000})
	}
	s.Observe(ferry.Event{Kind: ferry.Delivered, Account: "user0", Messages: 60, Bytes: 600_000})
	s.Observe(ferry.Event{Kind: ferry.Held, Account: "user1", Messages: 1, Bytes: 10_000, Text: "too large"})
	s.Observe(ferry.Event{Kind: ferry.Waiting, Account: "user2", Text: "for an append to settle",
		Until: now.Add(time.Minute)})
	s.Observe(ferry.Event{Kind: ferry.Finished, Account: "user3", Result: &ferry.AccountReport{
		Seconds: 3, ExitCode: fault.Temporary, Error: &ferry.ErrorReport{Message: "cannot connect"}}})
	shown := v.text()
	for _, want := range []string{
		"user1: held, 10 kB: too large\n", "user3: failed after 3.0s: cannot connect\n",
		"(610 kB/11 MB", "61/1,100 msg", "  user0  60 of 100 messages, 600 kB\n", "  user2  waiting 45s more: for an append to settle\n",
		"  and 3 more accounts",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if n := strings.Count(shown, "msg"); n != 1 {
		t.Errorf("%d bars", n)
	}
	for _, line := range strings.Split(shown, "\n") {
		if len([]rune(line)) > 80 {
			t.Errorf("wider than the terminal: %q", line)
		}
	}
	s.Close()
	s.Close()
	if after := v.text(); strings.Contains(after, "msg") || !strings.Contains(after, "too large") {
		t.Errorf("left on the screen:\n%s", after)
	}
	if t.Failed() {
		t.Log("\n" + shown)
	}
}

// TestLinesAreRateLimited is about logs: an account may not fill them.
func TestLinesAreRateLimited(t *testing.T) {
	now := started
	var talk bytes.Buffer
	output, err := report.New(report.Options{Stdout: &talk, Stderr: &talk, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	output.Observe(ferry.Event{Kind: ferry.Started, Account: "alice"})
	output.Observe(ferry.Event{Kind: ferry.Planned, Text: "to bring", Account: "alice", Messages: 1000, Bytes: 1_000_000})
	for range 1000 {
		now = now.Add(12 * time.Millisecond) // 12 s together
		output.Observe(ferry.Event{Kind: ferry.Delivered, Account: "alice", Messages: 1, Bytes: 1000})
	}
	output.Observe(ferry.Event{Kind: ferry.Finished, Account: "alice", Result: &ferry.AccountReport{
		Totals: ferry.Totals{Listed: 1000, Delivered: 1000, Bytes: 1_000_000}, Seconds: 12}})
	want := `05:06:07 alice: started
05:06:07 alice: 1,000 messages to bring, 1.0 MB
05:06:12 alice: 417 of 1,000 messages, 417 kB
05:06:17 alice: 834 of 1,000 messages, 834 kB
05:06:19 alice: 1,000 messages delivered, 1.0 MB in 12s
`
	if diff := cmp.Diff(want, talk.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestNarrowTerminal drops the columns that have nothing to tell.
func TestNarrowTerminal(t *testing.T) {
	r := report.Run(ferry.Report{Accounts: []ferry.AccountReport{{Name: "alice@oldisp.example",
		Totals: ferry.Totals{Listed: 1204, Delivered: 1203, Held: 1, Bytes: 34_000_000}}}}, 0)
	for width, want := range map[int]string{
		80: "ACCOUNT               LISTED  KNOWN  DELIVERED  HELD   SIZE  TIME  RESULT",
		0:  "ACCOUNT               LISTED  KNOWN  DUPLICATE  DELIVERED  HELD  WAITING  DELETED   SIZE  TIME  RESULT",
		60: "ACCOUNT               LISTED  KNOWN  DELIV  HELD   SIZE  RESULT",
	} {
		var b bytes.Buffer
		if err := report.Table(&b, width, r); err != nil {
			t.Fatal(err)
		}
		if head, _, _ := strings.Cut(b.String(), "\n"); head != want {
			t.Errorf("width %d:\n%s\nwant\n%s", width, head, want)
		}
	}
}

// TestSharedErrorIsToldOnce is about a server that is down for three hundred.
func TestSharedErrorIsToldOnce(t *testing.T) {
	var r ferry.Report
	for i := range 300 {
		r.Accounts = append(r.Accounts, ferry.AccountReport{Name: fmt.Sprintf("u%d", i),
			Error: &ferry.ErrorReport{Message: "cannot connect to imap.example.net:993", Hint: "check the host"}})
	}
	r.ExitCode = fault.Temporary
	var b bytes.Buffer
	if err := report.Table(&b, 60, report.Run(r, 0)); err != nil {
		t.Fatal(err)
	}
	_, below, _ := strings.Cut(b.String(), "\n\n")
	want := `u0, u1, u2, u3, u4 and 295 more accounts: cannot connect to
    imap.example.net:993
  check: the host

300 accounts did not finish; see what to check.
`
	if diff := cmp.Diff(want, below); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
