package imapdst

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/popferry/popferry/internal/fault"
)

// maxLevel bounds a name between two delimiters, in octets as the server writes it:
// most keep each in a file or a directory of that name.
const maxLevel = 255

// usable writes a level of a folder's name such that servers take it. What they
// refuse or understand in another way is written as "=" and its number in
// hexadecimal, and so is a "=" that could be mistaken for one of these: two names
// never become one. The first level may be one with more to it (RFC 3501 §5.1.1, §5.1.2).
func (l *layout) usable(level string, first bool) string {
	forbidden := "%*" + l.delimiter + l.shunned // wildcards of LIST, RFC 3501 §6.3.8
	escapes := forbidden + "=.~#"
	var b strings.Builder
	for i := range len(level) {
		c := level[i]
		switch {
		case strings.IndexByte(forbidden, c) >= 0,
			i == 0 && first && (c == '~' || c == '#'),
			i == 0 && (level == "." || level == ".."),
			c == '=' && isEscape(level[i:], escapes):
			fmt.Fprintf(&b, "=%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// isEscape reports whether a text begins like the escape of one of the characters.
func isEscape(text, of string) bool {
	if len(text) < len("=25") {
		return false
	}
	for i := range len(of) {
		if text[:len("=25")] == fmt.Sprintf("=%02X", of[i]) {
			return true
		}
	}
	return false
}

// mailbox is the server's name of a configured folder that has no special use.
func (l *layout) mailbox(w wanted) (string, error) {
	if l.delimiter == "" && len(w.parts) > 1 {
		return "", fault.New(fault.Config, "folder %q: this server has no folders in folders", w.name).
			WithHint("choose a name without /")
	}
	levels := make([]string, len(w.parts))
	for i, part := range w.parts {
		if levels[i] = part; !l.spelledOut(part) {
			levels[i] = l.usable(part, i == 0)
		}
		if len(encodeName(levels[i])) > maxLevel {
			return "", fault.New(fault.Config, "folder %q: a level of it has more than %d octets on this server",
				fault.Escape(w.name), maxLevel).WithHint("choose a shorter name")
		}
	}
	name := strings.Join(levels, l.delimiter)
	if w.parts[0] == inbox || l.spelledOut(name) {
		return name, nil
	}
	return l.prefix + name, nil
}

// cautious is the name in the form for servers that also refuse dots, such as Dovecot
// where a Maildir has them between its levels and names have another separator.
func (l *layout) cautious(w wanted) (string, error) {
	dotless := *l
	dotless.shunned = "."
	return dotless.mailbox(w)
}

// plain is the name as it would be if the server took every character, or "" where
// that means another folder.
func (l *layout) plain(w wanted) string {
	name := strings.Join(w.parts, l.delimiter)
	if l.spelledOut(name) || l.delimiter != "" && strings.Count(name, l.delimiter) != len(w.parts)-1 {
		return ""
	}
	if w.parts[0] == inbox {
		return name
	}
	return l.prefix + name
}

// placeholders are what stands for a date in a name, and what it may be.
var placeholders = strings.NewReplacer(`\{year\}`, `\d{4}`, `\{month\}`, `\d\d`)

// family matches the mailboxes that a name with placeholders may stand for.
func (l *layout) family(w wanted, mailbox string) *regexp.Regexp {
	names := placeholders.Replace(regexp.QuoteMeta(mailbox))
	if dotless, err := l.cautious(w); err == nil && w.use == "" {
		names += "|" + placeholders.Replace(regexp.QuoteMeta(dotless))
	}
	return regexp.MustCompile("^(" + names + ")$")
}
