package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/check"
	"github.com/popferry/popferry/internal/foreign"
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

// completeFlags lets a shell complete the flags that take one of a few words.
func completeFlags(root *cobra.Command) {
	modes := []string{"implicit", "starttls"}
	var topics []string
	for _, t := range check.Topics() {
		topics = append(topics, cobra.CompletionWithDesc(t.Name, t.Symptom))
	}
	for flag, words := range map[string][]string{
		"adopt by": {"content", "message-id"}, "bridge log": {"text", "json"}, "check explain": topics,
		"handover format": {"md", "html"}, "handover smtp-tls": modes, "import format": foreign.Formats,
		"init passwords": {"env", "file"}, "init source-tls": modes, "init dest-tls": modes,
		"login side": {"source", "destination"},
	} {
		verb, name, _ := strings.Cut(flag, " ")
		cmd, _, err := root.Find([]string{verb})
		if err == nil {
			err = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
		}
		if err != nil {
			panic(err) // the table above is wrong
		}
	}
}
