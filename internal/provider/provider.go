package provider

import (
	"slices"
	"strings"
	"time"

	"github.com/popferry/popferry/plan"
)

// Provider is one provider. The table is shared: nothing in it may be changed.
type Provider struct {
	// ID names the provider in a few letters, such as "gmail".
	ID string `json:"-"`
	// Name is what people call it.
	Name string `json:"name"`
	// Domains are the domains of its mail addresses, "*." standing for a label; those of its
	// customers are found by MX.
	Domains []string `json:"domains"`
	// Hosts are where its servers are: each name and all below it.
	Hosts []string `json:"hosts"`
	// MX are where mail to its customers' domains goes: each name and all below it.
	MX []string `json:"mx"`
	// POP3, IMAP and SMTP are the servers to use; nil where it has none, or none
	// is known.
	POP3 *Server `json:"pop3"`
	IMAP *Server `json:"imap"`
	SMTP *Server `json:"smtp"`
	// Access is how one signs in.
	Access Access `json:"access"`
	// SwitchOn says what has to be switched on first; nil for nothing known.
	SwitchOn *SwitchOn `json:"switch_on"`
	// Help is the page with the settings, or empty.
	Help string `json:"help"`
	// Limits are those that are known.
	Limits Limits `json:"limits"`
	// Forbidden is what IMAP refuses in the names of folders.
	Forbidden plan.Forbidden `json:"forbidden"`
	// Quirks are what its servers do in their own way.
	Quirks []Quirk `json:"quirks"`
	// Refusals are what its servers say, and what that means; the first that
	// matches counts.
	Refusals []Refusal `json:"refusals"`
}

// Server is one server of a provider.
type Server struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	// TLS is "implicit" or "starttls", as in accounts.yaml.
	TLS string `json:"tls"`
	// Username is what to log in with.
	Username Form `json:"username"`
}

// Form says how a user name is made from a mail address.
type Form string

const (
	// Address is the whole address.
	Address Form = ""
	// LocalPart is what stands before the "@".
	LocalPart Form = "local"
	// Percent is the local part in the provider's own domains, and with the last
	// "@" as a "%" in those of its customers.
	Percent Form = "percent"
)

// Kind says which password a mail program needs.
type Kind string

const (
	// AccountPassword is that of the account.
	AccountPassword Kind = "account"
	// AppPassword is one that is made for mail programs; that of the account is
	// refused.
	AppPassword Kind = "app"
	// AppPasswordWith2FA is one that is made for mail programs where the account
	// asks for a second factor, else that of the account.
	AppPasswordWith2FA Kind = "app-2fa"
	// NoPassword means that no password works.
	NoPassword Kind = "none"
)

// Access is how one signs in.
type Access struct {
	// Password says which password works.
	Password Kind `json:"password"`
	// Called is the provider's own word for an app password, or empty.
	Called string `json:"called"`
	// Page is where an app password is made, or empty.
	Page string `json:"page"`
	// OAuth reports whether mail programs may sign in with OAuth.
	OAuth bool `json:"oauth"`
	// Service is what oauth.provider in accounts.yaml calls it, or empty.
	Service string `json:"service"`
}

// SwitchOn is what a user or an administrator has to allow first.
type SwitchOn struct {
	// POP3 and IMAP are those that are off until then; where neither is, they may
	// have been switched off by an administrator.
	POP3 bool `json:"pop3"`
	IMAP bool `json:"imap"`
	// Where says where, in words.
	Where string `json:"where"`
	// Page explains it, or is empty.
	Page string `json:"page"`
}

// Limits are a provider's; 0 is not known.
type Limits struct {
	// Connections is how many IMAP connections an account may have at once.
	Connections int `json:"connections"`
	// Page is how many messages POP3 lists at most at a time.
	Page int `json:"page"`
	// LoginDelay are the seconds that POP3 wants between two logins, where it does not
	// announce them itself (RFC 2449 §6.5).
	LoginDelay int `json:"login_delay"`
	// UploadDay and DownloadDay are octets a day, up over IMAP and down over POP3.
	UploadDay   int64 `json:"upload_day"`
	DownloadDay int64 `json:"download_day"`
	// MessageSize is the largest message that IMAP takes, in octets.
	MessageSize int64 `json:"message_size"`
	// Folders is how many folders of one's own there may be, FolderDepth how many
	// levels, in the smallest of its products.
	Folders     int `json:"folders"`
	FolderDepth int `json:"folder_depth"`
}

// Quirk is something that a provider's servers do in their own way.
type Quirk struct {
	// Flag names it: "pop-pages".
	Flag string `json:"flag"`
	// Text says it in one line.
	Text string `json:"text"`
}

// Refusal is what a provider's server says, and what that means.
type Refusal struct {
	// Match is a part of what the server says, in lower case.
	Match string `json:"match"`
	// Passwords tells that it is about a password, and means nothing where a token was
	// shown.
	Passwords bool `json:"passwords"`
	Cause
}

// Cause is why a server refused something.
type Cause struct {
	// Cause says what is the matter.
	Cause string `json:"cause"`
	// Check says what to do about it.
	Check string `json:"check"`
	// Page explains it, or is empty.
	Page string `json:"page"`
}

// User returns what the owner of an address logs in with.
func (p Provider) User(s Server, address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return address
	}
	local, domain := address[:at], address[at+1:]
	switch {
	case s.Username == LocalPart,
		s.Username == Percent && slices.Contains(p.Domains, clean(domain)):
		return local
	case s.Username == Percent:
		return local + "%" + domain
	}
	return address
}

// Has reports whether a provider has a quirk.
func (p Provider) Has(flag string) bool {
	return slices.ContainsFunc(p.Quirks, func(q Quirk) bool { return q.Flag == flag })
}

// Ways are what a plan and a run have to know of the provider.
func (p Provider) Ways() plan.Ways {
	return plan.Ways{Provider: p.Name, DropsCopies: p.Has("imap-drops-duplicates"), Page: p.Limits.Page,
		LoginDelay: time.Duration(p.Limits.LoginDelay) * time.Second, Folders: p.Limits.Folders,
		FolderDepth: p.Limits.FolderDepth, Forbidden: p.Forbidden}
}

// maxText bounds what is looked at of a server's answer.
const maxText = 4096

// Diagnose explains what a server of the provider said when it refused something, to a
// login that showed a token or to another one.
func (p Provider) Diagnose(text string, token bool) (Cause, bool) {
	text = strings.ToLower(strings.Join(strings.Fields(text[:min(len(text), maxText)]), " "))
	for _, r := range p.Refusals {
		if strings.Contains(text, r.Match) && !(token && r.Passwords) {
			return r.Cause, true
		}
	}
	return Cause{}, false
}
