package imapdst_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
)

// lists are what servers show of a user's folders.
var lists = map[string][]string{
	"Gmail in German": {`(\HasNoChildren) "/" "INBOX"`, `(\HasChildren \Noselect) "/" "[Gmail]"`,
		`(\All \HasNoChildren) "/" "[Gmail]/Alle Nachrichten"`, `(\HasNoChildren \Drafts) "/" "[Gmail]/Entw&APw-rfe"`,
		`(\HasNoChildren \Sent) "/" "[Gmail]/Gesendet"`, `(\HasNoChildren \Junk) "/" "[Gmail]/Spam"`,
		`(\HasNoChildren \Trash) "/" "[Gmail]/Papierkorb"`, `(\HasNoChildren) "/" "Sent"`},
	"Exchange in German": {`(\HasNoChildren) "/" INBOX`, `(\HasNoChildren \Drafts) "/" Entw&APw-rfe`,
		`(\HasNoChildren \Sent) "/" "Gesendete Elemente"`, `(\HasNoChildren \Trash) "/" "Gel&APY-schte Elemente"`,
		`(\HasNoChildren \Junk) "/" Junk-E-Mail`, `(\HasNoChildren) "/" Archiv`},
	"Outlook in German, unmarked": {`() "/" INBOX`, `() "/" "Gesendete Elemente"`, `() "/" "Gel&APY-schte Elemente"`,
		`() "/" Junk-E-Mail`, `() "/" Entw&APw-rfe`},
	"Dovecot":               {`(\HasNoChildren) "." INBOX`, `(\HasNoChildren \Sent) "." Sent`, `(\HasNoChildren \Trash) "." Trash`},
	"Courier":               {`(\HasChildren) "." INBOX`, `() "." INBOX.Sent`, `() "." INBOX.Trash`, `(\Noselect) "." INBOX.Drafts`},
	"Cyrus, no use":         {`(\HasChildren) "." INBOX`, `() "." "INBOX.Sent Items"`, `() "." "user.bob.Trash"`, `() "." INBOX.Old.Trash`},
	"Japanese":              {`() "/" INBOX`, `() "/" &kAFP4W4IMH8wojCkMMYw4A-`, `() "/" &MFQwf3ux-`},
	"Japanese, Thunderbird": {`() "/" INBOX`, `() "/" "&kAFP4W4IMH8wyDDsMKQ-"`, `() "/" "&MLQw33ux-"`},
	"Korean":                {`() "/" INBOX`, `() "/" "&vPSwuLpUx3zVaA-"`, `() "/" "&ycDGtA- &07jJwNVo-"`, `() "/" "&wqTTOLpUx3zVaA-"`, `() "/" "&x4TC3Lz0rQDVaA-"`},
	"Greek":                 {`() "/" INBOX`, `() "/" "&A5EDwAO1A8MDxAOxA7sDvAOtA70DsQ-"`, `() "/" "&A5QDuQOxA7MDwQOxA7wDvAOtA70DsQ-"`, `() "/" "&A5EDvQO1A8ADuQO4A80DvAO3A8QDtw- &A7EDuwO7A7cDuwO,A7MDwQOxA8YDrwOx-"`, `() "/" "&A6ADwQPMA8cDtQO5A8EDsQ-"`},
	"Turkish":               {`() "/" INBOX`, `() "/" "G&APY-nderilmi&AV8- &ANYBHw-eler"`, `() "/" "Silinmi&AV8- &ANYBHw-eler"`, `() "/" "&ANY-nemsiz E-posta"`, `() "/" "Taslaklar"`},
	"old names":             {`() "/" INBOX`, `(\Spam) "/" Bulk`, `() "/" Junk`},
	"several":               {`() "/" INBOX`, `() "/" Gesendet`, `() "/" "Sent Items"`, `() "/" sent`, `() "/" Papelera`},
	"of others":             {`() "." INBOX`, `(\Trash) "." user.bob.Trash`, `() "." INBOX.Trash`, `(\Sent) "." user.bob.Sent`},
	"empty":                 {`() "/" INBOX`},
}

