package ferry

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/places"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// seat is the place of a trip at its POP3 server. In a fleet it is for others whenever there
// is no session, whatever the trip waits for; and a session that stands still is ended once
// others have waited for long: where the POP3 server owes an answer the pass is over, else it
// goes on in another session. A QUIT that deletes is not ended, and a login between its
// credentials and their answer once an hour at most: that may be a refusal, see [door].
type seat struct {
	trip  *trip
	place string // the server's

	mu     sync.Mutex
	places []string // what it counts under
	placed bool
	state  seatState
	raw    net.Conn           // the connection that was made last
	cancel context.CancelFunc // of the dialling
	asked  time.Time          // since when the server owes an answer; zero: it owes none
	slow   time.Duration      // the longest that it owed one
	ended  bool               // the session was, for the sake of others
	lent   int                // how often it was though the server owed nothing
	stood  time.Duration      // how long it had owed an answer when it was for that
}

// seatState is what a seat is used for.
type seatState int

const (
	seatEmpty   seatState = iota // there is no session
	seatDialing                  // one is begun, and no credentials were sent
	seatLogin                    // they were
	seatBound                    // it is not to be ended now
	seatTaken                    // it may be
	seatLeaving                  // it comes to its end, and nothing hangs on that
)

// newSeat makes the seat of a trip that has the places.
func (t *trip) newSeat(places []string) *seat {
	s := &seat{trip: t, place: sourcePlace(t.account), places: places, placed: true}
	t.engine.hosts.Enlist(s)
	return s
}

// At implements [places.Holder].
func (s *seat) At(place string) bool { return place == s.place }

// dial logs in, with a place that it waits for if the trip has none.
func (s *seat) dial(ctx context.Context, login func(context.Context) (*pop.Maildrop, error)) (*pop.Maildrop, error) {
	if err := s.take(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.begin(cancel)
	source, err := login(ctx)
	return s.begun(source, err)
}

// take has a place, which nobody else gets from now on.
func (s *seat) take(ctx context.Context) error {
	s.mu.Lock()
	placed, places := s.placed, s.places
	s.state = seatBound
	s.mu.Unlock()
	if placed {
		return nil
	}
	defer s.trip.slot.Rest()()
	if err := s.trip.engine.hosts.Await(ctx, places...); err != nil {
		s.left()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.placed = true
	return nil
}

func (s *seat) begin(cancel context.CancelFunc) {
	s.trip.slot.Beat()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.cancel, s.asked, s.ended = seatDialing, cancel, time.Now(), false
}

// feel makes a connection to the server felt.
func (s *seat) feel(conn net.Conn) net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw = conn
	return seatConn{s.trip.slot.Feel(conn), s}
}

// enter is called before credentials are sent. An error says that they shall not be.
func (s *seat) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return stopped(places.ErrStood)
	}
	s.state = seatLogin
	return nil
}

// begun takes in how the login ended. Its answer may come just when it is ended for the sake of
// others.
func (s *seat) begun(source *pop.Maildrop, err error) (*pop.Maildrop, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answeredLocked()
	switch {
	case s.ended:
		if err == nil {
			source.Close()
		}
		source, err = nil, cmp.Or(err, error(stopped(places.ErrStood)))
		s.state = seatEmpty
		s.unplaceLocked()
	case err != nil:
		s.state = seatEmpty
	case s.raw == nil: // it was not dialled by the account's endpoint
		s.state = seatBound
	default:
		s.state = seatTaken
	}
	return source, s.explainLocked(err)
}

// bind has the session go on until it is left.
func (s *seat) bind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.state = seatBound
	}
}

// leaving says that nothing hangs on the session any more.
func (s *seat) leaving() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == seatTaken {
		s.state = seatLeaving
	}
}

// waited says that the destination has a place for the trip: that it was lent until then says nothing
// of how slow anything is.
func (s *seat) waited() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lent = 0
}

// left says that there is no session.
func (s *seat) left() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answeredLocked()
	s.state = seatEmpty
}

// isEnded reports whether the session was ended for the sake of others.
func (s *seat) isEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// explain names the cause of an error that comes from it.
func (s *seat) explain(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.explainLocked(err)
}

