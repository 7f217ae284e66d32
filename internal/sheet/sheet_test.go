package sheet_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/popferry/popferry/internal/sheet"
)

// shown lists the cells of a table with their places.
func shown(s *sheet.Sheet) string {
	var b strings.Builder
	b.WriteString(strings.Join(s.Names(), "|"))
	for _, row := range s.Rows {
		fmt.Fprintf(&b, "\n%d", row.Line)
		if row.Err != nil {
			fmt.Fprintf(&b, " %v", row.Err)
			continue
		}
		for _, c := range row.Cells {
			fmt.Fprintf(&b, " %d:%d=%q", c.Line, c.Column, c.Text)
		}
	}
	return b.String()
}

func TestRead(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"plain":      {"a,b\n1,2\n", "a|b\n2 2:1=\"1\" 2:3=\"2\""},
		"CRLF, BOM":  {"\xef\xbb\xbfa,b\r\n1,2\r\n", "a|b\n2 2:1=\"1\" 2:3=\"2\""},
		"semicolons": {"a;b\n1,5;2\n", "a|b\n2 2:1=\"1,5\" 2:5=\"2\""},
		"tabs":       {"a\tb\n1\t2", "a|b\n2 2:1=\"1\" 2:3=\"2\""},
		"sep line":   {"sep=;\na;b\n1;2\n", "a|b\n3 3:1=\"1\" 3:3=\"2\""},
		"quotes": {"a,b\n\"x, \"\"y\"\"\nz\",  p \n,q\n",
			"a|b\n2 2:1=\"x, \\\"y\\\"\\nz\" 3:4=\"  p \"\n4 4:1=\"\" 4:2=\"q\""},
		"empty rows and columns": {" a , b ,,\n,,,\n\n1,2,,\n", "a|b\n4 4:1=\"1\" 4:3=\"2\""},
		"bad rows": {"a,b\n1\n1,2,3\n\"x\"y,2\nlast,ok\n",
			"a|b\n2 line 2: the row has 1 columns, and the header has 2; a value with a separator in it must be in " +
				"double quotes\n3 line 3: the row has 3 columns, and the header has 2; a value with a separator in it " +
				"must be in double quotes\n4 line 4: a double quote is in the wrong place; a value with one in it must " +
				"be in double quotes itself, and have it twice (\"\")\n5 5:1=\"last\" 5:6=\"ok\""},
		"open quote": {"a,b\n1,2\n\"x,2\ny,3\n", "a|b\n2 2:1=\"1\" 2:3=\"2\"\n3 line 3: a double quote opens a value " +
			"and is not closed; inside quotes, a quote must be there twice (\"\")\n4 4:1=\"y\" 4:3=\"3\""},
		"a row goes on": {"a,b\n1,\"2\n3\",,\n", "a|b\n2 2:1=\"1\" 2:3=\"2\\n3\""},
		"old Mac":       {"a,b\r1,2\r3,4\r", "a|b\n2 2:1=\"1\" 2:3=\"2\"\n3 3:1=\"3\" 3:3=\"4\""},
	} {
		s, err := sheet.Read(strings.NewReader(c.in), sheet.Multiline)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := shown(s); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// TestOnlyBadRowsAreLost: whatever is wrong with a row, those around it are there.
func TestOnlyBadRowsAreLost(t *testing.T) {
	const stray, goesOn = "a double quote opens a value and is not closed", "a value in double quotes goes on in the next line"
	for name, c := range map[string]struct {
		in     string
		breaks sheet.Breaks
		want   []string // what is said of each row; empty for good ones
	}{
		"to the end":        {"a,b\n1,\"2\n3,4\n5,6\n", sheet.OneLine, []string{"line 2: " + stray, "", ""}},
		"to the next stray": {"a,b\n1,\"2\n3,4\n5,\"6\n7,8\n", sheet.OneLine, []string{"line 2: " + stray, "", "line 4: " + stray, ""}},
		"closed by another": {"a,b\n1,\"2\n3,4\"\n5,6\n", sheet.OneLine, []string{"line 2: " + goesOn, "line 3: a double quote is", ""}},
		"a row inside":      {"a,b\n1,\"2\n3,4\n5,6\"\n7,8\n", sheet.Multiline, []string{"line 2: " + goesOn, "", "line 4: a double quote is", ""}},
		"other columns":     {"a,b,c\n1,\"2\n3\",x,y\n5,6,7\n", sheet.Multiline, []string{"line 2: " + goesOn, "line 3: a double quote is", ""}},
		"behind empty rows": {"sep=,\na,b\n\n\n1,\"2\n\n3,4\n\"\"5,6\n7,8\n", sheet.OneLine,
			[]string{"line 5: " + stray, "", "line 8: a double quote is", ""}},
		"other letters": {"a,b\n1,2\nM\xfcller,3\n4,5\n", sheet.OneLine, []string{"", "line 3: is not UTF-8", ""}},
		"NUL":           {"a,b\n1,\x00,3\n4,5\n", sheet.OneLine, []string{"line 2: holds a NUL", ""}},
	} {
		s, err := sheet.Read(strings.NewReader(c.in), c.breaks)
		if err != nil || len(s.Rows) != len(c.want) {
			t.Errorf("%s: %+v, %v", name, s, err)
			continue
		}
		for i, row := range s.Rows {
			if want := c.want[i]; (row.Err == nil) != (want == "") || row.Err != nil && !strings.HasPrefix(row.Err.Error(), want) {
				t.Errorf("%s: row %d: %v, want %q", name, i, row.Err, want)
			}
		}
	}
}

func TestNoTable(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "is empty",
		"\xff\xfea\x00":               "is UTF-16",
		"a,\x00\n1,2\n":               "line 1: holds a NUL",
		"M\xfcller,a\n1,2\n":          "line 1: is not UTF-8",
		"a,,b\n":                      "line 1: column number 2 has no name",
		"a,b, A \n":                   "line 1: columns number 1 and 3 have the same name",
		strings.Repeat("x,", 300):     "more than 200 columns",
		"a\"b,c\n":                    "line 1: a double quote is in the wrong place",
		strings.Repeat("x", 64<<20+1): "larger than 64 MB",
	} {
		_, err := sheet.Read(strings.NewReader(in), sheet.OneLine)
		var mistake *sheet.Mistake
		if !errors.As(err, &mistake) || !strings.HasPrefix(err.Error(), want) && !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %s", in, err, want)
		}
	}
	broken := errors.New("broken")
	if _, err := sheet.Read(iotest.ErrReader(broken), sheet.OneLine); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func TestIndex(t *testing.T) {
	s, err := sheet.Read(strings.NewReader("EmailAddress,UserName\n"), sheet.OneLine)
	if err != nil || s.Index("username") != 1 || s.Index("user") != -1 || len(s.Rows) != 0 ||
		!slices.Equal(s.Names(), []string{"EmailAddress", "UserName"}) {
		t.Errorf("%+v, %v", s, err)
	}
}

// FuzzRead: whatever comes, it is a table or a mistake, every row has the columns of
// the header or says why not, and no place is outside of the file.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n", "sep=;\na;b\n\"x;\n", "\xef\xbb\xbfa\r\n\"\"\"\"\r\n", "a,a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		s, err := sheet.Read(strings.NewReader(in), sheet.OneLine)
		if err != nil {
			return
		}
		lines := max(strings.Count(in, "\n"), strings.Count(in, "\r")) + 1
		for _, row := range s.Rows {
			if row.Err == nil && len(row.Cells) != len(s.Header) || row.Line < 1 || row.Line > lines {
				t.Errorf("%q: %+v", in, row)
			}
		}
	})
}
