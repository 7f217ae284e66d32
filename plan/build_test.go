package plan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

func found(where string) plan.Match {
	return plan.Match{How: "content digest", Where: where, Certain: true}
}

// everyRule is one maildrop that meets every rule of Build; the UIDLs say which.
func everyRule() plan.Input {
	old := now.Add(-40 * day)
	in := plan.Input{
		Account: "alice", ConfigHash: "c0ffee", Now: now, LastRun: now, Limit: 34_000_000,
		Keep: plan.Keep{Delete: true, For: 30 * day},
		Destination: plan.Destination{Host: "imap.example.net", User: "alice", Folder: "INBOX",
			UIDValidity: 7, UIDNext: 900, Messages: 812, Exists: true},
		Known: map[string]plan.Known{
			"u:known":        {State: "delivered", Listed: 1000, DeliveredAt: now, VerifiedAt: now},
			"u:due":          {State: "delivered", Listed: 1000, DeliveredAt: old, VerifiedAt: old},
			"u:unverified":   {State: "delivered", Listed: 1000, DeliveredAt: old},
			"u:reused":       {State: "delivered", Listed: 999, DeliveredAt: old, VerifiedAt: old},
			"u:reused-found": {State: "delivered", Listed: 1, DeliveredAt: old, VerifiedAt: old},
			"u:intent":       {State: "intent", Listed: 1000},
			"u:held":         {State: "held", Listed: 1000, Reason: "refused: \x1b[31mNUL"},
			"u:held-reused":  {State: "held", Listed: 1001, Reason: "refused"},
			"u:sent":         {State: "delete-sent", Listed: 1000, DeliveredAt: old, VerifiedAt: old},
			"u:sent-kept":    {State: "delete-sent", Listed: 1000, DeliveredAt: now, VerifiedAt: now},
			"u:gone":         {State: "gone", Listed: 1000, DeliveredAt: old, VerifiedAt: old},
			"u:gone-found":   {State: "gone", Listed: 1000, DeliveredAt: old, VerifiedAt: old},
			"u:strange":      {State: "exploded", Listed: 1000},
			"u:twice":        {State: "delivered", Listed: 1000, DeliveredAt: old, VerifiedAt: old},
			"u:twice-ok":     {State: "delivered", Listed: 1000, DeliveredAt: old, VerifiedAt: old},
			"u:twice-header": {State: "delivered", Listed: 1000, DeliveredAt: old, VerifiedAt: old},
			"u:was-twice":    {State: "delivered", Listed: 1000, DeliveredAt: old, VerifiedAt: old},
			"u:was-twice #2": {State: "held", Listed: 1000},
			"u:elsewhere":    {State: "delivered", Listed: 1000, DeliveredAt: old, VerifiedAt: old},
			"":               {State: "delivered", Listed: 1000, DeliveredAt: old, VerifiedAt: old},
		},
		Found: map[string]plan.Match{
			"u:duplicate":    found("INBOX uid 812"),
			"u:maybe":        {How: "header digest", Where: "INBOX uid 5"},
			"u:large-found":  found("INBOX uid 6"),
			"u:reused-found": found("INBOX uid 7"),
			"u:gone-found":   found("Old uid 8"),
			"u:twice-ok":     found("INBOX uid 9"),
			"u:twice-header": {How: "header digest", Where: "INBOX uid 10", Certain: true},
			"":               found("INBOX uid 11"),
			"c:d1":           found("INBOX uid 12"),
		},
		Warnings: []string{"mail of alice goes to bob"},
	}
	for i, uidl := range []string{"new", "known", "due", "unverified", "reused", "reused-found",
		"intent", "held", "held-reused", "sent", "sent-kept", "gone", "gone-found", "strange",
		"twice", "twice", "twice-ok", "twice-ok", "twice-header", "twice-header", "was-twice",
		"duplicate", "maybe", "", "bad uidl", "esc\x1b"} {
		in.Listing = append(in.Listing, plan.Listed{Number: i + 1, Size: 1000, UIDL: uidl})
	}
	in.Listing = append(in.Listing,
		plan.Listed{Number: 27, Size: 41_000_000, UIDL: "large"},
		plan.Listed{Number: 28, Size: 41_000_000, UIDL: "large-found"},
		plan.Listed{Number: 29, Size: 34_000_001, UIDL: "barely-large"},
		plan.Listed{Number: 30, Size: 34_000_000, UIDL: "fits"},
		plan.Listed{Number: 31, Size: 1000, Key: "c:d1"})
	return in
}

