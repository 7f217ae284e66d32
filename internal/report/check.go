package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/check"
	"github.com/popferry/popferry/internal/fault"
)

// Check is the result of `popferry check`; verbose describes every account, not only
// the servers.
func Check(r check.Report, verbose bool) Result { return checking{r, verbose} }

type checking struct {
	report  check.Report
	verbose bool
}

// fewAccounts is how many accounts are described one by one without being asked.
const fewAccounts = 3

// JSON is the report itself.
func (c checking) JSON() any { return c.report }

// Sheet has a row for each account.
func (c checking) Sheet() Sheet {
	r := c.report
	s := Sheet{
		Title: "popferry check", Taken: r.Started, ExitCode: r.ExitCode,
		Deed: r.Totals.Warnings == 0, Columns: checkColumns(anyRoutes(r)), Verdict: checkVerdict(r),
	}
	for _, w := range r.Warnings {
		s.Warnings = append(s.Warnings, found(r.File, w, fault.OK))
	}
	var notes []Issue
	for _, a := range r.Accounts {
		s.Rows = append(s.Rows, checkRow(a))
		s.problem(a.Name, a.Source.Problem)
		s.problem(a.Name, a.Destination.Problem)
		for _, w := range a.Warnings {
			s.Warnings = append(s.Warnings, found(a.Name, w, fault.OK))
		}
		for _, n := range a.Notes {
			notes = append(notes, Issue{Account: a.Name, Text: n})
		}
	}
	for _, n := range gather(notes) {
		s.Notes = append(s.Notes, Note{n.Account, n.Text})
	}
	if len(r.Accounts) > 1 {
		s.Total = checkTotal(r)
	}
	if c.verbose || len(r.Accounts) <= fewAccounts {
		s.Facts = accountFacts(r.Accounts)
	} else {
		s.Facts, s.Aside = serverFacts(r.Accounts), true
	}
	return s
}

func (s *Sheet) problem(account string, p *check.Problem) {
	if p != nil {
		s.Errors = append(s.Errors, found(account, p.Finding, p.Code))
	}
}

func found(account string, f check.Finding, code fault.Code) Issue {
	return Issue{Account: account, Text: f.Symptom, Cause: f.Cause, Hint: f.Check, Page: f.Page, Code: code}
}

// checkColumns are a few for people, and the rest for spreadsheets.
func checkColumns(routes bool) []Column {
	return []Column{
		{Name: "account"}, {Name: "pop3"}, {Name: "imap"}, {Name: "waiting", Number: true},
		{Name: "size", Number: true, Spare: true}, {Name: "room", Number: true, Minor: true, Spare: true},
		{Name: "mailbox", Minor: true, Spare: true},
		{Name: "folder exists", Data: true}, {Name: "subscribed", Data: true}, {Name: "largest", Data: true},
		{Name: "append limit", Data: true},
		{Name: "pop3 server", Data: true}, {Name: "pop3 tls", Data: true}, {Name: "pop3 certificate days", Data: true},
		{Name: "pop3 auth", Data: true}, {Name: "pop3 capabilities", Data: true},
		{Name: "imap server", Data: true}, {Name: "imap tls", Data: true}, {Name: "imap certificate days", Data: true},
		{Name: "imap auth", Data: true}, {Name: "imap capabilities", Data: true},
		{Name: "warnings", Data: true}, {Name: "routed", Minor: true, Spare: true, Data: !routes}, {Name: "result"},
	}
}

func anyRoutes(r check.Report) bool {
	return slices.ContainsFunc(r.Accounts, func(a check.Account) bool { return len(a.Destination.Routed) > 0 })
}

func checkRow(a check.Account) []Cell {
	folder, exists, subscribed := text(""), text(""), text("")
	if f := a.Destination.Folder; f != nil {
		folder, exists = folderCell(*f), text(yesNo(f.Exists))
		if f.Subscribed != nil {
			subscribed = text(yesNo(*f.Subscribed))
		}
	}
	room := Cell{Text: "-", Value: "", None: true}
	if q := a.Destination.QuotaBytes; q != nil {
		room = Cell{Text: Size(*q), Value: *q}
	}
	row := []Cell{text(a.Name), sideCell(a.Source.Side), sideCell(a.Destination.Side),
		number(a.Source.Waiting), octets(a.Source.WaitingBytes), room, folder, exists, subscribed,
		octets(a.Source.Largest), octets(a.Destination.AppendLimit)}
	if !a.Source.OK {
		row[3], row[4] = Cell{Text: "-", Value: "", None: true}, Cell{Text: "-", Value: "", None: true}
	}
	row = append(row, sideCells(a.Source.Side)...)
	row = append(row, sideCells(a.Destination.Side)...)
	return append(row, text(topicsOf(a.Warnings)), routedCell(a.Destination), checkEnding(a.ExitCode, len(a.Warnings)))
}

func topicsOf(list []check.Finding) string {
	var names []string
	for _, f := range list {
		names = append(names, f.Topic)
	}
	return strings.Join(names, " ")
}

