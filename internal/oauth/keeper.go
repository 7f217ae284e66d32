package oauth

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/plan"
)

// Options say where tokens are kept. Only Dir is required.
type Options struct {
	// Dir is the directory of the token files; it is made when it is needed.
	Dir string
	// Transport replaces the network, for tests.
	Transport http.RoundTripper
	// Now is time.Now, or a stand-in.
	Now func() time.Time
	// Pause is the first wait before a failed request is repeated; 0 means 1 s.
	Pause time.Duration
}

// Keeper gets and keeps tokens. Its methods may be called from several goroutines.
type Keeper struct {
	options Options
	mu      sync.Mutex
	sources map[string]*source
	shelves map[string]*shelf
}

// New makes a Keeper. It touches neither disk nor network.
func New(o Options) *Keeper {
	if o.Transport == nil {
		o.Transport = newTransport()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Pause == 0 {
		o.Pause = time.Second
	}
	return &Keeper{options: o, sources: map[string]*source{}, shelves: map[string]*shelf{}}
}

// Token returns an access token for an endpoint with OAuth, whose secrets are
// resolved. The account's name is for messages. Errors have the code Credentials where
// a person has to sign in or to permit something, Temporary where it may work later.
func (k *Keeper) Token(ctx context.Context, account string, e plan.Endpoint) (secret.Value, error) {
	return k.source(e).get(ctx, account)
}

// Tried tells how a login at the mail server ended with a token that Token gave. One
// that is refused is not given again. It returns whether a new one is worth another try:
// if it is not known ever to have worked, something else is wrong.
func (k *Keeper) Tried(e plan.Endpoint, token secret.Value, err error) (again bool) {
	s := k.source(e)
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	present := token.Reveal() == s.token.Reveal()
	switch {
	case token.Empty(), err != nil && fault.CodeOf(err) != fault.Credentials:
		return false
	case err == nil:
		s.proven = s.proven || present
		return false
	case !present: // it was replaced meanwhile
		return true
	}
	again = s.proven
	s.drop()
	return again
}

// Ends is when the provider will want somebody to sign in again for an endpoint, and how
// long after the last time, as far as it said that to this process or one before; zero: it
// did not, or each use of the token puts it off.
func (k *Keeper) Ends(e plan.Endpoint) (at time.Time, life time.Duration) {
	s := k.source(e)
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.last.sliding {
		return time.Time{}, 0
	}
	return s.last.ends, s.last.life
}

// Renewed reports whether somebody signed in for an endpoint since Token last wanted that of an
// account. It does not wait for a request under way.
func (k *Keeper) Renewed(account string, e plan.Endpoint) bool {
	s := k.source(e)
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	default:
		return false
	}
	lacked, lacks := s.lacks[account]
	if !lacks {
		return false
	}
	kept, err := s.store.load()
	return err == nil && kept.refresh != "" && kept.refresh != lacked
}

// source is the one that all accounts with this endpoint share. Other secrets make it
// another one, with the same stored token.
func (k *Keeper) source(e plan.Endpoint) *source {
	k.mu.Lock()
	defer k.mu.Unlock()
	as := setting(e)
	if k.sources[as] == nil {
		k.sources[as] = &source{shelf: k.shelf(identity(e), e.OAuth.Store), keeper: k, oauth: *e.OAuth,
			username: subject(e), lacks: map[string]string{}}
	}
	return k.sources[as]
}

// SameToken reports endpoints that one sign-in is for.
func SameToken(a, b plan.Endpoint) bool { return setting(a) == setting(b) }

func (k *Keeper) shelf(id, kind string) *shelf {
	name := id + " " + kind
	if k.shelves[name] == nil {
		k.shelves[name] = &shelf{store: k.store(id, kind), turn: make(chan struct{}, 1)}
	}
	return k.shelves[name]
}

