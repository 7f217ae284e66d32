package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/oauth"
	"github.com/popferry/popferry/internal/report"
	"github.com/popferry/popferry/plan"
)

const loginHelp = `Get the tokens of accounts that sign in with OAuth, and keep them for all runs.

What a person has to do is shown: with flow: device a code to enter in any
browser, with flow: browser an address to open in a browser on this machine. The
refresh token that comes of it is kept in the state directory, or in the
keyring, and never shown. Where flow is client-credentials or service-account
nobody has to sign in; one token is fetched to prove that the provider gives
them. Whether the mail server takes them, and opens the mailbox, popferry check
tells.

Named accounts sign in anew. Without a name, all accounts with OAuth do whose
tokens do not work. Accounts can sign in while a run is at work.

--forget removes what is kept here. It does not tell the provider: there, the
access of the application is withdrawn in the settings of the mail account.`

type loginOptions struct {
	side   string
	forget bool
}

func (a *app) loginCommand() *cobra.Command {
	var o loginOptions
	cmd := &cobra.Command{
		Use:   "login [ACCOUNT...]",
		Short: "sign in with OAuth, once for all runs",
		Long:  loginHelp,
		Example: `  popferry login alice                       both sides, where they have oauth
  popferry login alice --side destination    one side only
  popferry login --forget alice`,
		Args: func(_ *cobra.Command, names []string) error {
			if o.forget && len(names) == 0 {
				return fault.New(fault.Usage, "--forget wants the accounts by name").
					WithHint("it does not mean all of them")
			}
			if o.side != "" && o.side != report.Source && o.side != report.Destination {
				return fault.New(fault.Usage, "--side is source or destination").WithHint("without it, both")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, names []string) error {
			r, err := a.login(cmd.Context(), o, names)
			if err != nil {
				return err
			}
			return a.show(report.Login(r), r.ExitCode)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.side, "side", "", "only the `SIDE` source or destination")
	onlyOnce(cmd, "side")
	f.BoolVar(&o.forget, "forget", false, "remove the tokens that are kept here")
	return cmd
}

// signIn is the work for one side of one account.
type signIn struct {
	account, side string
	endpoint      plan.Endpoint
}

func (a *app) login(ctx context.Context, o loginOptions, names []string) (report.LoginReport, error) {
	r := report.LoginReport{Version: report.LoginVersion, Accounts: []report.LoginAccount{}}
	config, err := a.load(names)
	if err != nil {
		return r, err
	}
	if !o.forget {
		if err := config.ResolveOAuth(ctx, names); err != nil {
			return r, err
		}
	}
	work, err := signIns(config, names, o.side)
	if err != nil {
		return r, err
	}
	keeper := a.tokens()
	var refused refusals
	for _, s := range work {
		state, err := "", refused.of(s)
		if err == nil {
			state, err = a.signIn(ctx, keeper, s, o.forget, len(names) > 0)
			refused.add(s, err)
		}
		r.Add(report.LoginAccount{
			Name: s.account, Side: s.side, Username: fault.Escape(s.endpoint.Username), Flow: s.endpoint.OAuth.Flow,
			State: state, Error: ferry.NewErrorReport(err),
		})
		if ctx.Err() != nil {
			break
		}
	}
	return r, nil
}

// refusals are sign-ins that came to nothing, so that nobody is asked for the same again.
type refusals []refusal

type refusal struct {
	signIn
	err error
}

func (r *refusals) add(s signIn, err error) {
	if fault.CodeOf(err) == fault.Credentials {
		*r = append(*r, refusal{s, err})
	}
}

func (r refusals) of(s signIn) error {
	for _, before := range r {
		if oauth.SameToken(before.endpoint, s.endpoint) {
			return before.err
		}
	}
	return nil
}

// signIns lists the sides with OAuth.
func signIns(config *plan.Config, names []string, side string) (list []signIn, err error) {
	accounts, err := config.Select(names)
	if err != nil {
		return nil, err
	}
	for _, account := range accounts {
		for _, s := range []signIn{
			{account.Name, report.Source, account.Source}, {account.Name, report.Destination, account.Destination},
		} {
			if s.endpoint.OAuth != nil && (side == "" || side == s.side) {
				list = append(list, s)
			}
		}
	}
	if len(list) == 0 {
		return nil, fault.New(fault.Config, "none of these accounts signs in with OAuth in %s", fault.Escape(config.Path)).
			WithHint("passwords need no login; see oauth in the README")
	}
	return list, nil
}

// signIn does it and returns how things stand.
func (a *app) signIn(ctx context.Context, keeper *oauth.Keeper, s signIn, forget, named bool) (string, error) {
	if forget {
		was, err := keeper.Forget(ctx, s.endpoint)
		if err == nil && !was {
			return report.NothingKept, nil
		}
		return report.Forgotten, err
	}
	if !named || keeper.Holds(s.endpoint) {
		_, err := keeper.Token(ctx, s.account, s.endpoint)
		if fault.CodeOf(err) != fault.Credentials || !s.endpoint.OAuth.Flow.Interactive() {
			return report.Works, err
		}
	}
	prompted := false
	err := keeper.Login(ctx, s.account, s.endpoint, func(p oauth.Prompt) {
		prompted = true
		a.prompt(s, p)
	})
	if err != nil && prompted { // the result is shown when all have been asked
		fmt.Fprintf(a.stderr, "  failed: %s\n", ferry.NewErrorReport(err).Message)
	}
	return report.SignedIn, err
}

// prompt tells a person what to do, whatever --quiet says: it is why they are here.
func (a *app) prompt(s signIn, p oauth.Prompt) {
	fmt.Fprintf(a.stderr, "%s, %s: sign in as %s\n", fault.Escape(s.account), s.side, fault.Escape(s.endpoint.Username))
	if p.Code != "" {
		fmt.Fprintf(a.stderr, "  open   %s\n  enter  %s\n", p.URL, p.Code)
	} else {
		fmt.Fprintf(a.stderr, "  open, in a browser on this machine:\n\n%s\n\n", p.URL)
		browse(a.stderr, p.URL)
	}
	fmt.Fprintf(a.stderr, "  until  %s; Ctrl-C to end\n", p.Until.Local().Format(time.TimeOnly))
}

// browse opens a browser, where there is somebody to see it.
func browse(w io.Writer, address string) {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) || os.Getenv("DISPLAY")+os.Getenv("WAYLAND_DISPLAY") == "" {
		return
	}
	opener, err := exec.LookPath("xdg-open")
	if err != nil {
		return
	}
	// What it says is of no use: the address is there to be opened by hand.
	if command := exec.Command(opener, address); command.Start() == nil {
		go func() { _ = command.Wait() }()
	}
}
