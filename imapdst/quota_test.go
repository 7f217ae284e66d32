package imapdst_test

import (
	"context"
	"strings"
	"testing"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/wire"
)

var unlimited = imapdst.Room{Octets: imapdst.NoLimit, Messages: imapdst.NoLimit}

const quotaCaps = allCaps + " QUOTA"

// TestRoom reads what servers say of quotas, in the forms in which they do, and in
// none that could end the session.
func TestRoom(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		want  imapdst.Room
	}{
		"one root": {[]string{`* QUOTAROOT INBOX ""`, `* QUOTA "" (STORAGE 10 512)`, "TAG OK done"},
			imapdst.Room{Octets: 502 << 10, Messages: imapdst.NoLimit}},
		"a root without resources, as Courier has it": {[]string{`* QUOTAROOT "INBOX" "ROOT"`, `* QUOTA "ROOT"`,
			"TAG OK GETQUOTAROOT Ok."}, imapdst.Room{Octets: imapdst.NoLimit, Messages: imapdst.NoLimit}},
		"both resources": {[]string{`* QUOTAROOT "INBOX" "User quota"`,
			`* QUOTA "User quota" (MESSAGE 7 10 STORAGE 0 1)`, "TAG OK done"},
			imapdst.Room{Octets: 1 << 10, Messages: 3}},
		"the tightest of two": {[]string{`* QUOTAROOT inbox user.alice "do&main"`,
			`* QUOTA user.alice (STORAGE 5 10)`, `* QUOTA "do&main" (STORAGE 97 100 X-ANNOTATION 9 9)`, "TAG OK done"},
			imapdst.Room{Octets: 3 << 10, Messages: imapdst.NoLimit}},
		"full, and more": {[]string{`* QUOTAROOT INBOX x`, `* QUOTA x (storage 11 10 message 5 5)`, "TAG OK done"},
			imapdst.Room{}},
		"far over the limit": {[]string{`* QUOTAROOT INBOX x`, `* QUOTA x (STORAGE 9223372036854775807 1)`, "TAG OK done"},
			imapdst.Room{Octets: 0, Messages: imapdst.NoLimit}},
		"a root without limits": {[]string{`* QUOTAROOT INBOX x`, `* QUOTA x ()`, "TAG OK done"}, unlimited},
		"a limit of 0":          {[]string{`* QUOTAROOT INBOX x`, `* QUOTA x (STORAGE 5 0)`, "TAG OK done"}, unlimited},
		"no root":               {[]string{`* QUOTAROOT INBOX`, "TAG OK done"}, unlimited},
		"a root in a literal": {[]string{"* QUOTAROOT INBOX {1}\r\nx", "* QUOTA {1}\r\nx (STORAGE 1 2)", "TAG OK done"},
			imapdst.Room{Octets: 1 << 10, Messages: imapdst.NoLimit}},
		"numbers out of range": {[]string{`* QUOTAROOT INBOX x`,
			`* QUOTA x (STORAGE -5 99999999999999999999 MESSAGE a b STORAGE 1)`, "TAG OK done"}, unlimited},
		"the largest numbers": {[]string{`* QUOTAROOT INBOX x`,
			`* QUOTA x (STORAGE 0 9223372036854775807 MESSAGE 0 9223372036854775807)`, "TAG OK done"},
			imapdst.Room{Octets: 9223372036854774784, Messages: 9223372036854775807}},
		"refused":        {[]string{"TAG NO [NOPERM] not yours"}, unlimited},
		"not understood": {[]string{"TAG BAD what?"}, unlimited},
		"another's":      {[]string{`* QUOTAROOT Other x`, `* QUOTA x (STORAGE 5 10)`, "TAG OK done"}, unlimited},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{caps: quotaCaps, on: map[string]handler{"GETQUOTAROOT": say(c.lines...)}}
			conn := f.dial(t)
			if got, err := conn.Room(context.Background(), inboxFolder); err != nil || got != c.want {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
			if _, err := conn.Folder(context.Background(), "INBOX", false); err != nil {
				t.Errorf("the connection is no good any more: %v", err)
			}
		})
	}
}

// TestRoomOfHostileServer: nonsense ends the session with its class of error.
func TestRoomOfHostileServer(t *testing.T) {
	for name, h := range map[string]handler{
		"paren bomb":       say("* QUOTA x " + strings.Repeat("(", 60_000)),
		"endless roots":    say("* QUOTAROOT INBOX " + strings.Repeat("x ", 60_000)),
		"endless root":     say("* QUOTA " + strings.Repeat("x", 1<<20)),
		"literal bomb":     say("* QUOTAROOT INBOX {9999999999}"),
		"list for mailbox": say("* QUOTAROOT (", "TAG OK done"),
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{caps: quotaCaps, on: map[string]handler{"GETQUOTAROOT": h}}
			if _, err := f.dial(t).Room(context.Background(), inboxFolder); fault.CodeOf(err) != fault.Protocol {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestRoomIsNotAsked where the server has no quotas, and of INBOX in place of a
// folder that is not there.
func TestRoomIsNotAsked(t *testing.T) {
	f := &fake{}
	if room, err := f.dial(t).Room(context.Background(), inboxFolder); err != nil || room != unlimited {
		t.Errorf("%+v, %v", room, err)
	}
	if strings.Contains(f.received(), "QUOTA") {
		t.Error("it was asked")
	}
	f = &fake{caps: quotaCaps}
	if _, err := f.dial(t).Room(context.Background(), imapdst.Folder{Mailbox: "Archive"}); err != nil {
		t.Error(err)
	}
	if !strings.Contains(f.received(), `GETQUOTAROOT "INBOX"`) && !strings.Contains(f.received(), `GETQUOTAROOT INBOX`) {
		t.Errorf("sent %q", f.received())
	}
}

// TestRoomOfDovecot asks the real one.
func TestRoomOfDovecot(t *testing.T) {
	s := startDovecot(t, dovecot.Options{Quota: "storage=100k:messages=10"})
	c := dial(t, options(endpoint(t, s.IMAP, wire.None, "")))
	f := folder(t, c, "Lists/Über")
	for i := range 2 {
		room, err := c.Room(context.Background(), f)
		// Dovecot counts whole units of 1,024 octets.
		if err != nil || room.Messages != int64(10-i) || room.Octets < int64(99-10*i)<<10 || room.Octets > int64(100-10*i)<<10 {
			t.Errorf("after %d messages: %+v, %v", i, room, err)
		}
		if o := deliver(t, c, f, []imapdst.Item{item(text(i, 10<<10))})[0]; o.State != imapdst.Delivered {
			t.Fatalf("%+v", o)
		}
	}
	o := deliver(t, c, f, []imapdst.Item{item(text(3, 90<<10))})[0]
	if o.State != imapdst.Refused || fault.CodeOf(o.Err) != fault.Refused {
		t.Errorf("over the quota: %+v", o)
	}
}
