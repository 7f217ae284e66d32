//go:build unix

package dovecot

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// stopLimit is how long the server gets to end by itself, and then again to be gone.
const stopLimit = 5 * time.Second

// process is the server's master process, which leads a process group of its own, and its guard.
type process struct {
	pid   int
	ended chan struct{} // closed when the master has ended
	guard *guard
	stop  func() error
}

// startProcess starts the server. Should this process die, remove is removed unless it is "".
func startProcess(o owner, program, config, remove string) (*process, error) {
	cmd := exec.Command(program, "-F", "-c", config)
	cmd.Dir = filepath.Dir(config)
	// Dovecot takes LISTEN_FDS and the like as orders from a service manager.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(config)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if o.change {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{pid: cmd.Process.Pid, ended: make(chan struct{})}
	p.stop = sync.OnceValue(p.end)
	go func() {
		defer close(p.ended)
		// How a server that was told to end ends is of no interest.
		_ = cmd.Wait()
	}()
	var err error
	if p.guard, err = startGuard(p.pid, remove); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

func (p *process) exited() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// end ends the group: all of it is asked to, and what is left after that is killed. Asking the
// master alone would do, but it then waits for seconds for its log process.
func (p *process) end() error {
	if !p.exited() {
		if err := syscall.Kill(-p.pid, syscall.SIGTERM); err != nil {
			return fmt.Errorf("end dovecot: %w", err)
		}
		select {
		case <-p.ended:
		case <-time.After(stopLimit):
		}
	}
	p.guard.dismiss()
	// The number stays reserved for the group while it has members, so this hits nobody else's
	// processes; an empty group is ESRCH.
	deadline := time.Now().Add(stopLimit)
	for !errors.Is(syscall.Kill(-p.pid, syscall.SIGKILL), syscall.ESRCH) {
		if time.Now().After(deadline) {
			return fmt.Errorf("processes of dovecot (group %d) do not end", p.pid)
		}
		time.Sleep(2 * time.Millisecond)
	}
	<-p.ended
	return nil
}

// guard is a shell that waits for its standard input to end. That happens when this process dies,
// and the guard then ends the server and removes what Stop would have removed; when dismissed it
// leaves without doing so.
type guard struct {
	cmd   *exec.Cmd
	input io.WriteCloser
}

// startGuard guards a process group. remove is a directory, or "".
func startGuard(group int, remove string) (*guard, error) {
	const script = `read -r word && exit
kill -s TERM -- "-$1"
sleep 1
kill -s KILL -- "-$1"
[ -z "$2" ] || rm -rf -- "$2"`
	cmd := exec.Command("/bin/sh", "-c", script, "guard", strconv.Itoa(group), remove)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &guard{cmd: cmd, input: input}, nil
}

func (g *guard) dismiss() {
	if g == nil {
		return
	}
	// A guard that has gone already is as good as dismissed.
	_, _ = io.WriteString(g.input, "leave\n")
	_ = g.input.Close()
	_ = g.cmd.Wait()
}
