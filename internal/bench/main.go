// Command bench measures how fast popferry is, and what it costs.
//
// It moves the same mail between the same two servers (Dovecot on both sides, mail in memory,
// through a line of a given round trip) with four programs in turn, and compares the medians:
//
//   - the raw limit: sockets and no care at all, the least that has to be done ([limit]);
//   - popferry as it is built from this repository, with journal, digests and everything;
//   - movemail and fdm, where they are installed.
//
// After each run the files of the destination are compared with what was sent. The way through
// the code: [workloads] says what is measured, [measurer] carries it out in rounds on a [stage],
// [launch] runs one program and takes its time and memory, [judge] holds the numbers against the
// targets, and writeTable, picture and JSON show them.
//
//	go run ./internal/bench                        all of it: docs/bench.md, .svg and .json
//	go run ./internal/bench -quick                 small mailboxes, nothing judged or written
//	go run ./internal/bench -only far -budget 0    one workload, without movemail and fdm
//
// The exit status is 1 when a target is missed and 2 when nothing could be measured. The program
// also runs itself: "bench limit" is the raw limit, "bench launch" starts the others.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

const (
	statusMissed = 1
	statusBroken = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := run(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

// run takes one of the three roles of the program and returns its exit status.
func run(ctx context.Context, args []string) int {
	var err error
	switch {
	case len(args) > 0 && args[0] == limitRole:
		err = limitMain(ctx, args[1:])
	case len(args) > 0 && args[0] == launchRole:
		err = launchMain(ctx, args[1:])
	default:
		err = benchMain(ctx, args)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errMissed):
		return statusMissed
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	return statusBroken
}

// errMissed says that all was measured and a target was missed.
var errMissed = errors.New("a target is missed")

// options are the flags.
type options struct {
	Quick    bool
	Out      string        // directory, "" for none
	Budget   time.Duration // after this no slow program is started
	Only     string        // names of workloads, separated by commas; "" for all
	Popferry string        // a binary, "" to build one
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&o.Quick, "quick", false, "smoke run with small mailboxes; judges nothing")
	flags.StringVar(&o.Out, "out", "",
		"directory of bench.md, .svg and .json (default docs; none with -quick or -only)")
	flags.DurationVar(&o.Budget, "budget", 25*time.Minute,
		"after this time movemail and fdm are left out")
	flags.StringVar(&o.Only, "only", "", "measure these workloads only, such as near,far")
	flags.StringVar(&o.Popferry, "popferry", "", "measure this binary instead of building one")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.Out == "" && !o.Quick && o.Only == "" {
		o.Out = "docs"
	}
	return o, nil
}

func benchMain(ctx context.Context, args []string) error {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	r, err := measure(ctx, o, os.Stderr)
	if err != nil {
		return err
	}
	if o.Out != "" {
		if err := write(o.Out, r); err != nil {
			return err
		}
	} else if err := writeTable(os.Stdout, r); err != nil {
		return err
	}
	return verdict(os.Stdout, r.Targets)
}

// measure sets up everything, measures all workloads and takes everything down.
func measure(ctx context.Context, o options, log io.Writer) (r result, err error) {
	list, err := workloads(o)
	if err != nil {
		return r, err
	}
	dir, err := os.MkdirTemp("", "popferry-bench-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	tools := findTools(ctx, dir, o.Popferry)
	s, err := openStage(dir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	m := &measurer{stage: s, tools: tools, log: log, deadline: time.Now().Add(o.Budget)}
	r = result{Date: time.Now().UTC().Truncate(time.Second), Quick: o.Quick,
		Machine: describe(ctx, dir, tools)}
	for _, w := range list {
		c, err := m.measure(ctx, w)
		if err != nil {
			return r, fmt.Errorf("%s: %w", w.Title, err)
		}
		r.Cases = append(r.Cases, c)
	}
	r.Seconds = time.Since(r.Date).Seconds()
	r.Targets = judge(r)
	return r, nil
}

// write puts the three files into a directory.
func write(dir string, r result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		fill func(io.Writer, result) error
	}{{"bench.json", writeJSON}, {"bench.svg", writePicture}, {"bench.md", writeTable}} {
		if err := writeFile(filepath.Join(dir, f.name), r, f.fill); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, r result, fill func(io.Writer, result) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(fill(file, r), file.Close())
}
