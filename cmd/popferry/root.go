package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/report"
)

// app is one invocation of the program: its streams and the flags that all verbs
// have.
type app struct {
	stdout, stderr io.Writer

	verb           string
	config, state  string
	json           bool
	reports        []string
	quiet, verbose bool
	noWait         bool

	understood bool                          // the command line was: errors are no longer about it
	output     atomic.Pointer[report.Output] // nil until then
	log        atomic.Pointer[slog.Logger]   // of a bridge, which says all there; else nil
	logWriter  *bridge.Unhurried             // of that; nil where there is none
	logsJSON   bool                          // and programs read it
	code       fault.Code                    // how the work ended
}

// run is the program without the process: it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	harden()
	tuneMemory(os.Getenv)
	a := &app{stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	ctx, stop := a.untilSignal(context.Background())
	defer stop()
	err := a.classify(root.ExecuteContext(ctx))
	if out := a.output.Load(); out != nil {
		out.Close()
	}
	if err != nil {
		a.explain(err)
		a.code = fault.Worst(a.code, fault.CodeOf(err))
	}
	a.closeLog()
	return int(a.code)
}

const rootHelp = `popferry carries mail from POP3 into IMAP folders, once, and proves it.

    popferry demo      see it work, with no servers and no configuration
    popferry init alice@old.example --to alice@new.example
                       find the servers, and write accounts.yaml
    popferry check     does every login work, and what is wrong if not
    popferry plan      what a run would do; nothing is written anywhere
    popferry run       do it; run it again at any time, nothing comes twice
    popferry verify    prove that every delivered message is there

It reads accounts.yaml in the current folder, which says where the mail is and
where it goes:

    accounts:
      - source:
          host: pop.oldisp.example
          username: alice
          password: {env: POP_PASSWORD}
        destination:
          host: imap.example.net
          username: alice@example.net
          password: {env: IMAP_PASSWORD}

Nothing is deleted from POP3 unless the file says so.`

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "popferry",
		Short:         "carry mail from POP3 to IMAP, exactly once",
		Long:          rootHelp,
		Version:       buildOf(debug.ReadBuildInfo()).Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		// SuggestionsFor counts typing mistakes up to this.
		SuggestionsMinimumDistance: 2,
		Args:                       unknownVerb,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fault.New(fault.Usage, "what is to be done?").
				WithHint("popferry --help lists the verbs; popferry demo shows how it works")
		},
		PersistentPreRunE: a.prepare,
	}
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", ".FlagUsagesWrapped 80 "))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fault.New(fault.Usage, "%w", err).WithHint("%s --help", cmd.CommandPath())
	})
	a.commonFlags(root)
	addGroup(root, "Before the first run:", a.demoCommand(), a.initCommand(), a.importCommand(), a.loginCommand(),
		a.checkCommand())
	addGroup(root, "Carrying mail:", a.planCommand(), a.runCommand(), a.bridgeCommand(), a.adoptCommand(), a.undoCommand())
	addGroup(root, "Afterwards:", a.statusCommand(), a.reportCommand(), a.verifyCommand(), a.handoverCommand())
	root.AddCommand(a.schemaCommand(), a.versionCommand())
	a.completeAccounts(root)
	completeFlags(root)
	nameShells(root)
	refuseUnknownHelp(root)
	return root
}

// addGroup adds verbs that the help shows together.
func addGroup(root *cobra.Command, title string, verbs ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title})
	for _, verb := range verbs {
		verb.GroupID = title
		root.AddCommand(verb)
	}
}

// unknownVerb refuses what cobra found no command for.
func unknownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fault.New(fault.Usage, "there is no verb %q", fault.Escape(args[0]))
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return err.WithHint("did you mean %q?", near[0])
	}
	return err.WithHint("popferry --help lists the verbs")
}

// noNames refuses what stands behind a verb that takes nothing but flags.
func noNames(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fault.New(fault.Usage, "%s takes nothing but flags, and here is %q", cmd.CommandPath(), fault.Escape(args[0])).
		WithHint("%s --help", cmd.CommandPath())
}

// refuseUnknownHelp has cobra's help say so where there is no such verb: it shows that of
// popferry, as if it had been asked for.
func refuseUnknownHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		panic(err) // cobra has no such command any more
	}
	help.Args = func(_ *cobra.Command, args []string) error {
		verb, rest, err := root.Find(args)
		if err == nil && verb == root {
			err = unknownVerb(root, rest)
		}
		return err
	}
}

func (a *app) commonFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.SortFlags = false
	f.StringVar(&a.config, "config", "accounts.yaml", "the `FILE` with the accounts")
	f.StringVar(&a.state, "state", "", "the `DIR` of the journal (default "+defaultStateText+")")
	f.BoolVar(&a.json, "json", false, "write the result as JSON")
	f.StringArrayVar(&a.reports, "report", nil, "write the result to a `FILE` too: .json, .csv or .html; may be repeated")
	f.BoolVar(&a.quiet, "quiet", false, "say nothing if all is well")
	f.BoolVar(&a.verbose, "verbose", false, "say more; list every message")
	f.BoolVar(&a.noWait, "no-wait", false, "end with 75 instead of waiting for a lost answer to settle")
}

// onlyOnce has a flag refuse a second value: the first would be forgotten, and nobody told.
func onlyOnce(cmd *cobra.Command, name string) {
	flag := cmd.Flag(name)
	flag.Value = &once{value: flag.Value}
}

type once struct {
	value
	given bool
}

// value is what cobra wants of one.
type value interface {
	String() string
	Set(text string) error
	Type() string
}

func (o *once) Set(text string) error {
	if o.given {
		return errors.New("it can be given once only")
	}
	o.given = true
	return o.value.Set(text)
}

// hideCommon has a verb not offer common flags that are of no use to it. It has to refuse them.
func hideCommon(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		cmd.Flags().String(name, "", "")
		cmd.Flag(name).Hidden, cmd.Flag(name).NoOptDefVal = true, "true"
	}
}

// prepare runs before every verb, once its command line is understood.
func (a *app) prepare(cmd *cobra.Command, _ []string) (err error) {
	if a.quiet && a.verbose {
		return fault.New(fault.Usage, "--quiet and --verbose exclude each other").
			WithHint("leave out one of the two")
	}
	if a.config == "" {
		return fault.New(fault.Usage, "--config has no name").WithHint("name the file with the accounts, or leave --config out")
	}
	if a.state, err = stateDir(a.state, os.Getenv); err != nil {
		return err
	}
	// What a script has in an empty variable is no name.
	a.reports = slices.DeleteFunc(a.reports, func(name string) bool { return name == "" })
	out, err := report.New(report.Options{Stdout: a.stdout, Stderr: a.stderr, JSON: a.json,
		Files: a.reports, Quiet: a.quiet, Verbose: a.verbose})
	if err != nil {
		return err
	}
	a.output.Store(out)
	a.understood, a.verb = true, cmd.Name()
	return nil
}

const defaultStateText = "$XDG_STATE_HOME/popferry, or ~/.local/state/popferry"

// stateDir is where the journal is.
func stateDir(flag string, getenv func(string) string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	// The XDG base directory specification: a relative path is to be ignored.
	if base := getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "popferry"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fault.New(fault.State, "no place for the journal: %w", err).
			WithHint("name one with --state DIR")
	}
	return filepath.Join(home, ".local", "state", "popferry"), nil
}

// show writes a result and remembers how the work ended.
func (a *app) show(r report.Result, code fault.Code) error {
	a.code = fault.Worst(a.code, code)
	return a.output.Load().Show(r)
}
