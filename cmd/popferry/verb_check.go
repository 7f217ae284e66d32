package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/check"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/report"
	"github.com/popferry/popferry/plan"
)

const checkHelp = `Log in to both sides of the named accounts, or of all, and say what each server
can do, what waits there, where it would go, and whether there is room for it.

Nothing is written: no folder is made, no message is retrieved or marked, and
the journal, if there is one, is only looked into for what was delivered before.
A password that is refused is tried once, however many accounts have it, and an
administrator's, which opens the mailboxes of all, three times. For each
failure, and for what will go wrong soon or is not safe, it says what was seen,
the likely cause, and the first thing to check. With warnings alone it ends
with 0.

What no server shows can be asked for: popferry check --explain "can receive but
not send" needs no account. --symptoms lists what there is.

Exit status (of several accounts, the most severe):
   0  both sides of all accounts work; there may be warnings
  75  try again later: network, busy, throttled, a maildrop in use
  69  a server refuses until a person acts: permission, protocol switched off
  76  a server breaks its protocol, or is no mail server
  77  credentials refused, or a secret that others can read
  80  no safe connection: TLS refused or not trusted
  78  the configuration is wrong: a port, a TLS mode, a folder
  64  the command line is wrong
  74  the report can't be written
  70  a bug of popferry`

type checkOptions struct {
	explain  string
	symptoms bool
}

func (a *app) checkCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [ACCOUNT...]",
		Short: "log in everywhere, write nothing, say what is wrong and why",
		Long:  checkHelp,
		Example: `  popferry check                            all accounts, a line each
  popferry check alice --verbose            all that is known of one
  popferry check --report check.html        to hand to somebody
  popferry check --explain one-device       mail is seen on one device only
  popferry check --symptoms                 what it knows`,
		RunE: func(cmd *cobra.Command, names []string) error {
			switch {
			case o.symptoms && (len(names) > 0 || cmd.Flags().Changed("explain")):
				return fault.New(fault.Usage, "--symptoms lists all topics, and takes nothing else").
					WithHint("popferry check --explain TOPIC")
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
	delivered, done := a.deliveredBefore()
	defer done()
	r, err := check.Run(ctx, check.Options{Config: config, Accounts: names, Observe: a.observeCheck,
		Delivered: delivered, Tokens: a.tokens()})
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

// deliveredBefore looks into the journal, if there is one, for what needs no room
// again. A check needs none: one that can't be read is as good as an empty one.
func (a *app) deliveredBefore() (known func(context.Context, plan.Account, []plan.Listed) (map[string]bool, error),
	done func()) {
	j, err := journal.OpenReader(a.state)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			a.say("note: all mail counts as waiting: %v", err)
		}
		return nil, func() {}
	}
	return func(ctx context.Context, account plan.Account, listing []plan.Listed) (map[string]bool, error) {
		known, err := deliveredOf(ctx, j, account, listing)
		if err != nil && ctx.Err() == nil {
			a.say("note: all mail of %s counts as waiting: %v", fault.Escape(account.Name), err)
			err = nil // it is not the server's
		}
		return known, err
	}, func() { _ = j.Close() }
}

func deliveredOf(ctx context.Context, j journal.Journal, account plan.Account, listing []plan.Listed,
) (map[string]bool, error) {
	var keys []string
	for _, l := range listing {
		if l.Key != "" {
			keys = append(keys, l.Key)
		}
	}
	ledger, err := j.Ledger(ctx, scopeOf(account))
	if err != nil {
		return nil, err
	}
	records, err := ledger.Get(ctx, keys)
	if err != nil {
		return nil, err
	}
	delivered := make(map[string]bool, len(records))
	for _, l := range listing {
		r, ok := records[l.Key]
		delivered[l.Key] = ok && r.State == journal.Delivered && r.Listed == l.Size
	}
	return delivered, nil
}
