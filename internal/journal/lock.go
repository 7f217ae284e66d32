package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/private"
)

// lockName is the file whose lock makes a process the writer.
const lockName = "journal.lock"

// lock is the writer's lock on a state directory. The operating system holds it
// and lets go of it when the process ends, however it ends. The text inside is
// for people, and tells the next writer whether the last one ended cleanly: only
// a clean end empties it.
type lock struct {
	file *os.File
	// unclean is set when the last writer did not end cleanly, or is unknown.
	unclean bool
}

// acquireLock takes the lock of dir for a verb, or says who has it.
func acquireLock(dir, verb string) (*lock, error) {
	name := filepath.Join(dir, lockName)
	_, err := os.Lstat(name)
	fresh := errors.Is(err, os.ErrNotExist)
	file, err := private.Open(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, stateError(dir, "lock", err)
	}
	l := &lock{file: file}
	if err := private.Lock(file); errors.Is(err, private.ErrLocked) {
		defer file.Close()
		return nil, l.taken(dir)
	} else if err != nil {
		file.Close()
		return nil, stateError(dir, "lock", err)
	}
	l.unclean = fresh || l.text() != ""
	if err := l.sign(verb); err != nil {
		file.Close()
		return nil, stateError(dir, "lock", err)
	}
	return l, nil
}

// bridgeVerb is the verb of who holds the lock for years.
const bridgeVerb = "bridge"

func (l *lock) taken(dir string) error {
	var pid int
	var since, verb string
	who := "popferry is already running"
	// Some that signed before there were verbs have none.
	if n, _ := fmt.Sscanf(l.text(), "pid %d since %s as %s", &pid, &since, &verb); n >= 2 {
		who = fmt.Sprintf("%s is already running as pid %d since %s", strings.TrimSpace("popferry "+fault.Escape(verb)),
			pid, fault.Escape(since))
	}
	err := fault.New(fault.Temporary, "%s with the state in %s", who, dir)
	if verb == bridgeVerb {
		return err.WithHint("the bridge brings the mail by itself; stop it first if something else has to be done, " +
			"such as with systemctl stop popferry; another --state is only for other accounts")
	}
	return err.WithHint("wait until it is done; another --state is only for other accounts, " +
		"since two runs at the same account can double its mail")
}

// text reads what is written in the lock file, up to a line's length.
func (l *lock) text() string {
	buf := make([]byte, 256)
	n, _ := l.file.ReadAt(buf, 0) // shorter than buf, so io.EOF is usual
	return string(buf[:n])
}

// sign writes who holds the lock. It is synced before the database is touched,
// since after a power loss it is what says that the end was not clean.
func (l *lock) sign(verb string) error {
	line := fmt.Sprintf("pid %d since %s as %s\n", os.Getpid(), time.Now().UTC().Format(time.RFC3339), verb)
	// Never empty in between, which would say that the last end was clean.
	if _, err := l.file.WriteAt([]byte(line), 0); err != nil {
		return err
	}
	if err := l.file.Truncate(int64(len(line))); err != nil {
		return err
	}
	return errors.Join(l.file.Chmod(0o600), l.file.Sync())
}

// inPlace reports whether the locked file is still the one with its name.
func (l *lock) inPlace(dir string) (bool, error) {
	locked, err := l.file.Stat()
	if err != nil {
		return false, err
	}
	return isFile(filepath.Join(dir, lockName), locked)
}

// isFile reports whether a name is that of a file that is known.
func isFile(name string, known os.FileInfo) (bool, error) {
	info, err := os.Lstat(name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(info, known), err
}

func (l *lock) release(clean bool) error {
	var err error
	if clean {
		err = l.file.Truncate(0)
	}
	return errors.Join(err, l.file.Close())
}
