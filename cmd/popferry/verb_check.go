package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/check"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/report"
)

const checkHelp = `Log in to both sides of the named accounts, or of all, and say what each server can
do, what waits there, where it would go, and whether there is room for it.

Nothing is written: no folder is made, no message is retrieved or marked, and the
journal is not needed. A password that is refused is tried once, however many accounts
have it. For each failure, and for what will go wrong soon or is not safe, it says
what was seen, the likely cause, and the first thing to check. Warnings alone end it
with 0.

What no server shows can be asked for: popferry check --explain "can receive but not
send" needs no account. --symptoms lists what there is.`

type checkOptions struct {
	explain  string
	symptoms bool
}

func (a *app) checkCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [ACCOUNT...]",
		Short: "log in everywhere, write nothing, say what is wrong and why",
		Long:  checkHelp + "\n" + exitHelp,
		Example: `  popferry check                            all accounts, a line each
  popferry check alice --verbose            all that is known of one
  popferry check --report check.html        to hand to somebody
  popferry check --explain one-device       mail is seen on one device only
  popferry check --symptoms                 what it knows`,
		RunE: func(cmd *cobra.Command, names []string) error {
			switch {
			case o.symptoms:
				return a.show(report.Symptoms(check.Topics()), fault.OK)
			case cmd.Flags().Changed("explain"):
				return a.explainTopic(strings.Join(append([]string{o.explain}, names...), " "))
			}
			return a.check(cmd.Context(), names)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&o.explain, "explain", "", "say what is known of a `TOPIC`, or of what you see, in your words")
	cmd.Flags().BoolVar(&o.symptoms, "symptoms", false, "list the topics")
	return cmd
}

func (a *app) explainTopic(asked string) error {
	found := check.Explain(asked)
	if len(found) == 0 {
		return fault.New(fault.Usage, "nothing is known about \"%s\"", fault.Escape(asked)).
			WithHint("popferry check --symptoms lists what is")
	}
	return a.show(report.Explanation(found), fault.OK)
}

func (a *app) check(ctx context.Context, names []string) error {
	config, err := a.load(names)
	if err != nil {
		return err
	}
	if err := config.Resolve(ctx, names); err != nil {
		return err
	}
	r, err := check.Run(ctx, check.Options{Config: config, Accounts: names, Observe: a.observeCheck})
	if err != nil {
		return err
	}
	return a.show(report.Check(r, a.verbose), r.ExitCode)
}

func (a *app) observeCheck(done, all, failed int) {
	trouble := ""
	if failed > 0 {
		trouble = ", " + report.Count(failed, "account") + " with trouble"
	}
	a.output.Load().Step("checked %d of %s%s", done, report.Count(all, "account"), trouble)
}
