package bridge

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// waitingLines is how many lines may wait for whoever reads the log.
const waitingLines = 1000

// Unhurried is a writer for the log of a bridge, which must go on although nobody takes what
// it says: a full pipe would stop every account at its next line. Each Write is a line, which
// waits, or is lost where too many do.
type Unhurried struct {
	to    io.Writer
	lines chan []byte
	over  chan struct{}

	mu     sync.Mutex
	closed bool
	lost   int
	tell   func(lost int)
}

// NewUnhurried makes one that writes to w. The caller has to call Close.
func NewUnhurried(w io.Writer) *Unhurried {
	u := &Unhurried{to: w, lines: make(chan []byte, waitingLines), over: make(chan struct{})}
	go u.run()
	return u
}

// Tell has tell called, once lines are taken again, with how many were lost.
func (u *Unhurried) Tell(tell func(lost int)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tell = tell
}

// Write never waits and never fails.
func (u *Unhurried) Write(line []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return len(line), nil
	}
	select {
	case u.lines <- bytes.Clone(line):
	default:
		u.lost++
	}
	return len(line), nil
}

// Close waits, but not longer than limit, until all lines were taken.
func (u *Unhurried) Close(limit time.Duration) {
	u.mu.Lock()
	if !u.closed {
		u.closed = true
		close(u.lines)
	}
	u.mu.Unlock()
	select {
	case <-u.over:
	case <-time.After(limit):
	}
}

func (u *Unhurried) run() {
	defer close(u.over)
	for line := range u.lines {
		// There is no other place to say that the log can't be written.
		_, _ = u.to.Write(line)
		if tell, lost := u.takeLost(); lost > 0 {
			tell(lost)
		}
	}
}

// takeLost returns how many lines were lost, if there is somebody to tell and room for it.
func (u *Unhurried) takeLost() (tell func(int), lost int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.tell == nil || len(u.lines) > waitingLines/2 {
		return nil, 0
	}
	lost, u.lost = u.lost, 0
	return u.tell, lost
}
