package page

import (
	"context"
	"io"
	"net/http"
	"time"
)

const (
	// maxStreams leaves connections for those who ask for a page.
	maxStreams = 10
	// eventEvery is how far apart events are at least: more is more than people read.
	eventEvery = time.Second
	// beatEvery finds out that a reader is gone.
	beatEvery = 20 * time.Second
	// streamFor bounds a stream, so that who never reads does not keep it; browsers
	// come back by themselves.
	streamFor = 10 * time.Minute
	eventIn   = 10 * time.Second
)

// events tells that there is something new to see, as server-sent events, and not what.
func (s *site) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		w.Header().Set("Retry-After", "30")
		refuse(w, http.StatusServiceUnavailable, "Too many people are watching.")
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), streamFor)
	defer cancel()
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // it would end the stream like a lost reader
	for what := "retry: 3000\nevent: changed\ndata: 1\n\n"; ; {
		changed := s.Changed() // before it is told, so that nothing falls between
		_ = control.SetWriteDeadline(time.Now().Add(eventIn))
		if _, err := io.WriteString(w, what); err != nil || control.Flush() != nil {
			return
		}
		if !pause(ctx) {
			return
		}
		select {
		case <-changed:
			what = "event: changed\ndata: 1\n\n"
		case <-time.After(beatEvery):
			what = ": still here\n\n"
		case <-ctx.Done():
			return
		}
	}
}

// pause returns false when there is no more to wait for.
func pause(ctx context.Context) bool {
	select {
	case <-time.After(eventEvery):
		return true
	case <-ctx.Done():
		return false
	}
}
