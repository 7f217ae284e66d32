package imapdst_test

import (
	"context"
	"maps"
	"strings"
	"testing"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/wire"
)

// folders answers LIST with the given lines, and LIST "" "" with the delimiter.
func folders(delimiter string, lines ...string) handler {
	return func(f *fake, tag, args string) {
		if strings.HasPrefix(args, `"" ""`) {
			f.send(`* LIST (\Noselect) "` + delimiter + `" ""`)
		} else {
			say(lines...)(f, tag, args)
		}
		f.send(tag + " OK done")
	}
}

const plainInbox = `* LIST () "/" INBOX`

// TestLook: what a look at a folder tells, on servers that say much and on servers
// that say little.
func TestLook(t *testing.T) {
	yes, no := true, false
	for name, c := range map[string]struct {
		folder, caps string
		on           map[string]handler
		want         imapdst.Sight
	}{
		"subscribed, by LIST": {"Old/Mail", allCaps + " LIST-EXTENDED SPECIAL-USE", map[string]handler{
			"LIST": folders("/", plainInbox, `* LIST (\Subscribed \Archive) "/" Old/Mail`)},
			imapdst.Sight{Folder: imapdst.Folder{Mailbox: "Old/Mail", Exists: true, Messages: 3},
				Subscribed: &yes, Uses: map[string]string{`\Archive`: "Old/Mail"}}},
		"not subscribed, by LIST": {"Old", allCaps + " LIST-EXTENDED", map[string]handler{
			"LIST": folders("/", plainInbox, `* LIST () "/" Old`)},
			imapdst.Sight{Folder: imapdst.Folder{Mailbox: "Old", Exists: true, Messages: 3}, Subscribed: &no}},
		"not subscribed, by LSUB": {"Old", allCaps, map[string]handler{
			"LIST": folders("/", plainInbox, `* LIST () "/" Old`),
			"LSUB": say(`* LSUB () "/" INBOX`, `* LSUB () "/" older`, "TAG OK done")},
			imapdst.Sight{Folder: imapdst.Folder{Mailbox: "Old", Exists: true, Messages: 3}, Subscribed: &no}},
		"LSUB refused": {"Old", allCaps, map[string]handler{
			"LIST": folders("/", plainInbox, `* LIST () "/" Old`), "LSUB": say("TAG BAD what?")},
			imapdst.Sight{Folder: imapdst.Folder{Mailbox: "Old", Exists: true, Messages: 3}}},
		"a name in UTF-7, by LSUB": {"Über", allCaps, map[string]handler{
			"LIST": folders("/", plainInbox, `* LIST () "/" "&ANw-ber"`),
			"LSUB": say(`* LSUB () "/" "&ANw-ber"`, "TAG OK done")},
			imapdst.Sight{Folder: imapdst.Folder{Mailbox: "Über", Exists: true, Messages: 3}, Subscribed: &yes}},
		"in another case": {"old/mail", allCaps, map[string]handler{
			"LIST": folders("/", plainInbox, `* LIST () "/" Old/Mail`)},
			imapdst.Sight{Folder: imapdst.Folder{Mailbox: "old/mail"}, Namesake: "Old/Mail"}},
		"a level only": {"old", allCaps, map[string]handler{
			"LIST": folders("/", plainInbox, `* LIST (\Noselect) "/" old`, `* LIST () "/" old/to`)},
			imapdst.Sight{Folder: imapdst.Folder{Mailbox: "old"}}},
		"a level only, in another case": {"old", allCaps, map[string]handler{
			"LIST": folders("/", plainInbox, `* LIST (\Noselect) "/" Old`, `* LIST () "/" Old/to`)},
			imapdst.Sight{Folder: imapdst.Folder{Mailbox: "old"}}},
		"a level, and another case": {"old", allCaps, map[string]handler{
			"LIST": folders("/", plainInbox, `* LIST (\Noselect) "/" old`, `* LIST () "/" OLD`)},
			imapdst.Sight{Folder: imapdst.Folder{Mailbox: "old"}, Namesake: "OLD"}},
		"a use that no folder has": {`\Sent`, allCaps, map[string]handler{"LIST": folders("/", plainInbox)},
			imapdst.Sight{Folder: imapdst.Folder{Mailbox: "Sent"}}},
		"read only": {"INBOX", allCaps + " ACL", map[string]handler{
			"MYRIGHTS": say(`* MYRIGHTS "INBOX" "lrs"`, "TAG OK done"), "LSUB": say("TAG OK done")},
			imapdst.Sight{Folder: imapdst.Folder{Mailbox: "INBOX", Exists: true, Messages: 3}, Subscribed: &no,
				ReadOnly: true}},
		"all rights": {"INBOX", allCaps + " ACL", map[string]handler{
			"MYRIGHTS": say(`* MYRIGHTS INBOX lrswipkxtea`, "TAG OK done"), "LSUB": say("TAG OK done")},
			imapdst.Sight{Folder: imapdst.Folder{Mailbox: "INBOX", Exists: true, Messages: 3}, Subscribed: &no}},
		"rights that make no sense": {"INBOX", allCaps + " ACL", map[string]handler{
			"MYRIGHTS": say(`* MYRIGHTS INBOX (l r)`, "TAG OK done"), "LSUB": say("TAG OK done")},
			imapdst.Sight{Folder: imapdst.Folder{Mailbox: "INBOX", Exists: true, Messages: 3}, Subscribed: &no}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{caps: c.caps, on: c.on}
			conn := f.dial(t)
			got, err := conn.Look(context.Background(), c.folder)
			if err != nil {
				t.Fatal(err)
			}
			if got.Mailbox != c.want.Mailbox || got.Exists != c.want.Exists ||
				got.Messages != c.want.Messages || got.ReadOnly != c.want.ReadOnly ||
				got.Namesake != c.want.Namesake || !maps.Equal(got.Uses, c.want.Uses) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			if (got.Subscribed == nil) != (c.want.Subscribed == nil) ||
				got.Subscribed != nil && *got.Subscribed != *c.want.Subscribed {
				t.Errorf("subscribed %v, want %v", got.Subscribed, c.want.Subscribed)
			}
			for _, verb := range []string{" CREATE ", " SELECT ", " SUBSCRIBE ", " APPEND "} {
				if strings.Contains(f.received(), verb) {
					t.Errorf("sent %s in:\n%s", verb, f.received())
				}
			}
			if _, err := conn.Look(context.Background(), "INBOX"); err != nil {
				t.Errorf("the connection is no good any more: %v", err)
			}
		})
	}
}

