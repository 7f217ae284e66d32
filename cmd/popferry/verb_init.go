package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/discover"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/provider"
	"github.com/popferry/popferry/internal/report"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

const initHelp = `Find the servers of mail addresses and write an accounts.yaml to start with.

For each address popferry looks for its POP3 server, and for the IMAP server of
where its mail goes: in a table of large providers, in the domain's SRV records,
in the autoconfiguration that mail programs use, by its MX record, and last by
guesses such as pop.example.org, of which only one that answers counts. No
password and no user name is ever sent to a server. The domain's web server is
told the address, and the database of --ispdb the domain; --no-network asks
nobody but the table.

The file says beside each setting where it comes from, what the provider wants
first (an app password, say), and where its passwords are to be. It never holds
a password, and an existing file is left alone unless --force is given. At a
terminal, popferry asks for what is missing. Where an address stays without a
server nothing is written, or with --skip-bad the others, and those that are
left out are named.

For a table with passwords see popferry import.`

// ispdb is Mozilla's database, which mail programs ask.
const ispdb = "https://autoconfig.thunderbird.net/v1.1/"

type initOptions struct {
	to, out, secrets, ispdb         string
	force, noNetwork, http, skipBad bool
	sourceHost, sourceTLS           string
	destinationHost, destinationTLS string
}

func (a *app) initCommand() *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:   "init [EMAIL...]",
		Short: "find the servers of mail addresses, and write accounts.yaml",
		Long:  initHelp,
		Example: `  popferry init alice@old.example --to alice@new.example
  popferry init alice@old.example bob@old.example --to new.example
  popferry init alice@my.example --source-host pop.old.example \
      --dest-host imap.new.example`,
		RunE: func(cmd *cobra.Command, addresses []string) error {
			return a.init(cmd.Context(), addresses, o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.to, "to", "", "where the mail goes: an `ADDRESS`, or a domain in which the names stay")
	onlyOnce(cmd, "to")
	f.StringVar(&o.out, "out", "accounts.yaml", "the `FILE` to make; - is standard output")
	f.BoolVar(&o.force, "force", false, "replace the file if it exists")
	f.BoolVar(&o.skipBad, "skip-bad", false, "leave out addresses without a server, instead of making nothing")
	f.StringVar(&o.secrets, "passwords", "", "where they will be: `env` (the default) or file")
	f.StringVar(&o.sourceHost, "source-host", "", "the POP3 server, `HOST[:PORT]`, instead of looking for it")
	f.StringVar(&o.sourceTLS, "source-tls", "implicit", "its TLS `MODE`: implicit or starttls")
	f.StringVar(&o.destinationHost, "dest-host", "", "the IMAP server, `HOST[:PORT]`, instead of looking for it")
	f.StringVar(&o.destinationTLS, "dest-tls", "implicit", "its TLS `MODE`: implicit or starttls")
	f.BoolVar(&o.noNetwork, "no-network", false, "ask nobody; the table of providers only")
	f.StringVar(&o.ispdb, "ispdb", ispdb, "the database to ask, `URL`; empty asks none")
	f.BoolVar(&o.http, "insecure-http", false, "take autoconfigurations over plain http too")
	return cmd
}

func (a *app) init(ctx context.Context, addresses []string, o initOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	if err := a.checkOut(o.out); err != nil {
		return err
	}
	finder, err := o.finder()
	if err != nil {
		return err
	}
	wish, err := a.wish(ctx, addresses, o)
	if err != nil {
		return err
	}
	left := []leftOut{}
	if o.skipBad {
		wish.Leave = func(address string, why *fault.Error) {
			left = append(left, leftOut{address, ferry.NewErrorReport(why)})
		}
	}
	drafts, err := finder.Drafts(ctx, wish)
	if err != nil {
		return err
	}
	a.name(left)
	if o.out == "-" {
		return errors.Join(discover.Write(a.stdout, drafts), a.show(printed{written{o.out, drafts, left}}, fault.OK))
	}
	if err := o.write(drafts); err != nil {
		return err
	}
	return a.show(written{o.out, drafts, left}, fault.OK)
}

// name tells of what is left out, whatever --quiet says: nothing else shows it.
func (a *app) name(left []leftOut) {
	for _, l := range left {
		fmt.Fprintf(a.stderr, "left out: %s: %s\n", fault.Escape(l.Address), l.Error.Message)
	}
}

// check refuses what can't work before anybody is asked.
func (o initOptions) check() error {
	for _, mode := range []string{o.sourceTLS, o.destinationTLS} {
		if err := checkTLS(mode); err != nil {
			return err
		}
	}
	if o.secrets != "" && o.secrets != "env" && o.secrets != "file" {
		return fault.New(fault.Usage, "--passwords %s: unknown", fault.Escape(o.secrets)).
			WithHint("env has them in environment variables, file in files that only you can read")
	}
	return notThere(o.out, o.force)
}

func (o initOptions) finder() (f discover.Finder, err error) {
	if o.noNetwork {
		return f, nil
	}
	f.Resolver, f.AllowHTTP = net.DefaultResolver, o.http
	if o.ispdb == "" {
		return f, nil
	}
	f.Database, err = url.Parse(o.ispdb)
	if err != nil || f.Database.Host == "" || f.Database.Scheme != "https" && !o.http {
		return f, fault.New(fault.Usage, "--ispdb %s: not an https address", fault.Escape(o.ispdb)).
			WithHint("it is an address to which a domain can be added, such as %s", ispdb)
	}
	return f, nil
}

