package imapdst

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/popferry/popferry/internal/fault"
)

// untaggedResponse reads one untagged response (RFC 3501 §7) and writes what
// go-imap needs of it into g.out. Everything else, such as VANISHED,
// SEARCH, RECENT or what no RFC knows, is dropped: go-imap ends the connection
// over most of it.
func (g *guard) untaggedResponse() error {
	g.scan.start()
	if err := g.scan.expect('*'); err != nil {
		return err
	}
	if err := g.scan.spaces(); err != nil {
		return err
	}
	word, err := g.word()
	if err != nil {
		return err
	}
	if number, err := strconv.ParseUint(word, 10, 64); err == nil {
		return g.numbered(number)
	}
	switch word {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		return g.untaggedStatus(word)
	case "LIST":
		return g.list()
	case "LSUB":
		return g.lsub()
	case "XLIST":
		return g.xlist()
	case "MYRIGHTS":
		return g.myRights()
	case "NAMESPACE":
		return g.namespace()
	case "STATUS":
		return g.mailboxStatus()
	case "QUOTAROOT":
		return g.quotaRoot()
	case "QUOTA":
		return g.quota()
	}
	return g.scan.skipResponse()
}

// word reads an atom in upper case and the blanks behind it.
func (g *guard) word() (string, error) {
	word, err := g.scan.atom()
	if err != nil {
		return "", err
	}
	return strings.ToUpper(word), g.scan.spaces()
}

// numbered handles "* n EXISTS", "* n EXPUNGE" and "* n FETCH" (RFC 3501 §7.3.1, §7.4.1,
// §7.4.2).
func (g *guard) numbered(number uint64) error {
	word, err := g.word()
	if err != nil {
		return err
	}
	switch {
	case word == "FETCH" && number > 0 && number <= math.MaxUint32:
		if g.fetched++; g.fetched > 2*g.exists+maxUnasked {
			return fmt.Errorf("%d FETCH responses for a mailbox of %d messages", g.fetched, g.exists)
		}
		g.count(func(t *tally) { t.fetched++ })
		return g.startFetch(uint32(number))
	case word == "EXPUNGE" && number > 0:
		g.count(func(t *tally) { t.messages, t.expunged = max(t.messages-1, 0), t.expunged+1 })
	case word == "EXISTS" && number <= math.MaxUint32:
		g.exists = int(number)
		g.count(func(t *tally) { t.messages, g.opened.counted = g.exists, true })
		g.out = fmt.Appendf(nil, "* %d EXISTS\r\n", number)
	}
	return g.scan.skipResponse()
}

// untaggedStatus keeps of an untagged status response (RFC 3501 §7.1) the codes
// that SELECT answers with, and ends the session at BYE.
func (g *guard) untaggedStatus(kind string) error {
	line, err := g.scan.restOfLine()
	if err != nil {
		return err
	}
	s, _ := g.status(kind + " " + line)
	if kind == "BYE" {
		return g.ended(s)
	}
	g.notices.hear(g.conn.Address(), s)
	g.noteOpening(s)
	if s.code != "UIDVALIDITY" && s.code != "UIDNEXT" {
		return nil
	}
	// nz-number of 32 bits (RFC 3501 §2.3.1.1): another value is as good as none.
	if n, err := strconv.ParseUint(strings.TrimSpace(s.args), 10, 32); err == nil && n > 0 {
		g.out = fmt.Appendf(nil, "* OK [%s %d] noted\r\n", s.code, n)
	}
	return nil
}

// noteOpening keeps what go-imap forgets of a SELECT.
func (g *guard) noteOpening(s status) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch s.code {
	case "READ-ONLY":
		g.opened.readOnly = true
	case "UIDNOTSTICKY":
		g.opened.notSticky = true
	}
}

// count changes what was heard of the open folder.
func (g *guard) count(change func(*tally)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.heard)
}

// tallied is what was heard of the open folder up to now.
func (g *guard) tallied() tally {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.heard
}

// takeOpening returns what was noted since the last call.
func (g *guard) takeOpening() opening {
	g.mu.Lock()
	defer g.mu.Unlock()
	noted := g.opened
	g.opened = opening{}
	return noted
}

// leaving says that LOGOUT is about to be sent.
func (g *guard) leaving() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bye = true
}

// ended keeps the text of a BYE (RFC 3501 §7.1.5), which go-imap loses.
func (g *guard) ended(s status) error {
	g.mu.Lock()
	expected := g.bye
	g.mu.Unlock()
	if expected {
		return nil
	}
	return byeError(g.conn.Address(), s)
}

