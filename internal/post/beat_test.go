package post

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/plan"
)

// TestHeartbeatOnceAMinute at most, however often all is well, and the end does not wait
// for that.
func TestHeartbeatOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		o, err := Open(plan.Bridge{}, Shelf{}, slog.New(slog.NewTextHandler(&said, nil)))
		if err != nil {
			t.Fatal(err)
		}
		var n atomic.Int32
		o.heart = func(ctx context.Context) error { n.Add(1); return ctx.Err() }
		for i, after := range []struct {
			wait time.Duration
			want int32
		}{{0, 1}, {30 * time.Second, 1}, {29 * time.Second, 1}, {2 * time.Second, 2}, {50 * time.Second, 2}} {
			time.Sleep(after.wait)
			o.Beat(true)
			o.Beat(true)
			synctest.Wait()
			if n.Load() != after.want {
				t.Errorf("step %d: %d beats, want %d", i+1, n.Load(), after.want)
			}
		}
		start := time.Now()
		o.Close()
		if took := time.Since(start); took > 0 || n.Load() != 2 || said.Len() > 0 {
			t.Errorf("it took %v, %d beats: %s", took, n.Load(), &said)
		}
	})
}

// TestHeartbeatTakenBack: what waits for its minute is not called once something fails.
func TestHeartbeatTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := Open(plan.Bridge{}, Shelf{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		var n atomic.Int32
		o.heart = func(context.Context) error { n.Add(1); return nil }
		for _, well := range []bool{true, true, false} {
			o.Beat(well)
			synctest.Wait()
		}
		time.Sleep(2 * beats)
		synctest.Wait()
		if n.Load() != 1 {
			t.Errorf("%d beats, one of them after the failure", n.Load())
		}
		o.Beat(true)
		synctest.Wait()
		if n.Load() != 2 {
			t.Errorf("%d beats once it works again", n.Load())
		}
	})
}

// TestHeartbeatThatIsNotTaken is told to who looks at the ways, until it is.
func TestHeartbeatThatIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := Open(plan.Bridge{}, Shelf{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		if len(o.Ways()) > 0 {
			t.Errorf("%+v without a heartbeat", o.Ways())
		}
		var answer error
		o.heart = func(context.Context) error { return answer }
		began := time.Now()
		for _, answer = range []error{errors.New("404"), errors.New("500"), nil} {
			o.Beat(true)
			synctest.Wait()
			w := o.Ways()[0]
			if w.By != "heartbeat" || (w.Error == nil) != (answer == nil) || answer != nil && !w.Since.Equal(began) {
				t.Errorf("%v: %+v", answer, w)
			}
			time.Sleep(beats)
		}
	})
}
