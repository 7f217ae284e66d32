package plan

import (
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/internal/wire"
)

const (
	defaultFolder      = "INBOX"
	defaultConnections = 4
)

// side is what differs between source and destination.
type side struct {
	spec          *spec
	tlsPort, port int
	auth          []string
	oauthName     string // the protocol in the names of scopes
}

var (
	sideKeys = []string{"host", "port", "tls", "tls_ca", "tls_pin", "tls_cert", "tls_key", "proxy", "proxy_password",
		"source_address", "username", "authorize_as", "password", "oauth", "auth", "allow_plaintext"}
	sourceSpec      = &spec{what: "source", keys: slices.Concat(sideKeys, []string{"skip_uidls"})}
	destinationSpec = &spec{what: "destination",
		keys: slices.Concat(sideKeys, []string{"connections", "different_user"})}
	sourceSide      = side{sourceSpec, 995, 110, slices.Concat(saslWords, popWords), "POP"}
	destinationSide = side{destinationSpec, 993, 143, saslWords, "IMAP"}
	seenSpec        = &spec{what: "seen", keys: []string{"older_than"}}

	// saslWords are ways to log in on both sides, popWords those of POP3 alone.
	saslWords = []string{"auto", "plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256",
		"xoauth2", "oauthbearer", external}
	popWords = []string{"user", "apop"}
)

// external is the login by a certificate.
const external = "external"

func (d *decoder) decodeAccount(f fields) Account {
	to := f.sub("destination", destinationSpec)
	a := Account{
		Line:        f.at.Line,
		Source:      d.endpoint(f.sub("source", sourceSpec), sourceSide),
		Destination: d.endpoint(to, destinationSide),
		Folder:      f.folder("folder"),
		Routes:      f.routes("routes"),
		Keep:        f.keep("keep"),
		Seen:        f.seen("seen"),
	}
	if f.find("repair") != nil {
		a.Repair, _ = f.choice("repair", []string{"wrap"})
	}
	a.Destination.Connections = to.number("connections", defaultConnections, mostAtOnce)
	a.DifferentUser = to.flag("different_user")
	a.Name = f.name(a.Source.Mailbox())
	f.alikeFolders(a)
	return a
}

// alikeFolders notes folders that some servers, and no others, take for one
// (RFC 3501 §5.1).
func (f fields) alikeFolders(a Account) {
	seen := map[string]string{strings.ToLower(a.Folder): a.Folder}
	for _, r := range a.Routes {
		folded := strings.ToLower(r.Folder)
		if before, ok := seen[folded]; ok && before != r.Folder {
			f.problem(f.find("routes"), "routes", "have a folder (line %d) that differs from another one in case only; "+
				"write it the same way", r.Line)
			return
		}
		seen[folded] = r.Folder
	}
}

func (f fields) name(fallback string) string {
	name, node := f.text("name")
	switch {
	case node == nil:
		return fallback
	case strings.HasPrefix(name, "-"):
		f.problem(node, "name", `must not start with "-": the command line would take it for a flag`)
	case name == ".", name == "..": // browsers take them out of paths, escaped or not
		f.problem(node, "name", `must not be "." or "..", which no link on the status page can lead to`)
	case strings.ContainsFunc(name, isControl):
		f.problem(node, "name", "contains a control character; take it out")
	}
	return name
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

func (d *decoder) endpoint(f fields, s side) Endpoint {
	if len(f.layers) == 0 {
		f.absent(s.spec.what)
		return Endpoint{}
	}
	mode, modeAt := f.choice("tls", []string{string(wire.Implicit), string(wire.STARTTLS),
		string(wire.None)})
	e := Endpoint{Endpoint: wire.Endpoint{TLS: wire.TLSMode(mode)}}
	e.Host = f.host("host")
	port := s.port
	if e.TLS == wire.Implicit {
		port = s.tlsPort
	}
	e.Port = f.number("port", port, 65535)
	e.CAFile = d.absolute(f.optional("tls_ca"))
	e.Pin = f.pin("tls_pin")
	e.AllowPlaintext = f.flag("allow_plaintext")
	f.network(&e)
	f.credentials(&e, s)
	e.SkipFile = d.absolute(f.optional("skip_uidls"))
	e.Skip = f.skip("skip_uidls", e.SkipFile)
	f.checkPlaintext(e, modeAt)
	return e
}

// skip reads the file of UIDLs that a source names.
func (f fields) skip(key, path string) UIDLs {
	if path == "" || f.d.open == nil || f.d.draft {
		return nil
	}
	uidls, err := readUIDLs(path)
	if err != nil {
		f.problem(f.find(key), key, "%v", err)
	}
	return uidls
}

// absent notes that nothing is said about a whole side.
func (f fields) absent(what string) {
	if !f.d.draft && !f.parentGuessed {
		f.d.problem(f.at, "%s is missing; it must have host, username and password", what)
	}
}

// auth is choice with a word for the names that belong to the other protocol.
func (f fields) auth(s side) string {
	node := f.find("auth")
	if node != nil && slices.Contains(popWords, node.Value) && !slices.Contains(s.auth, node.Value) {
		f.problem(node, "auth", "%s is a POP3 login; it must be %s", node.Value, orList(s.auth))
		return s.auth[0]
	}
	word, _ := f.choice("auth", s.auth)
	return word
}

// authorizeAs refuses a way to log in that names nobody else's mailbox.
func (f fields) authorizeAs(key, auth string) string {
	user, node := f.text(key)
	if name, _ := sasl.Mechanism(auth); node != nil && auth != "auto" && !sasl.CanAuthorize(name) {
		f.problem(node, key, "can't go with auth: %s, which names nobody but who logs in; use plain, "+
			"scram-sha-256 or auto", auth)
	}
	return user
}

// optional is text that may be absent.
func (f fields) optional(key string) string {
	text, _ := f.text(key)
	return text
}

// absolute makes a path of the file independent of the working directory.
func (d *decoder) absolute(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.dir, path)
}

