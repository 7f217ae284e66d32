package oauth

import (
	"context"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// Prompt is what a person has to do to sign in.
type Prompt struct {
	// URL is to be opened in a browser: in any one if there is a Code, which is to be
	// entered there, else in one on this machine.
	URL, Code string
	// Until is when the offer ends.
	Until time.Time
}

// Login gets tokens for an endpoint in the way that its flow says, and stores the
// refresh token. It calls show when a person has to act. A flow without a person is
// tried out, and nothing is stored.
func (k *Keeper) Login(ctx context.Context, account string, e plan.Endpoint, show func(Prompt)) error {
	s := k.source(e)
	done, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := s.ready(ctx); err != nil {
		return err
	}
	r, now := s.request(account), k.options.Now()
	var g grant
	switch s.oauth.Flow {
	case plan.DeviceFlow:
		g, err = r.device(ctx, show)
	case plan.BrowserFlow:
		g, err = r.browser(ctx, show)
	default:
		g, err = s.ask(ctx, account)
	}
	if err == nil && s.oauth.Flow.Interactive() {
		err = s.first(ctx, g, now)
	}
	if err == nil {
		s.keep(g, now)
	}
	return err
}

// ready finds out before anybody signs in whether that could be kept. What is wrong with
// the token that is there is no obstacle: a login replaces it.
func (s *source) ready(ctx context.Context) error {
	if !s.oauth.Flow.Interactive() {
		return nil
	}
	unlock, err := s.store.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := s.store.load(); fault.CodeOf(err) == fault.Config {
		return err
	}
	return nil
}

// Holds reports whether this process has a token for an endpoint already: accounts may
// share one.
func (k *Keeper) Holds(e plan.Endpoint) bool {
	s := k.source(e)
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	return !s.token.Empty()
}

// first stores the refresh token of a login.
func (s *source) first(ctx context.Context, g grant, now time.Time) error {
	if g.refresh == "" {
		return fault.New(fault.Config, "%s gives no refresh token, so every run would need a person", s.provider()).
			WithHint("ask for one in scopes: many providers want offline_access there")
	}
	unlock, err := s.store.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	s.unsaved, s.instead, s.refused = signIn{}, "", ""
	login := signIn{}.after(g, now)
	s.last = login
	return s.store.save(login)
}

// Forget removes what is stored for an endpoint, and reports whether there was anything.
// The provider is not asked to revoke it.
func (k *Keeper) Forget(ctx context.Context, e plan.Endpoint) (bool, error) {
	s := k.source(e)
	done, err := s.take(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	unlock, err := s.store.lock(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	s.drop()
	s.unsaved, s.last = signIn{}, signIn{}
	return s.store.remove()
}
