package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/report"
)

func (a *app) undoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "undo ACCOUNT...",
		Short: "take back from the destination what popferry put there",
		Long: `Remove from the destination exactly what popferry appended for the named
accounts.

Each message is read again before it is removed; what was moved, changed, or
there before popferry came is left alone, and a later run does not bring it
again. Appends whose answer was lost are waited for and taken back, too. What
POP3 no longer has is left, since the copy may be the only one; and for an
account from which popferry deleted something on POP3, nothing is done. An undo
that was interrupted goes on when it is started again; a run instead keeps what
is still there and brings again what is not. Accounts have to be named here: no
name does not mean all.`,
		Example: `  popferry undo alice`,
		Args: func(_ *cobra.Command, names []string) error {
			if len(names) == 0 {
				return fault.New(fault.Usage, "undo wants the accounts by name").
					WithHint("popferry status lists them")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.with(cmd.Context(), names, func(s *session) error {
				r := ferry.Undo(cmd.Context(), s.options)
				return a.show(report.Undo(r, time.Since(r.Started)), r.ExitCode)
			})
		},
	}
}
