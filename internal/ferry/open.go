package ferry

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// open takes places at both servers, connects to both at once, and opens the
// journal's ledger. The folder is made when create is set.
func (t *trip) open(ctx context.Context, create bool) error {
	if err := t.openLedger(ctx); err != nil {
		return err
	}
	if err := t.reserve(ctx); err != nil {
		return err
	}
	var source, dest error
	var both sync.WaitGroup
	both.Go(func() { source = guard(func() error { return t.openBusySource(ctx) }) })
	both.Go(func() {
		dest = guard(func() (err error) {
			t.dest, err = t.dialLink(ctx, create)
			return err
		})
	})
	both.Wait()
	if source != nil && dest != nil {
		t.note("the destination failed as well: %v; %s", dest, fault.HintOf(dest))
	}
	if err := errors.Join(source, dest); err != nil {
		return err
	}
	// Only now: a host that does not exist is a mistake, and no new home.
	if err := t.inherit(ctx, scopeOf(t.account)); err != nil {
		return err
	}
	return t.openIndex(ctx)
}

// openIndex opens the cached index of the folder, under the name that the
// server has for it: records claim its messages by that name.
func (t *trip) openIndex(ctx context.Context) (err error) {
	_, box := t.dest.get()
	t.index, err = t.engine.Journal.Index(ctx, journal.FolderKey{
		Host: t.account.Destination.Host, User: t.account.Destination.Username,
		Folder: folderOf(box),
	})
	return err
}

// openDestination is open without the maildrop.
func (t *trip) openDestination(ctx context.Context) (err error) {
	if err := t.openLedger(ctx); err != nil {
		return err
	}
	if err := t.reserve(ctx); err != nil {
		return err
	}
	if t.dest, err = t.dialLink(ctx, false); err != nil {
		return err
	}
	return t.openIndex(ctx)
}

func (t *trip) openLedger(ctx context.Context) (err error) {
	scope := scopeOf(t.account)
	if t.ledger, err = t.engine.Journal.Ledger(ctx, scope); err != nil {
		return err
	}
	baseline, err := t.ledger.Fact(ctx, factBaseline)
	if err != nil {
		return err
	}
	t.baseline = baseline != ""
	last, err := t.ledger.Fact(ctx, factLastRun)
	// A fact that can't be read is none.
	_ = json.Unmarshal([]byte(last), &t.lastRun)
	return err
}

func (t *trip) reserve(ctx context.Context) error {
	folder := t.account.Destination.Address() + "\x00" + t.account.Destination.Username + "\x00" + t.account.Folder
	if err := t.engine.folders.acquire(ctx, folder); err != nil {
		return err
	}
	t.folder = []string{folder}
	places := []string{t.account.Source.Address(), t.account.Destination.Address()}
	if err := t.engine.hosts.acquire(ctx, places...); err != nil {
		return err
	}
	t.places = places
	return nil
}

// openBusySource waits a little for a maildrop that another session has locked:
// that may be our own last one, which the server does not know to be dead yet
// (RFC 2449 §8.1.1).
func (t *trip) openBusySource(ctx context.Context) error {
	err := t.openSource(ctx)
	var refusal *fault.Error
	if !errors.As(err, &refusal) || refusal.Response != "IN-USE" {
		return err
	}
	return retry(ctx, func() error { return t.openSource(ctx) })
}

// openSource logs in to the maildrop and lists it.
func (t *trip) openSource(ctx context.Context) error {
	if err := t.waitForLogin(ctx); err != nil {
		return err
	}
	source, err := t.engine.DialSource(ctx, t.account)
	if err != nil {
		return err
	}
	loggedIn := time.Now()
	entries, err := source.List(ctx)
	// Only now: a delay that differs by user is learned with the listing.
	t.loginAgain = loggedIn.Add(source.Capabilities().LoginDelay)
	if err != nil {
		source.Close()
		return err
	}
	t.source, t.session = source, &session{}
	t.setListing(entries)
	return nil
}

// waitForLogin keeps the server's LOGIN-DELAY (RFC 2449 §6.5) between the sessions
// of one run; a second more, since servers count whole ones.
func (t *trip) waitForLogin(ctx context.Context) error {
	wait := t.loginPause()
	switch {
	case wait == 0:
		return nil
	case wait > maxObeyed:
		return fault.New(fault.Temporary, "POP3 server %s wants %v between logins", t.account.Source.Address(),
			wait.Round(time.Second)).WithHint("run again later").WithAfter(wait)
	}
	t.emit(Event{Kind: Waiting, Until: time.Now().Add(wait), Text: "the POP3 server to permit another login"})
	return sleep(ctx, wait)
}