// byeError says how a server ended a session, with the long pause that throttled
// accounts need.
func byeError(address string, s status) *fault.Error {
	err := fault.New(fault.Temporary, "%s ended the session: %s", address,
		fault.Escape(s.text)).WithResponse(s.code)
	if throttled(s.text) {
		return rest(err, s.text, throttledPause).
			WithHint("the server limits the account; popferry waits and goes on")
	}
	return err.WithHint(fault.TroubleHint)
}

// list rewrites a LIST response (RFC 3501 §7.2.2): attributes that are flags,
// the name in a form that go-imap can decode, no extended data (RFC 5258 §6).
func (g *guard) list() error {
	attributes, delimiter, raw, err := g.listed()
	if err != nil {
		return err
	}
	name, ok := g.readName(raw)
	if !ok {
		return nil
	}
	var out bytes.Buffer
	out.WriteString("* LIST (" + strings.Join(attributesOf(attributes), " ") + ") ")
	out.WriteString(delimiterText(delimiter) + " ")
	out.WriteString(quote(strings.ReplaceAll(name, "&", "&-")) + "\r\n")
	g.out = out.Bytes()
	return nil
}

// listed reads what LIST, LSUB and XLIST have in common.
func (g *guard) listed() (attributes, delimiter node, name string, err error) {
	g.serve()
	if attributes, err = g.scan.value(); err != nil {
		return attributes, delimiter, "", err
	}
	if err = g.scan.spaces(); err != nil {
		return attributes, delimiter, "", err
	}
	if delimiter, err = g.scan.value(); err != nil {
		return attributes, delimiter, "", err
	}
	if err = g.scan.spaces(); err != nil {
		return attributes, delimiter, "", err
	}
	name, err = g.listedName()
	return attributes, delimiter, name, err
}

// lsub keeps the name of a subscribed folder (RFC 3501 §7.2.3), for our own LSUB.
func (g *guard) lsub() error {
	_, _, raw, err := g.listed()
	if err != nil {
		return err
	}
	name, ok := g.readName(raw)
	g.mu.Lock()
	defer g.mu.Unlock()
	if ok && len(g.subscribed) < maxFolders {
		g.subscribed = append(g.subscribed, name)
	}
	return nil
}

// takeSubscribed returns what was kept since the last call.
func (g *guard) takeSubscribed() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := g.subscribed
	g.subscribed = nil
	return names
}

// myRights rewrites a MYRIGHTS response (RFC 4314 §3.8).
func (g *guard) myRights() error {
	mailbox, err := g.scan.value()
	if err != nil {
		return err
	}
	if err := g.scan.spaces(); err != nil {
		return err
	}
	rights, err := g.scan.value()
	if err != nil {
		return err
	}
	if name, ok := g.readName(mailbox.text); ok && !rights.isList && isRoot(rights) {
		g.out = []byte("* MYRIGHTS " + quote(strings.ReplaceAll(name, "&", "&-")) + " " + quote(rights.text) + "\r\n")
	}
	return g.scan.skipResponse()
}

// listedName reads the name and the rest of the response. An unquoted name with
// blanks is against the grammar, and is sent.
func (g *guard) listedName() (string, error) {
	name, err := g.scan.value()
	if err != nil {
		return "", err
	}
	if name.isList {
		return "", errSyntax
	}
	if !name.isAtom {
		return name.text, g.scan.skipResponse()
	}
	rest, err := g.scan.restOfLine()
	if trimmed := strings.TrimRight(rest, " "); !strings.HasPrefix(strings.TrimLeft(rest, " "), "(") {
		name.text += trimmed
	}
	return name.text, err
}

// readName decodes a mailbox name. One that is not modified UTF-7 gets a name
// that is, and the raw form is remembered for when it is used.
func (g *guard) readName(raw string) (string, bool) {
	if strings.ContainsAny(raw, "\r\n\x00") || len(raw) > maxName {
		return "", false
	}
	if strings.EqualFold(raw, inbox) {
		return inbox, true
	}
	name, ok := decodeName(raw)
	if ok && encodeName(name) == raw {
		return name, true
	}
	if !ok {
		name = strings.ToValidUTF8(raw, "\ufffd")
	}
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '\ufffd'
		}
		return r
	}, name)
	g.remember(encodeName(name), raw)
	return name, true
}

