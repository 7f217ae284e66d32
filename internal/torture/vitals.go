package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// vitals are what must not grow in a process that lives long.
type vitals struct {
	RSS   int // in KiB
	Files int // descriptors
}

var rssLine = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// vitalsOf looks at a process.
func vitalsOf(pid int) (vitals, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return vitals{}, fmt.Errorf("the bridge is gone: %w", err)
	}
	rss := rssLine.FindSubmatch(status)
	if rss == nil {
		return vitals{}, fmt.Errorf("process %d has no memory: it ended", pid)
	}
	v := vitals{}
	v.RSS, _ = strconv.Atoi(string(rss[1])) // are digits
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	v.Files = len(files)
	return v, err
}

var goroutineField = regexp.MustCompile(`msg=alive goroutines=(\d+) `)

// goroutines are what the bridge said of itself, once a minute.
func (s *soaking) goroutines() (counts []int, err error) {
	text, err := os.ReadFile(s.log.Name())
	for _, m := range goroutineField.FindAllSubmatch(text, -1) {
		n, _ := strconv.Atoi(string(m[1])) // are digits
		counts = append(counts, n)
	}
	return counts, err
}

// flat judges what was watched: the median of the last quarter against that of the second.
func (s *soaking) flat(watched []vitals) error {
	goroutines, err := s.goroutines()
	if err != nil {
		return err
	}
	var rss, files []int
	for _, v := range watched {
		rss, files = append(rss, v.RSS>>10), append(files, v.Files)
	}
	s.grown("MiB of memory", rss, moreMemory+s.mails/2*octetsAMail>>20)
	s.grown("file descriptors", files, moreFiles)
	s.grown("goroutines", goroutines, moreGoroutines)
	return nil
}

// What the hour may do to the median of a quarter, though nothing leaks: how many accounts
// pass at once, and when the collector last ran. An hour moved it by 7 MiB, 1 descriptor and
// 2 goroutines, and 8 minutes by 5 of each of the latter. Half of the mail of a soak lies
// between the two quarters, and a bridge remembers a little of each.
const (
	moreMemory     = 8 // MiB
	octetsAMail    = 300
	moreFiles      = 8
	moreGoroutines = 16
)

// grown compares the quarters of a series, of which the last may be so much above the second.
func (s *soaking) grown(what string, series []int, allowed int) {
	if len(series) < 8 {
		s.figures.fail("%s: only %d samples; -duration is too short", what, len(series))
		return
	}
	n := len(series)
	before, after := median(series[n/4:n/2]), median(series[3*n/4:])
	s.figures.note("%s: %d in the second quarter of the time, %d in the last one (medians), %d at most; %d samples",
		what, before, after, slices.Max(series), n)
	if after > before+allowed {
		s.figures.fail("%s grow: %d in the second quarter, %d in the last one; %d more may be", what, before, after, allowed)
	}
}

func median(series []int) int {
	sorted := slices.Sorted(slices.Values(series))
	return sorted[len(sorted)/2]
}

// minDuration gives every quarter of a soak two of the bridge's minutes.
const minDuration = 8 * time.Minute
