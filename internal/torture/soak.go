package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/mailtest/proxy"
)

const (
	// soakAccounts is how many accounts the bridge of a soak has.
	soakAccounts = 20
	// catchUp is how long it may take to bring what is left once the faults are over:
	// an account that failed often waits for a quarter of an hour.
	catchUp = 25 * time.Minute
	// stopLimit is how long a bridge may take to end after SIGTERM.
	stopLimit = 30 * time.Second
)

// soaking is the part "soak".
type soaking struct {
	bench   *bench
	server  *dovecot.Server
	proxies []*proxy.Proxy
	worlds  []*world
	random  *rand.Rand
	dir     string // config and state
	log     *os.File
	calm    atomic.Bool // no faults
	figures part

	restarts, hangups, resets int
	mails                     int // that came, known in the end
}

func soak(ctx context.Context, b *bench) (part, error) {
	s := &soaking{bench: b, random: rand.New(rand.NewPCG(b.Seed, seedOf("soak"))), figures: soakFigures(b)}
	var err error
	if s.server, err = dovecot.Start(dovecot.Options{}); err != nil {
		return s.figures, err
	}
	err = s.prepare()
	if err == nil {
		err = s.keep(ctx)
	}
	for _, p := range s.proxies {
		err = errors.Join(err, p.Close())
	}
	return s.figures, errors.Join(err, s.server.Stop())
}

// soakFigures are those of a soak that has not begun.
func soakFigures(b *bench) part {
	return part{
		Title: "A bridge that keeps going",
		About: "`popferry bridge` keeps " + fmt.Sprint(soakAccounts) + " accounts on Dovecot, half of them with `keep: delivered`,\n" +
			"while mail arrives in all of them. One connection in six is to be cut or to fall silent somewhere,\n" +
			"if it gets that far, and every half minute Dovecot is restarted, all connections are reset, or SIGHUP makes\n" +
			"the bridge read its configuration anew. When the time is over the faults end, and all has to be there once;\n" +
			"SIGTERM has to end it with 0 within 30 seconds, and one more `run` must copy nothing. Memory,\n" +
			"goroutines and file descriptors must not grow once the first quarter of the time is over: their medians\n" +
			fmt.Sprintf("in the last quarter may be above those in the second by %d MiB and %d octets for each mail in\n", moreMemory, octetsAMail) +
			fmt.Sprintf("between, %d goroutines, and %d descriptors.", moreGoroutines, moreFiles),
		Command: fmt.Sprintf("go run ./internal/torture -seed %d -duration %v soak", b.Seed, b.Duration),
	}
}

// prepare makes the accounts, and the lines between the bridge and the servers.
func (s *soaking) prepare() (err error) {
	if s.dir, err = s.bench.mkdir("soak"); err != nil {
		return err
	}
	if s.log, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		return err
	}
	var addresses []string
	for _, target := range []string{s.server.POP3S, s.server.IMAPS} {
		p, err := proxy.Start(proxy.Options{Target: target, Plan: s.faults})
		if err != nil {
			return err
		}
		s.proxies = append(s.proxies, p)
		addresses = append(addresses, p.Addr())
	}
	for n := range soakAccounts {
		keep := []string{keepForever, keepDelivered}[n%2]
		w, err := s.bench.newWorld(s.server, fmt.Sprintf("soak%d", n), keep)
		if err != nil {
			return err
		}
		s.worlds = append(s.worlds, w)
	}
	return s.configure(addresses[0], addresses[1])
}

func (s *soaking) configure(pop, imap string) error {
	var b bytes.Buffer
	b.WriteString("settle: 10s\nbridge: {interval: 10s}\naccounts:\n")
	for _, w := range s.worlds {
		source, err := side(pop, w.user, s.server)
		if err != nil {
			return err
		}
		destination, err := side(imap, recipient(w.user), s.server)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "  - {name: %s, source: %s, destination: %s, keep: %s}\n", w.user, source, destination, w.keep)
	}
	return os.WriteFile(filepath.Join(s.dir, "accounts.yaml"), b.Bytes(), 0o600)
}

// faults are those of a connection: mostly none.
func (s *soaking) faults(number int) []proxy.Fault {
	r := rand.New(rand.NewPCG(s.bench.Seed, uint64(number)))
	if s.calm.Load() || r.IntN(6) > 0 {
		return nil
	}
	kinds := []proxy.Kind{proxy.FIN, proxy.RST, proxy.Silence, proxy.Hold, proxy.Zombie}
	return []proxy.Fault{{Dir: proxy.Direction(r.IntN(2)), When: proxy.At(r.Int64N(12_000)),
		Kind: kinds[r.IntN(len(kinds))], For: 5 * time.Second}}
}

// command prepares a run of popferry for all accounts.
func (s *soaking) command(ctx context.Context, verb string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.bench.program, append([]string{verb, "--config",
		filepath.Join(s.dir, "accounts.yaml"), "--state", filepath.Join(s.dir, "state")}, args...)...)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	return cmd
}

