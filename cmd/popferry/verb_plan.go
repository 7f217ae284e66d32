package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/report"
	"github.com/popferry/popferry/plan"
)

type planOptions struct {
	explain bool
	out     string
}

func (a *app) planCommand() *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan [ACCOUNT...]",
		Short: "say what a run would do; writes nothing on either server",
		Long: `Say what a run would do for the named accounts, or for all, in messages and
octets.

Nothing is written on either server, and no message is read: what only reading
could tell is called a possible duplicate. A stored plan can be reviewed and
carried out later with run --plan, which refuses to if anything that matters has
changed.`,
		Example: `  popferry plan                     one line for each account
  popferry plan --explain alice     one line for each message, with the reason
  popferry plan --out plan.json     store it for popferry run --plan plan.json`,
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.with(cmd.Context(), names, func(s *session) error {
				return a.plan(cmd.Context(), s, o)
			})
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&o.explain, "explain", false, "say for each message what happens to it, and why")
	cmd.Flags().StringVar(&o.out, "out", "", "store the plan in a `FILE`")
	return cmd
}

func (a *app) plan(ctx context.Context, s *session, o planOptions) error {
	plans, r := ferry.Plans(ctx, s.options)
	if o.out != "" && len(plans) > 0 {
		err := report.WriteFile(o.out, func(w io.Writer) error { return plan.Encode(w, plans) })
		if err != nil {
			return err
		}
	}
	return a.show(report.Plans(plans, r, o.explain), r.ExitCode)
}
