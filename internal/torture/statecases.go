package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	database = "journal.db"
	lockFile = "journal.lock"
)

// stateCases lists what can happen to a state directory. A run that begins a new journal in
// the place of a damaged one ends with 65 where it would delete.
func stateCases() []stateCase {
	cases := []stateCase{
		{name: "directory missing", want: []int{0},
			does: then(func(w *world) error { return w.forget() })},
		{name: "journal missing", want: []int{0}, does: then(removed(database))},
		{name: "journal missing, unclean", want: []int{0}, does: unclean(removed(database))},
		{name: "journal empty", want: []int{0}, does: then(truncated(database, 0))},
		{name: "journal garbage", want: []int{0, 65}, does: then(garbage(database, 0, 1)),
			says: "damaged", after: setAside},
		{name: "pages damaged, unclean", want: []int{0, 65}, does: unclean(garbage(database, 0.3, 0.8)),
			says: "damaged", after: setAside},
		{name: "pages damaged, clean end", want: []int{0, 65, 74}, does: then(garbage(database, 0.3, 0.8))},
		{name: "journal half, unclean", want: []int{0, 65}, does: unclean(truncated(database, 0.5)),
			says: "damaged", after: setAside},
		{name: "journal half, clean end", want: []int{0, 65, 74}, does: then(truncated(database, 0.5))},
		{name: "journal 100 octets", want: []int{0, 65}, does: then(truncatedTo(database, 100))},
		{name: "log missing after a kill", want: []int{0}, does: killed(removed(database + "-wal"))},
		{name: "log garbage after a kill", want: []int{0}, does: killed(garbage(database+"-wal", 0.2, 0.9))},
		{name: "shared memory garbage", want: []int{0}, does: killed(garbage(database+"-shm", 0, 1))},
		{name: "journal of a newer version", want: []int{78}, says: "knows versions up to",
			does: offline(newer), after: untouched, heals: older},
		{name: "not a journal, but a database", want: []int{74}, says: "another program",
			does: offline(stranger), after: untouched, heals: removed(database)},
		{name: "journal is a directory", want: []int{74}, does: offline(directory), heals: removed(database)},
		{name: "lock is a link", want: []int{74}, does: offline(linked), heals: removed(lockFile)},
		{name: "directory may not be written", want: []int{74}, does: readOnly, heals: writable},
		{name: "read-only file system", want: []int{74}, does: readOnlyMount, heals: unmount},
		{name: "an old copy of the state", want: []int{0}, does: oldCopy},
		{name: "state of another machine", want: []int{0}, does: elsewhere, says: "two machines"},
		{name: "two processes at once", want: []int{75}, does: twoAtOnce, says: "already running as pid"},
		{name: "removed during a run", want: []int{0, 70, 74, 75}, does: removedMeanwhile},
	}
	for tenth := range 10 {
		share := float64(tenth) / 10
		cases = append(cases, stateCase{name: fmt.Sprintf("log cut at %d %% after a kill", tenth*10),
			want: []int{0}, does: killed(truncated(database+"-wal", share))})
	}
	return cases
}

type (
	happening = func(context.Context, *world) (ended, error)
	change    = func(*world) error
)

// then changes the state and runs.
func then(c change) happening {
	return func(ctx context.Context, w *world) (ended, error) {
		if err := c(w); err != nil {
			return ended{}, err
		}
		return w.run(ctx)
	}
}

// unclean does the same after an end that was not clean, which is what the lock's text says.
func unclean(c change) happening {
	return func(ctx context.Context, w *world) (ended, error) {
		text := []byte("pid 1 since 2020-01-01T00:00:00Z\n")
		if err := os.WriteFile(filepath.Join(w.state(), lockFile), text, 0o600); err != nil {
			return ended{}, err
		}
		return then(c)(ctx, w)
	}
}

// killed does the same after a run that was killed while mail was moving.
func killed(c change) happening {
	return func(ctx context.Context, w *world) (ended, error) {
		if err := killMeanwhile(ctx, w); err != nil {
			return ended{}, err
		}
		// Without what the log says, popferry may not know of an append that is still under way.
		time.Sleep(settling)
		return then(c)(ctx, w)
	}
}

// killMeanwhile kills a run as soon as the first message arrived.
func killMeanwhile(ctx context.Context, w *world) error {
	before, err := w.oracle.box.arrived()
	if err != nil {
		return err
	}
	cmd := w.command(ctx, "run")
	_, err = w.finish(ctx, cmd, func(done <-chan struct{}) bool {
		w.oracle.box.await(before, done)
		return true
	})
	return err
}

// offline changes the state, takes the servers away, and runs: what popferry says about its state
// it has to say before it calls anyone.
func offline(c change) happening {
	return func(ctx context.Context, w *world) (ended, error) {
		if err := c(w); err != nil {
			return ended{}, err
		}
		return withoutServers(ctx, w, w.run)
	}
}

