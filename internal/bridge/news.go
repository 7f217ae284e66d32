package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
)

// Kind says what a [News] is about.
type Kind string

const (
	// Fails: the account has failed for longer than it may.
	Fails Kind = "failing"
	// Recovered: it works again, after somebody was told that it fails.
	Recovered Kind = "recovered"
	// Holds: messages are held that were not before.
	Holds Kind = "held"
	// Expires: a certificate or a token is about to expire.
	Expires Kind = "expiring"
	// Awaits: something waits for a person's word.
	Awaits Kind = "awaiting"
	// Vanishes: the POP3 server will remove mail that is still to be moved.
	Vanishes Kind = "vanishing"
)

// expiresSoon is how long before its end a certificate or token is news.
const expiresSoon = 14 * 24 * time.Hour

// sameExpiry is how much earlier an end has to be than one that was told, to be news.
const sameExpiry = 24 * time.Hour

// vanishAgain is how long that is told of once.
const vanishAgain = 7 * 24 * time.Hour

// News is something that somebody has to know. Its JSON is what webhooks and commands
// get.
type News struct {
	Version int       `json:"version"`
	Kind    Kind      `json:"kind"`
	Account string    `json:"account"`
	Time    time.Time `json:"time"`
	// Text says it in one sentence, Check what to do first.
	Text  string `json:"text"`
	Check string `json:"check,omitempty"`
	// Since is when it began, for what lasts.
	Since    time.Time             `json:"since,omitzero"`
	Error    *ferry.ErrorReport    `json:"error,omitempty"`
	Messages []ferry.MessageReport `json:"messages,omitempty"`
	// More are further news of the kind, where so many waited to be brought that they
	// were put together.
	More []More `json:"more,omitempty"`
}

// More is a news that is brought with another.
type More struct {
	Account string    `json:"account"`
	Time    time.Time `json:"time"`
	Text    string    `json:"text"`
}

// Way is how a way to bring news by does.
type Way struct {
	By string `json:"by"`
	// Waiting is how many news it has not brought yet.
	Waiting int `json:"waiting"`
	// Error is why it has brought none since Since, though it tries; nil if all is well.
	Since time.Time          `json:"since,omitzero"`
	Error *ferry.ErrorReport `json:"error,omitempty"`
}

// NewWay makes one; err is nil if all is well.
func NewWay(by string, waiting int, since time.Time, err error) Way {
	w := Way{By: by, Waiting: waiting}
	if err != nil {
		w.Since, w.Error = since, ferry.NewErrorReport(err)
	}
	return w
}

// told is what somebody knows of an account already, so that no news comes twice.
type told struct {
	Works   bool                 `json:"works,omitempty"`  // when it was last tried
	Worked  bool                 `json:"worked,omitempty"` // some time
	Failing bool                 `json:"failing,omitempty"`
	Since   time.Time            `json:"since,omitzero"`
	Held    []string             `json:"held,omitempty"`
	Awaits  bool                 `json:"awaits,omitempty"`
	Expires map[string]time.Time `json:"expires,omitempty"`
	Vanish  map[string]time.Time `json:"vanish,omitempty"` // when, by why

	retention ferry.Retention // as far as it was seen by this process
	// since is Since by the clock that can't be set; zero: not known yet.
	since time.Time
}

// Newsroom makes news of passes. What it told survives a restart where Load and Save
// do.
type Newsroom struct {
	// After is how long an account may fail before that is news.
	After func(account string) time.Duration
	// Load and Save keep a text for an account.
	Load func(account string) string
	Save func(account, text string)
	// Forget drops the texts of all accounts but some, unless it is nil.
	Forget func(but []string)
	// Beat is told whether all accounts are known to work, unless it is nil: see
	// [Newsroom.Heartbeat].
	Beat func(works bool)
	// Publish brings news to whom it concerns, unless it is nil. Only then it counts as told.
	Publish func([]News)

	mu    sync.Mutex
	known map[string]*told
}

