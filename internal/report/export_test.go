package report

import (
	"io"
	"time"

	"github.com/popferry/popferry/internal/ferry"
)

// Screen is what a user with a terminal of this width sees, for tests.
type Screen struct{ *screen }

func NewScreen(w io.Writer, width int, now func() time.Time) Screen {
	return Screen{newScreen(w, width, now)}
}

func (s Screen) Observe(ev ferry.Event) { s.observe(ev) }
func (s Screen) Say(text string)        { s.say(text) }
func (s Screen) Step(text string)       { s.step(text) }
func (s Screen) Close()                 { s.close() }

// Table is a result on a terminal of this width.
func Table(w io.Writer, width int, r Result) error { return textFormat{width: width}.write(w, r) }
