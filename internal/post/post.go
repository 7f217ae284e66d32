// Package post tells somebody: it brings the news of a bridge to a webhook, a command
// and a mail server, and calls the address of a heartbeat.
//
// [Office.Send] returns at once. Each way has a queue and a goroutine of its own, so that
// one that hangs or refuses delays nobody, and a news that it does not take delays only those
// of the same account. That is tried again for a week, and dropped, with a line in the log,
// then or when the queue is full. That an account fails is dropped, too, once it works again.
// Where many news wait, those of one kind become one. What waits is kept, so that a restart
// loses nothing; it may bring twice what was under way. Nothing that a receiver answers is
// believed beyond its status.
package post

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

const (
	// soonest and latest are how far apart tries are, which grows; refusedFor is how long one
	// is left alone at least that refused, as somebody has to mend that.
	soonest    = 2 * time.Second
	latest     = time.Hour
	refusedFor = 15 * time.Minute
	// moment is what a way, or the office, gets for what waits when it ends.
	moment = 5 * time.Second
	// each bounds one try.
	each = 30 * time.Second
	// beats is how often the heartbeat is called at most.
	beats = time.Minute
)

// way is one way to tell somebody.
type way struct {
	name string
	send func(context.Context, item) error
	as   any // what it was made of: one of equal parts is the same way

	queue    *queue
	before   *way          // which had the queue, and has to let go of it first
	replaced chan struct{} // closed when another takes the queue over
	over     chan struct{}
	ending   chan struct{} // closed when nothing is sent any more
	again    chan struct{} // has an element when somebody may have mended it
	ctx      context.Context
	cancel   context.CancelFunc

	mu    sync.Mutex
	since time.Time // that err is
	err   error     // why the last news was not taken, or nil
}

// Shelf keeps a text for each way, which has to survive a restart: what waits for it. Nil
// means that nothing is kept.
type Shelf struct {
	Load func(way string) string
	Save func(way, text string)
}

// Office sends news.
type Office struct {
	log     *slog.Logger
	shelf   Shelf
	work    sync.WaitGroup
	beat    chan struct{}
	closing chan struct{} // closed by Close

	ctx    context.Context
	cancel context.CancelFunc
	hurry  sync.Once

	change sync.Mutex // is locked by who changes them, before mu

	mu    sync.Mutex
	ways  []*way                      // is replaced, not changed
	heart func(context.Context) error // nil for none
	// unheard is why the heartbeat was not taken the last time, since silent; nil: it was.
	unheard error
	silent  time.Time
}

// Open makes an office with all the ways that a configuration names; its secrets have
// to be there. What was left waiting for them before is brought.
func Open(b plan.Bridge, shelf Shelf, log *slog.Logger) (*Office, error) {
	if shelf.Load == nil || shelf.Save == nil {
		shelf = Shelf{func(string) string { return "" }, func(string, string) {}}
	}
	o := &Office{log: log, shelf: shelf, beat: make(chan struct{}, 1), closing: make(chan struct{})}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	if err := o.Adopt(b); err != nil {
		o.cancel()
		return nil, err
	}
	o.work.Go(o.beats)
	return o, nil
}

// Adopt goes over to another configuration. What waits for a way waits on, though it be
// another address that it is brought to; one that is gone gets a moment for it. After an
// error nothing has changed.
func (o *Office) Adopt(b plan.Bridge) error {
	next, err := waysOf(b.Alerts, o.log)
	if err != nil {
		return err
	}
	o.change.Lock()
	defer o.change.Unlock()
	before := map[string]*way{}
	for _, w := range o.now() {
		before[w.name] = w
	}
	var ways []*way
	for _, w := range next {
		ways = append(ways, o.takeOver(before[w.name], w))
		delete(before, w.name)
	}
	var heart func(context.Context) error
	if b.Heartbeat.Given() {
		heart = ping(b.Heartbeat.Secret)
	}
	o.set(ways, heart)
	for _, w := range before {
		w.queue.forget()
		w.end()
	}
	return nil
}

// now are the ways there are.
func (o *Office) now() []*way {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ways
}

func (o *Office) set(ways []*way, heart func(context.Context) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ways, o.heart, o.unheard = ways, heart, nil
}

// takeOver returns the way that stands where old was, or nil.
func (o *Office) takeOver(old, w *way) *way {
	switch {
	case old == nil:
		w.queue = newQueue(o.shelf.Load(w.name), func(text string) { o.shelf.Save(w.name, text) })
	case reflect.DeepEqual(old.as, w.as):
		if old.queue.waiting() == 0 { // else the next try tells
			old.noted(nil)
		}
		select {
		case old.again <- struct{}{}:
		default: // is about to
		}
		return old
	default:
		w.queue, w.before = old.queue, old
		close(old.replaced)
		time.AfterFunc(moment, old.cancel)
	}
	o.start(w)
	return w
}

func waysOf(a plan.Alerts, log *slog.Logger) (ways []*way, err error) {
	if a.Webhook.Given() {
		ways = append(ways, &way{name: "webhook", send: webhook(a.Webhook.Secret), as: a.Webhook.Secret})
	}
	if len(a.Command) > 0 {
		ways = append(ways, &way{name: "command", send: command(a.Command), as: a.Command})
	}
	if a.Mail != nil {
		send, err := mail(*a.Mail, log)
		if err != nil {
			return nil, err
		}
		ways = append(ways, &way{name: "mail", send: send, as: partsOf(*a.Mail)})
	}
	return ways, nil
}

