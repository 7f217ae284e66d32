//go:build unix

package plan_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/program"
	"github.com/popferry/popferry/plan"
)

// load writes accounts.yaml with one password reference for the source.
func load(t *testing.T, dir, password string) *plan.Config {
	t.Helper()
	text := strings.NewReplacer("{env: A}", password, "{env: B}", "unused").Replace(account())
	config, err := plan.Load(write(t, filepath.Join(dir, "accounts.yaml"), text, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "plain"), "  blanks kept \n", 0o600)
	write(t, filepath.Join(dir, "windows"), "word\r\n", 0o400)
	write(t, filepath.Join(dir, "notepad"), "\ufeffword\r\n", 0o600)
	write(t, filepath.Join(dir, "none"), "no newline", 0o600)
	write(t, filepath.Join(dir, "long"), strings.Repeat("x", 64<<10)+"\n", 0o600)
	write(t, filepath.Join(dir, "say"), "#!/bin/sh\necho \"said $1\"\n", 0o700)
	t.Setenv("POPFERRY_TEST", `p"a's\s #:é`)
	for reference, want := range map[string]string{
		"{env: POPFERRY_TEST}": `p"a's\s #:é`,
		"{file: plain}":        "  blanks kept ",
		"{file: windows}":      "word",
		"{file: notepad}":      "word",
		"{file: none}":         "no newline",
		"{file: long}":         strings.Repeat("x", 64<<10),
		"{file: " + filepath.Join(dir, "none") + "}":  "no newline",
		"{command: [./say, 'a  $HOME; b']}":           "said a  $HOME; b",
		"{command: [sh, -c, 'printf x; echo y >&2']}": "x",
		"{command: [cat, plain]}":                     "  blanks kept ",
		"'inline '":                                   "inline ",
	} {
		config := load(t, dir, reference)
		if err := config.Resolve(context.Background(), []string{"alice"}); err != nil {
			t.Errorf("%s: %v", reference, err)
			continue
		}
		if got := config.Accounts[0].Source.Secret.Reveal(); got != want {
			t.Errorf("%s: %q, want %q", reference, got, want)
		}
	}
}

func TestResolveMistakes(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "empty"), "\n", 0o600)
	write(t, filepath.Join(dir, "lines"), "correct\nhorse1\n", 0o600)
	write(t, filepath.Join(dir, "two-ends"), "correct-horse1\n\n", 0o600)
	write(t, filepath.Join(dir, "nul"), "correct-horse1\x00", 0o600)
	write(t, filepath.Join(dir, "utf-16"), "\xff\xfec\x00o\x00r\x00\r\x00\n\x00", 0o600)
	write(t, filepath.Join(dir, "cut"), "\ufeff"+strings.Repeat("x", 64<<10+1), 0o600)
	write(t, filepath.Join(dir, "huge"), strings.Repeat("x", 1<<20), 0o600)
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("POPFERRY_EMPTY", "")
	t.Setenv("POPFERRY_LINES", "correct-horse1\n")
	file := "password file " + dir
	for reference, want := range map[string]string{
		"{env: POPFERRY_UNSET}":   "environment variable POPFERRY_UNSET is not set",
		"{env: correcthorse1}":    "environment variable (its name is not shown, as it could be the password itself) is not set",
		"{env: 6CORRECT}":         "environment variable (its name is not shown",
		"{env: _6}":               "environment variable _6 is not set",
		"{env: POPFERRY_EMPTY}":   "environment variable POPFERRY_EMPTY gives an empty password",
		"{env: POPFERRY_LINES}":   "environment variable POPFERRY_LINES gives more than one line",
		"{file: absent}":          file + "/absent does not exist",
		"{file: .}":               file + " cannot be read: is a directory",
		"{file: empty}":           file + "/empty gives an empty password",
		"{file: lines}":           file + "/lines gives more than one line",
		"{file: cut}":             file + "/cut gives more than 65536 bytes",
		"{file: two-ends}":        file + "/two-ends gives more than one line",
		"{file: nul}":             file + "/nul gives more than one line",
		"{file: utf-16}":          file + "/utf-16 gives UTF-16",
		"{file: huge}":            file + "/huge gives more than 65536 bytes",
		"{file: fifo}":            file + "/fifo gives an empty password",
		"{command: [no-such-pg]}": "password command no-such-pg failed: executable file not found",
		"{command: [sh, -c, 'echo correct-horse1; echo; exit 0']}": "gives more than one line",
		"{command: [sh, -c, 'sleep 2 & echo correct-horse1']}":     "password command sh ended and left a program at work",
		"{command: ['true']}":                         "password command true gives an empty password",
		"{command: [sh, -c, 'yes | head -c 100000']}": "password command sh printed more than 65536",
	} {
		checkMistake(t, dir, reference, fault.Config, want)
	}
}

