package pop

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/wire"
)

// TestKnownLasts: what is offered is asked anew after an hour, unless nothing stronger can be
// offered than what the last login was by.
func TestKnownLasts(t *testing.T) {
	for mechanism, want := range map[string]bool{"PLAIN": false, "USER": false, "SCRAM-SHA-256": true} {
		synctest.Test(t, func(t *testing.T) {
			o := Options{Endpoint: wire.Endpoint{Host: "pop.example.org", Port: 995, TLS: wire.Implicit}, Username: "alice"}
			var known Known
			caps := Capabilities{Known: true, Pipelining: true, SASL: []string{mechanism}}
			known.learn(o, caps)
			known.confirm(o, mechanism, caps)
			if _, ok := known.recall(o); !ok {
				t.Errorf("%s: it is not known at once", mechanism)
			}
			time.Sleep(25 * time.Hour)
			if _, ok := known.recall(o); ok != want {
				t.Errorf("%s: known after a day: %v", mechanism, ok)
			}
		})
	}
}