func (o *Office) start(w *way) {
	w.replaced, w.over = make(chan struct{}), make(chan struct{})
	w.ending, w.again = make(chan struct{}), make(chan struct{}, 1)
	w.ctx, w.cancel = context.WithCancel(o.ctx)
	o.work.Go(func() { o.deliver(w) })
}

// end gives what waits a moment to leave. Nothing may be sent after it.
func (w *way) end() {
	close(w.ending)
	time.AfterFunc(moment, w.cancel)
}

// Send has news brought to everybody.
func (o *Office) Send(n bridge.News) {
	for _, w := range o.now() {
		if !w.queue.add(n) {
			o.log.Error("too much news waits; this is lost", "by", w.name, "account", n.Account, "text", n.Text)
		}
	}
}

// Beat calls the heartbeat, soon, if all is well, and else takes back what is to be called.
func (o *Office) Beat(well bool) {
	if !well {
		select {
		case <-o.beat:
		default:
		}
		return
	}
	select {
	case o.beat <- struct{}{}:
	default: // is about to
	}
}

// Hurry has the moment begin now that what waits gets to leave, while others still finish
// what they do. Close need not follow with another one.
func (o *Office) Hurry() { o.hurry.Do(func() { time.AfterFunc(moment, o.cancel) }) }

// Close gives what waits a moment to leave, and ends the office. What is left waits for the
// next one.
func (o *Office) Close() {
	o.Hurry()
	o.change.Lock()
	defer o.change.Unlock()
	ways := o.now()
	o.set(nil, o.heart)
	for _, w := range ways {
		w.end()
	}
	close(o.closing)
	close(o.beat)
	o.work.Wait()
	o.cancel()
}

// deliver brings one after the other.
func (o *Office) deliver(w *way) {
	defer close(w.over)
	defer w.cancel()
	if w.before != nil {
		<-w.before.over
		w.before = nil
		w.queue.again()
	}
	var err error
	for goes := true; goes && !w.isReplaced(); {
		n, due, ok := w.queue.next()
		if !ok {
			goes = w.rest(due)
			continue
		}
		err = w.try(n)
		w.noted(err)
		switch {
		case err == nil:
			w.queue.done()
		case w.ctx.Err() == nil:
			o.failed(w, n.News, err)
		default:
			goes = false
		}
	}
	if waiting := w.queue.waiting(); waiting > 0 && !w.isReplaced() {
		o.log.Warn("news could not be brought before the end", "by", w.name, "waiting", waiting, "error", err)
	}
}

func (w *way) isReplaced() bool {
	select {
	case <-w.replaced:
		return true
	default:
		return false
	}
}

// try brings a news, if it is not for too long.
func (w *way) try(n item) error {
	ctx, cancel := context.WithTimeout(w.ctx, each)
	defer cancel()
	n.News = together(n.News)
	return w.send(ctx, n)
}

// noted remembers how a try went, for those who look.
func (w *way) noted(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil || w.err == nil {
		w.since = time.Now()
	}
	w.err = err
}

// failed says that a news was not taken. It is not lost, unless that was the last try.
func (o *Office) failed(w *way, n bridge.News, err error) {
	if w.queue.failed(err) {
		o.log.Warn("news could not be brought, and is tried again", "by", w.name, "account", n.Account, "text", n.Text,
			"error", err, "check", fault.HintOf(err))
		return
	}
	w.noted(fault.New(fault.CodeOf(err), "what it did not take for a week is lost: %w", err).WithHint("%s", fault.HintOf(err)))
	for _, m := range append([]bridge.More{{Account: n.Account, Text: n.Text}}, n.More...) {
		o.log.Error("news could not be brought, and is lost", "by", w.name, "account", m.Account, "text", m.Text,
			"error", err, "check", fault.HintOf(err))
	}
}

// rest waits until something is due, or, if that is zero, comes, and returns false if the
// way ends before.
func (w *way) rest(due time.Time) bool {
	ending := w.ending
	var timer <-chan time.Time
	if !due.IsZero() {
		pause := time.Until(due)
		timer = time.After(pause)
		if pause < moment { // which it may have in the end
			ending = nil
		}
	}
	select {
	case <-timer:
	case <-w.queue.fresh:
	case <-w.again:
		w.queue.again()
	case <-ending:
		return w.queue.ready() // which came at the same time
	case <-w.replaced:
		return false
	case <-w.ctx.Done():
		return false
	}
	return true
}

// Ways tells how each way does, in the order of the configuration, and then the heartbeat. It
// waits for nothing.
func (o *Office) Ways() (ways []bridge.Way) {
	for _, w := range o.now() {
		w.mu.Lock()
		ways = append(ways, bridge.NewWay(w.name, w.queue.waiting(), w.since, w.err))
		w.mu.Unlock()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.heart != nil {
		ways = append(ways, bridge.NewWay("heartbeat", 0, o.silent, o.unheard))
	}
	return ways
}

// together says in the text of a news what joined it.
func together(n bridge.News) bridge.News {
	if len(n.More) == 0 {
		return n
	}
	var names []string
	for _, m := range n.More[:min(len(n.More), 10)] {
		names = append(names, m.Account)
	}
	if len(n.More) > len(names) {
		names = append(names, "…")
	}
	n.Text += fmt.Sprintf("; and %d more such news, of %s", len(n.More), strings.Join(names, ", "))
	return n
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
		err := heart(ctx)
		if err != nil {
			o.log.Warn("the heartbeat was not taken", "error", err)
		}
		o.heard(err)
		cancel()
		select {
		case <-time.After(beats):
		case <-o.closing:
			return
		}
	}
}

// heard remembers how a heartbeat went, for those who look.
func (o *Office) heard(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.unheard == nil {
		o.silent = time.Now()
	}
	o.unheard = err
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
