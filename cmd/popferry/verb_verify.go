package main

import (
	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/report"
)

func (a *app) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify [ACCOUNT...]",
		Short: "prove that every delivered message is at the destination",
		Long: `Read the destination again and compare every delivered message with what was
sent.

Each message is found where popferry put it, found there and altered by the
server, found in another folder (moved), or missing. Messages that are altered
or missing end it with 65. Of mail that POP3 has more than once a provider such
as Gmail keeps one copy; the others are dropped, and nothing is missing.
Messages are open if a run ended before it knew whether they arrived: they end
it with 75, and the next run settles them. Nothing is changed.`,
		Example: `  popferry verify
  popferry verify alice --report proof.html`,
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.with(cmd.Context(), names, func(s *session) error {
				r := ferry.Verify(cmd.Context(), s.options)
				return a.show(report.Verify(r), r.ExitCode)
			})
		},
	}
}