func checkMistake(t *testing.T, dir, reference string, code fault.Code, want string) {
	t.Helper()
	err := load(t, dir, reference).Resolve(context.Background(), nil)
	if fault.CodeOf(err) != code {
		t.Errorf("%s: code %v of %v", reference, fault.CodeOf(err), err)
		return
	}
	prefix := filepath.Join(dir, "accounts.yaml") + `:2:64: account "alice": `
	if !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), want) {
		t.Errorf("%s:\n%v\nwant %s", reference, err, prefix+want)
	}
	if strings.Contains(err.Error(), "correct") {
		t.Errorf("%s: a password in %v", reference, err)
	}
}

// TestPasswordCommandThatFails may work later, as when the vault that it asks is there again;
// unless something has to be mended as well.
func TestPasswordCommandThatFails(t *testing.T) {
	dir := t.TempDir()
	for reference, want := range map[string]string{
		`{command: [sh, -c, 'echo correct-horse1; printf "\033[1mlocked" >&2; exit 3']}`: `password ` +
			`command sh failed: exit status 3; it said: \x1b[1mlocked`,
		"{command: [sh, -c, 'set -x; echo correct-horse1; false']}":                                  "it said: + echo ***\\x0a+ false",
		"{command: [sh, -c, 'echo correct-horse1; echo alice; echo got correct-horse1 >&2; false']}": "it said: got ***;",
		"{command: [sh, -c, 'kill -9 $$']}":                                                          "failed: signal: killed",
	} {
		checkMistake(t, dir, reference, fault.Temporary, want)
	}
	text := strings.NewReplacer("{env: A}", "{command: ['false']}", "{env: B}", "{env: POPFERRY_UNSET}").Replace(account())
	if err := parse(t, text).Resolve(context.Background(), nil); fault.CodeOf(err) != fault.Config {
		t.Errorf("with a mistake: code %v: %v", fault.CodeOf(err), err)
	}
}

// TestResolveTellsAllMistakesAtOnce also holds their order, and that a broken
// default is told once.
func TestResolveTellsAllMistakesAtOnce(t *testing.T) {
	text := `
defaults:
  source: {host: pop.example.org, password: {env: POPFERRY_UNSET_1}}
  destination: {host: imap.example.net}
accounts:
  - {source: {username: a}, destination: {username: a, password: {env: POPFERRY_UNSET_2}}}
  - {source: {username: b}, destination: {username: b, password: {env: POPFERRY_UNSET_3}}}
`
	err := parse(t, text).Resolve(context.Background(), nil)
	want := `accounts.yaml:3:45: defaults: environment variable POPFERRY_UNSET_1 is not set; export it where popferry is run
accounts.yaml:6:66: account "a": environment variable POPFERRY_UNSET_2 is not set; export it where popferry is run
accounts.yaml:7:66: account "b": environment variable POPFERRY_UNSET_3 is not set; export it where popferry is run`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
	err = parse(t, text).Resolve(context.Background(), []string{"b"})
	if err == nil || strings.Contains(err.Error(), `"a"`) || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("for b alone: %v", err)
	}
}

