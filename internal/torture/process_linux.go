package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// nobody is the user that may not write what belongs to root.
const nobody = 65534

func stop(p *os.Process) error   { return p.Signal(syscall.SIGSTOP) }
func resume(p *os.Process) error { return p.Signal(syscall.SIGCONT) }

// readOnly takes away the right to write. Root has every right, so that popferry runs as nobody.
func readOnly(ctx context.Context, w *world) (ended, error) {
	if os.Geteuid() == 0 {
		for _, path := range []string{w.dir, w.state()} {
			if err := os.Chown(path, nobody, nobody); err != nil {
				return ended{}, err
			}
		}
	}
	if err := os.Chmod(w.state(), 0o500); err != nil {
		return ended{}, err
	}
	return withoutServers(ctx, w, func(ctx context.Context, args ...string) (ended, error) {
		cmd := w.command(ctx, "run", args...)
		if os.Geteuid() == 0 {
			if err := os.Chown(w.config(), nobody, nobody); err != nil {
				return ended{}, err
			}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		return w.finish(ctx, cmd, nil)
	})
}

func writable(w *world) error {
	if os.Geteuid() != 0 {
		return os.Chmod(w.state(), 0o700)
	}
	return errors.Join(os.Chown(w.dir, 0, 0), os.Chown(w.state(), 0, 0),
		os.Chown(w.config(), 0, 0), os.Chmod(w.state(), 0o700))
}

// readOnlyMount lays a read-only file system with a copy of the state over the state.
func readOnlyMount(ctx context.Context, w *world) (ended, error) {
	if err := syscall.Mount(w.state(), w.state(), "", syscall.MS_BIND, ""); err != nil {
		return ended{}, fmt.Errorf("%w: mounting needs root: %w", errSkipped, err)
	}
	flags := uintptr(syscall.MS_BIND | syscall.MS_REMOUNT | syscall.MS_RDONLY)
	if err := syscall.Mount("", w.state(), "", flags, ""); err != nil {
		return ended{}, errors.Join(err, unmount(w))
	}
	return withoutServers(ctx, w, w.run)
}

func unmount(w *world) error { return syscall.Unmount(w.state(), 0) }

// elsewhere runs on what believes to be another machine.
func elsewhere(ctx context.Context, w *world) (ended, error) {
	unshare, err := exec.LookPath("unshare")
	if err != nil || os.Geteuid() != 0 {
		return ended{}, fmt.Errorf("%w: another host name needs root and unshare", errSkipped)
	}
	w.wrap = []string{unshare, "--uts", "sh", "-c", `hostname elsewhere.example && exec "$@"`, "sh"}
	defer func() { w.wrap = nil }()
	return w.run(ctx)
}

// mountTiny makes a file system in memory that holds so many octets.
func mountTiny(dir string, octets int64) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", octets)); err != nil {
		return fmt.Errorf("%w: mounting needs root: %w", errSkipped, err)
	}
	return nil
}

// unmountTiny keeps the files, so that the next run finds them on a disk with room.
func unmountTiny(dir string) error {
	kept := filepath.Join(filepath.Dir(dir), "kept")
	return errors.Join(os.CopyFS(kept, os.DirFS(dir)), syscall.Unmount(dir, 0), os.Remove(dir),
		os.Rename(kept, dir))
}
