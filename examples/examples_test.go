package examples_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// schema is what popferry schema prints.
const schema = "accounts.schema.json"

// load reads an example from a copy that only its owner can read, since a
// checkout makes files readable by all.
func load(t *testing.T, name string) *plan.Config {
	t.Helper()
	dir := t.TempDir()
	for _, file := range []string{name, "users.csv"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config, err := plan.Load(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// TestExamplesLoad loads every example and looks at the accounts it gives, so a
// new example without an expectation fails.
func TestExamplesLoad(t *testing.T) {
	want := map[string][]string{
		"accounts-from-csv.yaml": {"alice", "bob"},
		"oauth.yaml":             {"alice", "bob", "carol", "dave", "erin"},
		"bridge.yaml":            {"alice", "archive"},
		"minimal.yaml":           {"alice"},
		"limits.yaml":            {"alice", "bob"},
		"signing-in.yaml":        {"alice@oldisp.example", "bob@oldisp.example", "carol", "dave"},
		"several-accounts.yaml":  {"alice", "bob", "carol", "dave"},
		"migration.yaml":         {"a.adams", "b.baker", "c.clark", "d.davis"},
		"local-plaintext.yaml":   {"tunnel", "appliance"},
		"inline-passwords.yaml":  {"alice"},
		"accounts.json":          {"alice"},
		"anchors.yaml":           {"alice", "bob", "carol", "dave"},
		"routes.yaml":            {"alice"},
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := file.Name()
		ext := filepath.Ext(name)
		if ext != ".yaml" && ext != ".json" || name == schema {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, account := range load(t, name).Accounts {
				got = append(got, account.Name)
				if account.UserMismatch() {
					t.Errorf("%s: an example must not warn of its user names", account.Name)
				}
			}
			if !slices.Equal(got, want[name]) {
				t.Errorf("accounts %q, want %q", got, want[name])
			}
		})
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is expected and not there", name)
	}
}

func TestSchemaIsThatOfTheProgram(t *testing.T) {
	data, err := os.ReadFile(schema)
	if err != nil || !bytes.Equal(data, plan.Schema) {
		t.Errorf("%v; popferry schema > examples/%s", err, schema)
	}
}

func TestInlinePasswordIsReadAsItsCommentSays(t *testing.T) {
	config := load(t, "inline-passwords.yaml")
	if err := config.Resolve(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if got := config.Accounts[0].Source.Secret.Reveal(); got != `it's #1: "secret"` {
		t.Errorf("password %q", got)
	}
}

func TestMinimalHasTheDocumentedDefaults(t *testing.T) {
	a := load(t, "minimal.yaml").Accounts[0]
	if a.Source.Port != 995 || a.Destination.Port != 993 || a.Source.TLS != wire.Implicit ||
		a.Folder != "INBOX" || a.Keep.Delete || a.Seen != (plan.Seen{}) {
		t.Errorf("defaults differ: %+v", a)
	}
}

func TestAnchorsAreLaidUnder(t *testing.T) {
	config := load(t, "anchors.yaml")
	bob, dave := config.Accounts[1], config.Accounts[3]
	if bob.Source.Host != "pop.north.example" || bob.Source.TLS != wire.STARTTLS ||
		bob.Source.Username != "bob" || dave.Source.Host != "pop.south.example" {
		t.Errorf("bob %+v, dave %+v", bob.Source.Endpoint, dave.Source.Endpoint)
	}
}

func TestOAuthFlowsAreAsTheirCommentsSay(t *testing.T) {
	var got []plan.Flow
	for _, a := range load(t, "oauth.yaml").Accounts {
		for _, side := range []plan.Endpoint{a.Source, a.Destination} {
			if side.OAuth != nil {
				got = append(got, side.OAuth.Flow)
			}
		}
	}
	want := []plan.Flow{plan.DeviceFlow, plan.BrowserFlow, plan.DeviceFlow, plan.ClientCredentials,
		plan.ServiceAccount, plan.DeviceFlow, plan.DeviceFlow}
	if !slices.Equal(got, want) {
		t.Errorf("flows %q, want %q", got, want)
	}
}
