package imapdst_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
)

// TestHostileAnswers has the rows of the fault catalogue about answers to
// commands: each ends in an error of its class, and in nothing worse.
func TestHostileAnswers(t *testing.T) {
	list := func(h handler) map[string]handler { return map[string]handler{"LIST": h} }
	fetch := func(h handler) map[string]handler { return map[string]handler{"UID FETCH": h} }
	for _, c := range []struct {
		name string
		on   map[string]handler
		want fault.Code
		text string
	}{
		{"X1 endless untagged line", list(say("* OK " + strings.Repeat("x", 1<<20))), fault.Protocol, ""},
		{"X1 endless LIST", list(say("* LIST () \"/\" " + strings.Repeat("x", 1<<20))), fault.Protocol,
			""},
		{"X1 endless tagged line", list(say("TAG OK " + strings.Repeat("x", 1<<20))), fault.Protocol, ""},
		{"X1 endless unknown line", list(say("* FOO " + strings.Repeat("x", 1<<20))), fault.Protocol, ""},
		{"X2 too many folders", list(flood), fault.Protocol, "more than 100000"},
		{"A23 paren bomb in LIST", list(say("* LIST " + strings.Repeat("(", 60_000))), fault.Protocol,
			"nested"},
		{"A23 paren bomb in FETCH", fetch(say("* 1 FETCH (UID 1 BODYSTRUCTURE " + strings.Repeat("(",
			60_000))),
			fault.Protocol, "nested"},
		{"A23 paren bomb in STATUS", list(say("* STATUS x " + strings.Repeat("(", 60_000))),
			fault.Protocol, ""},
		{"X4 literal bomb in FETCH", fetch(say("* 1 FETCH (UID 1 BODY[] {9999999999}")), fault.Protocol,
			"literal of"},
		{"X4 literal larger than its message",
			fetch(say("* 1 FETCH (UID 1 RFC822.SIZE 10 BODY[] {2000000}")), fault.Protocol, "literal of"},
		{"X4 literal bomb in LIST", list(say("* LIST () \"/\" {9999999999}")), fault.Protocol, ""},
		{"X4 literal bomb in unknown data", list(say("* FOO {9999999999}")), fault.Protocol, ""},
		{"X4 literal of no size", list(say("* LIST () \"/\" {}")), fault.Protocol, ""},
		{"UID behind too much data", fetch(say("* 1 FETCH (BODY[] {2000000}\r\n" + strings.Repeat("x", 2000000) +
			" BODY[] {2000000}")), fault.Protocol, "UID"},
		{"A22 tag of no command", list(say("zzz OK done")), fault.Protocol, "answers no command"},
		{"A22 tag of go-imap without our letters", list(guessFirst), fault.Protocol,
			"answers no command"},
		{"A22 tagged BYE", list(say("TAG BYE done")), fault.Protocol, ""},
		{"N5 cut in a line", list(hangUp("* LIST (")), fault.Temporary, ""},
		{"N5 cut in a literal", fetch(hangUp("* 1 FETCH (UID 1 BODY[] {5000}\r\nabc")), fault.Temporary,
			""},
		{"A12 BYE with a text", list(say("* BYE Session expired\x07")), fault.Temporary,
			`Session expired\x07`},
		{"A9 SELECT unavailable", map[string]handler{"EXAMINE": say("TAG NO [UNAVAILABLE] later")},
			fault.Temporary, "later"},
		{"A9 SELECT in use", map[string]handler{"EXAMINE": say("TAG NO [INUSE] later")}, fault.Temporary, "later"},
		{"A9 SELECT, Cyrus", map[string]handler{"EXAMINE": say("TAG NO Mailbox is locked by POP server")},
			fault.Temporary, "locked"},
		{"A9 SELECT, Exchange", map[string]handler{"EXAMINE": say("TAG NO Mailbox already in use by another process")},
			fault.Temporary, "in use"},
		{"A9 SELECT, UW", map[string]handler{"EXAMINE": say("TAG NO Unable to lock mailbox")}, fault.Temporary, "lock"},
		{"A9 SELECT, Courier", map[string]handler{"EXAMINE": say("TAG NO Mailbox in use.")}, fault.Temporary, "in use"},
		{"A10 SELECT forbidden", map[string]handler{"EXAMINE": say("TAG NO [noperm] not yours")},
			fault.Refused, "NOPERM"},
		{"SELECT not understood", map[string]handler{"EXAMINE": say("TAG BAD what"), "SELECT": say("TAG BAD what")},
			fault.Protocol, ""},
		{"SELECT throttled", map[string]handler{
			"EXAMINE": say("TAG NO Request is throttled. Suggested Backoff Time: 1500 milliseconds")},
			fault.Temporary, ""},
		{"binary noise", list(say("\x00\x01\x02\xff")), fault.Protocol, ""},
		{"FETCH of junk", fetch(say("* 1 FETCH (]]] !!")), fault.Protocol, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := fake{on: c.on}
			conn := server.dial(t)
			err := walk(conn)
			if err != nil && fault.HintOf(err) == "" {
				t.Errorf("no hint for: %v", err)
			}
			if got := fault.CodeOf(err); got != c.want {
				t.Errorf("code %v (%v), want %v", got, err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %q lacks %q", err, c.text)
			}
		})
	}
}