// setting tells apart all that a request for a token depends on. A reload may change what
// identity leaves out, such as a secret that expired. It means nothing to another process.
func setting(e plan.Endpoint) string {
	o := e.OAuth
	return fmt.Sprintf("%s %x %x %q", identity(e), o.Secret.Mark(), o.Key.Mark(),
		[]string{string(o.Flow), o.Store, o.AuthURL, o.DeviceURL})
}

// identity names a token by what it is for. It is the name of a file, and so a digest.
func identity(e plan.Endpoint) string {
	o := e.OAuth
	parts := append([]string{o.TokenURL, o.ClientID, subject(e)}, slices.Sorted(slices.Values(o.Scopes))...)
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%q", parts)))
}

// subject is for whom a token is: who signs in, or whose mailbox a service account
// opens.
func subject(e plan.Endpoint) string {
	if e.OAuth.Flow == plan.ServiceAccount {
		return e.Mailbox()
	}
	return e.Username
}

// shelf is the place of one stored refresh token. Whoever has its turn may use it, and
// the sources that take from it.
type shelf struct {
	store store
	turn  chan struct{}
	// unsaved is what could not be stored in place of another refresh token.
	unsaved signIn
	instead string
	last    signIn // what was used last
}

// source gives the tokens of one endpoint. Whoever has its turn may use the fields
// below.
type source struct {
	*shelf
	keeper   *Keeper
	oauth    plan.OAuth
	username string

	token          secret.Value
	renew, expires time.Time
	proven         bool // the mail server took the token

	// refused is a refresh token that the provider refused, with its words; it is not
	// asked again with that one until then.
	refused string
	refusal error
	until   time.Time

	// used is the refresh token that was used last, or "", and lacks that of each account for
	// which somebody has to sign in.
	used  string
	lacks map[string]string
}

// provider names whom an error is about.
func (s *source) provider() string {
	u, err := url.Parse(s.oauth.TokenURL)
	if err != nil {
		return "OAuth provider" // plan has checked it
	}
	return "OAuth provider " + fault.Escape(u.Host)
}

// take waits for the source's turn; the function gives it back.
func (s *source) take(ctx context.Context) (func(), error) {
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-ctx.Done():
		return nil, fault.Stopped("get a token from %s: %w", s.provider(), ctx.Err())
	}
}

// get gives the token, and notes for whom there is none.
func (s *source) get(ctx context.Context, account string) (secret.Value, error) {
	done, err := s.take(ctx)
	if err != nil {
		return secret.Value{}, err
	}
	defer done()
	token, err := s.give(ctx, account)
	switch {
	case err == nil:
		delete(s.lacks, account)
	case fault.CodeOf(err) == fault.Credentials && s.oauth.Flow.Interactive():
		s.lacks[account] = s.used
	}
	return token, err
}

// give renews the token if it is about to expire. While the provider is out of order, one
// that has not expired yet is good.
func (s *source) give(ctx context.Context, account string) (secret.Value, error) {
	now := s.keeper.options.Now()
	if now.Before(s.renew) {
		return s.token, nil
	}
	grant, err := s.ask(ctx, account)
	switch {
	case err == nil:
		s.keep(grant, now)
	case fault.CodeOf(err) != fault.Temporary || !now.Before(s.expires):
		return secret.Value{}, err
	}
	return s.token, nil
}

const (
	// ahead is how long before its end a token is renewed: a login takes a while, and
	// clocks differ.
	ahead = time.Minute
	// unknownLife is that of a token whose provider does not say, or says nonsense.
	unknownLife = 5 * time.Minute
	longestLife = 24 * time.Hour
	// refusalTime is how long a refusal counts: accounts are unlocked and rules changed,
	// which the provider does not tell from a token that is void.
	refusalTime = time.Hour
)

