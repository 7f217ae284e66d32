package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/report"
)

// What `adopt --by` may be.
const (
	byContent   = "content"
	byMessageID = "message-id"
)

func (a *app) adoptCommand() *cobra.Command {
	by := byContent
	cmd := &cobra.Command{
		Use:   "adopt [ACCOUNT...]",
		Short: "take over what the destination already has; copies nothing",
		Long: `Mark as delivered what the destination already has, so that a run copies only
the rest.

For mail that another program has moved before. Messages are the same if their
content is. Where the destination has changed them so much that no content is
equal, --by message-id accepts an equal Message-ID; mail adopted so is never
deleted from POP3.`,
		Example: `  popferry adopt alice
  popferry adopt alice --by message-id`,
		RunE: func(cmd *cobra.Command, names []string) error {
			if by != byContent && by != byMessageID {
				return fault.New(fault.Usage, "--by must be %s or %s", byContent, byMessageID).
					WithHint("popferry adopt --help says what each means")
			}
			return a.with(cmd.Context(), names, func(s *session) error {
				recalled := s.recalling()
				r := ferry.Adopt(cmd.Context(), s.options, by == byMessageID)
				if err := recalled(); err != nil {
					a.say("note: a run that was killed is not in the history: %v", err)
				}
				return a.show(report.Adopt(r, time.Since(r.Started)), r.ExitCode)
			})
		},
	}
	cmd.Flags().StringVar(&by, "by", by, "what makes two messages the same: content or message-id")
	return cmd
}