// From returns what is new about a pass. How one would have ended that was told to stop,
// nobody knows.
func (n *Newsroom) From(p Pass) []News {
	if p.Stopped {
		return nil
	}
	r := p.Report
	ended := p.Started.Add(time.Duration(r.Seconds * float64(time.Second)))
	return n.learn(r.Name, ended, func(t *told, add func(*News)) {
		o := outcomeOf(r, ended)
		switch {
		case !o.ok():
			t.Works = false
			add(t.fails(r.Error, p.Started, ended, n.After(r.Name)))
		case o.proves():
			t.Works, t.Worked = true, true
			add(t.recovered(ended))
		}
		if o.ok() && !o.resting && !r.GaveWay { // else it did not see all
			add(t.holds(r))
			add(t.awaits(r))
		}
		for _, e := range r.Expiries {
			add(n.toldOfExpiry(t, e).expires(e, ended))
		}
		if r.Retention.Days > 0 {
			t.retention = r.Retention
		}
		add(t.vanishes(ended))
	})
}

// Heartbeat has the heart beat if nothing fails and all accounts are known to work, and else
// not even if it was about to. It is called after each pass, and by Watch while none passes
// since all rest.
func (n *Newsroom) Heartbeat(s Snapshot) {
	if n.Beat != nil {
		n.Beat(s.Worst() == fault.OK && n.Works(s))
	}
}

// Works reports whether every account did when it was last tried, perhaps by a process
// before this one: a bridge that dies again and again must not seem well in between.
func (n *Newsroom) Works(s Snapshot) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !slices.ContainsFunc(s.Accounts, func(a AccountState) bool { return !n.toldOf(a.Name).Works })
}

// Keep forgets what was told of accounts that are not among those: one that comes back
// later is new.
func (n *Newsroom) Keep(accounts []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	but := append(slices.Clone(accounts), everybody)
	maps.DeleteFunc(n.known, func(account string, _ *told) bool { return !slices.Contains(but, account) })
	if n.Forget != nil {
		n.Forget(but)
	}
}

// Watch looks each minute, until ctx ends, for accounts that fail for too long by now and
// wait: the next pass of one whose credentials were refused may be a day away. So may that
// of all while they rest, and whoever waits for the heart to beat would take that for death.
func (n *Newsroom) Watch(ctx context.Context, b *Bridge) {
	minutes := time.NewTicker(time.Minute)
	defer minutes.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-minutes.C:
		}
		s := b.Snapshot()
		if s.Rests() {
			n.Heartbeat(s)
		}
		for _, a := range s.Accounts {
			if a.waitsFailed() {
				n.overdue(a, s.Now)
			}
		}
	}
}

// waitsFailed reports that the account fails, and that no pass is about to tell better. One
// that rests gets another chance first.
func (s *AccountState) waitsFailed() bool {
	return (s.Phase == Failing || s.Phase == Parked) && !s.Resting
}

// overdue passes over what the last pass told differently just now.
func (n *Newsroom) overdue(a AccountState, now time.Time) {
	n.learn(a.Name, now, func(t *told, add func(*News)) {
		if a.Passes > 0 && t.Since.IsZero() {
			return
		}
		add(t.fails(a.Error, a.Since, now, n.After(a.Name)))
		add(t.vanishes(now))
	})
}

// learn collects what is new about an account, and remembers what was told.
func (n *Newsroom) learn(account string, at time.Time, of func(t *told, add func(*News))) (news []News) {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.remember(account)()
	defer n.remember(everybody)()
	of(n.toldOf(account), func(item *News) {
		if item != nil {
			item.Version, item.Account, item.Time = 1, account, at.UTC()
			news = append(news, *item)
		}
	})
	if len(news) > 0 && n.Publish != nil {
		n.Publish(news)
	}
	return news
}

