package main

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/mailtest/proxy"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
		ok     bool
	}{
		{nil, 0, false},
		{[]float64{3}, 3, true},
		{[]float64{9, 1}, 5, true},
		{[]float64{9, 1, 2}, 2, true},
		{[]float64{4, 9, 1, 2}, 3, true},
	} {
		if got, ok := median(c.values); got != c.want || ok != c.ok {
			t.Errorf("median(%v) = %v, %v, want %v, %v", c.values, got, ok, c.want, c.ok)
		}
	}
	values := []float64{3, 1, 2}
	median(values)
	if diff := cmp.Diff([]float64{3, 1, 2}, values); diff != "" {
		t.Error("median sorts its argument", diff)
	}
}

func TestNumbers(t *testing.T) {
	got := []string{thousands(0), thousands(999), thousands(1000), thousands(-1234567),
		duration(0.004), duration(9.994), duration(9.996), duration(99.96),
		rate(1.84), rate(9.96), rate(12345.4)}
	want := []string{"0", "999", "1,000", "-1,234,567",
		"0.00 s", "9.99 s", "10.0 s", "100 s", "1.8/s", "10/s", "12,345/s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTurns(t *testing.T) {
	const up, down = proxy.Up, proxy.Down
	for _, c := range []struct {
		name string
		seen []proxy.Direction
		want int
	}{
		{"nothing", nil, 0},
		{"a greeting alone", []proxy.Direction{down}, 0},
		{"a client that speaks first", []proxy.Direction{up, down}, 1},
		{"greeting and one command", []proxy.Direction{down, up, down}, 1},
		{"a command in pieces", []proxy.Direction{down, up, up, up, down}, 1},
		{"an answer in pieces", []proxy.Direction{down, up, down, down, down}, 1},
		{"three commands", []proxy.Direction{down, up, down, up, down, up}, 3},
	} {
		turns := &turns{}
		for _, dir := range c.seen {
			turns.saw(dir)
		}
		if got := turns.count(); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestWatch holds that the triggers of a line count, strike never, and ignore calls without data.
func TestWatch(t *testing.T) {
	l := &line{}
	for conn := range 2 {
		faults := l.watch(conn)
		for range 3 {
			for _, f := range faults {
				if f.When(0, nil) != -1 || f.When(0, []byte("x")) != -1 {
					t.Fatal("a trigger strikes")
				}
			}
		}
	}
	if got := l.trips(); got != 6 {
		t.Errorf("%d round trips, want 3 on each of 2 connections", got)
	}
}

func TestCompare(t *testing.T) {
	count := func(messages ...string) tally {
		c := tally{}
		for _, m := range messages {
			c.add([]byte(m))
		}
		return c
	}
	sent := count("a\r\n", "b\r\n", "b\r\n", "c\r\n")
	for _, c := range []struct {
		name      string
		got       tally
		want      outcome
		wantWrong int
	}{
		{"all", count("c\r\n", "b\r\n", "a\r\n", "b\r\n"), outcome{4, 4}, 0},
		{"other line ends", count("c\n", "b", "a\r\n", "b\r\n"), outcome{4, 4}, 0},
		{"none", count(), outcome{0, 0}, 4},
		{"one lost", count("a\n", "b\n", "b\n"), outcome{3, 3}, 1},
		{"one altered", count("a\n", "b\n", "b\n", "C\n"), outcome{4, 3}, 1},
		{"one doubled", count("a\n", "b\n", "b\n", "c\n", "c\n"), outcome{5, 4}, 1},
		{"one lost, one doubled", count("a\n", "b\n", "c\n", "c\n"), outcome{4, 3}, 1},
	} {
		got := sent.compare(c.got)
		if got != c.want || got.wrong(4) != c.wantWrong {
			t.Errorf("%s: %+v, %d wrong", c.name, got, got.wrong(4))
		}
	}
}

// TestBody reads bodies that follow each other, in pieces of every kind.
func TestBody(t *testing.T) {
	bodies := []string{"", "a\r\n", "\r\n", ".\r\n", ".a\r\n..\r\n\r\n.\r\n", "a.\r\n.",
		strings.Repeat("long line ", 2000) + "\r\n"}
	bodies[5] += "\r\n"
	var wire strings.Builder
	for _, body := range bodies {
		for line := range strings.Lines(body) {
			if line[0] == '.' {
				wire.WriteByte('.')
			}
			wire.WriteString(line)
		}
		wire.WriteString(".\r\n")
	}
	for name, r := range map[string]io.Reader{
		"whole":  strings.NewReader(wire.String()),
		"octets": iotest.OneByteReader(strings.NewReader(wire.String())),
		"halves": iotest.HalfReader(strings.NewReader(wire.String())),
	} {
		p := &pop{r: bufio.NewReaderSize(r, 64)}
		var buffer []byte
		for i, want := range bodies {
			got, err := p.body(buffer[:0])
			if err != nil || string(got) != want {
				t.Errorf("%s: body %d is %.60q, %v", name, i, got, err)
			}
			buffer = got
		}
		if _, err := p.body(nil); err != io.EOF {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
}

func TestHas(t *testing.T) {
	list := "* OK [CAPABILITY IMAP4rev1 LITERAL+ multiappend] Logged in\r\n"
	for name, want := range map[string]bool{
		"LITERAL+": true, "MULTIAPPEND": true, "IMAP4rev1": true, "LITERAL": false, "LITERAL-": false,
	} {
		if got := has(list, name); got != want {
			t.Errorf("has %s: %v", name, got)
		}
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	w := &tail{}
	for range 100 {
		_, _ = io.WriteString(w, strings.Repeat("x", 100))
	}
	_, _ = io.WriteString(w, strings.Repeat("y", 5000)+"end")
	if got := string(w.kept); len(got) != 2048 || !strings.HasSuffix(got, "yend") {
		t.Errorf("%d octets of %.10q", len(got), got)
	}
}

func TestWorkloads(t *testing.T) {
	all, err := workloads(options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range promises() {
		if _, err := only(all, p.workload); err != nil {
			t.Errorf("%s: %v", p.what, err)
		}
	}
	two, err := workloads(options{Only: "far,near", Quick: true})
	if err != nil || len(two) != 2 || two[0].Name != farCase || two[0].Mail.count() != 20 {
		t.Errorf("%+v, %v", two, err)
	}
	if _, err := workloads(options{Only: "near,elsewhere"}); err == nil {
		t.Error("a workload that does not exist is accepted")
	}
}