// maxOddNames bounds how many irregular names are remembered.
const maxOddNames = 1000

func (g *guard) remember(encoded, raw string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.names == nil {
		g.names = map[string]string{}
	}
	if _, taken := g.names[encoded]; !taken && len(g.names) < maxOddNames {
		g.names[encoded] = raw
	}
}

// rawName is how a mailbox is called in a command.
func (g *guard) rawName(name string) string {
	if name == inbox {
		return inbox
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	encoded := encodeName(name)
	if raw, odd := g.names[encoded]; odd {
		return quote(raw)
	}
	return quote(encoded)
}

// plainFields takes the quotes from the names of header fields: they are allowed (RFC 3501 §9,
// header-fld-name), hardly any other client writes them, and not all servers expect them.
func plainFields(line []byte) []byte {
	return bytes.Replace(line, []byte(`HEADER.FIELDS ("MESSAGE-ID")`), []byte("HEADER.FIELDS (MESSAGE-ID)"), 1)
}

// restoreNames puts the raw form of irregular names back into a command.
func (g *guard) restoreNames(line []byte) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	for encoded, raw := range g.names {
		line = bytes.ReplaceAll(line, []byte(quote(encoded)), []byte(quote(raw)))
	}
	return line
}

// attributesOf are the attributes of a folder, by the names that RFC 6154 §2 has for them.
func attributesOf(list node) []string {
	attributes := flags(list)
	for i, a := range attributes {
		if strings.EqualFold(a, `\Spam`) { // of XLIST
			attributes[i] = `\Junk`
		}
	}
	return attributes
}

func flags(list node) []string {
	var out []string
	for _, item := range list.list {
		if isFlag(item.text) {
			out = append(out, item.text)
		}
	}
	return out
}

// isFlag tells whether s is a flag or a keyword (RFC 3501 §9).
func isFlag(s string) bool {
	name := strings.TrimPrefix(s, `\`)
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r)
	})
}

// delimiterText writes a hierarchy delimiter: one character, or NIL for a flat
// name (RFC 3501 §7.2.2).
func delimiterText(n node) string {
	if n.isNil() || n.isList || len(n.text) != 1 || !printable(n.text[0]) {
		return "NIL"
	}
	return quote(n.text)
}

// namespace rewrites a NAMESPACE response (RFC 2342 §5): prefixes and
// delimiters, no extensions.
func (g *guard) namespace() error {
	var kinds []string
	for range 3 {
		spaces, err := g.scan.value()
		if err != nil {
			return err
		}
		kinds = append(kinds, namespaceText(spaces))
		if err := g.scan.spaces(); err != nil {
			return err
		}
	}
	g.out = []byte("* NAMESPACE " + strings.Join(kinds, " ") + "\r\n")
	return g.scan.skipResponse()
}

func namespaceText(n node) string {
	out := ""
	for _, space := range n.list {
		if len(space.list) < 2 || strings.ContainsAny(space.list[0].text, "\r\n\x00") {
			continue
		}
		out += "(" + quote(space.list[0].text) + " " + delimiterText(space.list[1]) + ")"
	}
	if out == "" {
		return "NIL"
	}
	return "(" + out + ")"
}

// mailboxStatus rewrites a STATUS response (RFC 3501 §7.2.4): the items that we
// ask for, where their numbers fit 32 bits.
func (g *guard) mailboxStatus() error {
	mailbox, err := g.scan.value()
	if err != nil {
		return err
	}
	if err := g.scan.spaces(); err != nil {
		return err
	}
	items, err := g.scan.value()
	if err != nil {
		return err
	}
	if name, ok := g.readName(mailbox.text); ok {
		g.out = []byte("* STATUS " + quote(strings.ReplaceAll(name, "&", "&-")) +
			" (" + strings.Join(statusItems(items), " ") + ")\r\n")
	}
	return g.scan.skipResponse()
}

func statusItems(items node) []string {
	var out []string
	for i := 0; i+1 < len(items.list); i += 2 {
		name, value := strings.ToUpper(items.list[i].text), items.list[i+1].text
		n, err := strconv.ParseUint(value, 10, 32)
		switch name {
		case "MESSAGES", "UIDNEXT", "UIDVALIDITY", "APPENDLIMIT":
			if err == nil {
				out = append(out, name+" "+strconv.FormatUint(n, 10))
			}
		}
	}
	return out
}

var errNoUID = errors.New("the UID of a message after more than 1 MiB of its data")