// walk uses every command that reads.
func walk(c *imapdst.Conn) error {
	ctx := context.Background()
	if _, err := c.Folder(ctx, "Lists/Go", true); err != nil {
		return err
	}
	if _, err := c.Folders(ctx); err != nil {
		return err
	}
	f, err := c.Folder(ctx, "INBOX", true)
	if err != nil {
		return err
	}
	if err := c.Index(ctx, f, 1, func(imapdst.Entry) error { return nil }); err != nil {
		return err
	}
	return c.Digests(ctx, f, []uint32{1, 2}, func(uint32, imapdst.Copy) error { return nil })
}

// guessFirst answers the first LIST with the tag that go-imap gave it, which a
// server can guess, and the others properly.
func guessFirst(f *fake, tag, args string) {
	if args == `"" ""` {
		tag = "T2"
	}
	f.send(tag + " OK done")
}

// flood lists more folders than anyone has.
func flood(f *fake, tag, _ string) {
	lines := strings.Repeat("* LIST () \"/\" x\r\n", 1000)
	for range 101 {
		f.send(strings.TrimSuffix(lines, "\r\n"))
	}
	f.send(tag + " OK done")
}

// noise is untagged data over which go-imap would end the connection.
var noise = []string{
	"* VANISHED 1:5", "* VANISHED (EARLIER) 41,43:116", `* LSUB () "/" old`, "* 7 RECENT", "* RECENT",
	"* SEARCH 0", "* SEARCH", "* ESEARCH (TAG \"x\") UID ALL 1:4294967295", "* FLAGS (\\Seen \\*bad)",
	"* 2 FETCH (X-GM-MSGID 1278455344230334865 X-GM-LABELS (\"\\\\Inbox\" foo))",
	"* 2 FETCH (UID 2 EMAILID (M6d99ac3275bb4e) THREADID (T64b478a75b7ea9))",
	"* 2 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (12))", "* 2 FETCH (FLAGS ())",
	"* 99999999999 EXISTS", "* 4 EXPUNGE", "* 0 FETCH (UID 7)", "* METADATA \"\" {3}\r\nabc",
	"* OK [HIGHESTMODSEQ 99999999999999999999999] big", "* OK [PERMANENTFLAGS (\\*)] x", "* OK",
	"* NO [ALERT] disk nearly full", "* OK [COPYUID 1 2] odd", "* OK [CAPABILITY] odd",
	"* CAPABILITY IMAP4rev2",
	"* BAD nothing", "* STATUS INBOX (FOO 1 UIDVALIDITY 99999999999 BAR (a b))", "* ENABLED",
	"* ID NIL",
	"* X-UNKNOWN (a (b \"c\"))", "+ stray", "", "* 3  FETCH  ( UID  3 ) ",
}

// TestNoiseChangesNothing sends all of it before the answer to every command.
func TestNoiseChangesNothing(t *testing.T) {
	quiet := &fake{}
	noisy := &fake{on: map[string]handler{}}
	for _, verb := range []string{"NAMESPACE", "LIST", "EXAMINE", "NOOP", "UID FETCH", "APPEND"} {
		noisy.on[verb] = func(f *fake, tag, args string) {
			say(noise...)(f, tag, args)
			answer(f, tag, verb, args)
		}
	}
	quiet.on = map[string]handler{"UID FETCH": func(f *fake, tag, args string) {
		answer(f, tag,
			"UID FETCH", args)
	}}
	want, got := picture(t, quiet), picture(t, noisy)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(want, "{2 50 <2@example.org>}") {
		t.Errorf("the picture is empty: %s", want)
	}
}

