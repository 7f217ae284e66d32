package main

import (
	"fmt"
	"io"
	"slices"
)

// target is a promise and whether it was kept.
type target struct {
	Name  string  `json:"name"`
	State string  `json:"state"` // "PASS", "FAIL" or "SKIP"
	Value float64 `json:"value"`
	Limit float64 `json:"limit"`
	Text  string  `json:"text"` // value, limit and unit; or why it was not judged
}

const (
	pass = "PASS"
	fail = "FAIL"
	skip = "SKIP"
)

// promise is a target before it is judged, for one workload.
type promise struct {
	workload, what string
	judge          func(c measured) target
}

// promises are the targets of single workloads.
func promises() []promise {
	pop := func(o oneRun) float64 { return float64(o.POPTrips) }
	imap := func(o oneRun) float64 { return float64(o.IMAPTrips) }
	return []promise{
		{nearCase, "popferry to raw limit", againstLimit},
		{farCase, "popferry to raw limit", againstLimit},
		{nearCase, "movemail to popferry", againstMovemail(8)},
		{farCase, "movemail to popferry", againstMovemail(75)},
		{manyCase, "memory", memory},
		{largeCase, "memory", memory},
		{idleCase, "memory", memory},
		{idleCase, "time", idle},
		{tripsCase, "round trips, POP3", trips(pop)},
		{tripsCase, "round trips, IMAP", trips(imap)},
	}
}

// judge holds a result against all targets. A smoke run is too small to say anything.
func judge(r result) []target {
	if r.Quick {
		return nil
	}
	var targets []target
	for _, p := range promises() {
		c, ok := r.find(p.workload)
		t := skipped("not measured")
		if ok {
			t = p.judge(c)
		}
		t.Name = c.Title + ": " + p.what
		targets = append(targets, t)
	}
	return append(targets, losses(r))
}

// find returns a workload; one that was not measured has a title and no more.
func (r result) find(name string) (c measured, ok bool) {
	for _, c := range r.Cases {
		if c.Name == name {
			return c, true
		}
	}
	return measured{Title: name}, false
}

// median returns the middle value, or the mean of the two in the middle.
func median(values []float64) (float64, bool) {
	n := len(values)
	if n == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2, true
}

// atMost judges a value that has to be small; format writes it and its limit.
func atMost(value, limit float64, format string) target {
	t := target{State: pass, Value: value, Limit: limit,
		Text: fmt.Sprintf(format+", at most "+format, value, limit)}
	if value > limit {
		t.State = fail
	}
	return t
}

func atLeast(value, limit float64, format string) target {
	t := target{State: pass, Value: value, Limit: limit,
		Text: fmt.Sprintf(format+", at least "+format, value, limit)}
	if value < limit {
		t.State = fail
	}
	return t
}

// skipped is for what others are the reason of; failed is for popferry itself having no result.
func skipped(why string) target { return target{State: skip, Text: why} }
func failed(why string) target  { return target{State: fail, Text: why} }

func againstLimit(c measured) target {
	ours, ok := c.of(popferry).seconds()
	if !ok {
		return failed("popferry: " + c.of(popferry).excuse())
	}
	raw, ok := c.of(rawLimit).seconds()
	if !ok {
		return failed("raw limit: " + c.of(rawLimit).excuse())
	}
	return atMost(ours/raw, 1.5, "%.2f ×")
}

func againstMovemail(least float64) func(c measured) target {
	return func(c measured) target {
		ours, ok := c.of(popferry).seconds()
		if !ok {
			return failed("popferry: " + c.of(popferry).excuse())
		}
		theirs, ok := c.of(movemail).seconds()
		if !ok {
			return skipped("movemail: " + c.of(movemail).excuse())
		}
		return atLeast(theirs/ours, least, "%.1f ×")
	}
}

func memory(c measured) target {
	most, ok := c.of(popferry).largest(func(o oneRun) float64 { return mebibytes(o.MaxRSS) })
	switch {
	case !ok:
		return failed("popferry: " + c.of(popferry).excuse())
	case most == 0:
		return skipped("this system does not tell")
	}
	return atMost(most, 96, "%.0f MiB")
}

func idle(c measured) target {
	seconds, ok := c.of(popferry).seconds()
	if !ok {
		return failed("popferry: " + c.of(popferry).excuse())
	}
	return atMost(seconds, 3, "%.2f s")
}

func trips(of func(oneRun) float64) func(c measured) target {
	return func(c measured) target {
		most, ok := c.of(popferry).largest(of)
		if !ok {
			return failed("popferry: " + c.of(popferry).excuse())
		}
		return atMost(most, 12, "%.0f")
	}
}

// largest returns the largest value of the runs that finished.
func (s *series) largest(value func(oneRun) float64) (float64, bool) {
	if s == nil {
		return 0, false
	}
	most, ok := 0.0, false
	for _, run := range s.Runs {
		if run.finished() {
			most, ok = max(most, value(run)), true
		}
	}
	return most, ok
}

// losses wants each message to be there once and unchanged after each run of popferry.
func losses(r result) target {
	wrong, runs := 0, 0
	for _, c := range r.Cases {
		s := c.of(popferry)
		for _, run := range s.Runs {
			wrong += run.wrong(s.Messages)
			runs++
		}
	}
	t := failed("popferry was not run")
	if runs > 0 {
		t = atMost(float64(wrong), 0, "%.0f")
	}
	t.Name = "messages that popferry lost, altered or doubled"
	return t
}

// verdict prints one line per target, and returns errMissed if one failed.
func verdict(w io.Writer, targets []target) error {
	var missed error
	for _, t := range targets {
		if _, err := fmt.Fprintf(w, "%s %s: %s\n", t.State, t.Name, t.Text); err != nil {
			return err
		}
		if t.State == fail {
			missed = errMissed
		}
	}
	return missed
}
