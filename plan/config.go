package plan

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
)

// Config is the meaning of one accounts.yaml.
type Config struct {
	// Path is the file as it was named to Load.
	Path string
	// Accounts are in the order of the file; names are unique.
	Accounts []Account
	// Limits bound what is done at once.
	Limits Limits
	// Settle is how long an append whose answer was lost is given to show up
	// before it is sent again.
	Settle time.Duration
	// Bridge says how accounts are kept carried with nobody looking.
	Bridge Bridge
	// Hash is the hex SHA-256 of what the accounts mean, whatever their order
	// and layout. Secrets, limits and connections are not part of it: they say
	// how the work is done, not which.
	Hash string
}

// Account is one source and one destination.
type Account struct {
	// Name is unique in its file; by default it is the user of the source's mailbox.
	Name string
	// Line is where the account starts in its file, from 1: accounts.yaml, or the CSV
	// file of accounts_from.
	Line int
	// Source is the POP3 maildrop, Destination the IMAP account.
	Source, Destination Endpoint
	// Folder is where mail goes, with "/" between the levels. INBOX, and
	// special-use names such as \Archive (RFC 6154 §2), are in their usual case.
	Folder string
	// Routes send some of the mail to other folders: the first that matches wins.
	Routes []Route
	// Keep says what stays on POP3.
	Keep Keep
	// Seen says what arrives already read.
	Seen Seen
	// Repair is "wrap", or empty: deliver mail that the destination refuses
	// inside an attachment.
	Repair string
	// Pace is how often the bridge passes.
	Pace Pace
	// DifferentUser says that it is meant so if the two user names differ, or if another account
	// has the same folder.
	DifferentUser bool
	// Together names the accounts of the file whose mail goes into one folder with this one's,
	// itself included; nil where there are none, or where that is meant so.
	Together []string
	// Shared is how many folders the accounts of the file with this destination may fill together,
	// counted as Crowded does; 0 if there is no other one.
	Shared int
}

// Endpoint is one side of an account: where it is, and how to log in.
type Endpoint struct {
	wire.Endpoint
	// Username logs in. It is sent as it is; it holds no line break and no NUL.
	Username string
	// AuthorizeAs is whose mailbox it is, where that is not who logs in.
	AuthorizeAs string
	// Password says where the password is.
	Password Password
	// OAuth says how to get tokens; nil means that the login is with the password.
	OAuth *OAuth
	// Secret is the password itself, once Resolve has read it.
	Secret secret.Value
	// ProxyPassword says where the password for the proxy is; Resolve puts it there.
	ProxyPassword Password
	// CertFile and KeyFile are a certificate to log in with and its private key; both
	// are empty where there is none. Resolve makes the endpoint's Certificate of them.
	CertFile string
	KeyFile  Password
	key      secret.Value
	// Auth is "auto", the name of a SASL mechanism in lower case, or, for a source,
	// "user" or "apop".
	Auth string
	// SkipFile names a file of UIDLs, and Skip holds them: messages of a source that
	// another program fetched before, and that are left alone unless the journal knows
	// them. Only [Load] reads the file.
	SkipFile string
	Skip     UIDLs
	// Connections is the most that may be used; 0 for a source.
	Connections int
	// Ways are what is known of its provider.
	Ways Ways
}

// Forbidden is what a server refuses in the names of folders.
type Forbidden struct {
	// Characters are refused wherever they are.
	Characters string
	// Blanks are refused at either end of a level, and one behind the other.
	Blanks bool
	// Names are refused as a level, in any case.
	Names []string
}

// Ways are what is known of how a provider's servers go about mail, beside [Limits]. They
// come from no file; nothing known is the zero value.
type Ways struct {
	// Provider is its name.
	Provider string
	// DropsCopies tells of IMAP that says OK to mail that it has, and throws the copy away.
	DropsCopies bool
	// Page is how many messages POP3 lists at most at a time, about.
	Page int
	// LoginDelay is the time that POP3 wants between two logins; what the server announces
	// counts instead.
	LoginDelay time.Duration
	// Folders and FolderDepth are how many folders of its own the smallest account has, and
	// how many levels.
	Folders, FolderDepth int
	// Forbidden is what IMAP refuses in the names of folders.
	Forbidden Forbidden
}

// FullPage reports whether a listing of so many messages may be one page of several.
func (w Ways) FullPage(listed int) bool { return w.Page > 0 && listed*10 >= w.Page*9 }

// Hidden warns of deletions that a provider leaves little to: what is known to list pages shows
// POP3 no more what was fetched in a session that ended well. With "recent:" Gmail does.
func (a Account) Hidden(w Ways) (list []string) {
	if a.Keep.Delete && w.Page > 0 && !a.Source.Recent() {
		list = append(list, fmt.Sprintf("%s: POP3 no longer shows what was fetched, so keep: %s finds little to delete; "+
			"a setting of the mailbox there says what becomes of such mail", fault.Escape(w.Provider), a.Keep))
	}
	return list
}