func answer(f *fake, tag, verb, args string) {
	if verb != "UID FETCH" {
		f.standard(tag, verb, args)
		return
	}
	for uid := 1; uid <= 3; uid++ {
		header := fmt.Sprintf("Message-ID: <%d@example.org>\r\n\r\n", uid)
		f.send(fmt.Sprintf("* %d FETCH (UID %d RFC822.SIZE 50 BODY[HEADER] {%d}\r\n%s)",
			uid, uid, len(header), header))
	}
	f.send(tag + " OK done")
}

// picture is all that a client sees, as text.
func picture(t *testing.T, server *fake) string {
	c := server.dial(t)
	var out strings.Builder
	ctx := context.Background()
	names, err := c.Folders(ctx)
	fmt.Fprintln(&out, names, err)
	f, err := c.Folder(ctx, "INBOX", false)
	fmt.Fprintln(&out, f, err)
	f, err = c.Refresh(ctx, f)
	fmt.Fprintln(&out, f, err)
	err = c.Index(ctx, f, 1, func(e imapdst.Entry) error { fmt.Fprintln(&out, e); return nil })
	fmt.Fprintln(&out, err)
	fmt.Fprintln(&out, deliver(t, c, f, items(3, 0)))
	return out.String()
}

// TestFetchForms has FETCH responses in the forms that servers use.
func TestFetchForms(t *testing.T) {
	want := []imapdst.Entry{{UID: 5, Size: 9, MessageID: "<a@example.org>"}}
	header := "Message-ID: <a@example.org>\r\n\r\n"
	literal := fmt.Sprintf("{%d}\r\n%s", len(header), header)
	for name, lines := range map[string]string{
		"usual": "* 1 FETCH (UID 5 RFC822.SIZE 9 BODY[HEADER.FIELDS (MESSAGE-ID)] " +
			literal + ")",
		"quoted section": "* 1 FETCH (UID 5 RFC822.SIZE 9 BODY[HEADER.FIELDS (\"Message-ID\")] " +
			literal + ")",
		"UID last": "* 1 FETCH (RFC822.SIZE 9 BODY[HEADER.FIELDS (MESSAGE-ID)] " +
			literal + " UID 5)",
		"UID in between": "* 1 FETCH (BODY[HEADER.FIELDS (MESSAGE-ID)] " +
			literal + " UID 5 RFC822.SIZE 9)",
		"lower case": "* 1 fetch (uid 5 rfc822.size 9 body[header.fields (message-id)] " +
			literal + ")",
		"other items": "* 1 FETCH (FLAGS (\\Seen) UID 5 X-GM-LABELS (a b) " +
			"RFC822.SIZE 9 ENVELOPE (NIL (a)) BODY[HEADER] " + literal + " MODSEQ (4))",
		"flags come first": "* 1 FETCH (UID 5 FLAGS (\\Seen))\r\n" +
			"* 1 FETCH (UID 5 RFC822.SIZE 9 BODY[HEADER] " + literal + ")",
		"twice": "* 1 FETCH (UID 5 RFC822.SIZE 9 BODY[HEADER] " +
			literal + ")\r\n* 1 FETCH (UID 5 RFC822.SIZE 8 BODY[] NIL)",
		"others too": "* 9 FETCH (UID 4 RFC822.SIZE 9 BODY[] NIL)\r\n" +
			"* 1 FETCH (UID 5 RFC822.SIZE 9 BODY[HEADER] " + literal + ")",
		"bare LF": strings.ReplaceAll("* 1 FETCH (UID 5 RFC822.SIZE 9 BODY[HEADER] LITERAL)",
			"LITERAL", fmt.Sprintf("{%d}\n%s", len(header), header)),
	} {
		t.Run(name, func(t *testing.T) {
			server := fake{on: map[string]handler{"UID FETCH": say(lines, "TAG OK done")}}
			c := server.dial(t)
			f := folder(t, c, "INBOX")
			var got []imapdst.Entry
			err := c.Index(context.Background(), f, 5, func(e imapdst.Entry) error {
				got = append(got, e)
				return nil
			})
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Error(diff, err)
			}
		})
	}
}