// TestLookAtDovecot: the real one has LIST-EXTENDED.
func TestLookAtDovecot(t *testing.T) {
	s := startDovecot(t, dovecot.Options{Prefix: "INBOX."})
	for _, folder := range []string{"Old", "bob/To"} {
		if err := s.DeliverTo("alice", folder, text(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(t, options(endpoint(t, s.IMAPS, wire.Implicit, s.Files.CA)))
	got, err := c.Look(context.Background(), "Old")
	if err != nil || !got.Exists || got.Mailbox != "INBOX.Old" || got.Subscribed == nil || *got.Subscribed {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := c.Look(context.Background(), "New"); err != nil || got.Exists || got.Mailbox != "INBOX.New" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.Folder(context.Background(), "New", true); err != nil { // makes and subscribes it
		t.Fatal(err)
	}
	if got, err := c.Look(context.Background(), "bob"); err != nil || got.Exists || got.Namesake != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := c.Look(context.Background(), "New"); err != nil || got.Subscribed == nil || !*got.Subscribed {
		t.Errorf("%+v, %v", got, err)
	}
	if state, ok := c.TLS(); !ok || len(state.PeerCertificates) == 0 || c.Mechanism() != "PLAIN" {
		t.Errorf("TLS %v, mechanism %q", ok, c.Mechanism())
	}
}

// TestMayInsert: mail can be put into a folder unless the rights say otherwise (RFC 4314 §4), or
// SELECT does (RFC 3501 §7.1). The folder is left open to read.
func TestMayInsert(t *testing.T) {
	selected := func(lines ...string) handler {
		return func(f *fake, tag, _ string) {
			f.selectLines()
			say(lines...)(f, tag, "")
		}
	}
	writable := selected("TAG OK [READ-WRITE] done")
	for name, c := range map[string]struct {
		caps string
		on   map[string]handler
		want bool
	}{
		"all":          {allCaps, map[string]handler{"SELECT": writable}, true},
		"read-only":    {allCaps, map[string]handler{"SELECT": selected("TAG OK [READ-ONLY] done")}, false},
		"no insertion": {allCaps + " ACL", map[string]handler{"MYRIGHTS": say("* MYRIGHTS INBOX lrste", "TAG OK done")}, false},
		"insertion": {allCaps + " ACL", map[string]handler{"SELECT": writable,
			"MYRIGHTS": say("* MYRIGHTS INBOX lrsite", "TAG OK done")}, true},
		"rights not told": {allCaps + " ACL", map[string]handler{"SELECT": writable, "MYRIGHTS": say("TAG NO no")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{caps: c.caps, on: c.on}
			got, err := f.dial(t).MayInsert(context.Background(), inboxFolder)
			if got != c.want || err != nil {
				t.Errorf("%v, %v", got, err)
			}
			wire := f.received()
			if strings.LastIndex(wire, "SELECT") > strings.LastIndex(wire, "EXAMINE") {
				t.Errorf("it is left open to change:\n%s", wire)
			}
		})
	}
}
