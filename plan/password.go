package plan

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/secret"
)

// passwordForms is what a message says instead of what it found.
const passwordForms = "text in quotes, {env: NAME}, {file: PATH}, {credential: NAME}, " +
	"{keyring: SERVICE} or {command: [PROGRAM, ARGUMENT]}"

// Limits of a password command.
const (
	maxArguments = 100
	maxArgument  = 4096
)

// Password says where a password is; it is not the password. The zero value
// means that there is none.
type Password struct {
	env, file, credential string
	keyring               keyringEntry
	command               []string
	inline                secret.Value
	path                  string // of the file in which it stands
	line, column          int
	// whole says that it is a file of many lines, all of which count.
	whole bool
	// base says that it stands in defaults, for all accounts that have no other.
	base bool
}

// keyringEntry names what the keyring of the desktop holds.
type keyringEntry struct{ service, user string }

// String says where the password is, for messages.
func (p Password) String() string {
	switch {
	case p.env != "":
		return "environment variable " + showVariable(p.env)
	case p.whole:
		return "key file " + fault.Escape(p.file)
	case p.file != "":
		return "password file " + fault.Escape(p.file)
	case p.credential != "":
		return "credential " + fault.Escape(p.credential)
	case p.keyring.service != "":
		return fmt.Sprintf("keyring entry of %s for user %s", fault.Escape(p.keyring.service),
			fault.Escape(p.keyring.user))
	case len(p.command) > 0:
		return "password command " + fault.Escape(p.command[0])
	case p.line > 0:
		return "in " + fault.Escape(filepath.Base(p.path))
	}
	return "none"
}

// Written reports whether the password itself stands in the file with the accounts.
func (p Password) Written() bool { return !p.inline.Empty() }

// showVariable repeats a name only if it is written as names of variables are:
// else it may be the password itself, put where the name belongs.
func showVariable(name string) string {
	const upper, digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_", "0123456789"
	if strings.Trim(name, upper+digits) == "" && strings.Trim(name[:1], upper) == "" {
		return name
	}
	return "(its name is not shown, as it could be the password itself)"
}

var (
	passwordSpec = &spec{what: "password", secret: true,
		keys: []string{"env", "file", "credential", "keyring", "command"}}
	keyringSpec = &spec{what: "keyring", secret: true, keys: []string{"service", "user"}}
)

// password reads one of the forms. It is one value: a form in the account
// replaces another one in defaults. A keyring keeps it for user, unless it is
// said for whom.
func (f fields) password(key, user string) Password {
	node := f.find(key)
	switch {
	case node == nil:
		f.missing(key, passwordForms)
		return Password{}
	case node.Kind == yaml.MappingNode:
		return f.passwordReference(node, key, user)
	case node.Kind != yaml.ScalarNode:
		f.problem(node, key, "must be %s, not a list", passwordForms)
		return Password{}
	}
	f.d.inlinePassword(node)
	if trap := scalarTrap(node); trap != "" {
		f.problem(node, key, "%s", trap)
		return Password{}
	}
	return Password{inline: secret.New(node.Value), path: f.d.fileOf(node), line: node.Line, column: node.Column}
}

// inlinePassword notes the first password that stands in each file.
func (d *decoder) inlinePassword(node *yaml.Node) {
	first := &d.inline
	if d.cells[node] {
		first = &d.inlineCell
	}
	if *first == nil {
		*first = node
	}
}

const emptyPassword = "is empty; it must be " + passwordForms

// scalarTrap says why a password is not what its author may think, or "".
func scalarTrap(node *yaml.Node) string {
	plain := node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|
		yaml.FoldedStyle) == 0
	switch {
	case isNull(node) && node.Value == "":
		return emptyPassword
	case node.ShortTag() != "!!str":
		return fmt.Sprintf("must be text, but YAML reads it as %s; put it in single quotes",
			kindOf(node))
	case plain && isOldBool(node.Value):
		return "must be text, but YAML may read it as true or false; put it in single quotes"
	case plain && node.LineComment != "":
		return "is followed by a comment (#); put the password in single quotes, " +
			"so that it is clear where it ends"
	case node.Value == "":
		return emptyPassword
	case strings.ContainsAny(node.Value, "\r\n\x00"):
		return "contains a line break or a NUL; no mail server takes one in a password"
	case len(node.Value) > maxSecret:
		return fmt.Sprintf("is longer than %d bytes; it must be shorter", maxSecret)
	}
	return ""
}

