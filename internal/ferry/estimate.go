package ferry

import (
	"context"
	"fmt"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/limits"
	"github.com/popferry/popferry/plan"
)

// Estimate is how long a run is likely to take.
type Estimate struct {
	Seconds float64 `json:"seconds"`
	// Basis says in words what the guess rests on.
	Basis string `json:"basis"`
	// NotBefore is when a run is within hours again; zero: it is now.
	NotBefore time.Time `json:"not_before,omitzero"`
}

// What the estimate assumes of servers that nobody has measured yet.
const (
	assumedRate  = 10 << 20 // octets a second
	rateMinimum  = 1 << 20  // octets that a run must have carried to be a measure
	loginTrips   = 5        // round trips before the first message and after the last
	windowOfRETR = 512
)

// estimate guesses how long the plan's copying takes, which is never less than limits
// make it.
func (t *trip) estimate(ctx context.Context, p plan.Plan) (*Estimate, error) {
	work := p.Totals().Copy
	guess, err := t.guess(ctx, work)
	if least := t.brakes.Seconds(work); err == nil && least > guess.Seconds {
		guess = &Estimate{Seconds: least, Basis: "as limits permit"}
	}
	if days, terms := t.purses.Days(work); err == nil && days > 0 {
		guess = &Estimate{Seconds: max(guess.Seconds, float64(days)*limits.Day.Seconds()), Basis: terms}
	}
	if closed := t.inHours(); err == nil && closed != nil {
		guess.NotBefore = t.engine.Clock().Add(fault.AfterOf(closed)).UTC().Round(time.Minute)
	}
	return guess, err
}

// guess goes by the rate of the last run that carried enough to tell, else by the
// round trips that these servers demand, measured once on each side.
func (t *trip) guess(ctx context.Context, work plan.Count) (*Estimate, error) {
	if last := t.lastRun; last.Totals.Bytes >= rateMinimum && last.Seconds > 0 {
		rate := float64(last.Totals.Bytes) / last.Seconds
		return &Estimate{Seconds: float64(work.Bytes) / rate, Basis: fmt.Sprintf(
			"at %.1f MB/s, as in the last run", rate/1e6)}, nil
	}
	trip, err := t.roundTrip(ctx)
	if err != nil {
		return nil, err
	}
	waits := loginTrips + t.tripsFor(work.Messages)
	seconds := waits*trip.Seconds() + float64(work.Bytes)/assumedRate
	return &Estimate{Seconds: seconds, Basis: fmt.Sprintf(
		"a round trip takes %v; the servers' speed is not known yet", trip.Round(100*time.Microsecond))}, nil
}

// roundTrip is the longer one of the two sides.
func (t *trip) roundTrip(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	if err := t.source.Noop(ctx); err != nil {
		return 0, err
	}
	source := time.Since(start)
	conn, done, err := t.dest.use(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	box := t.home.now()
	if !box.Exists {
		return source, nil
	}
	start = time.Now()
	if _, err := conn.Refresh(ctx, box); err != nil {
		return 0, err
	}
	return max(source, time.Since(start)), nil
}

// tripsFor is how many round trips n messages need on the slower side.
func (t *trip) tripsFor(n int) float64 {
	conn := t.dest.get()
	source, dest := float64(n), float64(n)/batchMessages
	if t.source.Capabilities().Pipelining {
		source = float64(n) / windowOfRETR
	}
	if !conn.Capabilities().LiteralPlus {
		dest = 2 * float64(n) / float64(max(1, t.account.Destination.Connections))
	}
	return max(source, dest)
}
