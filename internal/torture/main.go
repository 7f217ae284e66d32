// Command torture tries to make popferry lose mail, double it or alter it.
//
// It has ten parts, and each is about another way in which a transfer can go wrong:
//
//	kills      the program is killed (SIGKILL) at random moments, between real servers, with mail
//	           arriving all the while ([kills])
//	cuts       both lines are cut at every octet of a session: FIN, RST, silence ([cuts])
//	zombie     the end of an append arrives when its connection is long gone ([zombies])
//	disk       the disk is full, from the n-th write or fsync on, or is tiny ([disks])
//	state      the journal is damaged, missing, old, new, copied, or in use ([states])
//	histories  whole histories are invented from seeds, and played in memory ([histories])
//	model      a small world gets every blow, and every two ([model])
//	runners    two runners of that world meet at every step, and at every two ([runners])
//	mutants    the engine itself is broken, in ways that would lose or double mail, and the tests
//	           have to notice ([mutants])
//	soak       a bridge lives for an hour with all that can go wrong ([soak]); only when it is named
//
// What was put into a maildrop is remembered here ([truth]), what became of it is read from the
// servers' own files and never through popferry's code ([oracle]), and the two are compared by
// [corpus.Canonical]. Everything random comes from -seed; what a kill meets depends on the clock.
//
//	go run ./internal/torture -out docs        all of it: docs/reliability.md and .json
//	go run ./internal/torture -kills 60 kills  one part; prints what it found
//
// The figures of parts that did not run are kept as they were in docs. The exit status is 1 when
// something was lost, doubled or altered, or did not end as promised, and 2 when that could not
// be told. It needs Linux and Dovecot; strace and root for some of it, which is else left out and
// said so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	statusFailed = 1
	statusBroken = 2
)

// errFailed says that popferry did not do what it promises; what was printed.
var errFailed = errors.New("popferry broke its promise")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil:
	case errors.Is(err, errFailed):
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(statusFailed)
	default:
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(statusBroken)
	}
}

// options are the flags.
type options struct {
	Parts     []string
	Kills     int
	Stride    int
	Zombies   int
	Disk      int
	Histories int
	Only      string
	Duration  time.Duration
	Seed      uint64
	Parallel  int
	Popferry  string // a binary, "" to build one
	Out       string // directory of reliability.md and .json, "" for none
}

// parts are in the order in which they run: quick ones first.
var parts = []struct {
	name string
	run  func(context.Context, *bench) (part, error)
	long bool // runs only when it is named
}{
	{name: "state", run: states}, {name: "disk", run: disks}, {name: "zombie", run: zombies},
	{name: "histories", run: histories}, {name: "model", run: model}, {name: "runners", run: runners},
	{name: "kills", run: kills}, {name: "cuts", run: cuts}, {name: "mutants", run: mutants},
	{name: "soak", run: soak, long: true},
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	flags.IntVar(&o.Kills, "kills", 1000, "how often the program is killed")
	flags.IntVar(&o.Stride, "stride", 0,
		"cut at every n-th octet only; 0 is the usual, which is every octet")
	flags.IntVar(&o.Zombies, "zombies", 1000, "how many appends arrive late")
	flags.IntVar(&o.Disk, "disk", 400, "at how many calls at most each kind of disk failure begins")
	flags.IntVar(&o.Histories, "histories", 20_000, "how many histories are invented")
	flags.DurationVar(&o.Duration, "duration", time.Hour, "how long the soak lasts")
	flags.StringVar(&o.Only, "only", "", "only cases whose name begins so (state, disk, mutants)")
	flags.Uint64Var(&o.Seed, "seed", 1, "where all that is random begins")
	flags.IntVar(&o.Parallel, "parallel", runtime.NumCPU(), "how much is done at once")
	flags.StringVar(&o.Popferry, "popferry", "", "torture this binary instead of building one")
	flags.StringVar(&o.Out, "out", "", "directory of reliability.md and .json")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for _, name := range flags.Args() {
		if !known(name) {
			return o, fmt.Errorf("there is no part %q", name)
		}
	}
	if o.Kills < 1 || o.Stride < 0 || o.Zombies < 1 || o.Disk < 1 || o.Histories < 1 || o.Parallel < 1 {
		return o, errors.New("a number is too small")
	}
	if o.Duration < minDuration {
		return o, fmt.Errorf("a soak of less than %v shows nothing", minDuration)
	}
	o.Parts = flags.Args()
	if o.Only != "" && o.Out != "" {
		return o, errors.New("-out needs all cases of a part, without -only")
	}
	return o, nil
}

func known(name string) bool {
	for _, p := range parts {
		if p.name == name {
			return true
		}
	}
	return false
}

// bench is what the parts share: where to work and what to torture.
type bench struct {
	options
	dir     string // removed at the end
	program string // popferry
	log     io.Writer
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.log, format+"\n", args...) }

// mkdir makes a new directory.
func (b *bench) mkdir(name string) (string, error) { return os.MkdirTemp(b.dir, name+"-") }

func run(ctx context.Context, args []string, out, log io.Writer) error {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "popferry-torture-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, dir: dir, program: o.Popferry, log: log}
	if b.program == "" {
		if b.program, err = b.build(ctx); err != nil {
			return err
		}
	}
	did, err := b.all(ctx)
	if len(did) == 0 {
		return err
	}
	return errors.Join(err, b.show(did, out)) // what was interrupted has figures of the parts before
}

// build makes the program that is tortured. Its directory is open to all, since one of the
// tests runs it as another user.
func (b *bench) build(ctx context.Context) (string, error) {
	program := filepath.Join(b.dir, "popferry")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "./cmd/popferry")
	cmd.Stderr = b.log
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build popferry: %w", err)
	}
	return program, os.Chmod(b.dir, 0o711)
}

// all runs the chosen parts, one after the other.
func (b *bench) all(ctx context.Context) ([]part, error) {
	var did []part
	for _, p := range parts {
		if !slices.Contains(b.Parts, p.name) && (p.long || len(b.Parts) > 0) {
			continue
		}
		b.say("== %s", p.name)
		began := time.Now()
		figures, err := p.run(ctx, b)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return did, fmt.Errorf("%s: %w", p.name, err)
		}
		figures.Name, figures.Seed = p.name, b.Seed
		figures.Date = began.UTC().Truncate(time.Second)
		figures.Seconds = time.Since(began).Seconds()
		figures.Revision = revision(ctx)
		did = append(did, figures)
	}
	return did, nil
}

// show prints the figures, keeps them if that was asked for, and gives the verdict.
func (b *bench) show(did []part, out io.Writer) error {
	r := result{Parts: did}
	if b.Out != "" {
		if err := keep(b.Out, &r); err != nil {
			return err
		}
	}
	if err := writeText(out, result{Parts: did}); err != nil {
		return err
	}
	failed := 0
	for _, p := range did {
		failed += p.Failed
		for _, line := range p.Failures {
			if _, err := fmt.Fprintf(out, "FAILED %s: %s\n", p.Name, line); err != nil {
				return err
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%w: %d failures", errFailed, failed)
	}
	return nil
}

// revision is the commit that was tortured, with a mark if files differ from it.
func revision(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
