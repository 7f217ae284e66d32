package plan

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/popferry/popferry/internal/fault"
)

// MaxFile bounds accounts.yaml, in octets.
const MaxFile = 10 << 20

// Defaults of the whole file.
const (
	defaultAccounts = 8
	defaultPerHost  = 4
	defaultSettle   = 90 * time.Second
	mostAtOnce      = 1000    // more connections than this is a typing mistake
	mostAccounts    = 100_000 // aliases can make a short file mean a long list
)

// Load reads accounts.yaml. Every mistake in it is in the error, an [*Errors]
// with code Config; the code is Credentials if all that is wrong is that the file
// holds a password and others can read it. The passwords themselves are read
// later, by [Config.Resolve]; but if something is wrong already, what a look shows
// of the passwords of the named accounts, of all for no names, is told with it.
func Load(path string, names ...string) (*Config, error) {
	file, err := openPrompt(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, MaxFile+1))
	if err != nil {
		return nil, unreadable(path, err)
	}
	d := newDecoder(path)
	d.open = openPrompt
	config := d.decode(data)
	info, err := file.Stat()
	if err != nil {
		return nil, unreadable(path, err)
	}
	d.exposed(d.inline, loose(path, info))
	d.exposed(d.inlineCell, d.rosterLoose)
	if config != nil && len(d.problems.list) > 0 {
		config.foretell(names, &d.problems)
	}
	if err := d.problems.err(); err != nil {
		return nil, err
	}
	return config, nil
}

// exposed notes that a file with a password in it is open to others.
func (d *decoder) exposed(password *yaml.Node, why string) {
	if password != nil && why != "" {
		d.add(&Problem{File: d.fileOf(password), Line: password.Line, Column: password.Column,
			Text: "the file holds a password and " + why, Code: fault.Credentials})
	}
}

// Parse is [Load] for the contents of a file that is named path; nothing is
// read, so nobody's permissions are checked, and accounts_from is refused.
func Parse(path string, data []byte) (*Config, error) { return parse(path, data, false) }

// ParseAll is [Parse], and tells all problems, however many there are.
func ParseAll(path string, data []byte) (*Config, error) { return parse(path, data, true) }

func parse(path string, data []byte, all bool) (*Config, error) {
	d := newDecoder(path)
	d.problems.all = all
	config := d.decode(data)
	if err := d.problems.err(); err != nil {
		return nil, err
	}
	return config, nil
}

func unreadable(path string, err error) error {
	text := "cannot be read: " + reason(err)
	if errors.Is(err, fs.ErrNotExist) {
		text = "there is no such file; --config FILE names another one"
	}
	return &Errors{Problems: []*Problem{{File: path, Text: text, Code: fault.Config}}}
}

// decoder reads one file and collects what is wrong with it.
type decoder struct {
	path     string
	dir      string // relative paths count from here
	problems collector
	account  string // whose mapping is being read, for messages
	draft    bool   // defaults are being read on their own: nothing is missing
	mappings map[checked]*mapping
	base     map[*yaml.Node]bool // passwords that stand in defaults
	inline   *yaml.Node          // the first password that stands in the file

	// The file of accounts_from: how to open it, its path, why it is open to others,
	// the nodes whose places are in it, and the first password that stands there.
	open        func(path string) (*os.File, error)
	rosterPath  string
	rosterLoose string
	cells       map[*yaml.Node]bool
	inlineCell  *yaml.Node
}

func newDecoder(path string) *decoder {
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil { // no working directory: relative paths stay relative to it
		dir = filepath.Dir(path)
	}
	return &decoder{path: path, dir: dir, mappings: make(map[checked]*mapping),
		base: make(map[*yaml.Node]bool), cells: make(map[*yaml.Node]bool)}
}

// problem notes a mistake at a node; nil means the file as a whole.
func (d *decoder) problem(at *yaml.Node, format string, args ...any) *Problem {
	p := &Problem{Text: fmt.Sprintf(format, args...), Code: fault.Config}
	if at != nil {
		p.File, p.Line, p.Column = d.fileOf(at), at.Line, at.Column
	}
	d.add(p)
	return p
}

// fileOf is the file in which a node has its place.
func (d *decoder) fileOf(node *yaml.Node) string {
	if d.cells[node] {
		return d.rosterPath
	}
	return d.path
}

