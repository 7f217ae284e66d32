package imapd_test

import (
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/mailtest/imapd"
)

// start makes a server that has to end without complaints about its clients.
func start(t *testing.T, o imapd.Options) *imapd.Server {
	t.Helper()
	server := imapd.New(o)
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if v := server.Violations(); len(v) > 0 {
			t.Errorf("violations: %q", v)
		}
	})
	return server
}

// dial opens a connection over a pipe.
func dial(t *testing.T, server *imapd.Server) net.Conn {
	t.Helper()
	conn, err := server.Dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// login returns a client of go-imap, logged in.
func login(t *testing.T, server *imapd.Server) *imapclient.Client {
	t.Helper()
	client := imapclient.New(dial(t, server), nil)
	t.Cleanup(func() { client.Close() })
	if err := client.Login("alice", "secret").Wait(); err != nil {
		t.Fatal(err)
	}
	return client
}

// must returns value unless there is an error.
func must[T any](t *testing.T, value T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// add appends a message.
func add(client *imapclient.Client, box, text string, o *imap.AppendOptions) (
	*imap.AppendData, error) {
	cmd := client.Append(box, int64(len(text)), o)
	_, writeErr := io.WriteString(cmd, text)
	if err := errors.Join(writeErr, cmd.Close()); err != nil {
		return nil, err
	}
	return cmd.Wait()
}

const (
	letter = "From: a@example.org\r\nSubject: one\r\n two\r\nMessage-ID: <1@example.org>\r\n" +
		"\r\nHello\r\n"
	note = "Subject: note\r\n\r\nshort\r\n"
)

var date = time.Date(1996, 7, 17, 2, 44, 25, 0, time.FixedZone("", -7*3600))

func TestAppendAndFetch(t *testing.T) {
	server := start(t, imapd.Options{})
	client := login(t, server)
	flags := []imap.Flag{imap.FlagSeen, "$Label"}
	got, err := add(client, "inbox", letter, &imap.AppendOptions{Flags: flags, Time: date})
	first := must(t, got, err)
	got, err = add(client, "INBOX", note, nil)
	second := must(t, got, err)
	if first.UID != 1 || second.UID != 2 || first.UIDValidity != second.UIDValidity {
		t.Errorf("APPENDUID %+v, %+v", first, second)
	}
	stored := server.Mailbox("INBOX")
	if len(stored) != 2 || string(stored[0].Raw) != letter || string(stored[1].Raw) != note ||
		!slices.Equal(stored[0].Flags, []string{`\Seen`, "$Label"}) ||
		!stored[0].InternalDate.Equal(date) || stored[1].InternalDate.IsZero() {
		t.Errorf("stored %+v", stored)
	}

	selected := selectBox(t, client, "INBOX")
	if selected.NumMessages != 2 || selected.UIDNext != 3 ||
		selected.UIDValidity != first.UIDValidity {
		t.Errorf("SELECT gave %+v", selected)
	}
	fields := &imap.FetchItemBodySection{
		Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"message-id", "SUBJECT"},
		Peek: true,
	}
	header := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, Peek: true}
	whole := &imap.FetchItemBodySection{Peek: true}
	part := &imap.FetchItemBodySection{
		Peek: true, Partial: &imap.SectionPartial{Offset: 6, Size: 4},
	}
	fetch := client.Fetch(imap.UIDSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{
		UID: true, RFC822Size: true, InternalDate: true, Flags: true,
		BodySection: []*imap.FetchItemBodySection{fields, header, whole, part},
	})
	messages, err := fetch.Collect()
	if err != nil || len(messages) != 2 {
		t.Fatalf("FETCH gave %d messages, %v", len(messages), err)
	}
	m := messages[0]
	if m.UID != 1 || m.SeqNum != 1 || m.RFC822Size != int64(len(letter)) ||
		!m.InternalDate.Equal(date) || !slices.Equal(m.Flags, flags) {
		t.Errorf("FETCH gave %+v", m)
	}
	for section, want := range map[*imap.FetchItemBodySection]string{
		fields: "Subject: one\r\n two\r\nMessage-ID: <1@example.org>\r\n\r\n",
		header: letter[:len(letter)-len("Hello\r\n")],
		whole:  letter,
		part:   letter[6:10],
	} {
		if diff := cmp.Diff(want, string(m.FindBodySection(section))); diff != "" {
			t.Errorf("%+v: %s", section, diff)
		}
	}
}

