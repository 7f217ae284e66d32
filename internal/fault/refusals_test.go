package fault_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

func TestRefusals(t *testing.T) {
	wrong := fault.New(fault.Credentials, "wrong password").WithHint("check it").WithResponse("AUTH")
	busy := fault.New(fault.Temporary, "busy").WithAfter(time.Minute)
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"none":                 {nil, 0},
		"not about logins":     {busy, 0},
		"not ours":             {errors.New("x"), 0},
		"one":                  {wrong, 1},
		"wrapped":              {fmt.Errorf("alice: %w", wrong), 1},
		"two ways":             {fault.AfterRefusals(wrong, 1), 2},
		"one, and then busy":   {fault.AfterRefusals(busy, 1), 1},
		"good before":          {fault.New(fault.Temporary, "%w", wrong), 0},
		"at the second of two": {errors.Join(busy, fault.AfterRefusals(wrong, 1)), 2},
	} {
		if got := fault.RefusalsOf(c.err); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if err := fault.AfterRefusals(busy, 1); fault.CodeOf(err) != fault.Temporary || fault.AfterOf(err) != time.Minute || err.Error() != "busy" {
		t.Errorf("%v", err)
	}
	rests := fault.New(fault.Temporary, "no").WithRest(time.Hour, "it is late")
	if err := fault.AfterRefusals(rests, 1); fault.AfterOf(err) != time.Hour || fault.BecauseOf(err) != "it is late" ||
		fault.BecauseOf(busy) != "the server wants such a pause" {
		t.Errorf("%v", err)
	}
	var e *fault.Error
	if err := fault.AfterRefusals(wrong, 1); !errors.As(err, &e) || e.Response != "AUTH" || fault.HintOf(err) != "check it" {
		t.Errorf("%+v", e)
	}
	if fault.AfterRefusals(nil, 1) != nil {
		t.Error("an error out of nothing")
	}
}
