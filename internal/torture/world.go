package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
)

// What accounts.yaml says about keep.
const (
	keepForever   = "forever"
	keepDelivered = "delivered"
)

// runLimit is how long one run of popferry may take; the longest takes some seconds.
const runLimit = 2 * time.Minute

// world is one account on a real server, with popferry's configuration and state for it.
type world struct {
	bench  *bench
	server *dovecot.Server
	user   string
	keep   string
	dir    string // config and state
	truth  *truth
	oracle *oracle
	random *rand.Rand
	wrap   []string // a program and its arguments that popferry is run by
}

// newWorld makes an account of its own on a server.
func (b *bench) newWorld(s *dovecot.Server, user, keep string) (*world, error) {
	dir, err := b.mkdir(user)
	if err != nil {
		return nil, err
	}
	w := &world{bench: b, server: s, user: user, keep: keep, dir: dir, truth: newTruth(),
		random: rand.New(rand.NewPCG(b.Seed, seedOf(user)))}
	w.oracle = newOracle(w.truth, filepath.Join(s.Dir, "pop3", user), filepath.Join(s.Dir, "imap", recipient(user)))
	return w, w.configure(s.POP3S, s.IMAPS)
}

// recipient is the user whose mail goes into IMAP. It is another one, because popferry takes
// equal names on equal hosts for a slip.
func recipient(user string) string { return user + "-at-home" }

// seedOf makes a number of a name.
func seedOf(name string) uint64 {
	m := markOf([]byte(name))
	return uint64(m[0])<<24 | uint64(m[1])<<16 | uint64(m[2])<<8 | uint64(m[3])
}

// configure writes accounts.yaml.
func (w *world) configure(pop, imap string) error {
	source, err := side(pop, w.user, w.server)
	if err != nil {
		return err
	}
	destination, err := side(imap, recipient(w.user), w.server)
	if err != nil {
		return err
	}
	text := fmt.Sprintf(`settle: 1s
accounts:
  - name: %s
    source: %s
    destination: %s
    keep: %s
`, w.user, source, destination, w.keep)
	return os.WriteFile(w.config(), []byte(text), 0o600)
}

// side is a source or destination in YAML's short form.
func side(address, user string, s *dovecot.Server) (string, error) {
	host, port, err := net.SplitHostPort(address)
	return fmt.Sprintf("{host: %s, port: %s, tls: implicit, tls_ca: %s, username: %s, password: '%s'}",
		host, port, s.Files.CA, user, s.Password), err
}

func (w *world) config() string { return filepath.Join(w.dir, "accounts.yaml") }
func (w *world) state() string  { return filepath.Join(w.dir, "state") }

// deliver puts a mail into the maildrop.
func (w *world) deliver(raw []byte) error {
	if len(raw) == 0 {
		raw = []byte("\r\n") // what Dovecot's POP3 makes of an empty file
	}
	if err := w.server.Deliver(w.user, raw); err != nil {
		return err
	}
	w.truth.add(raw)
	return nil
}

// deliverAll puts several into it.
func (w *world) deliverAll(mails []corpus.Mail) error {
	for _, m := range mails {
		if err := w.deliver(m.Raw); err != nil {
			return err
		}
	}
	return nil
}

// ended is how a run of popferry ended.
type ended struct {
	Exit   int // -1: killed
	Output string
	Took   time.Duration
}

// command prepares a run of popferry.
func (w *world) command(ctx context.Context, verb string, args ...string) *exec.Cmd {
	argv := append(append([]string{}, w.wrap...), w.bench.program, verb,
		"--config", w.config(), "--state", w.state())
	argv = append(argv, args...)
	return exec.CommandContext(ctx, argv[0], argv[1:]...)
}

// run runs popferry to its end.
func (w *world) run(ctx context.Context, args ...string) (ended, error) {
	if w.keep == keepDelivered {
		args = append(args, "--confirm-delete")
	}
	return w.finish(ctx, w.command(ctx, "run", args...), nil)
}

// kill runs popferry and kills it after a time, unless it is done before. With moving set the
// time begins when mail arrives in IMAP.
func (w *world) kill(ctx context.Context, after time.Duration, moving bool) (ended, error) {
	var args []string
	if w.keep == keepDelivered {
		args = append(args, "--confirm-delete")
	}
	before, err := w.oracle.box.arrived()
	if err != nil {
		return ended{}, err
	}
	return w.finish(ctx, w.command(ctx, "run", args...), func(done <-chan struct{}) bool {
		if moving {
			w.oracle.box.await(before, done)
		}
		select {
		case <-time.After(after):
			return true
		case <-done:
			return false
		}
	})
}

// finish waits for a command. If there is a killer it is killed when that returns true; done tells
// the killer that there is nothing to kill any more. One that takes longer than runLimit is an
// error: every run has to end.
func (w *world) finish(ctx context.Context, cmd *exec.Cmd,
	killer func(done <-chan struct{}) bool) (ended, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return ended{}, err
	}
	done := make(chan struct{})
	var killing sync.WaitGroup
	if killer != nil {
		killing.Go(func() {
			if killer(done) {
				_ = cmd.Process.Kill() // it may have ended in this moment
			}
		})
	}
	watchdog := time.AfterFunc(runLimit, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	tooLong := !watchdog.Stop()
	close(done)
	killing.Wait()
	e := ended{Exit: cmd.ProcessState.ExitCode(), Output: out.String(), Took: time.Since(began)}
	switch {
	case ctx.Err() != nil:
		return e, ctx.Err()
	case tooLong:
		return e, fmt.Errorf("popferry did not end within %v:\n%s", runLimit, tail(e.Output))
	}
	return e, ignoreExit(err)
}

// ignoreExit drops the error of a program that ended other than with 0.
func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// forget removes popferry's state.
func (w *world) forget() error { return os.RemoveAll(w.state()) }

// tail is the end of a text, in one line.
func tail(text string) string {
	const limit = 600
	text = strings.TrimSpace(text)
	if len(text) > limit {
		text = "…" + text[len(text)-limit:]
	}
	return strings.ReplaceAll(text, "\n", " / ")
}
