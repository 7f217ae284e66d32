package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/post"
	"github.com/popferry/popferry/internal/private"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/signin"
	"github.com/popferry/popferry/plan"
)

const bridgeHelp = `Keep carrying the mail of the named accounts, or of all, until told to stop.

Every account passes at its interval (bridge: {interval: 5m} in accounts.yaml):
sooner while mail flows, later while something fails, and hardly at all while a
server refuses its credentials. A pass that finds nothing new asks the POP3
server only. One account that stalls or fails delays no other; where many
stall, they do so until it is known which.

The log has a line for each pass. Those that find nothing, or fail like one
before, have one an hour, which says how many they were; with --verbose those
that find nothing have one each.

SIGTERM or SIGINT finishes what is in hand and ends with 0. SIGHUP reads
accounts.yaml anew, and keeps the old one if the new one is wrong. While it is
at work, run, plan, verify, adopt and undo refuse the same state directory, and
say who has it; check, status and report do not.

bridge: {listen: "127.0.0.1:8325"} in accounts.yaml shows all accounts at
http://127.0.0.1:8325/, for people, and at /metrics, /healthz and
/api/status.json for programs. Other machines see it only if a token is set
there.`

// aliveEvery is how often the log hears, with --verbose, what the process is made of.
const aliveEvery = time.Minute

// A bridge keeps in paceFile when logins of which accounts were refused, and in loginsFile
// where SCRAM was; in cookiesFile is the key that the status page makes cookies with.
const (
	paceFile    = "bridge-pace.json"
	loginsFile  = "bridge-logins.json"
	cookiesFile = "bridge-cookies.json"
)

type bridgeOptions struct{ log string }

func (a *app) bridgeCommand() *cobra.Command {
	var o bridgeOptions
	cmd := &cobra.Command{
		Use:   "bridge [ACCOUNT...]",
		Short: "keep bringing new mail, unattended",
		Long:  bridgeHelp,
		Example: `  popferry bridge
  popferry bridge --log json`,
		RunE: func(cmd *cobra.Command, names []string) error {
			if cmd.Flags().Changed("json") || cmd.Flags().Changed("report") {
				return fault.New(fault.Usage, "a bridge has no result for --json or --report: it goes on until it is told to stop").
					WithHint("popferry report --json, or --report FILE, tells what it did; --log json is a log for programs")
			}
			err := a.bridge(cmd.Context(), o, names)
			if cmd.Context().Err() != nil && fault.CodeOf(err) == fault.Temporary {
				return nil // it was told to stop before it had begun
			}
			return err
		},
	}
	cmd.Flags().StringVar(&o.log, "log", "text", "how a line of the log looks: `text` or json")
	hideCommon(cmd, "json", "report")
	return cmd
}

// keeping is a bridge at work.
type keeping struct {
	app     *app
	names   []string
	log     *slog.Logger
	session *session
	fleet   *ferry.Fleet
	bridge  *bridge.Bridge
	news    *bridge.Newsroom
	office  *post.Office
	history *bridge.Recorder
	kept    []*bridge.Memory             // in the state directory
	hangup  chan os.Signal               // asks for a reload
	token   atomic.Pointer[secret.Value] // of the status page
	failed  sync.Map                     // names of accounts whose last pass did

	mu    sync.Mutex
	after map[string]time.Duration // how long an account may fail before somebody is told
}

