package report

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/ferry"
)

// lineEvery is how often an account's progress is worth a line where nobody can
// take it back: in a log.
const lineEvery = 5 * time.Second

// lines tells of the work in timed lines, for logs and pipes.
type lines struct {
	mu      sync.Mutex
	w       io.Writer
	now     func() time.Time
	verbose bool
	tally   *tally
	stepped time.Time // when step wrote last
}

func (l *lines) observe(ev ferry.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	w := l.tally.take(ev)
	switch text := news(ev, w, now); {
	case ev.Kind == ferry.Started:
		w.told = now
		l.line(now, w.name+": started")
	case text != "":
		w.told = now
		l.line(now, w.name+": "+text)
	case ev.Kind == ferry.Deleted:
		l.line(now, w.name+": "+Count(ev.Messages, "message")+" "+ev.Text)
	case ev.Kind == ferry.Planned, ev.Kind == ferry.Killed:
	case l.verbose || now.Sub(w.told) >= lineEvery:
		w.told = now
		l.line(now, w.name+": "+w.state(now))
	}
}

func (l *lines) say(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.w, text)
}

func (l *lines) step(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.stepped.IsZero() { // the work may be done before anybody asks
		l.stepped = now
	}
	if l.verbose || now.Sub(l.stepped) >= lineEvery {
		l.stepped = now
		l.line(now, text)
	}
}

// line writes a line. Nothing can be done about an error output that is gone.
func (l *lines) line(now time.Time, text string) {
	fmt.Fprintf(l.w, "%s %s\n", now.Format("15:04:05"), text)
}

func (l *lines) close() {}