// withoutServers runs with a configuration whose servers do not exist: a run that calls one ends
// with 75.
func withoutServers(ctx context.Context, w *world,
	run func(context.Context, ...string) (ended, error)) (e ended, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return ended{}, err
	}
	nobody := l.Addr().String()
	if err := errors.Join(l.Close(), w.configure(nobody, nobody)); err != nil {
		return ended{}, err
	}
	defer func() { err = errors.Join(err, w.configure(w.server.POP3S, w.server.IMAPS)) }()
	return run(ctx)
}

func removed(name string) change {
	return func(w *world) error { return os.RemoveAll(filepath.Join(w.state(), name)) }
}

// truncated cuts a file to a share of its length; one that is not there stays so.
func truncated(name string, share float64) change {
	return func(w *world) error {
		info, err := os.Stat(filepath.Join(w.state(), name))
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return truncatedTo(name, int64(float64(info.Size())*share))(w)
	}
}

func truncatedTo(name string, size int64) change {
	return func(w *world) error { return os.Truncate(filepath.Join(w.state(), name), size) }
}

// garbage overwrites a part of a file, from a share of its length to another.
func garbage(name string, from, to float64) change {
	return func(w *world) error {
		path := filepath.Join(w.state(), name)
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := int(from * float64(len(data))); i < int(to*float64(len(data))); i++ {
			data[i] = byte(w.random.Uint32())
		}
		return os.WriteFile(path, data, 0o600)
	}
}

// setAside finds the damaged journal under another name.
func setAside(w *world) error {
	found, err := filepath.Glob(filepath.Join(w.state(), database+".corrupt-*"))
	if err == nil && len(found) == 0 {
		err = errors.New("the damaged journal was not kept")
	}
	return err
}

// The offsets of user_version and application_id in the header of an SQLite database.
const (
	versionAt = 60
	programAt = 68
)

// newer and older go to a version that nobody has yet, and back.
func newer(w *world) error    { return patch(w, versionAt, 9000) }
func older(w *world) error    { return patch(w, versionAt, -9000) }
func stranger(w *world) error { return patch(w, programAt, 0x12345678) }

// patch adds to a number in the header, and keeps a copy to compare with.
func patch(w *world, at int64, more int32) error {
	file, err := os.OpenFile(filepath.Join(w.state(), database), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	number := make([]byte, 4)
	if _, err := file.ReadAt(number, at); err != nil {
		return err
	}
	value := int32(binary.BigEndian.Uint32(number)) + more
	if _, err := file.WriteAt(binary.BigEndian.AppendUint32(nil, uint32(value)), at); err != nil {
		return err
	}
	data, err := os.ReadFile(file.Name())
	return errors.Join(err, os.WriteFile(filepath.Join(w.dir, "before"), data, 0o600))
}

// untouched compares with that copy.
func untouched(w *world) error {
	before, err := os.ReadFile(filepath.Join(w.dir, "before"))
	if err != nil {
		return err
	}
	now, err := os.ReadFile(filepath.Join(w.state(), database))
	if err == nil && !bytes.Equal(before, now) {
		err = errors.New("the journal was changed")
	}
	return err
}

func directory(w *world) error {
	path := filepath.Join(w.state(), database)
	return errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
}

func linked(w *world) error {
	path := filepath.Join(w.state(), lockFile)
	return errors.Join(os.Remove(path), os.Symlink(filepath.Join(w.dir, "elsewhere"), path))
}

// oldCopy runs, and puts back the state of before: what the journal does not know is there.
func oldCopy(ctx context.Context, w *world) (ended, error) {
	copied := filepath.Join(w.dir, "copy")
	if err := os.CopyFS(copied, os.DirFS(w.state())); err != nil {
		return ended{}, err
	}
	if e, err := w.run(ctx); err != nil || e.Exit != 0 {
		return e, err
	}
	if err := errors.Join(w.forget(), os.Rename(copied, w.state())); err != nil {
		return ended{}, err
	}
	return w.run(ctx)
}

// twoAtOnce starts a second popferry while the first one is held up, and lets both end.
func twoAtOnce(ctx context.Context, w *world) (ended, error) {
	cmd := w.command(ctx, "run", "--confirm-delete")
	if err := cmd.Start(); err != nil {
		return ended{}, err
	}
	lock := filepath.Join(w.state(), lockFile)
	for began := time.Now(); time.Since(began) < 5*time.Second; {
		text, err := os.ReadFile(lock)
		if err == nil && strings.Contains(string(text), fmt.Sprintf("pid %d ", cmd.Process.Pid)) {
			break
		}
	}
	stopped := stop(cmd.Process)
	e, err := w.run(ctx)
	return e, errors.Join(err, stopped, resume(cmd.Process), cmd.Wait())
}

// removedMeanwhile removes the state as soon as the first message arrived.
func removedMeanwhile(ctx context.Context, w *world) (ended, error) {
	before, err := w.oracle.box.arrived()
	if err != nil {
		return ended{}, err
	}
	done := make(chan struct{})
	var removing errgroup.Group
	removing.Go(func() error {
		w.oracle.box.await(before, done)
		return w.forget()
	})
	e, err := w.run(ctx)
	close(done)
	return e, errors.Join(err, removing.Wait())
}