func (a *app) bridge(ctx context.Context, o bridgeOptions, names []string) error {
	a.logWriter = bridge.NewUnhurried(a.stderr)
	log, err := a.logger(o.log, a.logWriter)
	if err != nil {
		return err
	}
	a.logWriter.Tell(func(lost int) { log.Warn("nobody took what the log had to say", "lines", lost) })
	outliveLog()
	a.log.Store(log)
	a.logsJSON = o.log == "json"
	hangup := make(chan os.Signal, 1)
	notifyReload(hangup) // first: it would end a process that still asks for passwords
	defer signal.Stop(hangup)
	config, err := a.load(names)
	if err != nil {
		return err
	}
	if err := config.ResolveBridge(ctx); err != nil {
		return err
	}
	s, err := a.open(ctx, config, names)
	if err != nil {
		return err
	}
	defer s.close()
	k := &keeping{app: a, names: names, log: log, session: s, hangup: hangup}
	defer k.flush()
	waiting := k.memory("bridge-outbox.json", "news that waits would not survive a restart")
	if k.office, err = post.Open(config.Bridge, post.Shelf{Load: waiting.Load, Save: waiting.Save}, log); err != nil {
		return err
	}
	defer k.office.Close()
	memory := k.memory("bridge-news.json", "what was told can't be remembered")
	k.news = &bridge.Newsroom{After: k.mayFail, Load: memory.Load, Save: memory.Save,
		Forget: memory.Forget, Publish: k.publish, Beat: k.office.Beat}
	k.news.Keep(namesOf(config))
	k.history = bridge.NewRecorder(s.journal, config.Bridge.History)
	keeping := k.memory(paceFile, "refused logins can't be remembered")
	learned := k.memory(loginsFile, "refused logins can't be remembered")
	s.options.Learned = &signin.Learned{Load: learned.Load, Save: learned.Save}
	past, err := pastOf(ctx, s.journal)
	if err != nil {
		return err
	}
	k.bridge = bridge.New(bridge.Options{Finished: k.finished, Load: keeping.Load, Save: keeping.Save, Past: past})
	listener, err := k.listen(ctx)
	if err != nil {
		return err
	}
	k.run(ctx, listener)
	k.conclude(context.WithoutCancel(ctx))
	return nil
}

// conclude writes the last of the history, into a journal that may have to be opened anew
// after an error of the disk, as passes do. What it lacks is no failure of a bridge that did
// all that it was told to.
func (k *keeping) conclude(ctx context.Context) {
	notes, err := k.session.journal.Renew(ctx)
	for _, note := range notes {
		k.log.Info("note", "text", note)
	}
	if err == nil {
		err = k.history.Flush()
	}
	k.wrote(err)
}

// wrote says that the history could not be written, if so.
func (k *keeping) wrote(err error) {
	if err != nil {
		k.log.Error("the history can't be written", "error", err)
	}
}

// memory makes one in the state directory, where failed says what it means that it can't be
// written.
func (k *keeping) memory(file, failed string) *bridge.Memory {
	m := &bridge.Memory{Path: filepath.Join(k.app.state, file), Write: private.Write,
		Failed: func(err error) { k.log.Error(failed, "error", err) }}
	k.kept = append(k.kept, m)
	return m
}

// flush writes what a disk did not take before.
func (k *keeping) flush() {
	for _, m := range k.kept {
		m.Flush()
	}
}

// pastFor is how far back a bridge looks for the last pass that succeeded, or the first that
// failed since.
const pastFor = 7 * 24 * time.Hour

// pastOf tells of the accounts what the journal knows when a bridge begins.
func pastOf(ctx context.Context, j journal.Journal) (func(account string) bridge.Past, error) {
	past, now := map[string]bridge.Past{}, time.Now()
	err := j.EachPass(ctx, now.Add(-pastFor), func(p journal.Pass) error {
		if p.Started.After(now) || ferry.WasKilled(p) {
			return nil
		}
		known := past[p.Account]
		if code := fault.Code(p.Code); code == fault.OK || code == fault.Held {
			known = bridge.Past{Success: p.Ended(), Held: p.Held}
		} else if known.Failing.IsZero() {
			known.Failing = p.Started
		}
		past[p.Account] = known
		return nil
	})
	return func(account string) bridge.Past { return past[account] }, err
}

// finished has a pass written down, and told to whom it concerns.
func (k *keeping) finished(p bridge.Pass) {
	k.tell(p)
	k.wrote(k.history.Record(p))
	k.news.From(p)
	k.flush()
	k.news.Heartbeat(k.bridge.Snapshot())
}

// publish has news written down and brought to everybody.
func (k *keeping) publish(news []bridge.News) {
	for _, n := range news {
		k.log.Warn("news", "kind", n.Kind, "account", n.Account, "text", n.Text)
		k.office.Send(n)
	}
}

// mayFail is how long an account may fail before that is news.
func (k *keeping) mayFail(account string) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.after[account]
}

