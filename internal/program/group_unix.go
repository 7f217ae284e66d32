//go:build unix

package program

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// InGroup has what a program started end with it, when it is ended for taking too long or
// because we are to end.
func InGroup(program *exec.Cmd) {
	program.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	program.Cancel = func() error {
		if syscall.Kill(-program.Process.Pid, syscall.SIGKILL) != nil {
			return os.ErrProcessDone // none is left
		}
		return nil
	}
}

// AtTerminal reports whether a program can ask a person at our terminal, as long as it is in our
// group: one of the background is stopped there.
func AtTerminal() bool {
	terminal, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer terminal.Close()
	inFront, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && inFront == unix.Getpgrp()
}
