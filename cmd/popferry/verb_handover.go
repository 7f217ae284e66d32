package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/handover"
	"github.com/popferry/popferry/internal/report"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

const handoverHelp = `Make a card for each account that tells its user how to set up the new mailbox:
IMAP and SMTP server, port, encryption, user name, how one signs in, and what to
do with the old POP3 account in Outlook, Thunderbird, Apple Mail and on phones,
so that nothing is lost that only a computer has. No password is on a card, and
none is read.

The SMTP server is that of the provider, if popferry knows whose IMAP server it
is, or what the address's domain says; --smtp-host names it for all.`

type handoverOptions struct {
	out, format       string
	smtpHost, smtpTLS string
	noNetwork         bool
}

func (a *app) handoverCommand() *cobra.Command {
	var o handoverOptions
	cmd := &cobra.Command{
		Use:   "handover [ACCOUNT...]",
		Short: "make a card with the new settings for each user",
		Long:  handoverHelp,
		Example: `  popferry handover alice                      to standard output, as Markdown
  popferry handover --format html --out cards  a page for each account
  popferry handover --smtp-host smtp.example.net --out cards`,
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.handover(cmd.Context(), names, o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.out, "out", "", "write a file for each account into `DIR`")
	f.StringVar(&o.format, "format", "md", "`FORM` of the cards: md (Markdown) or html")
	f.StringVar(&o.smtpHost, "smtp-host", "", "the SMTP server, `HOST[:PORT]`, for all accounts")
	f.StringVar(&o.smtpTLS, "smtp-tls", "implicit", "its TLS `MODE`: implicit or starttls")
	f.BoolVar(&o.noNetwork, "no-network", false, "ask nobody for an SMTP server")
	return cmd
}

func (a *app) handover(ctx context.Context, names []string, o handoverOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	config, err := a.load(names)
	if err != nil {
		return err
	}
	accounts, err := config.Select(names)
	if err != nil {
		return err
	}
	cards, err := a.cards(ctx, accounts, o)
	if err != nil {
		return err
	}
	r := handed{cards: cards}
	switch {
	case o.out != "":
		if r.files, err = o.write(cards); err != nil {
			return err
		}
	case !a.json && len(a.reports) > 0:
		return fault.New(fault.Usage, "--report tells where each card is, and without --out there are no files").
			WithHint("add --out DIR, or leave --report out")
	case !a.json:
		for _, n := range r.notes() {
			a.say("note: %s: %s", fault.Escape(n.Account), n.Text)
		}
		return o.writer()(a.stdout, cards)
	}
	return a.show(r, fault.OK)
}

func (o handoverOptions) check() error {
	if o.format != "md" && o.format != "html" {
		return fault.New(fault.Usage, "there is no form %q", fault.Escape(o.format)).
			WithHint("--format md or --format html")
	}
	return checkTLS(o.smtpTLS)
}

// checkTLS refuses a mode that is none, or not safe.
func checkTLS(mode string) error {
	if mode == string(wire.Implicit) || mode == string(wire.STARTTLS) {
		return nil
	}
	return fault.New(fault.Usage, "there is no TLS mode %q", fault.Escape(mode)).
		WithHint("implicit speaks TLS from the first byte, starttls begins it later")
}

func (a *app) cards(
	ctx context.Context, accounts []*plan.Account, o handoverOptions,
) ([]handover.Card, error) {
	var senders handover.Senders
	if !o.noNetwork {
		senders.Finder.Resolver = net.DefaultResolver
	}
	var cards []handover.Card
	for _, account := range accounts {
		smtp, err := o.smtp(ctx, &senders, *account)
		if err != nil {
			return nil, err
		}
		if smtp == nil {
			a.say("note: %s: no SMTP server is known; --smtp-host names one", fault.Escape(account.Name))
		}
		cards = append(cards, handover.New(*account, smtp))
	}
	return cards, nil
}

func (o handoverOptions) smtp(
	ctx context.Context, s *handover.Senders, account plan.Account,
) (*handover.Server, error) {
	if o.smtpHost == "" {
		return s.Of(ctx, account)
	}
	return handover.Named(o.smtpHost, wire.TLSMode(o.smtpTLS), account.Destination.Owner())
}

func (o handoverOptions) writer() func(io.Writer, []handover.Card) error {
	if o.format == "html" {
		return handover.HTML
	}
	return handover.Markdown
}

// write puts each card into a file of its own, whose name can't leave the folder.
func (o handoverOptions) write(cards []handover.Card) (files []string, err error) {
	if err := os.MkdirAll(o.out, 0o700); err != nil {
		return nil, fault.New(fault.State, "make a folder for the cards: %w", err).
			WithHint("check that its parent exists and may be written to")
	}
	for i, card := range cards {
		path := filepath.Join(o.out, report.FileName(card.Account)+"."+o.format)
		err := report.WriteFile(path, func(w io.Writer) error { return o.writer()(w, cards[i:i+1]) })
		if err != nil {
			return nil, err
		}
		files = append(files, path)
	}
	return files, nil
}

// handed is the result of handover.
type handed struct {
	cards []handover.Card
	files []string // one for each card, or none
}

// JSON has all that is on the cards.
func (h handed) JSON() any {
	return struct {
		Version  int             `json:"version"`
		Files    []string        `json:"files"`
		Accounts []handover.Card `json:"accounts"`
	}{1, append([]string{}, h.files...), h.cards}
}

// notes are what was assumed for the cards.
func (h handed) notes() (list []report.Note) {
	for _, card := range h.cards {
		if !card.KnowsAddress() {
			list = append(list, report.Note{Account: card.Account, Text: fmt.Sprintf(
				"the new mail address is not known: the card has the user name %s in its place",
				fault.Escape(card.Address))})
		}
		if card.Login != "" {
			list = append(list, report.Note{Account: card.Account, Text: fmt.Sprintf(
				"the user name on the card is %s: it is assumed that %s is an administrator's login for it",
				fault.Escape(card.Incoming.Username), fault.Escape(card.Login))})
		}
	}
	return list
}

// Sheet says where each card is.
func (h handed) Sheet() report.Sheet {
	s := report.Sheet{Title: "popferry handover", Deed: true, Notes: h.notes(),
		Columns: []report.Column{{Name: "account"}, {Name: "card"}, {Name: "result"}}}
	for i, card := range h.cards {
		row := []report.Cell{cell(card.Account), cell(""), outcome("ok", fault.OK)}
		if i < len(h.files) {
			row[1] = cell(h.files[i])
		}
		if card.Outgoing == nil {
			row[2] = outcome("no SMTP server", fault.Held)
		}
		s.Rows = append(s.Rows, row)
	}
	s.Verdict = fmt.Sprintf("%s, without passwords.", report.Count(len(h.cards), "card"))
	return s
}
