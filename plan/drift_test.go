package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/popferry/popferry/plan"
)

// driftInput has one message of each verb: copy, skip (known), hold, delete,
// park, skip (duplicate), and a copy without UIDL.
func driftInput() plan.Input {
	in := plan.Input{
		Account: "alice", ConfigHash: "h", Now: now, Keep: plan.Keep{Delete: true},
		Destination: plan.Destination{Host: "imap.example.net", User: "alice", Folder: "INBOX",
			UIDValidity: 7, Exists: true},
		Known: map[string]plan.Known{
			"u:known":  {State: "delivered", Listed: 10, DeliveredAt: now.Add(day)},
			"u:held":   {State: "held", Listed: 10},
			"u:delete": {State: "delivered", Listed: 10, DeliveredAt: now, VerifiedAt: now},
			"u:park":   {State: "intent", Listed: 10},
		},
		Found: map[string]plan.Match{"u:duplicate": found("INBOX uid 3")},
	}
	for i, uidl := range []string{"copy", "known", "held", "delete", "park", "duplicate", ""} {
		in.Listing = append(in.Listing, plan.Listed{Number: i + 1, Size: 10, UIDL: uidl})
	}
	return in
}

func without(in *plan.Input, uidl string) {
	var rest []plan.Listed
	for _, l := range in.Listing {
		if l.UIDL != uidl {
			l.Number = len(rest) + 1
			rest = append(rest, l)
		}
	}
	in.Listing = rest
}

func TestDrift(t *testing.T) {
	delivered := plan.Known{State: "delivered", Listed: 10, DeliveredAt: now.Add(day)}
	for name, c := range map[string]struct {
		change func(*plan.Input)
		want   string // a part of the only difference; empty: none
	}{
		"nothing changed": {func(*plan.Input) {}, ""},
		"new mail": {func(in *plan.Input) {
			in.Listing = append(in.Listing, plan.Listed{Number: 8, Size: 1, UIDL: "late"})
		}, ""},
		"known mail gone":     {func(in *plan.Input) { without(in, "known") }, ""},
		"duplicate mail gone": {func(in *plan.Input) { without(in, "duplicate") }, ""},
		"held mail gone":      {func(in *plan.Input) { without(in, "held") }, ""},
		"planned copy gone": {func(in *plan.Input) { without(in, "copy") },
			"message 1 (10 bytes, UIDL copy) is gone"},
		"planned delete gone": {func(in *plan.Input) { without(in, "delete") },
			"message 4 (10 bytes, UIDL delete) is gone"},
		"nameless copy gone": {func(in *plan.Input) { without(in, "") },
			"message 7 (10 bytes, no UIDL) is gone"},
		"copy changed": {func(in *plan.Input) { in.Listing[0].Size = 11 },
			"its size was 10 bytes and is 11 bytes"},
		"known changed": {func(in *plan.Input) { in.Listing[1].Size = 11 },
			"message 2 (10 bytes, UIDL known) is another"},
		"nameless changed": {func(in *plan.Input) { in.Listing[6].Size = 11 }, "or changed"},
		"copy delivered by us": {func(in *plan.Input) {
			in.Known["u:copy"] = delivered
		}, ""},
		"copy in settlement": {func(in *plan.Input) { in.Known["u:copy"] = in.Known["u:park"] },
			""},
		"copy now a duplicate": {func(in *plan.Input) {
			in.Found["u:copy"] = found("INBOX uid 9")
		}, "was to copy, and would now skip (duplicate: INBOX uid 9, by content digest)"},
		"copy now held": {func(in *plan.Input) { in.Known["u:copy"] = in.Known["u:held"] },
			"was to copy, and would now hold"},
		"delete now kept": {func(in *plan.Input) { in.Known["u:delete"] = delivered },
			"was to delete, and would now skip"},
		"known forgotten": {func(in *plan.Input) { delete(in.Known, "u:known") },
			"was to skip, and would now copy (new)"},
		"known now deleted": {func(in *plan.Input) {
			in.Known["u:known"] = in.Known["u:delete"]
		}, "was to skip, and would now delete"},
		"park settled": {func(in *plan.Input) { in.Known["u:park"] = delivered }, ""},
		"configuration": {func(in *plan.Input) { in.ConfigHash = "i" },
			"the configuration is not"},
		"account": {func(in *plan.Input) { in.Account = "bob" },
			`for the account "alice", not "bob"`},
		"folder": {func(in *plan.Input) { in.Destination.Folder = "Old" },
			"the destination is not"},
		"folder gone": {func(in *plan.Input) { in.Destination.Exists = false },
			"folder INBOX is gone"},
		"uidvalidity": {func(in *plan.Input) { in.Destination.UIDValidity = 8 },
			"its UIDVALIDITY was 7 and is 8"},
	} {
		in := driftInput()
		c.change(&in)
		got := plan.Drift(plan.Build(driftInput()), plan.Build(in))
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s: %q", name, got)
		case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestDriftOfAFolderMadeSince(t *testing.T) {
	before, after := driftInput(), driftInput()
	before.Destination.Exists, before.Destination.UIDValidity = false, 0
	if got := plan.Drift(plan.Build(before), plan.Build(after)); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

func TestDriftIsBounded(t *testing.T) {
	var in plan.Input
	for i := range 100 {
		in.Listing = append(in.Listing, plan.Listed{Number: i, UIDL: fmt.Sprint(i)})
	}
	got := plan.Drift(plan.Build(in), plan.Build(plan.Input{}))
	if len(got) != 21 || got[20] != "and 80 more" {
		t.Errorf("%d lines, the last: %s", len(got), got[len(got)-1])
	}
}
