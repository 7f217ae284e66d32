package places_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/places"
)

// two is a limit that all places have.
func two(string) int { return 2 }

// TestHostsAllOrNone: accounts that carry in opposite directions between two servers wait for both
// places at once, and never for each other; nowhere are there more than the limit.
func TestHostsAllOrNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := places.NewHosts(two)
		var inUse [2]atomic.Int32
		var all sync.WaitGroup
		for i := range 40 {
			mine := [][]string{{"a", "b"}, {"b", "a"}, {"a"}, {"b"}}[i%4]
			all.Go(func() {
				if err := h.Await(t.Context(), mine...); err != nil {
					t.Error(err)
					return
				}
				for _, p := range mine {
					if n := inUse[p[0]-'a'].Add(1); n > 2 {
						t.Errorf("%d connections to %s", n, p)
					}
				}
				time.Sleep(time.Second)
				for _, p := range mine {
					inUse[p[0]-'a'].Add(-1)
				}
				h.Release(mine...)
			})
		}
		all.Wait()
		for range 2 {
			if !h.Take("a", "b") {
				t.Error("a place is lost")
			}
		}
		if h.Take("a") || h.Take("b") {
			t.Error("there is a place too many")
		}
	})
}

// TestHostsInTurn: who began to wait first is first, and who gives up takes no place along.
func TestHostsInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := places.NewHosts(places.One)
		h.Take("a")
		order := make(chan int, 3)
		gaveUp, giveUp := context.WithCancel(t.Context())
		for i, ctx := range []context.Context{t.Context(), gaveUp, t.Context()} {
			go func() {
				if h.Await(ctx, "a") == nil {
					order <- i
				}
			}()
			synctest.Wait()
		}
		giveUp()
		synctest.Wait()
		for _, want := range []int{0, 2} {
			h.Release("a")
			if got := <-order; got != want {
				t.Errorf("%d has it before %d", got, want)
			}
		}
		if h.Take("a") {
			t.Error("it was free twice")
		}
	})
}

// TestHostsGivesUpAsItIsGranted: the place of who gives up in the instant in which he gets it is free.
func TestHostsGivesUpAsItIsGranted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := places.NewHosts(places.One)
		for range 100 {
			if !h.Take("a") {
				t.Fatal("it is nobody's, and not free")
			}
			ctx, giveUp := context.WithCancel(t.Context())
			go func() {
				if h.Await(ctx, "a") == nil {
					h.Release("a")
				}
			}()
			synctest.Wait()
			giveUp()
			h.Release("a")
			synctest.Wait()
		}
	})
}

// TestHostsLast: who lets all others pass takes no place that somebody needs who has not begun.
func TestHostsLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := places.NewHosts(places.One)
		h.Want(map[string]bool{"a": true})
		var has atomic.Bool
		go func() { has.Store(h.AwaitLast(t.Context(), "a") == nil) }()
		time.Sleep(time.Minute)
		if has.Load() || !h.HasLast() || h.Full("a") {
			t.Error("it took a place that is wanted")
		}
		h.Want(nil)
		time.Sleep(time.Second)
		if !has.Load() || h.HasLast() {
			t.Error("it still waits")
		}
	})
}

// sitter has the place "a", and yields it to those of a wish.
type sitter struct {
	h    *places.Hosts
	to   places.Wish
	gone bool
}

func (s *sitter) At(place string) bool { return place == "a" }

func (s *sitter) Yield(w places.Wish) bool {
	if s.gone || w != s.to {
		return false
	}
	s.gone = true
	s.h.Release("a")
	return true
}

// TestHostsAsk: as many are asked as wait, and who would end nobody's wait gets nothing by it.
func TestHostsAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := places.NewHosts(two)
		one, other := &sitter{h: h, to: places.WishGoOn}, &sitter{h: h, to: places.WishGoOn}
		for _, s := range []*sitter{one, other} {
			h.Take("a")
			h.Enlist(s)
		}
		h.Ask("a", 2, places.WishBegin)
		slow, giveUp := context.WithTimeout(t.Context(), time.Minute)
		defer giveUp()
		if h.Await(slow, "a", places.Slow("a")) == nil || one.gone || other.gone {
			t.Error("one yields to a wish that it does not know")
		}
		if err := h.Await(t.Context(), "a"); err != nil || one.gone == other.gone {
			t.Errorf("%v; of two who could yield did %v and %v", err, one.gone, other.gone)
		}
		h.Strike(other)
		h.Ask("a", 1, places.WishGoOn)
		if other.gone {
			t.Error("one was asked that is not there any more")
		}
	})
}

