// Command interop ferries mail between real servers and looks at what arrives.
//
// POP3 from Dovecot, Cyrus, Courier, popa3d and mailutils goes into the IMAP of Dovecot, Cyrus,
// Courier and mailutils: every pair, once with ordinary mail and once with hard mail, with the
// popferry that is built from this repository and run as its users run it. Then it is run again
// with its journal, and again without, and neither may copy anything.
//
// What happened is read from the servers' own files, never through popferry's code. Two witnesses
// tell who is to blame for a message that differs: a plain POP3 reader says what the source serves
// of what lies in its store ([serve]), and a recorder on the line to the destination says what
// popferry sends ([recorder]). The way through the code: [openStage] starts the servers, [ferry]
// carries out one pair, [judge] compares, and the matrix is written and held against the one that
// is kept in docs/.
//
//	go run ./internal/interop              run all, compare with docs/interop.json
//	go run ./internal/interop -keep        and keep the result in docs/
//	go run ./internal/interop -only courier-dovecot,popa3d-   pairs whose name begins so
//
// The exit status is 1 when something differs from what is kept, or is wrong whatever is kept, and
// 2 when it could not be told. It needs root, Linux and "make interop-servers".
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
	"strings"
	"syscall"
)

const (
	statusDiffers = 1
	statusBroken  = 2
)

// errDiffers says that the matrix is not as it should be; what differs was printed.
var errDiffers = errors.New("the matrix differs")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil:
	case errors.Is(err, errDiffers):
		os.Exit(statusDiffers)
	default:
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(statusBroken)
	}
}

// options are the flags.
type options struct {
	Keep     bool
	Only     []string // prefixes of pairs; none for all
	Popferry string   // a binary, "" to build one
	Work     string   // what there is to look at goes here, "" for nowhere
	Docs     string
}

func parse(args []string) (options, error) {
	var o options
	var only string
	flags := flag.NewFlagSet("interop", flag.ContinueOnError)
	flags.BoolVar(&o.Keep, "keep", false, "write the matrix into docs/")
	flags.StringVar(&only, "only", "", "prefixes of pairs to run, such as dovecot-cyrus,courier-")
	flags.StringVar(&o.Popferry, "popferry", "", "run this binary instead of building one")
	flags.StringVar(&o.Work, "work", "", "keep popferry's files and all messages in this directory")
	flags.StringVar(&o.Docs, "docs", "docs", "directory of interop.md and interop.json")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if only != "" {
		o.Only = strings.Split(only, ",")
	}
	if o.Keep && o.Only != nil {
		return o, errors.New("-keep needs the whole matrix, without -only")
	}
	return o, nil
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := observe(ctx, o, log)
	if err != nil {
		return err
	}
	if err := m.write(out); err != nil {
		return err
	}
	wrong := m.wrong()
	if o.Keep {
		if err := m.keep(o.Docs); err != nil {
			return err
		}
	} else {
		kept, err := readMatrix(filepath.Join(o.Docs, "interop.json"))
		if err != nil {
			return err
		}
		wrong = append(wrong, m.differences(kept)...)
	}
	for _, line := range wrong {
		if _, err := fmt.Fprintln(out, "WRONG", line); err != nil {
			return err
		}
	}
	if len(wrong) > 0 {
		return errDiffers
	}
	return nil
}

// observe runs the pairs and returns the matrix.
func observe(ctx context.Context, o options, log io.Writer) (m matrix, err error) {
	work := o.Work
	if work == "" {
		if work, err = os.MkdirTemp("", "popferry-interop-"); err != nil {
			return m, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	}
	program := o.Popferry
	if program == "" {
		program = filepath.Join(work, "popferry")
		build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/popferry")
		build.Stderr = log
		if err := build.Run(); err != nil {
			return m, fmt.Errorf("build popferry: %w", err)
		}
	}
	pairs := choose(o.Only)
	if len(pairs) == 0 {
		return m, errors.New("-only fits no pair")
	}
	s, err := openStage(pairs)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	witness := observer{stage: s, program: program, work: work, dumps: o.Work != "", log: log,
		served: map[string]served{}}
	return witness.every(ctx, pairs)
}
