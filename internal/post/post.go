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
	news chan bridge.News
}

// Office sends news.
type Office struct {
	log  *slog.Logger
	ways []*way

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	heart func(context.Context) error // nil for none
	beat  chan struct{}
}

// Open makes an office with all the ways that a configuration names; its secrets have
// to be there.
func Open(b plan.Bridge, log *slog.Logger) (*Office, error) {
	o := &Office{log: log, beat: make(chan struct{}, 1)}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	if b.Alerts.Webhook.Given() {
		o.add("webhook", webhook(b.Alerts.Webhook.Secret))
	}
	if len(b.Alerts.Command) > 0 {
		o.add("command", command(b.Alerts.Command))
	}
	if b.Alerts.Mail != nil {
		send, err := mail(*b.Alerts.Mail)
		if err != nil {
			o.cancel()
			return nil, err
		}
		o.add("mail", send)
	}
	if b.Heartbeat.Given() {
		o.heart = ping(b.Heartbeat.Secret)
		o.work.Go(o.beats)
	}
	return o, nil
}

func (o *Office) add(name string, send func(context.Context, bridge.News) error) {
	w := &way{name, send, make(chan bridge.News, queued)}
	o.ways = append(o.ways, w)
	o.work.Go(func() { o.deliver(w) })
}

// Send has news brought to everybody.
func (o *Office) Send(n bridge.News) {
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
	for _, w := range o.ways {
		close(w.news)
	}
	timer := time.AfterFunc(5*time.Second, o.cancel)
	defer timer.Stop()
	close(o.beat)
	o.work.Wait()
	o.cancel()
}

// deliver brings one after the other.
func (o *Office) deliver(w *way) {
	for n := range w.news {
		if err := o.persist(func(ctx context.Context) error { return w.send(ctx, n) }); err != nil {
			o.log.Error("news could not be brought", "by", w.name, "account", n.Account, "text", n.Text,
				"error", err, "check", fault.HintOf(err))
		}
	}
}

// persist tries until it succeeds, it is hopeless, or the office closes.
func (o *Office) persist(try func(context.Context) error) error {
	wait := &backoff.ExponentialBackOff{InitialInterval: 2 * time.Second, RandomizationFactor: 0.3, Multiplier: 3,
		MaxInterval: 15 * time.Minute}
	_, err := backoff.Retry(o.ctx, func() (struct{}, error) {
		ctx, cancel := context.WithTimeout(o.ctx, each)
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
		ctx, cancel := context.WithTimeout(o.ctx, each)
		if err := o.heart(ctx); err != nil {
			o.log.Warn("the heartbeat was not taken", "error", err)
		}
		cancel()
		select {
		case <-time.After(beats):
		case <-o.ctx.Done():
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