func TestSpecialUse(t *testing.T) {
	for name, want := range map[string]map[string]string{
		"Gmail in German": {`\Sent`: "[Gmail]/Gesendet", `\Trash`: "[Gmail]/Papierkorb", `\Drafts`: "[Gmail]/Entwürfe",
			`\Junk`: "[Gmail]/Spam", `\Archive`: "", `\Sent/2026`: ""},
		"Exchange in German": {`\Sent`: "Gesendete Elemente", `\Trash`: "Gelöschte Elemente", `\Junk`: "Junk-E-Mail", `\Archive`: "Archiv"},
		"Outlook in German, unmarked": {`\Sent`: "Gesendete Elemente", `\Trash`: "Gelöschte Elemente", `\Junk`: "Junk-E-Mail",
			`\Drafts`: "Entwürfe"},
		"Dovecot":               {`\Sent`: "Sent", `\Trash`: "Trash", `\Junk`: ""},
		"Courier":               {`\Sent`: "INBOX.Sent", `\Trash`: "INBOX.Trash", `\Drafts`: ""},
		"Cyrus, no use":         {`\Sent`: "INBOX.Sent Items", `\Trash`: ""},
		"Japanese":              {`\Sent`: "送信済みアイテム", `\Trash`: "ごみ箱"},
		"Japanese, Thunderbird": {`\Sent`: "送信済みトレイ", `\Trash`: "ゴミ箱"},
		"Korean":                {`\Sent`: "보낸메일함", `\Trash`: "지운 편지함", `\Junk`: "스팸메일함", `\Drafts`: "임시보관함"},
		"Greek":                 {`\Sent`: "Απεσταλμένα", `\Trash`: "Διαγραμμένα", `\Junk`: "Ανεπιθύμητη αλληλογραφία", `\Drafts`: "Πρόχειρα"},
		"Turkish":               {`\Sent`: "Gönderilmiş Öğeler", `\Trash`: "Silinmiş Öğeler", `\Junk`: "Önemsiz E-posta", `\Drafts`: "Taslaklar"},
		"old names":             {`\Junk`: "Bulk"},
		"several":               {`\Sent`: "sent", `\Trash`: "Papelera"},
		"of others":             {`\Trash`: "INBOX.Trash", `\Sent`: ""},
		"empty":                 {`\Archive`: "", `\Archive/2026`: ""},
	} {
		c := shows(t, "", lists[name]...)
		for use, mailbox := range want {
			f, err := c.Folder(context.Background(), use, false)
			if err != nil || f.Exists != (mailbox != "") || f.Exists && f.Mailbox != mailbox {
				t.Errorf("%s: %s: %+v, %v", name, use, f, err)
			}
		}
	}
}

// shows dials a server that lists these folders.
func shows(t *testing.T, caps string, lines ...string) *imapdst.Conn {
	t.Helper()
	server := listing(caps, lines...)
	return server.dial(t)
}

func listing(caps string, lines ...string) *fake {
	delimiter := lines[0][strings.IndexByte(lines[0], '"'):][:3]
	prefix := `""`
	if delimiter == `"."` {
		prefix = `"INBOX."`
		if !strings.Contains(strings.Join(lines, "\n"), "INBOX.") {
			prefix = `""`
		}
	}
	answer := []string{}
	for _, line := range lines {
		answer = append(answer, "* LIST "+line)
	}
	return &fake{caps: allCaps + caps, on: map[string]handler{
		"NAMESPACE": say(`* NAMESPACE ((`+prefix+` `+delimiter+`)) (("user." ".")) NIL`, "TAG OK done"),
		"LIST":      say(append(answer, "TAG OK done")...),
	}}
}

