package post

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/plan"
)

// record is a log that can be read meanwhile.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// office has one way, which does what a test says.
func office(t *testing.T, send func(bridge.News) error) (*Office, *record) {
	t.Helper()
	var said record
	o, err := Open(plan.Bridge{}, Shelf{}, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	o.ways = []*way{o.takeOver(nil, &way{name: "webhook", send: func(_ context.Context, n item) error { return send(n.News) }})}
	return o, &said
}

// reload is what SIGHUP does where nothing has changed.
func reload(o *Office) { o.takeOver(o.now()[0], &way{}) }

// TestTriedForAWeek, less and less often; what is refused is not tried again at once. Whoever
// looks sees it until something is taken.
func TestTriedForAWeek(t *testing.T) {
	const day = 24 * time.Hour
	for code, soon := range map[fault.Code]time.Duration{fault.Temporary: time.Second, fault.Refused: refusedFor} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			var tries []time.Duration
			o, said := office(t, func(n bridge.News) error {
				if tries = append(tries, time.Since(began)); n.Account == "bob" {
					return nil
				}
				return fault.New(code, "hook.example answered 404").WithHint("check the address")
			})
			o.Send(news("alice", bridge.Fails))
			time.Sleep(5 * day)
			synctest.Wait()
			if n := len(tries); n < 24*4 || tries[1] < soon || tries[1] > 3*soon || tries[n-1]-tries[n-2] < 30*time.Minute {
				t.Errorf("%v: tried at %v", code, tries)
			}
			if w := o.Ways()[0]; w.By != "webhook" || w.Waiting != 1 || w.Error == nil || w.Error.Hint != "check the address" || time.Since(w.Since) < 4*day {
				t.Errorf("%+v", w)
			}
			time.Sleep(5 * day)
			synctest.Wait()
			if w := o.Ways()[0]; w.Waiting != 0 || w.Error == nil || tries[len(tries)-1] < 7*day || tries[len(tries)-1] > 8*day || !strings.Contains(said.String(), "and is lost") {
				t.Errorf("%+v after %d tries", w, len(tries))
			}
			if m := o.Ways()[0].Error.Message; !strings.Contains(m, "is lost: hook.example answered 404") {
				t.Error(m)
			}
			reload(o)
			if w := o.Ways()[0]; w.Error != nil {
				t.Errorf("after a reload %+v", w.Error)
			}
			o.Send(news("bob", bridge.Fails))
			synctest.Wait()
			if w := o.Ways()[0]; w.Error != nil || w.Waiting != 0 {
				t.Errorf("%+v", w)
			}
			o.Close()
		})
	}
}

// TestSuperseded: that an account fails is not brought any more once it works, whether it
// was tried or not; and one news that is refused does not keep back those of others.
func TestSuperseded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		came := map[string]string{}
		var takes atomic.Bool
		o, _ := office(t, func(n bridge.News) error {
			if !takes.Load() || n.Account == "poison" {
				return fault.New(fault.Refused, "no").WithHint("x")
			}
			came[n.Account] += string(n.Kind) + " "
			return nil
		})
		o.Send(news("poison", bridge.Holds))
		synctest.Wait()
		for _, n := range []bridge.News{news("alice", bridge.Fails), news("bob", bridge.Fails), news("alice", bridge.Recovered),
			news("alice", bridge.Fails)} {
			o.Send(n)
			synctest.Wait()
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		takes.Store(true)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if came["alice"] != "recovered failing " || came["bob"] != "failing " {
			t.Errorf("%q", came)
		}
		o.Send(news("bob", bridge.Recovered))
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if came["bob"] != "failing recovered " || len(came) != 2 {
			t.Errorf("%q", came)
		}
		o.Close()
	})
}

// left is all that waits, in order.
func (q *queue) left() []*item { return q.news }

// TestOrderOfAnAccount: nothing comes before what an account waits for, others do.
func TestOrderOfAnAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("", func(string) {})
		q.add(news("a", bridge.Recovered))
		q.add(news("a", bridge.Fails))
		q.add(news("b", bridge.Fails))
		tried := ""
		for range 5 {
			n, due, ok := q.next()
			if !ok {
				time.Sleep(time.Until(due))
				continue
			}
			tried += n.Account + " " + string(n.Kind) + ","
			q.failed(errors.New("x"))
		}
		if tried != "a recovered,b failing,a recovered,b failing," && tried != "a recovered,b failing,b failing,a recovered," {
			t.Error(tried)
		}
	})
}

// TestLeastTriedFirst: what fails each time does not go before what may not.
func TestLeastTriedFirst(t *testing.T) {
	q := newQueue("", func(string) {})
	q.add(news("a", bridge.Fails))
	q.next()
	q.failed(errors.New("x"))
	q.add(news("b", bridge.Fails))
	q.again()
	if n, _, ok := q.next(); !ok || n.Account != "b" {
		t.Errorf("%+v", n)
	}
}

