package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/report"
	"github.com/popferry/popferry/plan"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status [ACCOUNT...]",
		Short: "what the journal knows, with no network",
		Long: `Show for each account what was delivered, what is held and why, and how its last
run ended. It asks no server, and works while a run is going on. It needs no
accounts.yaml; those of its accounts over which no pass ended yet are listed
too. The last run of an account that a bridge keeps may be an hour old: passes
that find nothing are written once an hour. What it is doing now is on its
status page.`,
		Example: `  popferry status
  popferry status --json |
      jq '.accounts[] | select(.last_run.exit_code != 0) | .name'`,
		RunE: func(cmd *cobra.Command, names []string) error {
			r, err := a.status(cmd.Context(), names)
			if err != nil {
				return err
			}
			return a.show(report.Status(r), fault.OK)
		},
	}
}

func (a *app) status(ctx context.Context, names []string) (report.StatusReport, error) {
	r := report.StatusReport{Version: report.StatusVersion, State: a.state, Accounts: []report.StatusAccount{}}
	j, err := journal.OpenReader(a.state)
	if errors.Is(err, os.ErrNotExist) && len(names) == 0 {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	defer j.Close()
	r.Notes = j.Notes()
	scopes, err := j.Scopes(ctx)
	if err != nil {
		return r, err
	}
	expected := a.expected()
	if err := checkNames(append(slices.Clone(scopes), expected...), names); err != nil {
		return r, err
	}
	for _, s := range scopes {
		if len(names) > 0 && !slices.Contains(names, s.Scope.Account) {
			continue
		}
		held, err := heldIn(ctx, j, s.Scope)
		if err != nil {
			return r, err
		}
		r.Accounts = append(r.Accounts, report.NewStatusAccount(s, held))
	}
	for _, s := range expected {
		if len(names) == 0 || slices.Contains(names, s.Scope.Account) {
			r.Expect(s.Scope)
		}
	}
	past, err := pastOf(ctx, j)
	if err != nil {
		return r, err
	}
	for _, s := range scopes {
		r.Succeeded(s.Scope.Account, past(s.Scope.Account).Success)
	}
	r.Notes = append(r.Notes, a.parkedNotes(r.Accounts)...)
	return r, nil
}

// expected are the accounts of accounts.yaml, as far as that is there and can be read.
func (a *app) expected() (accounts []journal.Status) {
	config, err := plan.Load(a.config)
	if err != nil {
		return nil
	}
	for _, account := range config.Accounts {
		accounts = append(accounts, journal.Status{Scope: scopeOf(account)})
	}
	return accounts
}

// parkedNotes say which accounts a bridge leaves alone.
func (a *app) parkedNotes(accounts []report.StatusAccount) (notes []string) {
	pace := bridge.Memory{Path: filepath.Join(a.state, paceFile)}
	for _, account := range accounts {
		if last, parked := bridge.RefusedIn(pace.Load(account.Name)); parked {
			notes = append(notes, fmt.Sprintf("%s is parked: its credentials were refused, last at %s; a bridge tries them "+
				"once a day, and at once when it gets SIGHUP", fault.Escape(account.Name), last.Local().Format(time.RFC3339)))
		}
	}
	return notes
}

// checkNames refuses the name of an account that the journal does not have.
func checkNames(scopes []journal.Status, names []string) error {
	var known []string
	for _, s := range scopes {
		known = append(known, s.Scope.Account)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fault.New(fault.Usage, "the journal has no account %q", fault.Escape(name)).
				WithHint("it has: %s", fault.Escape(strings.Join(known, ", ")))
		}
	}
	return nil
}

func heldIn(ctx context.Context, j journal.Journal, s journal.Scope) ([]journal.Record, error) {
	ledger, err := j.Ledger(ctx, s)
	if err != nil {
		return nil, err
	}
	var held []journal.Record
	err = ledger.Each(ctx, journal.Query{States: []journal.State{journal.Held}},
		func(r journal.Record) error {
			held = append(held, r)
			return nil
		})
	return held, err
}
