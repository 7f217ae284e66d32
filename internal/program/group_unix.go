//go:build unix

package program

import (
	"os"
	"os/exec"
	"syscall"
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
