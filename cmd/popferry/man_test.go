package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var updateMan = flag.Bool("man", false, "write docs/man anew")

// TestManPages holds docs/man against the help texts, from which they are made:
// go test ./cmd/popferry -run ManPages -man
func TestManPages(t *testing.T) {
	const dir = "../../docs/man"
	made := t.TempDir()
	root := (&app{stdout: io.Discard, stderr: io.Discard}).root()
	root.DisableAutoGenTag = true
	date := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Manual: "popferry", Source: "popferry", Date: &date}, made); err != nil {
		t.Fatal(err)
	}
	pages := mended(read(t, made))
	if *updateMan {
		writePages(t, dir, pages)
	}
	if diff := cmp.Diff(read(t, dir), pages); diff != "" {
		t.Errorf("docs/man is not made of these help texts (-there +made):\n%s", diff)
	}
	for name, page := range pages {
		if strings.Contains(page, "\n\t") || strings.Contains(page, "[=false]") {
			t.Errorf("%s has flags in cobra's form, of which mandoc warns", name)
		}
		if crooked.MatchString(page) {
			t.Errorf("%s: %q lost its indentation; four blanks keep it", name, crooked.FindString(page))
		}
	}
	for _, verb := range root.Commands() {
		page, found := pages["popferry-"+verb.Name()+".1"]
		if !found && verb.IsAvailableCommand() || found && !strings.Contains(page, verb.Short) {
			t.Errorf("%s has no page that says what it does", verb.Name())
		}
	}
}

// flags are those of a page as cobra writes them: a name, what it is if it is not given, and below
// it, behind a tab, what it is for.
var (
	flags    = regexp.MustCompile(`(?m)^(?:\.PP\n)?(\\fB-.*)\n\t(.*)$`)
	switches = regexp.MustCompile(`(?m)^(\\fB-.*)\[=false\]$`)
	unset    = regexp.MustCompile(`(?m)^(\\fB-.*)=(?:""|\[\])$`)
)

// crooked is an indented block whose first line begins further left than the others.
var crooked = regexp.MustCompile(`(?m)^\.PP\n[^A-Z].*\n  `)

// mended gives flags the form of a list (.TP), and the date that of mandoc.
func mended(pages map[string]string) map[string]string {
	for name, text := range pages {
		text = flags.ReplaceAllString(text, ".TP\n$1\n$2")
		text = unset.ReplaceAllString(switches.ReplaceAllString(text, "$1"), `$1=\fIvalue\fP`)
		pages[name] = strings.Replace(text, `"Nov 2026"`, `"2026-11-26"`, 1)
	}
	return pages
}

func writePages(t *testing.T, dir string, pages map[string]string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHelpFitsATerminal of 80 columns, of whatever verb.
func TestHelpFitsATerminal(t *testing.T) {
	var verbs [][]string
	var walk func(cmd *cobra.Command, path []string)
	walk = func(cmd *cobra.Command, path []string) {
		verbs = append(verbs, path)
		for _, sub := range cmd.Commands() {
			walk(sub, append(slices.Clone(path), sub.Name()))
		}
	}
	root := (&app{stdout: io.Discard, stderr: io.Discard}).root()
	root.InitDefaultHelpCmd()
	walk(root, nil)
	if len(verbs) < 18 {
		t.Fatalf("%q only", verbs)
	}
	for _, verb := range verbs {
		var out bytes.Buffer
		if code := run(append(verb, "--help"), &out, io.Discard); code != 0 || out.Len() < 100 {
			t.Errorf("%q: status %d, %q", verb, code, out.String())
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%q: %d columns: %s", verb, n, line)
			}
		}
	}
}

func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	pages := map[string]string{}
	files, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.Base(file)] = string(text)
	}
	return pages
}

// TestCompletion: a shell is told the verbs, and the accounts that are still to name.
func TestCompletion(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "accounts.yaml")
	text := `accounts:
  - {name: alice, source: &s {host: a.example, username: a, password: {env: A}}, destination: &d {host: b.example, username: a, password: {env: A}}}
  - {name: "bob b", source: {<<: *s, username: b}, destination: {<<: *d, username: b}}
`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"":                               "verify\tprove that every",
		"run --config " + config + " ":   "bob b\ta.example to b.example",
		"plan --config nowhere ":         ":4",
		"run --config " + config + " b ": "alice\t",
		"login --side ":                  "source\ndestination\n:4",
		"check --explain ":               "quota\ta mailbox is full",
		"init ":                          ":4",
		"schema ":                        ":4",
		"import ":                        ":0",
	} {
		var out, talk bytes.Buffer
		args := append([]string{"__complete"}, strings.Split(line, " ")...)
		if code := run(args, &out, &talk); code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%q: status %d, %q lacks %q", line, code, out.String(), want)
		}
	}
}
