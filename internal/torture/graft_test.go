package main

import (
	"go/format"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const grafted = `package p

const most = 3

// less is told by two.
func (s *set) less(a int, rest ...int) bool {
	if wokenBug == "never" {
		return s.less_never(a, rest...)
	}
	if wokenBug == "one-more" {
		return s.less_one_more(a, rest...)
	}
	return a < len(rest)
}
func forget(int) { clear(all) }
func drop() {
	if wokenBug == "one-more" {
		drop_one_more()
		return
	}
	all = nil
}

func (s *set) less_never(a int, rest ...int) bool { return false }

func (s *set) less_one_more(a int, rest ...int) bool {
	return a <= len(rest)
}

func drop_one_more() { all = all[:0] }
`

// TestGraft: a function with bugs asks which one is to run, and all else stays as it is. What is
// no function, or has no names for what it is given, is left alone.
func TestGraft(t *testing.T) {
	const less = "func (s *set) less(a int, rest ...int) bool { return a < len(rest) }\n"
	const drop = "func drop() { all = nil }\n"
	const source = "package p\n\nconst most = 3\n\n// less is told by two.\n" + less + "func forget(int) { clear(all) }\n" + drop
	text, alone, err := graft(source, []mutant{
		{Name: "never", Was: "return a < len(rest)", Is: "return false"},
		{Name: "one-more", Was: less + "func forget(int) { clear(all) }\n" + drop,
			Is: "func (s *set) less(a int, rest ...int) bool {\n\treturn a <= len(rest)\n}\n" +
				"func forget(int) { clear(all) }\nfunc drop() { all = all[:0] }\n"},
		{Name: "a-constant", Was: "most = 3", Is: "most = 4"},
		{Name: "no-name", Was: "clear(all)", Is: "_ = all"},
		{Name: "another-signature", Was: "drop()", Is: "drop() error"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := format.Source([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if diff := cmp.Diff(grafted, string(got)); diff != "" {
		t.Error(diff)
	}
	var names []string
	for _, m := range alone {
		names = append(names, m.Name)
	}
	if diff := cmp.Diff([]string{"a-constant", "no-name", "another-signature"}, names); diff != "" {
		t.Error(diff)
	}
	if _, _, err := graft(source, []mutant{{Name: "misses", Was: "nothing of it", Is: ""}}); err == nil {
		t.Error("a bug was grafted that does not fit")
	}
}
