package plan_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// skipping loads a config whose source names a file of UIDLs.
func skipping(t *testing.T, uidls string) (plan.UIDLs, error) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "seen"), uidls, 0o600)
	text := strings.Replace(account(), "username: alice,", "username: alice, skip_uidls: seen,", 1)
	config, err := plan.Load(write(t, filepath.Join(dir, "accounts.yaml"), text, 0o600))
	if err != nil {
		return nil, err
	}
	return config.Accounts[0].Source.Skip, nil
}

// TestUIDLFiles: what servers give is taken, also where it breaks RFC 1939 §7.
func TestUIDLFiles(t *testing.T) {
	long := strings.Repeat("x", 1024)
	uidls, err := skipping(t, "\xef\xbb\xbf<1@x>\r\n\n"+long+"\nälter\n\n#2\n~!\"\\")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<1@x>", long, "älter", "#2", `~!"\`} {
		if !uidls.Has(want) {
			t.Errorf("%.20q is missing", want)
		}
	}
	if len(uidls) != 5 {
		t.Errorf("%d UIDLs", len(uidls))
	}
	if uidls, err := skipping(t, "\n"); err != nil || len(uidls) != 0 {
		t.Errorf("none: %q, %v", uidls, err)
	}
}

// TestUIDLsByGetmail: getmail remembers "-" for "/"; of others' lists "-" is what it is.
func TestUIDLsByGetmail(t *testing.T) {
	long := strings.Repeat("x", 1022) + "-x"
	uidls, err := skipping(t, "a-b-c getmail\nd-e\nf\n"+long+" getmail\n")
	if err != nil {
		t.Fatal(err)
	}
	for uidl, want := range map[string]bool{"a/b-c": true, "a/b/c": true, "a-b-c": true, "a-b/d": false, "d-e": true, "d/e": false, "f": true,
		long: true} {
		if uidls.Has(uidl) != want {
			t.Errorf("%.20q: %v", uidl, !want)
		}
	}
}

// TestUIDLFilesOfOthers: of a file that holds something else nothing would ever match,
// and all that was fetched would be copied again.
func TestUIDLFilesOfOthers(t *testing.T) {
	for name, line := range map[string]string{
		"fetchmail": "alice@host.example uid", "a blank behind": "uid ", "a tab": "uid\t",
		"getmail": "uid\x001700000000", "mpop": " 1 host user", "Latin-1": "\xe4lter", "a BOM inside": "\ufeffuid",
	} {
		_, err := skipping(t, "good\n\n\n"+line+"\n")
		if fault.CodeOf(err) != fault.Config || !strings.Contains(err.Error(), "line 4 of the file is no UIDL") ||
			!strings.Contains(err.Error(), "popferry import --seen") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "uid ") {
			t.Errorf("%s: shows the line: %v", name, err)
		}
	}
	_, err := skipping(t, "good\n\n"+strings.Repeat("x", 1100))
	if err == nil || !strings.Contains(err.Error(), "line 3 of the file is longer than 1024 bytes") {
		t.Errorf("too long: %v", err)
	}
}