// wish is what the command line says and, at a terminal, the person.
func (a *app) wish(ctx context.Context, addresses []string, o initOptions) (discover.Wish, error) {
	w := discover.Wish{Addresses: addresses, To: o.to,
		Source:      discover.Place{Host: o.sourceHost, TLS: wire.TLSMode(o.sourceTLS)},
		Destination: discover.Place{Host: o.destinationHost, TLS: wire.TLSMode(o.destinationTLS)},
		Files:       o.secrets == "file",
		Tell: func(p discover.Protocol, domain string) {
			a.say("looking for the %s server of %s", p, fault.Escape(domain))
		}}
	if t := terminal(ctx, os.Stdin, a.stderr); t != nil {
		err := t.complete(&w, o.secrets == "")
		return w, err
	}
	if len(addresses) == 0 {
		return w, fault.New(fault.Usage, "whose mail is to be moved?").
			WithHint("name the addresses: popferry init alice@old.example --to alice@new.example")
	}
	return w, nil
}

// write makes the file for its owner only; one that appeared since is left alone.
func (o initOptions) write(drafts []discover.Draft) error {
	write := func(w io.Writer) error { return discover.Write(w, drafts) }
	if o.force {
		return report.WriteFile(o.out, write)
	}
	file, err := os.OpenFile(o.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return notThere(o.out, false)
	}
	if err == nil {
		err = errors.Join(write(file), file.Close())
	}
	if err != nil {
		return fault.New(fault.State, "write %s: %w", fault.Escape(o.out), err).
			WithHint("check that the folder exists, that you may write there, and that the disk is not full")
	}
	return nil
}

// written is the result of init.
type written struct {
	out    string
	drafts []discover.Draft
	left   []leftOut
}

// printed is one whose accounts.yaml is on standard output, with nothing beside it.
type printed struct{ written }

// WriteText writes nothing.
func (printed) WriteText(io.Writer) error { return nil }

// leftOut is an address without an account, and why.
type leftOut struct {
	Address string             `json:"address"`
	Error   *ferry.ErrorReport `json:"error"`
}

// found is one side in the JSON.
type found struct {
	Host     string   `json:"host"`
	Port     int      `json:"port"`
	TLS      string   `json:"tls"`
	Username string   `json:"username"`
	Origin   string   `json:"origin"`
	Warnings []string `json:"warnings"`
	Hints    []string `json:"hints"`
	Password string   `json:"password"`
}

type foundAccount struct {
	Name        string `json:"name"`
	Source      found  `json:"source"`
	Destination found  `json:"destination"`
}

// JSON has what the file has, and its name.
func (r written) JSON() any {
	accounts := []foundAccount{}
	for _, d := range r.drafts {
		accounts = append(accounts, foundAccount{d.Name,
			foundSide(d.Source, discover.POP3), foundSide(d.Destination, discover.IMAP)})
	}
	return struct {
		Version  int            `json:"version"`
		Out      string         `json:"out"`
		Accounts []foundAccount `json:"accounts"`
		LeftOut  []leftOut      `json:"left_out"`
	}{1, r.out, accounts, r.left}
}

func foundSide(s discover.Side, p discover.Protocol) found {
	return found{s.Server.Host, s.Server.Port, string(s.Server.TLS), s.Username, s.Server.Origin,
		append([]string{}, s.Server.Warnings...), append([]string{}, discover.Hints(s.Provider, p)...),
		s.Secret.String()}
}

// Sheet has a row for each account.
func (r written) Sheet() report.Sheet {
	s := report.Sheet{Title: "popferry init", Deed: true,
		Columns: []report.Column{{Name: "account"}, {Name: "POP3 server"}, {Name: "IMAP server"},
			{Name: "result"}}}
	for _, d := range r.drafts {
		result := outcome("ok", fault.OK)
		same := isOneMailbox(d)
		if same || len(d.Source.Server.Warnings)+len(d.Destination.Server.Warnings) > 0 {
			result = outcome("see note", fault.Held)
		}
		if same {
			s.Notes = append(s.Notes, report.Note{Account: d.Name, Text: "source and destination are the same mailbox, " +
				"so that nothing is to be moved: --to names the new address"})
		}
		s.Rows = append(s.Rows,
			[]report.Cell{cell(d.Name), address(d.Source), address(d.Destination), result})
		for _, side := range []discover.Side{d.Source, d.Destination} {
			for _, text := range side.Server.Warnings {
				s.Notes = append(s.Notes, report.Note{Account: d.Name, Text: text})
			}
		}
	}
	s.Verdict = fmt.Sprintf("%s has %s: look it over, put the passwords in place, then popferry check.",
		r.out, report.Count(len(r.drafts), "account"))
	return s
}

// isOneMailbox reports an account that would bring mail to where it is.
func isOneMailbox(d discover.Draft) bool {
	side := func(s discover.Side) plan.Endpoint {
		return plan.Endpoint{Endpoint: wire.Endpoint{Host: s.Server.Host}, Username: s.Username}
	}
	return provider.SameMailbox(plan.Account{Source: side(d.Source), Destination: side(d.Destination)})
}

// outcome is a cell of the last column, which the code colours.
func outcome(text string, code fault.Code) report.Cell {
	return report.Cell{Text: text, Value: text, Code: code}
}

func cell(text string) report.Cell { return report.Cell{Text: text, Value: text} }

func address(s discover.Side) report.Cell {
	return cell(net.JoinHostPort(s.Server.Host, fmt.Sprint(s.Server.Port)))
}
