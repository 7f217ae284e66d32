package house_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/popferry/popferry"

// allowed says which packages of ours each package may import. Whatever is not
// in the table may import nothing of ours, so that a new package has to be put
// into it, which is the moment to think about its place.
var allowed = map[string][]string{
	// Level 0: vocabulary and ground. They import each other only downwards.
	"internal/fault":   {},
	"internal/secret":  {},
	"internal/house":   {},
	"internal/wire":    {"internal/fault", "internal/secret"},
	"internal/message": {"internal/fault"},
	"internal/sasl":    {"internal/fault", "internal/secret"},
	"internal/private": {},
	"internal/program": {},
	"internal/sheet":   {},

	// Level 1: the two protocols and the plan. None knows another.
	"pop": {"internal/fault", "internal/sasl", "internal/secret", "internal/wire"},
	"imapdst": {
		"internal/fault", "internal/message", "internal/sasl", "internal/secret", "internal/wire",
	},
	"plan": {
		"internal/fault", "internal/message", "internal/program", "internal/sasl", "internal/secret",
		"internal/sheet", "internal/wire",
	},

	// What is known of providers is laid under what the plan says.
	"internal/provider": {"internal/fault", "plan"},

	// Level 2: the durable record knows no network.
	"internal/journal":             {"internal/fault", "internal/message", "internal/private", "plan"},
	"internal/journal/journaltest": {"internal/fault", "internal/journal", "internal/message"},

	// It gets tokens, over HTTPS, for what the plan says.
	"internal/oauth": {"internal/fault", "internal/private", "internal/secret", "internal/wire", "plan"},

	// Level 3: it opens both sides of an account.
	"internal/signin": {"imapdst", "internal/fault", "internal/sasl", "internal/secret", "plan", "pop"},

	// It knows what may be carried now.
	"internal/limits": {"internal/fault", "plan"},

	// It knows who has to wait for whom.
	"internal/places": {"imapdst", "internal/fault", "plan"},

	// Level 4: the engine knows nobody who looks at it.
	"internal/ferry": {
		"imapdst", "internal/fault", "internal/journal", "internal/limits", "internal/message", "internal/places",
		"internal/sasl", "internal/signin", "plan", "pop",
	},

	"internal/ferry/sim":   {},
	"internal/ferry/steps": {},

	// Level 5: those who look at it.
	"internal/check": {
		"imapdst", "internal/fault", "internal/ferry", "internal/oauth", "internal/provider", "internal/sasl", "internal/signin",
		"internal/wire", "plan", "pop",
	},
	"internal/report": {
		"internal/check", "internal/fault", "internal/ferry", "internal/journal", "internal/message", "plan",
	},
	"internal/bridge": {"internal/fault", "internal/ferry", "internal/journal"},
	"internal/post": {
		"internal/bridge", "internal/fault", "internal/program", "internal/report", "internal/secret", "internal/wire", "plan",
	},
	"internal/page": {
		"internal/bridge", "internal/fault", "internal/ferry", "internal/journal", "internal/report",
		"internal/secret", "internal/wire",
	},
	"internal/foreign":  {"internal/discover", "internal/fault", "internal/provider", "internal/sheet", "plan"},
	"internal/discover": {"internal/fault", "internal/provider", "internal/wire"},
	"internal/handover": {"internal/discover", "internal/fault", "internal/provider", "internal/wire", "plan"},
	"internal/demo": {
		"imapdst", "internal/fault", "internal/ferry", "internal/journal", "internal/message",
		"internal/mailtest/certs", "internal/mailtest/corpus", "internal/mailtest/popd",
		"internal/report", "plan",
	},

	"examples": {},

	// voyage runs the engine between test servers, step by step.
	"internal/mailtest/wordings": {"internal/fault"},
	"internal/mailtest/voyage": {
		"imapdst", "internal/fault", "internal/ferry", "internal/journal", "internal/message",
		"internal/secret", "internal/wire", "plan", "pop",
	},
}

// mailtest holds servers and mail for tests, the demo and the benchmark. They
// may use each other, and nothing of what they test.
const mailtest = "internal/mailtest/"

// tools are mains: nobody imports them, and they may import what they need.
var tools = []string{"cmd/popferry", "internal/bench", "internal/interop", "internal/torture"}

// doors are the libraries that only one package may import outside of tests and
// test servers.
var doors = map[string][]string{
	"github.com/knadh/go-pop3":       {"pop"},
	"github.com/emersion/go-imap/v2": {"imapdst", "internal/demo"},
	"github.com/emersion/go-sasl":    {"internal/sasl"},
	"github.com/xdg-go/scram":        {"internal/sasl"},
	"modernc.org/sqlite":             {"internal/journal"},
	"gopkg.in/yaml.v3":               {"plan"},
	"github.com/schollz/progressbar": {"internal/report"},
	"github.com/spf13/cobra":         {"cmd/popferry"},
	"github.com/zalando/go-keyring":  {"internal/oauth", "plan"},
	"golang.org/x/oauth2":            {"internal/oauth"},
	"github.com/prometheus":          {"internal/page"},
}

type listed struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p listed
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < len(allowed) {
		t.Fatalf("go list found %d packages only", len(all))
	}
	return all
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestImportsFollowTheTable(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if slices.Contains(tools, name) {
			continue
		}
		may, known := allowed[name]
		inMailtest := strings.HasPrefix(name, mailtest)
		if !known && !inMailtest {
			t.Errorf("%s is not in the table", name)
		}
		for _, path := range p.Imports {
			ours, isOurs := strings.CutPrefix(path, module+"/")
			if isOurs && inMailtest && strings.HasPrefix(ours, mailtest) {
				continue
			}
			if isOurs && !slices.Contains(may, ours) {
				t.Errorf("%s may not import %s", name, ours)
			}
		}
	}
}

func TestLibrariesStayBehindTheirDoor(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, path := range p.Imports {
			for library, may := range doors {
				if strings.HasPrefix(path, library) && !slices.Contains(may, name) {
					t.Errorf("%s may not import %s", name, path)
				}
			}
		}
	}
}

func TestTopLevel(t *testing.T) {
	want := []string{
		"CHANGELOG.md", "LICENSE", "Makefile", "README.md", "SECURITY.md", "cmd", "docs",
		"examples", "go.mod", "go.sum", "imapdst", "internal", "plan", "pop",
	}
	cmd := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		// Not a checkout: then the folder itself is what was handed out.
		entries, err := os.ReadDir(cmd.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			out = append(out, e.Name()+"\n"...)
		}
	}
	for _, path := range strings.Fields(string(out)) {
		top, _, _ := strings.Cut(path, "/")
		if !strings.HasPrefix(top, ".") && !slices.Contains(want, top) {
			t.Errorf("%s does not belong at the top level", top)
		}
	}
}

// TestREADMENamesTheModules that go.mod asks for itself, of which each is to have its reason.
func TestREADMENamesTheModules(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root(t), name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	_, listed, _ := strings.Cut(read("README.md"), "\n## Dependencies\n")
	named := 0
	for line := range strings.Lines(read("go.mod")) {
		path, _, required := strings.Cut(strings.TrimSpace(line), " v")
		if !required || strings.Contains(line, "// indirect") {
			continue
		}
		if named++; !strings.Contains(listed, path) {
			t.Errorf("the dependencies of README.md lack %s", path)
		}
	}
	if named < 20 {
		t.Errorf("%d modules only", named)
	}
}