func (s *seat) explainLocked(err error) error {
	if s.stood == 0 || fault.CodeOf(err) != fault.Temporary && !errors.Is(err, context.Canceled) {
		return err
	}
	return places.Standstill("POP3 server "+s.trip.account.Source.Address(), s.stood)
}

// Yield implements [places.Holder].
func (s *seat) Yield(w places.Wish) bool {
	if !s.trip.engine.keeps {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.placed || !s.mayEndLocked(w) || s.state == seatLogin && !s.trip.engine.Learned.GiveUp(s.trip.account.Source) {
		return s.placed && w != places.WishSlow && s.trip.slot.Cede()
	}
	s.endLocked()
	return true
}

// owes reports whether the server owes an answer that may be done without.
func (s *seat) owes() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == seatDialing || s.state == seatLogin || s.state == seatTaken && !s.asked.IsZero()
}

// mayEndLocked reports whether there is no session, or one that stands still for longer than
// others should wait.
func (s *seat) mayEndLocked(w places.Wish) bool {
	quiet := s.quiet()
	switch {
	case s.state == seatEmpty || s.state == seatBound:
		return s.state == seatEmpty
	case s.state == seatLeaving:
		return quiet >= places.Patience
	case s.state == seatTaken && s.asked.IsZero():
		return quiet >= s.idleFor()<<min(s.lent, places.MostDoubled)
	}
	return w != places.WishSlow && quiet >= s.trip.engine.standing.Patience(s.trip.account.Name, s.place, places.StandFor)
}

func (s *seat) quiet() time.Duration { return s.trip.slot.QuietAt(s.trip.account.Source.Host) }

// idleFor is for how long a session may be idle while others wait: not for long where it is the
// destination's way to leave the account standing.
func (s *seat) idleFor() time.Duration {
	if s.trip.engine.standing.IsIll(s.trip.account.Name, s.trip.account.Destination.Address()) {
		return places.Patience
	}
	return places.StandFor
}

// endLocked ends what there is of a session. The place is free at once, but for one that
// dials: that sees to it.
func (s *seat) endLocked() {
	was := s.state
	s.ended = was != seatEmpty
	switch {
	case was == seatEmpty || was == seatLeaving:
	case was == seatTaken && s.asked.IsZero():
		s.lent++
	default:
		s.stood = s.quiet()
	}
	if was == seatDialing || was == seatLogin {
		s.state = seatBound
		s.cancel()
		return
	}
	if s.ended {
		s.raw.Close()
	}
	s.answeredLocked()
	s.state = seatEmpty
	s.unplaceLocked()
}

func (s *seat) unplaceLocked() {
	if s.placed {
		s.placed = false
		s.trip.engine.hosts.Release(s.places...)
	}
}

// isSlow reports whether the server owed an answer for long.
func (s *seat) isSlow() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.slow, s.stood) >= places.StandFor
}

// close gives the place back for good, and notes how the server served.
func (s *seat) close(well bool) {
	s.trip.engine.hosts.Strike(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unplaceLocked()
	s.trip.engine.standing.Note(s.trip.account.Name, s.place, well, max(s.slow, s.stood))
}

// asks says that the server owes an answer.
func (s *seat) asks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked.IsZero() {
		s.asked = time.Now()
	}
}

func (s *seat) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answeredLocked()
}

func (s *seat) answeredLocked() {
	if !s.asked.IsZero() {
		s.slow = max(s.slow, time.Since(s.asked))
	}
	s.asked = time.Time{}
}

// seatConn tells its seat when the server is waited for: nobody reads for anything else.
type seatConn struct {
	net.Conn
	seat *seat
}

// Read implements net.Conn.
func (c seatConn) Read(b []byte) (int, error) {
	c.seat.asks()
	defer c.seat.answered()
	return c.Conn.Read(b)
}

// sourcePlaces is what a connection to the POP3 server of an account counts under.
func (e *engine) sourcePlaces(a plan.Account) []string {
	return e.withShare(a.Name, sourcePlace(a), nil)
}
