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
	Delivered, Failed string // paths of SVG, which a page with many accounts makes fast
	Label             string
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
		if n > 0 {
			s.Delivered += bar(i, sparkHeight, max(sparkLeast, sparkHeight*n/most))
		}
		if d.Failed[i] > 0 {
			s.Failed += bar(i, sparkHeight+5, 3)
		}
	}
	s.Label = fmt.Sprintf("last 24 hours: %s delivered, %s",
		report.Count(delivered, "message"), report.Count(failures, "failure"))
	return s
}

// bar is that of an hour, so high, on a ground.
func bar(hour, ground, height int) string {
	return fmt.Sprintf("M%d %dh3v-%dh-3z", hour*sparkStep, ground, height)
}
