package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/check"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/foreign"
	"github.com/popferry/popferry/plan"
)

// completeAccounts lets a shell complete the names of accounts, for all verbs that take
// them. They are those of accounts.yaml, as far as that can be read. Files are offered to who
// takes files.
func (a *app) completeAccounts(root *cobra.Command) {
	for _, verb := range root.Commands() {
		switch {
		case strings.Contains(verb.Use, "ACCOUNT"):
			verb.ValidArgsFunction = a.accountNames
		case !strings.Contains(verb.Use, "FILE"):
			verb.ValidArgsFunction = cobra.NoFileCompletions
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

// nameShells has cobra's command for completion scripts refuse a shell that it has none for:
// what it prints goes into a file that shells read.
func nameShells(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	cmd, _, err := root.Find([]string{"completion"})
	if err != nil {
		panic(err) // cobra has no such command any more
	}
	cmd.Short = "print a completion script for a shell"
	cmd.Long = `Print a script that has a shell complete verbs, flags and the names of accounts.
The help of each shell's command says where to put it.`
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return fault.New(fault.Usage, "there is no script for %q", fault.Escape(args[0])).WithHint("%s", shells)
	}
	cmd.RunE = func(*cobra.Command, []string) error {
		return fault.New(fault.Usage, "for which shell?").WithHint("%s", shells)
	}
	for _, shell := range cmd.Commands() {
		shell.Args = noNames
		shell.Short = "print the script for " + shell.Name()
		shell.Long = strings.Replace(shell.Long, "already, you", "already,\nyou", 1) // for 80 columns
	}
}

const shells = "popferry completion bash, zsh, fish or powershell"

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
