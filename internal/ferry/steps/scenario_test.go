package steps_test

import (
	"fmt"
	"slices"
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

// letter makes a small message with a Message-ID of its own.
func letter(n int) []byte {
	return fmt.Appendf(nil, "Received: from a by b; Tue, 03 Mar 2026 05:06:%02d +0000\r\n"+
		"Message-ID: <%d@letters.example.org>\r\nFrom: ann@example.org\r\n"+
		"Date: Tue, 03 Mar 2026 05:06:07 +0000\r\nSubject: letter %d\r\n\r\nText of letter %d.\r\n",
		n%60, n, n, n)
}

func letters(from, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = letter(from + i)
	}
	return all
}

// note makes a message without a Message-ID.
func note(n int) []byte {
	return fmt.Appendf(nil, "From: bob@example.org\r\nSubject: note %d\r\n\r\nText of note %d.\r\n", n, n)
}

func notes(n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = note(i)
	}
	return all
}

// big makes a letter of about size octets.
func big(n, size int) []byte {
	raw := letter(n)
	for i := 0; len(raw) < size; i++ {
		raw = fmt.Appendf(raw, "Line %06d of a long letter, which goes on and on and on.\r\n", i)
	}
	return raw
}

// once lets fn act the first n times that it wants to.
func once(n int, fn func(imapd.Event) (imapd.Action, bool)) func(imapd.Event) imapd.Action {
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

func join(lists ...[][]byte) [][]byte { return slices.Concat(lists...) }
