package imapdst

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/fault"
)

// maxLevel bounds a name between two delimiters, in octets as the server writes it:
// most keep each in a file or a directory of that name.
const maxLevel = 255

// Forbidden is what a server is known to refuse in the levels of a folder's name. No
// command of IMAP asks for it. It has no letters and digits but in Names.
type Forbidden struct {
	// Characters are refused wherever they are.
	Characters string
	// Blanks are refused at either end, and one behind the other.
	Blanks bool
	// Names are refused as a whole, in any case.
	Names []string
}

// reserves reports whether a level is refused as a whole.
func (f Forbidden) reserves(level string) bool {
	return slices.ContainsFunc(f.Names, func(name string) bool { return strings.EqualFold(name, level) })
}

// blank reports whether a place in a level is that of a blank that is refused.
func (f Forbidden) blank(level string, i int) bool {
	return f.Blanks && level[i] == ' ' && (i == 0 || i == len(level)-1 || level[i-1] == ' ')
}

// usable writes a level of a folder's name such that servers take it. What they
// refuse or understand in another way is written as "=" and its number in
// hexadecimal, and so is a "=" that could be mistaken for one of these: two names
// never become one. One that is refused as a whole gets a "=" before it, so that LIST finds
// it by the same pattern. The first level may be one with more to it (RFC 3501 §5.1.1, §5.1.2).
func (l *layout) usable(level, delimiter string, first bool) string {
	if l.forbidden.reserves(level) {
		return "=" + level
	}
	forbidden := "%*" + delimiter + l.shunned + l.forbidden.Characters // wildcards of LIST, RFC 3501 §6.3.8
	escapes := forbidden + "=.~#"
	if l.forbidden.Blanks {
		escapes += " "
	}
	var b strings.Builder
	for i := range len(level) {
		c := level[i]
		switch {
		case strings.IndexByte(forbidden, c) >= 0,
			i == 0 && first && (c == '~' || c == '#'),
			i == 0 && (level == "." || level == ".."),
			i == 0 && c == '=' && l.forbidden.reserves(level[1:]),
			l.forbidden.blank(level, i),
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

// home is the namespace that a name is meant for: that of the prefix with which it begins,
// written with "/" between its levels or in the server's way (RFC 2342 §5), else the
// first of the user's own. A special use is looked for, and made, in that one alone.
func (l *layout) home(w wanted) (home space, spelledOut bool) {
	home = space{prefix: l.prefix, delimiter: l.delimiter, own: true}
	longest := 0
	for _, s := range l.spaces {
		if w.use == "" && len(s.prefix) > longest && strings.HasPrefix(w.in(s), s.prefix) {
			home, longest = s, len(s.prefix)
		}
	}
	return home, longest > 0
}

// in is the name with a namespace's delimiter between its levels.
func (w wanted) in(s space) string { return strings.Join(w.parts, s.delimiter) }

// mailbox is the server's name of a configured folder that has no special use.
func (l *layout) mailbox(w wanted) (string, error) {
	home, spelledOut := l.home(w)
	if home.delimiter == "" && len(w.parts) > 1 {
		return "", fault.New(fault.Config, "folder %q: this server has no folders in folders", w.name).
			WithHint("choose a name without /")
	}
	levels := make([]string, len(w.parts))
	at := 0 // where the level begins in the name
	for i, part := range w.parts {
		if levels[i] = part; !spelledOut || at >= len(home.prefix) {
			levels[i] = l.usable(part, home.delimiter, i == 0)
		}
		if len(encodeName(levels[i])) > maxLevel {
			return "", fault.New(fault.Config, "folder %q: a level of it has more than %d octets on this server",
				fault.Escape(w.name), maxLevel).WithHint("choose a shorter name")
		}
		at += len(part + home.delimiter)
	}
	return l.within(w, strings.Join(levels, home.delimiter)), nil
}

// asOwn is the name of a folder of the user's own that is called so, or "".
func (l *layout) asOwn(w wanted) string {
	alone := *l
	alone.spaces = slices.DeleteFunc(slices.Clone(l.spaces), func(s space) bool { return !s.own })
	mailbox, err := alone.mailbox(w)
	if err != nil {
		return ""
	}
	return mailbox
}

// within puts the prefix before a name that lacks it.
func (l *layout) within(w wanted, name string) string {
	home, spelledOut := l.home(w)
	if spelledOut || w.parts[0] == inbox {
		return name
	}
	return home.prefix + name
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
	home, _ := l.home(w)
	if home.delimiter != "" && strings.Count(w.in(home), home.delimiter) != len(w.parts)-1 {
		return ""
	}
	return l.literal(w)
}

// literal is the name with its levels as they were written.
func (l *layout) literal(w wanted) string {
	home, _ := l.home(w)
	return l.within(w, w.in(home))
}

// placeholders are what stands for a date in a name, and what it may be.
var placeholders = strings.NewReplacer(`\{year\}`, `\d{4}`, `\{month\}`, `\d\d`)

// family matches the mailboxes that a name with placeholders may stand for.
func (l *layout) family(w wanted, mailbox string) *regexp.Regexp {
	names := placeholders.Replace(regexp.QuoteMeta(mailbox))
	for _, other := range l.others(w, mailbox) {
		names += "|" + placeholders.Replace(regexp.QuoteMeta(other))
	}
	return regexp.MustCompile("^(" + names + ")$")
}

// others are the forms that a folder may have as well, because it was there before, or
// because the first was refused.
func (l *layout) others(w wanted, mailbox string) (forms []string) {
	if dotless, err := l.cautious(w); err == nil {
		forms = append(forms, l.under(w, mailbox, dotless))
	}
	if plain := l.plain(w); plain != "" {
		forms = append(forms, l.under(w, mailbox, plain))
	}
	return forms
}

// under is a form of a name for which the server says what its first level is called, if that
// has a special use: mailbox is another form of it, with that level.
func (l *layout) under(w wanted, mailbox, form string) string {
	home, _ := l.home(w)
	if w.use == "" || home.delimiter == "" {
		return form
	}
	below := len(w.parts) - 1
	root, levels := strings.Split(mailbox, home.delimiter), strings.Split(form, home.delimiter)
	if len(root) <= below || len(levels) <= below {
		return form
	}
	return strings.Join(append(root[:len(root)-below], levels[len(levels)-below:]...), home.delimiter)
}
