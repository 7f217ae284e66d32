package signin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// Learned knows at which sides SCRAM or a certificate was refused: it is not tried there again,
// since each refused login counts against the user. And it knows what POP3 servers offer, and what
// else has to be known for a day ([Learned.Keep]). The zero value knows nothing yet.
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

// Has reports what was noted by that name within a day, also by a process before this one.
func (l *Learned) Has(name string) bool {
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
	return l.Has(name) && at.Unix() >= l.since.Load()
}

// Again has refused logins tried once more, by certificate too, since somebody may have mended
// them.
func (l *Learned) Again() {
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

// Keep notes something as long as it is so, once a day, and forgets it then.
func (l *Learned) Keep(name string, so bool) {
	switch known := l.Has(name); {
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

// SawServer takes in that the certificate of an IMAP server was seen; once a day is enough.
func (l *Learned) SawServer(server string) { l.Keep(seenOf(server), true) }

// LongUnseen reports whether the certificate of an IMAP server was not seen for a day. The day of
// one of which nothing is known begins now.
func (l *Learned) LongUnseen(server string) bool {
	_, known := l.at(seenOf(server))
	if !known {
		l.note(seenOf(server))
	}
	return !l.Has(seenOf(server))
}

func (l *Learned) note(name string) {
	l.refused.Store(name, time.Now())
	if l.Save != nil { // each time: what a process before this one knew gets old
		l.Save(name, time.Now().UTC().Format(time.RFC3339))
	}
}

// GiveUp reports whether a login to a side may be given up though its credentials were sent: once
// an hour, since nobody learns whether they were refused, and they are sent again.
func (l *Learned) GiveUp(side plan.Endpoint) bool { return l.doors.of(side).giveUp() }

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
