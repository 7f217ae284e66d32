package discover

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/provider"
)

// Draft is an account as it is to stand in accounts.yaml.
type Draft struct {
	Name                string
	Source, Destination Side
	// DifferentUser says that the two user names are meant to differ.
	DifferentUser bool
}

// Side is one side of a draft.
type Side struct {
	Server   Server
	Username string
	// Provider is whose server it is; its ID is empty if nobody knows.
	Provider provider.Provider
	// Secret says where the password is; empty: the provider signs in with OAuth only.
	Secret Secret
}

// Secret is where a password is to be, by one of its two names.
type Secret struct{ Env, File string }

const preamble = `# Made by popferry init: look it over. What stands here was found out, and where
# from is said beside it; what is a guess may be wrong.
#
# The passwords are not in here. Give each where its account says, then:
#
#   popferry check      logs in to both sides, and says what is wrong
#   popferry plan       shows what would be copied; writes nothing anywhere
#   popferry run        copies it
#
# Nothing is deleted from POP3 as long as keep is forever.

accounts:
`

// Write writes an accounts.yaml, with a comment for the origin of each setting.
func Write(w io.Writer, drafts []Draft) error {
	var b bytes.Buffer
	b.WriteString(preamble)
	for _, d := range drafts {
		d.write(&b)
	}
	_, err := b.WriteTo(w)
	return err
}

func (d Draft) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "  - name: %s\n", quoted(d.Name))
	b.WriteString("    source:\n")
	d.Source.write(b, POP3)
	b.WriteString("    destination:\n")
	d.Destination.write(b, IMAP)
	if d.DifferentUser {
		b.WriteString("      different_user: true\n")
	}
	b.WriteString("    keep: forever              # what stays on POP3: forever | delivered | 30d\n\n")
}

func (s Side) write(b *bytes.Buffer, p Protocol) {
	comment(b, "from "+s.Server.Origin)
	for _, warning := range s.Server.Warnings {
		comment(b, "WARNING: "+warning)
	}
	fmt.Fprintf(b, "      host: %s\n      port: %d\n      tls: %s\n",
		quoted(s.Server.Host), s.Server.Port, s.Server.TLS)
	for _, hint := range Hints(s.Provider, p) {
		comment(b, hint)
	}
	fmt.Fprintf(b, "      username: %s\n", quoted(s.Username))
	if s.Secret == (Secret{}) {
		comment(b, "put the id of an application here that is registered with the provider, then popferry login")
		fmt.Fprintf(b, "      oauth: {provider: %s, client_id: YOUR-APPLICATION-ID}\n",
			s.Provider.Access.Service)
		return
	}
	fmt.Fprintf(b, "      password: %s\n", s.Secret)
}

// String is the secret's form in accounts.yaml.
func (s Secret) String() string {
	switch {
	case s.File != "":
		return "{file: " + quoted(s.File) + "}"
	case s.Env != "":
		return "{env: " + s.Env + "}"
	}
	return ""
}

// Hints are what the owner of an account has to know of a provider to sign in, and
// of what its server does in its own way.
func Hints(by provider.Provider, p Protocol) (list []string) {
	if by.ID == "" {
		return nil
	}
	if on := by.SwitchOn; on != nil && (on.POP3 && p == POP3 || on.IMAP && p == IMAP) {
		text := fmt.Sprintf("%s has to be switched on first: %s", p, on.Where)
		list = append(list, withPage(text, on.Page))
	}
	if text := SignIn(by); text != "" {
		list = append(list, withPage(text, by.Access.Page))
	}
	for _, q := range by.Quirks {
		if concerns(q.Flag, p) {
			list = append(list, "note: "+q.Text)
		}
	}
	return list
}

// concerns reports whether a quirk is to be told of with a protocol's server: it is not
// one of the other protocol, and was not said in other words.
func concerns(flag string, p Protocol) bool {
	switch kind, _, _ := strings.Cut(flag, "-"); kind {
	case "pop":
		return p == POP3
	case "imap":
		return p == IMAP
	case "no":
		return false
	}
	return flag != "switched-off-by-default" && flag != "own-mail-password" && flag != "oauth-only"
}

// SignIn says in words which password a provider wants, or "" if it is the usual.
func SignIn(by provider.Provider) string {
	called := by.Access.Called
	if called == "" {
		called = "app password"
	}
	switch by.Access.Password {
	case provider.AppPassword:
		return fmt.Sprintf("%s refuses the account's own password: make one for mail programs (%s)",
			by.Name, called)
	case provider.AppPasswordWith2FA:
		return fmt.Sprintf("%s: with two-factor sign-in, make a password for mail programs (%s)",
			by.Name, called)
	case provider.NoPassword:
		return by.Name + " takes no passwords from mail programs: OAuth only"
	}
	return ""
}

func withPage(text, page string) string {
	if page == "" {
		return text
	}
	return text + "; see " + page
}

// lineWidth is where comments are wrapped.
const lineWidth = 78

// comment writes a text as comment lines. It may come from elsewhere: nothing in it
// ends the comment, and nothing is longer or other than it looks.
func comment(b *bytes.Buffer, text string) {
	const start = "      #"
	column := len(start)
	b.WriteString(start)
	for _, word := range strings.FieldsFunc(text, unicode.IsSpace) {
		word = fault.Escape(word)
		if column > len(start) && column+1+len(word) > lineWidth {
			b.WriteString("\n" + start + " ")
			column = len(start) + 1
		}
		b.WriteString(" " + word)
		column += 1 + len(word)
	}
	b.WriteByte('\n')
}

// quoted writes a text so that YAML reads it as it is: plain where nothing in it
// could mean anything else, else as JSON, which is YAML.
func quoted(s string) string {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	plain := strings.Trim(s, letters+"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@/-") == ""
	if plain && strings.ContainsAny(s, ".@") && strings.Contains(letters, s[:1]) {
		return s
	}
	b, err := json.Marshal(s)
	if err != nil { // a string can always be marshalled
		return `""`
	}
	return string(b)
}

// Names makes the names of environment variables from those of accounts, such that
// no two are the same.
type Names struct{ used map[string]bool }

// Env is a name that was not given before.
func (n *Names) Env(account string, p Protocol) string {
	base := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= '0' && r <= '9', r >= 'A' && r <= 'Z':
			return r
		}
		return '_'
	}, account)
	return n.unique("MAIL_"+base[:min(len(base), maxPart)]+"_"+string(p), "_")
}

// File is the name of a file below secrets/ that was not given before.
func (n *Names) File(account string, p Protocol) string {
	base := strings.Map(func(r rune) rune {
		if r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)) || r == '@' || r == '.' {
			return unicode.ToLower(r)
		}
		return '_'
	}, account)
	base = strings.TrimLeft(base[:min(len(base), maxPart)], ".")
	return "secrets/" + n.unique(base+"-"+strings.ToLower(string(p)), "-")
}

// maxPart bounds the part of a name that the account makes.
const maxPart = 80

func (n *Names) unique(name, joint string) string {
	if n.used == nil {
		n.used = map[string]bool{}
	}
	unique := name
	for i := 2; n.used[unique]; i++ {
		unique = fmt.Sprint(name, joint, i)
	}
	n.used[unique] = true
	return unique
}
