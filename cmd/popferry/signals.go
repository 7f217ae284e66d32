package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// untilSignal returns a context that ends with the first SIGINT or SIGTERM: what
// is under way is finished then. A second one has its usual effect, at once.
func (a *app) untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			signal.Stop(signals)
			cancel() // first: nobody may read what is said
			a.say("finishing what is under way; once more to stop at once")
		case <-ctx.Done():
			signal.Stop(signals)
		}
	}()
	return ctx, cancel
}

// outliveLog keeps the process alive when the reader of its log is gone: what it writes then
// is lost. The signal is caught, since one that is ignored would be so in commands, too.
func outliveLog() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// say tells the user something, wherever the program is.
func (a *app) say(format string, args ...any) {
	if log := a.log.Load(); log != nil {
		log.Info(fmt.Sprintf(format, args...))
		return
	}
	if out := a.output.Load(); out != nil {
		out.Say(format, args...)
		return
	}
	fmt.Fprintf(a.stderr, format+"\n", args...)
}
