package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/foreign"
	"github.com/popferry/popferry/internal/report"
	"github.com/popferry/popferry/plan"
)

type importOptions struct {
	format, out    string
	set, seen      []string
	skipBad, force bool
}

func (a *app) importCommand() *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "make an accounts.yaml of another program's list",
		Long: `Make an accounts.yaml of a CSV table, of the configuration of fetchmail, getmail
or mpop, or of an imapsync list. No server is asked anything.

The columns of a CSV table are named like the keys of accounts.yaml (name,
source.host, source.username, source.password, destination.username), or as in
Microsoft's migration lists (EmailAddress, UserName, Password). What a list does
not say is given with --set, for all accounts alike, or with {local} and
{source.username} in it for each. Where neither says the server of an address,
it is taken from the table of large providers, with a comment. --set source.host
is not for addresses of the table, whose passwords are for nobody else.

--seen takes over what fetchmail (.fetchids), getmail (oldmail-*) or mpop (its
uidls_file) remembers: such mail is left alone on POP3, so that changing over
copies nothing again. getmail has a file for each account: name them all behind
one --seen. A comment says which accounts --seen has nothing of.`,
		Example: `  popferry import ~/.fetchmailrc --seen ~/.fetchids \
      --set destination.host=imap.example.net
  popferry import users.csv --set source.host=pop.oldisp.example \
      --set destination.host=imap.example.net \
      --set 'destination.username={local}@example.net'`,
		Args: func(cmd *cobra.Command, files []string) error {
			if lists, _ := o.sort(files); len(lists) > 0 {
				return nil
			}
			return fault.New(fault.Usage, "import needs the list to read").
				WithHint("popferry import FILE; - is standard input")
		},
		RunE: func(cmd *cobra.Command, files []string) error {
			lists, seen := o.sort(files)
			o.seen = slices.Concat(o.seen, seen)
			return a.importLists(o, lists)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.format, "format", "", "what the files are: "+strings.Join(foreign.Formats, ", ")+" (default: found out)")
	f.StringArrayVar(&o.set, "set", nil, "`KEY=VALUE` for accounts that have none, such as destination.host=imap.example.net")
	f.StringArrayVar(&o.seen, "seen", nil, "a `FILE` in which the other program remembers what it fetched")
	f.StringVar(&o.out, "out", "accounts.yaml", "the `FILE` to make; - is standard output")
	f.BoolVar(&o.skipBad, "skip-bad", false, "leave out accounts that can't be used, instead of making nothing")
	f.BoolVar(&o.force, "force", false, "replace the file, and lists of what was fetched, if they exist")
	return cmd
}

// sort tells lists from what getmail remembers: of "--seen oldmail-*" the shell makes
// several words, of which --seen takes the first.
func (o importOptions) sort(files []string) (lists, seen []string) {
	for _, name := range files {
		if o.format == "" && foreign.IsOldmail(name) {
			seen = append(seen, name)
		} else {
			lists = append(lists, name)
		}
	}
	return lists, seen
}

func (a *app) importLists(o importOptions, files []string) error {
	freeMemory(os.Getenv)
	if o.format != "" && !slices.Contains(foreign.Formats, o.format) {
		return fault.New(fault.Usage, "--format must be one of: %s", strings.Join(foreign.Formats, ", ")).
			WithHint("leave it out to have it found out")
	}
	if err := a.checkOut(o.out); err != nil {
		return err
	}
	if o.out == "-" && len(o.seen) > 0 {
		return fault.New(fault.Usage, "--seen makes files beside accounts.yaml, which needs a name then").
			WithHint("name it with --out")
	}
	if i := slices.IndexFunc(append(files[:len(files):len(files)], o.seen...), a.isReport); i >= 0 {
		return fault.New(fault.Usage, "--report names a file that is to be read").
			WithHint("name another FILE: a report replaces what is there")
	}
	settings, err := settingsOf(o.set)
	if err != nil {
		return err
	}
	if err := notThere(o.out, o.force); err != nil {
		return err
	}
	list, err := a.readLists(o, files)
	if err != nil {
		return err
	}
	if err := list.Complete(settings); err != nil { // what was fetched is known by its server
		return badSetting(err)
	}
	if err := a.remember(list, o.seen, settings); err != nil {
		return err
	}
	text, bad, err := settle(list, o, strings.Join(files, ", "), settings)
	if err != nil {
		return err
	}
	if err := a.judge(list, bad, o.skipBad); err != nil {
		return errors.Join(err, a.show(nothingImported(list, bad), fault.CodeOf(err)))
	}
	if err := noneSeen(list, o); err != nil {
		return err
	}
	if err := a.writeImport(o.out, text, list); err != nil {
		return err
	}
	a.sayImported(o, list)
	return a.show(asImported(o.out, list, settings), fault.OK)
}