// keep is the life of the bridge.
func (s *soaking) keep(ctx context.Context) error {
	if err := s.consent(ctx); err != nil {
		return err
	}
	bridge := s.command(ctx, "bridge", "--verbose")
	if err := bridge.Start(); err != nil {
		return err
	}
	over := make(chan error, 1)
	go func() { over <- bridge.Wait() }()
	watched, err := s.live(ctx, bridge.Process)
	if err == nil {
		err = s.arrive(ctx)
	}
	if err != nil {
		_ = bridge.Process.Kill() // it may have ended, which is the error
		<-over
		return fmt.Errorf("%w\n%s", err, s.tail())
	}
	if err := s.end(bridge.Process, over); err != nil {
		return err
	}
	if err := s.verdict(ctx); err != nil {
		return err
	}
	return s.flat(watched)
}

// consent is a first run, in which deletions are agreed to.
func (s *soaking) consent(ctx context.Context) error {
	for _, w := range s.worlds {
		if err := w.deliver([]byte("Subject: the first\r\n\r\nof " + w.user + "\r\n")); err != nil {
			return err
		}
	}
	s.calm.Store(true)
	defer s.calm.Store(false)
	if err := s.command(ctx, "run", "--confirm-delete").Run(); err != nil {
		return fmt.Errorf("first run: %w\n%s", err, s.tail())
	}
	return nil
}

// live has mail arriving, faults striking and somebody watching until the time is over.
func (s *soaking) live(ctx context.Context, p *os.Process) ([]vitals, error) {
	ctx, stop := context.WithTimeout(ctx, s.bench.Duration)
	defer stop()
	var g errgroup.Group
	for _, w := range s.worlds {
		g.Go(func() error { return s.post(ctx, w) })
		g.Go(func() error {
			return every(ctx, 2*time.Second, func() error { return w.oracle.sample() })
		})
	}
	g.Go(func() error { return every(ctx, 30*time.Second, func() error { return s.strike(p) }) })
	var watched []vitals
	g.Go(func() error {
		return every(ctx, time.Second, func() error {
			v, err := vitalsOf(p.Pid)
			watched = append(watched, v)
			return err
		})
	})
	err := g.Wait()
	s.calm.Store(true)
	return watched, err
}

// every calls work again and again until ctx ends.
func every(ctx context.Context, pause time.Duration, work func() error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if err := work(); err != nil {
			return err
		}
	}
}

// post delivers mail to an account, some seconds apart.
func (s *soaking) post(ctx context.Context, w *world) error {
	p := newPostman(w)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Duration(p.random.IntN(8000)) * time.Millisecond):
		}
		if err := w.deliver(p.next()); err != nil {
			return err
		}
	}
}

// strike lets one of the large faults happen.
func (s *soaking) strike(p *os.Process) error {
	switch s.random.IntN(3) {
	case 0:
		s.restarts++
		if err := s.server.Down(); err != nil {
			return err
		}
		time.Sleep(time.Duration(s.random.IntN(10_000)) * time.Millisecond)
		return s.server.Up()
	case 1:
		s.hangups++
		return p.Signal(syscall.SIGHUP)
	}
	s.resets++
	for _, line := range s.proxies {
		line.Reset()
	}
	return nil
}

// arrive waits until all mail is there.
func (s *soaking) arrive(ctx context.Context) error {
	deadline := time.Now().Add(catchUp)
	for _, w := range s.worlds {
		for {
			v, err := w.oracle.judge(w.keep)
			if err != nil {
				return err
			}
			if v.Lost == 0 {
				break
			}
			if time.Now().After(deadline) {
				s.figures.fail("%s: %d mails did not arrive within %v", w.user, v.Lost, catchUp)
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

// end stops the bridge as systemd does.
func (s *soaking) end(p *os.Process, over <-chan error) error {
	began := time.Now()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-over:
		if err != nil {
			s.figures.fail("the bridge ended with: %v", err)
		}
		s.figures.note("SIGTERM ended it within %v", time.Since(began).Round(10*time.Millisecond))
	case <-time.After(stopLimit):
		s.figures.fail("the bridge did not end within %v of SIGTERM", stopLimit)
		_ = p.Kill()
		<-over
	}
	return nil
}

// verdict judges all accounts, and again after one more run.
func (s *soaking) verdict(ctx context.Context) error {
	for _, when := range []string{"in the end", "after one more run"} {
		s.mails = 0
		for _, w := range s.worlds {
			v, err := w.oracle.judge(w.keep)
			if err != nil {
				return err
			}
			s.mails += w.truth.size()
			s.figures.judge(v, w.user+", keep "+w.keep+", "+when)
		}
		if when != "in the end" {
			break
		}
		if err := s.command(ctx, "run").Run(); err != nil {
			s.figures.fail("one more run: %v; %s", err, s.tail())
		}
	}
	faults, connections := 0, 0
	for _, line := range s.proxies {
		stats := line.Stats()
		faults, connections = faults+stats.Faults, connections+stats.Connections
	}
	s.figures.Cases = len(s.worlds)
	s.figures.note("%v of mail: %d mails in %d accounts; %d connections, of which %d broke or stalled; %d restarts of "+
		"Dovecot, %d times all connections reset, %d SIGHUP", s.bench.Duration, s.mails, len(s.worlds), connections, faults,
		s.restarts, s.resets, s.hangups)
	return nil
}

// tail is the end of what popferry said.
func (s *soaking) tail() string {
	text, _ := os.ReadFile(s.log.Name()) // without it there is nothing to tell
	return tail(string(text))
}
