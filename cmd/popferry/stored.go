package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/plan"
)

// readPlan reads a stored plan and the names of the accounts to work on: those
// that were named, or all that the plan is about. A plan for another
// configuration is refused here, before anyone is called.
func readPlan(path string, config *plan.Config, names []string) (map[string]plan.Plan, []string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fault.New(fault.Config, "read the plan: %w", err).
			WithHint("popferry plan --out %s makes one", path)
	}
	defer file.Close()
	plans, err := plan.Decode(file)
	if err != nil {
		return nil, nil, err
	}
	accounts := make(map[string]plan.Account, len(config.Accounts))
	for _, account := range config.Accounts {
		accounts[account.Name] = account
	}
	stored := make(map[string]plan.Plan, len(plans))
	var planned []string
	for _, p := range plans {
		account, known := accounts[p.Account]
		if !known || account.Hash() != p.ConfigHash {
			return nil, nil, fault.New(fault.Config, "%s was made with another configuration of account %q than %s has now",
				path, fault.Escape(p.Account), config.Path).
				WithHint("nothing was done; make the plan again with popferry plan --out FILE")
		}
		stored[p.Account] = p
		planned = append(planned, p.Account)
	}
	if len(names) == 0 {
		names = planned
	}
	if len(names) == 0 {
		return nil, nil, fault.New(fault.Config, "%s plans for no account", path).
			WithHint("every account may have failed then; make the plan again with popferry plan --out FILE")
	}
	return stored, names, nil
}

// failed chooses the accounts whose last run did not do all, or that never ran.
// Held mail counts if this run could do something about it.
func (a *app) failed(ctx context.Context, config *plan.Config, names []string, o runOptions) ([]string, error) {
	chosen, err := config.Select(names)
	if err != nil {
		return nil, err
	}
	last, err := lastRuns(ctx, a.state)
	if err != nil {
		return nil, err
	}
	well := []fault.Code{fault.OK}
	if !o.held && !o.confirmDelete {
		well = append(well, fault.Held)
	}
	var failed []string
	for _, account := range chosen {
		code, ran := last[scopeOf(*account)]
		if !ran || !slices.Contains(well, code) {
			failed = append(failed, account.Name)
		}
	}
	return failed, nil
}

// scopeOf is what the journal keeps an account under.
func scopeOf(a plan.Account) journal.Scope {
	return journal.Scope{
		Account: a.Name, SourceHost: a.Source.Host, SourceUser: a.Source.Mailbox(),
		DestHost: a.Destination.Host, DestUser: a.Destination.Mailbox(), Folder: a.Folder,
	}
}

// lastRuns is how the last run of each account ended.
func lastRuns(ctx context.Context, state string) (map[journal.Scope]fault.Code, error) {
	j, err := journal.OpenReader(state)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer j.Close()
	scopes, err := j.Scopes(ctx)
	if err != nil {
		return nil, err
	}
	last := make(map[journal.Scope]fault.Code, len(scopes))
	for _, s := range scopes {
		var run ferry.LastRun
		if json.Unmarshal([]byte(s.LastRun), &run) == nil {
			last[s.Scope] = run.ExitCode
		}
	}
	return last, nil
}