func explain(t *testing.T, p plan.Plan) string {
	t.Helper()
	var b strings.Builder
	if err := p.Explain(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestEveryRule holds the verdict on every kind of message, the table and the
// stored form.
func TestEveryRule(t *testing.T) {
	p := plan.Build(everyRule())
	golden(t, "testdata/plan/explain.golden", explain(t, p))
	golden(t, "testdata/plan/table.golden", p.String())
	var file bytes.Buffer
	if err := plan.Encode(&file, []plan.Plan{p}); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/plan/plan.json", file.String())
}

// TestVerdicts says in words what the golden file must not lose unnoticed.
func TestVerdicts(t *testing.T) {
	in := everyRule()
	want := map[string]plan.Verb{
		"new": plan.Copy, "known": plan.Skip, "due": plan.Delete, "unverified": plan.Skip,
		"reused": plan.Copy, "reused-found": plan.Skip, "intent": plan.Park, "held": plan.Hold,
		"held-reused": plan.Copy, "sent": plan.Delete, "sent-kept": plan.Skip, "gone": plan.Copy,
		"gone-found": plan.Skip, "strange": plan.Park, "was-twice": plan.Skip,
		"duplicate": plan.Skip, "maybe": plan.Copy, "large": plan.Hold, "large-found": plan.Skip,
		"barely-large": plan.Hold, "fits": plan.Copy,
	}
	possible := map[string]bool{"gone": true, "reused": true, "maybe": true}
	for _, a := range plan.Build(in).Actions {
		verb, listed := want[a.UIDL]
		if listed && (a.Verb != verb || a.Possible != possible[a.UIDL]) {
			t.Errorf("%s: %s (%s), possible %v", a.UIDL, a.Verb, a.Why, a.Possible)
		}
		if a.UIDL == "unverified" != a.Verify {
			t.Errorf("%s: Verify is %v", a.UIDL, a.Verify)
		}
	}
	in.HeldToo, in.Keep = true, plan.Keep{}
	for _, a := range plan.Build(in).Actions {
		switch {
		case a.Verb == plan.Delete:
			t.Errorf("%s is deleted although all is kept", a.UIDL)
		case a.UIDL == "held" && a.Verb != plan.Copy:
			t.Errorf("held mail is not tried again: %s", a.Why)
		}
	}
}

func TestBuildChangesNoInput(t *testing.T) {
	in := everyRule()
	in.Warnings = append(make([]string, 0, 9), in.Warnings...)
	first := plan.Build(in)
	if diff := cmp.Diff(everyRule(), in); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(first, plan.Build(in)); diff != "" {
		t.Errorf("the second plan differs:\n%s", diff)
	}
	if in.Warnings[:2][1] != "" {
		t.Error("Build writes into the caller's warnings")
	}
}

func TestTableOfSeveral(t *testing.T) {
	a := plan.Build(everyRule())
	b := plan.Build(plan.Input{Account: "bob\x1b[2J",
		Listing:     []plan.Listed{{Number: 1, Size: 1500, UIDL: "x"}},
		Destination: plan.Destination{Host: "imap.example.net", Folder: "Old\nmail"}})
	golden(t, "testdata/plan/tables.golden", plan.Plans{a, b, plan.Build(plan.Input{
		Account: "empty", Destination: plan.Destination{Exists: true}})}.String())
}

func TestEncodeDecode(t *testing.T) {
	plans := []plan.Plan{plan.Build(everyRule()), plan.Build(plan.Input{Account: "empty"})}
	plans[1].Actions, plans[1].Warnings = []plan.Action{}, []string{}
	var file bytes.Buffer
	if err := plan.Encode(&file, plans); err != nil {
		t.Fatal(err)
	}
	text := file.String()
	back, err := plan.Decode(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plans, back); diff != "" {
		t.Errorf("-stored +read:\n%s", diff)
	}
	for from, damaged := range map[string]string{
		"truncated":    text[:len(text)/2],
		"nothing":      "",
		"no JSON":      "plan",
		"trailing":     text + "{}",
		"version":      strings.Replace(text, `"version":1`, `"version":2`, 1),
		"one version":  strings.Replace(text, `{"version":1,"account"`, `{"version":9,"account"`, 1),
		"verb":         strings.Replace(text, `"verb":"copy"`, `"verb":"burn"`, 1),
		"another verb": strings.Replace(text, `"verb":"skip"`, `"verb":"delete"`, 1),
		"size":         strings.Replace(text, `"size":1000`, `"size":1001`, 1),
		"wrong type":   strings.Replace(text, `"size":1000`, `"size":"x"`, 1),
	} {
		if _, err := plan.Decode(strings.NewReader(damaged)); fault.CodeOf(err) != fault.Config ||
			fault.HintOf(err) == "" {
			t.Errorf("%s: %v", from, err)
		}
	}
}

// brokenDisk fails every write.
type brokenDisk struct{}

var errDisk = errors.New("disk full")

func (brokenDisk) Write([]byte) (int, error) { return 0, errDisk }

func TestWriteErrorsAreReported(t *testing.T) {
	p := plan.Build(everyRule())
	if err := plan.Encode(brokenDisk{}, []plan.Plan{p}); !errors.Is(err, errDisk) ||
		fault.CodeOf(err) != fault.State {
		t.Errorf("Encode: %v", err)
	}
	if err := p.Explain(brokenDisk{}); !errors.Is(err, errDisk) {
		t.Errorf("Explain: %v", err)
	}
}

func TestSizesAreReadable(t *testing.T) {
	for size, want := range map[int64]string{
		0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 9949: "9.9 kB", 9950: "10 kB",
		999_499: "999 kB", 999_500: "1.0 MB", 34_000_000: "34 MB", 1 << 62: "4.6 EB",
	} {
		p := plan.Build(plan.Input{Account: "a", Listing: []plan.Listed{{Size: size}}})
		if got := p.Totals().Listed.String(); got != fmt.Sprintf("1 (%s)", want) {
			t.Errorf("%d: %s, want %s", size, got, want)
		}
	}
}

func TestKeys(t *testing.T) {
	var listing []plan.Listed
	for _, uidl := range []string{"a", "b", "a", "", "a", "a#2", "a #2", "a\x1b", "\xff", "é",
		strings.Repeat("x", 1025)} {
		listing = append(listing, plan.Listed{UIDL: uidl})
	}
	want := []string{"u:a", "u:b", "u:a #2", "", "u:a #3", "u:a#2", "", "", "", "u:é", ""}
	if diff := cmp.Diff(want, plan.Keys(listing)); diff != "" {
		t.Error(diff)
	}
	if a, b := plan.ContentKey("ab12", 1), plan.ContentKey("ab12", 2); a != "c:ab12" ||
		b != "c:ab12 #2" {
		t.Error(a, b)
	}
}

// TestOnePlanAsJSON is what --json shows: the stored form of one plan.
func TestOnePlanAsJSON(t *testing.T) {
	p := plan.Build(everyRule())
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back plan.Plan
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, back); diff != "" {
		t.Error(diff)
	}
	if !bytes.Contains(text, []byte(`"duplicate":{"messages":5,`)) {
		t.Errorf("no totals in %s", text)
	}
}

func TestRemovedAfter(t *testing.T) {
	for days, want := range map[int]string{1: "after 1 day by itself (EXPIRE 1)", 30: "after 30 days by itself (EXPIRE 30)"} {
		if got := plan.RemovedAfter(days); !strings.HasSuffix(got, want) {
			t.Error(got)
		}
	}
}

// TestRetentionIsWarnedOf (S19): where the POP3 server takes mail that is to stay.
func TestRetentionIsWarnedOf(t *testing.T) {
	const rule = "the POP3 server removes mail after 14 days by itself (EXPIRE 14)"
	held := plan.Input{Now: now, Listing: []plan.Listed{{Number: 1, Size: 1000, UIDL: "a"}}, Limit: 10}
	const rare = "interval: 15d is no less than mail stays, and a bridge may find it gone: " + rule
	for _, c := range []struct {
		in     plan.Input
		expire string
		keep   plan.Keep
		want   []string
	}{
		{held, "", plan.Keep{}, nil},
		{held, "NEVER", plan.Keep{Delete: true, For: 30 * day}, nil},
		{plan.Input{}, "14", plan.Keep{}, nil},
		{plan.Input{}, "14", plan.Keep{Delete: true, For: 14 * day}, nil},
		{plan.Input{}, "14", plan.Keep{Delete: true, For: 15 * day}, []string{"keep: 15d is longer than mail stays: " + rule}},
		{held, "14", plan.Keep{Delete: true}, []string{"1 message held, and " + rule + "; run --export-held keeps what is held, while no bridge is at work"}},
		{plan.Input{Pace: plan.Pace{Interval: 15 * day}}, "14", plan.Keep{}, []string{rare}},
		{plan.Input{Pace: plan.Pace{Interval: 15 * day}}, "16", plan.Keep{}, nil},
		{held, "0", plan.Keep{Delete: true, For: day}, []string{"the POP3 server removes what was retrieved when the " +
			"session ends with QUIT (EXPIRE 0); such sessions end without it, and nothing goes before its time"}},
	} {
		c.in.Expire, c.in.Keep = c.expire, c.keep
		if diff := cmp.Diff(c.want, plan.Build(c.in).Warnings); diff != "" {
			t.Errorf("EXPIRE %s, keep %s (-want +got):\n%s", c.expire, c.keep, diff)
		}
	}
}

// TestBuildWarnsOfAPage: what a provider lists may be a part of what is waiting.
func TestBuildWarnsOfAPage(t *testing.T) {
	const warning = "Example Mail lists about 250 messages at a time: more may be waiting than are listed, " +
		"and a run brings those too"
	pages := plan.Ways{Provider: "Example Mail", Page: 250}
	for _, c := range []struct {
		listed int
		from   plan.Ways
		warns  bool
	}{{224, pages, false}, {225, pages, true}, {250, pages, true}, {250, plan.Ways{Provider: "Example Mail"}, false}, {250, plan.Ways{}, false}} {
		in := plan.Input{Source: c.from, Listing: make([]plan.Listed, c.listed)}
		for i := range in.Listing {
			in.Listing[i] = plan.Listed{Number: i + 1, Size: 1, UIDL: fmt.Sprint(i)}
		}
		if got := strings.Join(plan.Build(in).Warnings, "\n"); (got == warning) != c.warns || !c.warns && got != "" {
			t.Errorf("%d of %+v: %q", c.listed, c.from, got)
		}
	}
}
