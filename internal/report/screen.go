package report

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"

	"github.com/popferry/popferry/internal/ferry"
)

const (
	// redrawEvery bounds how often the screen is drawn, tickEvery how long it
	// stands still while nothing happens.
	redrawEvery = 100 * time.Millisecond
	tickEvery   = 500 * time.Millisecond
	// maxRows is how many accounts at work get a line of their own.
	maxRows = 8
)

// canDraw reports whether the terminal obeys ECMA-48, as all but the oldest do.
func canDraw(getenv func(string) string) bool {
	if runtime.GOOS == "windows" {
		return getenv("WT_SESSION") != "" // Windows Terminal
	}
	return getenv("TERM") != "dumb" && getenv("TERM") != ""
}

// screen tells of the work on a terminal: what is over scrolls up, and below it
// stand a bar for all and a line for each account at work, drawn anew in place.
type screen struct {
	mu    sync.Mutex
	w     io.Writer
	width int
	now   func() time.Time
	tally *tally
	bar   *progressbar.ProgressBar
	drawn int // lines that stand below
	last  time.Time
	// stepped is the line of step.
	stepped string
	stop    chan struct{}
	once    sync.Once
	ended   bool
}

func newScreen(w io.Writer, width int, now func() time.Time) *screen {
	s := &screen{w: w, width: width, now: now, tally: newTally(), stop: make(chan struct{})}
	s.bar = progressbar.NewOptions64(1, progressbar.OptionSetWriter(io.Discard),
		progressbar.OptionShowBytes(true), progressbar.OptionShowTotalBytes(true),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false), progressbar.OptionThrottle(0),
		progressbar.OptionSetWidth(min(max(width-66, 8), 40)),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░"}))
	return s
}

// tick draws while nothing happens, so that times go on.
func (s *screen) tick() {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.mu.Lock()
			s.draw("", true)
			s.mu.Unlock()
		case <-s.stop:
			return
		}
	}
}

func (s *screen) observe(ev ferry.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.once.Do(func() {
		s.bar.StartWithoutRender()
		go s.tick()
	})
	w := s.tally.take(ev)
	text := ""
	// What an account plans, and that it waits, is in its own line already.
	if ev.Kind != ferry.Planned && ev.Kind != ferry.Waiting {
		if text = news(ev, w, s.now()); text != "" {
			text = (textFormat{color: true}).paint(toneOf(ev), w.name) + ": " + text
		}
	}
	s.draw(text, text != "")
}

func (s *screen) say(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draw(text, true)
}

func (s *screen) step(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stepped = " " + text
	s.draw("", false)
}

func (s *screen) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	close(s.stop)
	end := s.erase()
	if !s.last.IsZero() {
		end += "\n" // sets off the result
	}
	io.WriteString(s.w, end)
	s.drawn = 0
}

// draw writes a line that stays, if there is one, and the lines below it anew.
func (s *screen) draw(text string, now bool) {
	if !now && s.now().Sub(s.last) < redrawEvery {
		return
	}
	s.last = s.now()
	var b strings.Builder
	b.WriteString(s.erase())
	if text != "" {
		b.WriteString(text + "\n")
	}
	s.drawn = 0
	if !s.ended {
		rows := s.rows()
		// Lines too long for the terminal are cut, not wrapped (DECAWM), or
		// erase would miss a part of them.
		b.WriteString("\x1b[?7l" + strings.Join(rows, "\n") + "\x1b[?7h")
		s.drawn = len(rows)
	}
	io.WriteString(s.w, b.String()) // a terminal that is gone is no reason to stop
}

// erase takes back what draw wrote below.
func (s *screen) erase() string {
	switch s.drawn {
	case 0:
		return ""
	case 1:
		return "\r\x1b[J"
	}
	return fmt.Sprintf("\r\x1b[%dA\x1b[J", s.drawn-1)
}

// rows are the lines that stand below: one for all, one for each account.
func (s *screen) rows() []string {
	t := s.tally
	if len(t.active) == 0 {
		if s.stepped != "" {
			return []string{s.stepped}
		}
		return nil
	}
	rows := []string{s.summary()}
	name := 0
	shown := t.active[:min(len(t.active), maxRows)]
	for _, w := range shown {
		name = max(name, len([]rune(w.name)))
	}
	for _, w := range shown {
		rows = append(rows, fmt.Sprintf("  %-*s  %s", min(name, 32), w.name, w.state(s.now())))
	}
	if more := len(t.active) - len(shown); more > 0 {
		rows = append(rows, "  and "+Count(more, "more account"))
	}
	return rows
}

// summary is the bar. Its maximum is one more than what is planned: a bar that
// was full once never moves again, and more may be planned yet.
func (s *screen) summary() string {
	t := s.tally
	if t.octets == 0 {
		return " " + Count(len(t.active), "account") + " at work"
	}
	s.bar.ChangeMax64(t.octets + 1)
	s.bar.Set64(t.moved) // fails only beyond its maximum, where tally never goes
	bar := strings.TrimSpace(s.bar.String())
	line := fmt.Sprintf(" %s %s/%s msg", bar, humanize.Comma(int64(t.done)), humanize.Comma(int64(t.planned)))
	// At first the rate is a guess, and in the last second nobody asks.
	if state := s.bar.State(); state.SecondsSince > 1 && state.SecondsLeft > 1 && t.moved > 0 {
		line += ", " + Duration(seconds(state.SecondsLeft)) + " left"
	}
	return line
}
