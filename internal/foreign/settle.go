package foreign

import (
	"fmt"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// Setting is a value that the list does not have: for all accounts alike, or made from
// what each has.
type Setting struct{ Key, Value string }

// ParseSetting reads KEY=VALUE, the key as in accounts.yaml with dots between levels.
func ParseSetting(text string) (Setting, error) {
	key, value, found := strings.Cut(text, "=")
	key = strings.TrimSpace(key)
	first, _, nested := strings.Cut(key, ".")
	switch {
	case !found || value == "":
		return Setting{}, fmt.Errorf("must be KEY=VALUE, such as destination.host=imap.example.net")
	case !nested && (first == "source" || first == "destination"), !slices.Contains(order[""], first):
		return Setting{}, fmt.Errorf("there is no key %.40q; it must be one of an account, such as destination.host", key)
	}
	return Setting{key, value}, nil
}

// shared reports whether a setting is the same for all.
func (s Setting) shared() bool { return !strings.ContainsAny(s.Value, "{}") }

// Settle makes the accounts [List.Complete], and gives them names of their own and what
// follows from the rest. What each still lacks is for the reader of the new file to say.
func (l *List) Settle(settings []Setting) error {
	if err := l.Complete(settings); err != nil {
		return err
	}
	taken, files := map[string]bool{}, map[string]bool{}
	var bad []Bad
	for _, a := range l.Accounts {
		sets := func(key string) bool {
			return a.has(key) || slices.ContainsFunc(settings, func(s Setting) bool { return below(s.Key, key) })
		}
		if a.microsoft && !sets("destination.username") { // the old mailbox's may be another person's here
			bad = append(bad, a.bad("has no EmailAddress, which says whose mailbox it goes to"))
			continue
		}
		a.nameIt(taken)
		file := fileName(a.Get("name"), files)
		if len(a.Seen) > 0 {
			a.set("source.skip_uidls", "seen/"+file)
		}
		if !sets("destination.username") {
			a.set("destination.username", a.person())
		}
		for _, side := range []string{"source", "destination"} {
			if !sets(side+".password") && !sets(side+".oauth") {
				a.set(side+".password.file", "secrets/"+file+"-"+side)
				a.secrets++
			}
		}
	}
	l.Drop(bad)
	l.noteNamesakes(settings)
	return nil
}

// noteNamesakes tells where two accounts, which may be two people's, lead to one folder. What
// settings say is one mailbox for all is meant so.
func (l *List) noteNamesakes(settings []Setting) {
	first := map[string]*Account{}
	for _, a := range l.Accounts {
		user := a.Get("destination.username")
		if user == "" || a.Said("destination.different_user", settings) != "" {
			continue
		}
		to := strings.ToLower(user + " " + a.Said("destination.host", settings) + " " + a.Said("folder", settings))
		if other := first[to]; other != nil {
			a.note("the mail of %s goes to the same folder: is that one person?", fault.Escape(other.Get("name")))
			continue
		}
		first[to] = a
	}
}

// person is the source's user name without Gmail's "recent:", which no other server knows.
func (a *Account) person() string {
	user := a.Get("source.username")
	if (plan.Endpoint{Username: user}).Recent() {
		_, user, _ = strings.Cut(user, ":")
	}
	return user
}

func below(key, parent string) bool { return key == parent || strings.HasPrefix(key, parent+".") }

// expand puts an account's own values in the place of {source.username} and the like;
// {local} is its person's name up to the "@".
func (a *Account) expand(pattern string) (string, error) {
	var b strings.Builder
	for pattern != "" {
		before, rest, found := strings.Cut(pattern, "{")
		b.WriteString(before)
		if !found {
			break
		}
		name, rest, closed := strings.Cut(rest, "}")
		value := a.Get(name)
		if name == "local" {
			value, _, _ = strings.Cut(a.person(), "@")
		}
		if !closed || value == "" {
			return "", &Mistake{Line: a.Line, Text: fmt.Sprintf("has no value for {%.40s}; there are {local} and what "+
				"the list has, such as {source.username}", name)}
		}
		b.WriteString(value)
		pattern = rest
	}
	return b.String(), nil
}

// nameIt gives an account a name of its own: that of the list, else its user name, and
// with its host where several have the same.
func (a *Account) nameIt(taken map[string]bool) {
	name := a.Get("name")
	if name == "" {
		if name = a.person(); taken[name] {
			name += "@" + a.Get("source.host")
		}
		if name == "" {
			return
		}
		a.Values = slices.Insert(a.Values, 0, Value{Key: "name", Text: name})
	}
	taken[name] = true
}

// fileName makes a name of a file from that of an account, and one that none of the
// others has, on systems that tell case and on those that do not.
func fileName(name string, taken map[string]bool) string {
	safe := strings.Map(func(r rune) rune {
		if r == '@' || r == '.' || r == '-' || r == '+' || r == '_' ||
			r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, name)
	safe = strings.TrimLeft(safe, ".-")
	safe = safe[:min(len(safe), 100)]
	unique := safe
	for n := 2; taken[strings.ToLower(unique)]; n++ {
		unique = fmt.Sprintf("%s-%d", safe, n)
	}
	taken[strings.ToLower(unique)] = true
	return unique
}
