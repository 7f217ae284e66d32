//go:build !race

package steps_test

import (
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/mailtest/voyage"
	"github.com/popferry/popferry/plan"
)

// scenario is a world and what happens in it.
type scenario struct {
	name string
	// mail is in the (first) maildrop at the beginning.
	mail [][]byte
	// options changes what the servers can do.
	options func(*voyage.Options)
	// setup prepares the world before anything runs.
	setup func(*voyage.World)
	// prior has a life run to its end before the one that is killed; then after
	// happens.
	prior bool
	after func(*voyage.World)
	// between happens after the death.
	between func(*voyage.World)
	// code is the exit status of the recovery; held mail makes it fault.Held.
	code fault.Code
	// left says how many messages stay in the maildrops with keep: delivered.
	left int
	// patience is how long a recovery may take beside the settling time.
	patience time.Duration
	// settled has what is on its way arrive before the recovery begins: with its
	// journal the program lost the knowledge that there is something to wait for.
	settled bool
	// sample is how many steps are tried when not all are; 0: the usual number.
	sample int
	// only restricts the combinations; nil: all.
	only func(combination) bool
}

// combination is one way to run a scenario.
type combination struct {
	delete, uidplus, uidl bool
}

func (c combination) String() string {
	pick := func(on bool, yes, no string) string {
		if on {
			return yes
		}
		return no
	}
	return pick(c.delete, "delete", "keep") + "," + pick(c.uidplus, "uidplus", "no-uidplus") + "," +
		pick(c.uidl, "uidl", "no-uidl")
}

// combinations lists those of a scenario.
func (s scenario) combinations() []combination {
	var all []combination
	for i := range 8 {
		c := combination{delete: i&1 > 0, uidplus: i&2 == 0, uidl: i&4 == 0}
		if s.only == nil || s.only(c) {
			all = append(all, c)
		}
	}
	return all
}

// world builds the world of a scenario.
func (s scenario) world(c combination, change func(*voyage.Options)) *voyage.World {
	o := voyage.Options{Keep: plan.Keep{Delete: c.delete}}
	o.Pop.NoUIDL, o.Imap.NoUIDPlus = !c.uidl, !c.uidplus
	if s.options != nil {
		s.options(&o)
	}
	if change != nil {
		change(&o)
	}
	w := voyage.New(o)
	w.Arrive(0, s.mail...)
	if s.setup != nil {
		s.setup(w)
	}
	return w
}

// atMost lets fn act the first n times that it wants to.
func atMost(n int, fn func(imapd.Event) (imapd.Action, bool)) func(imapd.Event) imapd.Action {
	left := make(chan struct{}, n)
	for range n {
		left <- struct{}{}
	}
	return func(e imapd.Event) imapd.Action {
		action, wanted := fn(e)
		if !wanted {
			return imapd.Action{}
		}
		select {
		case <-left:
			return action
		default:
			return imapd.Action{}
		}
	}
}

// at acts at a stage of a command.
func at(stage imapd.Stage, command string, a imapd.Action) func(imapd.Event) (imapd.Action, bool) {
	return func(e imapd.Event) (imapd.Action, bool) { return a, e.Stage == stage && e.Command == command }
}

func imapReply(reply func(imapd.Event) imapd.Action) func(*voyage.World) {
	return func(w *voyage.World) {
		w.Imap.Configure(func(o *imapd.Options) { o.Reply = reply })
	}
}

func noImapReply(w *voyage.World) {
	w.Imap.Configure(func(o *imapd.Options) { o.Reply = nil })
}

func withPop(change func(*popd.Options)) func(*voyage.Options) {
	return func(o *voyage.Options) { change(&o.Pop) }
}

func withImap(change func(*imapd.Options)) func(*voyage.Options) {
	return func(o *voyage.Options) { change(&o.Imap) }
}

func needsUIDL(c combination) bool { return c.uidl }
