package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
)

// injection is a way in which system calls fail.
type injection struct {
	name  string
	calls string
	error string
	on    bool // once begun, it goes on
}

var injections = []injection{
	{"the disk is full from the n-th write on", "pwrite64", "ENOSPC", true},
	{"the n-th write of a thread finds the disk full", "pwrite64", "ENOSPC", false},
	{"the n-th write of a thread fails", "pwrite64", "EIO", false},
	{"the n-th sync of a thread fails", "fsync,fdatasync", "EIO", false},
	{"every sync fails from the n-th on", "fsync,fdatasync", "EIO", true},
}

// expression is how strace is told; it counts calls by thread.
func (i injection) expression(n int) string {
	when := fmt.Sprint(n)
	if i.on {
		when += "+"
	}
	return fmt.Sprintf("inject=%s:error=%s:when=%s", i.calls, i.error, when)
}

// tinySizes are the file systems that the state has to fit into, in octets.
func tinySizes() []int64 {
	var sizes []int64
	for size := int64(8 << 10); size < 12<<20; size += size/3&^4095 + 4096 {
		sizes = append(sizes, size)
	}
	return sizes
}

// filler is the part "disk".
type filler struct {
	bench  *bench
	server *dovecot.Server

	mu      sync.Mutex
	figures part
}

func disks(ctx context.Context, b *bench) (part, error) {
	f := &filler{bench: b, figures: part{
		Title: "A disk that is full or fails",
		About: "Writes and syncs of the program fail, from the n-th on or just the n-th, for every n that a run\n" +
			"gets to, up to " + fmt.Sprint(b.Disk) + " (`strace -e inject`), and its state lies on file systems from 8 KiB on. A run that met a\n" +
			"failure ends with 74, or with 0 if it came when all was done (the journal is closed then). On a\n" +
			"disk that works the next run ends with 0, and everything is there once.",
		Command: fmt.Sprintf("go run ./internal/torture -seed %d -disk %d disk", b.Seed, b.Disk),
	}}
	var err error
	if f.server, err = dovecot.Start(dovecot.Options{}); err != nil {
		return f.figures, err
	}
	var work errgroup.Group
	work.SetLimit(b.Parallel)
	for i, kind := range injections {
		if strings.HasPrefix(kind.name, b.Only) {
			work.Go(func() error { return f.failing(ctx, i, kind) })
		}
	}
	if strings.HasPrefix(tinyName, b.Only) {
		work.Go(func() error { return f.tiny(ctx) })
	}
	err = errors.Join(work.Wait(), f.server.Stop())
	slices.SortFunc(f.figures.Rows, func(a, b row) int { return strings.Compare(a.Name, b.Name) })
	return f.figures, err
}

// prepared is an account with mail, of which a large one needs a file while it is carried.
func (f *filler) prepared(name string, number int) (*world, error) {
	keep := []string{keepForever, keepDelivered}[number%2]
	w, err := f.bench.newWorld(f.server, name, keep)
	if err != nil {
		return nil, err
	}
	large, err := io.ReadAll(corpus.Large(2 << 20))
	if err != nil {
		return nil, err
	}
	return w, errors.Join(w.deliverAll(corpus.Ordinary(15, int64(number))), w.deliver(large))
}

// tally counts what became of the cases of a kind.
type tally map[string]int

func (t tally) String() string {
	return fmt.Sprintf("%d ended with 74, %d with 0, %d did not meet a failure", t["74"], t["0"], t["none"])
}

// failing begins the failure at one call after the other, until a run no longer gets there.
func (f *filler) failing(ctx context.Context, kind int, i injection) error {
	t := tally{}
	strace, err := exec.LookPath("strace")
	if err != nil {
		f.row(i.name, "left out: strace is not installed")
		return nil
	}
	for n, missed := 1, 0; n <= f.bench.Disk && missed < 2; n++ {
		w, err := f.prepared(fmt.Sprintf("disk%d-%d", kind, n), n)
		if err != nil {
			return err
		}
		trace := filepath.Join(w.dir, "trace")
		w.wrap = []string{strace, "-f", "--seccomp-bpf", "-qq", "-o", trace,
			"-e", "trace=" + i.calls, "-e", i.expression(n)}
		e, err := w.run(ctx)
		if err != nil {
			return err
		}
		w.wrap = nil
		calls, err := os.ReadFile(trace)
		if err != nil {
			return fmt.Errorf("strace: %w: %s", err, tail(e.Output))
		}
		met := bytes.Contains(calls, []byte("(INJECTED)"))
		if missed++; met {
			missed = 0
		}
		if err := f.judge(ctx, w, e, met, fmt.Sprintf("%s, n = %d", i.name, n), t); err != nil {
			return err
		}
	}
	f.row(i.name, t.String())
	return nil
}

const tinyName = "the state has to fit into a few octets"

// tiny lays the state onto file systems that are too small for it.
func (f *filler) tiny(ctx context.Context) error {
	t := tally{}
	for n, size := range tinySizes() {
		w, err := f.prepared(fmt.Sprintf("tiny%d", n), n)
		if err != nil {
			return err
		}
		err = mountTiny(w.state(), size)
		if errors.Is(err, errSkipped) {
			f.row(tinyName, err.Error())
			return nil
		}
		if err != nil {
			return err
		}
		e, err := w.run(ctx)
		if err := errors.Join(err, unmountTiny(w.state())); err != nil {
			return err
		}
		if err := f.judge(ctx, w, e, e.Exit != 0, fmt.Sprintf("%d octets for the state", size), t); err != nil {
			return err
		}
	}
	f.row(tinyName, t.String())
	return nil
}

// judge runs once more, on a disk that works.
func (f *filler) judge(ctx context.Context, w *world, e ended, met bool, name string, t tally) error {
	last, err := w.run(ctx)
	if err != nil {
		return err
	}
	v, err := w.oracle.judge(w.keep)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.figures.Cases++
	f.figures.exit(e)
	f.figures.exit(last)
	f.figures.judge(v, name)
	if met {
		t[fmt.Sprint(e.Exit)]++
	} else {
		t["none"]++
	}
	if e.Exit != 0 && (e.Exit != 74 || !met) {
		f.figures.fail("%s, keep %s: ended with %d: %s", name, w.keep, e.Exit, tail(e.Output))
	}
	if last.Exit != 0 {
		f.figures.fail("%s, keep %s: the healthy run ended with %d: %s", name, w.keep, last.Exit, tail(last.Output))
	}
	return nil
}

func (f *filler) row(name, got string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.figures.Rows = append(f.figures.Rows, row{Name: name, Want: "74, or 0 when all was done", Got: got})
}
