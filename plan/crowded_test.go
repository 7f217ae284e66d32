package plan_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/plan"
)

// TestCrowded: folders are counted with those that they are in, each once, and without what
// is the server's.
func TestCrowded(t *testing.T) {
	small := plan.Ways{Provider: "Example Mail", Folders: 4, FolderDepth: 3}
	const many = "mail may go to %d folders, with those that they are in, and the smallest account at Example Mail has 4 of its own at most"
	for _, c := range []struct {
		ways    plan.Ways
		folders []string
		want    []string
	}{
		{small, []string{"INBOX"}, nil},
		{small, []string{"INBOX", "a/b/c", "a/b", "a/b/d"}, nil},
		{small, []string{"INBOX", "a/b/c", "a/b", "a/b/d", "e"}, []string{fmt.Sprintf(many, 5)}},
		{small, []string{"e", "a/b/c", "a/b", "a/b/d"}, []string{fmt.Sprintf(many, 5)}},
		{small, []string{"INBOX", `\Archive`, `\Sent`, `\Junk`, `\Trash`, `\Drafts`, `\Archive/{year}`, "INBOX/a"}, nil},
		{small, []string{"INBOX", "a/b/c/{year}"}, []string{"folder a/b/c/{year} has 4 levels, and the smallest account at Example Mail has 3 at most"}},
		{plan.Ways{Provider: "Example Mail"}, []string{"a/b/c/d/e/f/g"}, nil},
		{plan.Ways{}, []string{"a/b/c/d/e/f/g"}, nil},
	} {
		a := plan.Account{Folder: c.folders[0]}
		for _, name := range c.folders[1:] {
			a.Routes = append(a.Routes, plan.Route{Folder: name})
		}
		a.Destination.Ways = c.ways
		if diff := cmp.Diff(c.want, a.Crowded(c.ways)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.folders, diff)
		}
		if diff := cmp.Diff(c.want, a.Warnings()); diff != "" {
			t.Errorf("%q: the plan (-want +got):\n%s", c.folders, diff)
		}
	}
}

// TestCrowdedTogether: what counts is what all accounts with one destination may fill.
func TestCrowdedTogether(t *testing.T) {
	var b strings.Builder
	b.WriteString("accounts:\n")
	for _, name := range []string{"a", "b", "c"} {
		fmt.Fprintf(&b, "  - {name: %s, folder: Old/%s, source: {host: pop.example.org, username: %[1]s, password: x},\n"+
			"     destination: {host: imap.example.net, username: team, password: x, different_user: true}}\n", name, name)
	}
	path := filepath.Join(t.TempDir(), "accounts.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := plan.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for most, warns := range map[int]int{3: 1, 4: 0} {
		for _, a := range config.Accounts {
			if got := a.Crowded(plan.Ways{Provider: "Example Mail", Folders: most}); len(got) != warns {
				t.Errorf("%s, %d folders: %q", a.Name, most, got)
			}
		}
	}
}
