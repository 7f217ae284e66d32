// Package foreign turns the account lists of other programs into an accounts.yaml, and
// what they remember of mail that they fetched into lists that popferry understands.
//
// [Read] takes one file: a CSV table, a fetchmailrc, getmailrc or mpoprc, or an
// imapsync list. Whatever it is, an account becomes values by key, the keys being those
// of accounts.yaml written in one ("source.host"). [ReadSeen] takes the UIDLs that
// fetchmail, getmail and mpop keep. [List.Complete] adds the servers that are known of
// large providers, [List.Settle] names and defaults, and [List.Write] makes the new file.
//
// What can't be taken over is never dropped in silence: it is a comment at its account,
// or a mistake with the line that it is in. Nothing is ever taken to mean that mail may
// be deleted from POP3: those programs delete by other rules.
package foreign

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sheet"
)

// Formats are the words for what [Read] can read.
var Formats = []string{"csv", "fetchmailrc", "getmailrc", "mpoprc", "imapsync"}

const (
	// maxFile bounds a configuration of another program, in octets.
	maxFile = 16 << 20
	// maxWord bounds one of its values.
	maxWord = 4096
)

// ErrSeen is that of [Read] for a file that is for [ReadSeen].
var ErrSeen = errors.New("is no list of accounts, but of mail that was fetched")

// Mistake says what is wrong with a file, and in which line; 0 means all of it. It
// never repeats a value, which may be a password.
type Mistake = sheet.Mistake

// Value is one value of an account: a text, or the words of a command.
type Value struct {
	Key   string // as in accounts.yaml, levels joined by dots
	Text  string
	Words []string
}

// Account is what a list says of one account.
type Account struct {
	// File is the list that it is from, as it was named to Read.
	File string
	// Line is where it starts in its file, from 1.
	Line int
	// Values are in the order in which they were found; the first of a key counts.
	Values []Value
	// Notes say what could not be taken over.
	Notes []string
	// Hosts are other names of the source, under which fetched mail may be remembered.
	Hosts []string
	// Seen are the UIDLs of mail that the other program has fetched.
	Seen []string
	// Elsewhere is one whose provider has the source, though settings name a host.
	Elsewhere bool
	// Unseen is one of which nothing is remembered, though that of others is.
	Unseen bool

	microsoft bool // destination.username is the EmailAddress of Microsoft's lists

	// unread says which mail the other program remembers as fetched though nobody got it.
	unread string

	secrets int  // passwords for which Settle named a file
	numbers bool // getmail told its messages apart by their numbers, for want of UIDLs
}

// Get returns the text of a key, or "".
func (a *Account) Get(key string) string {
	i := slices.IndexFunc(a.Values, func(v Value) bool { return v.Key == key })
	if i < 0 {
		return ""
	}
	return a.Values[i].Text
}

// Said returns the text of a key, or what settings say for all accounts, or "".
func (a *Account) Said(key string, settings []Setting) string {
	return cmp.Or(a.Get(key), defaultsOf(settings).Get(key))
}

// has reports whether a key, or one below it, has a value.
func (a *Account) has(key string) bool {
	return slices.ContainsFunc(a.Values, func(v Value) bool {
		return v.Key == key || strings.HasPrefix(v.Key, key+".")
	})
}

// set gives a key its value; what it had before does not count any more.
func (a *Account) set(key, text string) {
	if text != "" {
		a.unset(key)
		a.Values = append(a.Values, Value{Key: key, Text: text})
	}
}

// Fetched reports whether its program fetches mail over POP3, and remembers what.
func (a *Account) Fetched() bool { return len(a.Hosts) > 0 && !a.numbers }

func (a *Account) unset(key string) {
	a.Values = slices.DeleteFunc(a.Values, func(v Value) bool { return v.Key == key })
}

// trim takes blanks off that cells of spreadsheets have around a name, unseen: also those
// that are no ASCII. In a password they may be meant.
func (a *Account) trim() {
	for _, key := range trimmed {
		text := a.Get(key)
		name := strings.TrimSpace(text)
		if name == text {
			continue
		}
		a.note("blanks around %s are left out", key)
		a.unset(key)
		a.set(key, name)
	}
}

var trimmed = []string{"name", "source.host", "source.username", "destination.host", "destination.username"}

// Notes that are due of several programs.
const (
	notTaken      = "%s is not taken over"
	noCertificate = "the client certificate is not taken over; see tls_cert"
	checkedHere   = "certificates went unchecked; popferry checks them: see tls_ca and tls_pin"
)

func (a *Account) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(a.Notes, text) {
		a.Notes = append(a.Notes, text)
	}
}

// Bad says what is wrong with an account of a list, or with all of it.
type Bad struct {
	// File is the list; empty for what all accounts share.
	File string
	Mistake

	account *Account // nil for what is no account yet, or all of them
}

// Error gives "users.csv:7: text".
func (b Bad) Error() string {
	switch {
	case b.File == "":
		return b.Text
	case b.Line == 0:
		return fmt.Sprintf("%s: %s", fault.Escape(b.File), b.Text)
	}
	return fmt.Sprintf("%s:%d: %s", fault.Escape(b.File), b.Line, b.Text)
}

