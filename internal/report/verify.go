package report

import (
	"strconv"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
)

// Verify is the result of `popferry verify`.
func Verify(r ferry.VerifyReport) Result { return verification{r} }

type verification struct{ report ferry.VerifyReport }

// JSON is the report itself.
func (v verification) JSON() any { return v.report }

// Sheet has a row for each account.
func (v verification) Sheet() Sheet {
	r := v.report
	s := Sheet{
		Title: "popferry verify", Deed: true, ExitCode: r.ExitCode,
		Columns: []Column{
			{Name: "account"}, {Name: "delivered", Number: true}, {Name: "found", Number: true},
			{Name: "altered", Number: true}, {Name: "moved", Number: true}, {Name: "missing", Number: true},
			{Name: "dropped", Number: true, Minor: true}, {Name: "open", Number: true, Minor: true}, {Name: "result"},
		},
	}
	failed := 0
	for _, a := range r.Accounts {
		s.Rows = append(s.Rows, append(verified(a.Name, a.VerifyTotals), proof(a.ExitCode)))
		s.issue(a.Name, a.Error)
		s.messages(a.Name, a.Messages)
		if a.Error != nil {
			failed++
		}
	}
	if len(r.Accounts) > 1 {
		s.Total = append(verified(Count(len(r.Accounts), "account"), r.Totals), proof(r.ExitCode))
	}
	s.Verdict = verifyVerdict(r, failed)
	return s
}

func verified(name string, t ferry.VerifyTotals) []Cell {
	return []Cell{text(name), number(t.Delivered), number(t.Found), number(t.Altered),
		number(t.Moved), number(t.Missing), number(t.Dropped), number(t.Open)}
}

// proof is ending in the words of a proof: nothing is held back here.
func proof(code fault.Code) Cell {
	c := ending(code)
	if code == fault.Held {
		c.Text = "not proven"
	}
	return c
}

func verifyVerdict(r ferry.VerifyReport, failed int) string {
	text := deliveredVerdict(r, failed)
	if n := r.Totals.Dropped; n > 0 {
		text += " For " + Count(n, "message") + " only a twin is there: POP3 has the same octets more than once, " +
			"and the provider keeps them once."
	}
	if r.Totals.Marked > 0 {
		text += " Somebody marked " + Count(r.Totals.Marked, "message") +
			" there as deleted: a mail program that expunges the folder removes that for good."
	}
	if r.Totals.Open > 0 {
		text += " It is open whether " + Count(r.Totals.Open, "further message") +
			" arrived; popferry run settles that."
	}
	return text
}

func deliveredVerdict(r ferry.VerifyReport, failed int) string {
	if n := r.Totals.Unshown; n > 0 {
		return Count(r.Totals.Missing, "delivered message") + " can't be found at the destination, of which " +
			strconv.Itoa(n) + " may be there all the same: the server does not show all that it says it has. " +
			"Its operator can tell what is wrong with those folders."
	}
	if r.Totals.Missing > 0 {
		return Count(r.Totals.Missing, "delivered message") + " can't be found at the destination. " +
			"To have what POP3 still has of them delivered again, run once with a new --state directory: " +
			"what is there and was altered beyond recognition arrives a second time then."
	}
	if r.Totals.Altered > 0 {
		return "The destination altered " + Count(r.Totals.Altered, "delivered message") +
			"; what can't be proven is never deleted from POP3."
	}
	if failed > 0 {
		return verdict(r.ExitCode, failed, 0, "")
	}
	return provenVerdict(r.Totals)
}

func provenVerdict(t ferry.VerifyTotals) string {
	if t.Delivered == 0 {
		return "Nothing was delivered yet, so there is nothing to prove."
	}
	text := "Proven: the destination has " + All(t.Delivered, "delivered message") + "."
	if t.ByMessageID > 0 {
		text = "The destination has mail for " + All(t.Delivered, "delivered message") + ", but for " +
			Count(t.ByMessageID, "message") + " by the Message-ID only, as adopt --by message-id took them: " +
			"neither header nor text was compared with what POP3 has."
	}
	if t.ByHeader > 0 {
		text += " Of these, " + Count(t.ByHeader, "message") + " by header and size only, since their UIDLs changed or the journal was lost: " +
			"their text was not compared with what POP3 has."
	}
	return text
}
