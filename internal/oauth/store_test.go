package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/private"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/plan"
)

func newFiles(t *testing.T) fileStore {
	dir := filepath.Join(t.TempDir(), "tokens")
	return fileStore{dir: dir, name: filepath.Join(dir, "name")}
}

// held locks a store for the rest of the test.
func held(t *testing.T, s store) {
	t.Helper()
	unlock, err := s.lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unlock)
}

func TestStores(t *testing.T) {
	keyring.MockInit()
	files := newFiles(t)
	for _, s := range []store{files, keyringStore{fileStore: newFiles(t), user: "id"}} {
		held(t, s)
		if token, err := s.load(); token != (signIn{}) || err != nil {
			t.Errorf("at first: %v, %v", token, err)
		}
		if was, err := s.remove(); was || err != nil {
			t.Errorf("nothing to remove: %v, %v", was, err)
		}
		for _, token := range []signIn{{refresh: "one"}, {"two", time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC), 7 * 24 * time.Hour, true}, {refresh: "three"}} {
			if err := s.save(token); err != nil {
				t.Fatal(err)
			}
			if got, err := s.load(); got != token || err != nil {
				t.Errorf("%v, %v; want %v", got, err, token)
			}
		}
		if was, err := s.remove(); !was || err != nil {
			t.Errorf("remove: %v, %v", was, err)
		}
		if token, err := s.load(); token != (signIn{}) || err != nil {
			t.Errorf("at last: %v, %v", token, err)
		}
	}
	if entries, err := os.ReadDir(files.dir); len(entries) != 1 { // the lock
		t.Errorf("%v, %v", entries, err)
	}
}

// TestOpenToOthers: what others can read is no secret, and where they can write they
// can put something in its place.
func TestOpenToOthers(t *testing.T) {
	s := newFiles(t)
	held(t, s)
	if err := s.save(signIn{refresh: "token"}); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o602} {
		if err := os.Chmod(s.name, mode); err != nil {
			t.Fatal(err)
		}
		_, err := s.load()
		if fault.CodeOf(err) != fault.Credentials || !strings.Contains(fault.HintOf(err), "chmod 600") {
			t.Errorf("%o: %v (%s)", mode, err, fault.HintOf(err))
		}
	}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := s.lock(context.Background()); fault.CodeOf(err) != fault.Credentials ||
		!strings.Contains(fault.HintOf(err), "chmod 700") {
		t.Errorf("the folder: %v (%s)", err, fault.HintOf(err))
	}
}

func TestDamagedFiles(t *testing.T) {
	s := newFiles(t)
	held(t, s)
	for _, text := range []string{"", "null", "{}", "very-secret", `{"version":2,"refresh_token":"very-secret"}`,
		`{"version":1,"refresh_token":"very secret"}`, strings.Repeat(" ", 200_000) + `{"version":1,"refresh_token":"x"}`} {
		if err := os.WriteFile(s.name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.load()
		if fault.CodeOf(err) != fault.State || strings.Contains(err.Error(), "very") {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	if err := errors.Join(os.Remove(s.name), os.Symlink("/dev/zero", s.name)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.load(); fault.CodeOf(err) != fault.State {
		t.Errorf("a link: %v", err)
	}
}

func TestLockIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFiles(t)
		unlock, err := s.lock(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.lock(context.Background())
		if fault.CodeOf(err) != fault.Temporary || !strings.Contains(err.Error(), "another popferry has been busy") {
			t.Errorf("while it is locked: %v", err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Second, cancel)
		_, err = s.lock(ctx)
		if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "busy") ||
			!strings.Contains(fault.HintOf(err), "it was stopped") {
			t.Errorf("stopped: %v (%s)", err, fault.HintOf(err))
		}
		unlock()
		held(t, s)
	})
}

func TestKeyringThatIsNotThere(t *testing.T) {
	keyring.MockInitWithError(errors.New("no bus\x1b"))
	t.Cleanup(keyring.MockInit)
	s := keyringStore{fileStore: newFiles(t), user: "id"}
	_, err := s.load()
	_, err2 := s.remove()
	for _, err := range []error{err, s.save(signIn{refresh: "token"}), err2} {
		if fault.CodeOf(err) != fault.Config || !strings.Contains(err.Error(), `no bus\x1b`) ||
			!strings.Contains(fault.HintOf(err), "store: file") {
			t.Errorf("%v (%s)", err, fault.HintOf(err))
		}
	}
}

// rotating gives a new refresh token each time, and wants the last one.
type rotating struct {
	t    *testing.T
	want string
	next []string
	// before runs when a request comes, and so after the old token was read.
	before func()
}

func (r *rotating) RoundTrip(request *http.Request) (*http.Response, error) {
	if err := request.ParseForm(); err != nil {
		return nil, err
	}
	if got := request.PostForm.Get("refresh_token"); got != r.want {
		r.t.Errorf("asked with %q, want %q", got, r.want)
	}
	r.before()
	r.want, r.next = r.next[0], r.next[1:]
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"access_token": "a-" + r.want, "refresh_token": r.want, "expires_in": 1})
	return w.Result(), nil
}