func (d *decoder) add(p *Problem) {
	p.Account = d.account
	if p.File == "" {
		p.File = d.path
	}
	d.problems.add(p)
}

var (
	rootSpec = &spec{what: "the file", bare: true,
		keys: []string{"accounts", "accounts_from", "template", "defaults", "limits", "settle",
			"bridge"}}
	accountSpec = &spec{what: "account", bare: true,
		keys: []string{"name", "source", "destination", "folder", "routes", "keep", "seen", "repair", "bridge"}}
	defaultsSpec = &spec{what: "defaults", bare: true, keys: accountSpec.keys[1:]}
)

// decode returns what the file means; it is of use only if there are no problems.
func (d *decoder) decode(data []byte) *Config {
	if len(data) > MaxFile {
		d.problem(nil, "is larger than %d MB; is it an accounts.yaml?", MaxFile>>20)
		return nil
	}
	root := d.parseYAML(data)
	if root == nil {
		return nil
	}
	whole := d.mapping(root, rootSpec)
	if whole.wrong() {
		return nil
	}
	top := fields{d: d, at: root, layers: []*mapping{whole}}
	config := &Config{
		Path:   d.path,
		Limits: d.limits(top),
		Settle: top.age("settle", defaultSettle),
		Bridge: d.bridge(top),
	}
	config.Accounts = d.accounts(top)
	config.Hash = hashAccounts(config.Accounts)
	return config
}

func (d *decoder) accounts(top fields) []Account {
	base := d.defaults(top)
	items := d.items(top)
	if len(items) > mostAccounts {
		d.problem(top.find("accounts"), "more than %d accounts; split the file", mostAccounts)
		return nil
	}
	across := newCrossCheck(d)
	accounts := make([]Account, 0, len(items))
	for i, item := range items {
		item = resolveAlias(item)
		d.account = accountLabel(item, i)
		own := d.mapping(item, accountSpec)
		if own.wrong() {
			continue
		}
		layers := []*mapping{own}
		if base != nil {
			layers = append(layers, base)
		}
		f := fields{d: d, at: item, layers: layers}
		account := d.decodeAccount(f)
		account.Pace = d.pace(top, f)
		across.check(f, account)
		accounts = append(accounts, account)
	}
	d.account = ""
	findTogether(accounts)
	countShared(accounts)
	return accounts
}

// items returns what is to be read as accounts.
func (d *decoder) items(top fields) []*yaml.Node {
	list, from := top.find("accounts"), top.find("accounts_from")
	rows := d.roster(top)
	switch {
	case list == nil && (top.guessed("accounts") || len(rows) > 0):
		return rows
	case list == nil && from != nil:
		if len(d.problems.list) == 0 {
			d.problem(from, "accounts_from: the file has no account; each row below its header is one")
		}
		return nil
	case list != nil && list.Kind == yaml.SequenceNode && len(list.Content)+len(rows) > 0:
		return append(slices.Clone(list.Content), rows...)
	}
	at := list
	if at == nil {
		at = top.at
	}
	d.problem(at, "accounts must be a list with at least one account; "+
		`each starts with "- "`)
	return nil
}

// defaults checks what is laid under every account, once and on its own.
func (d *decoder) defaults(top fields) *mapping {
	node := top.find("defaults")
	if node == nil {
		return nil
	}
	d.account, d.draft = "defaults", true
	base := d.mapping(node, defaultsSpec)
	d.decodeAccount(fields{d: d, at: node, layers: []*mapping{base}})
	d.account, d.draft = "", false
	return base
}

// accountLabel names an account before anything in it was checked.
func accountLabel(item *yaml.Node, index int) string {
	name := rawText(item, "name")
	if name == "" {
		if source := rawValue(item, "source"); source != nil {
			name = cmp.Or(rawText(source, "authorize_as"), rawText(source, "username"))
		}
	}
	if name == "" {
		return "account " + strconv.Itoa(index+1)
	}
	return `account "` + fault.Escape(name) + `"`
}

func rawText(node *yaml.Node, key string) string {
	value := rawValue(node, key)
	if value == nil || value.Kind != yaml.ScalarNode || isNull(value) {
		return ""
	}
	return value.Value
}

func rawValue(node *yaml.Node, key string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return resolveAlias(node.Content[i+1])
		}
	}
	return nil
}
