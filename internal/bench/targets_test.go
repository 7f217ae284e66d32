package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// sample is a result in which everything is as promised.
func sample() result {
	run := func(seconds float64, n int) oneRun {
		return oneRun{cost: cost{Seconds: seconds, MaxRSS: 50 << 20}, outcome: outcome{n, n},
			POPTrips: 4, IMAPTrips: 12}
	}
	r := result{Date: time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC), Seconds: 600,
		Machine: machine{Cores: 2, Programs: map[string]string{"dovecot": "2.3 & <later>"}}}
	for _, name := range []string{nearCase, farCase, manyCase, largeCase, idleCase, tripsCase} {
		c := measured{Name: name, Title: "400 messages, 50 ms", Messages: 400, Bytes: 8e6}
		c.Series = []series{
			{Tool: rawLimit, Messages: 400, Runs: []oneRun{run(1, 400)}},
			{Tool: popferry, Messages: 400, Runs: []oneRun{run(1, 400), run(9, 400), run(1.5, 400)}},
			{Tool: movemail, Messages: 400, Runs: []oneRun{run(113, 400)}},
			{Tool: fdm, Missing: "not installed"},
		}
		if name == tripsCase {
			c.TripMS = 20
		}
		r.Cases = append(r.Cases, c)
	}
	return r
}

func states(targets []target) string {
	var b strings.Builder
	for _, t := range targets {
		b.WriteByte(t.State[0])
	}
	return b.String()
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(r *result)
		want   string // P, F or S for each target
	}{
		{"all well", func(*result) {}, "PPPPPPPPPPP"},
		{"slow", func(r *result) { r.Cases[0].Series[1].Runs[2].Seconds = 1.51 }, "FPPPPPPPPPP"},
		{"movemail nearly as fast", func(r *result) { r.Cases[1].Series[2].Runs[0].Seconds = 112 },
			"PPPFPPPPPPP"},
		{"no movemail", func(r *result) {
			r.Cases[1].Series[2] = series{Tool: movemail, Missing: "not installed"}
		}, "PPPSPPPPPPP"},
		{"memory in one run", func(r *result) { r.Cases[3].Series[1].Runs[0].MaxRSS = 97 << 20 },
			"PPPPPFPPPPP"},
		{"idle slow", func(r *result) { r.Cases[4].Series[1].Runs[2].Seconds = 3.1 }, "PPPPPPPFPPP"},
		{"a trip too many", func(r *result) { r.Cases[5].Series[1].Runs[0].IMAPTrips = 13 },
			"PPPPPPPPPFP"},
		{"one altered", func(r *result) { r.Cases[2].Series[1].Runs[0].Intact = 399 }, "PPPPPPPPPPF"},
		{"popferry fails", func(r *result) {
			for i := range r.Cases[0].Series[1].Runs {
				r.Cases[0].Series[1].Runs[i].Exit = 65
			}
		}, "FPFPPPPPPPP"},
		{"one workload", func(r *result) { r.Cases = r.Cases[:1] }, "PSPSSSSSSSP"},
		{"smoke", func(r *result) { r.Quick = true }, ""},
	} {
		r := sample()
		c.change(&r)
		targets := judge(r)
		if got := states(targets); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		var said strings.Builder
		err := verdict(&said, targets)
		if missed := strings.Contains(c.want, "F"); errors.Is(err, errMissed) != missed {
			t.Errorf("%s: verdict is %v", c.name, err)
		}
		if got := strings.Count(said.String(), "\n"); got != len(c.want) {
			t.Errorf("%s: %d lines", c.name, got)
		}
	}
}
