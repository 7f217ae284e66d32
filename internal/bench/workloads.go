package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The workloads that targets refer to.
const (
	nearCase  = "near"
	farCase   = "far"
	manyCase  = "many"
	largeCase = "large"
	idleCase  = "idle"
	tripsCase = "trips"
)

// workload is one row of what is measured.
type workload struct {
	Name  string
	Title string
	Mail  mailbox
	Trip  time.Duration
	Lacks lacks
	// Rounds is how often the programs run in turn, Slow how often movemail and fdm do, which
	// take minutes where a round trip is long.
	Rounds int
	Slow   map[string]int
	// SlowMail is a smaller mailbox for these two, if it is not empty.
	SlowMail mailbox
	// OnlyOurs leaves all programs out but popferry.
	OnlyOurs bool
	// Again runs popferry that often over the same mail before it is measured: nothing is new.
	Again int
}

// rounds returns how often a program is to run.
func (w workload) rounds(tool string) int {
	switch {
	case tool == popferry:
		return w.Rounds
	case w.OnlyOurs:
		return 0
	case tool == rawLimit:
		return w.Rounds
	}
	return w.Slow[tool]
}

// mail returns the mailbox for a program.
func (w workload) mail(tool string) mailbox {
	if (tool == movemail || tool == fdm) && w.SlowMail.count() > 0 {
		return w.SlowMail
	}
	return w.Mail
}

// workloads returns what is measured, in the order of the table. The seeds are chosen for the
// sizes: 34 MB in 2,000 messages, 8 MB in 400.
func workloads(o options) ([]workload, error) {
	const ms = time.Millisecond
	few := mailbox{Messages: 400, Seed: 7}
	fewer := mailbox{Messages: 100, Seed: 7}
	many := mailbox{Messages: 30_000, Seed: 100}
	once := map[string]int{movemail: 1, fdm: 1}
	list := []workload{
		{Name: nearCase, Title: "2,000 messages, 0 ms", Rounds: 5,
			Mail: mailbox{Messages: 2000, Seed: 36}, Slow: map[string]int{movemail: 3, fdm: 1}},
		{Name: "20ms", Title: "400 messages, 20 ms", Mail: few, Trip: 20 * ms, Rounds: 5, Slow: once},
		{Name: farCase, Title: "400 messages, 50 ms", Mail: few, Trip: 50 * ms, Rounds: 5, Slow: once},
		{Name: "100ms", Title: "400 messages, 100 ms", Mail: few, Trip: 100 * ms, Rounds: 3,
			Slow: once, SlowMail: fewer},
		{Name: "no-pipelining", Title: "400 messages, 20 ms, no PIPELINING",
			Mail: few, Trip: 20 * ms, Rounds: 3, Lacks: lacks{Pipelining: true}},
		{Name: "no-literal", Title: "400 messages, 20 ms, no LITERAL+",
			Mail: few, Trip: 20 * ms, Rounds: 3, Lacks: lacks{LiteralPlus: true}},
		{Name: "no-multiappend", Title: "400 messages, 20 ms, no MULTIAPPEND",
			Mail: few, Trip: 20 * ms, Rounds: 3, Lacks: lacks{MultiAppend: true}},
		{Name: "nothing", Title: "400 messages, 20 ms, none of the three",
			Mail: few, Trip: 20 * ms, Rounds: 3, Lacks: lacks{true, true, true}},
		{Name: manyCase, Title: "30,000 messages, 0 ms", Mail: many, Rounds: 1},
		{Name: largeCase, Title: "one message of 300 MB, 0 ms", Rounds: 1, OnlyOurs: true,
			Mail: mailbox{Large: 300_000_000}},
		{Name: idleCase, Title: "30,000 messages, nothing new, 0 ms", Mail: many,
			Rounds: 3, OnlyOurs: true, Again: 1},
		{Name: tripsCase, Title: "30,000 messages, nothing new, 20 ms", Mail: many,
			Trip: 20 * ms, Rounds: 1, OnlyOurs: true, Again: 1},
	}
	if o.Quick {
		for i := range list {
			list[i] = list[i].smoke()
		}
	}
	return only(list, o.Only)
}

// only picks workloads by their names, separated by commas; no names pick all.
func only(list []workload, names string) ([]workload, error) {
	if names == "" {
		return list, nil
	}
	var picked []workload
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(list, func(w workload) bool { return w.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no workload %q", name)
		}
		picked = append(picked, list[i])
	}
	return picked, nil
}

// smoke makes a workload a matter of a second or two.
func (w workload) smoke() workload {
	small := func(m mailbox) mailbox {
		m.Messages /= 20
		m.Large /= 20
		return m
	}
	w.Title = "smoke run of: " + w.Title
	w.Mail, w.SlowMail = small(w.Mail), small(w.SlowMail)
	if w.Trip > 0 {
		w.Rounds = 1
	}
	if w.Slow != nil {
		w.Slow = map[string]int{movemail: 1, fdm: 1}
		w.SlowMail = mailbox{Messages: 5, Seed: 7}
	}
	return w
}
