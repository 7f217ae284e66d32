package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// runLimit is for one run of popferry; the longest takes some seconds.
const runLimit = 5 * time.Minute

// observer carries out the pairs.
type observer struct {
	stage   stage
	program string
	work    string
	dumps   bool // write down every message that was seen
	log     io.Writer
	served  map[string]served // by source and kind
}

func (o *observer) every(ctx context.Context, pairs []pair) (matrix, error) {
	m := matrix{Sources: map[string]source{}, Pairs: map[string]cell{}}
	for _, p := range pairs {
		began := time.Now()
		c, err := o.one(ctx, p)
		if err != nil {
			return m, fmt.Errorf("%s: %w", p, err)
		}
		m.Pairs[p.String()] = c
		name := p.source + "-" + p.kind
		m.Sources[name] = judgeSource(o.served[p.reader()], mails(p.kind))
		fmt.Fprintf(o.log, "%-28s %+v  (%.1f s)\n", p, c, time.Since(began).Seconds())
	}
	return m, nil
}

// one carries out one pair: three runs, each looked at.
func (o *observer) one(ctx context.Context, p pair) (cell, error) {
	if err := o.fill(p); err != nil {
		return cell{}, err
	}
	first, err := o.run(ctx, p, "state", "first")
	if err != nil {
		return cell{}, err
	}
	second, err := o.run(ctx, p, "state", "second")
	if err != nil {
		return cell{}, err
	}
	third, err := o.run(ctx, p, "empty", "third")
	if err != nil {
		return cell{}, err
	}
	return judge(mails(p.kind), o.served[p.reader()], first, second, third), nil
}

// fill gives the mail to the source, and looks what it serves, once for each source and kind.
func (o *observer) fill(p pair) error {
	from, list := o.stage[p.source], mails(p.kind)
	if err := from.deliver(p.from(), list...); err != nil {
		return fmt.Errorf("deliver to %s: %w", p.from(), err)
	}
	if _, known := o.served[p.reader()]; known {
		return nil
	}
	if err := from.deliver(p.reader(), list...); err != nil {
		return fmt.Errorf("deliver to %s: %w", p.reader(), err)
	}
	s, err := serve(from.pop3, p.reader(), from.password)
	if err != nil {
		return err
	}
	o.served[p.reader()] = s
	return errors.Join(o.dump(p.reader(), "put", list), o.dump(p.reader(), "served", s.Messages),
		o.dump(p.reader(), "refused", s.refusals()))
}

// outcome is what a run of popferry did: what it says, what it sent, and what is there now.
type outcome struct {
	Exit   int
	Report report
	Sent   [][]byte
	There  [][]byte
}

// report is the part of popferry's report that matters here.
type report struct{ Accounts []account }

type account struct {
	Held  int
	Error *struct{ Message string }
}

// run runs popferry once.
func (o *observer) run(ctx context.Context, p pair, state, name string) (out outcome, err error) {
	dir := filepath.Join(o.work, p.String())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return out, err
	}
	to := o.stage[p.destination]
	line, err := startRecorder(to.imap)
	if err != nil {
		return out, err
	}
	list, err := o.accounts(p, line.Address)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "accounts.yaml"), list, 0o600)
	}
	if err == nil {
		out.Exit, out.Report, err = o.execute(ctx, dir, state, name)
	}
	sent, lineErr := line.stop()
	if err := errors.Join(err, lineErr); err != nil {
		return out, err
	}
	out.Sent = sent
	if out.There, err = to.messages(p.to()); err != nil {
		return out, err
	}
	return out, errors.Join(o.dump(p.String(), name+"-sent", out.Sent),
		o.dump(p.String(), name+"-there", out.There))
}

// dump writes messages into a directory, for somebody who wants to look closer.
func (o *observer) dump(of, name string, messages [][]byte) error {
	if !o.dumps {
		return nil
	}
	dir := filepath.Join(o.work, of, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for i, raw := range messages {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%04d", i)), raw, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// execute starts the program, and keeps what it says in files called name.
func (o *observer) execute(ctx context.Context, dir, state, name string) (int, report, error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.program, "run", "--json", "--config", "accounts.yaml",
		"--state", state)
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// Most runs end with a status that is not 0, which is part of what is looked at.
	err := cmd.Run()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		return 0, report{}, errors.Join(err, ctx.Err(), errors.New(stderr.String()))
	}
	var r report
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, name+".json"), stdout.Bytes(), 0o600),
		os.WriteFile(filepath.Join(dir, name+".log"), stderr.Bytes(), 0o600),
		json.Unmarshal(stdout.Bytes(), &r))
	if err == nil && len(r.Accounts) != 1 {
		err = fmt.Errorf("a report of %d accounts", len(r.Accounts))
	}
	if err != nil {
		err = fmt.Errorf("%s run: %w\n%s", name, err, stderr.Bytes())
	}
	return cmd.ProcessState.ExitCode(), r, err
}

// accounts writes the list of accounts, as the JSON that YAML is.
func (o *observer) accounts(p pair, recorder string) ([]byte, error) {
	source, err := endpoint(o.stage[p.source].pop3, p.from(), o.stage[p.source].password)
	if err != nil {
		return nil, err
	}
	destination, err := endpoint(recorder, p.to(), o.stage[p.destination].password)
	if err != nil {
		return nil, err
	}
	destination["different_user"] = true
	return json.Marshal(map[string]any{
		"accounts": []any{map[string]any{
			"name": p.String(), "source": source, "destination": destination,
		}},
	})
}

func endpoint(address, user, password string) (map[string]any, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return map[string]any{"host": host, "port": json.Number(port), "tls": "none",
		"username": user, "password": password}, nil
}
