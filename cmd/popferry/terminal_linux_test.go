package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal makes a terminal, and returns the end at which a person sits and the other.
func openTerminal(t *testing.T) (person, terminal *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skip(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return person, terminal
}

// TestPasswordCommandAtATerminal may ask there, as those do that a passphrase opens.
func TestPasswordCommandAtATerminal(t *testing.T) {
	dir := t.TempDir()
	text := `accounts:
  - source: {host: 127.0.0.1, port: 1, username: alice, password: {command: [sh, -c, 'read -r x </dev/tty; echo "$x" >got; echo x']}}
    destination: {host: 127.0.0.2, port: 1, username: alice, password: x}
`
	if err := os.WriteFile(filepath.Join(dir, "accounts.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	person, terminal := openTerminal(t)
	cmd := exec.Command("popferry", "check", "--config", filepath.Join(dir, "accounts.yaml"), "--state", filepath.Join(dir, "state"))
	var said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.Close()
	if _, err := io.WriteString(person, "correct-horse1\n"); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // no server is there
	if got, err := os.ReadFile(filepath.Join(dir, "got")); string(got) != "correct-horse1\n" {
		t.Errorf("%q, %v\n%s", got, err, &said)
	}
}
