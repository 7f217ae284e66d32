package ferry

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/places"
	"github.com/popferry/popferry/internal/signin"
)

// maxReconnects bounds the attempts to get a lost connection back.
const maxReconnects = 5

// retry repeats what failed for a temporary reason: after 1 s, then longer, with
// jitter; a server that said how long to wait is left alone for as long, within
// reason, and one that wants a pause between logins and never said how long, longer.
func (t *trip) retry(ctx context.Context, try func() error) error {
	wait := jitter{t.engine.Random, &backoff.ExponentialBackOff{
		InitialInterval: time.Second, Multiplier: 2, MaxInterval: time.Minute,
	}}
	var last error // what the library returns says no more than how long to wait
	pause := firstLoginPause
	endRest := func() {}
	defer func() { endRest() }()
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		endRest()
		err := try()
		last = err
		switch {
		case err == nil:
			return struct{}{}, nil
		case fault.CodeOf(err) != fault.Temporary, fault.AfterOf(err) > maxObeyed, errors.Is(err, places.ErrStood), t.stood(err):
			return struct{}{}, backoff.Permanent(err)
		case fault.AfterOf(err) > 0:
			return struct{}{}, &backoff.RetryAfterError{Duration: fault.AfterOf(err)}
		case responseOf(err) == "LOGIN-DELAY":
			defer func() { pause *= 2 }()
			return struct{}{}, &backoff.RetryAfterError{Duration: pause}
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(maxReconnects),
		backoff.WithNotify(func(error, time.Duration) { endRest = sync.OnceFunc(t.slot.Rest()) }))
	if wait := (*backoff.RetryAfterError)(nil); errors.As(err, &wait) {
		return last
	}
	return err
}

// maxStood is for how long in all the servers may leave a run standing, without anything done in
// between, before it is over: each limit of a wait is for one try, and there are some.
const maxStood = 8 * time.Minute

// stalls are the waits in vain since something was done. They are guarded by trip.mu.
type stalls struct {
	standing time.Duration  // how long they were in all
	stall    *imapdst.Stall // the last one
}

// stood counts the wait in vain that an error is about, and reports whether it is one too many for
// another try. A dead connection tells of the same one again.
func (t *trip) stood(err error) bool {
	var stall *imapdst.Stall
	if !errors.As(err, &stall) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if stall != t.stall {
		t.stall = stall
		t.standing += stall.For
	}
	return t.standing >= maxStood
}

// movedOn forgets what servers left the run standing for.
func (t *trip) movedOn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.standing = 0
}

// firstLoginPause is how long a server is left alone that refuses a login as too early and
// announced no delay (RFC 2449 §6.5); twice as long each time, which in all is as
// long as a run waits.
const firstLoginPause = maxObeyed / (1<<(maxReconnects-1) - 1)

// responseOf is the code of the refusal that an error is about, if it has one.
func responseOf(err error) string {
	var refusal *fault.Error
	if errors.As(err, &refusal) {
		return refusal.Response
	}
	return ""
}

// jitter makes a wait up to half as long or as long again, so that accounts which
// lost their connections together do not all come back together.
type jitter struct {
	random func() float64 // in [0, 1)
	*backoff.ExponentialBackOff
}

// NextBackOff implements backoff.BackOff.
func (j jitter) NextBackOff() time.Duration {
	return around(j.ExponentialBackOff.NextBackOff(), j.random)
}

func around(wait time.Duration, random func() float64) time.Duration {
	return wait/2 + time.Duration(random()*float64(wait))
}

// maxObeyed is the longest wait that a run sits out by itself; for longer ones
// it ends with a temporary error that names the time.
const maxObeyed = 5 * time.Minute

// loginRest is how long a server is left alone that refuses a login which was good.
const loginRest = 15 * time.Minute

// doubtedHint says what to do about it.
const doubtedHint = "the server may limit logins; if it stays so, check user name and password"

// doubted is the error of a login that was good earlier in this run: Exchange says
// "Logon failure" after some hundred logins, and means later. It is longer than
// maxObeyed, since more logins would make it worse.
func doubted(err error) error {
	if fault.CodeOf(err) != fault.Credentials || signin.IsNoToken(err) {
		return err
	}
	return fault.New(fault.Temporary, "%w; the same login was good earlier in this run", err).
		WithRest(loginRest, doubtedHint).WithHint("%s", doubtedHint)
}

// pause is the wait before a round that follows so many failures: about 1 s, 2 s,
// 4 s…
func (e *engine) pause(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	return around(time.Second<<min(failures-1, 5), e.Random)
}

// isCommon reports an error that other accounts of the server are to expect, too (RFC 2449 §8.1).
func isCommon(err error) bool {
	ofAccount := signin.IsNoToken(err) || errors.Is(err, places.ErrStood) ||
		slices.Contains([]string{"IN-USE", "LOGIN-DELAY"}, responseOf(err))
	return fault.CodeOf(err) == fault.Temporary && !ofAccount
}