// TestMarkedAsDeleted has the flags of what was read at all places of an answer; those
// that come unasked are no part of it.
func TestMarkedAsDeleted(t *testing.T) {
	body := "BODY[HEADER] {8}\r\nA: b\r\n\r\n"
	for lines, want := range map[string]bool{
		`* 1 FETCH (UID 5 FLAGS (\Seen \Deleted) RFC822.SIZE 9 ` + body + ")":                  true,
		`* 1 FETCH (FLAGS (\DELETED) UID 5 ` + body + ")":                                      true,
		`* 1 FETCH (` + body + ` UID 5 FLAGS ( \Deleted $x))`:                                  true,
		`* 1 FETCH (UID 5 ` + body + ` FLAGS (\Deleted))`:                                      true,
		`* 1 FETCH (UID 5 FLAGS (\Seen $Deleted Deleted) ` + body + ")":                        false,
		`* 1 FETCH (UID 5 FLAGS () ` + body + ")":                                              false,
		`* 1 FETCH (UID 5 ` + body + ")":                                                       false,
		"* 2 FETCH (UID 6 FLAGS (\\Deleted))\r\n* 1 FETCH (UID 5 FLAGS (\\Seen) " + body + ")": false,
	} {
		server := fake{on: map[string]handler{"UID FETCH": say(lines, "TAG OK done")}}
		c := server.dial(t)
		n := 0
		err := c.Headers(t.Context(), folder(t, c, "INBOX"), []uint32{5}, func(_ uint32, m imapdst.Copy) error {
			if n++; m.Deleted != want || m.Header.IsZero() {
				t.Errorf("%q: %+v", lines, m)
			}
			return nil
		})
		if err != nil || n != 1 {
			t.Errorf("%q: %d messages, %v", lines, n, err)
		}
	}
}

// TestFetchShortForms has sections that are empty, missing or not a literal.
func TestFetchShortForms(t *testing.T) {
	for items, want := range map[string]imapdst.Entry{
		"RFC822.SIZE 9 BODY[HEADER] NIL":     {UID: 5, Size: 9},
		`RFC822.SIZE 9 BODY[HEADER] ""`:      {UID: 5, Size: 9},
		"RFC822.SIZE 9":                      {UID: 5, Size: 9},
		"RFC822.SIZE 9 BODY[HEADER] {0}\r\n": {UID: 5, Size: 9},
		`RFC822.SIZE 4294967300 BODY[HEADER] "Message-ID: <q@example.org>"`: {
			UID: 5, Size: 4294967300, MessageID: "<q@example.org>",
		},
	} {
		server := fake{on: map[string]handler{
			"UID FETCH": say("* 1 FETCH (UID 5 "+items+")", "TAG OK done"),
		}}
		c := server.dial(t)
		var got []imapdst.Entry
		f := folder(t, c, "INBOX")
		err := c.Index(context.Background(), f, 1, func(e imapdst.Entry) error {
			got = append(got, e)
			return nil
		})
		if diff := cmp.Diff([]imapdst.Entry{want}, got); diff != "" || err != nil {
			t.Errorf("%q: %s %v", items, diff, err)
		}
	}
}

