//go:build unix

package plan_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
)

func TestCredential(t *testing.T) {
	dir, passed := t.TempDir(), t.TempDir()
	write(t, filepath.Join(passed, "alice-pop"), "word\n", 0o400)
	write(t, filepath.Join(passed, "empty"), "\n", 0o400)
	write(t, filepath.Join(passed, "loose"), "correct-horse1", 0o440)
	const remedy = "write LoadCredential=alice-pop:/path/of/the/password into the [Service] section"

	t.Setenv("CREDENTIALS_DIRECTORY", "")
	refused(t, dir, "{credential: alice-pop}",
		"credential alice-pop was not passed on, since CREDENTIALS_DIRECTORY is not set; "+remedy)

	t.Setenv("CREDENTIALS_DIRECTORY", passed)
	refused(t, dir, "{credential: empty}", "credential empty gives an empty password")
	refused(t, dir, "{credential: absent}", "credential absent does not exist; write LoadCredential=absent:/")
	config := load(t, dir, "{credential: alice-pop}")
	if err := config.Resolve(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if got := config.Accounts[0].Source.Secret.Reveal(); got != "word" {
		t.Errorf("%q", got)
	}
	err := load(t, dir, "{credential: loose}").Resolve(context.Background(), nil)
	if fault.CodeOf(err) != fault.Credentials || !strings.Contains(err.Error(), "open to other users") {
		t.Errorf("code %v: %v", fault.CodeOf(err), err)
	}
}

// TestCredentialOfRoot: where the unit has a user of its own, systemd keeps the file
// root's and lets the user read it by an access control list; the mode then looks as
// if a group could read it.
func TestCredentialOfRoot(t *testing.T) {
	passed := t.TempDir()
	for name, mode := range map[string]os.FileMode{"listed": 0o440, "open": 0o444} {
		path := write(t, filepath.Join(passed, name), "word", mode)
		if err := os.Chown(path, os.Geteuid()+1, -1); err != nil {
			t.Skipf("only root can give files away: %v", err)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", passed)
	if err := load(t, t.TempDir(), "{credential: listed}").Resolve(context.Background(), nil); err != nil {
		t.Error(err)
	}
	err := load(t, t.TempDir(), "{credential: open}").Resolve(context.Background(), nil)
	if fault.CodeOf(err) != fault.Credentials {
		t.Errorf("code %v: %v", fault.CodeOf(err), err)
	}
}