// TestXLIST: a server that has it, and no SPECIAL-USE, is asked for the marks; one that
// refuses it has its folders found by their names.
func TestXLIST(t *testing.T) {
	marked := []string{`* XLIST (\HasNoChildren \Inbox) "/" "Posteingang"`, `* XLIST (\Noselect) "/" "[Gmail]"`,
		`* XLIST (\Spam) "/" Werbung`, `* XLIST (\Sent \HasNoChildren) "/" "Entw&APw-rfe"`,
		`* XLIST (\Trash) "/" "elsewhere"`, "TAG OK done"}
	for name, c := range map[string]struct {
		caps       string
		answer     []string
		sent, junk string
		asked      bool
	}{
		"marked":      {" XLIST", marked, "Entwürfe", "Werbung", true},
		"refused":     {" XLIST", []string{"TAG NO what?"}, "Gesendet", "Junk", true},
		"bad":         {" XLIST", []string{"TAG BAD what?"}, "Gesendet", "Junk", true},
		"special use": {" XLIST SPECIAL-USE", marked, "Gesendet", "Junk", false},
		"not offered": {"", marked, "Gesendet", "Junk", false},
	} {
		t.Run(name, func(t *testing.T) {
			server := listing(c.caps, `() "/" INBOX`, `() "/" "[Gmail]"`, `() "/" Junk`, `() "/" Gesendet`,
				`() "/" Werbung`, `() "/" "Entw&APw-rfe"`, `() "/" Trash`)
			server.on["XLIST"] = say(c.answer...)
			conn := server.dial(t)
			for use, mailbox := range map[string]string{`\Sent`: c.sent, `\Junk`: c.junk, `\Trash`: "Trash"} {
				if f, err := conn.Folder(context.Background(), use, false); err != nil || f.Mailbox != mailbox {
					t.Errorf("%s: %+v, %v", use, f, err)
				}
			}
			sight, err := conn.Look(context.Background(), "INBOX")
			if err != nil || (sight.Uses[`\Junk`] == "Werbung") != (c.junk == "Werbung") {
				t.Errorf("%+v, %v", sight, err)
			}
			if asked := strings.Contains(server.received(), ` XLIST "" "*"`); asked != c.asked {
				t.Errorf("asked %t", asked)
			}
			before := conn.RoundTrips()
			if _, err := conn.Folder(context.Background(), `\Sent`, false); err != nil || conn.RoundTrips()-before > 2 {
				t.Errorf("%d round trips, %v", conn.RoundTrips()-before, err)
			}
		})
	}
}

// TestSpecialUseIsMade under its English name, marked where the server can; what is
// below one goes where it is.
func TestSpecialUseIsMade(t *testing.T) {
	for _, c := range []struct{ list, caps, name, sent string }{
		{"empty", "", `\Archive`, `CREATE "Archive"`},
		{"empty", " SPECIAL-USE CREATE-SPECIAL-USE", `\Archive`, `CREATE "Archive" (USE (\Archive))`},
		{"empty", " CREATE-SPECIAL-USE", `\Archive/2026`, `CREATE "Archive/2026"`},
		{"Exchange in German", "", `\Archive/2026`, `CREATE "Archiv/2026"`},
		{"Courier", "", `\Sent/2026`, `CREATE "INBOX.Sent.2026"`},
		{"Courier", "", `\Junk`, `CREATE "INBOX.Junk"`},
	} {
		server := listing(c.caps, lists[c.list]...)
		if _, err := server.dial(t).Folder(context.Background(), c.name, true); err != nil {
			t.Error(err)
		}
		if got := server.received(); !strings.Contains(got, c.sent+"\r\n") {
			t.Errorf("%q is not in %q", c.sent, got)
		}
	}
}

// TestNamesThatServersForbid: each gets another name, always the same, and no two get one.
func TestNamesThatServersForbid(t *testing.T) {
	names := map[string]string{
		"Lists/v1.2": "INBOX.Lists.v1=2E2", "Lists/v1=2E2": "INBOX.Lists.v1=3D2E2", "x=41": "INBOX.x=41",
		"v1=2e2": "INBOX.v1=2e2", "50%": "INBOX.50=25", "*": "INBOX.=2A", "../x": "INBOX.=2E=2E.x", "~root": "INBOX.=7Eroot",
		"a/~b": "INBOX.a.~b", "#news": "INBOX.=23news", "a/..": "INBOX.a.=2E=2E", "=": "INBOX.=", "=3D": "INBOX.=3D3D",
	}
	c := shows(t, "", lists["Courier"]...)
	seen := map[string]string{}
	for name, want := range names {
		f, err := c.Folder(context.Background(), name, false)
		if err != nil || f.Mailbox != want {
			t.Errorf("%q: %q, want %q, %v", name, f.Mailbox, want, err)
		}
		if seen[f.Mailbox] != "" {
			t.Errorf("%q and %q are both %q", name, seen[f.Mailbox], f.Mailbox)
		}
		seen[f.Mailbox] = name
	}
	if f, err := shows(t, "", `() "/" INBOX`, `() "/" "50%"`).Folder(context.Background(), "50%", false); !f.Exists || err != nil {
		t.Errorf("what exists is not forbidden: %+v, %v", f, err)
	}
	_, err := c.Folder(context.Background(), strings.Repeat("ü", 100), false)
	if fault.CodeOf(err) != fault.Config {
		t.Errorf("a name with more than 255 octets: %v", err)
	}
}