// remember returns what saves the text of an account if that is another by then.
func (n *Newsroom) remember(account string) func() {
	before, _ := json.Marshal(n.toldOf(account))
	return func() {
		if after, _ := json.Marshal(n.toldOf(account)); string(after) != string(before) {
			n.Save(account, string(after))
		}
	}
}

// everybody stands for all accounts: what was told of what they share is no news to another.
const everybody = ""

func (n *Newsroom) toldOfExpiry(t *told, e ferry.Expiry) *told {
	if e.Accounts == 0 {
		return t
	}
	return n.toldOf(everybody)
}

func (n *Newsroom) toldOf(account string) *told {
	if n.known == nil {
		n.known = map[string]*told{}
	}
	if n.known[account] == nil {
		t := &told{}
		// What can't be read is not known: news may come twice.
		_ = json.Unmarshal([]byte(n.Load(account)), t)
		t.Worked = t.Worked || t.Works
		n.known[account] = t
	}
	return n.known[account]
}

func (t *told) fails(e *ferry.ErrorReport, started, ended time.Time, after time.Duration) *News {
	if t.Since.IsZero() || t.Since.After(started) { // the clock was set back
		t.Since = started.UTC()
	}
	if t.since.IsZero() {
		t.since = ago(started, t.Since)
	}
	if t.Failing || ended.Sub(t.since) < after || e == nil {
		return nil
	}
	t.Failing = true
	return &News{Kind: Fails, Since: t.Since, Error: e, Check: e.Hint,
		Text: fmt.Sprintf("has failed since %s: %s", day(t.Since), e.Message)}
}

func (t *told) recovered(ended time.Time) *News {
	since, failing := t.Since, t.Failing
	delete(t.Vanish, vanishesUntaken)
	t.Since, t.since, t.Failing = time.Time{}, time.Time{}, false
	if !failing {
		return nil
	}
	lasted := "less than a minute"
	if d := ended.Sub(since); d >= time.Minute {
		lasted = fault.Span(d.Round(time.Minute))
	}
	return &News{Kind: Recovered, Since: since, Text: "works again, after " + lasted}
}

// holds compares the messages held with those that were.
func (t *told) holds(r ferry.AccountReport) *News {
	var held []ferry.MessageReport
	var now []string
	for _, m := range r.Messages {
		if m.State == "held" {
			held, now = append(held, m), append(now, heldAs(m))
		}
	}
	fresh := notAmong(t.Held, held)
	slices.Sort(now)
	t.Held = now
	if len(fresh) == 0 {
		return nil
	}
	delete(t.Vanish, vanishesHeld)
	what := "1 message can't be delivered and stays on POP3: "
	if len(fresh) > 1 {
		what = fmt.Sprintf("%d messages can't be delivered and stay on POP3; the first: ", len(fresh))
	}
	return &News{Kind: Holds, Messages: fresh[:min(len(fresh), 100)], Text: what + fresh[0].Reason,
		Check: "popferry status tells of each; to keep them as files, stop the bridge, and type popferry run --export-held DIR"}
}

// heldAs names a message in [told.Held].
func heldAs(m ferry.MessageReport) string { return fmt.Sprintf("%s %d", m.UIDL, m.Size) }

// sizeIn is the size in such a name.
func sizeIn(name string) string { return name[strings.LastIndexByte(name, ' ')+1:] }

// notAmong are the messages that were not held before. Where none has its UIDL any more, the
// server renumbered, as some do in each session, and only the sizes tell.
func notAmong(before []string, held []ferry.MessageReport) []ferry.MessageReport {
	fresh := exceeding(before, held, func(name string) string { return name })
	if len(fresh) == len(held) {
		fresh = exceeding(before, held, sizeIn)
	}
	return fresh
}

// exceeding are the messages that are more than there were, of each kind.
func exceeding(before []string, held []ferry.MessageReport, kind func(name string) string) (more []ferry.MessageReport) {
	left := map[string]int{}
	for _, name := range before {
		left[kind(name)]++
	}
	for _, m := range held {
		of := kind(heldAs(m))
		if left[of]--; left[of] < 0 {
			more = append(more, m)
		}
	}
	return more
}