// folderCell shows a folder where it is not simply the INBOX that is there.
func folderCell(f check.Folder) Cell {
	c := Cell{Text: f.Mailbox, Value: f.Mailbox, None: f.Exists && f.Mailbox == "INBOX"}
	if !f.Exists {
		c.Text += " (new)"
	}
	return c
}

// someRouted is how many folders of routes people are shown in a row.
const someRouted = 3

// routedCell names the folders of routes, for people the first of them.
func routedCell(d check.Destination) Cell {
	var names []string
	for _, f := range d.Routed {
		names = append(names, f.Mailbox)
	}
	all := strings.Join(names, "; ")
	c := Cell{Text: all, Value: all, None: len(names) == 0, Lines: routeLines(d)}
	if more := len(names) - someRouted; more > 0 {
		c.Text, c.Part = fmt.Sprintf("%s; %d more", strings.Join(names[:someRouted], "; "), more), true
	}
	return c
}

// routeLines say where each route leads; nothing of a destination that was not looked at.
func routeLines(d check.Destination) (lines []string) {
	for _, f := range d.Routed {
		lines = append(lines, "route to "+routeName(f)+": "+routeState(f))
	}
	if lines == nil && d.OK {
		return []string{"no routes"}
	}
	return lines
}

// routeName is how accounts.yaml calls a folder, and how the server does where that differs.
func routeName(f check.Folder) string {
	if f.Configured == "" || fault.Escape(f.Configured) == f.Mailbox {
		return f.Mailbox
	}
	return fault.Escape(f.Configured) + " (" + f.Mailbox + ")"
}

