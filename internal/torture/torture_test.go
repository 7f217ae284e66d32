package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/mailtest/proxy"
)

func bags(words ...string) bag {
	b := bag{}
	for _, word := range words {
		b[markOf([]byte(word))]++
	}
	return b
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		sent, got string
		want      verdict
	}{
		{"a b c", "c a b", verdict{}},
		{"a b", "a", verdict{Lost: 1}},
		{"a a", "a", verdict{Lost: 1}},
		{"a", "a a a", verdict{Doubled: 2}},
		{"a b", "a B B", verdict{Lost: 1, Altered: 2}},
		{"", "x", verdict{Altered: 1}},
	} {
		got := bags(strings.Fields(c.sent)...).compare(bags(strings.Fields(c.got)...))
		if got != c.want {
			t.Errorf("sent %q, got %q: %+v, want %+v", c.sent, c.got, got, c.want)
		}
	}
	if n := bags("a", "a", "b").size(); n != 3 {
		t.Errorf("size %d", n)
	}
}

// TestMissing: only what left the source more often than it arrived was deleted too early.
func TestMissing(t *testing.T) {
	for _, c := range []struct {
		sent, left, got string
		want            int
	}{
		{"a b", "a b", "", 0},
		{"a b", "b", "a", 0},
		{"a b", "b", "", 1},
		{"a a", "a", "", 1},
		{"a a", "a", "a", 0},
		{"a", "a", "a", 0},
	} {
		got := bags(strings.Fields(c.sent)...).missing(
			bags(strings.Fields(c.left)...), bags(strings.Fields(c.got)...))
		if len(got) != c.want {
			t.Errorf("sent %q, left %q, got %q: %d missing, want %d", c.sent, c.left, c.got, len(got), c.want)
		}
	}
}

// TestMaildir: a file that is renamed keeps its content, and one that is seen twice counts once.
func TestMaildir(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := newMaildir(dir)
	if b, err := d.read(); err != nil || b.size() != 0 {
		t.Fatalf("without a directory: %v, %v", b, err)
	}
	write("new/1", "a")
	write("cur/1:2,S", "a")
	write("cur/2:2,", "b")
	b, err := d.read()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(bags("a", "b"), b); diff != "" {
		t.Error(diff)
	}
}

func TestEnumerate(t *testing.T) {
	at := place{side: imap, conn: 2, dir: proxy.Down}
	every := enumerate(map[place]int64{at: 9}, 1, 1)
	if len(every) != 30 {
		t.Errorf("%d cuts of 9 octets, want 10 of each kind", len(every))
	}
	seen := map[cutCase]bool{}
	for _, c := range every {
		seen[c] = true
	}
	if len(seen) != 30 {
		t.Errorf("only %d of them differ", len(seen))
	}
	some := enumerate(map[place]int64{at: 9}, 5, 1)
	want := []cutCase{}
	for kind, offsets := range [][]int64{proxy.FIN: {1, 6}, proxy.RST: {2, 7}, proxy.Silence: {3, 8}} {
		for _, offset := range offsets {
			here := at
			here.offset = offset
			want = append(want, cutCase{here, proxy.Kind(kind)})
		}
	}
	if diff := cmp.Diff(want, some, cmp.AllowUnexported(cutCase{}, place{})); diff != "" {
		t.Error(diff)
	}
}

func TestParseMutant(t *testing.T) {
	const good = "# title\nfile: a/b.go\ntest: ./a TestB|TestC\n--- was\n\tx := 1\n\n--- is\n\tx := 2\n"
	m, err := parseMutant(good)
	want := mutant{Title: "title", File: "a/b.go", Package: "./a", Run: "TestB|TestC",
		Was: "\tx := 1\n", Is: "\tx := 2"}
	if err != nil || m != want {
		t.Fatalf("%+v, %v", m, err)
	}
	if got, err := m.plant("a\n\tx := 1\nb"); err != nil || got != "a\n\tx := 2b" {
		t.Errorf("%q, %v", got, err)
	}
	for _, source := range []string{"", "\tx := 1\n\tx := 1\n"} {
		if got, err := m.plant(source); err == nil {
			t.Errorf("planted into %q: %q", source, got)
		}
	}
	for _, bad := range []string{
		"", "# t\nfile: a\ntest: p r\n--- was\nx\n", strings.Replace(good, "# title\n", "", 1),
		strings.Replace(good, "x := 2", "x := 1\n", 1), strings.Replace(good, "file:", "file", 1),
	} {
		if m, err := parseMutant(bad); err == nil {
			t.Errorf("%q gives %+v", bad, m)
		}
	}
}

// TestMutantsFit: when the engine changes, the bugs that are planted into it have to change too.
func TestMutantsFit(t *testing.T) {
	list, err := loadMutants()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 25 {
		t.Errorf("only %d", len(list))
	}
	for _, m := range list {
		source, err := os.ReadFile(filepath.Join("../..", m.File))
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		if _, err := m.plant(string(source)); err != nil {
			t.Errorf("mutants/%s.txt: %v; give it the present text, or remove it", m.Name, err)
		}
	}
}

