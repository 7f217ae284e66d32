package ferry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// Tokens gives what servers take instead of passwords.
type Tokens interface {
	// Token is asked for every connection. The account's name is for messages.
	Token(ctx context.Context, account string, side plan.Endpoint) (secret.Value, error)
	// Tried tells how a login with that token ended, and returns whether a new one is
	// worth another try: a server took it before, and takes it no more.
	Tried(side plan.Endpoint, token secret.Value, err error) (again bool)
	// Ends is when a person has to sign in again for tokens, and how long after the last
	// time; zero: not known.
	Ends(side plan.Endpoint) (at time.Time, life time.Duration)
}

// NoToken is the error of a side for which no token could be got: it is the provider's,
// or its person's, and says nothing about the mail server.
type NoToken struct {
	// Err is what [Tokens] said.
	Err error
}

func (n *NoToken) Error() string { return n.Err.Error() }

// Unwrap returns Err, whose class it has.
func (n *NoToken) Unwrap() error { return n.Err }

// noToken makes one. No mail server refused anything.
func noToken(err error) error {
	if said, ok := err.(*fault.Error); ok {
		unasked := *said // others may have the same
		unasked.Refusals = fault.NoRefusal
		err = &unasked
	}
	return &NoToken{err}
}

func isNoToken(err error) bool {
	var missing *NoToken
	return errors.As(err, &missing)
}

// Dial logs in as accounts say. Tokens may be nil where no side has OAuth.
type Dial struct {
	Tokens Tokens
	// Learned keeps what logins taught; nil learns nothing.
	Learned *Learned
}

// Learned knows at which sides SCRAM or a certificate was refused: it is not tried there again,
// since each refused login counts against the user. And it knows what POP3 servers offer, and which
// accounts servers leave standing.
type Learned struct {
	// Load and Save keep a text by name, for the next process; nil keeps nothing.
	Load func(name string) string
	Save func(name, text string)

	refused sync.Map     // when, by name
	offered sync.Once    // known has its memory
	since   atomic.Int64 // when certificates were last asked to be tried again, in Unix seconds
	known   pop.Known
	doors   doors
	delays  delays
}

// learnedFor is how long it is known, also in later processes: a server may learn SCRAM, or to
// know a certificate, and by then a refused one is no more than the first of a day.
const learnedFor = 24 * time.Hour

// offersOf is the name of what a POP3 server offers.
func offersOf(server string) string { return "offers\x00" + server }

// scramOf is the name of SCRAM at a side.
func scramOf(side plan.Endpoint) string { return side.Address() + "\x00" + side.Username }

// certificateOf is the name of a side's certificate there, for the mailbox that it is to open.
// A new certificate is worth a try.
func certificateOf(side plan.Endpoint) string {
	return fmt.Sprintf("%s\x00%s\x00%x", scramOf(side), side.AuthorizeAs, side.CertificateMark())
}

func (l *Learned) has(name string) bool {
	at, known := l.at(name)
	return known && time.Since(at) < learnedFor
}

// at is when something was learned.
func (l *Learned) at(name string) (at time.Time, known bool) {
	if l == nil {
		return at, false
	}
	if at, found := l.refused.Load(name); found {
		return at.(time.Time), true
	} else if l.Load == nil {
		return time.Time{}, false
	}
	// What can't be read is not known.
	at, err := time.Parse(time.RFC3339, l.Load(name))
	if err == nil && at.After(time.Now()) { // by a clock that was ahead
		l.note(name)
		at = time.Now()
	}
	return at, err == nil
}

// leavesOut reports whether a certificate was refused of late, and nobody has asked for another
// try since: what was to be mended may be the server's.
func (l *Learned) leavesOut(side plan.Endpoint) bool {
	name := certificateOf(side)
	at, _ := l.at(name)
	return l.has(name) && at.Unix() >= l.since.Load()
}

// again has refused logins tried once more, by certificate too, since somebody may have mended
// them.
func (l *Learned) again() {
	l.since.Store(time.Now().Unix() + 1)
	l.doors.again()
}

// learn takes in how a login ended, and which way was refused before another one was good.
// After a refusal of two ways, the other one alone is worth another try.
func (l *Learned) learn(side plan.Endpoint, refusedWay string, err error) {
	if l == nil {
		return
	}
	if sasl.IsScram(refusedWay) || fault.RefusalsOf(err) > 0 {
		l.note(scramOf(side))
	}
	// The certificate alone has to be tried again and again.
	both := errors.Is(err, sasl.ErrExternal) && fault.RefusalsOf(err) > 1
	if refusedWay == sasl.External || both || errors.Is(err, sasl.ErrBefore) {
		l.note(certificateOf(side))
	}
}

// leave has a certificate left out from the start that another connection was good without.
func (l *Learned) leave(side plan.Endpoint, leftOut bool) {
	if l != nil && leftOut {
		l.note(certificateOf(side))
	}
}

// keep notes something as long as it is so, once a day, and forgets it then.
func (l *Learned) keep(name string, so bool) {
	switch known := l.has(name); {
	case so && !known:
		l.note(name)
	case known && !so:
		l.refused.Delete(name)
		if l.Save != nil {
			l.Save(name, "")
		}
	}
}

// seenOf is the name of when the certificate of an IMAP server was seen.
func seenOf(server string) string { return "seen\x00" + server }

// sawServer takes in that the certificate of an IMAP server was seen; once a day is enough.
func (l *Learned) sawServer(server string) { l.keep(seenOf(server), true) }

