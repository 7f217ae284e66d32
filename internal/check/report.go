package check

import (
	"time"

	"github.com/popferry/popferry/internal/fault"
)

// Version is the version of the JSON of `popferry check`. Fields are added, never
// changed or taken away, within a version.
const Version = 1

// Report is what a check found: the JSON of `popferry check` is this value.
type Report struct {
	Version  int       `json:"version"`
	Started  time.Time `json:"started"`
	Accounts []Account `json:"accounts"`
	// Warnings are about the file as a whole, whose name is File.
	Warnings []Finding  `json:"warnings,omitempty"`
	File     string     `json:"-"`
	Totals   Totals     `json:"totals"`
	ExitCode fault.Code `json:"exit_code"`
}

// Account is what was found about one account.
type Account struct {
	Name        string      `json:"name"`
	Source      Source      `json:"source"`
	Destination Destination `json:"destination"`
	Warnings    []Finding   `json:"warnings,omitempty"`
	Notes       []string    `json:"notes,omitempty"`
	ExitCode    fault.Code  `json:"exit_code"`
}

// Side is what both sides have.
type Side struct {
	// Server is "POP3 server pop.example:995".
	Server string `json:"server"`
	// Username logs in, and AuthorizeAs is whose mailbox it is where that is another.
	Username    string `json:"username"`
	AuthorizeAs string `json:"authorize_as,omitempty"`
	// OK tells that the login worked and all was seen that was to be seen.
	OK  bool `json:"ok"`
	TLS *TLS `json:"tls,omitempty"`
	// Auth is how the login was done: USER, LOGIN, or a SASL mechanism.
	Auth string `json:"auth,omitempty"`
	// Capabilities are those that matter here, Missing those of them that the server
	// does not have.
	Capabilities []string `json:"capabilities,omitempty"`
	Missing      []string `json:"missing,omitempty"`
	// Provider is who runs the server, where that is known, and Quirks are what its
	// servers do in their own way.
	Provider string   `json:"provider,omitempty"`
	Quirks   []string `json:"quirks,omitempty"`
	Seconds  float64  `json:"seconds"`
	Problem  *Problem `json:"problem,omitempty"`

	showed, leftOut bool // our certificate
}

// TLS is what a handshake agreed on.
type TLS struct {
	Version     string      `json:"version"`
	Cipher      string      `json:"cipher"`
	Certificate Certificate `json:"certificate"`
}

// Certificate is the server's.
type Certificate struct {
	Names    []string  `json:"names"`
	Issuer   string    `json:"issuer"`
	NotAfter time.Time `json:"not_after"`
	// Days are those that are left of it, rounded down.
	Days int    `json:"days"`
	Pin  string `json:"pin"`
}

// Source is a POP3 maildrop.
type Source struct {
	Side
	// Messages and Bytes are all that is in the maildrop, Waiting and WaitingBytes what
	// is not known as delivered; Largest is the largest of these. Sizes are what LIST
	// says.
	Messages     int   `json:"messages"`
	Bytes        int64 `json:"bytes"`
	Waiting      int   `json:"waiting"`
	WaitingBytes int64 `json:"waiting_bytes"`
	Largest      int64 `json:"largest"`
	// LeftAlone is how many another program fetched (skip_uidls); these do not wait.
	LeftAlone int `json:"left_alone,omitempty"`
	// Expire is after how many days the server removes mail, "NEVER", or "".
	Expire string `json:"expire,omitempty"`
	// LoginDelay are the seconds that it wants between two logins.
	LoginDelay float64 `json:"login_delay,omitempty"`
	// Software is what the server calls itself.
	Software string `json:"software,omitempty"`

	named bool // some message has a UIDL
}

// Destination is an IMAP account.
type Destination struct {
	Side
	Folder *Folder `json:"folder,omitempty"`
	// Routed are the folders of the account's routes.
	Routed []Folder `json:"routed,omitempty"`
	// QuotaBytes and QuotaMessages are what the quotas leave; nil: none is told.
	QuotaBytes    *int64 `json:"quota_bytes,omitempty"`
	QuotaMessages *int64 `json:"quota_messages,omitempty"`
	// AppendLimit is the largest message that is taken; 0: not told.
	AppendLimit int64 `json:"append_limit,omitempty"`
	// SpecialUse are the folders that the server marks for a use.
	SpecialUse map[string]string `json:"special_use,omitempty"`

	notices []string // what the server wanted people to know
}

// Folder is what the account's folder is on the server.
type Folder struct {
	// Configured is how accounts.yaml calls it, Mailbox how the server does.
	Configured string `json:"configured"`
	Mailbox    string `json:"mailbox"`
	// Exists is false where the first run makes it.
	Exists   bool `json:"exists"`
	Messages int  `json:"messages"`
	// Subscribed is nil where the server does not tell, and before it exists.
	Subscribed *bool `json:"subscribed,omitempty"`
	ReadOnly   bool  `json:"read_only,omitempty"`
	// Dated is one with {year} or {month} in its name, which stands for as many folders
	// as mail needs: whether they exist is not told.
	Dated bool `json:"dated,omitempty"`

	renamed   bool   // since the server forbids the name as it is
	namesake  string // of it in another case
	prefix    string // of the user's folders, where it is in no namespace
	delimiter string // between the levels of the server's names
}

// Totals are over all accounts.
type Totals struct {
	Accounts int   `json:"accounts"`
	OK       int   `json:"ok"`
	Failed   int   `json:"failed"`
	Warnings int   `json:"warnings"`
	Messages int   `json:"messages"`
	Bytes    int64 `json:"bytes"`
	// Waiting and WaitingBytes are what is not known as delivered.
	Waiting      int   `json:"waiting"`
	WaitingBytes int64 `json:"waiting_bytes"`
}

func newReport(started time.Time, accounts []Account, file string, warnings []Finding) Report {
	r := Report{Version: Version, Started: started.UTC(), Accounts: accounts, Warnings: warnings, File: file}
	r.Totals.Accounts, r.Totals.Warnings = len(accounts), len(warnings)
	for i := range accounts {
		a := &accounts[i]
		for _, p := range []*Problem{a.Source.Problem, a.Destination.Problem} {
			if p != nil {
				a.ExitCode = fault.Worst(a.ExitCode, p.Code)
			}
		}
		if a.ExitCode == fault.OK {
			r.Totals.OK++
		} else {
			r.Totals.Failed++
		}
		r.Totals.Warnings += len(a.Warnings)
		r.Totals.Messages += a.Source.Messages
		r.Totals.Bytes += a.Source.Bytes
		r.Totals.Waiting += a.Source.Waiting
		r.Totals.WaitingBytes += a.Source.WaitingBytes
		r.ExitCode = fault.Worst(r.ExitCode, a.ExitCode)
	}
	return r
}