// checkOut refuses two results on standard output.
func (a *app) checkOut(out string) error {
	if out == "-" && a.json {
		return fault.New(fault.Usage, "--json and --out - would both write to standard output").
			WithHint("name the new file with --out, or keep the report with --report FILE.json")
	}
	return nil
}

func settingsOf(texts []string) ([]foreign.Setting, error) {
	var settings []foreign.Setting
	for _, text := range texts {
		s, err := foreign.ParseSetting(text)
		if err != nil {
			return nil, fault.New(fault.Usage, "--set: %w", err).WithHint("the keys are those of accounts.yaml")
		}
		if slices.ContainsFunc(settings, func(other foreign.Setting) bool { return other.Key == s.Key }) {
			return nil, fault.New(fault.Usage, "--set has %s twice", fault.Escape(s.Key)).
				WithHint("what differs from account to account stands in the list")
		}
		settings = append(settings, s)
	}
	return settings, nil
}

// notThere refuses to replace a file that somebody may have worked on.
func notThere(out string, force bool) error {
	if _, err := os.Lstat(out); out == "-" || force || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return fault.New(fault.Usage, "%s exists", fault.Escape(out)).
		WithHint("name another file with --out, or replace it with --force")
}

// noneSeen refuses to replace what another import took over: without those lists, its
// accounts would copy again what was fetched before.
func noneSeen(list *foreign.List, o importOptions) error {
	for _, account := range list.Accounts {
		file := seenFile(o.out, account)
		if len(account.Seen) > 0 && notThere(file, o.force) != nil {
			return fault.New(fault.Usage, "%s exists", fault.Escape(file)).
				WithHint("another accounts.yaml may need it: name --out in another folder, or replace it with --force")
		}
	}
	return nil
}

// seenFile is where the new file looks for what was fetched of an account.
func seenFile(out string, account *foreign.Account) string {
	return filepath.Join(filepath.Dir(out), account.Get("source.skip_uidls"))
}

func (a *app) readLists(o importOptions, files []string) (*foreign.List, error) {
	all := &foreign.List{}
	for _, name := range files {
		list, err := readInput(name, func(r io.Reader) (*foreign.List, error) { return foreign.Read(name, o.format, r) })
		if err != nil {
			return nil, err
		}
		all.Join(list)
	}
	for _, why := range all.Skipped {
		a.say("left out: %s", why.Error())
	}
	return all, nil
}

// readInput opens a file, or standard input for "-".
func readInput[T any](name string, read func(io.Reader) (T, error)) (value T, err error) {
	file := os.Stdin
	if name != "-" {
		if file, err = os.Open(name); err != nil {
			return value, fault.New(fault.Config, "%w", err).WithHint("check the name, and that you may read the file")
		}
		defer file.Close()
	}
	value, err = read(file)
	var wrong *foreign.Mistake
	switch {
	case errors.As(err, &wrong):
		return value, fault.New(fault.Config, "%s", foreign.Bad{File: name, Mistake: *wrong}.Error()).
			WithHint("mend the file, or say what it is with --format; nothing was made")
	case errors.Is(err, foreign.ErrSeen):
		return value, fault.New(fault.Usage, "%s %w", fault.Escape(name), err).
			WithHint("each such file needs a --seen of its own: --seen FILE --seen FILE")
	case err != nil:
		return value, fault.New(fault.Config, "read %s: %w", fault.Escape(name), err).WithHint("it must be a text file")
	}
	return value, nil
}

func (a *app) remember(list *foreign.List, files []string, settings []foreign.Setting) error {
	for _, name := range files {
		seen, err := readInput(name, func(r io.Reader) ([]foreign.Seen, error) { return foreign.ReadSeen(name, r) })
		if err != nil {
			return err
		}
		for _, other := range list.Remember(seen, settings...) {
			a.say("note: %s: %s of %s, %s", fault.Escape(name), report.Count(len(other.UIDLs), "UIDL"),
				fault.Escape(other.Place()), other.Left)
		}
	}
	if len(files) > 0 {
		list.NoteUnseen()
	}
	return nil
}

// isReport reports whether a file is one that --report would replace.
func (a *app) isReport(file string) bool {
	input, err := os.Stat(file)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(a.reports, func(name string) bool {
		output, err := os.Stat(name)
		return err == nil && os.SameFile(input, output)
	})
}

func badSetting(err error) error {
	return fault.New(fault.Config, "--set: %w", err).WithHint("nothing was made")
}

