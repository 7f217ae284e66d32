// Package post tells somebody: it brings the news of a bridge to a webhook, a command
// and a mail server, and calls the address of a heartbeat.
//
// [Office.Send] returns at once. Each way has a queue and a goroutine of its own, so that
// one that hangs or refuses delays nobody; what it does not take is tried again, and
// dropped, with a line in the log, when it is hopeless or the queue is full. Nothing
// that a receiver answers is believed beyond its status.
package post

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

const (
	// queued is how many news may wait for one way.
	queued = 100
	// tries and longest bound how often, and for how long, one is tried.
	tries   = 8
	longest = time.Hour
	// each bounds one try.
	each = 30 * time.Second
	// beats is how often the heartbeat is called at most.
	beats = time.Minute
)

// way is one way to tell somebody.
type way struct {
	name string
	send func(context.Context, bridge.News) error
	as   any // what it was made of: one of equal parts is the same way

	news   chan bridge.News
	ctx    context.Context
	cancel context.CancelFunc
}

// Office sends news.
type Office struct {
	log     *slog.Logger
	work    sync.WaitGroup
	beat    chan struct{}
	closing chan struct{} // closed by Close

	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	ways  []*way
	heart func(context.Context) error // nil for none
}

// Open makes an office with all the ways that a configuration names; its secrets have
// to be there.
func Open(b plan.Bridge, log *slog.Logger) (*Office, error) {
	o := &Office{log: log, beat: make(chan struct{}, 1), closing: make(chan struct{})}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	if err := o.Adopt(b); err != nil {
		o.cancel()
		return nil, err
	}
	o.work.Go(o.beats)
	return o, nil
}

// Adopt goes over to another configuration. What waits for a way that is in both waits
// on; one that is gone gets a moment for it. After an error nothing has changed.
func (o *Office) Adopt(b plan.Bridge) error {
	next, err := waysOf(b.Alerts)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.ways
	o.ways = nil
	for _, w := range next {
		i := slices.IndexFunc(before, func(old *way) bool { return old.name == w.name && reflect.DeepEqual(old.as, w.as) })
		if i >= 0 {
			w = before[i]
			before = slices.Delete(before, i, i+1)
		} else {
			o.start(w)
		}
		o.ways = append(o.ways, w)
	}
	for _, w := range before {
		w.end()
	}
	o.heart = nil
	if b.Heartbeat.Given() {
		o.heart = ping(b.Heartbeat.Secret)
	}
	return nil
}

func waysOf(a plan.Alerts) (ways []*way, err error) {
	if a.Webhook.Given() {
		ways = append(ways, &way{name: "webhook", send: webhook(a.Webhook.Secret), as: a.Webhook.Secret})
	}
	if len(a.Command) > 0 {
		ways = append(ways, &way{name: "command", send: command(a.Command), as: a.Command})
	}
	if a.Mail != nil {
		send, err := mail(*a.Mail)
		if err != nil {
			return nil, err
		}
		ways = append(ways, &way{name: "mail", send: send, as: partsOf(*a.Mail)})
	}
	return ways, nil
}

func (o *Office) start(w *way) {
	w.news = make(chan bridge.News, queued)
	w.ctx, w.cancel = context.WithCancel(o.ctx)
	o.work.Go(func() { o.deliver(w) })
}

// end gives what waits a moment to leave. Nothing may be sent after it.
func (w *way) end() {
	close(w.news)
	time.AfterFunc(5*time.Second, w.cancel)
}

// Send has news brought to everybody.
func (o *Office) Send(n bridge.News) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range o.ways {
		select {
		case w.news <- n:
		default:
			o.log.Error("too much news waits; this is lost", "by", w.name, "account", n.Account, "text", n.Text)
		}
	}
}

// Beat calls the heartbeat, soon.
func (o *Office) Beat() {
	select {
	case o.beat <- struct{}{}:
	default: // is about to
	}
}

// Close gives what waits a moment to leave, and ends the office.
func (o *Office) Close() {
	o.mu.Lock()
	for _, w := range o.ways {
		w.end()
	}
	o.ways = nil
	o.mu.Unlock()
	timer := time.AfterFunc(5*time.Second, o.cancel)
	defer timer.Stop()
	close(o.closing)
	close(o.beat)
	o.work.Wait()
	o.cancel()
}

// deliver brings one after the other.
func (o *Office) deliver(w *way) {
	defer w.cancel()
	for n := range w.news {
		if err := w.persist(func(ctx context.Context) error { return w.send(ctx, n) }); err != nil {
			o.log.Error("news could not be brought", "by", w.name, "account", n.Account, "text", n.Text,
				"error", err, "check", fault.HintOf(err))
		}
	}
}

// persist tries until it succeeds, it is hopeless, or the way ends.
func (w *way) persist(try func(context.Context) error) error {
	wait := &backoff.ExponentialBackOff{InitialInterval: 2 * time.Second, RandomizationFactor: 0.3, Multiplier: 3,
		MaxInterval: 15 * time.Minute}
	_, err := backoff.Retry(w.ctx, func() (struct{}, error) {
		ctx, cancel := context.WithTimeout(w.ctx, each)
		defer cancel()
		err := try(ctx)
		if err != nil && fault.CodeOf(err) != fault.Temporary {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(tries), backoff.WithMaxElapsedTime(longest))
	return err
}

// beats calls the heartbeat whenever it is due, not more often than once a minute. One
// that fails is no matter: the next follows, and who waits for it notices.
func (o *Office) beats() {
	for range o.beat {
		o.mu.Lock()
		heart := o.heart
		o.mu.Unlock()
		if heart == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(o.ctx, each)
		if err := heart(ctx); err != nil {
			o.log.Warn("the heartbeat was not taken", "error", err)
		}
		cancel()
		select {
		case <-time.After(beats):
		case <-o.closing:
			return
		}
	}
}

// encode is what webhooks and commands get.
func encode(n bridge.News) ([]byte, error) {
	text, err := json.Marshal(n)
	if err != nil {
		return nil, fault.New(fault.Internal, "encode news: %w", err)
	}
	return text, nil
}

// subject is a news in one line.
func subject(n bridge.News) string {
	return fmt.Sprintf("popferry: %s: %s", fault.Escape(n.Account), fault.Escape(n.Text))
}