// TestSlotsAreLent: an account whose server is quiet lends its slot, one that is served keeps it,
// and who lent it has it again in turn.
func TestSlotsAreLent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := places.NewSlots(2, 1<<20)
		quiet, busy := s.Begin(), s.Begin()
		near, far := net.Pipe()
		var ends sync.WaitGroup
		defer ends.Wait()
		defer near.Close()
		ends.Go(func() {
			for b := make([]byte, 1<<10); ; time.Sleep(10 * time.Millisecond) {
				if _, err := far.Write(b); err != nil {
					return
				}
			}
		})
		felt := busy.Feel(near)
		go func() {
			for b := make([]byte, 1<<10); ; {
				if _, err := felt.Read(b); err != nil {
					return
				}
			}
		}()
		if s.Begin() != nil {
			t.Fatal("three have one of two slots")
		}
		time.Sleep(2 * places.Patience)
		third := s.Begin()
		if third == nil || s.Begin() != nil {
			t.Fatal("a slot is lent though its account is served, or not lent though it is not")
		}
		var back atomic.Bool
		go func() { back.Store(quiet.Work(t.Context()) == nil) }()
		time.Sleep(places.Beat)
		if back.Load() {
			t.Error("the slot is back though another is at work with it")
		}
		s.End(third)
		synctest.Wait()
		if !back.Load() {
			t.Error("the slot is free, and its account waits")
		}
	})
}

// TestSlotsMemory: who has much in memory lends its slot only as far as all those off work have no
// more than those at work may.
func TestSlotsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := places.NewSlots(1, 1<<20)
		s.Begin().Flight.Add(1 << 20)
		time.Sleep(2 * places.Patience)
		second := s.Begin()
		if second == nil {
			t.Fatal("the first lends nothing")
		}
		second.Flight.Add(1)
		time.Sleep(time.Minute)
		if s.Begin() != nil {
			t.Error("the second lends its slot, and there is more in memory than may be")
		}
	})
}

// TestSlotGivesWay: an account that has carried for a while gives way while somebody waits, but
// not before its server lets it in again.
func TestSlotGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slot := places.NewSlots(1, 1).Begin()
		if slot.Cede() {
			t.Error("one that carries nothing gives way")
		}
		slot.Carries()
		slot.LoggedIn(time.Now().Add(time.Minute))
		for _, step := range []struct {
			wait time.Duration
			cede bool
		}{{0, false}, {59 * time.Second, false}, {time.Second, true}, {places.Drain, true}} {
			time.Sleep(step.wait)
			if slot.Cede() != step.cede || slot.Ceding() != step.cede {
				t.Errorf("%v later: gives way: %v", step.wait, !step.cede)
			}
		}
		time.Sleep(places.WantedFor)
		if slot.Ceding() {
			t.Error("it gives way though nobody waits any more")
		}
		slot.Stay()
		if slot.Cede() || slot.Ceding() {
			t.Error("it gives way though it was to stay")
		}
	})
}

// memory is a [places.Memory].
type memory map[string]bool

func (m memory) Has(name string) bool          { return m[name] }
func (m memory) Keep(name string, always bool) { m[name] = always }

// TestStanding: who was left standing waits twice as long each time, and is known to the next
// process until a pass goes well.
func TestStanding(t *testing.T) {
	known := memory{}
	s := places.NewStanding(known)
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 16} {
		if got := s.Patience("alice", "a", places.StandFor); got != want*places.StandFor {
			t.Errorf("it may stand for %v, want %v", got, want*places.StandFor)
		}
		s.Note("alice", "a", false, places.StandFor)
	}
	if next := places.NewStanding(known); !next.IsIll("alice", "a") || next.IsIll("alice", "b") || next.IsIll("bob", "a") {
		t.Error("the next process does not know who was left standing where")
	}
	s.Note("alice", "a", true, time.Second)
	if s.IsIll("alice", "a") || s.Patience("alice", "a", places.StandFor) != places.StandFor || places.NewStanding(known).IsIll("alice", "a") {
		t.Error("it is remembered after a pass that went well")
	}
}

// TestGates: nobody waits at a server that is well; after a failure ten are let in at once, and
// then two a second.
func TestGates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, slot := places.NewGates(), places.NewSlots(1, 1).Begin()
		pass := func(n int, again bool) time.Duration {
			began := time.Now()
			for range n {
				if err := g.Pass(t.Context(), slot, "a", again); err != nil {
					t.Error(err)
				}
			}
			return time.Since(began)
		}
		if wait := pass(100, false); wait != 0 {
			t.Errorf("a wait of %v at a server that is well", wait)
		}
		g.Learn("a", true)
		if wait := pass(30, false); wait.Round(time.Millisecond) != 10*time.Second {
			t.Errorf("30 were let in within %v", wait)
		}
		g.Learn("a", false)
		if wait := pass(1, false); wait != 0 {
			t.Errorf("a wait of %v at a server that is well again", wait)
		}
		if wait := pass(1, true); wait <= 0 {
			t.Error("who comes back waits for nothing")
		}
	})
}