// settle completes the accounts, and says what keeps the new file from being used.
func settle(list *foreign.List, o importOptions, from string, settings []foreign.Setting) (foreign.Text, []foreign.Bad, error) {
	if err := list.Settle(settings); err != nil {
		return foreign.Text{}, nil, badSetting(err)
	}
	text := list.Write(from, settings)
	if len(text.YAML) > plan.MaxFile {
		return text, nil, fault.New(fault.Config, "%s make a file of %d MB, and accounts.yaml has %d at most; nothing was made",
			report.Count(len(list.Accounts), "account"), (len(text.YAML)+1<<20-1)>>20, plan.MaxFile>>20).
			WithHint("take fewer at a time; or leave a CSV as it is, and name it in an accounts.yaml with accounts_from:")
	}
	if !o.skipBad {
		return text, list.Check(text), nil
	}
	bad := list.CheckAll(text)
	for list.Drop(bad) {
		text = list.Write(from, settings)
		bad = slices.DeleteFunc(bad, func(b foreign.Bad) bool { return b.File != "" })
		if len(bad) > 0 { // what all share may have gone with them: that there are too many
			bad = list.CheckAll(text)
		}
	}
	return text, bad, nil
}

// judge tells the mistakes, and whether they leave something to make; bad are those of
// accounts that are still on the list, and of what all share.
func (a *app) judge(list *foreign.List, bad []foreign.Bad, skipBad bool) error {
	all := slices.Concat(list.Bad, bad)
	for _, b := range all {
		fmt.Fprintln(a.stderr, b.Error())
	}
	atLeast := ""
	if list.More > 0 {
		fmt.Fprintf(a.stderr, "and %s\n", report.Count(list.More, "more mistake"))
		atLeast = "at least "
	}
	shared := slices.ContainsFunc(bad, func(b foreign.Bad) bool { return b.File == "" })
	switch left := len(list.Accounts) - foreign.CountBad(bad); {
	case left == 0 || shared:
		return fault.New(fault.Config, "no account can be used; nothing was made").
			WithHint("mend what is said above; --set KEY=VALUE gives what the list does not have")
	case len(all) > 0 && !skipBad:
		return fault.New(fault.Config, "%s%s can't be used; nothing was made", atLeast, report.Count(foreign.CountBad(all), "account")).
			WithHint("give what is missing with --set KEY=VALUE, or leave such accounts out with --skip-bad")
	}
	return nil
}

// writeImport writes the new file, and the lists of what was fetched before it.
func (a *app) writeImport(out string, text foreign.Text, list *foreign.List) error {
	if out == "-" {
		_, err := io.WriteString(a.stdout, text.YAML)
		return err
	}
	for _, account := range list.Accounts {
		if len(account.Seen) == 0 {
			continue
		}
		path := seenFile(out, account)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fault.New(fault.State, "%w", err).WithHint("check that the folder may be written to")
		}
		if err := report.WriteFile(path, account.WriteSeen); err != nil {
			return err
		}
	}
	return report.WriteFile(out, func(w io.Writer) error {
		_, err := io.WriteString(w, text.YAML)
		return err
	})
}

func (a *app) sayImported(o importOptions, list *foreign.List) {
	notes, seen, elsewhere, unseen, fetched := 0, 0, 0, 0, false
	for _, account := range list.Accounts {
		if account.Elsewhere {
			elsewhere++
		}
		if account.Unseen {
			unseen++
		}
		fetched = fetched || account.Fetched()
		notes += len(account.Notes)
		seen += len(account.Seen)
	}
	where := fault.Escape(o.out)
	if o.out == "-" {
		where = "standard output"
	}
	a.say("%s: %s, %d left out, %s of mail fetched before", where, report.Count(len(list.Accounts), "account"),
		foreign.CountBad(list.Bad)+len(list.Skipped), report.Count(seen, "UIDL"))
	if n := list.Secrets(); n > 0 {
		a.say("%s not in the list: put each into its file below secrets/, readable by you alone", report.Count(n, "password"))
	}
	if elsewhere > 0 {
		a.say("note: --set source.host is not for %s at large providers, whose servers popferry knows: "+
			"a source.host in the list is", report.Count(elsewhere, "account"))
	}
	if fetched && len(o.seen) == 0 {
		a.say("note: without --seen all mail on POP3 counts as new, also what was fetched before")
	}
	if unseen > 0 {
		a.say("note: --seen has nothing of %s: all mail there counts as new", report.Count(unseen, "account"))
	}
	if notes > 0 {
		a.say("%s in it: what could not be taken over, and what else there is to know", report.Count(notes, "comment"))
	}
}
