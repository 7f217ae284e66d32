package foreign

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// readGetmailrc reads the configuration of one account of getmail: sections with names
// and values (getmail's documentation, Creating a getmail rc file).
func (l *List) readGetmailrc(data []byte) error {
	sections, lines, err := sectionsOf(string(data))
	if err != nil {
		return err
	}
	from := sections["retriever"]
	kind := from["type"]
	switch {
	case from == nil:
		return &Mistake{Text: "has no section [retriever]"}
	case !strings.Contains(kind, "POP3"):
		return &Mistake{Line: lines["retriever"], Text: "the retriever is none for POP3"}
	}
	a := &Account{Line: lines["retriever"]}
	a.set("source.host", from["server"])
	a.set("source.port", from["port"])
	a.set("source.username", from["username"])
	a.set("source.password", from["password"])
	a.Hosts = []string{from["server"]}
	if err := passwordCommand(a, from["password_command"]); err != nil {
		return &Mistake{Line: lines["retriever"], Text: err.Error()}
	}
	a.set("source.tls_ca", expandHome(from["ca_certs"]))
	if strings.Contains(kind, "SSL") {
		a.set("source.tls", "implicit")
	} else {
		startTLS(a, "getmail")
	}
	if a.numbers = strings.HasPrefix(kind, "BrokenUIDL"); a.numbers {
		a.note("getmail knew no UIDLs of this maildrop (%s): what it fetched and left there counts as new", kind)
	}
	if strings.Contains(kind, "Multidrop") {
		a.note("getmail sorts this maildrop's mail by its envelope to several users; here all of it goes to one folder")
	}
	if isTrue(from["use_apop"]) {
		a.set("source.auth", "apop")
	}
	if isTrue(from["use_xoauth2"]) {
		a.set("source.auth", "xoauth2")
	}
	if options := sections["options"]; isTrue(options["use_netrc"]) {
		a.note("the user name and the password in %s (use_netrc) are not taken over", cmp.Or(options["netrc_file"], "~/.netrc"))
	}
	a.noteLost(from, "keyfile", "certfile", "ssl_fingerprints", "ssl_cert_hostname", "ssl_version", "ssl_ciphers")
	a.noteLost(sections["options"], "max_message_size")
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		if strings.HasPrefix(section, "filter") {
			a.note("the filters are not taken over")
			a.unread = "getmail's filters may have dropped"
		}
	}
	l.Accounts = append(l.Accounts, a)
	return nil
}

// expandHome is the path that getmail and mpop mean by "~/file"; fetchmail means what is
// written. popferry takes no tilde for a home.
func expandHome(path string) string {
	rest, found := strings.CutPrefix(path, "~/")
	home, err := os.UserHomeDir()
	if !found || err != nil {
		return path
	}
	return filepath.Join(home, rest)
}

// isTrue reads a boolean as getmail does.
func isTrue(word string) bool {
	return slices.Contains([]string{"true", "yes", "on", "1"}, strings.ToLower(word))
}

// noteLost notes which of some settings the other program has a value for.
func (a *Account) noteLost(from map[string]string, names ...string) {
	for _, name := range names {
		switch {
		case from[name] == "":
		case slices.Contains([]string{"keyfile", "certfile", "tls_key_file", "tls_cert_file"}, name):
			a.note(noCertificate)
		default:
			a.note(notTaken, name)
		}
	}
}

var quotedWord = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'`)

