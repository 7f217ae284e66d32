package report

import (
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/plan"
)

// LoginVersion is the version of the JSON of `popferry login`.
const LoginVersion = 1

// The sides of an account, and how things stand after a login.
const (
	Source      = "source"
	Destination = "destination"

	SignedIn    = "signed in"
	Works       = "works"
	Forgotten   = "forgotten"
	NothingKept = "nothing kept"
)

// LoginReport is the JSON of `popferry login`.
type LoginReport struct {
	Version  int            `json:"version"`
	Accounts []LoginAccount `json:"accounts"`
	ExitCode fault.Code     `json:"exit_code"`
}

// LoginAccount is one side of an account that signs in with OAuth.
type LoginAccount struct {
	Name     string             `json:"name"`
	Side     string             `json:"side"`
	Username string             `json:"username"`
	Flow     plan.Flow          `json:"flow"`
	State    string             `json:"state,omitempty"`
	Error    *ferry.ErrorReport `json:"error,omitempty"`
}

// Add appends a side; one that failed is in no state.
func (r *LoginReport) Add(a LoginAccount) {
	if a.Error != nil {
		a.State = ""
		r.ExitCode = fault.Worst(r.ExitCode, a.Error.Code)
	}
	r.Accounts = append(r.Accounts, a)
}

// Login is the result of `popferry login`.
func Login(r LoginReport) Result { return login{r} }

type login struct{ report LoginReport }

// JSON is the report itself.
func (l login) JSON() any { return l.report }

// Sheet has a row for each side.
func (l login) Sheet() Sheet {
	s := Sheet{
		Title: "popferry login", Deed: true, ExitCode: l.report.ExitCode,
		Columns: []Column{{Name: "account"}, {Name: "username"}, {Name: "flow"}, {Name: "result"}},
	}
	for _, a := range l.report.Accounts {
		result := text(stateText(a.State))
		if a.Error != nil {
			result = ending(a.Error.Code)
		}
		name := a.Name + ", " + a.Side
		s.Rows = append(s.Rows, []Cell{text(name), text(a.Username), text(string(a.Flow)), result})
		s.issue(name, a.Error)
		if a.State == Works || a.State == SignedIn {
			s.Verdict = "Whether the mail servers take the tokens, popferry check tells."
		}
	}
	return s
}

// stateText promises people no more than was tried: no mail server was asked.
func stateText(state string) string {
	if state == Works {
		return "gives tokens"
	}
	return state
}
