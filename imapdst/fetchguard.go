package imapdst

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

const (
	// heldBack bounds the literal that is kept in memory because its UID comes
	// behind it; of a larger one is kept what is made of it.
	heldBack = 1 << 20
	// slack is how much larger than announced a literal may be.
	slack = 1 << 20
)

// fetchReply is a FETCH response (RFC 3501 §7.4.2) on its way to go-imap. Only
// the UID, RFC822.SIZE, the flag \Deleted and body sections go on: what else comes was
// not asked for, go-imap ends the connection over an item that it does not know, and its
// recursive parser of BODYSTRUCTURE can be made to overflow the stack.
//
// go-imap finds the command that a response belongs to by the UID, and expects
// that before any literal, so the UID is moved to the front. It takes the first
// response with a UID for the answer, so a change of flags that a server reports
// in the meantime, with a UID and nothing else, must not reach it. And where a server gives
// the items of a message in several responses, they wait for the one with the body section,
// which is always asked for.
type fetchReply struct {
	sequence uint32
	uid      uint32
	size     int64        // RFC822.SIZE, or -1
	deleted  bool         // FLAGS has \Deleted
	items    bytes.Buffer // not yet handed on
	wanted   bool         // there is something in it that was asked for
	section  bool         // a body section is
	aside    bool         // a token is, for one
	begun    bool         // its head was handed on
}

// maxParts bounds the responses that wait for the rest of what is said of their message.
const maxParts = 10_000

func (g *guard) startFetch(sequence uint32) error {
	if err := g.scan.expect('('); err != nil {
		return err
	}
	g.fetch = &fetchReply{sequence: sequence, size: -1}
	return g.fetchItems()
}

// fetchItems reads items up to the end of the response, or up to a literal that
// is to be passed through.
func (g *guard) fetchItems() error {
	for {
		if err := g.scan.spaces(); err != nil {
			return err
		}
		end, err := g.scan.take(')')
		if err != nil {
			return err
		}
		if end {
			return g.endFetch()
		}
		streams, err := g.fetchItem()
		if err != nil || streams {
			return err
		}
	}
}

func (g *guard) fetchItem() (streams bool, err error) {
	name, err := g.itemName()
	if err != nil {
		return false, err
	}
	if err := g.scan.spaces(); err != nil {
		return false, err
	}
	f := g.fetch
	switch {
	case name == "UID":
		n, err := g.scan.number()
		if n <= math.MaxUint32 {
			f.uid = uint32(n)
		}
		return false, err
	case name == "RFC822.SIZE":
		n, err := g.scan.number()
		f.noteSize(int64(n))
		return false, err
	case name == "FLAGS":
		return false, g.fetchFlags()
	case strings.HasPrefix(name, "BODY["):
		return g.fetchBody()
	}
	_, err = g.scan.value()
	return false, err
}

// fetchFlags hands on whether the message is marked as deleted. That is no reason to hand
// the response on: flags come unasked, too.
func (g *guard) fetchFlags() error {
	flags, err := g.scan.value()
	if slices.ContainsFunc(flags.list, func(f node) bool { return strings.EqualFold(f.text, `\Deleted`) }) {
		g.fetch.noteDeleted()
	}
	return err
}

// itemName reads "UID" or "BODY[HEADER.FIELDS (MESSAGE-ID)]<0>".
func (g *guard) itemName() (string, error) {
	name, err := g.scan.while(func(b byte) bool {
		return b > ' ' && b != '[' && b != '(' && b != ')' && b != '"' && b != '{'
	})
	if err != nil {
		return "", err
	}
	if name == "" {
		return "", errSyntax
	}
	if section, err := g.scan.take('['); !section || err != nil {
		return strings.ToUpper(name), err
	}
	if _, err := g.scan.while(func(b byte) bool { return b != ']' && b != '\n' }); err != nil {
		return "", err
	}
	if err := g.scan.expect(']'); err != nil {
		return "", err
	}
	_, err = g.scan.while(func(b byte) bool { return b != ' ' && b != '\n' })
	return strings.ToUpper(name) + "[", err
}