// run keeps the accounts until ctx ends, and shows them at a port if there is one.
func (k *keeping) run(ctx context.Context, port net.Listener) {
	k.fleet = ferry.NewFleet(k.options(k.session.config))
	k.token.Store(&k.session.config.Bridge.Token.Secret)
	shown := k.showPage(ctx, port)
	k.bridge.Start(ctx, k.accounts(k.session.config, k.fleet))
	k.log.Info("started", "accounts", len(k.bridge.Snapshot().Accounts), "state", k.app.state)
	k.tellParked()
	say(daemon.SdNotifyReady)
	go k.live(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { k.news.Watch(ctx, k.bridge) })
	for going := true; going; {
		select {
		case <-ctx.Done():
			going = false
		case <-k.hangup:
			k.reload(ctx)
		}
	}
	say(daemon.SdNotifyStopping)
	k.office.Hurry() // beside the rest: there are 30 seconds for all
	k.bridge.Wait()
	watch.Wait()
	k.fleet.Close()
	<-shown
	k.log.Info("stopped")
}

// live shows systemd, and the log, that the bridge is alive until ctx ends: also while it
// reloads, which takes as long as somebody who is asked for a password.
func (k *keeping) live(ctx context.Context) {
	watch, alive := watchdog(), time.Tick(aliveEvery)
	for {
		select {
		case <-ctx.Done():
			return
		case <-watch:
			k.bridge.Snapshot() // it would wait for ever for a keeper that hangs
			say(daemon.SdNotifyWatchdog)
		case <-alive:
			k.log.Debug("alive", "goroutines", runtime.NumGoroutine(), "accounts", len(k.bridge.Snapshot().Accounts))
		}
	}
}

func (k *keeping) options(config *plan.Config) ferry.Options {
	options := k.session.options
	options.Config = config
	options.Observe = k.observe
	return options
}

func (k *keeping) accounts(config *plan.Config, fleet *ferry.Fleet) []bridge.Account {
	chosen, _ := config.Select(k.names) // was checked
	set := make([]bridge.Account, len(chosen))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.after = map[string]time.Duration{}
	for i, account := range chosen {
		k.after[account.Name] = account.Pace.AlertAfter
		set[i] = bridge.Account{Name: account.Name, Hash: account.Hash() + account.Pace.String(), Servers: serversOf(*account),
			Interval: account.Pace.Interval, Fastest: account.Pace.Fastest,
			Mended: func() bool { return k.signedIn(account) },
			Pass: func(ctx context.Context, held bool) ferry.AccountReport {
				return fleet.Pass(ctx, account.Name, held)
			}}
	}
	return set
}

// signedIn reports whether somebody signed in for an account that waits for that.
func (k *keeping) signedIn(a *plan.Account) bool {
	for _, side := range []plan.Endpoint{a.Source, a.Destination} {
		if side.OAuth != nil && k.session.tokens.Renewed(a.Name, side) {
			return true
		}
	}
	return false
}

// namesOf are all accounts of accounts.yaml: one that is not kept now has not left.
func namesOf(config *plan.Config) (names []string) {
	for _, account := range config.Accounts {
		names = append(names, account.Name)
	}
	return names
}

// serversOf tells the logins of an account from others.
func serversOf(a plan.Account) string {
	return a.Source.Username + " at " + a.Source.Address() + ", " + a.Destination.Username + " at " + a.Destination.Address()
}

// reload goes over to what accounts.yaml says now; if that is wrong, nothing changes.
func (k *keeping) reload(ctx context.Context) {
	// With the time, as Type=notify-reload wants it.
	say(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	defer say(daemon.SdNotifyReady)
	config, err := k.app.load(k.names)
	if err == nil {
		err = errors.Join(config.Resolve(ctx, k.names), config.ResolveBridge(ctx))
	}
	if err == nil {
		err = k.office.Adopt(config.Bridge)
	}
	if err != nil && ctx.Err() != nil {
		return // it was told to stop meanwhile, which says nothing about the file
	}
	if err != nil {
		what := " is wrong"
		if fault.CodeOf(err) == fault.Temporary {
			what = " can't be taken over now"
		}
		k.log.ErrorContext(bridge.Answer(ctx), fault.Escape(k.app.config)+what+", and the old one stays in force",
			"error", inOneLine(err))
		return
	}
	old := k.fleet
	k.fleet = old.Next(k.options(config))
	accounts := k.accounts(config, k.fleet)
	k.bridge.Adopt(accounts)
	go old.Close()
	k.news.Keep(namesOf(config))
	k.history.Keep(config.Bridge.History)
	k.reloadPage(ctx, config)
	k.log.Info(fault.Escape(k.app.config)+" was read anew", "accounts", len(accounts))
}

// say tells systemd; without it nobody listens, which is no error.
func say(state string) { _, _ = daemon.SdNotify(false, state) }

// watchdog ticks as often as systemd wants to hear of us, or never.
func watchdog() <-chan time.Time {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return nil
	}
	return time.Tick(every / 2)
}

