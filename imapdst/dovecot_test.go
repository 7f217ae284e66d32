package imapdst_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
)

// TestDovecotRoundTrips holds the number of waits that each step may cost.
func TestDovecotRoundTrips(t *testing.T) {
	c := dialDovecot(t, dovecot.Options{})
	if got := c.RoundTrips(); got != 2 { // greeting, AUTHENTICATE
		t.Errorf("Dial took %d round trips", got)
	}
	for _, step := range []struct {
		folder string
		want   int
	}{{"inbox", 1}, {"Lists/Go", 2}, {"Lists/Go", 2}} {
		before := c.RoundTrips()
		f := folder(t, c, step.folder)
		if got := c.RoundTrips() - before; got != step.want {
			t.Errorf("Folder(%q) took %d round trips, want %d", step.folder, got, step.want)
		}
		if !f.Exists || f.UIDValidity == 0 || f.UIDNext == 0 || f.NoStickyUIDs {
			t.Errorf("Folder(%q) = %+v", step.folder, f)
		}
	}
}

func TestDovecotTLS(t *testing.T) {
	s := startDovecot(t, dovecot.Options{})
	for _, c := range []struct {
		name    string
		address string
		mode    wire.TLSMode
		auth    string
	}{
		{"implicit", s.IMAPS, wire.Implicit, "auto"},
		{"starttls", s.IMAP, wire.STARTTLS, "login"},
		{"plain", s.IMAPS, wire.Implicit, "plain"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(endpoint(t, c.address, c.mode, s.Files.CA))
			o.Auth = c.auth
			conn := dial(t, o)
			f := folder(t, conn, "INBOX")
			outcomes := deliver(t, conn, f, items(3, 0))
			if outcomes[2].State != imapdst.Delivered || outcomes[2].UID == 0 {
				t.Errorf("outcome %+v", outcomes[2])
			}
		})
	}
}

