//go:build !race

package steps_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/voyage"
)

// row is one wrong answer in the place of a right one.
type row struct {
	// id is the row of the fault catalogue, name what is special here.
	id, name string
	// mail is in the maildrop; nil: three letters.
	mail    [][]byte
	options func(*voyage.Options)
	setup   func(*voyage.World)
	// prior has a run come to its end before anything is wrong.
	prior bool
	// dies has the run that meets the fault killed at the first step of such a
	// name; it has no exit status then.
	dies func(step string) bool
	// fault makes the servers sick; nil: options or setup did that.
	fault func(*voyage.World)
	// code is the exit status of the run that meets the fault, limit how long it
	// may take, 0: three minutes, and least how long it has to.
	code         fault.Code
	limit, least time.Duration
	// says has to be in an error, a reason or a note of that run.
	says string
	// also looks at more.
	also func(*player, ferry.Report)
	// cure ends the fault; then a healthy run has this exit status.
	cure    func(*voyage.World)
	healthy fault.Code
	left    int // in the maildrop at the end, if deleted from
	// hopeless faults can't be noticed: nothing is lost, and this is what stays wrong, as
	// [voyage.World.Wrong] begins it. Then a person has a remedy; nil: none.
	hopeless []string
	remedy   func(*player)
	only     func(combination) bool
}

// ways are those in which each row is run: keeping mail and deleting it.
var ways = []combination{{uidplus: true, uidl: true}, {uidplus: true, uidl: true, delete: true}}

// table runs rows.
func table(t *testing.T, rows []row) {
	for _, r := range rows {
		for _, c := range ways {
			if r.only != nil && !r.only(c) {
				continue
			}
			keep := "keep"
			if c.delete {
				keep = "delete"
			}
			t.Run(r.id+"/"+r.name+"/"+keep, func(t *testing.T) {
				t.Parallel()
				s := scenario{mail: r.mail, options: r.options, setup: r.setup, left: r.left}
				if s.mail == nil {
					s.mail = letters(0, 3)
				}
				inBubble(t, s, c, nil, func(p *player) { p.meet(r) })
			})
		}
	}
}

// meet has a run meet the fault, and the next ones put right what it left.
func (p *player) meet(r row) {
	if r.prior {
		p.live(&voyage.Life{})
	}
	if r.fault != nil {
		r.fault(p.w)
	}
	began := time.Now()
	life := &voyage.Life{}
	if r.dies != nil {
		life.KillAt, life.Only = 1, r.dies
	}
	report := p.live(life)
	if died := life.Died(); died != (r.dies != nil) {
		p.Errorf("died: %v", died)
	}
	p.code = r.code
	if report.ExitCode != r.code {
		p.Errorf("exit status %d, want %d", report.ExitCode, r.code)
	}
	limit := r.limit
	if limit == 0 {
		limit = 3 * time.Minute
	}
	if took := time.Since(began); took > limit || took < r.least {
		p.Errorf("it took %v", took)
	}
	p.expect("after the fault", p.w.Lost())
	p.hears(report, r.says)
	if r.also != nil {
		r.also(p, report)
	}
	if r.cure != nil {
		r.cure(p.w)
	}
	p.code = r.healthy
	if r.hopeless != nil {
		p.staysWrong(r.hopeless)
		if r.remedy == nil {
			return
		}
		r.remedy(p)
	}
	p.recover()
	p.idle()
}

// staysWrong is a run with healthy servers that knows of nothing to put right, and puts right
// nothing.
func (p *player) staysWrong(want []string) {
	p.Helper()
	report := p.live(&voyage.Life{})
	if report.ExitCode != p.code || report.Totals.Delivered != 0 {
		p.Errorf("when the servers are well: exit status %d, want %d: %+v", report.ExitCode, p.code, report.Totals)
	}
	p.expect("in the end", p.w.Lost())
	if wrong := p.w.Wrong(); !slices.EqualFunc(wrong, want, strings.HasPrefix) {
		p.Errorf("in the end: %q, want %q", wrong, want)
	}
}

// does has a person call for something else than a run.
func (p *player) does(verb func(context.Context, ferry.Options) ferry.Report, want fault.Code) {
	p.Helper()
	p.w.Verb = verb
	defer func() { p.w.Verb = nil }()
	if report := p.live(&voyage.Life{}); report.ExitCode != want {
		p.Errorf("exit status %d, want %d", report.ExitCode, want)
	}
}

// verifies proves what the journal says, as popferry verify does.
func verifies(ctx context.Context, o ferry.Options) ferry.Report {
	return ferry.Report{ExitCode: ferry.Verify(ctx, o).ExitCode}
}

// longest is how long anything may be that a person is told, whatever a server says.
const longest = 1000

// hears makes sure that a report says something, and nothing that could move the
// cursor of whoever reads it or fill the screen.
func (p *player) hears(report ferry.Report, words string) {
	p.Helper()
	var said []string
	for _, a := range report.Accounts {
		said = append(said, a.Notes...)
		if a.Error != nil {
			said = append(said, a.Error.Message, a.Error.Hint)
			if a.Error.Hint == "" {
				p.Errorf("no hint for: %s", a.Error.Message)
			}
		}
		for _, m := range a.Messages {
			said = append(said, m.Reason)
		}
	}
	for _, text := range said {
		if len(text) > longest {
			p.Errorf("%d octets said at once: %s", len(text), text)
		}
	}
	all := strings.Join(said, "\n")
	if !strings.Contains(all, words) {
		p.Errorf("%q is not in what it said:\n%s", words, all)
	}
	for _, c := range all {
		if c < ' ' && c != '\n' {
			p.Errorf("raw %q in what it said:\n%q", c, all)
		}
	}
}

// exitCodes makes a row for each of several replies with an exit status each.
func exitCodes(base row, replies map[string]fault.Code, set func(string) func(*voyage.World)) []row {
	var rows []row
	for reply, code := range replies {
		r := base
		r.name, r.code, r.fault, r.says = base.name+" "+abridged(reply), code, set(reply), wordsOf(reply)
		rows = append(rows, r)
	}
	return rows
}

// wordsOf are those of a refusal that are for people.
func wordsOf(reply string) string {
	_, words, _ := strings.Cut(reply, " ")
	if _, behind, coded := strings.Cut(words, "] "); coded {
		return behind
	}
	return words
}

func abridged(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '/' {
			return '_'
		}
		return r
	}, text[:min(len(text), 40)])
}
