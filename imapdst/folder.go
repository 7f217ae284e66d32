package imapdst

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/popferry/popferry/internal/fault"
)

const (
	// inbox is the name that is the same in any case (RFC 3501 §5.1).
	inbox = "INBOX"
	// maxName bounds a mailbox name, so that a command line stays below the 1,000
	// octets of RFC 2683 §3.2.1.5.
	maxName = 800
	// maxFolders bounds how many folders a LIST may tell of.
	maxFolders = 100_000
)

// Folder is a mailbox and what was known of it when it was opened.
type Folder struct {
	// Name is the folder as configured, with "/" between the levels.
	Name string
	// Mailbox is its name on the server, decoded.
	Mailbox string
	// Renamed says that the server forbids the name as it is, so that Mailbox is another.
	Renamed bool
	// Exists is false when the folder is missing and was not to be made; then all
	// that follows is zero.
	Exists bool
	// NoStickyUIDs: UIDs mean nothing in the next session (RFC 4315 §3).
	NoStickyUIDs bool
	// UIDValidity and UIDNext are those of RFC 3501 §2.3.1.1; 0: not told.
	UIDValidity, UIDNext uint32
	// Messages is how many there are.
	Messages uint32
	// AppendLimit is the largest message in octets (RFC 7889); 0: not stated.
	AppendLimit int64
}

// Folder finds and opens a folder. The name has "/" between its levels, whatever
// the server has; INBOX may be in any case; \Archive, \Drafts, \Junk, \Sent and
// \Trash are the special-use folders of RFC 6154 §2. A name that begins with the prefix of
// another namespace than the user's own is a folder there. If it is missing, it is made
// and subscribed when create is set, else Exists is false.
func (c *Conn) Folder(ctx context.Context, name string, create bool) (Folder, error) {
	end, err := c.begin(ctx, quietLimit)
	if err != nil {
		return Folder{}, err
	}
	defer end()
	c.mailbox.Lock()
	defer c.mailbox.Unlock()
	if strings.EqualFold(name, inbox) {
		return c.open(Folder{Name: name, Mailbox: inbox}, toRead, func() {})
	}
	wanted, err := newWanted(name)
	if err != nil {
		return Folder{}, err
	}
	mailbox, found, err := c.find(wanted)
	if err != nil {
		return Folder{}, err
	}
	f := Folder{Name: name, Mailbox: mailbox, Renamed: c.renamed(wanted, mailbox)}
	switch {
	case found:
		return c.open(f, toRead, func() {})
	case create:
		return c.create(ctx, f, wanted)
	}
	return f, nil
}

// wanted is a configured name taken apart.
type wanted struct {
	name  string
	parts []string
	use   imap.MailboxAttr // special use of the first level, or empty
}

