package report

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
)

// Options say how the user wants to read. Only the streams are required.
type Options struct {
	// Stdout gets data, Stderr gets talk. Either is a terminal if it is a file
	// that is one.
	Stdout, Stderr io.Writer
	// JSON writes data as JSON instead of text.
	JSON bool
	// Files are where the result goes too, each in the form that its name ends in.
	Files []string
	// Quiet says nothing unless something is not well; Verbose says more.
	Quiet, Verbose bool
	// Getenv is os.Getenv, or a stand-in.
	Getenv func(string) string
	// Now is time.Now, or a stand-in.
	Now func() time.Time
}

// Output is where one command shows what it does and did. Its methods may be
// called from several goroutines.
type Output struct {
	options  Options
	data     format
	files    []format // in the order of options.Files
	progress progress
}

// New chooses the forms. A --report name with an unknown end is a fault with the
// code Usage.
func New(o Options) (*Output, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	out := &Output{options: o, data: o.dataFormat(), progress: o.progress()}
	for _, name := range o.Files {
		form, err := formatOf(name)
		if err != nil {
			return nil, err
		}
		out.files = append(out.files, form)
	}
	for _, name := range o.Files {
		if err := writable(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (o Options) dataFormat() format {
	if o.JSON {
		return jsonFormat{}
	}
	width, terminal := terminalWidth(o.Stdout)
	return textFormat{width: width, color: terminal && o.colorful()}
}

// colorful follows https://no-color.org.
func (o Options) colorful() bool { return o.Getenv("NO_COLOR") == "" && o.Getenv("TERM") != "dumb" }

func (o Options) progress() progress {
	width, terminal := terminalWidth(o.Stderr)
	switch {
	case o.Quiet:
		return silence{}
	case terminal && !o.Verbose && canDraw(o.Getenv):
		return newScreen(o.Stderr, width, o.Now)
	}
	return &lines{w: o.Stderr, now: o.Now, verbose: o.Verbose, tally: newTally()}
}

// terminalWidth is how many characters fit in a line; ok is false for what is
// not a terminal.
func terminalWidth(w io.Writer) (width int, ok bool) {
	file, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return width, true
}

// Observe shows an event of the work.
func (o *Output) Observe(ev ferry.Event) { o.progress.observe(ev) }

// Step says how far the work is, in one line that replaces the one before, for work
// of which there are no events.
func (o *Output) Step(format string, args ...any) {
	o.progress.step(Harmless(fmt.Sprintf(format, args...)))
}

// Say tells the user something beside the progress, unless asked to be quiet.
func (o *Output) Say(format string, args ...any) {
	o.progress.say(fmt.Sprintf(format, args...))
}

// Show ends the progress and writes the result.
func (o *Output) Show(r Result) error {
	o.progress.close()
	s := r.Sheet()
	if !o.options.Quiet || o.options.JSON || !s.Deed || s.ExitCode != fault.OK {
		if err := o.data.write(o.options.Stdout, r); err != nil {
			return fault.New(fault.State, "write the result: %w", err).
				WithHint("check where the standard output goes: a full disk, a pipe that was closed")
		}
	}
	var failed error
	for i, name := range o.options.Files {
		err := WriteFile(name, func(w io.Writer) error { return o.files[i].write(w, r) })
		failed = errors.Join(failed, err)
	}
	return failed
}

// Close ends the progress if no result was shown. It may be called twice.
func (o *Output) Close() { o.progress.close() }
