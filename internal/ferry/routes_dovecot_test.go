package ferry_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/plan"
)

// TestDovecotRoutes reads each folder's files: what routes lead there is there, once,
// after two runs and after one that has lost its journal and has its routes in another
// order.
func TestDovecotRoutes(t *testing.T) {
	for _, o := range []dovecot.Options{{}, {Prefix: "INBOX."}} {
		t.Run("prefix "+o.Prefix, func(t *testing.T) {
			s := startDovecot(t, o)
			want := map[string][][]byte{}
			deliver := func(folder string, raw []byte) {
				t.Helper()
				if err := s.Deliver("alice", raw); err != nil {
					t.Fatal(err)
				}
				want[folder] = append(want[folder], raw)
			}
			for i, m := range corpus.Ordinary(40, 11) {
				if i%2 == 0 {
					deliver("INBOX", append([]byte("X-Kind: plain\r\n"), m.Raw...))
					continue
				}
				folder := []string{"Entw&APw-rfe/&ZeVnLA-", "Entw&APw-rfe/R&-D"}[i/2%2] // as they are on disk
				deliver(folder, fmt.Appendf(nil, "X-Kind: =?utf-8?Q?=C3=BC_%d?=\r\n%s", i/2%2, m.Raw))
			}
			for year := 2004; year < 2008; year++ {
				deliver(fmt.Sprintf("Archive/%d", year), from("old", year, year))
			}
			config := dovecotConfig(t, s)
			kind := func(pattern, folder string) plan.Route {
				return plan.Route{Folder: folder, Match: plan.Criteria{
					Fields: []plan.FieldMatch{{Key: "header.x-kind", Pattern: pattern}}}}
			}
			config.Accounts[0].Routes = []plan.Route{
				kind("ü 0", "Entwürfe/日本"), kind("ü 1", "Entwürfe/R&D"), kind("plain", "INBOX"), route("", `\Archive/{year}`),
			}
			j := openJournal(t, t.TempDir())
			first := runFerry(t, ferry.Options{Config: config, Journal: j})
			if first.ExitCode != 0 || first.Totals.Delivered != 44 {
				t.Fatalf("first run: %+v", first)
			}
			inFiles(t, s, want)
			if again := runFerry(t, ferry.Options{Config: config, Journal: j}); again.Totals.Known != 44 {
				t.Errorf("second run: %+v", again.Totals)
			}
			v := ferry.Verify(t.Context(), ferry.Options{Config: config, Journal: j})
			if v.Totals.Found != 44 || v.ExitCode != 0 {
				t.Errorf("verify: %+v", v)
			}
			j.Close()
			slices.Reverse(config.Accounts[0].Routes)
			blank := openJournal(t, t.TempDir())
			rebuilt := runFerry(t, ferry.Options{Config: config, Journal: blank})
			if rebuilt.Totals.Delivered != 0 || rebuilt.Totals.Duplicate != 44 || rebuilt.ExitCode != 0 {
				t.Errorf("without its journal: %+v", rebuilt)
			}
			inFiles(t, s, want)
			if r := ferry.Undo(t.Context(), ferry.Options{Config: config, Journal: blank}); r.Totals.Deleted != 0 {
				t.Errorf("took back what it did not bring: %+v", r)
			}
		})
	}
}

// TestDovecotRefusesDots: a folder that is called otherwise than it was to be has all of
// its mail, equal mails included, and is found again with a journal and without.
func TestDovecotRefusesDots(t *testing.T) {
	s := startDovecot(t, dovecot.Options{})
	want := map[string][][]byte{"Lists/v1=2E2": {from("twin", 2020, 1), from("twin", 2020, 1), from("other", 2020, 2)}}
	for _, raw := range want["Lists/v1=2E2"] {
		if err := s.Deliver("alice", raw); err != nil {
			t.Fatal(err)
		}
	}
	config := dovecotConfig(t, s)
	config.Accounts[0].Routes = []plan.Route{{Folder: "Lists/v1.2", Match: plan.Criteria{
		Fields: []plan.FieldMatch{{Key: "from", Pattern: "*"}}}}}
	j := openJournal(t, t.TempDir())
	first := runFerry(t, ferry.Options{Config: config, Journal: j})
	if first.ExitCode != 0 || first.Totals.Delivered != 3 || len(first.Accounts[0].Notes) != 1 {
		t.Fatalf("first run: %+v", first)
	}
	if again := runFerry(t, ferry.Options{Config: config, Journal: j}); again.Totals.Known != 3 {
		t.Errorf("second run: %+v", again.Totals)
	}
	if v := ferry.Verify(t.Context(), ferry.Options{Config: config, Journal: j}); v.Totals.Found != 3 {
		t.Errorf("verify: %+v", v)
	}
	rebuilt := runFerry(t, ferry.Options{Config: config, Journal: openJournal(t, t.TempDir())})
	if rebuilt.Totals.Delivered != 0 || rebuilt.Totals.Duplicate != 3 {
		t.Errorf("without its journal: %+v", rebuilt)
	}
	inFiles(t, s, want)
}

// inFiles compares the files of folders with what was put into the maildrop.
func inFiles(t *testing.T, s *dovecot.Server, want map[string][][]byte) {
	t.Helper()
	for _, folder := range slices.Sorted(maps.Keys(want)) {
		sameMail(t, messages(t, s, "alice", folder), want[folder])
	}
}

// TestDovecotPublicFolder: mail for a public folder is there, and planned, found again and
// proven there, where the user's own folders have a prefix too; INBOX/ before it means one
// of the user's own that is called so.
func TestDovecotPublicFolder(t *testing.T) {
	s := startDovecot(t, dovecot.Options{Prefix: "INBOX.", Extra: `
namespace public {
  type = public
  prefix = Public.
  separator = .
  location = maildir:%h/public
  mailbox Archive {
    auto = create
  }
}
`})
	for n, sender := range []string{"any", "dated", "own"} {
		if err := s.Deliver("alice", from(sender, 2005, n)); err != nil {
			t.Fatal(err)
		}
	}
	config := dovecotConfig(t, s)
	config.Accounts[0].Folder = "Public/Archive"
	config.Accounts[0].Routes = []plan.Route{route("dated", "Public/{year}"), route("own", "INBOX/Public/Archive")}
	j := openJournal(t, t.TempDir())
	if r := runFerry(t, ferry.Options{Config: config, Journal: j}); r.Totals.Delivered != 3 || r.ExitCode != 0 {
		t.Fatalf("first run: %+v", r)
	}
	if got := messages(t, s, "alice", "Public/Archive"); len(got) != 1 {
		t.Errorf("%d messages in the folder of the user's own", len(got))
	}
	if v := ferry.Verify(t.Context(), ferry.Options{Config: config, Journal: j}); v.Totals.Found != 3 || v.ExitCode != 0 {
		t.Errorf("verify: %+v", v)
	}
	blank := openJournal(t, t.TempDir())
	plans, _ := ferry.Plans(t.Context(), ferry.Options{Config: config, Journal: blank, Spool: t.TempDir()})
	if len(plans) != 1 || plans[0].Totals().Copy.Messages != 0 || !plans[0].Destination.Exists {
		t.Errorf("plan without the journal: %+v", plans)
	}
	if r := runFerry(t, ferry.Options{Config: config, Journal: blank}); r.Totals.Duplicate != 3 || r.ExitCode != 0 {
		t.Errorf("without its journal: %+v", r)
	}
}