// List is what one file holds, or several.
type List struct {
	name     string // of the file that is being read
	Accounts []*Account
	// Bad are accounts that can't be used.
	Bad []Bad
	// More is how many mistakes the last Check found and did not tell.
	More int
	// Skipped says of what else was there why it is not in Accounts.
	Skipped []Bad
}

// Secrets counts the passwords that no list had: their files are still to be made.
func (l *List) Secrets() (n int) {
	for _, a := range l.Accounts {
		n += a.secrets
	}
	return n
}

func (l *List) bad(line int, format string, args ...any) {
	l.add(&Mistake{Line: line, Text: fmt.Sprintf(format, args...)})
}

func (l *List) skip(line int, why string) {
	l.Skipped = append(l.Skipped, Bad{File: l.name, Mistake: Mistake{Line: line, Text: why}})
}

func (l *List) add(m *Mistake) { l.Bad = append(l.Bad, Bad{File: l.name, Mistake: *m}) }

// Join adds what another list holds.
func (l *List) Join(other *List) {
	l.Accounts = append(l.Accounts, other.Accounts...)
	l.Bad = append(l.Bad, other.Bad...)
	l.Skipped = append(l.Skipped, other.Skipped...)
}

// Read reads a list. An empty format is found out from the name of the file and from
// what is in it. What makes it no list at all is a *[Mistake], or [ErrSeen].
func Read(name, format string, r io.Reader) (*List, error) {
	data, err := io.ReadAll(io.LimitReader(r, sheet.MaxFile+1))
	if err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if format == "" {
		format = guess(name, data)
	}
	list := &List{name: name}
	parse := map[string]func([]byte) error{"csv": list.readCSV, "imapsync": list.readImapsync,
		"fetchmailrc": list.readFetchmailrc, "getmailrc": list.readGetmailrc, "mpoprc": list.readMpoprc}[format]
	switch {
	case format != "csv" && sheet.IsUTF16(data):
		return nil, &Mistake{Text: "is UTF-16; save it as UTF-8"}
	case parse == nil && isSeen(data):
		return nil, ErrSeen
	case parse == nil:
		return nil, &Mistake{Text: "it is not clear what it is; say --format " + strings.Join(Formats, ", ")}
	case format != "csv" && len(data) > maxFile:
		return nil, &Mistake{Text: fmt.Sprintf("is larger than %d MB; is it a %s?", maxFile>>20, format)}
	case format != "csv" && bytes.IndexByte(data, 0) >= 0:
		return nil, &Mistake{Text: "holds a NUL: it is no text"}
	}
	if err := parse(data); err != nil {
		return nil, err
	}
	for _, a := range list.Accounts {
		a.File = name
		a.trim()
	}
	list.refuseOtherLetters()
	if len(list.Accounts)+len(list.Bad) == 0 {
		return nil, list.nothing()
	}
	return list, nil
}

// nothing says why a list has no account.
func (l *List) nothing() *Mistake {
	if len(l.Skipped) == 0 {
		return &Mistake{Text: "has no POP3 account"}
	}
	first := l.Skipped[0]
	return &Mistake{Line: first.Line, Text: "has no POP3 account to take over: " + first.Text}
}

// guess finds out what a file is, or returns "".
func guess(name string, data []byte) string {
	base := strings.ToLower(filepath.Base(name))
	for _, rc := range []string{"fetchmailrc", "getmailrc", "mpoprc"} {
		if strings.Contains(base, rc) {
			return rc
		}
	}
	first := firstLine(data)
	entry := hasWord([]byte(first), "poll", "skip", "set", "defaults") // what fetchmail separates means nothing
	top, _, _ := strings.Cut(string(data[:min(len(data), 200)]), "\n")
	switch {
	case isImapsyncHeader(strings.Split(strings.TrimLeft(top, "# "), ";")): // spreadsheets keep it, too
		return "imapsync"
	case strings.HasSuffix(base, ".csv"):
		return "csv"
	case hasLine(data, "[retriever]"):
		return "getmailrc"
	case !entry && strings.Count(first, ";") >= 5:
		return "imapsync"
	case !entry && strings.ContainsAny(first, ",;\t"):
		return "csv"
	case hasWord(data, "poll", "skip", "server"):
		return "fetchmailrc"
	case hasWord(data, "account", "defaults"):
		return "mpoprc"
	}
	return ""
}

// firstLine returns the first line that is neither empty nor a comment.
func firstLine(data []byte) string {
	for line := range strings.Lines(string(data[:min(len(data), 64<<10)])) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return ""
}

func hasLine(data []byte, want string) bool {
	for line := range bytes.Lines(data) {
		if strings.EqualFold(string(bytes.TrimSpace(line)), want) {
			return true
		}
	}
	return false
}

// hasWord reports whether a line begins with one of the words.
func hasWord(data []byte, words ...string) bool {
	for line := range bytes.Lines(data) {
		fields := strings.Fields(string(line[:min(len(line), 200)]))
		if len(fields) > 0 && slices.Contains(words, strings.ToLower(fields[0])) {
			return true
		}
	}
	return false
}