// TestOneNewsThatIsNotTaken keeps back those of its account, and delays no others: neither
// those that wait nor what comes later.
func TestOneNewsThatIsNotTaken(t *testing.T) {
	for _, code := range []fault.Code{fault.Temporary, fault.Refused} {
		synctest.Test(t, func(t *testing.T) {
			came := map[string]time.Time{}
			o, _ := office(t, func(n bridge.News) error {
				if n.Account == "poison" {
					return fault.New(code, "no").WithHint("x")
				}
				came[n.Account] = time.Now()
				return nil
			})
			o.Send(news("poison", bridge.Holds))
			o.Send(news("poison", bridge.Expires))
			for n := range 50 {
				o.Send(news(fmt.Sprint("a", n), bridge.Fails))
				synctest.Wait()
				if got := came[fmt.Sprint("a", n)]; !got.Equal(time.Now()) {
					t.Fatalf("%v: news %d came at %v, want %v", code, n, got, time.Now())
				}
				time.Sleep(7 * time.Minute)
			}
			if w := o.Ways()[0]; w.Waiting != 2 {
				t.Errorf("%+v", w)
			}
			o.Close()
		})
	}
}

// TestTimeIsKept over restarts, so that none is tried for ever, and none for less than a
// week however many there are; nor is one lost that was hardly tried.
func TestTimeIsKept(t *testing.T) {
	for every, least := range map[time.Duration]int{40 * time.Second: 7 * 24 * 90, 24 * time.Hour: leastTries} {
		synctest.Test(t, func(t *testing.T) {
			kept, tries := "", 0
			save := func(text string) { kept = text }
			newQueue("", save).add(news("a", bridge.Fails))
			for waits := true; waits; tries++ {
				time.Sleep(every)
				q := newQueue(kept, save)
				if _, _, ok := q.next(); !ok {
					t.Fatalf("after %d tries: %+v", tries, q.left())
				}
				waits = q.failed(errors.New("x"))
			}
			if tries < least || tries > least+2 || kept != "[]" {
				t.Errorf("%d tries, %s", tries, kept)
			}
		})
	}
}

// TestClockThatIsSetBack has nothing wait for years.
func TestClockThatIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &item{From: time.Now().AddDate(10, 0, 0), Tries: leastTries}
		if n.isOver(time.Now()) {
			t.Error("it was tried for no week")
		}
		time.Sleep(triedFor + time.Second)
		if !n.isOver(time.Now()) {
			t.Error("it waits on")
		}
	})
}

func news(account string, kind bridge.Kind) bridge.News {
	return bridge.News{Account: account, Kind: kind, Text: "x"}
}

// waits is what waits, in short.
func waits(q *queue) (text string) {
	for _, n := range q.left() {
		text += strings.Join(n.accounts(), "+") + " " + string(n.Kind) + ","
	}
	return text
}

// TestFlapping: that an account fails and works again is not told where nobody was told
// that it failed, and of several times that it works the last.
func TestFlapping(t *testing.T) {
	q := newQueue("", func(string) {})
	flap := func() {
		q.add(news("a", bridge.Fails))
		q.add(news("a", bridge.Recovered))
	}
	for range 30 {
		flap()
	}
	if got := waits(q); got != "" {
		t.Error(got)
	}
	q.add(news("a", bridge.Fails))
	q.next() // somebody may hear of it
	for range 30 {
		q.add(news("a", bridge.Recovered))
		flap()
	}
	if got := waits(q); got != "a failing,a recovered," {
		t.Error(got)
	}
	q.failed(errors.New("x"))
	if got := waits(q); got != "a recovered," {
		t.Error(got)
	}
}

// TestFirstOfManyRecovers: the next takes its place, and nothing of it remains.
func TestFirstOfManyRecovers(t *testing.T) {
	q := newQueue("", func(string) {})
	for n := range many {
		n := news(fmt.Sprint("a", n), bridge.Fails)
		n.Version, n.Check, n.Since = 1, "check a", time.Now()
		q.add(n)
	}
	for _, account := range []string{"b", "c"} {
		n := news(account, bridge.Fails)
		n.Text = "fails as " + account
		q.add(n)
	}
	q.add(news(fmt.Sprint("a", many-1), bridge.Recovered))
	last := q.left()[many-1]
	if got := fmt.Sprint(last.accounts()); len(q.left()) != many || got != "[b c]" || last.Text != "fails as b" ||
		last.Check != "" || !last.Since.IsZero() || last.Version != 1 {
		t.Errorf("%+v", last)
	}
}

// TestSomeHaveIt: who has not is remembered over a restart, and keeps back nothing from
// those who have.
func TestSomeHaveIt(t *testing.T) {
	kept := ""
	save := func(text string) { kept = text }
	q := newQueue("", save)
	q.add(news("a", bridge.Holds))
	q.add(news("a", bridge.Awaits))
	q.next()
	q.failed(&partial{fault.New(fault.Temporary, "450"), []string{"x@example.org"}})
	if n, _, ok := q.next(); !ok || n.Kind != bridge.Awaits {
		t.Errorf("%+v is next", n)
	}
	if got := newQueue(kept, save).left()[0].Got; fmt.Sprint(got) != "[x@example.org]" {
		t.Errorf("%q have it", got)
	}
}

