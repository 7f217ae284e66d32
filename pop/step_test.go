package pop_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/pop"
)

// five messages that no size tells apart.
func five() []string {
	var texts []string
	for n := range 5 {
		texts = append(texts, fmt.Sprintf("Subject: letter %d\r\n\r\nText %d.\r\n", n+1, n+1))
	}
	return texts
}

// M10: a server leaves out one answer, or gives one twice. What comes under a number is
// that message or an error, and all before it comes.
func TestM10Miscounted(t *testing.T) {
	for _, command := range []string{"RETR", "TOP", "LIST"} {
		for k := 1; k <= 5; k++ {
			for _, times := range []int{0, 2} {
				for _, window := range []int{1, 2, 3, 512} {
					for _, o := range []popd.Options{{}, {NoPipelining: true}, {BareLF: true}} {
						name := fmt.Sprintf("%s %d/%d times/window %d/%v,%v", command, k, times, window,
							o.NoPipelining, o.BareLF)
						t.Run(name, func(t *testing.T) {
							o.Times = func(cmd string, n int) int {
								if cmd == command && n == k {
									return times
								}
								return 1
							}
							synctest.Test(t, func(t *testing.T) { miscounted(t, o, window, command == "TOP") })
						})
					}
				}
			}
		}
	}
}

func miscounted(t *testing.T, o popd.Options, window int, top bool) {
	options := over(serve(t, o, five()...))
	options.Window = window
	m := dial(t, options)
	entries := list(t, m)
	var got []fetched
	err := m.Retrieve(t.Context(), entries, collect(&got))
	if top {
		got = nil
		err = m.Top(t.Context(), entries, 100, collect(&got))
	}
	want := five()
	for i, g := range got {
		text := want[i]
		if o.BareLF {
			text = fmt.Sprintf("Subject: letter %d\n\nText %d.\n", i+1, i+1)
		}
		if g.err != nil || g.number != i+1 || g.text != text {
			t.Errorf("message %d is %q, error %v", g.number, g.text, g.err)
		}
	}
	if err == nil && len(got) != len(entries) {
		t.Errorf("%d messages and no error", len(got))
	}
	if err != nil && fault.HintOf(err) == "" {
		t.Errorf("no hint: %v", err)
	}
}

// M10: the answer to a LIST comes once more when the next call has begun, or has words
// behind the size. No message may begin with it.
func TestM10LateNames(t *testing.T) {
	for _, words := range []string{"", " octets"} {
		for twice := 1; twice <= 4; twice++ {
			o := popd.Options{Reply: func(cmd string, n int) ([]byte, bool) {
				raw := fmt.Appendf(nil, "+OK %d %d%s\r\n", n, 37, words)
				if n == twice {
					raw = append(raw, raw...)
				}
				return raw, cmd == "LIST" && n > 0
			}}
			for split := range 5 {
				t.Run(fmt.Sprintf("%q/%d/%d", words, twice, split), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { calledTwice(t, o, split) })
				})
			}
		}
	}
}

func calledTwice(t *testing.T, o popd.Options, split int) {
	m := dial(t, over(serve(t, o, five()...)))
	entries := list(t, m)
	var headers, got []fetched
	err := m.Top(t.Context(), entries[:split], 100, collect(&headers))
	if err == nil {
		err = m.Retrieve(t.Context(), entries[split:], collect(&got))
	}
	for _, g := range append(headers, got...) {
		if text := five()[g.number-1]; g.err != nil || g.text != text {
			t.Errorf("message %d is %q, error %v", g.number, g.text, g.err)
		}
	}
	if !errors.Is(err, pop.ErrOutOfStep) {
		t.Errorf("%v", err)
	}
}

