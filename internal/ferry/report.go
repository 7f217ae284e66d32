package ferry

import (
	"errors"
	"fmt"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/limits"
	"github.com/popferry/popferry/plan"
)

// ReportVersion is the version of the JSON report. Fields are added, never
// changed or taken away, within a version.
const ReportVersion = 1

// Report is what a run did: the JSON report is this value.
type Report struct {
	Version  int             `json:"version"`
	Started  time.Time       `json:"started"`
	Accounts []AccountReport `json:"accounts"`
	Totals   Totals          `json:"totals"`
	ExitCode fault.Code      `json:"exit_code"`
}

// Totals counts messages; Bytes are octets delivered in this run.
type Totals struct {
	Listed    int   `json:"listed"`
	Known     int   `json:"known"`
	Duplicate int   `json:"duplicate"`
	Delivered int   `json:"delivered"`
	Held      int   `json:"held"`
	Waiting   int   `json:"waiting"`
	Deleted   int   `json:"deleted"`
	Bytes     int64 `json:"bytes"`
	// LeftAlone is how many of Known another program fetched (skip_uidls).
	LeftAlone int `json:"left_alone,omitempty"`
}

// AccountReport is what a run did for one account.
type AccountReport struct {
	Name string `json:"name"`
	Totals
	Seconds  float64         `json:"seconds"`
	ExitCode fault.Code      `json:"exit_code"`
	Error    *ErrorReport    `json:"error,omitempty"`
	Notes    []string        `json:"notes,omitempty"`
	Messages []MessageReport `json:"messages,omitempty"`
	// Expiries are the ends of the certificates that were seen.
	Expiries []Expiry `json:"-"`
	// Retention is what the POP3 server does by itself, as far as it was asked.
	Retention Retention `json:"-"`
	// Left is how many messages are on POP3 that are still to be brought, and not held; nil:
	// the pass did not get to know.
	Left *int `json:"-"`
	// Folders are those that got mail, if the account has routes.
	Folders []FolderReport `json:"folders,omitempty"`
	// Stopped tells that the pass was told to stop, which says nothing about the account.
	Stopped bool `json:"-"`
	// Resting tells that the account's own limits ended the pass: nothing failed.
	Resting bool `json:"-"`
	// GaveWay tells that the pass ended, before all was done, for the sake of other accounts.
	GaveWay bool `json:"-"`
	// Awaits is what a person has to say before all can be done, also where a pass found
	// nothing new; nil: nothing.
	Awaits *ErrorReport `json:"-"`
	// Refusals is how many logins a server refused before the pass ended.
	Refusals int `json:"-"`
	// Untried tells that a login was not tried, since it was refused before.
	Untried bool `json:"-"`
	// NotBefore is when the servers permit another pass; zero: they did not say.
	NotBefore time.Time `json:"-"`
	// Asked is NotBefore without what limits of the account's own have to do with it.
	Asked time.Time `json:"-"`
	// Estimate is for [Plans] only.
	Estimate *Estimate `json:"estimate,omitempty"`
}

// Expiry says when something ends that has to be renewed.
type Expiry struct {
	// What names it, Check says what to do.
	What, Check string
	At          time.Time
	// Life is how long it lasts from when it is new; 0: not known.
	Life time.Duration
	// Accounts is how many need the same; 0: it is this account's own.
	Accounts int
}

// Retention is a POP3 server's rule that removes mail (EXPIRE, RFC 2449 §6.7).
type Retention struct {
	// Days are how long mail stays; 0: for ever, or it is not known.
	Days int
	// Keep is what `keep` says, if that is longer.
	Keep string
	// Interval is that of a bridge's passes, if it is no less.
	Interval string
}

// String says the rule in words.
func (r Retention) String() string { return plan.RemovedAfter(r.Days) }

// FolderReport is what one folder got in this run.
type FolderReport struct {
	Folder    string `json:"folder"`
	Delivered int    `json:"delivered"`
	Bytes     int64  `json:"bytes"`
}

// ErrorReport is an error as the report shows it.
type ErrorReport struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
}

// MessageReport is one message of the report: those held back, or all of them
// with [Options.EveryMessage].
type MessageReport struct {
	Number int    `json:"number,omitempty"`
	UIDL   string `json:"uidl,omitempty"`
	Size   int64  `json:"size"`
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	Folder string `json:"folder,omitempty"`
	UID    uint32 `json:"uid,omitempty"`
	// File is where [Options.KeepHeld] put it.
	File string `json:"file,omitempty"`
}

func (t *Totals) add(o Totals) {
	t.Listed += o.Listed
	t.Known += o.Known
	t.Duplicate += o.Duplicate
	t.Delivered += o.Delivered
	t.Held += o.Held
	t.Waiting += o.Waiting
	t.Deleted += o.Deleted
	t.Bytes += o.Bytes
	t.LeftAlone += o.LeftAlone
}

// NewErrorReport keeps what a person needs of an error.
func NewErrorReport(err error) *ErrorReport {
	if err == nil {
		return nil
	}
	message := fault.Words(err)
	var e *fault.Error
	if errors.As(err, &e) {
		message = e.Message
	}
	hint := fault.HintOf(err)
	if pause := fault.AfterOf(err); pause > 0 && !errors.Is(err, limits.ErrLater) { // nobody waits for it any more
		hint = fmt.Sprintf("run again in %s: %s", fault.Span(pause), fault.BecauseOf(err))
	}
	return &ErrorReport{Code: fault.CodeOf(err), Message: message, Hint: hint}
}

// newReport adds up the accounts; the exit status is the most severe of theirs.
func newReport(started time.Time, accounts []AccountReport) Report {
	r := Report{Version: ReportVersion, Started: started.UTC(), Accounts: accounts}
	for _, a := range accounts {
		r.Totals.add(a.Totals)
		r.ExitCode = fault.Worst(r.ExitCode, a.ExitCode)
	}
	return r
}
