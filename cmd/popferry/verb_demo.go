package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/demo"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/report"
)

const mostDemoMessages = 100_000

type demoOptions struct {
	serve    bool
	messages int
}

func (a *app) demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "see it work, with no servers and no configuration",
		Long: `Start a POP3 and an IMAP server inside the process, bring sample mail from one
to the other, bring it again, and compare what arrived with what was there.

Everything is real but the servers: TLS, logins, journal, accounts.yaml. All of
it is on this machine, and nothing is left behind.`,
		Example: `  popferry demo
  popferry demo --serve     then look at the mail with your own mail program`,
		Args: noNames,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.messages < 0 || o.messages > mostDemoMessages {
				return fault.New(fault.Usage, "--messages must be from 0 to %d", mostDemoMessages).
					WithHint("popferry demo --help says what they are")
			}
			return a.demo(cmd.Context(), o)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&o.serve, "serve", false, "leave the IMAP server up until Ctrl-C, and say how to connect")
	cmd.Flags().IntVar(&o.messages, "messages", 300, "how many ordinary messages, beside the hard ones")
	return cmd
}

func (a *app) demo(ctx context.Context, o demoOptions) (err error) {
	d, err := demo.Start(ctx, demo.Options{Messages: o.messages, Observe: a.output.Load().Observe})
	if err != nil {
		return err
	}
	defer d.Close() // what a temporary folder leaves behind is the system's to remove
	a.say("%s", introduction(d))
	result, err := perform(ctx, d, a.say)
	if err != nil {
		return err
	}
	if err := a.show(result, result.exitCode()); err != nil || !o.serve {
		return err
	}
	fmt.Fprintln(a.stderr, invitation(d.IMAP()))
	<-ctx.Done()
	return nil
}

func introduction(d *demo.Demo) string {
	text := fmt.Sprintf(`A maildrop on a POP3 server: %s, %s.
%d of them are hard to carry: no Message-ID or somebody else's, bare line
feeds, NUL, raw 8-bit headers, absurd dates, several copies, lines that look
like protocol. (%d more of those are left out, since this demo's IMAP server
can't show them again.)

`, report.Count(d.Messages(), "message"), report.Size(d.Octets()), d.Hard(), d.LeftOut())
	return text + "accounts.yaml:\n\n    " +
		strings.ReplaceAll(strings.TrimSuffix(d.YAML(), "\n"), "\n", "\n    ") + "\n"
}

func invitation(to demo.Access) string {
	return fmt.Sprintf(`
The IMAP server is up until Ctrl-C. In a mail program, add an account with:

  server       %s
  port         %d, with SSL/TLS
  user         %s
  password     %s
  certificate  accept the one with the SHA-256 fingerprint
               %s
               %s`, to.Host, to.Port, to.Username, to.Password,
		to.Fingerprint[:48], to.Fingerprint[48:])
}

// performance is what a demo showed: the JSON of `popferry demo`.
type performance struct {
	Version  int          `json:"version"`
	First    ferry.Report `json:"first"`
	Second   ferry.Report `json:"second"`
	Proof    demo.Proof   `json:"proof"`
	LeftOut  int          `json:"left_out"`
	ExitCode fault.Code   `json:"exit_code"`
}

func perform(ctx context.Context, d *demo.Demo, say func(string, ...any)) (performance, error) {
	p := performance{Version: ferry.ReportVersion, LeftOut: d.LeftOut()}
	var err error
	say("The first run brings them to an IMAP server:")
	if p.First, err = d.Ferry(ctx); err != nil {
		return p, err
	}
	say("The second run finds nothing to do:")
	if p.Second, err = d.Ferry(ctx); err != nil {
		return p, err
	}
	p.Proof, err = d.Prove(ctx)
	p.ExitCode = p.exitCode()
	return p, err
}

// exitCode is that of the runs, or that of a bug where the proof fails.
func (p performance) exitCode() fault.Code {
	code := fault.Worst(p.First.ExitCode, p.Second.ExitCode)
	if code == fault.OK && (!p.Proof.Holds() || p.Second.Totals.Delivered > 0) {
		return fault.Internal
	}
	return code
}

// JSON is the performance itself.
func (p performance) JSON() any { return p }

// Sheet has a row for each of the two runs.
func (p performance) Sheet() report.Sheet {
	first, second := report.Run(p.First, 0).Sheet(), report.Run(p.Second, 0).Sheet()
	s := first
	s.Title, s.Verdict, s.ExitCode = "popferry demo", p.verdict(), p.exitCode()
	s.Deed = false
	s.Columns[0].Name = "run"
	s.Rows = append(s.Rows, second.Rows...)
	for i, name := range []string{"first", "second"} {
		s.Rows[i][0] = report.Cell{Text: name, Value: name}
	}
	s.Errors = append(s.Errors, second.Errors...)
	s.Messages = append(s.Messages, second.Messages...)
	s.Notes = append(s.Notes, second.Notes...)
	return s
}

// verdict says what the comparison showed.
func (p performance) verdict() string {
	if p.Proof.Holds() {
		return fmt.Sprintf("Proven by reading them back: all %s are there once, unchanged.",
			report.Count(p.Proof.Source, "message"))
	}
	return fmt.Sprintf("NOT proven: of %s %d are there unchanged, %d are missing, and %d are too many.",
		report.Count(p.Proof.Source, "message"), p.Proof.Same, p.Proof.Missing, p.Proof.Extra)
}