// TestLoadTellsOfSecretsBesideMistakes: whoever mends a typing mistake should not
// learn from the next attempt that a password is missing. No program is started.
func TestLoadTellsOfSecretsBesideMistakes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "accounts.yaml")
	write(t, filepath.Join(dir, "empty"), "", 0o600)
	write(t, filepath.Join(dir, "lines"), "correct\nhorse1\n", 0o600)
	write(t, filepath.Join(dir, "loose"), "correct-horse1", 0o644)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("POPFERRY_SET", "x")
	write(t, path, `
defaults: {source: {host: pop.example.org}, destination: {host: imap.example.net}}
accounts:
  - source: {username: a, password: {env: POPFERRY_UNSET}}
    destination: {username: a, password: {file: absent}}
  - source: {username: b, password: {file: empty}}
    foldr: x
    destination: {username: b, password: {file: lines}}
  - source: {username: c, password: {file: loose}}
    destination: {username: c, password: {command: [touch, ran]}}
  - source: {password: {env: POPFERRY_UNSET}}
    destination: {username: d, password: {file: pipe}}
  - source: {username: e, password: {env: POPFERRY-UNSET, file: absent}}
    destination: {username: e, password: {env: POPFERRY_SET}}
  - nonsense
`, 0o600)
	_, err := plan.Load(path)
	want := strings.NewReplacer("YAML", path, "DIR", dir).Replace(
		`YAML:4:37: account "a": environment variable POPFERRY_UNSET is not set; export it where popferry is run
YAML:5:42: account "a": password file DIR/absent does not exist; a relative path counts from the folder of accounts.yaml
YAML:6:37: account "b": password file DIR/empty gives an empty password; it must give the password alone
YAML:7:5: account "b": unknown key "foldr"; did you mean "folder"?
YAML:8:42: account "b": password file DIR/lines gives more than one line; it must give the password alone
YAML:9:37: account "c": password file DIR/loose is open to other users (mode 0644); run: chmod 600 DIR/loose
YAML:11:13: account 4: source.username is missing; it must be the name to log in with
YAML:11:24: environment variable POPFERRY_UNSET is not set; export it where popferry is run
YAML:13:37: account "e": source.password must be exactly one of text in quotes, {env: NAME}, {file: PATH}, {credential: NAME}, {keyring: SERVICE} or {command: [PROGRAM, ARGUMENT]}
YAML:13:43: account "e": source.password.env must be the name of an environment variable, such as ALICE_POP
YAML:15:5: account 6: account must be a mapping (key: value), not text`)
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
	if fault.CodeOf(err) != fault.Config {
		t.Errorf("code %v", fault.CodeOf(err))
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("a password command was run for a file with mistakes")
	}
	_, err = plan.Load(path, "c")
	if strings.Contains(err.Error(), "is not set") || !strings.Contains(err.Error(), "loose is open") {
		t.Errorf("for c alone: %v", err)
	}
}

func TestLooseSecretFile(t *testing.T) {
	dir := t.TempDir()
	for mode, loose := range map[os.FileMode]bool{
		0o600: false, 0o400: false, 0o700: false, 0o640: true, 0o604: true, 0o602: true, 0o620: true,
	} {
		write(t, filepath.Join(dir, "it's"), "x", mode)
		err := load(t, dir, `{file: "it's"}`).Resolve(context.Background(), nil)
		if !loose {
			if err != nil {
				t.Errorf("%o: %v", mode, err)
			}
			continue
		}
		remedy := fmt.Sprintf(`(mode %04o); run: chmod 600 '%s/it'\''s'`, mode, dir)
		if fault.CodeOf(err) != fault.Credentials || !strings.HasSuffix(err.Error(), remedy) {
			t.Errorf("%o: code %v: %v", mode, fault.CodeOf(err), err)
		}
	}
}