// awaits tells once that a person's word is missing.
func (t *told) awaits(r ferry.AccountReport) *News {
	a, before := awaits(r), t.Awaits
	if t.Awaits = a != nil; a == nil || before {
		return nil
	}
	return &News{Kind: Awaits, Text: a.Message, Check: a.Hint}
}

// expires tells of an end once. That of a server whose machines have several certificates
// moves to and fro, and what is renewed in time never gets near its end.
func (t *told) expires(e ferry.Expiry, now time.Time) *News {
	soon := expiresSoon
	if e.Life > 0 {
		soon = min(soon, e.Life/3)
	}
	before := t.Expires[e.What]
	if e.At.Sub(now) > soon {
		if before.Equal(e.At) { // a clock told that was ahead
			delete(t.Expires, e.What)
		}
		return nil
	}
	if before.After(now) && before.Sub(e.At) <= sameExpiry || before.Equal(e.At) {
		return nil
	}
	if t.Expires == nil {
		t.Expires = map[string]time.Time{}
	}
	t.Expires[e.What] = e.At
	text := e.What + " expires on " + day(e.At)
	if e.Accounts > 1 {
		text += fmt.Sprintf("; %d accounts need it", e.Accounts)
	}
	return &News{Kind: Expires, Since: e.At, Text: text, Check: e.Check}
}

// danger is a reason why mail may vanish.
type danger struct{ why, what, check string }

// vanishes tells that the POP3 server removes mail by itself: of one reason after the other,
// and again and again.
func (t *told) vanishes(now time.Time) *News {
	for _, d := range t.dangers(now) {
		at, known := t.Vanish[d.why]
		if age := now.Sub(at); known && (d.why == vanishesEarly || age >= 0 && age < vanishAgain) { // less than 0: the clock was set back
			continue
		}
		if t.Vanish == nil {
			t.Vanish = map[string]time.Time{}
		}
		t.Vanish[d.why] = now.UTC()
		return &News{Kind: Vanishes, Check: d.check,
			Text: d.what + ": " + t.retention.String()}
	}
	return nil
}

// Why mail vanishes, in [told.Vanish]. Early is what somebody has set so, and told once.
const (
	vanishesHeld    = "held"
	vanishesUntaken = "untaken"
	vanishesBetween = "between"
	vanishesEarly   = "early"
)

// dangers are those there are, the most urgent first. What comes while the account fails is
// none as long as there is much time; but of one that never worked, what is there already
// may be of any age.
func (t *told) dangers(now time.Time) (list []danger) {
	limit := time.Duration(t.retention.Days) * 24 * time.Hour
	if limit == 0 {
		return nil
	}
	if len(t.Held) > 0 {
		list = append(list, danger{vanishesHeld, "mail that is held will be lost",
			"stop the bridge, and keep what is held with popferry run --export-held DIR; or have the server's limit raised"})
	}
	if t.Failing && (!t.Worked || limit-now.Sub(t.Since) <= expiresSoon) {
		what := "mail that came since " + day(t.Since) + " will be lost"
		if !t.Worked {
			what = "mail that is still on POP3 will be lost"
		}
		list = append(list, danger{vanishesUntaken, what,
			"mend what fails before that, or have the server's limit raised"})
	}
	if t.retention.Interval != "" {
		list = append(list, danger{vanishesBetween, "mail may be lost between two passes, interval: " + t.retention.Interval,
			"shorten the interval of the account, or have the server's limit raised"})
	}
	if t.retention.Keep != "" {
		list = append(list, danger{vanishesEarly, "mail does not stay as long as keep: " + t.retention.Keep + " says",
			"have the server's limit raised, or shorten keep"})
	}
	return list
}

// day writes a moment for people.
func day(at time.Time) string { return at.Local().Format("2006-01-02 15:04") }