func (f fields) host(key string) string {
	wanted := `a name such as "mail.example.org"`
	if f.d.rosterPath != "" && (f.path == "source." || f.path == "destination.") {
		wanted += "; popferry import fills in those of large providers"
	}
	text, node := f.required(key, wanted)
	if node == nil {
		return ""
	}
	host, err := parseHost(text)
	if err != nil {
		f.problem(node, key, "%v", err)
	}
	return host
}

func (f fields) pin(key string) string {
	text, node := f.text(key)
	if node == nil {
		return ""
	}
	if _, err := wire.ParsePin(text); err != nil {
		f.problem(node, key, `must be "sha256:" and 64 hexadecimal digits, the SHA-256 of the `+
			"server key's SubjectPublicKeyInfo; without tls_pin the error about the certificate shows it")
	}
	return text
}

// specialUse are the folders that may be named by their use (RFC 6154 §2);
// \All and \Flagged are views, nothing can be put there.
var specialUse = []string{`\Archive`, `\Drafts`, `\Junk`, `\Sent`, `\Trash`}

func (f fields) folder(key string) string {
	name, node := f.text(key)
	switch {
	case node == nil, strings.EqualFold(name, defaultFolder): // RFC 9051 §5.1
		return defaultFolder
	case strings.ContainsAny(name, "{}"):
		f.problem(node, key, "must be one fixed name; {year} and {month} are for the folders of routes")
	case strings.HasPrefix(name, `\`):
		name = f.specialFolder(key, name, node)
		f.levels(key, name, node)
	default:
		f.levels(key, name, node)
	}
	return name
}

// levels checks the names between the slashes.
func (f fields) levels(key, name string, node *yaml.Node) {
	switch {
	case strings.ContainsFunc(name, isControl):
		f.problem(node, key, "contains a control character; take it out")
	case slices.Contains(strings.Split(name, "/"), ""):
		f.problem(node, key, `has an empty level; "/" stands only between two names`)
	}
}

// specialFolder reads a name that begins with a special use (RFC 6154 §2), and may go on
// with levels below it.
func (f fields) specialFolder(key, name string, node *yaml.Node) string {
	first, rest, levels := strings.Cut(name, "/")
	for _, use := range specialUse {
		switch {
		case !strings.EqualFold(first, use):
		case levels:
			return use + "/" + rest
		default:
			return use
		}
	}
	f.problem(node, key, `must be %s if it starts with "\"%s`, orList(specialUse),
		didYouMean(first, specialUse))
	return name
}

func (f fields) keep(key string) Keep {
	node := f.find(key)
	if node == nil {
		return Keep{}
	}
	keep, ok := parseKeep(node.Value)
	if node.Kind != yaml.ScalarNode || !ok {
		f.problem(node, key, "must be forever, delivered, or a number of days such as 30d%s",
			didYouMean(node.Value, []string{"forever", "delivered"}))
		return Keep{}
	}
	return keep
}

func (f fields) seen(key string) Seen {
	node := f.find(key)
	switch {
	case node == nil:
	case node.Kind == yaml.MappingNode:
		inner := fields{d: f.d, path: key + ".", at: node,
			layers: []*mapping{f.d.mapping(node, seenSpec)}}
		if inner.find("older_than") == nil {
			f.problem(node, key, "must be never, always, or {older_than: 30d}")
		}
		return Seen{OlderThan: inner.age("older_than", 0)}
	case node.Kind == yaml.ScalarNode && node.Value == "always":
		return Seen{Always: true}
	case node.Kind != yaml.ScalarNode || node.Value != "never":
		f.problem(node, key, "must be never, always, or {older_than: 30d}%s",
			didYouMean(node.Value, []string{"never", "always"}))
	}
	return Seen{}
}