// fetchBody reads the nstring of a body section (RFC 3501 §7.4.2). We ask for
// one section at a time, so that its name need not be handed on.
func (g *guard) fetchBody() (streams bool, err error) {
	g.fetch.section = true
	g.serve()
	g.joinParts()
	eight, err := g.scan.take('~') // literal8 (RFC 3516 §4.3), which some give unasked
	if err != nil {
		return false, err
	}
	b, err := g.scan.peek()
	if err != nil {
		return false, err
	}
	if eight || b == '{' {
		return g.fetchLiteral()
	}
	value, err := g.scan.value()
	if err != nil || value.isList {
		return false, cmp.Or(err, errSyntax)
	}
	if value.isNil() {
		g.fetch.add("BODY[] NIL")
		return false, nil
	}
	g.fetch.add("BODY[] {%d}\r\n", len(value.text))
	g.fetch.items.WriteString(value.text)
	return false, nil
}

func (g *guard) fetchLiteral() (streams bool, err error) {
	n, err := g.scan.literal()
	if err != nil {
		return false, err
	}
	f := g.fetch
	if err := g.checkLiteral(n); err != nil {
		return false, err
	}
	if f.uid == 0 && n+int64(f.items.Len()) > heldBack {
		return false, g.fetchAside(n)
	}
	f.add("BODY[] {%d}\r\n", n)
	if f.uid != 0 {
		g.out = f.take()
		g.literal = n
		return true, nil
	}
	_, err = io.CopyN(&f.items, g.conn.Reader(), n)
	return false, err
}

// fetchAside has made of a large literal what is to be made of it, before go-imap can be told whose it
// is: of one in a response.
func (g *guard) fetchAside(n int64) error {
	if g.fetch.aside {
		return errNoUID
	}
	g.fetch.aside = true
	g.literal = n
	token, err := g.asides.put(literalRest{g})
	if err == nil {
		g.fetch.add("BODY[] {%d}\r\n%s", len(token), token)
	}
	return err
}

// literalRest reads what is left of a literal.
type literalRest struct{ guard *guard }

func (r literalRest) Read(p []byte) (int, error) {
	if r.guard.literal == 0 {
		return 0, io.EOF
	}
	return r.guard.readLiteral(p)
}

// checkLiteral holds a literal against what its response announced: sizes are
// estimates on some servers, so a quarter more passes.
func (g *guard) checkLiteral(n int64) error {
	if limit := g.largest.Load(); n > limit {
		return fmt.Errorf("literal of %d bytes, more than the limit of %d", n, limit)
	}
	if size := g.fetch.size; size >= 0 && n > size+max(slack, size/4) {
		return fmt.Errorf("literal of %d bytes for a message of %d", n, size)
	}
	return nil
}

// endFetch hands the rest on, or drops a response that nobody asked for.
func (g *guard) endFetch() error {
	g.joinParts()
	f := g.fetch
	g.fetch = nil
	switch {
	case !f.begun && f.uid == 0:
	case !f.begun && !f.section && f.items.Len() > 0 && len(g.parts) < maxParts:
		g.parts[f.uid] = f
	case f.begun || f.wanted:
		g.out = f.end()
	}
	return g.scan.endLine()
}

// joinParts adds what earlier responses said of the same message.
func (g *guard) joinParts() {
	f := g.fetch
	part, found := g.parts[f.uid]
	if !found || f.begun {
		return
	}
	delete(g.parts, f.uid)
	if part.size >= 0 {
		f.noteSize(part.size)
	}
	if part.deleted {
		f.noteDeleted()
	}
}

// restOfParts hands on what waited in vain.
func (g *guard) restOfParts() (out []byte) {
	for _, uid := range slices.Sorted(maps.Keys(g.parts)) {
		if part := g.parts[uid]; part.wanted {
			out = append(out, part.end()...)
		}
	}
	clear(g.parts)
	return out
}

func (f *fetchReply) end() []byte { return append(f.take(), ")\r\n"...) }

// noteSize and noteDeleted hand on what the server says, however often it does, once: parts
// wait in memory.
func (f *fetchReply) noteSize(n int64) {
	if f.size < 0 {
		f.size = n
		f.add("RFC822.SIZE %d", n)
	}
}

func (f *fetchReply) noteDeleted() {
	if !f.deleted {
		f.deleted = true
		f.items.WriteString(` FLAGS (\Deleted)`)
	}
}

func (f *fetchReply) add(format string, args ...any) {
	f.wanted = true
	f.items.WriteByte(' ')
	fmt.Fprintf(&f.items, format, args...)
}

// take returns what was not handed on yet.
func (f *fetchReply) take() []byte {
	var out []byte
	if !f.begun {
		out = fmt.Appendf(nil, "* %d FETCH (UID %d", f.sequence, f.uid)
		f.begun = true
	}
	out = append(out, f.items.Bytes()...)
	f.items.Reset()
	return out
}