// With several commands on their way it is noticed at once, and said.
func TestM10Said(t *testing.T) {
	for name, test := range map[string]struct {
		times map[string]int
		came  int
	}{
		"left out":       {map[string]int{"RETR 3": 0}, 2},
		"twice":          {map[string]int{"RETR 3": 2}, 2},
		"the last":       {map[string]int{"RETR 5": 0}, 4},
		"the first":      {map[string]int{"RETR 1": 0}, 0},
		"and its name":   {map[string]int{"RETR 3": 0, "LIST 3": 0}, 2},
		"name twice":     {map[string]int{"LIST 3": 2}, 3},
		"two for one":    {map[string]int{"RETR 2": 2, "RETR 3": 0}, 1},
		"names for mail": {map[string]int{"LIST 1": 2, "RETR 2": 0}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			o := popd.Options{Times: func(cmd string, n int) int {
				if times, ok := test.times[fmt.Sprintf("%s %d", cmd, n)]; ok {
					return times
				}
				return 1
			}}
			m := dial(t, over(serve(t, o, five()...)))
			got, err := retrieve(t.Context(), m, list(t, m))
			wantFault(t, err, fault.Protocol, "lost count", "one message at a time")
			if !errors.Is(err, pop.ErrOutOfStep) {
				t.Errorf("the cause is not ErrOutOfStep: %v", err)
			}
			if len(got) != test.came {
				t.Fatalf("%d messages came, want %d", len(got), test.came)
			}
			wantTexts(t, got, five()[:test.came])
			if err := m.Quit(t.Context()); err == nil {
				t.Error("QUIT works in a session that is out of step")
			}
		})
	}
}

// A server that does not know LIST of one message, or has it answer nothing, is noticed
// before the first message is believed, and is fine one message at a time.
func TestM10NoNames(t *testing.T) {
	for name, reply := range map[string]string{
		"refused": "-ERR unknown command\r\n", "says nothing": "+OK\r\n", "silent": "",
		"says the size": "+OK 120 octets\r\n", "lists all": "+OK\r\n1 20\r\n2 20\r\n.\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := popd.Options{Reply: func(cmd string, n int) ([]byte, bool) {
					return []byte(reply), cmd == "LIST" && n > 0
				}}
				server := serve(t, o, five()...)
				m := dial(t, over(server))
				got, err := retrieve(t.Context(), m, list(t, m))
				if !errors.Is(err, pop.ErrOutOfStep) || len(got) > 0 {
					t.Errorf("%d messages came with %v", len(got), err)
				}
				m = dial(t, over(server))
				m.OneByOne()
				if got, err = retrieve(t.Context(), m, list(t, m)); err != nil {
					t.Fatal(err)
				}
				wantTexts(t, got, five())
			})
		})
	}
}

// Twins are no miscount, though one that comes twice looks like a twin: the server is
// asked about each, where commands wait for answers.
func TestM10Twins(t *testing.T) {
	for _, o := range []popd.Options{{}, {NoPipelining: true}, {SizeOffset: 5}} {
		server := serve(t, o, "twin\r\n", "twin\r\n", "twin\r\n", "other\r\n", "twin\r\n")
		m := dial(t, over(server))
		entries := list(t, m)
		before := server.Counters().Commands["LIST"]
		got, err := retrieve(t.Context(), m, entries)
		if err != nil {
			t.Fatal(err)
		}
		wantTexts(t, got, []string{"twin\r\n", "twin\r\n", "twin\r\n", "other\r\n", "twin\r\n"})
		asked := server.Counters().Commands["LIST"] - before
		if want := map[bool]int{false: 5, true: 2}[o.NoPipelining]; asked != want {
			t.Errorf("%d LISTs, want %d", asked, want)
		}
	}
}

// A refusal of a message has its name behind it too, which may be a refusal as well.
func TestM10Refusals(t *testing.T) {
	server := serve(t, popd.Options{Refuse: map[int]string{2: "damaged"}}, five()...)
	m := dial(t, over(server))
	entries := list(t, m)
	server.Expunge(4) // its LIST is refused too
	var numbers []int
	err := m.Retrieve(t.Context(), entries, func(e pop.Entry, body io.Reader, err error) error {
		if err != nil {
			numbers = append(numbers, -e.Number)
			return nil
		}
		text, err := io.ReadAll(body)
		if string(text) != five()[e.Number-1] {
			t.Errorf("message %d is %q", e.Number, text)
		}
		numbers = append(numbers, e.Number)
		return err
	})
	if got := fmt.Sprint(numbers); err != nil || got != "[1 -2 3 -4 5]" {
		t.Errorf("got %s, %v", got, err)
	}
}
