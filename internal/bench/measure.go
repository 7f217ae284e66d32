package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// patientFor is how long one run of a program may take.
const patientFor = 6 * time.Minute

// result is everything that was measured; bench.json is just that.
type result struct {
	Date    time.Time  `json:"date"`
	Quick   bool       `json:"quick"`
	Seconds float64    `json:"seconds"`
	Machine machine    `json:"machine"`
	Cases   []measured `json:"cases"`
	Targets []target   `json:"targets"`
}

// measured is one workload with what came of it.
type measured struct {
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	TripMS   int64    `json:"round_trip_ms"`
	Lacks    lacks    `json:"lacks"`
	Messages int      `json:"messages"`
	Bytes    int64    `json:"bytes"`
	Series   []series `json:"series"`
}

// series is what one program did with a workload.
type series struct {
	Tool     string   `json:"tool"`
	Missing  string   `json:"missing,omitempty"` // why there are no runs
	Messages int      `json:"messages"`          // may be fewer than those of the workload
	Runs     []oneRun `json:"runs"`
	scene    *scene   // kept from round to round where nothing is new
}

// oneRun is one run of one program.
type oneRun struct {
	cost
	outcome
	// POPTrips and IMAPTrips bound the round trips from above, where there was a line.
	POPTrips  int `json:"pop_trips,omitempty"`
	IMAPTrips int `json:"imap_trips,omitempty"`
}

// finished tells whether the program came to an end and said that all is well.
func (r oneRun) finished() bool { return !r.TimedOut && r.Exit == 0 }

// of returns the series of a program.
func (m measured) of(tool string) *series {
	for i := range m.Series {
		if m.Series[i].Tool == tool {
			return &m.Series[i]
		}
	}
	return nil
}

// seconds returns the median of the runs that finished, and false if there are none.
func (s *series) seconds() (float64, bool) {
	if s == nil {
		return 0, false
	}
	var all []float64
	for _, r := range s.Runs {
		if r.finished() {
			all = append(all, r.Seconds)
		}
	}
	return median(all)
}

// measurer runs the programs.
type measurer struct {
	stage    *stage
	tools    []*tool
	log      io.Writer
	deadline time.Time
}

// measure runs all programs in turn, as often as the workload wants.
func (m *measurer) measure(ctx context.Context, w workload) (c measured, err error) {
	c = measured{Name: w.Name, Title: w.Title, TripMS: w.Trip.Milliseconds(), Lacks: w.Lacks,
		Messages: w.Mail.count()}
	for _, t := range m.tools {
		s := series{Tool: t.name, Missing: t.missing, Messages: w.mail(t.name).count()}
		if w.rounds(t.name) > 0 {
			c.Series = append(c.Series, s)
		}
	}
	defer func() {
		for i := range c.Series {
			if kept := c.Series[i].scene; kept != nil {
				_ = kept.close()
			}
		}
	}()
	for round := range w.Rounds {
		for _, t := range m.tools {
			s := c.of(t.name)
			if s == nil || round >= w.rounds(t.name) || s.Missing != "" {
				continue
			}
			if err := m.round(ctx, w, t, &c, s); err != nil {
				return c, fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	return c, nil
}

// round does one run of one program, unless the time is up.
func (m *measurer) round(ctx context.Context, w workload, t *tool, c *measured, s *series) error {
	patience := m.patience(t.name)
	if patience <= 0 {
		if len(s.Runs) == 0 {
			s.Missing = "left out: the time was up"
		}
		return nil
	}
	if err := m.prepare(ctx, w, t, s); err != nil || s.Missing != "" {
		return err
	}
	if s.Messages == c.Messages {
		c.Bytes = s.scene.bytes
	}
	r, err := m.run(ctx, patience, t, s.scene)
	if err != nil {
		return err
	}
	s.Runs = append(s.Runs, r)
	m.report(w, t, r)
	if w.Again == 0 {
		err = s.scene.close()
		s.scene = nil
	}
	return err
}

// patience is how long a run may take. What is slow has to be done before the time is up.
func (m *measurer) patience(tool string) time.Duration {
	if tool == movemail || tool == fdm {
		return min(patientFor, time.Until(m.deadline))
	}
	return patientFor
}

// prepare sets the scene, and has popferry carry the mail once where nothing is to be new.
func (m *measurer) prepare(ctx context.Context, w workload, t *tool, s *series) error {
	if s.scene != nil {
		return nil
	}
	var err error
	if s.scene, err = m.stage.set(w.mail(t.name), w.Lacks, w.Trip); err != nil {
		return err
	}
	for range w.Again {
		r, err := m.run(ctx, patientFor, t, s.scene)
		if err != nil {
			return err
		}
		if !r.finished() {
			s.Missing = fmt.Sprintf("the run before failed with exit status %d", r.Exit)
			m.report(w, t, r)
			return nil
		}
	}
	return nil
}

// run runs a program once and looks at what arrived.
func (m *measurer) run(
	ctx context.Context, patience time.Duration, t *tool, c *scene,
) (r oneRun, err error) {
	argv, err := t.command(t.program, c)
	if err != nil {
		return r, err
	}
	before := c.trips()
	if r.cost, err = launch(ctx, patience, argv, []string{"HOME=" + c.dir}); err != nil {
		return r, err
	}
	after := c.trips()
	r.POPTrips, r.IMAPTrips = after[0]-before[0], after[1]-before[1]
	r.outcome, err = c.check()
	return r, err
}

// trips returns how many round trips each side has seen.
func (c *scene) trips() (n [2]int) {
	for side, l := range c.lines {
		if l != nil {
			n[side] = l.trips()
		}
	}
	return n
}

// report tells whoever waits how far it is.
func (m *measurer) report(w workload, t *tool, r oneRun) {
	state := ""
	if !r.finished() {
		state = fmt.Sprintf(", exit status %d: %s", r.Exit, r.Output)
	}
	fmt.Fprintf(m.log, "%s: %s: %.2f s, %.0f MiB, %d delivered, %d intact%s\n",
		w.Title, t.name, r.Seconds, mebibytes(r.MaxRSS), r.Delivered, r.Intact, state)
}

func mebibytes(octets int64) float64 { return float64(octets) / (1 << 20) }