// recent asks Gmail for the mail of 30 days, whatever was fetched before.
const recent = "recent:"

// Recent reports whether the user name asks for that.
func (e Endpoint) Recent() bool { return strings.HasPrefix(strings.ToLower(e.Username), recent) }

// Mailbox is the user whose mail it is, whoever logs in: one login may be for many
// mailboxes, so this is the one to tell them apart by.
func (e Endpoint) Mailbox() string { return cmp.Or(e.AuthorizeAs, e.Username) }

// masterSeparator is Dovecot's usual one, between whose mailbox it is and who logs in.
const masterSeparator = "*"

// Master takes a user name apart that opens a mailbox with an administrator's login, as
// Dovecot has them: alice*admin. It is a guess, for messages, and never about whom to log in as: a server
// may have another separator, or a "*" in its names.
func (e Endpoint) Master() (owner, login string, ok bool) {
	owner, login, _ = strings.Cut(e.Username, masterSeparator)
	ok = e.AuthorizeAs == "" && owner != "" && login != ""
	return owner, login, ok
}

// Owner is the user whose mail it is, also where a user name has an administrator's in it:
// what [Endpoint.Master] guesses.
func (e Endpoint) Owner() string {
	if owner, _, ok := e.Master(); ok {
		return owner
	}
	return e.Mailbox()
}

// Flags an arriving message may get (RFC 9051 §2.3.2).
const flagSeen = `\Seen`

// FlagsFor returns the flags of a message with this INTERNALDATE. A message
// without a date gets the date of its delivery, so it is never old.
func (a Account) FlagsFor(date, now time.Time) []string {
	if a.Seen.applies(date, now) {
		return []string{flagSeen}
	}
	return nil
}

// UserMismatch reports whether the users of the two mailboxes look like two persons, which
// is how mail ends up in a stranger's folder. Domains may differ: a provider
// change does that. Case never counts.
func (a Account) UserMismatch() bool {
	return !a.DifferentUser &&
		!strings.EqualFold(LocalPart(a.Source.Owner()), LocalPart(a.Destination.Owner()))
}

// userName is the user without Gmail's "recent:", which asks for the last 30 days and is
// no part of the name, in a form to compare.
func userName(user string) string {
	return strings.TrimPrefix(strings.ToLower(user), recent)
}

// LocalPart is what stands before the last "@" of a user name, in lower case and without what
// Gmail takes in front of one ("recent:").
func LocalPart(user string) string {
	user = userName(user)
	if at := strings.LastIndexByte(user, '@'); at > 0 {
		return user[:at]
	}
	return user
}

// Warnings returns what is allowed but worth a second look.
func (a Account) Warnings() []string {
	var list []string
	if a.UserMismatch() {
		list = append(list, "mail of "+fault.Escape(a.Source.Mailbox())+" goes to "+
			fault.Escape(a.Destination.Mailbox())+
			"; if that is right, set different_user: true under destination")
	}
	if text := a.Mixed(); text != "" {
		list = append(list, text+"; if that is right, set different_user: true under destination")
	}
	list = append(list, a.Crowded(a.Destination.Ways)...)
	list = append(list, a.Hidden(a.Source.Ways)...)
	for _, e := range []Endpoint{a.Source, a.Destination} {
		if e.TLS == wire.None && !e.StaysHere() {
			list = append(list, "the password goes to "+fault.Escape(e.Address())+" in clear text")
		}
	}
	return list
}

// Select returns the accounts with these names, in the order of the names, and
// all for no names. An unknown name is a fault with code Usage.
func (c *Config) Select(names []string) ([]*Account, error) {
	byName := make(map[string]*Account, len(c.Accounts))
	all := make([]*Account, len(c.Accounts))
	known := make([]string, len(c.Accounts))
	for i := range c.Accounts {
		all[i] = &c.Accounts[i]
		known[i] = all[i].Name
		byName[known[i]] = all[i]
	}
	if len(names) == 0 {
		return all, nil
	}
	var chosen []*Account
	for _, name := range names {
		account, ok := byName[name]
		if !ok {
			return nil, unknownAccount(c.Path, name, known)
		}
		if account != nil {
			chosen = append(chosen, account)
		}
		byName[name] = nil // a name given twice means its account once
	}
	return chosen, nil
}

func unknownAccount(path, name string, known []string) error {
	err := fault.New(fault.Usage, "%s has no account %q", path, fault.Escape(name))
	if near := nearest(name, known); near != "" {
		return err.WithHint("did you mean %q?", fault.Escape(near))
	}
	return err.WithHint("an account's name is its name: in the file, else the source's username")
}