// TestNamesThatAProviderForbids: what no command tells is mapped by the same rules.
func TestNamesThatAProviderForbids(t *testing.T) {
	server := listing("", `() "/" INBOX`, `() "/" "old^"`, `() "/" "x=5Ey/2024"`, `() "/" "x^y/2023"`, `() "/" "=Files/2024"`)
	o := server.start(t)
	o.Forbidden = imapdst.Forbidden{Characters: `"\^`, Blanks: true, Names: []string{"Files"}}
	c := dial(t, o)
	seen := map[string]string{}
	for name, want := range map[string]string{
		"a^b": "a=5Eb", "a=5Eb": "a=3D5Eb", `c\d`: "c=5Cd", `q"r`: "q=22r", "a=22b": "a=3D22b", "a b": "a b", "old^": "old^",
		" a": "=20a", "a ": "a=20", "a  b": "a =20b", "=20a": "=3D20a", " ": "=20", "   ": "=20=20=20", "x/ y /z": "x/=20y=20/z",
		"Files": "=Files", "=Files": "=3DFiles", "==Files": "==Files", "=3DFiles": "=3D3DFiles", "files": "=files",
		"Lists/Files/2024": "Lists/=Files/2024", "Profiles": "Profiles", "Files2": "Files2", "50%": "50=25",
	} {
		f, err := c.Folder(context.Background(), name, false)
		if err != nil || f.Mailbox != want || f.Renamed != (name != want) {
			t.Errorf("%q: %+v, want %q, %v", name, f, want, err)
		}
		if seen[f.Mailbox] != "" {
			t.Errorf("%q and %q are both %q", name, seen[f.Mailbox], f.Mailbox)
		}
		seen[f.Mailbox] = name
	}
	f, err := c.Folder(context.Background(), "Files/2024", false)
	if err != nil || f.Mailbox != "=Files/2024" || !f.Exists || !strings.Contains(server.received(), `LIST "" "*Files*2024"`) {
		t.Errorf("%+v, %v", f, err)
	}
	found, err := c.Existing(context.Background(), []string{"x^y/{year}", "Files/{year}"})
	if err != nil || len(found) != 3 {
		t.Errorf("what is there in either form: %+v, %v", found, err)
	}
	if f, err := c.Folder(context.Background(), `\Archive/a^b`, false); err != nil || f.Mailbox != "Archive/a=5Eb" || !f.Renamed {
		t.Errorf("below a folder of special use: %+v, %v", f, err)
	}
}

// TestNamesBelowASpecialUse have the same forms as others: what is there already comes first,
// and what is refused is tried without dots.
func TestNamesBelowASpecialUse(t *testing.T) {
	server := listing("", `() "/" INBOX`, `(\Archive) "/" Archiv`, `() "/" "Archiv/Files"`, `() "/" "Archiv/v=2Ew"`, `() "/" "Archiv/Files/2024"`,
		`() "/" "Archiv/=Files/2025"`)
	o := server.start(t)
	o.Forbidden = imapdst.Forbidden{Names: []string{"Files"}}
	c := dial(t, o)
	for name, want := range map[string]string{`\Archive`: "Archiv", `\Archive/Files`: "Archiv/Files", `\Archive/v.w`: "Archiv/v=2Ew",
		`\Archive/x/Files`: "Archiv/x/=Files", `\Archive/v.x`: "Archiv/v.x", `\Archive/Profiles`: "Archiv/Profiles"} {
		f, err := c.Folder(context.Background(), name, false)
		plainly := strings.TrimPrefix(want, "Archiv") == strings.TrimPrefix(name, `\Archive`)
		if err != nil || f.Mailbox != want || f.Renamed == plainly {
			t.Errorf("%q: %+v, want %q, %v", name, f, want, err)
		}
	}
	if found, err := c.Existing(context.Background(), []string{`\Archive/Files/{year}`}); err != nil || len(found) != 2 {
		t.Errorf("what is there in either form: %+v, %v", found, err)
	}
}

