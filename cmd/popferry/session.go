package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/internal/oauth"
	"github.com/popferry/popferry/internal/provider"
	"github.com/popferry/popferry/plan"
)

// session is what the verbs that talk to servers share.
type session struct {
	config  *plan.Config
	journal journal.Journal
	tokens  *oauth.Keeper
	options ferry.Options
}

// load reads accounts.yaml, checks the accounts that were named, and lays what is known
// of their providers under the limits.
func (a *app) load(names []string) (*plan.Config, error) {
	config, err := plan.Load(a.config, names...)
	if err != nil {
		return nil, err
	}
	if err := provider.Refuse(config); err != nil {
		return nil, err
	}
	provider.Underlay(config)
	_, err = config.Select(names)
	return config, err
}

// open makes a session for some accounts, or for all: secrets first, since what
// is wrong with them is to be said before anything is made or anyone is called.
func (a *app) open(ctx context.Context, config *plan.Config, names []string) (*session, error) {
	if err := config.Resolve(ctx, names); err != nil {
		return nil, err
	}
	j, err := journal.OpenAs(a.state, a.verb)
	if err != nil {
		return nil, err
	}
	for _, note := range j.Notes() {
		a.say("note: %s", note)
	}
	s := &session{config: config, journal: j, tokens: a.tokens()}
	spool := filepath.Join(a.state, "spool")
	if err := os.MkdirAll(spool, 0o700); err != nil {
		s.close()
		return nil, fault.New(fault.State, "make a place for large messages: %w", err).
			WithHint("check that %s may be written to and has room", a.state)
	}
	if err := message.CleanSpool(spool); err != nil { // the journal's lock makes it ours
		s.close()
		return nil, err
	}
	s.options = ferry.Options{
		Config: config, Accounts: names, Journal: j, Spool: spool, SpoolRoom: message.RoomIn(spool),
		NoWait: a.noWait, EveryMessage: a.verbose, Observe: a.output.Load().Observe,
		Tokens: s.tokens,
	}
	return s, nil
}

// tokens keeps the tokens of OAuth beside the journal. Their files have a lock each, so
// that people can sign in while a run is at work.
func (a *app) tokens() *oauth.Keeper {
	return oauth.New(oauth.Options{Dir: filepath.Join(a.state, "tokens")})
}

// with is load and open, then work, and then close.
func (a *app) with(ctx context.Context, names []string, work func(*session) error) error {
	config, err := a.load(names)
	if err != nil {
		return err
	}
	s, err := a.open(ctx, config, names)
	if err != nil {
		return err
	}
	defer s.close()
	return work(s)
}

// close ends the session. All that matters is durable before: an error here
// makes the next start check the journal, and nothing else.
func (s *session) close() { _ = s.journal.Close() }