// isOldBool reports the words that are truth values in YAML 1.1 but text to our
// parser: the next editor or program to read the file may differ.
func isOldBool(s string) bool {
	return slices.Contains([]string{"y", "n", "yes", "no", "on", "off"}, strings.ToLower(s))
}

func (f fields) passwordReference(node *yaml.Node, key, user string) Password {
	inner := fields{d: f.d, path: f.path + key + ".", at: node,
		layers: []*mapping{f.d.mapping(node, passwordSpec)}}
	p := Password{
		env:        inner.variable("env"),
		file:       f.d.absolute(inner.optional("file")),
		credential: inner.credential("credential"),
		keyring:    inner.keyring("keyring", user),
		command:    inner.command("command", "[pass, show, mail/alice]"),
	}
	if len(node.Content) != 2 { // one key and its value
		f.problem(node, key, "must be exactly one of %s", passwordForms)
		return Password{}
	}
	p.path, p.line, p.column, p.base = f.d.fileOf(node), node.Line, node.Column, f.d.fromDefaults(node)
	return p
}

// fromDefaults reports whether a node of an account stands in defaults, which are
// read first.
func (d *decoder) fromDefaults(node *yaml.Node) bool {
	d.base[node] = d.base[node] || d.draft
	return d.base[node]
}

func (f fields) variable(key string) string {
	name, node := f.text(key)
	if node != nil && strings.ContainsFunc(name, notNameRune) {
		f.problem(node, key, "must be the name of an environment variable, such as ALICE_POP")
		return ""
	}
	return name
}

func notNameRune(r rune) bool {
	return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// credential reads a name that systemd takes for a credential: it becomes the name
// of a file.
func (f fields) credential(key string) string {
	name, node := f.text(key)
	if node != nil && (len(name) > 255 || name == "." || name == ".." ||
		strings.ContainsFunc(name, notCredentialRune)) {
		f.problem(node, key, "must be the name of a credential of the systemd unit, such as alice-pop")
		return ""
	}
	return name
}

func notCredentialRune(r rune) bool { return r < ' ' || r > '~' || r == '/' || r == ':' }

// keyring reads a service, or a service and a user.
func (f fields) keyring(key, user string) keyringEntry {
	node := f.find(key)
	if node == nil || node.Kind != yaml.MappingNode {
		service, _ := f.text(key)
		return keyringEntry{service, user}
	}
	inner := fields{d: f.d, path: f.path + key + ".", at: node,
		layers: []*mapping{f.d.mapping(node, keyringSpec)}}
	entry := keyringEntry{user: user}
	entry.service, _ = inner.required("service", "the service that the keyring has it under")
	if name, node := inner.text("user"); node != nil {
		entry.user = name
	}
	return entry
}

// command reads a program and its arguments, of which example is one.
func (f fields) command(key, example string) []string {
	node := f.find(key)
	if node == nil {
		return nil
	}
	if node.Kind != yaml.SequenceNode || len(node.Content) == 0 ||
		len(node.Content) > maxArguments {
		f.problem(node, key, "must be a list of the program and its arguments, "+
			"such as %s; no shell reads it", example)
		return nil
	}
	argv := make([]string, 0, len(node.Content))
	for _, item := range node.Content {
		item = resolveAlias(item)
		if item.Kind != yaml.ScalarNode || item.ShortTag() != "!!str" ||
			len(item.Value) > maxArgument || strings.Contains(item.Value, "\x00") {
			f.problem(item, key, "takes texts; put this argument in quotes")
			continue
		}
		argv = append(argv, item.Value)
	}
	if len(argv) > 0 && argv[0] == "" {
		f.problem(node, key, "must start with the name of a program")
	}
	return argv
}
