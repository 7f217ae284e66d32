package signin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

const (
	// secondTry is how long a login that was refused once is left alone, thirdTry how long
	// one that was refused again: what helps then is a person.
	secondTry = 5 * time.Minute
	thirdTry  = 24 * time.Hour
	// mostRefused is how many bad logins there may be within refusedIn, whatever reloads
	// there are: more would lock the user out at many providers.
	mostRefused = 3
	refusedIn   = time.Hour
)

// ErrUntried is the cause where a login is not tried.
var ErrUntried = errors.New("not tried again yet")

// doors are the logins of accounts. Hundreds of accounts may share one, such as that of an
// administrator, and each would try it, and be refused, and the user be locked out.
type doors struct {
	mu sync.Mutex
	at map[doorKey]*door
}

// doorKey names a login: another password, or certificate, is another one. The owner is whose
// mailbox an administrator's login, or a certificate, opens.
type doorKey struct {
	server, login, owner string
	secret               [32]byte
}

// door is a login, which is tried by one account at a time until it was not refused.
type door struct {
	turn   chan struct{}
	common *door // of the login, whosever mailbox is opened; may be the same

	mu      sync.Mutex
	open    bool
	good    bool        // the last login was
	refused []time.Time // since it was last good, each refusal that the server counts
	tries   int         // in which these were
	anew    bool        // somebody asks for another try
	givenUp time.Time   // when a login was before its answer, which may be a refusal, too
}

// of is the door of a login. Until one was good it is the same for all mailboxes that the login
// opens; then a refusal says more of the mailbox.
func (d *doors) of(side plan.Endpoint) *door {
	key := doorKey{server: side.Address(), login: side.Username, secret: side.Secret.Mark()}
	owner := side.AuthorizeAs
	if whose, login, ok := side.Master(); ok {
		key.login, owner = login, whose
	}
	if side.ByCertificate() {
		return d.ofCertificate(side)
	}
	return d.ofOwner(key, owner)
}

// ofCertificate is the door of a certificate, which opens the mailbox that the login names.
func (d *doors) ofCertificate(side plan.Endpoint) *door {
	return d.ofOwner(doorKey{server: side.Address(), secret: side.CertificateMark()}, side.Mailbox())
}

func (d *doors) ofOwner(key doorKey, owner string) *door {
	d.mu.Lock()
	defer d.mu.Unlock()
	common := d.atKey(key, nil)
	if owner == "" || !common.isGood() {
		return common
	}
	key.owner = owner
	return d.atKey(key, common)
}

// atKey finds a door, or makes it; one without another that is common is so itself.
func (d *doors) atKey(key doorKey, common *door) *door {
	if d.at == nil {
		d.at = map[doorKey]*door{}
	}
	if d.at[key] == nil {
		one := &door{turn: make(chan struct{}, 1), common: common}
		if common == nil {
			one.common = one
		}
		d.at[key] = one
	}
	return d.at[key]
}

// Again has what was refused tried once more, since somebody may have mended it.
func (d *doors) again() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.at {
		one.mu.Lock()
		one.anew = true
		one.mu.Unlock()
	}
}

// enter waits until a login may be tried, and returns what takes in how it ended.
func (d *doors) enter(ctx context.Context, side plan.Endpoint) (leave func(error), err error) {
	leave, wait, err := d.of(side).enter(ctx, ofOthers(side))
	if wait > 0 {
		return nil, untried(side, wait)
	}
	return leave, err
}

// enter waits for the turn to try the login, unless it has to be left alone for a while.
func (d *door) enter(ctx context.Context, ofOthers bool) (leave func(error), wait time.Duration, err error) {
	if d.isOpen() {
		return d.note, 0, nil
	}
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	if wait := d.wait(ofOthers); wait > 0 {
		<-d.turn
		return nil, wait, nil
	}
	return func(err error) {
		d.note(err)
		<-d.turn
	}, 0, nil
}

func untried(side plan.Endpoint, wait time.Duration) error {
	what, hint := fmt.Sprintf("the login of %q", fault.Escape(side.Username)), "check user name and password, which may be those of more than one account"
	if side.ByCertificate() {
		what, hint = "the certificate of tls_cert", "check it and the user name; it may be that of more than one account"
	}
	err := fault.New(fault.Credentials, "%s refused %s before; %w (in %s at the earliest)", side.Address(), what, ErrUntried,
		fault.Span(wait.Round(time.Minute)))
	err.Refusals = fault.NoRefusal
	return err.WithHint("%s", hint)
}

func (d *door) isGood() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.good
}

func (d *door) isOpen() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open
}

// ofOthers reports a login that opens the mailboxes of others. One that it may not open, or
// that is not there, says little of the rest.
func ofOthers(side plan.Endpoint) bool {
	_, _, ok := side.Master()
	return ok || side.AuthorizeAs != "" || side.ByCertificate()
}

// wait is how long the login is to be left alone; one that opens other mailboxes, too, as long
// as it takes for there to be no more than three refusals an hour.
func (d *door) wait(ofOthers bool) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.refused)
	if n == 0 || d.open {
		return 0
	}
	wait := secondTry
	switch {
	case d.anew, ofOthers:
		wait = 0
	case d.tries > 1:
		wait = thirdTry
	}
	wait -= time.Since(d.refused[n-1])
	if most := d.mostLocked(); n >= most {
		wait = max(wait, refusedIn-time.Since(d.refused[n-most]))
	}
	return wait
}

func (d *door) mostLocked() int {
	if d.justGivenUpLocked() {
		return mostRefused - 1
	}
	return mostRefused
}

// justGivenUpLocked reports whether a login was given up within the time that counts.
func (d *door) justGivenUpLocked() bool { return time.Since(d.givenUp) < refusedIn }

// giveUp reports whether a login may be given up though its credentials were sent, and counts it
// then: nobody learns whether they were refused, and they are sent again.
func (d *door) giveUp() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.justGivenUpLocked() {
		return false
	}
	d.givenUp = time.Now()
	return true
}

func (d *door) judge(good bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.good = good
}

// note takes in how a login ended. What says nothing of it opens the door, too: a server that
// is away must not make accounts wait for one another.
func (d *door) note(err error) {
	refusals := fault.RefusalsOf(err)
	if IsNoToken(err) {
		refusals = 0
	}
	if err == nil || refusals > 0 {
		d.common.judge(err == nil)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.anew = false
	if err == nil {
		d.refused, d.tries = nil, 0
	}
	if refusals > 0 && fault.CodeOf(err) == fault.Credentials { // else what came last was about the moment
		d.tries++
	}
	for range refusals {
		d.refused = append(d.refused, time.Now())
	}
	d.refused = d.refused[max(0, len(d.refused)-mostRefused):]
	d.open = len(d.refused) == 0
}
