package pop

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestParseStatus(t *testing.T) {
	for line, want := range map[string]status{
		"+OK":                   {ok: true},
		"+OK 2 320":             {ok: true, text: "2 320"},
		"+ok\thello":            {ok: true, text: "hello"},
		"-ERR":                  {},
		"-err [in-use] wait":    {code: "IN-USE", text: "[in-use] wait"},
		"-ERR [SYS/TEMP]":       {code: "SYS/TEMP", text: "[SYS/TEMP]"},
		"-ERR [not a code] x":   {text: "[not a code] x"},
		"-ERR [open":            {text: "[open"},
		"-ERR text [AUTH] late": {text: "text [AUTH] late"},
		"+OK [AUTH] is no code": {ok: true, text: "[AUTH] is no code"},
		"+":                     {more: true},
		"+ YQ==":                {more: true, text: "YQ=="},
	} {
		if got, ok := parseStatus([]byte(line)); !ok || got != want {
			t.Errorf("%q is %+v, %v; want %+v", line, got, ok, want)
		}
	}
	for _, line := range []string{"", " ", "+OKAY", "-ERROR", "OK", "*", "-", "++OK", "<html>", "+O"} {
		if got, ok := parseStatus([]byte(line)); ok {
			t.Errorf("%q is %+v", line, got)
		}
	}
}

// Whatever is listed, what is accepted is in order and below the limits.
func FuzzListing(f *testing.F) {
	f.Add([]byte("1 120\n2 200"), []byte("1 a\n2 b"), false)
	f.Add([]byte("1 -1\n3 99999999999999999999"), []byte("3 \x00\n1"), true)
	f.Add([]byte("\t 1\t5 more"), []byte(" 1  /../ x "), false)
	f.Fuzz(func(t *testing.T, sizes, ids []byte, gaps bool) {
		l := listing{limit: 20, gaps: gaps, count: -1, hasUIDL: true}
		if !feed(sizes, l.addSize) {
			return
		}
		l.endSizes()
		if !feed(ids, l.addUIDL) || l.check() != nil {
			return
		}
		if len(l.entries) > l.limit {
			t.Fatalf("%d entries", len(l.entries))
		}
		for i, e := range l.entries {
			if e.Size < 0 || len(e.UIDL) > maxUIDL || strings.ContainsAny(e.UIDL, "\r\n\x00\x7f") {
				t.Fatalf("entry %+v", e)
			}
			if e.UIDL != strings.Trim(e.UIDL, " \t") {
				t.Fatalf("blanks around %q", e.UIDL)
			}
			if gaps && i > 0 && e.Number <= l.entries[i-1].Number || !gaps && e.Number != i+1 {
				t.Fatalf("entry %d has number %d", i, e.Number)
			}
		}
	})
}

func feed(lines []byte, add func([]byte) error) bool {
	for line := range bytes.SplitSeq(lines, []byte("\n")) {
		if add(line) != nil {
			return false
		}
	}
	return true
}

// The order of the lines does not matter, and no line is misread as two.
func FuzzCapabilities(f *testing.F) {
	for _, seed := range []string{
		"TOP\nUIDL\nSASL PLAIN LOGIN\nPIPELINING", "LOGIN-DELAY 900 USER\nEXPIRE NEVER",
		"expire 060\nutf8 user\nIMPLEMENTATION a b", "LOGIN-DELAY -1\nEXPIRE x\nSASL\n \n\t",
		"LOGIN-DELAY 99999999999999999999", "LOGIN-DELAY 9223372036854775807",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var caps Capabilities
		lines := strings.Split(text, "\n")
		for _, line := range lines {
			caps.add(line)
		}
		if caps.LoginDelay < 0 || caps.LoginDelay > maxLoginDelay {
			t.Fatalf("LOGIN-DELAY %v", caps.LoginDelay)
		}
		if caps.Expire != "" && caps.Expire != "NEVER" && strings.Trim(caps.Expire, "0123456789") != "" {
			t.Fatalf("EXPIRE %q", caps.Expire)
		}
		for _, mechanism := range caps.SASL {
			if mechanism == "" || strings.ContainsAny(mechanism, " \t") {
				t.Fatalf("SASL %q", caps.SASL)
			}
		}
		named := slices.ContainsFunc(lines, func(line string) bool {
			fields := strings.Fields(line)
			return len(fields) > 0 && strings.EqualFold(fields[0], "PIPELINING")
		})
		if caps.Pipelining != named {
			t.Fatalf("pipelining is %v in %q", caps.Pipelining, text)
		}
	})
}