// routeState is the same for all accounts that have the folder, so that they can be told of
// together.
func routeState(f check.Folder) string {
	switch {
	case f.Dated:
		return "created as mail needs it"
	case !f.Exists:
		return "will be created"
	case f.Subscribed != nil && !*f.Subscribed && f.Mailbox != "INBOX":
		return "exists, not subscribed"
	}
	return "exists"
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func sideCell(s check.Side) Cell {
	switch {
	case s.OK:
		return text("ok")
	case s.Problem != nil && s.Problem.Topic == check.Stopped:
		return text("-")
	}
	return text("failed")
}

// sideCells are what only spreadsheets show of a side.
func sideCells(s check.Side) []Cell {
	version, days := text(""), text("")
	if s.TLS != nil {
		version, days = text(s.TLS.Version), Cell{Value: s.TLS.Certificate.Days}
	}
	return []Cell{text(s.Server), version, days, text(s.Auth), text(strings.Join(s.Capabilities, ", "))}
}

// checkEnding is ending, with warnings where there is nothing worse.
func checkEnding(code fault.Code, warnings int) Cell {
	c := ending(code)
	if code == fault.OK && warnings > 0 {
		c.Text, c.Code = Count(warnings, "warning"), fault.Held
	}
	return c
}

func checkTotal(r check.Report) []Cell {
	t := r.Totals
	row := make([]Cell, len(checkColumns(true)))
	for i := range row {
		row[i] = text("")
	}
	row[0], row[3], row[4] = text(Count(t.Accounts, "account")), number(t.Waiting), octets(t.WaitingBytes)
	row[len(row)-1] = checkEnding(r.ExitCode, t.Warnings)
	return row
}

func checkVerdict(r check.Report) string {
	t := r.Totals
	const quiet = " Nothing was written."
	switch stopped := stoppedIn(r); {
	case stopped > 0:
		return fmt.Sprintf("Stopped: %d of %s were not looked at.", stopped, Count(t.Accounts, "account")) + quiet
	case t.Failed > 0:
		return fmt.Sprintf("%d of %s can't be run yet; see what to check.", t.Failed, Count(t.Accounts, "account")) + quiet
	case t.Warnings > 0:
		return fmt.Sprintf("Both sides of %s work, with %s.", allOf(t.Accounts), Count(t.Warnings, "warning")) + quiet
	}
	return fmt.Sprintf("Both sides of %s work.", allOf(t.Accounts)) + quiet
}

// stoppedIn counts the accounts of which not all was looked at.
func stoppedIn(r check.Report) (n int) {
	for _, a := range r.Accounts {
		for _, p := range []*check.Problem{a.Source.Problem, a.Destination.Problem} {
			if p != nil && p.Topic == check.Stopped {
				n++
				break
			}
		}
	}
	return n
}

func allOf(n int) string {
	if n == 1 {
		return "the account"
	}
	return "all " + Count(n, "account")
}

// accountFacts describe the sides of each account.
func accountFacts(accounts []check.Account) (facts []Facts) {
	for _, a := range accounts {
		for _, side := range sidesOf(a) {
			if len(side.lines) > 0 {
				lines := append(side.lines, side.own...)
				for _, q := range side.Quirks {
					lines = append(lines, "known: "+q)
				}
				facts = append(facts, Facts{Title: a.Name + ": " + who(side.Side) + " on " + side.Server, Lines: lines})
			}
		}
	}
	return facts
}

// who logs in, and for whom.
func who(s check.Side) string {
	if s.AuthorizeAs != "" {
		return s.Username + " for " + s.AuthorizeAs
	}
	return s.Username
}

// serverFacts describe each server once. One that is not the same for all, as behind
// a balancer, is described in each of its forms.
func serverFacts(accounts []check.Account) (facts []Facts) {
	count := map[string]int{}
	for _, a := range accounts {
		for _, side := range sidesOf(a) {
			if len(side.lines) == 0 {
				continue
			}
			key := side.Server + "\n" + strings.Join(side.lines, "\n")
			if count[key]++; count[key] == 1 {
				facts = append(facts, Facts{Title: side.Server, Lines: side.lines})
			}
		}
	}
	slices.SortStableFunc(facts, func(a, b Facts) int { return strings.Compare(b.Title, a.Title) }) // POP3 first
	for i, f := range facts {
		facts[i].Title += " (" + Count(count[f.Title+"\n"+strings.Join(f.Lines, "\n")], "account") + ")"
	}
	return facts
}

// side is a side with what it says in words: of the server, and of this account.
type side struct {
	check.Side
	lines, own []string
}

func sidesOf(a check.Account) []side {
	s, d := a.Source, a.Destination
	return []side{
		{s.Side, sideLines(s.Side, s.LoginDelay, 0), sourceLines(s)},
		{d.Side, sideLines(d.Side, 0, d.AppendLimit), destinationLines(d)},
	}
}

// sideLines are none for a server that nobody logged in to.
func sideLines(s check.Side, delay float64, limit int64) []string {
	if s.Auth == "" {
		return nil
	}
	line := "no TLS"
	if s.TLS != nil {
		line = s.TLS.Version + ", certificate for " + Count(s.TLS.Certificate.Days, "more day")
	}
	lines := []string{line + ", login with " + s.Auth}
	var can []string
	for _, word := range s.Capabilities {
		can = append(can, capability(word, delay, limit))
	}
	if len(s.Missing) > 0 {
		can = append(can, "without "+strings.Join(s.Missing, ", "))
	}
	if len(can) > 0 {
		lines = append(lines, strings.Join(can, ", "))
	}
	return lines
}

// capability says in words what has a number.
func capability(word string, delay float64, limit int64) string {
	name, value, _ := strings.Cut(word, " ")
	switch {
	case name == "EXPIRE" && value == "NEVER":
		return "keeps mail (EXPIRE NEVER)"
	case name == "EXPIRE" && value == "0": // RFC 2449 §6.7
		return "removes what was retrieved when a session ends with QUIT (EXPIRE 0)"
	case name == "EXPIRE" && value == "1":
		return "removes mail after 1 day (EXPIRE)"
	case name == "EXPIRE":
		return "removes mail after " + value + " days (EXPIRE)"
	case name == "LOGIN-DELAY":
		return Duration(seconds(delay)) + " between logins (LOGIN-DELAY)"
	case name == "APPENDLIMIT":
		return "messages up to " + Size(limit) + " (APPENDLIMIT)"
	}
	return word
}

func sourceLines(s check.Source) (lines []string) {
	switch mine := s.Messages - s.LeftAlone; {
	case s.Problem != nil && s.Messages == 0:
		return nil // nobody saw what is there
	case s.Messages == 0:
		return []string{"the maildrop is empty"}
	case s.Waiting > 0:
		lines = append(lines, fmt.Sprintf("%s waiting, %s; the largest has %s", Count(s.Waiting, "message"),
			Size(s.WaitingBytes), Size(s.Largest)))
	case mine > 0:
		lines = append(lines, "nothing waiting: "+All(mine, "message")+" "+were(mine)+" delivered before")
	default:
		lines = append(lines, "nothing waiting")
	}
	if s.LeftAlone > 0 {
		lines = append(lines, Count(s.LeftAlone, "message")+" left alone: another program fetched them (skip_uidls)")
	}
	return lines
}

func destinationLines(d check.Destination) (lines []string) {
	if f := d.Folder; f != nil {
		lines = append(lines, "folder "+f.Mailbox+folderState(*f))
	}
	for _, f := range d.Routed {
		lines = append(lines, "route to "+routeName(f)+folderState(f))
	}
	var room []string
	if d.QuotaBytes != nil {
		room = append(room, "the quota leaves "+Size(*d.QuotaBytes))
	}
	if d.QuotaMessages != nil {
		room = append(room, "room for "+Count(int(*d.QuotaMessages), "message"))
	}
	if d.AppendLimit > 0 && !slices.ContainsFunc(d.Capabilities, isAppendLimit) {
		room = append(room, "messages up to "+Size(d.AppendLimit))
	}
	if len(room) > 0 {
		lines = append(lines, strings.Join(room, ", "))
	}
	return lines
}

func isAppendLimit(word string) bool { return strings.HasPrefix(word, "APPENDLIMIT") }

func folderState(f check.Folder) string {
	state := ": " + Count(f.Messages, "message")
	switch {
	case f.Dated:
		return ": created as mail needs it"
	case !f.Exists:
		return ": will be created"
	}
	if f.Subscribed != nil && f.Mailbox != "INBOX" {
		if *f.Subscribed {
			return state + ", subscribed"
		}
		return state + ", not subscribed"
	}
	return state
}