// TestLooseSecretBehindALink: what counts is the file that is read.
func TestLooseSecretBehindALink(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "target"), "x", 0o644)
	if err := os.Symlink("target", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	err := load(t, dir, "{file: link}").Resolve(context.Background(), nil)
	if fault.CodeOf(err) != fault.Credentials {
		t.Error(err)
	}
}

func TestLooseConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.yaml")
	inline := strings.Replace(account(), "{env: A}", "'x'", 1)
	t.Setenv("B", "set")
	_, err := plan.Load(write(t, path, inline, 0o644))
	want := path + ":2:64: the file holds a password and is open to other users (mode 0644); " +
		"run: chmod 600 " + path
	if fault.CodeOf(err) != fault.Credentials || err.Error() != want {
		t.Errorf("code %v:\n%v\n%s", fault.CodeOf(err), err, want)
	}
	_, err = plan.Load(write(t, path, inline+"    keep: never\n", 0o644))
	if fault.CodeOf(err) != fault.Config || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("with another mistake: code %v: %v", fault.CodeOf(err), err)
	}
	if _, err = plan.Load(write(t, path, account(), 0o644)); err != nil {
		t.Errorf("without a password in it: %v", err)
	}
}

// TestResolveEndsWithItsContext kills a command that takes too long, and does not
// wait for a grandchild that keeps its output open.
func TestResolveEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	config := load(t, dir, "{command: [sh, -c, '(sleep 10; touch late) & sleep 10; touch end']}")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := config.Resolve(ctx, nil); fault.CodeOf(err) != fault.Temporary {
		t.Errorf("code %v: %v", fault.CodeOf(err), err)
	}
	for _, name := range []string{"late", "end"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("Resolve waited for the command to touch %s", name)
		}
	}
}

// TestResolveEndsAllThatItStarted: they hold a pipe open, whose end shows that none is left.
func TestResolveEndsAllThatItStarted(t *testing.T) {
	if program.AtTerminal() {
		t.Skip("a person is there to do so")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	config := load(t, dir, "{command: [sh, -c, 'exec 3>pipe; (echo here >&3; sleep 60; echo never >&3); true']}")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- config.Resolve(ctx, nil) }()
	pipe, err := os.Open(path) // once it is opened to write
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if _, err := io.ReadFull(pipe, make([]byte, len("here\n"))); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; fault.CodeOf(err) != fault.Temporary {
		t.Errorf("%v", err)
	}
	if err := pipe.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if left, err := io.ReadAll(pipe); err != nil || len(left) > 0 {
		t.Errorf("something is left, and says %q: %v", left, err)
	}
}

func TestSelect(t *testing.T) {
	config := parse(t, account("    name: alice", "  - {name: bob, source: {host: a, username: b, "+
		"password: x}, destination: {host: b, username: b, password: x}}"))
	for _, c := range []struct {
		names []string
		want  string
	}{
		{nil, "alice bob"}, {[]string{"bob"}, "bob"}, {[]string{"bob", "alice", "bob"}, "bob alice"},
	} {
		accounts, err := config.Select(c.names)
		var got []string
		for _, a := range accounts {
			got = append(got, a.Name)
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%q: %q, %v", c.names, got, err)
		}
	}
	_, err := config.Select([]string{"alcie"})
	if fault.CodeOf(err) != fault.Usage || fault.HintOf(err) != `did you mean "alice"?` {
		t.Errorf("%v (%s)", err, fault.HintOf(err))
	}
	if err := config.Resolve(context.Background(), []string{"x"}); fault.CodeOf(err) != fault.Usage {
		t.Error(err)
	}
	accounts, err := config.Select([]string{"bob"})
	if err != nil || accounts[0] != &config.Accounts[1] {
		t.Error("Select copies: what Resolve reads later would be missing", err)
	}
}
