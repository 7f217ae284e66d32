package main

import (
	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "print a JSON schema of accounts.yaml, for editors",
		Long: `Print a JSON schema of accounts.yaml, with which an editor knows its keys and
says what they are for. Editors that speak the YAML language server take it from
a comment in the first line of accounts.yaml:

    # yaml-language-server: $schema=accounts.schema.json`,
		Example: "  popferry schema > accounts.schema.json",
		Args:    noNames,
		RunE: func(*cobra.Command, []string) error {
			if len(a.reports) > 0 {
				return fault.New(fault.Usage, "a schema is no result that --report could keep").
					WithHint("popferry schema > accounts.schema.json")
			}
			_, err := a.stdout.Write(plan.Schema)
			return err
		},
	}
}
