package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// thousands writes an integer with commas.
func thousands[N int | int64](n N) string {
	digits := strconv.FormatInt(int64(n), 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// duration writes seconds with three digits that matter.
func duration(seconds float64) string {
	switch {
	case seconds >= 99.95:
		return fmt.Sprintf("%.0f s", seconds)
	case seconds >= 9.995:
		return fmt.Sprintf("%.1f s", seconds)
	}
	return fmt.Sprintf("%.2f s", seconds)
}

// rate writes how many messages there are a second.
func rate(perSecond float64) string {
	if perSecond < 9.95 {
		return fmt.Sprintf("%.1f/s", perSecond)
	}
	return thousands(int(perSecond+0.5)) + "/s"
}

// excuse says why there is no time, "" if there is one.
func (s *series) excuse() string {
	if s == nil {
		return "–"
	}
	if _, ok := s.seconds(); ok {
		return ""
	}
	if len(s.Runs) == 0 {
		return cmp.Or(s.Missing, "not run")
	}
	last := s.Runs[len(s.Runs)-1]
	if last.TimedOut {
		return fmt.Sprintf("stopped after %s with %s messages",
			duration(last.Seconds), thousands(last.Delivered))
	}
	return fmt.Sprintf("failed with exit status %d", last.Exit)
}