func newWanted(name string) (wanted, error) {
	w := wanted{name: name, parts: strings.Split(name, "/")}
	if strings.HasPrefix(name, `\`) {
		w.use, w.parts[0] = imap.MailboxAttr(w.parts[0]), w.parts[0][1:]
	}
	if strings.EqualFold(w.parts[0], inbox) {
		w.parts[0] = inbox
	}
	for _, part := range w.parts {
		if part == "" || strings.ContainsAny(part, "\r\n\x00") || len(encodeName(name)) > maxName {
			return w, fault.New(fault.Config, "folder %q is not a usable name", name).
				WithHint(`write the levels with single "/" between them, as in Lists/Go`)
		}
	}
	return w, nil
}

// wantedOf takes names apart, without those that nothing is called by.
func wantedOf(names []string) (all []wanted) {
	for _, name := range names {
		if w, err := newWanted(name); err == nil {
			all = append(all, w)
		}
	}
	return all
}

// undated has wildcards for what stands for a date in a name.
var undated = strings.NewReplacer("{year}", "*", "{month}", "*")

// uncommon is what a server may have in another form in its names.
var uncommon = regexp.MustCompile(`[^0-9A-Za-z]+`)

// pattern matches the folder whatever the prefix, the delimiter and the rules for names
// are, so that LIST need not wait for the answer to NAMESPACE (RFC 3501 §6.3.8: "*"
// matches anything).
func (w wanted) pattern() string {
	if w.use != "" {
		return "*"
	}
	return anywhere(strings.Join(w.parts, "/"))
}

// anywhere matches a name behind anything, be it nothing: Courier finds INBOX.x by "*INBOX*x", and
// not by "INBOX*x".
func anywhere(name string) string { return uncommon.ReplaceAllString("*"+name, "*") }

// find looks for the folder: NAMESPACE, once a session, and LIST in one go.
func (c *Conn) find(w wanted) (mailbox string, found bool, err error) {
	layout, listed, err := c.listAll(question{pattern: w.pattern(), uses: w.use != ""}, w)
	if err != nil {
		return "", false, err
	}
	if mailbox, err = layout.resolve(w, listed); err != nil {
		return "", false, err
	}
	return mailbox, among(listed, mailbox) != nil, nil
}

// among finds a mailbox in a listing; nil if it is not there.
func among(listed []*imap.ListData, mailbox string) *imap.ListData {
	for _, entry := range listed {
		if entry.Mailbox == mailbox && selectable(entry) {
			return entry
		}
	}
	return nil
}

// question is what list is to tell.
type question struct {
	pattern    string // LIST's
	uses       bool   // also how folders are marked
	subscribed bool   // also which ones are subscribed, where LIST tells that
}

// list asks for the layout, unless it is known, and for folders.
func (c *Conn) list(q question) (*layout, []*imap.ListData, error) {
	var spaces *spacesCommand
	var list *listing
	var marks *marksCommand
	c.send(func() {
		spaces = c.askLayout()
		list = c.startList(q.pattern, q.options(c.Capabilities()))
		marks = c.askMarks(q.uses)
	})
	layout, errLayout := spaces.wait(c)
	listed, err := list.wait(c)
	marks.wait(c, listed)
	if broken := c.wire.Broken(); broken != nil {
		return nil, nil, broken
	}
	if errLayout != nil {
		err = errLayout
	}
	return layout, listed, err
}

// listAll is list, also of what servers hide from wildcards of the namespaces that some
// folders are in, such as "#shared/" (RFC 3501 §6.3.8).
func (c *Conn) listAll(q question, all ...wanted) (*layout, []*imap.ListData, error) {
	layout, listed, err := c.list(q)
	shown := listed
	for _, w := range all {
		if err != nil {
			break
		}
		if q.pattern = layout.hidden(w, shown); q.pattern == "" {
			continue
		}
		var more []*imap.ListData
		if _, more, err = c.list(q); fault.CodeOf(err) == fault.Refused {
			err = nil // it shows nothing there: the folder counts as missing, and the others go on
		}
		listed = append(listed, more...)
	}
	return layout, listed, err
}

// hidden is a pattern for a folder in another namespace of which nothing was shown.
func (l *layout) hidden(w wanted, shown []*imap.ListData) string {
	home, spelledOut := l.home(w)
	isThere := func(entry *imap.ListData) bool { return strings.HasPrefix(entry.Mailbox, home.prefix) }
	if !spelledOut || home.prefix == l.prefix || slices.ContainsFunc(shown, isThere) {
		return ""
	}
	rest := strings.TrimPrefix(w.in(home), home.prefix)
	return home.prefix + uncommon.ReplaceAllString(undated.Replace(rest), "*")
}

// resolve is what the server calls a folder, or would call it.
func (l *layout) resolve(w wanted, listed []*imap.ListData) (string, error) {
	mailbox, err := l.mailbox(w)
	if err != nil {
		return "", err
	}
	if special, found := l.special(w.use, listed); w.use != "" && found {
		own, err := l.mailbox(wanted{name: w.name, parts: w.parts[:1], use: w.use})
		if err != nil {
			return "", err
		}
		mailbox = special + strings.TrimPrefix(mailbox, own)
	}
	if plain := l.plain(w); plain != "" {
		if plain = l.under(w, mailbox, plain); plain != mailbox && among(listed, plain) != nil {
			return plain, nil // a name that exists is not forbidden
		}
	}
	if own := l.asOwn(w); w.use == "" && among(listed, mailbox) == nil && own != mailbox && among(listed, own) != nil {
		return own, nil // it was there before names of other namespaces had a meaning
	}
	if dotless, err := l.cautious(w); err == nil && among(listed, mailbox) == nil {
		if dotless = l.under(w, mailbox, dotless); among(listed, dotless) != nil {
			return dotless, nil // the other was refused before
		}
	}
	return mailbox, nil
}

// Existing finds the folders that some names stand for, as far as they exist, and
// opens none. A name may have {year} and {month} in it, which stand for four and two
// digits. It takes one LIST, whatever the number of names, unless it is about namespaces
// that the server hides.
func (c *Conn) Existing(ctx context.Context, names []string) ([]Folder, error) {
	all, layout, listed, err := c.listFor(ctx, names)
	if err != nil {
		return nil, err
	}
	var found []Folder
	taken := map[string]bool{}
	for _, w := range all {
		mailbox, err := layout.resolve(w, listed)
		if err != nil {
			continue
		}
		members := layout.family(w, mailbox)
		for _, entry := range listed {
			if !taken[entry.Mailbox] && members.MatchString(entry.Mailbox) && selectable(entry) {
				taken[entry.Mailbox] = true
				found = append(found, Folder{Name: layout.shown(entry.Mailbox), Mailbox: entry.Mailbox})
			}
		}
	}
	return found, nil
}

// Called tells what the server calls some folders, or would call them, and opens none. It
// takes one LIST, as [Conn.Existing] does.
func (c *Conn) Called(ctx context.Context, names []string) ([]Folder, error) {
	all, layout, listed, err := c.listFor(ctx, names)
	if err != nil {
		return nil, err
	}
	var called []Folder
	for _, w := range all {
		if mailbox, err := layout.resolve(w, listed); err == nil {
			called = append(called, Folder{Name: w.name, Mailbox: mailbox, Renamed: layout.renamed(w, mailbox),
				Exists: among(listed, mailbox) != nil})
		}
	}
	return called, nil
}

// listFor lists all folders, for those that some names stand for.
func (c *Conn) listFor(ctx context.Context, names []string) ([]wanted, *layout, []*imap.ListData, error) {
	end, err := c.begin(ctx, quietLimit)
	if err != nil {
		return nil, nil, nil, err
	}
	defer end()
	all := wantedOf(names)
	layout, listed, err := c.listAll(question{pattern: "*", uses: true}, all...)
	return all, layout, listed, err
}

// Open opens a mailbox by the name that the server has for it. If there is none of
// that name, Exists is false.
func (c *Conn) Open(ctx context.Context, mailbox string) (Folder, error) {
	end, err := c.begin(ctx, quietLimit)
	if err != nil {
		return Folder{}, err
	}
	defer end()
	c.mailbox.Lock()
	defer c.mailbox.Unlock()
	layout, listed, err := c.listAll(question{pattern: anywhere(mailbox)}, wanted{name: mailbox, parts: []string{mailbox}})
	if err != nil {
		return Folder{}, err
	}
	f := Folder{Name: layout.shown(mailbox), Mailbox: mailbox}
	if mailbox != inbox && among(listed, mailbox) == nil {
		return f, nil
	}
	return c.open(f, toRead, func() {})
}

// options asks for what LIST does not tell unasked (RFC 5258 §3, RFC 6154 §5.2).
func (q question) options(caps Capabilities) *imap.ListOptions {
	o := imap.ListOptions{ReturnSubscribed: q.subscribed, ReturnSpecialUse: q.uses && caps.SpecialUse}
	if !caps.has("LIST-EXTENDED") || o == (imap.ListOptions{}) {
		return nil
	}
	return &o
}

func selectable(entry *imap.ListData) bool {
	return !slices.Contains(entry.Attrs, imap.MailboxAttrNoSelect) &&
		!slices.Contains(entry.Attrs, imap.MailboxAttrNonExistent)
}

// listing is a LIST whose answers are taken in the background: go-imap's reader
// stands still while nobody takes them, and then the server may stop reading, and
// our next command never gets out.
type listing struct {
	done    chan struct{}
	entries []*imap.ListData
	count   int
	err     error
}

// startList sends LIST (RFC 3501 §6.3.8). The caller holds the turn.
func (c *Conn) startList(pattern string, options *imap.ListOptions) *listing {
	l := &listing{done: make(chan struct{})}
	list := c.client.List("", pattern, options)
	go func() {
		defer close(l.done)
		for entry := list.Next(); entry != nil; entry = list.Next() {
			if l.count++; l.count <= maxFolders {
				l.entries = append(l.entries, entry)
			}
		}
		l.err = list.Close()
	}()
	return l
}

func (l *listing) wait(c *Conn) ([]*imap.ListData, error) {
	<-l.done
	if l.err != nil {
		return nil, c.commandError("list folders", l.err)
	}
	if l.count > maxFolders {
		return nil, fault.New(fault.Protocol, "%s lists more than %d folders",
			c.wire.Address(), maxFolders).
			WithHint("hide public and shared folders from this user, or use another account")
	}
	return l.entries, nil
}

// renamed is that of the layout, which is known.
func (c *Conn) renamed(w wanted, mailbox string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.layout.renamed(w, mailbox)
}

// renamed reports whether a mailbox is called otherwise than its name demands.
func (l *layout) renamed(w wanted, mailbox string) bool {
	if w.use != "" { // how the first level is called is the server's to say
		home, _ := l.home(w)
		below := strings.Join(w.parts[1:], home.delimiter)
		return below != "" && !strings.HasSuffix(mailbox, home.delimiter+below)
	}
	return l.literal(w) != mailbox
}

// Folders lists the folders that can be opened, with "/" between the levels.
// Those of other users and shared ones (RFC 2342 §4) are left out, and so are
// those whose names hold "/" where the server's delimiter is another.
func (c *Conn) Folders(ctx context.Context) ([]string, error) {
	end, err := c.begin(ctx, quietLimit)
	if err != nil {
		return nil, err
	}
	defer end()
	layout, listed, err := c.list(question{pattern: "*"})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range listed {
		if name, ok := layout.name(entry.Mailbox); ok && selectable(entry) {
			names = append(names, name)
		}
	}
	return names, nil
}