// TestNewTokenThatCannotBeStored: it is not lost as long as the process lives, and the
// run hears of it.
func TestNewTokenThatCannotBeStored(t *testing.T) {
	provider := &rotating{t: t, want: "one", next: []string{"two", "three"}, before: func() {}}
	now := time.Now()
	k := New(Options{Dir: filepath.Join(t.TempDir(), "tokens"), Transport: provider, Now: func() time.Time { return now }})
	e := plan.Endpoint{Username: "alice", OAuth: &plan.OAuth{Flow: plan.BrowserFlow, TokenURL: "https://login.example.org/token"}}
	s := k.source(e)
	files := s.store.(fileStore)
	held := func() error {
		unlock, err := files.lock(context.Background())
		if err != nil {
			return err
		}
		defer unlock()
		return files.save(signIn{refresh: "one"})
	}
	if err := held(); err != nil {
		t.Fatal(err)
	}
	blocker := filepath.Join(files.name+".new", "x")
	provider.before = func() { // a folder is where the new file is to be written
		if err := os.MkdirAll(blocker, 0o700); err != nil {
			t.Error(err)
		}
	}
	if _, err := k.Token(context.Background(), "alice", e); fault.CodeOf(err) != fault.State {
		t.Fatalf("the new token could not be stored: %v", err)
	}
	if old, err := files.load(); old.refresh != "one" {
		t.Errorf("stored is %v, %v", old, err)
	}
	provider.before = func() { // the one that was not stored must be by now
		if stored, err := files.load(); stored.refresh != "two" {
			t.Errorf("stored is %v, %v", stored, err)
		}
	}
	if _, err := k.Token(context.Background(), "alice", e); fault.CodeOf(err) != fault.State || provider.want != "two" {
		t.Errorf("the provider was asked though nothing can be stored: %v", err)
	}
	if err := os.RemoveAll(filepath.Dir(blocker)); err != nil {
		t.Fatal(err)
	}
	token, err := k.Token(context.Background(), "alice", e)
	if err != nil || token.Reveal() != "a-three" {
		t.Errorf("%q, %v", token.Reveal(), err)
	}
	if stored, err := files.load(); stored.refresh != "three" {
		t.Errorf("stored is %v, %v", stored, err)
	}
}

// TestUnsavedTokenOfAnotherSecret: a reload with another secret does not lose the token
// that could not be stored.
func TestUnsavedTokenOfAnotherSecret(t *testing.T) {
	k := New(Options{Dir: filepath.Join(t.TempDir(), "tokens")})
	e := plan.Endpoint{Username: "alice", OAuth: &plan.OAuth{Flow: plan.BrowserFlow, Secret: secret.New("old"), Store: "file"}}
	old := k.source(e)
	old.unsaved, old.instead = signIn{refresh: "two"}, "one"
	fresh := e
	fresh.OAuth = &plan.OAuth{Flow: plan.BrowserFlow, Secret: secret.New("new"), Store: "file"}
	s := k.source(fresh)
	held(t, s.store)
	if err := s.store.save(signIn{refresh: "one"}); err != nil {
		t.Fatal(err)
	}
	if kept, err := s.kept(s.request("alice")); s == old || kept.refresh != "two" || err != nil {
		t.Errorf("kept %v, %v; the same source: %v", kept, err, s == old)
	}
	if stored, err := old.store.load(); stored.refresh != "one" || err != nil {
		t.Errorf("the old one's store holds %v, %v", stored, err)
	}
}

func TestForget(t *testing.T) {
	provider := &rotating{t: t, want: "one", next: []string{"two"}, before: func() {}}
	k := New(Options{Dir: filepath.Join(t.TempDir(), "tokens"), Transport: provider})
	e := plan.Endpoint{Username: "alice", OAuth: &plan.OAuth{Flow: plan.DeviceFlow, TokenURL: "https://login.example.org/token"}}
	if was, err := k.Forget(context.Background(), e); was || err != nil {
		t.Errorf("%v, %v", was, err)
	}
	if err := private.Write(k.source(e).store.(fileStore).name, []byte(`{"version":1,"refresh_token":"one"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Token(context.Background(), "alice", e); err != nil {
		t.Fatal(err)
	}
	if was, err := k.Forget(context.Background(), e); !was || err != nil {
		t.Errorf("%v, %v", was, err)
	}
	if _, err := k.Token(context.Background(), "alice", e); fault.CodeOf(err) != fault.Credentials {
		t.Errorf("after it was forgotten: %v", err)
	}
}