// TestManyWait: they join the first of their kind for which the order of each account's
// news stays; the one in hand stays as it is.
func TestManyWait(t *testing.T) {
	q := newQueue("", func(string) {})
	for n := range many {
		q.add(news(fmt.Sprint("a", n), bridge.Fails))
	}
	q.add(news("b", bridge.Recovered))
	q.add(news("c", bridge.Fails))
	q.add(news("b", bridge.Fails)) // after it recovered
	if got := waits(q); !strings.HasSuffix(got, "a18 failing,a19+c failing,b recovered,b failing,") {
		t.Error(got)
	}
	for n := range 500 { // no two of them can be put together
		q.add(news("d", []bridge.Kind{bridge.Fails, bridge.Holds}[n%2]))
	}
	if n := len(q.left()); n > queued {
		t.Errorf("%d wait", n)
	}
}

// TestJoinsForAWeek: what joins one that was tried for long is not lost with it; and when
// it is, the log says whose it was.
func TestJoinsForAWeek(t *testing.T) {
	const day = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		o, said := office(t, func(bridge.News) error { return fault.New(fault.Temporary, "no").WithHint("x") })
		for n := range many {
			o.Send(news(fmt.Sprint("old", n), bridge.Fails))
			synctest.Wait()
		}
		time.Sleep(6 * day)
		o.Send(news("fresh", bridge.Fails))
		time.Sleep(6 * day)
		synctest.Wait()
		if w := o.Ways()[0]; w.Waiting != 2 || strings.Count(said.String(), "level=ERROR") != many-1 {
			t.Errorf("%+v, %d lost", w, strings.Count(said.String(), "level=ERROR"))
		}
		time.Sleep(2 * day)
		synctest.Wait()
		if !strings.Contains(said.String(), `is lost" by=webhook account=fresh`) {
			t.Error("nobody is told that it is lost")
		}
		o.Close()
	})
}

// TestJoinsWhatIsNew, and none that would keep it back or that it would.
func TestJoinsWhatIsNew(t *testing.T) {
	q := newQueue("", func(string) {})
	for n := range many {
		q.add(news(fmt.Sprint("a", n), bridge.Fails))
	}
	for range many / 2 {
		q.next()
		q.failed(errors.New("x"))
	}
	q.add(news("b", bridge.Fails))
	q.add(news("a0", bridge.Fails))
	if got := q.left(); len(got) != many+1 || len(got[many-1].More) != 1 || got[many].Account != "a0" {
		t.Errorf("%d wait, the last %+v", len(got), got[len(got)-1])
	}
}

// TestWaysWaitsForNoDisk: who looks does so while a file system hangs.
func TestWaysWaitsForNoDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := office(t, func(bridge.News) error { return nil })
		began, hangs := make(chan bool, 10), make(chan bool)
		synctest.Wait()
		o.now()[0].queue.save = func(string) {
			began <- true
			<-hangs
		}
		go o.Send(news("a", bridge.Fails))
		<-began
		if got := o.Ways(); len(got) != 1 || got[0].Waiting != 1 {
			t.Errorf("%+v", got)
		}
		close(hangs)
		o.Close()
	})
}

// TestKeptIsBounded: a restart loses the newest rather than all.
func TestKeptIsBounded(t *testing.T) {
	kept := ""
	q := newQueue("", func(text string) { kept = text })
	for n := range many {
		held := news(fmt.Sprint("a", n), bridge.Holds)
		held.Messages = []ferry.MessageReport{{Reason: strings.Repeat("x", mostKept/8)}}
		q.add(held)
	}
	again := newQueue(kept, func(string) {}).left()
	if len(kept) > mostKept || len(again) == 0 || len(again) == many || again[0].Account != "a0" || len(q.left()) != many {
		t.Errorf("%d octets, %d news", len(kept), len(again))
	}
}

// TestFlood: where many news of a kind have just been brought, the next ones go as one, as when
// a server is away for all of its accounts. Others do not wait for that, and afterwards each goes
// at once again.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []bridge.News
		o, _ := office(t, func(n bridge.News) error {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, n)
			return nil
		})
		defer o.Close()
		send := func(kind bridge.Kind, i int) {
			o.Send(bridge.News{Kind: kind, Account: fmt.Sprint(kind, i), Text: "something", Time: time.Now()})
			time.Sleep(100 * time.Millisecond)
		}
		for i := range 250 {
			send(bridge.Fails, i)
		}
		send(bridge.Holds, 0)
		mu.Lock()
		if n := len(got); n != flood+1 || got[n-1].Kind != bridge.Holds {
			t.Errorf("%d were brought: %+v", n, got)
		}
		mu.Unlock()
		time.Sleep(2 * time.Minute)
		send(bridge.Fails, 250)
		mu.Lock()
		told := 0
		for _, n := range got {
			told += 1 + len(n.More)
		}
		if len(got) != flood+3 || told != 252 || len(got[flood+1].More) != 250-flood-1 {
			t.Errorf("%d news of %d, %d together", len(got), told, len(got[flood+1].More))
		}
		mu.Unlock()
	})
}