// keep holds the token for as long as the provider says, within reason.
func (s *source) keep(g grant, now time.Time) {
	life := g.life
	if life <= 0 {
		life = unknownLife
	}
	life = min(life, longestLife)
	s.token, s.proven, s.expires = g.access, false, now.Add(life)
	s.renew = s.expires.Add(-min(ahead, life/2))
}

// drop makes sure that the token is not given again.
func (s *source) drop() {
	s.token, s.proven = secret.Value{}, false
	s.renew, s.expires = time.Time{}, time.Time{}
}

// ask gets a new token in the way that the flow says.
func (s *source) ask(ctx context.Context, account string) (grant, error) {
	r := s.request(account)
	switch s.oauth.Flow {
	case plan.ClientCredentials:
		return r.repeat(ctx, r.clientCredentials)
	case plan.ServiceAccount:
		return r.repeat(ctx, r.serviceAccount)
	}
	return s.refresh(ctx, r)
}

// refresh makes an access token from the refresh token in the store, and replaces that
// if the provider did.
func (s *source) refresh(ctx context.Context, r *request) (grant, error) {
	unlock, err := s.store.lock(ctx)
	if err != nil {
		return grant{}, err
	}
	defer unlock()
	kept, err := s.kept(r)
	if s.used = kept.refresh; err != nil {
		return grant{}, err
	}
	now := s.keeper.options.Now()
	if kept.refresh == s.refused && now.Before(s.until) {
		return grant{}, s.refusal
	}
	if err := s.store.save(kept); err != nil { // while it is good
		return grant{}, err
	}
	g, err := r.repeat(ctx, func(ctx context.Context) (grant, error) { return r.refresh(ctx, kept.refresh) })
	if err != nil {
		if fault.CodeOf(err) == fault.Credentials {
			s.refused, s.refusal, s.until = kept.refresh, err, now.Add(refusalTime)
		}
		return grant{}, err
	}
	return g, s.replace(kept, kept.after(g, now))
}

// sameEnd is how much two ends may differ that are one: providers count down whole seconds,
// from when they were asked.
const sameEnd = time.Minute

// after is what a grant leaves of it.
func (s signIn) after(g grant, now time.Time) signIn {
	renewed := g.refresh != "" && g.refresh != s.refresh
	if renewed {
		s.refresh = g.refresh
	}
	switch {
	case g.refreshLife > 0:
		return s.endsAt(now.Add(g.refreshLife).UTC().Truncate(time.Second), g.refreshLife)
	case renewed:
		return signIn{refresh: s.refresh}
	}
	return s
}

// endsAt takes in an end that was told. One that moves with each use is none, until it
// stays where it is although less life is left.
func (s signIn) endsAt(end time.Time, life time.Duration) signIn {
	moved := end.Sub(s.ends)
	switch {
	case s.ends.IsZero() || moved < -sameEnd:
		s.sliding = false
	case moved > sameEnd:
		s.sliding = true
	case s.sliding && life < s.life-sameEnd:
		s.sliding = false
		return s
	default:
		return s
	}
	s.ends, s.life = end, life
	return s
}

// kept is the refresh token to use.
func (s *source) kept(r *request) (signIn, error) {
	kept, err := s.store.load()
	if err != nil {
		return signIn{}, err
	}
	if kept.refresh == "" {
		return signIn{}, fault.New(fault.Credentials, "no token for %s is stored", s.provider()).
			WithHint("sign in once: %s", r.loginCommand())
	}
	if s.unsaved.refresh != "" && kept.refresh == s.instead {
		kept = s.unsaved
	}
	s.last = kept
	return kept, nil
}

// replace stores a new refresh token. One that can't be stored is not forgotten.
func (s *source) replace(old, fresh signIn) error {
	s.unsaved, s.instead, s.last = signIn{}, "", fresh
	if fresh == old {
		return nil
	}
	err := s.store.save(fresh)
	if err != nil && fresh.refresh != old.refresh {
		s.unsaved, s.instead = fresh, old.refresh
	}
	return err
}
