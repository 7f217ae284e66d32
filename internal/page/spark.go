package page

import (
	"fmt"

	"github.com/popferry/popferry/internal/report"
)

// Sizes of a picture, in its own units.
const (
	sparkStep   = 4
	sparkHeight = 20
	// An hour in which something was delivered is to be seen, however little it was.
	sparkLeast = 2
)

// spark is a small picture of the last 24 hours: a bar for each in which something was
// delivered, and a mark below for each in which a pass failed.
type spark struct {
	Bars  []bar
	Label string
}

type bar struct {
	X, Y, Height int
	Failed       bool
}

func newSpark(d *day) spark {
	if d == nil {
		return spark{Label: "not known"}
	}
	var s spark
	most, delivered, failures := 0, 0, 0
	for i, n := range d.Delivered {
		most = max(most, n)
		delivered += n
		failures += d.Failed[i]
	}
	for i, n := range d.Delivered {
		b := bar{X: i * sparkStep, Failed: d.Failed[i] > 0}
		if n > 0 {
			b.Height = max(sparkLeast, sparkHeight*n/most)
		}
		b.Y = sparkHeight - b.Height
		s.Bars = append(s.Bars, b)
	}
	s.Label = fmt.Sprintf("last 24 hours: %s delivered, %s", report.Count(delivered, "message"), report.Count(failures, "failure"))
	return s
}
