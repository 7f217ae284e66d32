package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

const launchRole = "launch"

// cost is what one run of a program took.
type cost struct {
	Seconds  float64 `json:"seconds"`
	MaxRSS   int64   `json:"max_rss"` // octets, of the largest process; 0 unknown
	Exit     int     `json:"exit"`    // -1 if it was killed
	TimedOut bool    `json:"timed_out,omitempty"`
	Output   string  `json:"output,omitempty"` // the end of what it said, if it failed
}

// launch runs a program and returns what it took; that it failed is no error.
//
// The program is not our own child but that of a copy of ourselves: Linux counts the memory of
// the process that starts another one into the maximum of the new one (the address space is
// shared between clone and exec), and ours is large.
func launch(ctx context.Context, limit time.Duration, argv, env []string) (cost, error) {
	self, err := os.Executable()
	if err != nil {
		return cost{}, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{launchRole, limit.String()}, argv...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	// An interrupt reaches the copy as well; it gets the time to end its own child.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.Output()
	if err != nil {
		return cost{}, fmt.Errorf("launch %s: %w", argv[0], err)
	}
	var c cost
	if err := json.Unmarshal(out, &c); err != nil {
		return cost{}, fmt.Errorf("launch %s: %w", argv[0], err)
	}
	return c, ctx.Err()
}

// launchMain is the copy: it runs args[1:] for at most args[0] and prints the cost.
func launchMain(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("launch needs a time and a program")
	}
	limit, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	said := &tail{}
	cmd := exec.CommandContext(limited, args[1], args[2:]...)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.WaitDelay = time.Second

	began := time.Now()
	err = cmd.Run()
	c := cost{Seconds: time.Since(began).Seconds(), TimedOut: limited.Err() != nil}
	if cmd.ProcessState == nil {
		return err
	}
	c.Exit, c.MaxRSS = cmd.ProcessState.ExitCode(), maxRSS(cmd.ProcessState)
	if err != nil {
		c.Output = string(said.kept)
	}
	return json.NewEncoder(os.Stdout).Encode(c)
}

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	const limit = 2 << 10
	t.kept = append(t.kept, p[max(0, len(p)-limit):]...)
	t.kept = t.kept[max(0, len(t.kept)-limit):]
	return len(p), nil
}
