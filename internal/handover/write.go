package handover

import (
	"embed"
	htmltemplate "html/template"
	"io"
	"strings"
	"text/template"

	"github.com/popferry/popferry/internal/fault"
)

//go:embed card.md card.html
var pages embed.FS

// client is what a mail program calls the end of checking an account.
type client struct{ Name, Stop string }

// clients are where the old account stays and is asked no more.
var clients = []client{
	{"Outlook (classic, Windows)", "Send / Receive › Send/Receive Groups › Define Send/Receive Groups › Edit: " +
		"choose the old account and untick “Receive mail items”."},
	{"Thunderbird", "Account Settings › Server Settings of the old account: untick “Check for new messages " +
		"at startup” and “Check for new messages every … minutes”."},
	{"Apple Mail (Mac)", "Mail › Settings › Accounts › the old account: untick “Include when automatically " +
		"checking for new messages”. Leave “Enable this account” ticked, or its mail is hidden."},
	{"iPhone and iPad", "Settings › Apps › Mail › Mail Accounts › Fetch New Data (on older ones Settings › " +
		"Mail › Accounts › Fetch New Data): set the old account to Manual."},
	{"Android (Gmail app)", "Settings › the old account › Sync frequency: Never."},
}

// Markdown writes cards as text.
func Markdown(w io.Writer, cards []Card) error {
	t, err := template.New("card.md").Funcs(template.FuncMap{"code": code, "clients": programs}).
		ParseFS(pages, "card.md")
	if err != nil {
		return err
	}
	return t.Execute(w, cards)
}

// HTML writes cards as one page, each on a sheet of its own when it is printed.
func HTML(w io.Writer, cards []Card) error {
	t, err := htmltemplate.New("card.html").
		Funcs(htmltemplate.FuncMap{"safe": fault.Escape, "clients": programs}).ParseFS(pages, "card.html")
	if err != nil {
		return err
	}
	return t.Execute(w, cards)
}

func programs() []client { return clients }

// code is a text between backticks, more of them than are in a row in it
// (CommonMark §6.1), so that nothing in it is taken for a mark.
func code(s string) string {
	s = fault.Escape(s)
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if len(fence) > 1 || s == "" {
		s = " " + s + " "
	}
	return fence + s + fence
}