func (t *trip) loginPause() time.Duration {
	wait := time.Until(t.loginAgain)
	if t.loginAgain.IsZero() || wait <= 0 {
		return 0
	}
	return wait + time.Second
}

// setListing gives every message its key: its UIDL where that names just one
// message, else a name for this session only, since repeated UIDLs and missing
// ones prove nothing (RFC 1939 §7) and the content has to decide.
func (t *trip) setListing(entries []pop.Entry) {
	repeats := make(map[string]int, len(entries))
	t.repeats = map[string]bool{}
	for _, e := range entries {
		repeats[e.UIDL]++
		if repeats[e.UIDL] > 1 {
			t.repeats[e.UIDL] = true
		}
	}
	before := t.listing
	t.nameless = false
	t.listing = make([]plan.Listed, len(entries))
	t.entries = make(map[string]pop.Entry, len(entries))
	for i, e := range entries {
		key := uidlKey(e.UIDL)
		if e.UIDL == "" || repeats[e.UIDL] > 1 {
			key = sessionPrefix + strconv.Itoa(e.Number)
			t.nameless = true
		}
		t.listing[i] = plan.Listed{Number: e.Number, Size: e.Size, UIDL: e.UIDL, Key: key}
		t.entries[key] = e
	}
	if !continues(before, t.listing) {
		t.forgetSessionNames()
	}
}

// forgetSessionNames drops what was noted about messages under names that mean
// others now.
func (t *trip) forgetSessionNames() {
	t.mu.Lock()
	defer t.mu.Unlock()
	session := func(key string) bool { return strings.HasPrefix(key, sessionPrefix) }
	maps.DeleteFunc(t.held, func(key string, _ bool) bool { return session(key) })
	maps.DeleteFunc(t.exported, func(key string, _ bool) bool { return session(key) })
	maps.DeleteFunc(t.garbled, func(key string, _ bool) bool { return session(key) })
	maps.DeleteFunc(t.ended, func(key string, _ bool) bool { return session(key) })
	maps.DeleteFunc(t.later, func(key string, _ bool) bool { return session(key) })
	maps.DeleteFunc(t.shortened, func(key string, _ message.Summary) bool { return session(key) })
}

// The journal's keys: "u:" and the UIDL, or "c:", the content digest and an
// ordinal; "x:" for what has no message any more. Names with sessionPrefix never reach the journal.
const (
	uidlPrefix    = "u:"
	contentPrefix = "c:"
	asidePrefix   = "x:" // a record whose UIDL names another message now
	sessionPrefix = "n:"
)

func uidlKey(uidl string) string { return uidlPrefix + uidl }

// trusted reports whether the key alone names the message.
func trusted(l plan.Listed) bool { return l.Key == uidlKey(l.UIDL) && l.UIDL != "" }

// sessionForReading renews the POP3 session where RETR might not give the truth.
// Some servers answer RETR after TOP of the same message with what TOP gave
// (mailutils 3.15), and one that cut a message short is asked again from a fresh
// start.
func (t *trip) sessionForReading(ctx context.Context) error {
	if !t.session.topped && len(t.shortened) == 0 {
		return nil
	}
	return t.renewSource(ctx)
}

// renewSource goes on in a new POP3 session. Keys that are names for a session only
// stay valid where the listing is the same.
func (t *trip) renewSource(ctx context.Context) error {
	if t.loginPause() > maxObeyed {
		return nil // better the risk than no mail at all
	}
	before := t.listing
	t.leave(ctx)
	t.farewell.Wait()
	if err := retry(ctx, func() error { return t.openSource(ctx) }); err != nil {
		return err
	}
	if !continues(before, t.listing) {
		return fault.New(fault.Temporary, "the maildrop changed while it was looked at").
			WithHint("run again")
	}
	return nil
}

// continues reports whether a listing begins as an earlier one did. Messages with
// a lasting name may have changed their size: some servers write flags into them.
func continues(before, now []plan.Listed) bool {
	if len(now) < len(before) {
		return false
	}
	for i, b := range before {
		n := now[i]
		if n.Key != b.Key || n.Number != b.Number || !trusted(n) && n.Size != b.Size {
			return false
		}
	}
	return true
}