func selectBox(t *testing.T, client *imapclient.Client, name string) *imap.SelectData {
	t.Helper()
	data, err := client.Select(name, nil).Wait()
	return must(t, data, err)
}

// wantCode checks that err is an answer of the server with that response code.
func wantCode(t *testing.T, err error, code imap.ResponseCode) {
	t.Helper()
	var answer *imap.Error
	if !errors.As(err, &answer) || answer.Code != code {
		t.Errorf("got %v, want [%s]", err, code)
	}
}

func TestSearch(t *testing.T) {
	server := start(t, imapd.Options{})
	store := server.User("")
	store.Deliver("INBOX", []byte(letter), nil, date)
	store.Deliver("INBOX", []byte(note), []string{`\Seen`}, date.AddDate(10, 0, 0))
	store.Deliver("INBOX", []byte(note), nil, date.AddDate(20, 0, 0))
	store.Expunge("INBOX", 2)
	client := login(t, server)
	selectBox(t, client, "INBOX")
	for name, search := range map[string]struct {
		criteria imap.SearchCriteria
		want     []imap.UID
	}{
		"all":       {imap.SearchCriteria{}, []imap.UID{1, 3}},
		"uid":       {imap.SearchCriteria{UID: []imap.UIDSet{{{Start: 2, Stop: 9}}}}, []imap.UID{3}},
		"since":     {imap.SearchCriteria{Since: date.AddDate(1, 0, 0)}, []imap.UID{3}},
		"since day": {imap.SearchCriteria{Since: date}, []imap.UID{1, 3}},
		"before":    {imap.SearchCriteria{Before: date.AddDate(1, 0, 0)}, []imap.UID{1}},
		"larger":    {imap.SearchCriteria{Larger: int64(len(note))}, []imap.UID{1}},
		"unseen":    {imap.SearchCriteria{NotFlag: []imap.Flag{imap.FlagSeen}}, []imap.UID{1, 3}},
		"message-id": {imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{
			{Key: "Message-ID", Value: "<1@example.org>"}}}, []imap.UID{1}},
		"folded": {imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{
			{Key: "Subject", Value: "ONE TWO"}}}, []imap.UID{1}},
		"not": {imap.SearchCriteria{Not: []imap.SearchCriteria{{
			Header: []imap.SearchCriteriaHeaderField{{Key: "From"}}}}}, []imap.UID{3}},
		"or": {imap.SearchCriteria{Or: [][2]imap.SearchCriteria{{
			{Larger: 1000}, {Smaller: int64(len(letter))}}}}, []imap.UID{3}},
		"none": {imap.SearchCriteria{Flag: []imap.Flag{imap.FlagDeleted}}, nil},
	} {
		data, err := client.UIDSearch(&search.criteria, nil).Wait()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(search.want, data.AllUIDs()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	data, err := client.Search(&imap.SearchCriteria{Smaller: int64(len(letter))}, nil).Wait()
	if err != nil || !slices.Equal(data.AllSeqNums(), []uint32{2}) {
		t.Errorf("SEARCH: %v, %v", data, err)
	}
}

func TestMailboxes(t *testing.T) {
	server := start(t, imapd.Options{
		Prefix: "INBOX.", AppendLimit: 1000,
		SpecialUse: map[string]string{"INBOX.Archive": `\Archive`},
	})
	client := login(t, server)
	data, err := client.Namespace().Wait()
	want := []imap.NamespaceDescriptor{{Prefix: "INBOX.", Delim: '.'}}
	if err != nil || !slices.Equal(data.Personal, want) {
		t.Errorf("NAMESPACE: %+v, %v", data, err)
	}
	wantCode(t, client.Create("Archive", nil).Wait(), imap.ResponseCodeCannot)
	for _, name := range []string{"INBOX.Archive", "INBOX.Archive.2001", "INBOX.Old."} {
		if err := client.Create(name, nil).Wait(); err != nil {
			t.Errorf("CREATE %s: %v", name, err)
		}
	}
	wantCode(t, client.Create("INBOX.Old", nil).Wait(), imap.ResponseCodeAlreadyExists)
	wantCode(t, client.Delete("INBOX").Wait(), imap.ResponseCodeCannot)
	wantCode(t, client.Delete("INBOX.None").Wait(), imap.ResponseCodeNonExistent)
	if err := client.Delete("INBOX.Old").Wait(); err != nil {
		t.Error(err)
	}
	for pattern, want := range map[string][]string{
		"*":         {"INBOX", "INBOX.Archive", "INBOX.Archive.2001"},
		"INBOX.%":   {"INBOX.Archive"},
		"inbox":     {"INBOX"},
		"*.2001":    {"INBOX.Archive.2001"},
		"INBOX.A*e": {"INBOX.Archive"},
		"Nowhere":   nil,
	} {
		var names []string
		boxes, err := client.List("", pattern, nil).Collect()
		if err != nil {
			t.Fatal(err)
		}
		for _, box := range boxes {
			names = append(names, box.Mailbox)
			if box.Mailbox == "INBOX.Archive" &&
				!slices.Contains(box.Attrs, imap.MailboxAttrArchive) {
				t.Errorf("%s has attributes %v", box.Mailbox, box.Attrs)
			}
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("LIST %s: %s", pattern, diff)
		}
	}
}

func TestStatus(t *testing.T) {
	server := start(t, imapd.Options{AppendLimit: 1000})
	store := server.User("")
	store.Deliver("Sent", []byte(letter), []string{`\Seen`}, date)
	store.Deliver("Sent", []byte(note), nil, date)
	client := login(t, server)
	got, err := client.Status("Sent", &imap.StatusOptions{
		NumMessages: true, UIDNext: true, UIDValidity: true, NumUnseen: true, AppendLimit: true,
	}).Wait()
	two, one, limit := uint32(2), uint32(1), uint32(1000)
	want := &imap.StatusData{
		Mailbox: "Sent", NumMessages: &two, UIDNext: 3, NumUnseen: &one, AppendLimit: &limit,
		UIDValidity: store.UIDValidity("Sent"),
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	_, err = client.Status("None", &imap.StatusOptions{NumMessages: true}).Wait()
	wantCode(t, err, imap.ResponseCodeNonExistent)
	_, err = add(client, "None", letter, nil)
	wantCode(t, err, imap.ResponseCodeTryCreate)
}

func TestStoreAndExpunge(t *testing.T) {
	server := start(t, imapd.Options{})
	store := server.User("")
	for range 4 {
		store.Deliver("INBOX", []byte(note), nil, date)
	}
	client := login(t, server)
	selectBox(t, client, "INBOX")
	deleted := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}
	messages, err := client.Store(imap.UIDSetNum(1, 3), deleted, nil).Collect()
	if err != nil || len(messages) != 2 || messages[1].UID != 3 ||
		!slices.Equal(messages[1].Flags, []imap.Flag{imap.FlagDeleted}) {
		t.Errorf("STORE: %+v, %v", messages, err)
	}
	gone, err := client.UIDExpunge(imap.UIDSetNum(2, 3)).Collect()
	if err != nil || !slices.Equal(gone, []uint32{3}) {
		t.Errorf("UID EXPUNGE removed %v, %v", gone, err)
	}
	store.Expunge("INBOX", 4)
	gone, err = client.Expunge().Collect()
	if err != nil || !slices.Equal(gone, []uint32{3, 1}) {
		t.Errorf("EXPUNGE removed %v, %v", gone, err)
	}
	if left := server.Mailbox("INBOX"); len(left) != 1 || left[0].UID != 2 {
		t.Errorf("left: %+v", left)
	}
	// A UID is never given again.
	if uid := store.Deliver("INBOX", nil, nil, date); uid != 5 {
		t.Errorf("next UID is %d", uid)
	}
}

// TestPassingOn checks that a session hears of what others do.
func TestPassingOn(t *testing.T) {
	server := start(t, imapd.Options{})
	store := server.User("")
	client := login(t, server)
	selectBox(t, client, "INBOX")
	store.Deliver("INBOX", []byte(note), nil, date)
	if err := client.Noop().Wait(); err != nil {
		t.Fatal(err)
	}
	if n := client.Mailbox().NumMessages; n != 1 {
		t.Errorf("the session knows of %d messages", n)
	}
	uid, err := store.Move("INBOX", 1, "Elsewhere")
	if err != nil || uid != 1 || string(server.Mailbox("Elsewhere")[0].Raw) != note {
		t.Errorf("moved to %d, %v", uid, err)
	}
	if err := client.Noop().Wait(); err != nil {
		t.Fatal(err)
	}
	if n := client.Mailbox().NumMessages; n != 0 {
		t.Errorf("the session knows of %d messages", n)
	}
	store.SetUIDValidity("INBOX", 77)
	if err := client.Noop().Wait(); err == nil {
		t.Error("the session outlived its mailbox")
	}
	again := login(t, server)
	if got := selectBox(t, again, "INBOX").UIDValidity; got != 77 {
		t.Errorf("UIDVALIDITY %d", got)
	}
}

func TestTLS(t *testing.T) {
	pair := newPair(t)
	for name, mode := range map[string]imapd.Mode{
		"starttls": imapd.StartTLS, "implicit": imapd.Implicit,
	} {
		t.Run(name, func(t *testing.T) {
			server := start(t, imapd.Options{
				Mode: mode, TLS: pair.Server(), Username: "alice", Password: "secret",
			})
			address, err := server.Listen()
			if err != nil {
				t.Fatal(err)
			}
			dial := imapclient.DialTLS
			if mode == imapd.StartTLS {
				dial = imapclient.DialStartTLS
			}
			config := pair.Client()
			config.ServerName = "localhost"
			client, err := dial(address.String(), &imapclient.Options{TLSConfig: config})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			wantCode(t, client.Login("alice", "wrong").Wait(),
				imap.ResponseCodeAuthenticationFailed)
			if err := client.Login("alice", "secret").Wait(); err != nil {
				t.Error(err)
			}
			if _, err := add(client, "INBOX", letter, nil); err != nil {
				t.Error(err)
			}
			if err := client.Logout().Wait(); err != nil {
				t.Error(err)
			}
			want := imapd.Counters{
				Connections: 1, MaxOpen: 1, Logins: 1, Refused: 1, Messages: 1,
			}
			got := server.Counters()
			if got.BytesIn <= int64(len(letter)) || got.BytesOut == 0 {
				t.Errorf("%d bytes in, %d out", got.BytesIn, got.BytesOut)
			}
			got.BytesIn, got.BytesOut, got.Commands, got.Open = 0, 0, nil, 0
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func newPair(t *testing.T) *certs.Pair {
	t.Helper()
	pair, err := certs.New(certs.Options{})
	return must(t, pair, err)
}

func TestQuota(t *testing.T) {
	server := start(t, imapd.Options{Quota: 4096})
	client := login(t, server)
	if _, err := add(client, "INBOX", letter, nil); err != nil {
		t.Fatal(err)
	}
	data, err := client.GetQuotaRoot("INBOX").Wait()
	if err != nil || len(data) != 1 || data[0].Resources[imap.QuotaResourceStorage] !=
		(imapclient.QuotaResourceData{Usage: 1, Limit: 4}) {
		t.Errorf("GETQUOTAROOT: %+v, %v", data, err)
	}
	_, err = add(client, "INBOX", string(make([]byte, 4050)), nil)
	wantCode(t, err, imap.ResponseCodeOverQuota)
	server.Configure(func(o *imapd.Options) { o.Quota = 1 << 20 })
	if _, err = add(client, "INBOX", string(make([]byte, 4050)), nil); err != nil {
		t.Error(err)
	}
	server.Configure(func(o *imapd.Options) { o.QuotaMessages = 2 })
	_, err = add(client, "INBOX", letter, nil)
	wantCode(t, err, imap.ResponseCodeOverQuota)
	data, err = client.GetQuotaRoot("INBOX").Wait()
	if err != nil || data[0].Resources[imap.QuotaResourceMessage] != (imapclient.QuotaResourceData{Usage: 2, Limit: 2}) {
		t.Errorf("GETQUOTAROOT: %+v, %v", data, err)
	}
	server.Configure(func(o *imapd.Options) { o.SoftQuota = true })
	if _, err = add(client, "INBOX", letter, nil); err != nil {
		t.Error(err)
	}
}

func TestSeparate(t *testing.T) {
	server := start(t, imapd.Options{Separate: true})
	client := login(t, server)
	if _, err := add(client, "INBOX", letter, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(server.User("alice").Mailbox("INBOX")); n != 1 {
		t.Errorf("alice has %d messages", n)
	}
	if n := len(server.User("bob").Mailbox("INBOX")); n != 0 {
		t.Errorf("bob has %d messages", n)
	}
}