// logEnds is how long the last lines of the log are waited for.
const logEnds = 2 * time.Second

func (a *app) closeLog() {
	if a.logWriter != nil {
		a.logWriter.Close(logEnds)
	}
}

func (a *app) logger(form string, w io.Writer) (*slog.Logger, error) {
	level := slog.LevelInfo
	switch {
	case a.verbose:
		level = slog.LevelDebug
	case a.quiet:
		level = slog.LevelWarn
	}
	o := &slog.HandlerOptions{Level: level}
	switch form {
	case "text":
		return slog.New(bridge.Calm(slog.NewTextHandler(w, o))), nil
	case "json":
		return slog.New(bridge.Calm(slog.NewJSONHandler(w, o))), nil
	}
	return nil, fault.New(fault.Usage, "--log must be text or json").WithHint("text is for people, json for programs")
}

// tell writes a line about a pass. Those in which nothing happened say all the same, and the
// log counts them (see [bridge.Calm]), but for the first one after a failure; with --verbose
// each says when it was.
func (k *keeping) tell(p bridge.Pass) {
	r, ctx := p.Report, context.Background()
	fields := []any{"account", r.Name, "result", r.ExitCode.String(), "listed", r.Listed, "delivered", r.Delivered,
		"held", r.Held, "deleted", r.Deleted, "bytes", r.Bytes}
	idle := !p.Stopped && !r.Resting && r.Error == nil && r.Delivered+r.Deleted == 0
	_, failed := k.failed.LoadAndDelete(r.Name)
	if !idle || failed || k.log.Enabled(ctx, slog.LevelDebug) {
		fields = append(fields, "seconds", math.Round(r.Seconds*1000)/1000)
		if !p.Stopped {
			fields = append(fields, "next", p.Next.Format(time.RFC3339))
		}
	}
	level := slog.LevelInfo
	if r.GaveWay && r.Left != nil {
		fields = append(fields, "gave_way", true, "left", *r.Left)
	}
	switch {
	case p.Stopped:
		fields = append(fields, "stopped", true)
	case r.Resting:
		fields = append(fields, "until", r.NotBefore.Format(time.RFC3339))
	case r.Error != nil:
		level = slog.LevelWarn
		k.failed.Store(r.Name, true)
		fields = append(fields, "error", r.Error.Message, "check", r.Error.Hint, "parked", p.Parked)
	}
	k.log.Log(ctx, level, bridge.PassLine, fields...)
}

// tellParked writes which accounts don't even begin, since they were refused just now.
func (k *keeping) tellParked() {
	for _, a := range k.bridge.Snapshot().Accounts {
		if a.Phase == bridge.Parked {
			k.log.Warn("parked: its credentials were refused three times within the hour", "account", a.Name, "error", a.Error.Message)
		}
	}
}

// observe writes what passes have to say.
func (k *keeping) observe(ev ferry.Event) {
	switch ev.Kind {
	case ferry.Note:
		k.log.Info("note", "account", ev.Account, "text", ev.Text)
	case ferry.Waiting:
		k.bridge.Await(ev.Account, ev.Text, ev.Until)
		level := slog.LevelDebug
		if ev.Messages > 0 { // it is in doubt, which is rare, what became of them
			level = slog.LevelInfo
		}
		k.log.Log(context.Background(), level, "waiting", "account", ev.Account, "for", ev.Text, "until", ev.Until.Format(time.RFC3339))
	case ferry.Queued, ferry.Started:
		k.bridge.Turn(ev.Account, ev.Kind == ferry.Queued)
	case ferry.Killed:
		k.wrote(k.history.Recall(*ev.Pass))
		k.bridge.Progress(ev) // whoever shows the history is to look again
	case ferry.Planned, ferry.Delivered, ferry.Skipped:
		k.bridge.Progress(ev)
	}
}
