package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/report"
	"github.com/popferry/popferry/plan"
)

const runHelp = `Bring the mail of the named accounts, or of all, from POP3 to IMAP.

A run can be repeated and interrupted at any time: what was delivered is
remembered and never comes twice. Messages that can't be delivered are held:
they stay on POP3, are listed with the reason, and block nothing else.
--export-held keeps a copy of each in a file, byte for byte; the report says in
which. One account that fails does not stop the others.

Nothing is deleted from POP3 unless the account says keep: delivered or
keep: 30d. Even then the copy is read back from IMAP first, and the first
deletion of an account waits for --confirm-delete.`

const exitHelp = `
Exit status (of several accounts, the most severe):
   0  all done
  65  done, but messages are held back, or a deletion awaits --confirm-delete
  75  try again later: network, busy, throttled, another popferry at work
  69  a server refuses until a person acts: quota, permission
  76  a server breaks its protocol
  77  credentials refused, or a secret that others can read
  80  no safe connection: TLS refused or not trusted
  78  the configuration is wrong, or a plan no longer fits; nothing was done
  64  the command line is wrong
  74  the state directory, report or --export-held folder can't be written
  70  a bug of popferry`

type runOptions struct {
	plan          string
	onlyFailed    bool
	confirmDelete bool
	held          bool
	exportHeld    string
}

func (a *app) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [ACCOUNT...]",
		Short: "bring the mail over; repeat it as often as you like",
		Long:  runHelp + "\n" + exitHelp,
		Example: `  popferry run                            all accounts of accounts.yaml
  popferry run alice bob                  these two
  popferry run --only-failed              those that failed, or never ran
  popferry run --export-held held         keep what can't be delivered
  popferry run --plan plan.json           what was reviewed, if it still fits
  popferry run --quiet --report run.html  from cron: silence, or what is wrong`,
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.run(cmd.Context(), o, names)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.plan, "plan", "", "carry out the plan in `FILE`, and only if nothing has drifted")
	onlyOnce(cmd, "plan")
	f.BoolVar(&o.onlyFailed, "only-failed", false, "only accounts whose last run failed, or that never ran")
	f.BoolVar(&o.confirmDelete, "confirm-delete", false, "agree to deletions from POP3; remembered by account")
	f.BoolVar(&o.held, "held", false, "try again what is held")
	f.StringVar(&o.exportHeld, "export-held", "", "keep held messages as .eml files in `DIR`, byte for byte")
	return cmd
}

func (a *app) run(ctx context.Context, o runOptions, names []string) error {
	config, err := a.load(names)
	if err != nil {
		return err
	}
	var stored map[string]plan.Plan
	if o.plan != "" {
		if stored, names, err = readPlan(o.plan, config, names); err != nil {
			return err
		}
	}
	if o.onlyFailed {
		names, err = a.failed(ctx, config, names, o)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return a.show(report.Run(ferry.Report{Version: ferry.ReportVersion,
				Accounts: []ferry.AccountReport{}}, 0), fault.OK)
		}
	}
	s, err := a.open(ctx, config, names)
	if err != nil {
		return err
	}
	defer s.close()
	if o.exportHeld != "" {
		folder, err := report.NewHeldFolder(o.exportHeld)
		if err != nil {
			return err
		}
		s.options.KeepHeld = folder.Keep
	}
	s.options.Stored, s.options.Held, s.options.ConfirmDelete = stored, o.held, o.confirmDelete
	rest := s.remembering()
	r := ferry.Run(ctx, s.options)
	if err := rest(r); err != nil {
		a.say("note: this run is not in the history: %v", err)
	}
	return a.show(report.Run(r, time.Since(r.Started)), r.ExitCode)
}