// TestKeep: the figures of parts that did not run stay.
func TestKeep(t *testing.T) {
	dir := t.TempDir()
	failed := part{Name: "state", Title: "State", Cases: 3}
	failed.judge(verdict{Lost: 2}, "one | case")
	failed.Rows = []row{{"a|b", "0", "0"}}
	if err := keep(dir, &result{Parts: []part{{Name: "kills", Title: "Kills", Kills: 7}, failed}}); err != nil {
		t.Fatal(err)
	}
	newer := result{Parts: []part{{Name: "kills", Title: "Kills", Kills: 9}}}
	if err := keep(dir, &newer); err != nil {
		t.Fatal(err)
	}
	kept, err := readResult(filepath.Join(dir, "reliability.json"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(newer, kept); diff != "" {
		t.Error(diff)
	}
	if len(kept.Parts) != 2 || kept.Parts[0].Name != "state" || kept.Parts[0].Verdict.Lost != 2 || kept.Parts[1].Kills != 9 {
		t.Errorf("%+v", kept)
	}
	page, err := os.ReadFile(filepath.Join(dir, "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| [State](#state) | 3 | 0 | 2 | 0 |", "| [Kills](#kills) | 0 | 9 |",
		"**Failed:** one | case: lost 2", `| a\|b | 0 | 0 |`} {
		if !strings.Contains(string(page), want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
}

func TestFailuresAreBounded(t *testing.T) {
	var p part
	for range 2 * told {
		p.fail("again")
	}
	if p.Failed != 2*told || len(p.Failures) != told {
		t.Errorf("%d counted, %d told", p.Failed, len(p.Failures))
	}
	b := &bench{options: options{}}
	var out strings.Builder
	if err := b.show([]part{p}, &out); !errors.Is(err, errFailed) {
		t.Errorf("the verdict is %v", err)
	}
	if err := b.show([]part{{}}, &out); err != nil {
		t.Errorf("the verdict on a clean part is %v", err)
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-kills", "60", "kills", "state"})
	if err != nil || o.Kills != 60 || len(o.Parts) != 2 || o.Seed != 1 {
		t.Errorf("%+v, %v", o, err)
	}
	for _, args := range [][]string{
		{"kils"}, {"-kills", "0"}, {"-only", "x", "-out", "docs"}, {"-nothing"},
	} {
		if o, err := parse(args); err == nil {
			t.Errorf("%q gives %+v", args, o)
		}
	}
}

func TestWords(t *testing.T) {
	for n, want := range map[int]string{1: "single", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 21: "21st", 111: "111th"} {
		if got := ordinal(n); got != want {
			t.Errorf("ordinal(%d) = %q", n, got)
		}
	}
	if got := anchor("A disk that's full, or -1"); got != "a-disk-thats-full-or--1" {
		t.Errorf("anchor: %q", got)
	}
	if got := wanted([]int{-1, 0, 74}); got != "killed or 0 or 74" {
		t.Errorf("wanted: %q", got)
	}
}

// TestSimulatorReads: figures are added up, failures told with the way to see them again.
func TestSimulatorReads(t *testing.T) {
	s := &simulator{bench: &bench{log: io.Discard}, counts: map[string]int{}}
	for _, out := range []string{
		"    sim_test.go:1: figures {\"seeds\":2,\"lost\":0}\n",
		"  --- FAIL\n    again: POPFERRY_SEED=4 go test\n    sim_test.go:1: figures {\"seeds\":3,\"lost\":1}\n",
	} {
		if err := s.read([]byte(out), strings.Contains(out, "FAIL"), "A=1"); err != nil {
			t.Fatal(err)
		}
	}
	if s.counts["seeds"] != 5 || s.counts["lost"] != 1 || s.figures.Failed != 1 ||
		s.figures.Failures[0] != "POPFERRY_SEED=4 go test" {
		t.Errorf("%v, %d failed: %q", s.counts, s.figures.Failed, s.figures.Failures)
	}
	if err := s.read([]byte("panic\n"), true, "A=1"); err == nil {
		t.Error("no figures, and no error")
	}
}

// TestGrown: what the two hours of docs/reliability.json showed is no growth, and a leak is.
func TestGrown(t *testing.T) {
	for _, c := range []struct {
		before, after, allowed int
		grows                  bool
	}{
		{39, 46, moreMemory, false}, {39, 72, moreMemory, true},
		{19, 19, moreFiles, false}, {20, 29, moreFiles, true},
		{54, 56, moreGoroutines, false}, {57, 74, moreGoroutines, true},
	} {
		var s soaking
		b, a := c.before, c.after
		s.grown("x", []int{1, 1, b, b, 1, 1, a, a}, c.allowed)
		if s.figures.Failed > 0 != c.grows {
			t.Errorf("from %d to %d: %q", b, a, s.figures.Failures)
		}
	}
}
