package ferry_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// startDovecot runs a private server for one test.
func startDovecot(t *testing.T, o dovecot.Options) *dovecot.Server {
	t.Helper()
	if _, ok := dovecot.Found(); !ok {
		t.Skip("needs Debian's dovecot-imapd and dovecot-pop3d")
	}
	s, err := dovecot.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func endpoint(t *testing.T, address, user string, mode wire.TLSMode, ca string) plan.Endpoint {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Endpoint{
		Endpoint: wire.Endpoint{Host: host, Port: number, TLS: mode, CAFile: ca},
		Username: user, Secret: secret.New(dovecot.DefaultPassword), Auth: "auto", Connections: 4,
	}
}

// dovecotConfig is one account from a Dovecot's POP3 to its IMAP.
func dovecotConfig(t *testing.T, s *dovecot.Server) *plan.Config {
	t.Helper()
	return &plan.Config{
		Accounts: []plan.Account{{
			Name:   "alice",
			Source: endpoint(t, s.POP3S, "alice", wire.Implicit, s.Files.CA), Folder: "INBOX",
			Destination: endpoint(t, s.IMAPS, "alice", wire.Implicit, s.Files.CA),
		}},
		Limits: plan.Limits{Accounts: 2, PerHost: 8}, Settle: time.Second, Hash: "test",
	}
}

func openJournal(t *testing.T, dir string) journal.Journal {
	t.Helper()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func runFerry(t *testing.T, o ferry.Options) ferry.Report {
	t.Helper()
	if o.Spool == "" {
		o.Spool = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := ferry.Run(ctx, o)
	for _, a := range r.Accounts {
		if a.Error != nil {
			t.Logf("%s: %d %s (%s)", a.Name, a.Error.Code, a.Error.Message, a.Error.Hint)
		}
	}
	return r
}

// sameMail compares what a server has on disk with what was put into the
// maildrop, in canonical form, as a multiset.
func sameMail(t *testing.T, got []dovecot.File, want [][]byte) {
	t.Helper()
	count := map[string]int{}
	for _, w := range want {
		count[string(corpus.Canonical(w))]++
	}
	for _, f := range got {
		count[string(corpus.Canonical(f.Raw))]--
	}
	for content, n := range count {
		if n != 0 {
			t.Errorf("%+d of %q", -n, content[:min(len(content), 120)])
		}
	}
}

func messages(t *testing.T, s *dovecot.Server, user, folder string) []dovecot.File {
	t.Helper()
	files, err := s.Messages(user, folder)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestDatesSurvive: INTERNALDATE is the date of the topmost Received field, read
// here by other means than popferry's.
func TestDatesSurvive(t *testing.T) {
	s := startDovecot(t, dovecot.Options{})
	want := map[string]time.Time{}
	for _, m := range corpus.Ordinary(60, 6) {
		if err := s.Deliver("alice", m.Raw); err != nil {
			t.Fatal(err)
		}
		parsed, err := mail.ReadMessage(bytes.NewReader(m.Raw))
		if err != nil {
			t.Fatal(err)
		}
		stamp := parsed.Header.Get("Received")
		if stamp == "" {
			continue
		}
		date, err := mail.ParseDate(strings.TrimSpace(stamp[strings.LastIndex(stamp, ";")+1:]))
		if err != nil {
			t.Fatal(err)
		}
		want[string(corpus.Canonical(m.Raw))] = date
	}
	if len(want) < 30 {
		t.Fatalf("only %d messages have a Received field", len(want))
	}
	o := ferry.Options{Config: dovecotConfig(t, s), Journal: openJournal(t, t.TempDir())}
	o.Config.Accounts[0].Seen = plan.Seen{OlderThan: 24 * time.Hour}
	if r := runFerry(t, o); r.ExitCode != 0 {
		t.Fatalf("%+v", r)
	}
	for _, f := range messages(t, s, "alice", "INBOX") {
		date, ok := want[string(corpus.Canonical(f.Raw))]
		if !ok {
			continue
		}
		if !f.InternalDate.Equal(date) {
			t.Errorf("INTERNALDATE %v, want %v", f.InternalDate, date)
		}
		if old := time.Since(date) > 24*time.Hour; slices.Contains(f.Flags, `\Seen`) != old {
			t.Errorf("flags %v for mail of %v", f.Flags, date)
		}
	}
}

// TestDovecotToDovecot carries ordinary and hard mail between real servers, runs
// again, and once more without the journal: every message arrives once.
func TestDovecotToDovecot(t *testing.T) {
	s := startDovecot(t, dovecot.Options{})
	var want [][]byte
	for _, m := range append(corpus.Ordinary(150, 1), corpus.Hard()...) {
		if err := s.Deliver("alice", m.Raw); err != nil {
			t.Fatal(err)
		}
		if len(m.Raw) == 0 {
			m.Raw = []byte("\r\n") // what Dovecot's POP3 makes of an empty file
		}
		want = append(want, m.Raw)
	}
	config := dovecotConfig(t, s)
	dir := t.TempDir()
	j := openJournal(t, dir)

	first := runFerry(t, ferry.Options{Config: config, Journal: j})
	if first.ExitCode != 0 || first.Totals.Delivered != len(want) {
		t.Fatalf("first run: %+v", first)
	}
	sameMail(t, messages(t, s, "alice", "INBOX"), want)

	again := runFerry(t, ferry.Options{Config: config, Journal: j})
	if again.Totals.Delivered != 0 || again.Totals.Known != len(want) {
		t.Errorf("second run: %+v", again.Totals)
	}

	j.Close()
	blank := openJournal(t, t.TempDir())
	rebuilt := runFerry(t, ferry.Options{Config: config, Journal: blank})
	if rebuilt.Totals.Delivered != 0 || rebuilt.Totals.Duplicate != len(want) {
		t.Errorf("without its journal: %+v", rebuilt.Totals)
	}
	sameMail(t, messages(t, s, "alice", "INBOX"), want)

	if err := s.Deliver("alice", []byte("Subject: new\r\n\r\nhello\r\n")); err != nil {
		t.Fatal(err)
	}
	third := runFerry(t, ferry.Options{Config: config, Journal: blank})
	if third.Totals.Delivered != 1 {
		t.Errorf("one new message: %+v", third.Totals)
	}
}

func TestVerifyAndUndo(t *testing.T) {
	s := startDovecot(t, dovecot.Options{})
	const n = 25
	for _, m := range corpus.Ordinary(n, 2) {
		if err := s.Deliver("alice", m.Raw); err != nil {
			t.Fatal(err)
		}
	}
	before := []byte("Subject: was here before\r\n\r\nhello\r\n")
	if err := s.DeliverTo("alice", "INBOX", before); err != nil {
		t.Fatal(err)
	}
	o := ferry.Options{Config: dovecotConfig(t, s), Journal: openJournal(t, t.TempDir()), Spool: t.TempDir()}
	if r := runFerry(t, o); r.Totals.Delivered != n || r.ExitCode != 0 {
		t.Fatalf("run: %+v", r)
	}
	v := ferry.Verify(t.Context(), o)
	if v.Totals != (ferry.VerifyTotals{Delivered: n, Found: n}) || v.ExitCode != 0 {
		t.Fatalf("verify: %+v", v)
	}
	if r := ferry.Undo(t.Context(), o); r.Totals.Deleted != n || r.ExitCode != 0 {
		t.Fatalf("undo: %+v", r)
	}
	sameMail(t, messages(t, s, "alice", "INBOX"), [][]byte{before})
	if r := runFerry(t, o); r.Totals.Delivered != n || r.ExitCode != 0 {
		t.Fatalf("run after undo: %+v", r)
	}
}

func TestPlanWritesNothing(t *testing.T) {
	s := startDovecot(t, dovecot.Options{})
	for _, m := range corpus.Ordinary(10, 3) {
		if err := s.Deliver("alice", m.Raw); err != nil {
			t.Fatal(err)
		}
	}
	o := ferry.Options{Config: dovecotConfig(t, s), Journal: openJournal(t, t.TempDir()), Spool: t.TempDir()}
	o.Config.Accounts[0].Folder = "Archive/Old"
	plans, report := ferry.Plans(t.Context(), o)
	if report.ExitCode != 0 || len(plans) != 1 || plans[0].Totals().Copy.Messages != 10 {
		t.Fatalf("%+v %+v", plans, report)
	}
	if plans[0].Destination.Exists {
		t.Error("the plan made the folder")
	}
	if r := runFerry(t, o); r.Totals.Delivered != 10 {
		t.Fatalf("run: %+v", r)
	}
	if got := messages(t, s, "alice", "Archive/Old"); len(got) != 10 {
		t.Errorf("%d messages", len(got))
	}
}

// removeFromINBOX deletes the n-th message as another client would.
func removeFromINBOX(t *testing.T, s *dovecot.Server, n int) {
	t.Helper()
	c, err := net.Dial("tcp", s.IMAP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "a LOGIN alice %s\r\nb SELECT INBOX\r\nc STORE %d +FLAGS (\\Deleted)\r\nd EXPUNGE\r\ne LOGOUT\r\n",
		dovecot.DefaultPassword, n)
	answer, err := io.ReadAll(c)
	if err != nil || !bytes.Contains(answer, []byte("d OK")) {
		t.Fatalf("%v\n%s", err, answer)
	}
}

// TestDovecotCanNotRead (I4, I7): a file that Dovecot can't open, over which it ends the session,
// keeps no mail from arriving but that of which it may be the copy.
func TestDovecotCanNotRead(t *testing.T) {
	s := startDovecot(t, dovecot.Options{})
	var want [][]byte
	for _, m := range corpus.Ordinary(20, 12) {
		want = append(want, m.Raw)
		if err := s.Deliver("alice", m.Raw); err != nil {
			t.Fatal(err)
		}
	}
	o := ferry.Options{Config: dovecotConfig(t, s), Journal: openJournal(t, t.TempDir())}
	if r := runFerry(t, o); r.Totals.Delivered != 20 {
		t.Fatalf("%+v", r)
	}
	name := messages(t, s, "alice", "INBOX")[6].Name
	mode := func(mode os.FileMode) {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(s.Dir, "*", "alice", "*", name+"*"))
		if err != nil || len(found) != 1 {
			t.Fatalf("%q %v", found, err)
		}
		if err := os.Chmod(found[0], mode); err != nil {
			t.Fatal(err)
		}
	}
	mode(0)
	late := []byte("Message-ID: <late@example.org>\r\nSubject: late\r\n\r\nhello\r\n")
	want = append(want, late)
	if err := s.Deliver("alice", late); err != nil {
		t.Fatal(err)
	}
	o.Journal = openJournal(t, t.TempDir())
	for delivered := 1; delivered >= 0; delivered-- {
		r := runFerry(t, o)
		if r.ExitCode != fault.Held || r.Totals.Held != 1 || r.Totals.Delivered != delivered {
			t.Errorf("%+v", r)
		}
	}
	mode(0o600)
	if r := runFerry(t, o); r.ExitCode != 0 || r.Totals.Delivered != 0 || r.Totals.Duplicate != 1 {
		t.Errorf("%+v", r)
	}
	sameMail(t, messages(t, s, "alice", "INBOX"), want)
}