// longUnseen reports whether the certificate of an IMAP server was not seen for a day. The day of
// one of which nothing is known begins now.
func (l *Learned) longUnseen(server string) bool {
	_, known := l.at(seenOf(server))
	if !known {
		l.note(seenOf(server))
	}
	return !l.has(seenOf(server))
}

func (l *Learned) note(name string) {
	l.refused.Store(name, time.Now())
	if l.Save != nil { // each time: what a process before this one knew gets old
		l.Save(name, time.Now().UTC().Format(time.RFC3339))
	}
}

// enter waits until a login may be tried, and returns what takes in how it ended.
func (l *Learned) enter(ctx context.Context, side plan.Endpoint) (leave func(error), err error) {
	if l == nil {
		return func(error) {}, nil
	}
	return l.doors.enter(ctx, side)
}

// certificate tells whether the certificate of a side, beside which there is something else to
// log in with, is not to be shown; if it is, settle takes in what became of it.
func (l *Learned) certificate(ctx context.Context, side plan.Endpoint) (leftOut bool, settle func(sasl.LoggedIn, error), err error) {
	untold := func(sasl.LoggedIn, error) {}
	if l == nil || !side.BesideCertificate() || l.leavesOut(side) {
		return l.leavesOut(side), untold, nil
	}
	leave, wait, err := l.doors.ofCertificate(side).enter(ctx, true)
	if err != nil || wait > 0 {
		return true, untold, err
	}
	return false, func(s sasl.LoggedIn, err error) { leave(sasl.OfCertificate(s, err)) }, nil
}

// offers is what POP3 servers are known to offer.
func (l *Learned) offers() *pop.Known {
	if l == nil {
		return nil
	}
	l.offered.Do(func() {
		if l.Load != nil && l.Save != nil {
			l.known.Load = func(server string) string { return l.Load(offersOf(server)) }
			l.known.Save = func(server, text string) { l.Save(offersOf(server), text) }
		}
	})
	return &l.known
}

// Source logs in to the maildrop of an account.
func (d Dial) Source(ctx context.Context, a plan.Account) (m *pop.Maildrop, err error) {
	leave, err := d.Learned.enter(ctx, a.Source)
	if err != nil {
		return nil, err
	}
	defer func() { leave(err) }()
	noExternal, settle, err := d.Learned.certificate(ctx, a.Source)
	if err != nil {
		return nil, err
	}
	defer func() { settle(m, err) }()
	err = errUntried // of a panic
	return withToken(d.Tokens, a.Name, a.Source, func(token tokenFunc) (*pop.Maildrop, error) {
		m, err := pop.Dial(ctx, pop.Options{
			Endpoint: a.Source.Endpoint, Username: a.Source.Username, AuthorizeAs: a.Source.AuthorizeAs,
			Password: a.Source.Secret, Token: token, Auth: a.Source.Auth, NoScram: d.Learned.has(scramOf(a.Source)),
			NoExternal: noExternal, Known: d.Learned.offers(),
		})
		if err != nil {
			d.Learned.learn(a.Source, "", err)
			return nil, err
		}
		d.Learned.learn(a.Source, m.RefusedWay(), nil)
		d.Learned.leave(a.Source, m.LeftOut())
		return m, nil
	})
}

// Destination logs in to the destination of an account.
func (d Dial) Destination(ctx context.Context, a plan.Account) (c *imapdst.Conn, err error) {
	leave, err := d.Learned.enter(ctx, a.Destination)
	if err != nil {
		return nil, err
	}
	defer func() { leave(err) }()
	noExternal, settle, err := d.Learned.certificate(ctx, a.Destination)
	if err != nil {
		return nil, err
	}
	defer func() { settle(c, err) }()
	err = errUntried // of a panic
	return withToken(d.Tokens, a.Name, a.Destination, func(token tokenFunc) (*imapdst.Conn, error) {
		c, err := imapdst.Dial(ctx, imapdst.Options{
			Endpoint: a.Destination.Endpoint, Username: a.Destination.Username, AuthorizeAs: a.Destination.AuthorizeAs,
			Password: a.Destination.Secret, Token: token, Auth: a.Destination.Auth, NoScram: d.Learned.has(scramOf(a.Destination)),
			NoExternal: noExternal,
			Forbidden:  imapdst.Forbidden(a.Destination.Ways.Forbidden),
		})
		if err != nil {
			d.Learned.learn(a.Destination, "", err)
			return nil, err
		}
		d.Learned.learn(a.Destination, c.RefusedWay(), nil)
		d.Learned.leave(a.Destination, c.LeftOut())
		return c, nil
	})
}

type tokenFunc = func(context.Context) (secret.Value, error)

// withToken dials with a token where the side has OAuth. A token can end before its
// time: one that worked is replaced once when it is refused.
func withToken[C any](tokens Tokens, account string, side plan.Endpoint, dial func(tokenFunc) (C, error)) (C, error) {
	if side.OAuth == nil {
		return dial(nil)
	}
	var given secret.Value
	token := func(ctx context.Context) (secret.Value, error) {
		var err error
		if given, err = tokens.Token(ctx, account, side); err != nil {
			return given, noToken(err)
		}
		return given, nil
	}
	conn, err := dial(token)
	if tokens.Tried(side, given, err) {
		refusals := fault.RefusalsOf(err)
		conn, err = dial(token)
		tokens.Tried(side, given, err)
		err = fault.AfterRefusals(err, refusals)
	}
	return conn, err
}
