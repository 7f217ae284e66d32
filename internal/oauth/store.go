package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/private"
)

// store keeps one refresh token.
type store interface {
	// lock keeps other processes away until the function is called.
	lock(ctx context.Context) (unlock func(), err error)
	// load returns the token, or none.
	load() (signIn, error)
	// save replaces the token; it is durable when save returns.
	save(signIn) error
	// remove forgets the token, and reports whether there was one.
	remove() (bool, error)
}

// signIn is what a person's login left.
type signIn struct {
	refresh string
	ends    time.Time     // zero: not known
	life    time.Duration // that it had when ends was told
	sliding bool          // ends is later with each use
}

func (k *Keeper) store(id, kind string) store {
	files := fileStore{dir: k.options.Dir, name: filepath.Join(k.options.Dir, id)}
	if kind == "keyring" {
		return keyringStore{fileStore: files, user: id}
	}
	return files
}

// stored is what a file or an entry holds.
type stored struct {
	Version int       `json:"version"`
	Refresh string    `json:"refresh_token"`
	Ends    time.Time `json:"ends,omitzero"`
	Life    int64     `json:"life,omitempty"` // in seconds
	Sliding bool      `json:"sliding,omitempty"`
	Saved   time.Time `json:"saved"`
}

const storeVersion = 1

func encodeToken(s signIn) ([]byte, error) {
	return json.Marshal(stored{storeVersion, s.refresh, s.ends, int64(s.life / time.Second), s.sliding,
		time.Now().UTC().Truncate(time.Second)})
}

// decodeToken reads what encodeToken wrote.
func decodeToken(where string, text []byte) (signIn, error) {
	var s stored
	if err := json.Unmarshal(text, &s); err != nil || s.Version != storeVersion || !isToken(s.Refresh) {
		return signIn{}, fault.New(fault.State, "the token in %s is damaged, or of another version of popferry", where).
			WithHint("sign in again with popferry login, which replaces it")
	}
	return signIn{s.Refresh, s.Ends, time.Duration(s.Life) * time.Second, s.Sliding}, nil
}

// fileStore keeps the token in a file that only its owner can read.
type fileStore struct{ dir, name string }

// lockTime is how long another process may have the lock: as long as its requests take.
const lockTime = 2 * time.Minute

func (f fileStore) lock(parent context.Context) (func(), error) {
	if err := f.makeDir(); err != nil {
		return nil, err
	}
	file, err := private.Open(f.name+".lock", os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, f.problem("lock", err)
	}
	ctx, cancel := context.WithTimeout(parent, lockTime)
	defer cancel()
	for {
		err := private.Lock(file)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, private.ErrLocked) {
			file.Close()
			return nil, f.problem("lock", err)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, f.notLocked(parent)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (f fileStore) notLocked(parent context.Context) error {
	if parent.Err() != nil {
		return fault.Stopped("wait for the token: %w", parent.Err())
	}
	return fault.New(fault.Temporary, "another popferry has been busy with the same token for %s", fault.Span(lockTime)).
		WithHint("wait until it is done, then run it again")
}

// makeDir makes the directory, or refuses one that others have access to.
func (f fileStore) makeDir() error {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return f.problem("make a place for", err)
	}
	info, err := os.Stat(f.dir)
	if err != nil {
		return f.problem("make a place for", err)
	}
	return exposed(f.dir, info, "chmod 700")
}

func exposed(path string, info os.FileInfo, remedy string) error {
	if !private.Exposed(info) {
		return nil
	}
	return fault.New(fault.Credentials, "%s holds a token and is open to other users (mode %04o)", path, info.Mode().Perm()).
		WithHint("run: %s %q; if others may have read it, sign in again with popferry login", remedy, path)
}

func (f fileStore) load() (signIn, error) {
	file, err := private.Open(f.name, os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return signIn{}, nil
	}
	if err != nil {
		return signIn{}, f.problem("read", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return signIn{}, f.problem("read", err)
	}
	if err := exposed(f.name, info, "chmod 600"); err != nil {
		return signIn{}, err
	}
	text, err := io.ReadAll(io.LimitReader(file, 2*maxAnswer))
	if err != nil {
		return signIn{}, f.problem("read", err)
	}
	return decodeToken(f.name, text)
}

func (f fileStore) save(s signIn) error {
	text, err := encodeToken(s)
	if err == nil {
		err = private.Write(f.name, text)
	}
	if err != nil {
		return f.problem("store", err)
	}
	return nil
}

func (f fileStore) remove() (bool, error) {
	err := os.Remove(f.name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = private.SyncDir(f.dir)
	}
	if err != nil {
		return false, f.problem("remove", err)
	}
	return true, nil
}

func (f fileStore) problem(what string, err error) error {
	return fault.New(fault.State, "%s the token: %w", what, err).
		WithHint("check that %s may be written to and has room", f.dir)
}

// keyringService is what popferry's tokens are under in a keyring.
const keyringService = "popferry"

// keyringStore keeps the token in the desktop's keyring; the lock is a file still.
type keyringStore struct {
	fileStore
	user string
}

// keyringTime is how long the keyring may take, or the person whom it asks.
const keyringTime = 30 * time.Second

// within bounds a call that takes no context.
func within(call func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		text, err := call()
		done <- answer{text, err}
	}()
	select {
	case a := <-done:
		return a.text, a.err
	case <-time.After(keyringTime):
		return "", fmt.Errorf("no answer within %s", fault.Span(keyringTime))
	}
}

func (k keyringStore) load() (signIn, error) {
	text, err := within(func() (string, error) { return keyring.Get(keyringService, k.user) })
	if errors.Is(err, keyring.ErrNotFound) {
		return signIn{}, nil
	}
	if err != nil {
		return signIn{}, keyringProblem(err)
	}
	return decodeToken("the keyring", []byte(text))
}

func (k keyringStore) save(s signIn) error {
	text, err := encodeToken(s)
	if err == nil {
		_, err = within(func() (string, error) { return "", keyring.Set(keyringService, k.user, string(text)) })
	}
	if err != nil {
		return keyringProblem(err)
	}
	return nil
}

func (k keyringStore) remove() (bool, error) {
	_, err := within(func() (string, error) { return "", keyring.Delete(keyringService, k.user) })
	if errors.Is(err, keyring.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, keyringProblem(err)
	}
	return true, nil
}

func keyringProblem(err error) error {
	return fault.New(fault.Config, "the keyring cannot be used: %s", fault.Escape(err.Error())).
		WithHint("unlock it, or say store: file in oauth")
}
