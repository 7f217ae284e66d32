package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func messages(texts ...string) [][]byte {
	var list [][]byte
	for _, text := range texts {
		list = append(list, []byte(text))
	}
	return list
}

// done is a run that left these messages.
func done(there ...string) outcome {
	o := outcome{There: messages(there...)}
	o.Report.Accounts = make([]account, 1)
	return o
}

func TestJudge(t *testing.T) {
	const a, b, c = "A: 1\r\n\r\na\r\n", "B: 1\r\n\r\nb\r\n", "C: 1\r\n\r\nc\r\n"
	for _, f := range []struct {
		name                 string
		put, served          []string
		sent                 []string
		first, second, third []string
		refused, held        int
		want                 cell
	}{
		{
			name: "as it should be", put: []string{a, b}, served: []string{a, b}, sent: []string{a, b},
			first: []string{"B: 1\n\nb\n", a}, second: []string{a, b}, third: []string{a, b},
			want: cell{Served: 2, Arrived: 2},
		},
		{
			name: "a copy is lost", put: []string{a, a}, served: []string{a, a},
			first: []string{a}, second: []string{a}, third: []string{a},
			want: cell{Served: 2, Arrived: 1, Lost: 1},
		},
		{
			name: "one is there twice", put: []string{a}, served: []string{a},
			first: []string{a, a}, second: []string{a, a}, third: []string{a, a},
			want: cell{Served: 1, Arrived: 1, Altered: 1, Doubled: 1},
		},
		{
			name: "fields of spool files", put: []string{a}, served: []string{a},
			first: []string{"A: 1\nX-UID: 7\nStatus: O\n\na\n"}, second: []string{""}, third: []string{""},
			want: cell{Served: 1, Marked: 1},
		},
		{
			name: "such a line in a body is no such field", put: []string{a}, served: []string{a},
			first: []string{"A: 1\n\nStatus: O\na\n"}, second: []string{""}, third: []string{""},
			want: cell{Served: 1, Altered: 1},
		},
		{
			name: "held", put: []string{a, b}, served: []string{a, b}, sent: []string{a, b}, held: 1,
			first: []string{a}, second: []string{a}, third: []string{a},
			want: cell{Served: 2, Arrived: 1, Held: 1},
		},
		{
			name: "held, because the source does not give it", put: []string{a, b}, served: []string{a},
			refused: 1, held: 1, first: []string{a}, second: []string{a}, third: []string{a},
			want: cell{Served: 1, Arrived: 1, Held: 1},
		},
		{
			name: "what the source does not give is lost if it is not held", put: []string{a, b},
			served: []string{a}, refused: 1, first: []string{a}, second: []string{a}, third: []string{a},
			want: cell{Served: 1, Arrived: 1, Lost: 1},
		},
		{
			name: "sent otherwise", put: []string{a, b}, served: []string{a, b}, sent: []string{a, c, c},
			first: []string{a, c}, second: []string{a, c}, third: []string{a, c},
			want: cell{Served: 2, Arrived: 1, Altered: 1, Changed: 2},
		},
		{
			name: "as put, not as served", put: []string{a}, served: []string{b}, sent: []string{a},
			first: []string{a}, second: []string{a}, third: []string{a},
			want: cell{Served: 1, Restored: 1},
		},
		{
			name: "copied again", put: []string{a}, served: []string{a},
			first: []string{a}, second: []string{a, a}, third: []string{a, a, a, a},
			want: cell{Served: 1, Arrived: 1, Again: again{Copied: 1}, NoJournal: again{Copied: 2}},
		},
	} {
		t.Run(f.name, func(t *testing.T) {
			first := done(f.first...)
			first.Sent, first.Report.Accounts[0].Held = messages(f.sent...), f.held
			source := served{Messages: messages(f.served...), Refused: make([]string, f.refused)}
			got := judge(messages(f.put...), source, first,
				done(f.second...), done(f.third...))
			if diff := cmp.Diff(f.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestJudgeSource(t *testing.T) {
	got := judgeSource(served{Messages: messages("a\n", "x"), Refused: []string{"-ERR"}},
		messages("a\r\n", "b", "c", "d"))
	want := source{Put: 4, Listed: 3, Intact: 1, Altered: 1, Refused: 1}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestMatrixTellsWhatDiffers(t *testing.T) {
	const name = "dovecot-dovecot-hard"
	m := matrix{Sources: map[string]source{"dovecot-hard": {Put: 1}},
		Pairs: map[string]cell{name: {Served: 1, Arrived: 1}}}
	if lines := append(m.wrong(), m.differences(m)...); len(lines) != 0 {
		t.Errorf("nothing differs: %q", lines)
	}
	other := matrix{Sources: map[string]source{"dovecot-hard": {Put: 2}},
		Pairs: map[string]cell{name: {Served: 1, Altered: 1}}}
	if lines := m.differences(other); len(lines) != 2 {
		t.Errorf("want a line for the pair and one for the source, got %q", lines)
	}
	other.Pairs[name] = cell{Served: 1, Arrived: 1, NoJournal: again{Copied: 1}}
	other.Sources = m.Sources
	if lines := m.differences(other); len(lines) != 0 {
		t.Errorf("fewer copies are no difference: %q", lines)
	}
	if lines := other.differences(m); len(lines) != 1 {
		t.Errorf("more copies are one: %q", lines)
	}
	m.Pairs[name] = cell{Changed: 1, Lost: 1, Doubled: 1, Again: again{Copied: 1}}
	if lines := m.wrong(); len(lines) != 4 {
		t.Errorf("want four lines, got %q", lines)
	}
}

func TestEveryPairIsChosen(t *testing.T) {
	if n := len(choose(nil)); n != 40 {
		t.Errorf("%d pairs, want 40", n)
	}
	if n := len(choose([]string{"popa3d-", "cyrus-dovecot-hard"})); n != 9 {
		t.Errorf("%d pairs, want 9", n)
	}
	if list := choose([]string{"none"}); len(list) != 0 {
		t.Errorf("%v, want none", list)
	}
}

// TestKeptPageShowsTheKeptMatrix keeps the two files in docs/ together.
func TestKeptPageShowsTheKeptMatrix(t *testing.T) {
	const docs = "../../docs"
	m, err := readMatrix(filepath.Join(docs, "interop.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Pairs) != len(choose(nil)) {
		t.Errorf("%d pairs are kept, want all %d", len(m.Pairs), len(choose(nil)))
	}
	dir := t.TempDir()
	if err := m.keep(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"interop.json", "interop.md"} {
		want, wantErr := os.ReadFile(filepath.Join(dir, name))
		got, gotErr := os.ReadFile(filepath.Join(docs, name))
		if err := errors.Join(wantErr, gotErr); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