// unescapePython undoes the escapes that a command needs inside of its quotes.
var unescapePython = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\'`, `'`)

// passwordCommand reads a tuple: ("program", "argument").
func passwordCommand(a *Account, text string) error {
	if text == "" {
		return nil
	}
	var words []string
	for _, match := range quotedWord.FindAllStringSubmatch(text, 100) {
		words = append(words, unescapePython.Replace(match[1]+match[2]))
	}
	if len(words) == 0 {
		return fmt.Errorf(`password_command must be words in quotes: ("program", "argument")`)
	}
	a.Values = append(a.Values, Value{Key: "source.password.command", Words: words})
	return nil
}

// sectionsOf reads a file of sections as Python's configparser does: [name], name = value or
// name: value, a line further in than that goes on with it, # and ; begin a comment.
func sectionsOf(text string) (sections map[string]map[string]string, lines map[string]int, err error) {
	sections, lines = map[string]map[string]string{}, map[string]int{}
	var section, name string
	number, level := 0, 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, " \t\r\n")
		trimmed := strings.TrimSpace(line)
		indent := len(line) - len(trimmed)
		header, ofSection := strings.CutPrefix(trimmed, "[")
		header, _, closed := strings.Cut(header, "]")
		switch {
		case trimmed == "" || strings.ContainsAny(trimmed[:1], "#;"):
			continue
		case len(line) > maxWord:
			return nil, nil, &Mistake{Line: number, Text: fmt.Sprintf("is longer than %d bytes", maxWord)}
		case indent > level && name != "":
			sections[section][name] += " " + trimmed
			continue
		case ofSection && closed && header != "":
			section, name = strings.ToLower(strings.TrimSpace(header)), ""
			sections[section], lines[section] = map[string]string{}, number
		default:
			at := strings.IndexAny(trimmed, "=:")
			if at < 0 || section == "" {
				return nil, nil, &Mistake{Line: number, Text: "must be a section in brackets, or name = value below one"}
			}
			name = strings.ToLower(strings.TrimSpace(trimmed[:at]))
			sections[section][name] = strings.TrimSpace(trimmed[at+1:])
		}
		level = indent
	}
	return sections, lines, nil
}

// readMpoprc reads the configuration of mpop: commands, one a line, which defaults and
// accounts collect; an account may inherit from others (mpop(1)).
func (l *List) readMpoprc(data []byte) error {
	r := &mpoprc{list: l, byName: map[string]map[string]string{}, parents: map[string]bool{}, current: map[string]string{}}
	r.defaults = r.current
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		if err := r.command(number, strings.TrimSpace(line)); err != nil {
			return &Mistake{Line: number, Text: err.Error()}
		}
	}
	for _, name := range r.order {
		r.account(name)
	}
	return nil
}

type mpoprc struct {
	list              *List
	byName            map[string]map[string]string
	order             []string
	lines             []int
	parents           map[string]bool // accounts from which others inherit
	defaults, current map[string]string
}

func (r *mpoprc) command(number int, line string) error {
	if line == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	name, value, _ := strings.Cut(line, " ")
	if tab := strings.IndexByte(name, '\t'); tab >= 0 {
		name, value = name[:tab], name[tab+1:]+" "+value
	}
	value = unquote(strings.TrimSpace(value))
	switch name = strings.ToLower(name); {
	case len(value) > maxWord:
		return fmt.Errorf("is longer than %d bytes", maxWord)
	case name == "defaults":
		r.current = r.defaults
	case name == "account":
		return r.start(number, value)
	case value == "" && slices.Contains(switches, name):
		r.current[name] = "on"
	default:
		r.current[name] = value
	}
	return nil
}

// switches are the commands of mpop that mean "on" where nothing follows them.
var switches = []string{"tls", "tls_starttls", "tls_certcheck"}

// unquote takes double quotes off; mpop knows no escapes inside of them.
func unquote(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}

// start begins an account: "name", or "name : parent, parent".
func (r *mpoprc) start(number int, value string) error {
	name, parents, _ := strings.Cut(value, ":")
	name = strings.TrimSpace(name)
	if name == "" || r.byName[name] != nil {
		return fmt.Errorf("an account needs a name of its own")
	}
	r.current = maps.Clone(r.defaults)
	for parent := range strings.SplitSeq(parents, ",") {
		if parent = strings.TrimSpace(parent); parent == "" {
			continue
		}
		if r.byName[parent] == nil {
			return fmt.Errorf("the account after the colon is none of those above")
		}
		r.parents[parent] = true
		maps.Copy(r.current, r.byName[parent])
	}
	r.byName[name] = r.current
	r.order, r.lines = append(r.order, name), append(r.lines, number)
	return nil
}

func (r *mpoprc) account(name string) {
	from := r.byName[name]
	if from["host"] == "" || from["eval"] != "" && from["user"] == "" {
		r.unusable(name)
		return
	}
	if name == "default" && r.named(from["host"], from["user"]) {
		return // "account default : name" only says which is meant without a name
	}
	a := &Account{Line: r.lines[slices.Index(r.order, name)], Hosts: []string{from["host"]}}
	if name != "default" {
		a.set("name", name)
	}
	a.set("source.host", from["host"])
	a.set("source.port", from["port"])
	a.set("source.username", from["user"])
	a.set("source.password", from["password"])
	if command := from["passwordeval"]; command != "" && from["password"] == "" {
		// mpop hands it to a shell.
		a.Values = append(a.Values, Value{Key: "source.password.command", Words: []string{"sh", "-c", command}})
	}
	switch {
	case from["tls"] == "on" && from["tls_starttls"] == "off":
		a.set("source.tls", "implicit")
	case from["tls"] == "on":
		a.set("source.tls", "starttls")
	default:
		startTLS(a, "mpop")
	}
	if trust := from["tls_trust_file"]; trust != "" && trust != "system" {
		a.set("source.tls_ca", expandHome(trust))
	}
	auth(a, from["auth"])
	if from["eval"] != "" {
		a.note("eval is not run: what its program would say in this account is not taken over")
	}
	if from["tls_certcheck"] == "off" {
		a.note(checkedHere)
	}
	a.noteLost(from, "tls_fingerprint", "tls_host_override", "tls_crl_file", "tls_priorities", "tls_key_file", "tls_cert_file",
		"filter", "killsize", "skipsize", "socket", "proxy_host", "source_ip")
	kills := from["killsize"] != "" && from["killsize"] != "off"
	if from["keep"] == "on" && (kills || from["filter"] != "") {
		a.unread = "filter or killsize had mpop pass over"
	}
	r.list.Accounts = append(r.list.Accounts, a)
}

// unusable says why an account is none to take over. One without a host may be there for
// others to inherit from, unless eval can give it one: then it may be an account of its own.
func (r *mpoprc) unusable(name string) {
	line := r.lines[slices.Index(r.order, name)]
	switch {
	case r.byName[name]["eval"] != "":
		r.list.bad(line, "host or user is missing, and eval is not run; write what its program says in its place")
	case !r.parents[name]:
		r.list.skip(line, "the account has no host")
	}
}

// named reports whether this maildrop is that of an account read before.
func (r *mpoprc) named(host, user string) bool {
	return slices.ContainsFunc(r.list.Accounts, func(a *Account) bool {
		return a.Get("source.host") == host && a.Get("source.username") == user
	})
}