func TestDovecotWrongPassword(t *testing.T) {
	s := startDovecot(t, dovecot.Options{})
	for _, auth := range []string{"plain", "login"} {
		o := options(endpoint(t, s.IMAP, wire.None, ""))
		o.Password, o.Auth = secret.New("wrong"), auth
		_, err := imapdst.Dial(context.Background(), o)
		if got := fault.CodeOf(err); got != fault.Credentials {
			t.Errorf("%s: code %v (%v)", auth, got, err)
		}
		if strings.Contains(fmt.Sprint(err), "wrong") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

// TestDovecotAppendPaths walks every combination of extensions with messages of
// every size class, and reads all of them back.
func TestDovecotAppendPaths(t *testing.T) {
	for _, c := range []struct {
		name    string
		without []string
		also    []string
	}{
		{"multiappend", nil, nil},
		{"literal+", []string{"MULTIAPPEND"}, nil},
		{"literal-", []string{"MULTIAPPEND", "LITERAL+"}, []string{"LITERAL-"}},
		{"synchronising", []string{"MULTIAPPEND", "LITERAL+"}, nil},
		{"multiappend synchronising", []string{"LITERAL+"}, nil},
		{"no uidplus", []string{"UIDPLUS"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dialDovecot(t, dovecot.Options{WithoutIMAP: c.without, AlsoIMAP: c.also})
			f := folder(t, conn, "Mail/größer & schöner")
			var batch []imapdst.Item
			want := map[string]int{}
			for i, size := range []int{0, 4096, 4097, 200_000, 1<<20 + 1, 0} {
				data := text(i+1, size)
				it := item(data)
				it.Flags = []string{`\Seen`}
				it.Date = time.Date(2001, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600))
				batch = append(batch, it)
				sum, err := message.Summarize(bytes.NewReader(data), time.Now())
				if err != nil {
					t.Fatal(err)
				}
				want[sum.Content.String()]++
			}
			for n, o := range deliver(t, conn, f, batch) {
				if o.State != imapdst.Delivered || o.Err != nil {
					t.Fatalf("item %d: %+v", n, o)
				}
				if o.UID != f.UIDNext+uint32(n) || o.UIDValidity != f.UIDValidity {
					t.Errorf("item %d: UID %d of %d, folder %+v", n, o.UID, o.UIDValidity, f)
				}
			}
			got := map[string]int{}
			err := conn.Digests(context.Background(), f, uidsOf(t, conn, f),
				func(_ uint32, s imapdst.Copy) error { got[s.Content.String()]++; return nil })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func uidsOf(t testing.TB, c *imapdst.Conn, f imapdst.Folder) []uint32 {
	t.Helper()
	f, err := c.Refresh(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	var uids []uint32
	err = c.Index(context.Background(), f, 1, func(e imapdst.Entry) error {
		uids = append(uids, e.UID)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return uids
}

func TestDovecotIndex(t *testing.T) {
	c := dialDovecot(t, dovecot.Options{})
	f := folder(t, c, "INBOX")
	deliver(t, c, f, items(300, 0))
	f, err := c.Refresh(context.Background(), f)
	if err != nil || f.Messages != 300 || f.UIDNext != 301 {
		t.Fatalf("%+v, %v", f, err)
	}
	for _, from := range []uint32{0, 1, 251, 300, 301, 5000} {
		var got []imapdst.Entry
		err := c.Index(context.Background(), f, from, func(e imapdst.Entry) error {
			got = append(got, e)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var want []imapdst.Entry
		for uid := max(from, 1); uid <= 300; uid++ {
			want = append(want, imapdst.Entry{
				UID: uid, Size: int64(len(text(int(uid), 0))),
				MessageID: fmt.Sprintf("<%d@example.org>", uid),
			})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("from %d: %s", from, diff)
		}
	}
}

// TestDovecotStopInTheMiddle ends a reading by an error of the callback, after
// which the connection is as good as before.
// TestDovecotLargeFolder: the index of a large folder takes several FETCHes, which
// Dovecot answers all at once and mixed.
func TestDovecotLargeFolder(t *testing.T) {
	const n = 25_000
	s := startDovecot(t, dovecot.Options{})
	for i := range n {
		if err := s.DeliverTo("alice", "INBOX", fmt.Appendf(nil, "Message-ID: <%d@example.org>\r\n\r\n", i)); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(t, options(endpoint(t, s.IMAP, wire.None, "")))
	seen := map[string]bool{}
	err := unlessItHangs(t, func() error {
		return c.Index(context.Background(), folder(t, c, "INBOX"), 1, func(e imapdst.Entry) error {
			seen[e.MessageID] = true
			return nil
		})
	})
	if err != nil || len(seen) != n {
		t.Errorf("%d of %d messages: %v", len(seen), n, err)
	}
}

// unlessItHangs fails where something does not end within minutes.
func unlessItHangs(t *testing.T, do func() error) error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- do() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(2 * time.Minute):
		t.Fatal("it does not end")
		return nil
	}
}

func TestDovecotStopInTheMiddle(t *testing.T) {
	c := dialDovecot(t, dovecot.Options{})
	f := folder(t, c, "INBOX")
	deliver(t, c, f, items(500, 20_000))
	stop := fmt.Errorf("enough")
	for range 3 {
		calls := 0
		err := c.Digests(context.Background(), f, uidsOf(t, c, f),
			func(uint32, imapdst.Copy) error { calls++; return stop })
		if err != stop || calls != 1 {
			t.Fatalf("%d calls, %v", calls, err)
		}
	}
}

func TestDovecotHeaders(t *testing.T) {
	c := dialDovecot(t, dovecot.Options{})
	f := folder(t, c, "INBOX")
	deliver(t, c, f, items(3, 5000))
	var got []string
	err := c.Headers(context.Background(), f, []uint32{3, 1, 77, 1, 0},
		func(uid uint32, s imapdst.Copy) error {
			got = append(got, fmt.Sprint(uid, s.MessageID, s.Header.IsZero()))
			return nil
		})
	want := []string{"1<1@example.org>false", "3<3@example.org>false"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestDovecotRemove(t *testing.T) {
	c := dialDovecot(t, dovecot.Options{})
	f := folder(t, c, "INBOX")
	deliver(t, c, f, items(6, 0))
	if err := c.Remove(context.Background(), f, []uint32{2, 3, 6}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint32{1, 4, 5}, uidsOf(t, c, f)); diff != "" {
		t.Error(diff)
	}
}

// TestDovecotCourierLayout has the prefix and the delimiter of Courier and Cyrus.
func TestDovecotCourierLayout(t *testing.T) {
	c := dialDovecot(t, dovecot.Options{Prefix: "INBOX."})
	for name, mailbox := range map[string]string{
		"Lists/Go": "INBOX.Lists.Go", "INBOX/Old": "INBOX.Old", "INBOX.Spelled": "INBOX.Spelled",
		"Entwürfe": "INBOX.Entwürfe", "A&B": "INBOX.A&B", " odd name ": "INBOX. odd name ",
	} {
		missing, err := c.Folder(context.Background(), name, false)
		if err != nil || missing.Exists || missing.Mailbox != mailbox {
			t.Errorf("%q before: %+v, %v", name, missing, err)
		}
		f := folder(t, c, name)
		if f.Mailbox != mailbox || f.Name != name {
			t.Errorf("%q is %q, want %q", name, f.Mailbox, mailbox)
		}
		if o := deliver(t, c, f, items(2, 0)); o[1].State != imapdst.Delivered {
			t.Errorf("%q: %+v", name, o[1])
		}
	}
	names, err := c.Folders(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"INBOX", "Lists/Go", "Entwürfe", "A&B"} {
		if !strings.Contains("\n"+strings.Join(names, "\n")+"\n", "\n"+name+"\n") {
			t.Errorf("%q is not among %q", name, names)
		}
	}
	f := folder(t, c, "Lists/v1.2")
	if f.Mailbox != "INBOX.Lists.v1=2E2" {
		t.Errorf("a name with the delimiter: %+v", f)
	}
}

// TestDovecotRefusesDots: with "/" between the levels of names it still has dots between
// those of its files, and refuses a name with one in it.
func TestDovecotRefusesDots(t *testing.T) {
	c := dialDovecot(t, dovecot.Options{})
	f := folder(t, c, "Lists/v1.2")
	if f.Mailbox != "Lists/v1=2E2" || !f.Renamed || !f.Exists {
		t.Errorf("made: %+v", f)
	}
	again, err := c.Folder(context.Background(), "Lists/v1.2", false)
	if err != nil || again.Mailbox != f.Mailbox || !again.Renamed || !again.Exists {
		t.Errorf("found again: %+v, %v", again, err)
	}
	folder(t, c, "v2.0/2025")
	found, err := c.Existing(context.Background(), []string{"Lists/v1.2", "v2.0/{year}"})
	if err != nil || len(found) != 2 || found[0].Mailbox != f.Mailbox || found[1].Mailbox != "v2=2E0/2025" {
		t.Errorf("existing: %+v, %v", found, err)
	}
}

func TestDovecotSpecialUse(t *testing.T) {
	c := dialDovecot(t, dovecot.Options{Extra: `
namespace inbox {
  mailbox Papierkorb {
    special_use = \Trash
    auto = create
  }
}
`})
	f, err := c.Folder(context.Background(), `\Trash`, false)
	if err != nil || !f.Exists || f.Mailbox != "Papierkorb" {
		t.Errorf("%+v, %v", f, err)
	}
	f, err = c.Folder(context.Background(), `\Archive`, true)
	if err != nil || !f.Exists || f.Mailbox != "Archive" {
		t.Errorf("%+v, %v", f, err)
	}
}

// TestDovecotPublicFolders: they have no prefix, where the user's own have one, so that only
// what lies below that is the user's.
func TestDovecotPublicFolders(t *testing.T) {
	c := dialDovecot(t, dovecot.Options{Prefix: "INBOX.", Extra: `
namespace public {
  type = public
  prefix =
  separator = .
  location = maildir:%h/public
  subscriptions = no
  mailbox Sent {
    auto = create
  }
  mailbox Junk {
    auto = create
    special_use = \Junk
  }
}
`})
	for use, mailbox := range map[string]string{`\Sent`: "INBOX.Sent", `\Junk`: "INBOX.Junk", "INBOX": "INBOX"} {
		f, err := c.Folder(context.Background(), use, true)
		if err != nil || f.Mailbox != mailbox {
			t.Errorf("%s is %+v, %v", use, f, err)
		}
	}
	names, err := c.Folders(context.Background())
	slices.Sort(names)
	if err != nil || strings.Join(names, " ") != "INBOX Junk Sent" {
		t.Errorf("%q, %v", names, err)
	}
}

// TestDovecotRefusedItems mixes good items with those that can't be stored.
func TestDovecotRefusedItems(t *testing.T) {
	c := dialDovecot(t, dovecot.Options{})
	f := folder(t, c, "INBOX")
	f.AppendLimit = 1000
	got := deliver(t, c, f, []imapdst.Item{item(text(1, 0)), item(nil), item(text(2, 1001)),
		item(text(3, 1000))})
	var states []imapdst.State
	for _, o := range got {
		states = append(states, o.State)
	}
	want := []imapdst.State{imapdst.Delivered, imapdst.Refused, imapdst.Refused, imapdst.Delivered}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Fatal(diff)
	}
	for _, n := range []int{1, 2} {
		if fault.CodeOf(got[n].Err) != fault.Held || got[n].Batch {
			t.Errorf("item %d: %+v", n, got[n])
		}
	}
}

func TestDovecotMissingFolderRefusesTheBatch(t *testing.T) {
	c := dialDovecot(t, dovecot.Options{})
	gone := imapdst.Folder{Name: "Gone", Mailbox: "Gone"}
	for _, o := range deliver(t, c, gone, items(3, 0)) {
		if o.State != imapdst.Refused || fault.CodeOf(o.Err) != fault.Refused || !o.Batch {
			t.Errorf("%+v", o)
		}
	}
	// The connection goes on.
	if o := deliver(t, c, folder(t, c, "INBOX"), items(1, 0)); o[0].State != imapdst.Delivered {
		t.Errorf("%+v", o[0])
	}
}

// TestDovecotBothPlanes appends and reads the index at the same time.
func TestDovecotBothPlanes(t *testing.T) {
	c := dialDovecot(t, dovecot.Options{})
	f := folder(t, c, "INBOX")
	deliver(t, c, f, items(200, 3000))
	var work sync.WaitGroup
	work.Go(func() {
		for range 20 {
			seen := 0
			err := c.Index(context.Background(), f, 1, func(imapdst.Entry) error { seen++; return nil })
			if err != nil || seen < 200 {
				t.Errorf("index: %d, %v", seen, err)
			}
		}
	})
	pending := make(chan *imapdst.Pending, 4)
	work.Go(func() {
		defer close(pending)
		for range 30 {
			p, err := c.Append(context.Background(), f, items(20, 3000))
			if err != nil {
				t.Error(err)
				return
			}
			pending <- p
		}
	})
	delivered := 0
	for p := range pending {
		for _, o := range p.Wait(context.Background()) {
			if o.State == imapdst.Delivered && o.UID > 200 {
				delivered++
			}
		}
	}
	work.Wait()
	if delivered != 600 {
		t.Errorf("%d of 600 delivered", delivered)
	}
}

// BenchmarkAppend is 2,000 messages, 34 MB, in batches of 100 with two in flight.
func BenchmarkAppend(b *testing.B) {
	c := dialDovecot(b, dovecot.Options{})
	f := folder(b, c, "INBOX")
	batch := items(100, 17_000)
	b.SetBytes(2000 * 17_000)
	for b.Loop() {
		pending := make(chan *imapdst.Pending, 2)
		go func() {
			defer close(pending)
			for range 20 {
				p, err := c.Append(context.Background(), f, batch)
				if err != nil {
					b.Error(err)
				}
				pending <- p
			}
		}()
		for p := range pending {
			for _, o := range p.Wait(context.Background()) {
				if o.State != imapdst.Delivered {
					b.Fatal(o)
				}
			}
		}
	}
}

// BenchmarkIndex reads the index of 2,000 messages.
func BenchmarkIndex(b *testing.B) {
	c := dialDovecot(b, dovecot.Options{})
	f := folder(b, c, "INBOX")
	deliver(b, c, f, items(2000, 2000))
	for b.Loop() {
		seen := 0
		err := c.Index(context.Background(), f, 1, func(imapdst.Entry) error { seen++; return nil })
		if err != nil || seen != 2000 {
			b.Fatal(seen, err)
		}
	}
}

// public is a namespace of public folders with a folder in it.
func public(prefix, list string) string {
	return `
namespace public {
  type = public
  prefix = "` + prefix + `"
  separator = ` + prefix[len(prefix)-1:] + `
  location = maildir:%h/public
  list = ` + list + `
  mailbox Archive {
    auto = create
  }
}
`
}

// TestDovecotOtherNamespace: a folder that begins with the prefix of public folders is one
// of them, whatever the prefix of the user's own is, whether the server shows it unasked,
// and whoever looks for it.
func TestDovecotOtherNamespace(t *testing.T) {
	for _, c := range []struct{ own, prefix, list string }{
		{"INBOX.", "Public.", "yes"}, {"INBOX.", "Public.", "no"}, {"INBOX.", "#all.Public.", "children"},
		{"", "Public/", "no"}, {"Mail/", "#all/", "yes"},
	} {
		conn := dialDovecot(t, dovecot.Options{Prefix: c.own, Extra: public(c.prefix, c.list)})
		separator := c.prefix[len(c.prefix)-1:]
		configured := strings.ReplaceAll(c.prefix, separator, "/")
		for _, name := range []string{configured + "Archive", c.prefix + "Archive", configured + "New", configured + "New/v1.2"} {
			found := wantSameFolder(t, conn, name)
			if !strings.HasPrefix(found.Mailbox, c.prefix) || strings.HasSuffix(name, "Archive") != (found.Messages == 0) {
				t.Errorf("%v: %s is %+v", c, name, found)
			}
		}
		if f := folder(t, conn, "Publicity/Archive"); f.Mailbox != c.own+"Publicity"+separator+"Archive" {
			t.Errorf("%v: a folder that only looks so is %+v", c, f)
		}
	}
}

// wantSameFolder finds a folder in every way there is, puts a message into one that is
// new, and returns it as it was found.
func wantSameFolder(t *testing.T, c *imapdst.Conn, name string) imapdst.Folder {
	t.Helper()
	ctx := context.Background()
	before, err := c.Folder(ctx, name, false)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	f := folder(t, c, name)
	if !before.Exists {
		deliver(t, c, f, items(1, 0))
	}
	planned, errPlan := c.Folder(ctx, name, false)
	opened, errOpen := c.Open(ctx, f.Mailbox)
	seen, errLook := c.Look(ctx, name)
	existing, errExisting := c.Existing(ctx, []string{"INBOX", name})
	if err := errors.Join(errPlan, errOpen, errLook, errExisting); err != nil || len(existing) != 2 {
		t.Fatalf("%s: %v, existing: %+v", name, err, existing)
	}
	for i, other := range []imapdst.Folder{planned, opened, seen.Folder, existing[1]} {
		if other.Mailbox != f.Mailbox || i < 3 && !other.Exists {
			t.Errorf("%s: way %d leads to %+v, not %+v", name, i, other, f)
		}
	}
	if seen.Subscribed != nil && !*seen.Subscribed && !before.Exists {
		t.Errorf("%s is not subscribed: %+v", name, seen)
	}
	return planned
}

// TestDovecotNoNamespace: what is in no namespace is refused, which a look tells
// beforehand, and the hint says what to write.
func TestDovecotNoNamespace(t *testing.T) {
	c := dialDovecot(t, dovecot.Options{Prefix: "Mail^", Extra: public("Public^", "yes")})
	for name, prefix := range map[string]string{"INBOX": "", "INBOX/Sub": "Mail^", "Sub": "", "Mail/Sub": "", "Public/Sub": ""} {
		seen, err := c.Look(context.Background(), name)
		if err != nil || seen.Prefix != prefix {
			t.Errorf("%s: %+v, %v", name, seen, err)
		}
		_, err = c.Folder(context.Background(), name, true)
		if refused := fault.CodeOf(err) == fault.Refused; refused != (prefix != "") ||
			refused && !strings.Contains(fault.HintOf(err), `leave "INBOX/" out`) {
			t.Errorf("%s: %v, hint %s", name, err, fault.HintOf(err))
		}
	}
}
