package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
)

// killsPerWorld is after how many kills an account is judged and another one begun.
const killsPerWorld = 25

// settling is the setting of that name in the configuration of all worlds.
const settling = time.Second

// life is a way in which an account is treated.
type life struct {
	keep   string
	forget bool // the state directory is removed now and then
}

var lives = []life{{keep: keepForever}, {keep: keepDelivered}, {keep: keepForever, forget: true}}

// killer is the part "kills".
type killer struct {
	bench  *bench
	server *dovecot.Server

	mu      sync.Mutex
	figures part
	moving  int // kills while mail was on its way
	forgot  int
	samples int
	mails   int
}

func kills(ctx context.Context, b *bench) (part, error) {
	k := &killer{bench: b, figures: part{
		Title: "Killed at random moments",
		About: "popferry carries mail from Dovecot's POP3 to Dovecot's IMAP, over TLS, while new mail keeps\n" +
			"arriving: ordinary and hard mail, mail without a Message-ID, copies of earlier mail. It is killed\n" +
			"(SIGKILL) at a random moment, every other time one after the first message of the run arrived,\n" +
			"and started again, " + fmt.Sprint(killsPerWorld) + " times for each account. A third of the\n" +
			"accounts has `keep: forever`, a third `keep: delivered`, and of the last third\n" +
			"(`keep: forever`) the state directory is removed now and then, after the settling time. The last\n" +
			"run has to end with 0, one more must copy nothing, and so must one without the journal\n" +
			"(`keep: forever`).",
		Command: fmt.Sprintf("go run ./internal/torture -seed %d -kills %d kills", b.Seed, b.Kills),
	}}
	var err error
	if k.server, err = dovecot.Start(dovecot.Options{}); err != nil {
		return k.figures, err
	}
	err = k.worlds(ctx)
	err = errors.Join(err, k.server.Stop())
	k.figures.note("%d mails in %d accounts; %d kills came while mail was moving; the state "+
		"directory was removed %d times; the files were looked at %d times",
		k.mails, k.figures.Cases, k.moving, k.forgot, k.samples)
	return k.figures, err
}

func (k *killer) worlds(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(k.bench.Parallel)
	number := 0
	for left := k.bench.Kills; left > 0; left -= killsPerWorld {
		n := number
		number++
		g.Go(func() error { return k.world(ctx, n, min(left, killsPerWorld)) })
	}
	return g.Wait()
}

// world is the life of one account.
func (k *killer) world(ctx context.Context, number, kills int) error {
	l := lives[number%len(lives)]
	w, err := k.bench.newWorld(k.server, fmt.Sprintf("kill%d", number), l.keep)
	if err != nil {
		return err
	}
	first := corpus.Ordinary(30, int64(k.bench.Seed)+int64(number))
	if number%5 == 0 {
		first = append(first, corpus.Hard()...)
	}
	if err := w.deliverAll(first); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var watching errgroup.Group
	watching.Go(func() error { return w.oracle.watch(ctx) })
	err = k.torture(ctx, w, l, kills)
	cancel()
	if err = errors.Join(err, watching.Wait()); err != nil {
		return fmt.Errorf("%s: %w", w.user, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.figures.Cases++
	k.samples += w.oracle.samples
	k.mails += w.truth.size()
	k.bench.say("%s (%+v): %d mails, %d of %d kills done", w.user, l, w.truth.size(),
		k.figures.Kills, k.bench.Kills)
	return nil
}

func (k *killer) torture(ctx context.Context, w *world, l life, kills int) error {
	if err := k.whileMailArrives(ctx, w, l, kills); err != nil {
		return err
	}
	name := fmt.Sprintf("%s, keep %s", w.user, w.keep)
	if err := k.last(ctx, w, name); err != nil {
		return err
	}
	if w.keep == keepForever {
		if err := w.forget(); err != nil {
			return err
		}
		name += ", without its journal"
		return k.last(ctx, w, name)
	}
	return nil
}

// last runs popferry twice to its end, and judges.
func (k *killer) last(ctx context.Context, w *world, name string) error {
	for _, which := range []string{"last run", "one more run"} {
		details := ""
		e, err := w.run(ctx)
		if err != nil {
			return err
		}
		v, err := w.oracle.judge(w.keep)
		if err != nil {
			return err
		}
		if v != (verdict{}) {
			if details, err = w.oracle.explain(); err != nil {
				return err
			}
		}
		k.mu.Lock()
		if e.Exit != 0 {
			k.figures.fail("%s: %s ended with %d: %s", name, which, e.Exit, tail(e.Output))
		}
		k.figures.exit(e)
		if which != "last run" || v != (verdict{}) {
			k.figures.judge(v, name+", "+which+" ("+details+")")
		}
		k.mu.Unlock()
		if v != (verdict{}) {
			return nil
		}
	}
	return nil
}

// whileMailArrives kills and starts again, with a deliverer at work.
func (k *killer) whileMailArrives(ctx context.Context, w *world, l life, kills int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var arriving errgroup.Group
	arriving.Go(func() error {
		defer stop()
		return newPostman(w).work(ctx)
	})
	err := k.killing(ctx, w, l, kills)
	stop()
	return errors.Join(err, arriving.Wait())
}

func (k *killer) killing(ctx context.Context, w *world, l life, kills int) error {
	usual := 300 * time.Millisecond // how long a run takes, as far as is known
	for done := 0; done < kills; {
		after := time.Duration(w.random.Int64N(int64(usual + usual/4)))
		moving := false
		switch w.random.IntN(10) {
		case 0:
			after += settling
		case 1, 2, 3, 4, 5:
			after, moving = after/4, true
		}
		before, err := w.oracle.box.arrived()
		if err != nil {
			return err
		}
		e, err := w.kill(ctx, after, moving)
		if err != nil {
			return err
		}
		now, err := w.oracle.box.arrived()
		if err != nil {
			return err
		}
		if e.Exit >= 0 {
			usual = (usual + min(e.Took, settling)) / 2
		} else {
			done++
		}
		k.count(w, e, now > before)
		if l.forget && w.random.IntN(4) == 0 {
			if err := k.forget(ctx, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// count takes a run into the figures. That one was done before its kill is fine, if it ended
// well or with "try again later".
func (k *killer) count(w *world, e ended, moving bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.figures.exit(e)
	switch e.Exit {
	case -1:
		k.figures.Kills++
		if moving {
			k.moving++
		}
	case 0:
	default:
		k.figures.fail("%s, keep %s: a run ended with %d: %s", w.user, w.keep, e.Exit, tail(e.Output))
	}
}

// forget removes the state, after the time in which an append could still be on its way: what
// only the journal knows is lost with it.
func (k *killer) forget(ctx context.Context, w *world) error {
	select {
	case <-time.After(settling):
	case <-ctx.Done():
		return ctx.Err()
	}
	k.mu.Lock()
	k.forgot++
	k.mu.Unlock()
	return w.forget()
}