// TestFolderFacts has what SELECT and STATUS say about a folder.
func TestFolderFacts(t *testing.T) {
	for _, c := range []struct {
		name  string
		caps  string
		lines []string
		want  imapdst.Folder
	}{
		{"A17 UIDVALIDITY beyond 32 bits", "", []string{"* OK [UIDVALIDITY 99999999999] x",
			"* OK [UIDNEXT 7] x"},
			imapdst.Folder{NoStickyUIDs: true, UIDNext: 7}},
		{"A20 UIDVALIDITY 0", "", []string{"* OK [UIDVALIDITY 0] x", "* OK [UIDNEXT 7] x"},
			imapdst.Folder{NoStickyUIDs: true, UIDNext: 7}},
		{"A19 UIDNOTSTICKY", "", []string{"* OK [UIDVALIDITY 3] x", "* OK [UIDNEXT 7] x",
			"* NO [UIDNOTSTICKY] x"},
			imapdst.Folder{NoStickyUIDs: true, UIDValidity: 3, UIDNext: 7}},
		{"lower case codes", "", []string{"* ok [uidvalidity 3] x", "* OK [UidNext 7]", "* 12 exists"},
			imapdst.Folder{UIDValidity: 3, UIDNext: 7, Messages: 12}},
		{"UIDNEXT in STATUS only", "", []string{"* OK [UIDVALIDITY 3] x"},
			imapdst.Folder{UIDValidity: 3, UIDNext: 55}},
		{"limit for all", "APPENDLIMIT=1000", []string{"* OK [UIDVALIDITY 3] x", "* OK [UIDNEXT 7] x"},
			imapdst.Folder{UIDValidity: 3, UIDNext: 7, AppendLimit: 1000}},
		{"limit for each", "APPENDLIMIT", []string{"* OK [UIDVALIDITY 3] x", "* OK [UIDNEXT 7] x"},
			imapdst.Folder{UIDValidity: 3, UIDNext: 7, AppendLimit: 2000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := fake{caps: allCaps + " " + c.caps, on: map[string]handler{
				"EXAMINE": say(append(append([]string{"* 0 EXISTS"}, c.lines...), "TAG OK [READ-WRITE] done")...),
				"STATUS":  say("* STATUS Inbox (UIDNEXT 55 UIDVALIDITY 3 APPENDLIMIT 2000)", "TAG OK done"),
			}}
			c.want.Name, c.want.Mailbox, c.want.Exists = "iNbOx", "INBOX", true
			if diff := cmp.Diff(c.want, folder(t, server.dial(t), "iNbOx")); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("A19 read only", func(t *testing.T) {
		server := fake{caps: allCaps, on: map[string]handler{"SELECT": say(
			"* 3 EXISTS", "* OK [UIDVALIDITY 42] fine", "TAG OK [READ-ONLY] done")}}
		err := server.dial(t).Remove(context.Background(), inboxFolder, []uint32{1})
		if fault.CodeOf(err) != fault.Refused || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("got %v", err)
		}
	})
}

// TestUncountedFolder: where EXISTS is missing (RFC 3501 §6.3.1), a folder is not empty.
func TestUncountedFolder(t *testing.T) {
	server := fake{caps: allCaps, on: map[string]handler{"EXAMINE": say(
		"* OK [UIDVALIDITY 42] fine", "* OK [UIDNEXT 7] next", "TAG OK [READ-ONLY] done")}}
	c := server.dial(t)
	for range 2 {
		f, err := c.Folder(context.Background(), "INBOX", false)
		if fault.CodeOf(err) != fault.Protocol || f.Exists || !strings.Contains(err.Error(), "how many messages") {
			t.Errorf("%+v, %v", f, err)
		}
	}
}

// TestOddNames lists names in every form, and opens one that is not modified
// UTF-7: the server must be asked for what it listed.
func TestOddNames(t *testing.T) {
	server := fake{on: map[string]handler{"LIST": say(
		`* LIST (\HasNoChildren) "/" INBOX`, `* LIST () "/" "R&D"`, "* LIST () \"/\" {4}\r\na\"b\\",
		`* LIST () "/" Entw&APw-rfe`, `* LIST () "/" Müll`, `* LIST (\Noselect) "/" "[Gmail]"`,
		`* LIST () "/" two words`, "* LIST () \"/\" {3}\r\na\nb",
		`* LIST (\Marked (x)) NIL "quoted" ("CHILDINFO" ("x"))`,
		`* LIST () "/" "../../etc"`, "* LIST () \"/\" \"caf\xe9\"", "TAG OK done",
	)}}
	c := server.dial(t)
	names, err := c.Folders(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"INBOX", "R&D", `a"b\`, "Entwürfe", "Müll", "two words", "quoted", "../../etc",
		"caf\ufffd"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	for name, sent := range map[string]string{
		"R&D": `EXAMINE "R&D"`, "Entwürfe": `EXAMINE "Entw&APw-rfe"`, "Müll": `EXAMINE "Müll"`,
		"caf\ufffd": "EXAMINE \"caf\xe9\"", `a"b\`: `EXAMINE "a\"b\\"`,
	} {
		f, err := c.Folder(context.Background(), name, false)
		if err != nil || !f.Exists {
			t.Errorf("%q: %+v, %v", name, f, err)
		}
		deliver(t, c, f, items(1, 0))
		if got := server.received(); !strings.Contains(got, sent+"\r\n") ||
			!strings.Contains(got, strings.Replace(sent, "EXAMINE", "APPEND", 1)+" {") {
			t.Errorf("%q is not in %q", sent, got)
		}
	}
}

func TestUnusableFolderNames(t *testing.T) {
	server := fake{}
	c := server.dial(t)
	for _, name := range []string{"", "a//b", "/a", "a\r\nb", "a\x00", strings.Repeat("x", 1000)} {
		if _, err := c.Folder(context.Background(), name, true); fault.CodeOf(err) != fault.Config {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestThrottleTellsHowLong reads the pauses that servers ask for, and does not put into their
// mouths those that are ours.
func TestThrottleTellsHowLong(t *testing.T) {
	const asked = "the server wants such a pause"
	for text, c := range map[string]struct {
		want time.Duration
		why  string
	}{
		"* BYE Account exceeded command or bandwidth limits":                      {10 * time.Minute, "up to 24 hours"},
		"* BYE Request is throttled. Suggested Backoff Time: 900000 milliseconds": {15 * time.Minute, asked},
		"* BYE Request is throttled. Suggested Backoff Time: 9000 milliseconds":   {10 * time.Minute, "limits the account"},
		"* BYE Request is throttled.":                                             {10 * time.Minute, "limits the account"},
		"* BYE bye":                                                               {0, asked},
		"TAG NO Account exceeded command or bandwidth limits":                     {time.Hour, "up to 24 hours"},
		"TAG NO Throttled. Suggested Backoff Time: 9000 milliseconds":             {9 * time.Second, asked},
	} {
		server := fake{on: map[string]handler{"LIST": say(text)}}
		err := walk(server.dial(t))
		if got := fault.AfterOf(err); got != c.want || fault.CodeOf(err) != fault.Temporary ||
			!strings.Contains(fault.BecauseOf(err), c.why) {
			t.Errorf("%q: %v, %q (%v)", text, got, fault.BecauseOf(err), err)
		}
	}
}

// TestMixedAnswers: a server may answer several FETCHes at once (RFC 3501 §5.5), and
// begin with the last, whose answers are more than anybody holds.
func TestMixedAnswers(t *testing.T) {
	const n = 400
	var tags, sets []string
	asked := 0
	f := &fake{on: map[string]handler{"UID FETCH": func(f *fake, tag, args string) {
		set, _, _ := strings.Cut(args, " ")
		tags, sets = append(tags, tag), append(sets, set)
		if asked += len(strings.Split(set, ",")); asked < n {
			return
		}
		for _, set := range slices.Backward(sets) {
			for uid := range strings.SplitSeq(set, ",") {
				f.send(fmt.Sprintf("* 1 FETCH (UID %s RFC822.SIZE 9 BODY[] {9}\r\nA: b\r\n\r\nc)", uid))
			}
		}
		for _, tag := range tags {
			f.send(tag + " OK done")
		}
	}}}
	c := f.dial(t)
	var uids []uint32
	for i := range uint32(n) {
		uids = append(uids, 2*i+1)
	}
	seen := map[uint32]bool{}
	err := unlessItHangs(t, func() error {
		return c.Digests(t.Context(), folder(t, c, "INBOX"), uids, func(uid uint32, s imapdst.Copy) error {
			seen[uid] = s.Size == 11 // with the end that the last line lacks
			return nil
		})
	})
	if err != nil || len(seen) != n || len(sets) < 2 {
		t.Errorf("%d messages in %d answers: %v", len(seen), len(sets), err)
	}
}

// TestBusyLayout: a server that can't tell now how names are built is asked again later, and
// nothing goes to a folder of another name, or is held for want of folders in folders.
func TestBusyLayout(t *testing.T) {
	busy := say("TAG NO [UNAVAILABLE] later")
	for _, command := range []string{"NAMESPACE", "LIST"} {
		server := listing("", `() "." INBOX`, `() "." INBOX.Old`)
		works := server.on[command]
		server.on[command] = busy
		c := server.dial(t)
		if f, err := c.Folder(context.Background(), "Old/2001", false); fault.CodeOf(err) != fault.Temporary {
			t.Errorf("%s refused: %+v, %v", command, f, err)
		}
		server.on[command] = works
		if f, err := c.Folder(context.Background(), "Old/2001", false); err != nil || f.Mailbox != "INBOX.Old.2001" {
			t.Errorf("%s works again: %+v, %v", command, f, err)
		}
	}
}

// TestRefusedLayout: a server that refuses both ways to ask how names are built, once or each
// time, tells it with each folder, and has folders in folders all the same.
func TestRefusedLayout(t *testing.T) {
	for name, inbox := range map[string]string{"INBOX": `() "/" INBOX`, "INBOX has none below": `(\NoInferiors) NIL INBOX`} {
		server := listing("", `() "/" Old`, inbox, `() "/" Old/2001`)
		server.on["NAMESPACE"] = say("TAG BAD no")
		works := server.on["LIST"]
		server.on["LIST"] = func(f *fake, tag, args string) {
			if args == `"" ""` {
				f.send(tag + " BAD no")
				return
			}
			works(f, tag, args)
		}
		c := server.dial(t)
		if f, err := c.Folder(t.Context(), "Old/2001", false); err != nil || f.Mailbox != "Old/2001" || !f.Exists {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}
