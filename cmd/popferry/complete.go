package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/plan"
)

// completeAccounts lets a shell complete the names of accounts, for all verbs that take
// them. They are those of accounts.yaml, as far as that can be read.
func (a *app) completeAccounts(root *cobra.Command) {
	for _, verb := range root.Commands() {
		if strings.Contains(verb.Use, "ACCOUNT") {
			verb.ValidArgsFunction = a.accountNames
		}
	}
}

func (a *app) accountNames(_ *cobra.Command, named []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	config, err := plan.Load(a.config)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	taken := map[string]bool{}
	for _, name := range named {
		taken[name] = true
	}
	var names []cobra.Completion
	for _, account := range config.Accounts {
		if !taken[account.Name] {
			names = append(names, cobra.CompletionWithDesc(account.Name,
				account.Source.Host+" to "+account.Destination.Host))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