// TestExisting finds all years of an archive, and opens nothing.
func TestExisting(t *testing.T) {
	server := listing("", `() "." INBOX`, `() "." INBOX.Archiv`, `() "." INBOX.Archiv.2024`, `(\Noselect) "." INBOX.Archiv.2023`,
		`() "." INBOX.Archiv.2025`, `() "." INBOX.Archiv.2025.04`, `() "." INBOX.Archiv.20255`, `() "." INBOX.Archiv.old`,
		`() "." INBOX.Lists.Go`, `() "." "INBOX.x=2Ey.01"`, `() "." "INBOX.&-;&APw-"`)
	found, err := server.dial(t).Existing(context.Background(), []string{"INBOX", `\Archive/{year}`, "Lists/Go", "Lists/C",
		"Lists/Go", "x.y/{month}", `\Archive/{year}/{month}`, "&;ü", "", "a//b"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, f.Name+" "+f.Mailbox)
	}
	want := []string{"INBOX INBOX", "Archiv/2024 INBOX.Archiv.2024", "Archiv/2025 INBOX.Archiv.2025", "Lists/Go INBOX.Lists.Go",
		"x=2Ey/01 INBOX.x=2Ey.01", "Archiv/2025/04 INBOX.Archiv.2025.04", "&;ü INBOX.&;ü"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(server.received(), "EXAMINE") {
		t.Error("something was opened")
	}
}

// TestOpenByTheServersName.
func TestOpenByTheServersName(t *testing.T) {
	c := shows(t, "", `() "." INBOX`, `() "." INBOX.a`)
	for mailbox, there := range map[string]bool{"INBOX": true, "INBOX.a": true, "INBOX.b": false, "a": false} {
		f, err := c.Open(context.Background(), mailbox)
		if err != nil || f.Exists != there || f.Mailbox != mailbox {
			t.Errorf("%s: %+v, %v", mailbox, f, err)
		}
	}
}

// TestFoldersBelowInboxOfCourier, which finds none of them by a pattern that has a wildcard right
// behind INBOX.
func TestFoldersBelowInboxOfCourier(t *testing.T) {
	server := listing("", `() "." INBOX`, `() "." INBOX.a`)
	all := server.on["LIST"]
	server.on["LIST"] = func(f *fake, tag, args string) {
		if strings.Contains(args, "INBOX*") && !strings.Contains(args, "*INBOX*") {
			f.send(tag + " OK done")
			return
		}
		all(f, tag, args)
	}
	c := server.dial(t)
	opened, errOpen := c.Open(t.Context(), "INBOX.a")
	found, errFolder := c.Folder(t.Context(), "INBOX/a", false)
	if err := errors.Join(errOpen, errFolder); err != nil || !opened.Exists || !found.Exists {
		t.Errorf("%+v, %+v, %v", opened, found, err)
	}
}

// TestNamesThatLookForeign: folders of the user's own that begin like another namespace, or
// like INBOX, are told of by names that lead to them.
func TestNamesThatLookForeign(t *testing.T) {
	c := shows(t, "", `() "." INBOX`, `() "." INBOX.user.bob`, `() "." user.bob`, `() "." INBOX.INBOX.x`, `() "." INBOX.Lists.Go`)
	names, err := c.Folders(context.Background())
	if want := []string{"INBOX", "INBOX/user/bob", "INBOX/INBOX/x", "Lists/Go"}; !cmp.Equal(names, want) || err != nil {
		t.Fatalf("%q, want %q, %v", names, want, err)
	}
	for name, mailbox := range map[string]string{"INBOX/user/bob": "INBOX.user.bob", "INBOX/INBOX/x": "INBOX.INBOX.x",
		"user/bob": "user.bob", "Lists/Go": "INBOX.Lists.Go"} {
		if f, err := c.Folder(context.Background(), name, false); !f.Exists || f.Mailbox != mailbox || f.Renamed {
			t.Errorf("%s is %+v, %v", name, f, err)
		}
		if f, err := c.Open(context.Background(), mailbox); f.Name != name {
			t.Errorf("%s is shown as %+v, %v", mailbox, f, err)
		}
	}
}
