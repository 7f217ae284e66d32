package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The programs, by the names that tables and results use.
const (
	rawLimit = "raw limit"
	popferry = "popferry"
	movemail = "movemail"
	fdm      = "fdm"
)

// toolNames gives the order of rows and bars.
func toolNames() []string { return []string{rawLimit, popferry, movemail, fdm} }

// tool is a program that moves mail.
type tool struct {
	name    string
	program string
	version string
	missing string // why it cannot be run; "" if it can
	command func(program string, c *scene) (argv []string, err error)
}

// findTools builds popferry and looks for the others.
func findTools(ctx context.Context, dir, binary string) []*tool {
	raw := &tool{name: rawLimit, version: "this program", command: limitCommand}
	raw.program, _ = os.Executable()
	ours := &tool{name: popferry, program: binary, command: ferryCommand}
	if binary == "" {
		ours.program, ours.missing = build(ctx, filepath.Join(dir, "popferry"))
	}
	ours.version = firstLine(ctx, ours.program, "version")
	mover := &tool{name: movemail, command: movemailCommand}
	mover.program, mover.missing = lookUp("movemail")
	mover.version = firstLine(ctx, mover.program, "--version")
	fetcher := &tool{name: fdm, command: fdmCommand}
	fetcher.program, fetcher.missing = lookUp("fdm")
	fetcher.version = fdmVersion(ctx, fetcher.program)
	return []*tool{raw, ours, mover, fetcher}
}

// build makes the program of this repository; it has to be called inside of it.
func build(ctx context.Context, path string) (program, missing string) {
	const target = "github.com/popferry/popferry/cmd/popferry"
	out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, target).
		CombinedOutput()
	if err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return "", fmt.Sprintf("does not build: %.200s", line)
	}
	return path, ""
}

func lookUp(name string) (program, missing string) {
	program, err := exec.LookPath(name)
	if err != nil {
		return "", "not installed"
	}
	return program, ""
}

// firstLine runs a program for the first line of what it says.
func firstLine(ctx context.Context, program string, args ...string) string {
	if program == "" {
		return ""
	}
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// limitCommand is this very program in another role.
func limitCommand(program string, c *scene) ([]string, error) {
	return []string{program, limitRole, "-source", c.source, "-destination", c.destination,
		"-user", c.user, "-recipient", c.recipient, "-password", c.password}, nil
}

// ferryCommand gives popferry nothing but its defaults, and a journal on disk.
func ferryCommand(program string, c *scene) ([]string, error) {
	config := filepath.Join(c.dir, "accounts.yaml")
	text := "accounts:\n  - name: bench\n" +
		endpoint("source", c.source, c.user, c.password) +
		endpoint("destination", c.destination, c.recipient, c.password)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	state := filepath.Join(c.dir, "state")
	return []string{program, "run", "--config", config, "--state", state, "--json"}, nil
}

// endpoint returns one side of an account. Clear text is allowed, since the host is a loopback one.
func endpoint(side, address, user, password string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf("    %s: {host: %q, port: %s, tls: none, username: %q, password: %q}\n",
		side, host, port, user, password)
}

// movemailCommand leaves the source as it is, as popferry does.
func movemailCommand(program string, c *scene) ([]string, error) {
	const options = ";notls"
	return []string{program, "--no-config", "--preserve",
		fmt.Sprintf("pop://%s:%s@%s%s", c.user, c.password, c.source, options),
		fmt.Sprintf("imap://%s:%s@%s/INBOX%s", c.recipient, c.password, c.destination, options),
	}, nil
}

// fdmCommand leaves the source as it is, and has fdm add no Received field.
func fdmCommand(program string, c *scene) ([]string, error) {
	config := filepath.Join(c.dir, "fdm.conf")
	text := fmt.Sprintf("set no-received\nset allow-multiple\nset maximum-size 1G\n"+
		"account \"bench\" pop3 %s no-apop\naction \"append\" imap %s folder \"INBOX\"\n"+
		"match all action \"append\"\n",
		fdmServer(c.source, c.user, c.password),
		fdmServer(c.destination, c.recipient, c.password))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return []string{program, "-k", "-f", config, "fetch"}, nil
}

func fdmServer(address, user, password string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf("server %q port %s user %q pass %q", host, port, user, password)
}

// fdmVersion asks in the only way there is: fdm tells its version when it is to be verbose.
func fdmVersion(ctx context.Context, program string) string {
	if program == "" {
		return ""
	}
	out, err := exec.CommandContext(ctx, program, "-nvv", "-f", os.DevNull).CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return ""
	}
	_, rest, found := strings.Cut(string(out), "version is: ")
	if !found {
		return ""
	}
	version, _, _ := strings.Cut(rest, ",")
	line, _, _ := strings.Cut(version, "\n")
	return strings.TrimSpace(line)
}
